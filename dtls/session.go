package dtls

import (
	"crypto/cipher"
	"io"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"
)

// A Session allows a client to resume a connection without certificates and
// signatures. It comes with EventSession and goes into Config.Session. It is for one
// connection: a server, and an observer of the network, can see that two
// connections with the same ticket are of one client (RFC 8446 §C.4).
//
// It holds secrets and the peer's certificates. A resumed connection checks these again
// with its own fingerprints and VerifyPeer.
type Session struct {
	version  Version
	suite    CipherSuite
	secret   []byte // master secret of DTLS 1.2, PSK of DTLS 1.3
	peer     [][]byte
	issued   time.Time
	lifetime time.Duration
	id       []byte // DTLS 1.2
	ticket   []byte
	ageAdd   uint32 // DTLS 1.3
	old      bool   // the ticket is not sealed with the newest key
}

// Version returns the version of the session's connection, the only one that can
// resume it.
func (s *Session) Version() Version { return s.version }

// Limits of tickets.
const (
	maxTicketLifetime = 7 * 24 * time.Hour // RFC 8446 §4.6.1
	// ticketLifetime is the lifetime of local tickets.
	ticketLifetime = 24 * time.Hour
	// maxTicket is the length of the longest local ticket, so that a ClientHello with
	// it does not need many datagrams. Longer certificate chains get none.
	maxTicket = 4 << 10
	// maxSessionEvents bounds the sessions that wait for NextEvent.
	maxSessionEvents = 4
)

// expired reports whether the session can be neither offered nor resumed any more.
func (s *Session) expired(now time.Time) bool {
	age := now.Sub(s.issued)
	return age < 0 || age >= min(s.lifetime, maxTicketLifetime)
}

// A TicketKey seals a server's tickets. With it, tickets can be read and forged. So it
// should be random, and replaced about once a day.
type TicketKey [chacha20poly1305.KeySize]byte

// aead returns the AEAD of the key. Its nonces are so long that they can be random.
func (k *TicketKey) aead() cipher.AEAD {
	aead, _ := chacha20poly1305.NewX(k[:]) // the error is about the length of the key
	return aead
}

// marshal returns the content of a ticket of s.
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

// sealTicket makes a ticket of s; nil: it would be too long.
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

// openTicket opens a ticket; nil: it was not sealed with one of the keys.
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

// offers reports whether a client may offer the session: it has not expired, its version
// and suite are enabled, and its server is the one that cfg expects.
func (cfg *Config) offers(s *Session, now time.Time) bool {
	if s == nil || s.expired(now) || !cfg.speaks(s.version) || len(s.peer) == 0 {
		return false
	}
	return cfg.enabled(s.version, s.suite) && (len(cfg.Fingerprints) == 0 || matchFingerprint(cfg.Fingerprints, s.peer[0]))
}

// resumes reports whether a server may resume the session of a ticket: the client has
// proved then what cfg requires now.
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
