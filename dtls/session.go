package dtls

import (
	"crypto/cipher"
	"io"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"
)

// A Session is what a client needs to resume a connection without
// certificates and signatures. It comes with EventSession and goes into
// Config.Session, once: a server, and anybody who listens, could tell two
// connections with the same ticket for the same client's (RFC 8446 §C.4).
//
// It holds secrets, and the certificates of the far end, against which the
// fingerprints and VerifyPeer of a resumed connection are checked again.
type Session struct {
	version  Version
	suite    CipherSuite
	secret   []byte // the master secret of DTLS 1.2, the PSK of DTLS 1.3
	peer     [][]byte
	issued   time.Time
	lifetime time.Duration
	id       []byte // DTLS 1.2
	ticket   []byte
	ageAdd   uint32 // DTLS 1.3
	old      bool   // a ticket's key is not the newest
}

// Version is that of the connection the session is of: no other resumes it.
func (s *Session) Version() Version { return s.version }

// Limits of tickets.
const (
	// maxTicketLifetime is RFC 8446 §4.6.1's.
	maxTicketLifetime = 7 * 24 * time.Hour
	// ticketLifetime is what a server gives its own.
	ticketLifetime = 24 * time.Hour
	// maxTicket is the longest ticket that a server makes: a ClientHello with
	// it should not need many datagrams. Chains that do not fit are not worth
	// it.
	maxTicket = 4 << 10
	// maxSessionEvents bounds the tickets that wait to be fetched.
	maxSessionEvents = 4
)

// expired tells whether the session may not be offered, or resumed, any more.
func (s *Session) expired(now time.Time) bool {
	age := now.Sub(s.issued)
	return age < 0 || age >= min(s.lifetime, maxTicketLifetime)
}

// A TicketKey seals a server's tickets. Whoever has it can read and forge
// them, so it should be random, and replaced every day or so.
type TicketKey [chacha20poly1305.KeySize]byte

// aead has nonces long enough to be random for any number of tickets.
func (k *TicketKey) aead() cipher.AEAD {
	aead, _ := chacha20poly1305.NewX(k[:]) // the key has the right length
	return aead
}

// marshal writes what a ticket of s holds.
func (s *Session) marshal() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16(uint16(s.version))
	b.AddUint16(uint16(s.suite))
	b.AddUint64(uint64(s.issued.UnixMilli()))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(s.secret) })
	for _, der := range s.peer {
		b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
	}
	return b.Bytes()
}

// sealTicket makes a ticket of s; nil if it would be too long.
func (cfg *Config) sealTicket(s *Session) ([]byte, error) {
	content, err := s.marshal()
	if err != nil || len(content) > maxTicket {
		return nil, err
	}
	aead := cfg.TicketKeys[0].aead()
	ticket := make([]byte, aead.NonceSize(), aead.NonceSize()+len(content)+aead.Overhead())
	if _, err := io.ReadFull(cfg.Rand, ticket); err != nil {
		return nil, err
	}
	return aead.Seal(ticket, ticket, content, nil), nil
}

// openTicket reads what sealTicket made; nil if nobody with our keys did.
func (cfg *Config) openTicket(ticket []byte) *Session {
	for i := range cfg.TicketKeys {
		aead := cfg.TicketKeys[i].aead()
		n := aead.NonceSize()
		if len(ticket) < n {
			return nil
		}
		if content, err := aead.Open(nil, ticket[:n], ticket[n:], nil); err == nil {
			s := parseTicket(content)
			if s != nil {
				s.old = i > 0
			}
			return s
		}
	}
	return nil
}

func parseTicket(content []byte) *Session {
	s := &Session{lifetime: ticketLifetime}
	in := cryptobyte.String(content)
	var version, suite uint16
	var issued uint64
	var secret cryptobyte.String
	if !in.ReadUint16(&version) || !in.ReadUint16(&suite) || !in.ReadUint64(&issued) || !in.ReadUint8LengthPrefixed(&secret) {
		return nil
	}
	s.version, s.suite, s.issued, s.secret = Version(version), CipherSuite(suite), time.UnixMilli(int64(issued)), secret
	for !in.Empty() {
		var der cryptobyte.String
		if !in.ReadUint24LengthPrefixed(&der) {
			return nil
		}
		s.peer = append(s.peer, der)
	}
	return s
}

// offers tells whether a client may try to resume its session: it is still
// good, for what cfg allows and for whom it expects.
func (cfg *Config) offers(s *Session, now time.Time) bool {
	if s == nil || s.expired(now) || !cfg.speaks(s.version) || len(s.peer) == 0 {
		return false
	}
	return cfg.enabled(s.version, s.suite) && (len(cfg.Fingerprints) == 0 || matchFingerprint(cfg.Fingerprints, s.peer[0]))
}

// resumes tells whether a server may resume the session of a ticket: the
// client proved then to be whom we expect now.
func (cfg *Config) resumes(s *Session, version Version, now time.Time) bool {
	if s == nil || s.version != version || s.expired(now) {
		return false
	}
	switch {
	case len(s.peer) == 0:
		return cfg.ClientAuth != ClientAuthRequire
	case cfg.ClientAuth == ClientAuthNone:
		return false
	}
	return len(cfg.Fingerprints) == 0 || matchFingerprint(cfg.Fingerprints, s.peer[0])
}

// resume takes over the identity that an earlier connection proved, if it is
// still the one that is wanted.
func (c *Conn) resume(s *Session) error {
	c.resumed = true
	c.peer = s.peer
	if len(s.peer) == 0 {
		return nil
	}
	return c.judgePeer()
}

// addSession tells the owner of a session that could be resumed.
func (c *Conn) addSession(s *Session) {
	waiting := 0
	for _, e := range c.events {
		if e.Kind == EventSession {
			waiting++
		}
	}
	if waiting < maxSessionEvents {
		c.events = append(c.events, Event{Kind: EventSession, Session: s})
	}
}
