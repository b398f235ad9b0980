package dtls

import (
	"crypto/cipher"
	"io"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
	"golang.org/x/crypto/cryptobyte"
)

// A Session lets a client resume an earlier connection without certificates and
// signatures. The program receives it with EventSession and puts it into
// Config.Session. It should be used for only one connection: if two connections use
// the same ticket, the server and an observer of the network can see that they belong
// to the same client (RFC 8446 §C.4).
//
// A Session contains secrets and the peer's certificates. A connection that resumes it
// checks these certificates again with its own fingerprints and its own VerifyPeer.
type Session struct {
	version  Version
	suite    CipherSuite
	secret   []byte // master secret (DTLS 1.2) or PSK (DTLS 1.3)
	peer     [][]byte
	issued   time.Time
	lifetime time.Duration
	id       []byte // session id (DTLS 1.2)
	ticket   []byte
	ageAdd   uint32 // ticket_age_add (DTLS 1.3)
	old      bool   // the ticket was encrypted with a key that is not the newest
}

// Version returns the version of the connection that created the session. Only a
// connection of the same version can resume it.
func (s *Session) Version() Version { return s.version }

// Limits of tickets.
const (
	maxTicketLifetime = 7 * 24 * time.Hour // RFC 8446 §4.6.1
	// ticketLifetime is the lifetime of tickets that this package gives as a server.
	ticketLifetime = 24 * time.Hour
	// maxTicket is the maximum size in bytes of the content of a ticket that this
	// package gives, so that a ClientHello with the ticket does not need many
	// datagrams. Clients with longer certificate chains get no ticket.
	maxTicket = 4 << 10
	// maxSessionEvents is the maximum number of sessions that wait for NextEvent.
	// Further sessions are dropped.
	maxSessionEvents = 4
)

// expired reports whether the session is too old to be offered or resumed.
func (s *Session) expired(now time.Time) bool {
	age := now.Sub(s.issued)
	return age < 0 || age >= min(s.lifetime, maxTicketLifetime)
}

// A TicketKey encrypts a server's tickets. An attacker who knows the key can
// decrypt and forge tickets. So the key should be random, and should be replaced about
// once a day.
type TicketKey [chacha20poly1305.KeySize]byte

// aead returns the AEAD of the key. Its nonces are long enough to be chosen at random.
func (k *TicketKey) aead() cipher.AEAD {
	aead, _ := chacha20poly1305.NewX(k[:]) // an error occurs only if the key has a wrong length
	return aead
}

// marshal returns the content of the ticket for s, before encryption.
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

// sealTicket returns an encrypted ticket for s; nil: the ticket would be too long.
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

// openTicket decrypts a ticket; nil: the ticket was not encrypted with one of the
// keys.
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

// offers reports whether a client may offer the session. The session must not have
// expired, its version and suite must be enabled, and its server must be the one that
// cfg expects.
func (cfg *Config) offers(s *Session, now time.Time) bool {
	if s == nil || s.expired(now) || !cfg.speaks(s.version) || len(s.peer) == 0 {
		return false
	}
	return cfg.enabled(s.version, s.suite) && (len(cfg.Fingerprints) == 0 || matchFingerprint(cfg.Fingerprints, s.peer[0]))
}

// resumes reports whether a server may resume the session in a ticket: the client must
// have proved in the earlier handshake what cfg requires now.
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
