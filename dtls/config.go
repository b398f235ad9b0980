package dtls

import (
	"crypto"
	crand "crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"
)

// Config is what a Conn is made from. The zero value with a Certificate and
// Fingerprints is what WebRTC uses.
type Config struct {
	// Client tells which end this is.
	Client bool

	// Certificate proves who we are. A server needs one; a client without
	// one sends none. Its key is ECDSA P-256 or P-384, Ed25519 or RSA; its
	// SupportedSignatureAlgorithms, if any, limit and order what it signs with.
	Certificate *tls.Certificate

	// Certificates, if any, is what Certificate is chosen from: the first that
	// the far end can verify.
	Certificates []*tls.Certificate

	// MustMatchIssuer lists those of Certificates that are only for far ends
	// which name an issuer in their chain as one they trust (RFC 8446 §4.2.4).
	// Without it, what a far end says of issuers is not looked at.
	MustMatchIssuer []*tls.Certificate

	// Fingerprints of the far end's certificate, from its description. If
	// there are any, the certificate must match before any data is given up
	// or sent (RFC 8122 §5): one line of the strongest hash among them.
	Fingerprints []Fingerprint

	// VerifyPeer, if set, judges the far end's chain (DER, its own
	// certificate first), after Fingerprints did. An error of it ends the
	// handshake with bad_certificate, or with the alert of an *AlertError.
	VerifyPeer func(chain [][]byte) error

	// ClientAuth says what a server asks of its clients.
	ClientAuth ClientAuth

	// MinVersion and MaxVersion limit what is negotiated. 0: 1.2 and 1.3.
	MinVersion, MaxVersion Version

	// Preferences, the best first. Nil means the package's own. A DTLS 1.3
	// client sends a key share for its first group, and one for X25519 beside
	// X25519MLKEM768.
	CipherSuites     []CipherSuite
	Groups           []Group
	SignatureSchemes []SignatureScheme // that the far end may sign with

	// DeferShares makes a client of DTLS 1.3 send its key shares only when it
	// is asked. Its first ClientHello then fits in one datagram, which a server
	// that validates addresses needs, and asks for them in the same message;
	// other servers cost a round trip more.
	DeferShares bool

	// NeedCertificate makes a client fail that is asked for a certificate and
	// has none that suits. By default it goes on without, as RFC 8446 §4.4.2
	// has it, and the server decides.
	NeedCertificate bool

	// Strict ends the handshake where the far end seems to have sent, in
	// plaintext, what it should not have. By default that is dropped, and
	// counted, since anybody could have sent it (RFC 9147 §4.5.2), and an ACK in
	// plaintext believed only until the timer runs out. A message that is due and
	// has the wrong content, which an attacker can send before the remote peer
	// does, ends the handshake in any case. Strict is for finding
	// mistakes of a far end, where nobody else can send to us.
	Strict bool

	ServerName   string   // a client's server_name, RFC 6066 §3, or the one that a server confirms; none by default
	ALPN         []string // protocols, RFC 7301; none by default
	SRTPProfiles []uint16 // use_srtp, RFC 5764 §4.1.2; none by default

	// ExternalSessionID is what RFC 8844 §4.3 binds the connection to: 20 to 255
	// bytes, for SDP the a=tls-id of the local description. A client sends it, and
	// a server in answer to a client that does. PeerExternalSessionID is that of the
	// peer: a peer that sends another one ends the handshake with
	// ErrExternalSessionID. A peer that sends none is accepted. Empty: nothing is
	// sent, or the value that the peer sends is ignored.
	ExternalSessionID     string
	PeerExternalSessionID string

	// Tickets makes a client ask for sessions, which come with EventSession,
	// and Session is one to resume. TicketKeys makes a server give and resume
	// them: the first key seals tickets, all of them open some. By default
	// there is no resumption, of which WebRTC has no use.
	Tickets    bool
	Session    *Session
	TicketKeys []TicketKey

	// RecordSizeLimit is the longest record, in bytes of plaintext, that the
	// far end is asked to send (RFC 8449 §4): 64 to 2^14, and one more for the
	// content type that DTLS 1.3 has inside. 0: a client does not ask, and a
	// server answers one that does with the most there is. What the far end
	// asks for is obeyed in any case.
	RecordSizeLimit uint16

	// ConnectionIDs, if set, offers connection IDs (RFC 9146, RFC 9147 §9): each
	// Conn calls it once for the bytes that the far end is to put into its
	// records, at most 255. None at all mean that this end wants none, but puts
	// into its own what the far end wants. Those who look connections up by
	// them should make them random and all equally long.
	ConnectionIDs func() []byte

	// DiscardCertificates has the far end's chain forgotten once the handshake
	// is done: PeerCertificates then is nil. It is for servers of many that
	// know all they want from the check.
	DiscardCertificates bool

	Rand io.Reader // nil: crypto/rand
	// KeyLogWriter takes the secrets in NSS key log format, each line with one
	// Write; nil: none. Conns that share one and run at the same time need one
	// that may be called so.
	KeyLogWriter io.Writer

	// InitialTimeout is the time after which a flight is sent again, as long
	// as SetRTT gave none. 0: 400 ms.
	InitialTimeout time.Duration
	// MaxTimeout is what doubling stops at. 0: 2 s.
	MaxTimeout time.Duration
	// PatientRetransmission leaves what the far end acknowledged only in part
	// to the timer. By default the rest goes again at once, as RFC 9147 §7.2
	// has it; where datagrams overtake each other that may be too soon.
	PatientRetransmission bool
	// HandshakeTimeout ends a handshake that has begun. 0: 60 s; negative:
	// nothing does.
	HandshakeTimeout time.Duration
}

// ClientAuth says what a server asks of its clients.
type ClientAuth uint8

const (
	// ClientAuthRequire asks for a certificate and fails without: the
	// default, and all that is possible with Fingerprints.
	ClientAuthRequire ClientAuth = iota
	// ClientAuthRequest asks for a certificate and goes on without.
	ClientAuthRequest
	// ClientAuthNone does not ask.
	ClientAuthNone
)

var (
	// ErrNoVerification is NewConn's: nothing in Config says who the far end
	// has to be, so that anybody could be it.
	ErrNoVerification = errors.New("dtls: neither a fingerprint with a strong hash nor VerifyPeer given")
	// ErrConfig is wrapped by NewConn's other errors.
	ErrConfig = errors.New("dtls: bad configuration")
)

// check finds what can be found wrong before a handshake.
func (cfg *Config) check() error {
	anonymous := !cfg.Client && cfg.ClientAuth == ClientAuthNone
	switch {
	case len(cfg.Fingerprints) > 0 && !anyStrong(cfg.Fingerprints):
		return ErrNoVerification
	case len(cfg.Fingerprints) == 0 && cfg.VerifyPeer == nil && !anonymous:
		return ErrNoVerification
	case len(cfg.Fingerprints) > 0 && !cfg.Client && cfg.ClientAuth != ClientAuthRequire:
		return fmt.Errorf("%w: Fingerprints need ClientAuthRequire", ErrConfig)
	case !cfg.Client && cfg.Certificate == nil && len(cfg.Certificates) == 0:
		return fmt.Errorf("%w: a server needs a Certificate", ErrConfig)
	case !knownVersion(cfg.MinVersion), !knownVersion(cfg.MaxVersion),
		cfg.MinVersion == VersionDTLS13 && cfg.MaxVersion == VersionDTLS12:
		return fmt.Errorf("%w: no version between %v and %v", ErrConfig, cfg.MinVersion, cfg.MaxVersion)
	}
	if n := cfg.RecordSizeLimit; n != 0 && (n < minSizeLimit || n > maxPlaintext+1) {
		return fmt.Errorf("%w: RecordSizeLimit %d", ErrConfig, n)
	}
	if n := len(cfg.ExternalSessionID); n != 0 && (n < minExternalSessionID || n > maxExternalSessionID) {
		return fmt.Errorf("%w: ExternalSessionID of %d bytes", ErrConfig, n)
	}
	for _, g := range cfg.Groups {
		if g.curve() == nil && g != GroupX25519MLKEM768 {
			return fmt.Errorf("%w: unknown group %v", ErrConfig, g)
		}
	}
	for _, id := range cfg.CipherSuites {
		if _, ok := suiteByID(id); !ok {
			return fmt.Errorf("%w: unknown cipher suite %v", ErrConfig, id)
		}
	}
	for _, cert := range append([]*tls.Certificate{cfg.Certificate}, cfg.Certificates...) {
		if cert == nil {
			continue
		}
		signer, ok := cert.PrivateKey.(crypto.Signer)
		if !ok || len(cert.Certificate) == 0 {
			return fmt.Errorf("%w: Certificate has no key that can be used", ErrConfig)
		}
		if err := checkKey(signer.Public()); err != nil {
			return fmt.Errorf("%w: Certificate: %w", ErrConfig, err)
		}
	}
	return nil
}

// setDefaults fills in what the zero value stands for.
func (cfg *Config) setDefaults() {
	cfg.Rand = randOrDefault(cfg.Rand)
	if cfg.MinVersion == 0 {
		cfg.MinVersion = VersionDTLS12
	}
	if cfg.MaxVersion == 0 {
		cfg.MaxVersion = VersionDTLS13
	}
	// A version without suites is none that could be negotiated.
	if !cfg.enabled(VersionDTLS13, 0) {
		cfg.MaxVersion = VersionDTLS12
	}
	if !cfg.enabled(VersionDTLS12, 0) {
		cfg.MinVersion = VersionDTLS13
	}
	if cfg.SignatureSchemes == nil {
		cfg.SignatureSchemes = defaultSchemes()
	}
	if cfg.Groups == nil {
		cfg.Groups = defaultGroups()
	}
	if cfg.InitialTimeout <= 0 {
		cfg.InitialTimeout = defaultInitialTimeout
	}
	if cfg.MaxTimeout <= 0 {
		cfg.MaxTimeout = defaultMaxTimeout
	}
	if cfg.HandshakeTimeout == 0 {
		cfg.HandshakeTimeout = defaultHandshakeTimeout
	}
}

// defaultGroups is in order of preference: first what a quantum computer
// cannot break. P-256 is faster here than X25519, and every browser offers it;
// but browsers send no share for it, and asking for one costs a round trip.
func defaultGroups() []Group { return []Group{GroupX25519MLKEM768, GroupX25519, GroupP256, GroupP384} }

// knownVersion tells whether v may limit the versions; 0 does not.
func knownVersion(v Version) bool {
	return v == 0 || v == VersionDTLS12 || v == VersionDTLS13
}

// speaks tells whether v may be negotiated.
func (cfg *Config) speaks(v Version) bool {
	return !v.newer(cfg.MaxVersion) && !cfg.MinVersion.newer(v)
}

// suites lists what may be used in version, the preferred first.
func (cfg *Config) suites(version Version) iter.Seq[suite] {
	return func(yield func(suite) bool) {
		if cfg.CipherSuites == nil {
			for _, s := range suites {
				if s.version == version && !yield(s) {
					return
				}
			}
		}
		for _, id := range cfg.CipherSuites {
			if s, ok := suiteByID(id); ok && s.version == version && !yield(s) {
				return
			}
		}
	}
}

// enabled tells whether the suite id may be used in version; 0 asks for any.
func (cfg *Config) enabled(version Version, id CipherSuite) bool {
	for s := range cfg.suites(version) {
		if s.id == id || id == 0 {
			return true
		}
	}
	return false
}

// groups12 lists the groups for DTLS 1.2, the preferred first.
func (cfg *Config) groups12() (list []Group) {
	for _, g := range cfg.Groups {
		if g.curve() != nil {
			list = append(list, g)
		}
	}
	return list
}

func randOrDefault(r io.Reader) io.Reader {
	if r == nil {
		return crand.Reader
	}
	return r
}
