package dtls

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// A Gate lets clients in that receive what is sent to their addresses. It
// answers a first ClientHello with a cookie, in a HelloVerifyRequest of DTLS
// 1.2 (RFC 6347 §4.2.1) or a HelloRetryRequest of DTLS 1.3 (RFC 9147 §5.1),
// and keeps nothing about it: what a connection needs to know of that hello
// later is in the cookie. So senders of forged addresses cost no memory, and
// get nobody flooded.
//
// ICE did all that for WebRTC, which needs no Gate.
//
// A first ClientHello has to come in one datagram: the cookie of DTLS 1.3 holds
// the hash of all of it (RFC 9147 §5.1), and pieces cannot be kept for an
// address that anybody may have forged. [Config].DeferShares makes that of a
// client short enough. A gate to DTLS 1.2 alone answers the first fragment.
// Of a second ClientHello the cookie has to be in the first datagram.
//
// Cookies are made with a random key, which another one replaces every 30 s
// (RFC 6347 §4.2.1, RFC 9147 §5.1). Those of the key before are still taken, so a
// cookie is good for 30 to 60 s, and the same hello gets the same cookie
// meanwhile.
//
// The methods of a Gate must not run at the same time as one another.
type Gate struct {
	cfg  Config
	keys []cookieKey // the newest first
	next time.Time   // when another key is due; zero: nothing came yet
}

type cookieKey [32]byte

const (
	// cookieKeyLife is how long a key makes cookies: for as long again they are
	// good, for the slowest of clients that answers at all, and not for collectors.
	cookieKeyLife = 30 * time.Second
	cookieMAC     = 16 // bytes of HMAC-SHA-256, which nobody guesses meanwhile
	// maxAmplification is RFC 9147 §5.1's advice, in numbers those of
	// RFC 9000 §8.1: no more than three times what came is sent to an address
	// that was not validated.
	maxAmplification = 3
)

// NewGate returns a gate to connections with cfg, which is of a server.
func NewGate(cfg Config) (*Gate, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	g := &Gate{cfg: cfg}
	g.cfg.Client = false
	g.cfg.setDefaults()
	return g, g.addKey()
}

// addKey makes another key for cookies.
func (g *Gate) addKey() error {
	var k cookieKey
	if _, err := io.ReadFull(g.cfg.Rand, k[:]); err != nil {
		return fmt.Errorf("dtls: random: %w", err)
	}
	g.keys = append([]cookieKey{k}, g.keys...)
	return nil
}

// rotateKeys drops the keys that are too old, and reports whether there is one
// to make cookies with.
func (g *Gate) rotateKeys(now time.Time) bool {
	if g.next.IsZero() {
		g.next = now.Add(cookieKeyLife)
	}
	if now.Before(g.next) {
		return true
	}
	if g.keys = g.keys[:min(len(g.keys), 1)]; now.Sub(g.next) >= cookieKeyLife {
		g.keys = nil // nothing came for so long that the newest is too old, too
	}
	g.next = now.Add(cookieKeyLife)
	if g.addKey() != nil {
		g.keys, g.next = nil, now // tried again with what comes next
		return false
	}
	return true
}

// Admit judges a datagram of a client, of which there is no connection, at
// address addr, in any form that is always the same. Either it appends to dst
// what is to be sent there, or it returns a connection, already begun, that
// is to be given the datagram, and all that follows from there; or neither,
// if the datagram is none that could begin anything. datagram is not changed.
func (g *Gate) Admit(now time.Time, addr, datagram, dst []byte) (reply []byte, conn *Conn) {
	rec, f, ok := firstHello(datagram)
	if !ok || !g.rotateKeys(now) {
		return dst, nil
	}
	h, whole := parseHelloPrefix(f)
	cookie := h.extensions.cookie
	if cookie == nil {
		cookie = h.cookie
	}
	if len(cookie) > 0 && f.seq > 0 {
		if c, ok := g.openCookie(addr, cookie, &h.random); ok && (c.version == VersionDTLS13) == (h.extensions.cookie != nil) {
			return dst, g.admit(now, rec, f, &c, cookie)
		}
	}
	answerable := whole || !g.cfg.speaks(VersionDTLS13) && len(f.data) < f.length
	if !answerable || f.seq > 0 && len(cookie) == 0 {
		return dst, nil
	}
	reply, err := g.challenge(addr, rec, f, h, dst)
	if err != nil || len(reply)-len(dst) > maxAmplification*len(datagram) {
		return dst, nil
	}
	return reply, nil
}

// firstHello returns the beginning of the ClientHello that a datagram begins
// with.
func firstHello(datagram []byte) (rec recordHeader, f fragment, ok bool) {
	if !rec.parse(datagram, 0) || rec.unified || rec.typ != typeHandshake || rec.epoch != 0 {
		return rec, f, false
	}
	f, _, ok = parseFragment(datagram[rec.size : rec.size+rec.length])
	return rec, f, ok && f.typ == typeClientHello && f.offset == 0 && f.length <= maxMessage
}

// ClientRandom returns the random of the ClientHello that a datagram begins
// with, if it does. It tells a client that begins anew, from an address that
// it has a connection from, from one that repeats itself (RFC 9147 §5.11).
func ClientRandom(datagram []byte) (random [32]byte, ok bool) {
	_, f, ok := firstHello(datagram)
	if s := cryptobyte.String(f.data); !ok || !s.Skip(2) || !s.CopyBytes(random[:]) {
		return random, false
	}
	return random, true
}

// parseHelloPrefix reads as much of a ClientHello as its first fragment has.
// whole tells whether that is all of it, and well formed.
func parseHelloPrefix(f fragment) (h *clientHello, whole bool) {
	if len(f.data) == f.length {
		h, err := parseClientHello(f.data)
		if err != nil {
			return &clientHello{}, false
		}
		return &h, true
	}
	h = &clientHello{}
	s := cryptobyte.String(f.data)
	var sessionID, cookie, suites, compressions cryptobyte.String
	if !s.Skip(2) || !s.CopyBytes(h.random[:]) || !s.ReadUint8LengthPrefixed(&sessionID) || !s.ReadUint8LengthPrefixed(&cookie) {
		return h, false
	}
	h.cookie = cookie
	if !s.ReadUint16LengthPrefixed(&suites) || !s.ReadUint8LengthPrefixed(&compressions) || !s.Skip(2) {
		return h, false
	}
	for {
		var t uint16
		var body cryptobyte.String
		if !s.ReadUint16(&t) || !s.ReadUint16LengthPrefixed(&body) {
			return h, false
		}
		if extensionType(t) == extCookie {
			h.extensions.parseOne(extCookie, body, true)
			return h, false
		}
	}
}

// A helloCookie is what a Gate remembers of a client, in the client's hands.
type helloCookie struct {
	version Version
	suite   CipherSuite
	group   Group
	asked   bool     // the HelloRetryRequest asked for group
	fixed   [32]byte // hash of what the second ClientHello has to repeat
	first   []byte   // hash of the first ClientHello
}

// sealCookie makes the cookie itself, good for addr and a hello with the same
// random only (RFC 6347 §4.2.1).
func (g *Gate) sealCookie(c *helloCookie, addr []byte, random *[32]byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, uint16(c.version))
	if c.version == VersionDTLS13 {
		b = binary.BigEndian.AppendUint16(b, uint16(c.suite))
		b = binary.BigEndian.AppendUint16(b, uint16(c.group))
		asked := byte(0)
		if c.asked {
			asked = 1
		}
		b = append(b, asked)
		b = append(b, c.fixed[:]...)
		b = append(b, c.first...)
	}
	return append(b, g.keys[0].mac(b, addr, random)...)
}

func (k *cookieKey) mac(content, addr []byte, random *[32]byte) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte{byte(len(content))})
	mac.Write(content)
	mac.Write(random[:])
	mac.Write(addr)
	return mac.Sum(nil)[:cookieMAC]
}

// openCookie reads a cookie that this gate made for addr a short while ago.
func (g *Gate) openCookie(addr, cookie []byte, random *[32]byte) (c helloCookie, ok bool) {
	n := len(cookie) - cookieMAC
	ours := func(k cookieKey) bool { return hmac.Equal(cookie[n:], k.mac(cookie[:n], addr, random)) }
	if n < 2 || n > 255 || !slices.ContainsFunc(g.keys, ours) {
		return c, false
	}
	s := cryptobyte.String(cookie[:n])
	var version, suite, group uint16
	var asked uint8
	s.ReadUint16(&version)
	c.version = Version(version)
	if c.version == VersionDTLS13 {
		if !s.ReadUint16(&suite) || !s.ReadUint16(&group) || !s.ReadUint8(&asked) || !s.CopyBytes(c.fixed[:]) {
			return c, false
		}
		c.suite, c.group, c.asked, c.first = CipherSuite(suite), Group(group), asked == 1, s
	}
	return c, true
}

// challenge answers a first ClientHello, whole unless this gate is to DTLS 1.2
// alone, with a cookie.
func (g *Gate) challenge(addr []byte, rec recordHeader, f fragment, h *clientHello, dst []byte) ([]byte, error) {
	cookie := &helloCookie{version: VersionDTLS12}
	typ, body := typeHelloVerifyRequest, []byte(nil)
	if slices.Contains(h.extensions.versions, VersionDTLS13) && g.cfg.speaks(VersionDTLS13) {
		c := &Conn{cfg: &g.cfg}
		su, ok := c.chooseSuite13(h.suites)
		group, share, ok2 := c.chooseGroup13(&h.extensions)
		if err := checkClientHello13(h); err != nil || !ok || !ok2 {
			return dst, errDecode
		}
		first := transcript{digest: su.hash.New()}
		first.add(message{typ: typeClientHello, seq: f.seq, body: f.data})
		*cookie = helloCookie{VersionDTLS13, su.id, group, share == nil, fixedPart(h, f.data), first.digest.Sum(nil)}
		var err error
		typ = typeServerHello
		if body, err = cookie.retryRequest(g.sealCookie(cookie, addr, &h.random)); err != nil {
			return dst, err
		}
	} else {
		// RFC 6347 §4.2.1: the version is 1.0, whatever comes after.
		body = binary.BigEndian.AppendUint16(nil, uint16(VersionDTLS10))
		sealed := g.sealCookie(cookie, addr, &h.random)
		body = append(append(body, byte(len(sealed))), sealed...)
	}
	start := len(dst)
	dst = append(dst, make([]byte, recordHeaderLen)...)
	dst = appendFragmentHeader(dst, typ, len(body), f.seq, 0, len(body))
	dst = append(dst, body...)
	// RFC 6347 §4.2.1: the record has the number of the client's.
	putRecordHeader(dst[start:], typeHandshake, VersionDTLS12, 0, rec.seq, nil, len(dst)-start-recordHeaderLen)
	return dst, nil
}

// retryRequest is the body of the HelloRetryRequest that brings a cookie, and
// can be made again from it.
func (c *helloCookie) retryRequest(sealed []byte) ([]byte, error) {
	sh := &serverHello{version: VersionDTLS12, random: retryRandom, suite: c.suite}
	sh.extensions.versions = []Version{VersionDTLS13}
	sh.extensions.cookie = sealed
	if c.asked {
		sh.extensions.keyShares = []keyShare{{group: c.group}}
	}
	return sh.marshal()
}

// admit makes the connection of a client that came with the cookie c, in the
// fragment f of record rec, as if it had sent the answer to the first hello.
func (g *Gate) admit(now time.Time, rec recordHeader, f fragment, cookie *helloCookie, sealed []byte) *Conn {
	c, err := NewConn(g.cfg)
	if err != nil {
		return nil
	}
	c.Start(now)
	c.in.next, c.nextSend = uint32(f.seq), f.seq
	// RFC 6347 §4.2.1: the ServerHello goes on from the number of the hello.
	c.current.next = rec.seq
	if cookie.version == VersionDTLS12 {
		return c // of what was before, nothing is in the transcript
	}
	if err := c.afterRetry(cookie, sealed); err != nil {
		return nil
	}
	return c
}

// afterRetry makes c what it would be had it sent the HelloRetryRequest itself.
func (c *Conn) afterRetry(cookie *helloCookie, sealed []byte) error {
	su, ok := suiteByID(cookie.suite)
	body, err := cookie.retryRequest(sealed)
	if !ok || err != nil {
		return errDecode
	}
	c.begin13(su, message{typ: typeMessageHash, body: cookie.first}, message{typ: typeServerHello, body: body})
	c.group, c.retried, c.hs.fixed = cookie.group, true, cookie.fixed
	c.hs.step = (*Conn).serverSecondHello13
	return nil
}
