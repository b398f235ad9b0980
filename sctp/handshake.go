package sctp

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"io"
	"time"
)

const (
	cookieMACSize  = sha256.Size
	cookieLifetime = 60 * time.Second // RFC 9260 §16: Valid.Cookie.Life
)

// A handshakeStep says which handshake chunk is sent next.
type handshakeStep uint8

const (
	stepWait       handshakeStep = iota // nothing: an answer is awaited, or there is no handshake
	stepInit                            // INIT
	stepInitSpared                      // INIT, if the remote's COOKIE ECHO does not arrive before the timer expires
	stepCookieEcho                      // COOKIE ECHO
)

// A handshake is the state of association setup (RFC 9260 §5): the tags, what the two
// ends announced, and the chunk that is sent repeatedly until it is answered.
type handshake struct {
	step    handshakeStep
	retries uint8   // timeouts of the present chunk
	sentAt  instant // when the last INIT was sent
	timer   instant // T1-init or T1-cookie

	localTag, peerTag uint32
	localTSN          chunkTSN    // this end's initial TSN
	peer              initParams  // announced by the peer
	signalled         *initParams // of the INIT chunk that the peer has signalled, until Connect; nil: none
	echo              []byte      // the COOKIE ECHO chunk, until it is answered
	cookieKey         *[32]byte   // key of the cookies' MAC; nil until the first cookie
}

// begin sets the local tag and initial TSN.
func (h *handshake) begin(tag uint32, tsn chunkTSN) { h.localTag, h.localTSN = tag, tsn }

// send schedules a chunk to be sent now, and again if it is not answered within
// timeout.
func (h *handshake) send(now instant, s handshakeStep, timeout time.Duration) {
	h.step, h.timer = s, now+int64(timeout)
}

// initSent notes that the INIT was sent.
func (h *handshake) initSent(now instant) { h.step, h.sentAt = stepWait, now }

// spareInit postpones an INIT that was never sent, until the timer expires.
func (h *handshake) spareInit() {
	if h.step == stepInit && h.retries == 0 {
		h.step = stepInitSpared
	}
}

// sendEcho schedules a COOKIE ECHO to be sent now.
func (h *handshake) sendEcho(now instant, cookie []byte, timeout time.Duration) {
	b, start := beginChunk(nil, chunkCookieEcho, 0)
	h.echo, h.retries = endChunk(append(b, cookie...), start), 0
	h.send(now, stepCookieEcho, timeout)
}

// takeEcho returns the COOKIE ECHO if it is to be sent.
func (h *handshake) takeEcho() (chunk []byte, ok bool) {
	if h.step != stepCookieEcho {
		return nil, false
	}
	h.step = stepWait
	return h.echo, true
}

// forgetPeer forgets the peer's parameters, for a new handshake after a stale cookie.
// It reports false if this has happened too often.
func (h *handshake) forgetPeer() bool {
	h.retries++
	h.peer, h.peerTag, h.echo = initParams{}, 0, nil
	return h.retries <= maxInitRetransmissions
}

// stop ends the handshake. The tags and the peer's parameters stay.
func (h *handshake) stop() { h.step, h.retries, h.timer, h.echo = stepWait, 0, 0, nil }

// timeout schedules the chunk of state s to be sent again. It reports false after too
// many retransmissions (Max.Init.Retransmits, RFC 9260 §16).
func (h *handshake) timeout(now instant, s State, timeout time.Duration) bool {
	step := stepInit
	if s == StateCookieEchoed {
		step = stepCookieEcho
	}
	h.retries++
	h.send(now, step, timeout)
	return h.retries <= maxInitRetransmissions
}

// validTag reports whether the tag of a received ABORT or SHUTDOWN COMPLETE is valid.
// If the T bit is set, the valid tag is the peer's, which the packet reflects (RFC
// 9260 §8.5.1 B, C).
func (h *handshake) validTag(s State, tag uint32, flags uint8) bool {
	if s == StateClosed {
		return false
	}
	if flags&flagReflected != 0 {
		return h.peerTag != 0 && tag == h.peerTag || s == StateCookieWait && tag == 0
	}
	return tag == h.localTag
}

// incomingStreams returns how many streams the remote may send on: as many as it announced
// (RFC 9260 §3.3.2) and has added since (RFC 6525 §5.2.5).
func (h *handshake) incomingStreams() int { return min(maxStreams, int(h.peer.outStreams)) }

// drawKey draws the key for this association's cookies, unless there is one. It
// reports false if the random source fails.
func (h *handshake) drawKey(random io.Reader) bool {
	if h.cookieKey != nil {
		return true
	}
	key := new([32]byte)
	if !readRandom(random, key[:]) {
		return false
	}
	h.cookieKey = key
	return true
}

// mac authenticates the contents of a cookie.
func (h *handshake) mac(contents []byte) []byte {
	mac := hmac.New(sha256.New, h.cookieKey[:])
	mac.Write(contents)
	return mac.Sum(nil)
}

// sealCookie returns the state cookie for c (RFC 9260 §5.1.3).
func (h *handshake) sealCookie(c *cookie) []byte {
	b := c.append(make([]byte, cookieMACSize, cookieSize))
	copy(b, h.mac(b[cookieMACSize:]))
	return b
}

// openCookie returns the contents of a state cookie that this end has made.
func (h *handshake) openCookie(b []byte) (c cookie, ok bool) {
	if len(b) != cookieSize || h.cookieKey == nil {
		return c, false
	}
	if subtle.ConstantTimeCompare(h.mac(b[cookieMACSize:]), b[:cookieMACSize]) != 1 {
		return c, false
	}
	return parseCookie(b[cookieMACSize:]), true
}

// A cookieCase says which row of RFC 9260 §5.2.4, table 12, a COOKIE ECHO matches.
type cookieCase uint8

const (
	cookieUseless cookieCase = iota // action C, or no row matches: an old cookie
	cookieRestart                   // action A: the remote lost its state
	cookieCross                     // action B: both ends sent an INIT
	cookieRepeat                    // action D: the cookie was echoed before
)

// match compares a cookie with the tags of the present association.
func (h *handshake) match(c *cookie, s State) cookieCase {
	sameLocal, samePeer := c.localTag == h.localTag, c.peer.tag == h.peerTag
	switch {
	case sameLocal && samePeer && s.peerKnown():
		return cookieRepeat
	case sameLocal:
		return cookieCross
	case !samePeer && c.localTie == h.localTag && c.peerTie == h.peerTag && c.localTie != 0:
		return cookieRestart
	}
	return cookieUseless
}

// staleness returns the information of a stale-cookie cause: by how many microseconds
// the cookie is too old (RFC 9260 §3.3.10.3).
func staleness(age time.Duration) []byte {
	us := min((age - cookieLifetime).Microseconds(), 1<<32-1)
	return binary.BigEndian.AppendUint32(nil, uint32(us))
}

// readRandom fills b from a random source, and reports whether that succeeded.
func readRandom(random io.Reader, b []byte) bool {
	_, err := io.ReadFull(random, b)
	return err == nil
}

// drawIdentity draws a verification tag, which is not zero, and an initial TSN. ok
// is false if the random source fails.
func drawIdentity(random io.Reader) (tag uint32, tsn chunkTSN, ok bool) {
	var b [8]byte
	for range 4 { // four zero tags in succession mean that the source is broken
		if !readRandom(random, b[:]) {
			break
		}
		if tag = binary.BigEndian.Uint32(b[:]); tag != 0 {
			return tag, chunkTSN(binary.BigEndian.Uint32(b[4:])), true
		}
	}
	return 0, 0, false
}
