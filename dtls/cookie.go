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

// An AddressValidator creates a server's connections, but only for clients that have shown
// that they receive what is sent to their address. It answers a first ClientHello with a
// cookie, in a HelloVerifyRequest of DTLS 1.2 (RFC 6347 §4.2.1) or a HelloRetryRequest of
// DTLS 1.3 (RFC 9147 §5.1), and keeps no state for it: the cookie contains what a
// connection needs to know of that ClientHello. So datagrams from forged addresses cost no
// memory, and attackers cannot use the server to flood these addresses.
//
// An AddressValidator is optional. WebRTC does not need it, since ICE validates addresses.
//
// The first ClientHello must arrive in one datagram: the cookie of DTLS 1.3 contains the
// hash of the whole ClientHello (RFC 9147 §5.1), and fragments from an unvalidated address
// are not stored. A client that sets [Config.DeferShares] sends a ClientHello that is short
// enough. A validator that accepts only DTLS 1.2 does not need the whole ClientHello: it
// answers the first fragment. The first datagram of the second ClientHello must contain
// the cookie.
//
// Cookies are made with a random key, which is replaced every 30 s (RFC 6347 §4.2.1,
// RFC 9147 §5.1). The previous key is still accepted. So a cookie is valid for 30 to 60 s.
// Until the key is replaced, the same ClientHello is answered with the same cookie.
//
// The methods of an AddressValidator must not be called at the same time.
type AddressValidator struct {
	cfg  Config
	keys []cookieKey // the newest key is the first
	next time.Time   // when the keys are rotated next; zero: no datagram was received yet
}

type cookieKey [32]byte

const (
	// cookieKeyLife is the time for which a key makes new cookies. After that, the
	// cookies of the key stay valid for another cookieKeyLife. This is enough for the
	// slowest client that answers at all, and too short to collect cookies.
	cookieKeyLife = 30 * time.Second
	cookieMAC     = 16 // bytes of the HMAC-SHA-256 in a cookie: too many to guess before the key is replaced
	// maxAmplification is how many bytes may be sent to an address that is not
	// validated, for each byte that was received from it. RFC 9147 §5.1 requires a
	// limit, and RFC 9000 §8.1 has the number.
	maxAmplification = 3
)

// NewAddressValidator returns a validator that creates server connections with cfg.
func NewAddressValidator(cfg Config) (*AddressValidator, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	v := &AddressValidator{cfg: cfg}
	v.cfg.Client = false
	v.cfg.setDefaults()
	return v, v.addKey()
}

// addKey generates a new key for cookies.
func (v *AddressValidator) addKey() error {
	var k cookieKey
	if _, err := io.ReadFull(v.cfg.Rand, k[:]); err != nil {
		return fmt.Errorf("dtls: random: %w", err)
	}
	v.keys = append([]cookieKey{k}, v.keys...)
	return nil
}

// rotateKeys drops expired keys and generates a new key if it is time. It reports
// whether there is a key for new cookies.
func (v *AddressValidator) rotateKeys(now time.Time) bool {
	if v.next.IsZero() {
		v.next = now.Add(cookieKeyLife)
	}
	if now.Before(v.next) {
		return true
	}
	if v.keys = v.keys[:min(len(v.keys), 1)]; now.Sub(v.next) >= cookieKeyLife {
		v.keys = nil // no datagram arrived for so long that the newest key has expired, too
	}
	v.next = now.Add(cookieKeyLife)
	if v.addKey() != nil {
		v.keys, v.next = nil, now // when the next datagram arrives, a key is generated
		return false
	}
	return true
}

// HandleHello handles a datagram from a client that has no connection yet. addr is the
// client's address. It can have any form that is always the same for the same address.
// There are three results. If reply is longer than dst, it is dst and a datagram that
// is to be sent to addr. If conn is not nil, it is a connection that has started. This
// datagram and all later ones from addr are to be given to it. Otherwise the datagram
// is to be dropped. HandleHello does not change datagram.
func (v *AddressValidator) HandleHello(now time.Time, addr, datagram, dst []byte) (reply []byte, conn *Conn) {
	rec, f, ok := firstHello(datagram)
	if !ok || !v.rotateKeys(now) {
		return dst, nil
	}
	h, whole := parseHelloPrefix(f)
	cookie := h.extensions.cookie
	if cookie == nil {
		cookie = h.cookie
	}
	if len(cookie) > 0 && f.seq > 0 {
		if c, ok := v.openCookie(addr, cookie, &h.random); ok && (c.version == VersionDTLS13) == (h.extensions.cookie != nil) {
			return dst, v.accept(now, rec, f, &c, cookie)
		}
	}
	answerable := whole || !v.cfg.speaks(VersionDTLS13) && len(f.data) < f.length
	if !answerable || f.seq > 0 && len(cookie) == 0 {
		return dst, nil
	}
	reply, err := v.challenge(addr, rec, f, h, dst)
	if err != nil || len(reply)-len(dst) > maxAmplification*len(datagram) {
		return dst, nil
	}
	return reply, nil
}

// firstHello returns the first fragment of the ClientHello at the start of a datagram;
// ok is false if there is none.
func firstHello(datagram []byte) (rec recordHeader, f fragment, ok bool) {
	if !rec.parse(datagram, 0) || rec.unified || rec.typ != typeHandshake || rec.epoch != 0 {
		return rec, f, false
	}
	f, _, ok = parseFragment(datagram[rec.size : rec.size+rec.length])
	return rec, f, ok && f.typ == typeClientHello && f.offset == 0 && f.length <= maxMessage
}

// ClientRandom returns the random of the ClientHello at the start of a datagram; ok is
// false if there is none. If the source address of the datagram already has a
// connection, a different random means that the client starts a new connection, and
// the same random means that the client repeats its ClientHello (RFC 9147 §5.11).
func ClientRandom(datagram []byte) (random [32]byte, ok bool) {
	_, f, ok := firstHello(datagram)
	if s := cryptobyte.String(f.data); !ok || !s.Skip(2) || !s.CopyBytes(random[:]) {
		return random, false
	}
	return random, true
}

// parseHelloPrefix parses as much of a ClientHello as its first fragment contains.
// whole reports whether the fragment contains a complete and well-formed ClientHello.
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

// A helloCookie is the state of a handshake after the first ClientHello. The server
// sends it to the client as the cookie and does not keep it. The client sends it back.
type helloCookie struct {
	version Version
	suite   CipherSuite
	group   Group
	asked   bool     // the HelloRetryRequest asked for a key share for group
	fixed   [32]byte // result of fixedPart for the first ClientHello
	first   []byte   // hash of the first ClientHello
}

// sealCookie returns the cookie with the content c. It is valid only for the address
// addr and a ClientHello with the same random (RFC 6347 §4.2.1).
func (v *AddressValidator) sealCookie(c *helloCookie, addr []byte, random *[32]byte) []byte {
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
	return append(b, v.keys[0].mac(b, addr, random)...)
}

func (k *cookieKey) mac(content, addr []byte, random *[32]byte) []byte {
	mac := hmac.New(sha256.New, k[:])
	mac.Write([]byte{byte(len(content))})
	mac.Write(content)
	mac.Write(random[:])
	mac.Write(addr)
	return mac.Sum(nil)[:cookieMAC]
}

// openCookie parses a cookie. ok is false unless this validator has made it for addr
// and random, and it has not expired.
func (v *AddressValidator) openCookie(addr, cookie []byte, random *[32]byte) (c helloCookie, ok bool) {
	n := len(cookie) - cookieMAC
	made := func(k cookieKey) bool { return hmac.Equal(cookie[n:], k.mac(cookie[:n], addr, random)) }
	if n < 2 || n > 255 || !slices.ContainsFunc(v.keys, made) {
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

// challenge answers a first ClientHello with a cookie. The ClientHello may be
// incomplete only if the validator does not accept DTLS 1.3.
func (v *AddressValidator) challenge(addr []byte, rec recordHeader, f fragment, h *clientHello, dst []byte) ([]byte, error) {
	cookie := &helloCookie{version: VersionDTLS12}
	typ, body := typeHelloVerifyRequest, []byte(nil)
	if slices.Contains(h.extensions.versions, VersionDTLS13) && v.cfg.speaks(VersionDTLS13) {
		su, ok := v.cfg.chooseSuite13(h.suites)
		group, share, ok2 := v.cfg.chooseGroup13(&h.extensions)
		if err := checkClientHello13(h); err != nil || !ok || !ok2 {
			return dst, errDecode
		}
		first := transcript{version: VersionDTLS13, digest: su.hash.New()}
		first.add(message{typ: typeClientHello, seq: f.seq, body: f.data})
		*cookie = helloCookie{VersionDTLS13, su.id, group, share == nil, fixedPart(h, f.data), first.digest.Sum(nil)}
		var err error
		typ = typeServerHello
		if body, err = cookie.retryRequest(v.sealCookie(cookie, addr, &h.random)); err != nil {
			return dst, err
		}
	} else {
		// RFC 6347 §4.2.1: the version in a HelloVerifyRequest is 1.0, whichever
		// version is negotiated later.
		body = binary.BigEndian.AppendUint16(nil, uint16(VersionDTLS10))
		sealed := v.sealCookie(cookie, addr, &h.random)
		body = append(append(body, byte(len(sealed))), sealed...)
	}
	start := len(dst)
	dst = append(dst, make([]byte, recordHeaderLen)...)
	dst = appendFragmentHeader(dst, typ, len(body), f.seq, 0, len(body))
	dst = append(dst, body...)
	// RFC 6347 §4.2.1: the sequence number of the record is that of the client's
	// record.
	putRecordHeader(dst[start:], typeHandshake, VersionDTLS12, 0, rec.seq, nil, len(dst)-start-recordHeaderLen)
	return dst, nil
}

// retryRequest returns the body of the HelloRetryRequest that contains the cookie. The
// server can generate the same body again later from the cookie.
func (c *helloCookie) retryRequest(sealed []byte) ([]byte, error) {
	sh := &serverHello{version: VersionDTLS12, random: retryRandom, suite: c.suite}
	sh.extensions.versions = []Version{VersionDTLS13}
	sh.extensions.cookie = sealed
	if c.asked {
		sh.extensions.keyShares = []keyShare{{group: c.group}}
	}
	return sh.marshal()
}

// accept creates the connection of a client that has sent a valid cookie, in the
// fragment f of the record rec. The state of the connection is the same as if it had
// answered the first ClientHello. sealed is the cookie as the client sent it.
func (v *AddressValidator) accept(now time.Time, rec recordHeader, f fragment, cookie *helloCookie, sealed []byte) *Conn {
	c, err := NewConn(v.cfg)
	if err != nil {
		return nil
	}
	c.Start(now)
	c.in.skipTo(f.seq)
	c.hs.nextSeq = f.seq
	// RFC 6347 §4.2.1: the record of the ServerHello has the same sequence number as
	// the record of the ClientHello.
	c.records.current.next = rec.seq
	if cookie.version == VersionDTLS12 {
		return c // in DTLS 1.2 the transcript does not contain the earlier messages
	}
	err = c.hs.continueRetry(cookie, sealed)
	if c.apply(outcome{}, err); err != nil {
		return nil
	}
	return c
}

// continueRetry puts a server's handshake into the state after it has sent the
// HelloRetryRequest with the given cookie.
func (h *handshake) continueRetry(cookie *helloCookie, sealed []byte) error {
	su, ok := suiteByID(cookie.suite)
	body, err := cookie.retryRequest(sealed)
	if !ok || err != nil {
		return errDecode
	}
	next := &server13{handshake13: handshake13{handshake: h}, fixed: cookie.fixed, state: server13ClientHello}
	next.begin(su, message{typ: typeMessageHash, body: cookie.first}, message{typ: typeServerHello, body: body})
	h.agreed.Group, h.agreed.HelloRetryRequest = cookie.group, true
	h.role = next
	return nil
}
