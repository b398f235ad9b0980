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

// Config configures a Conn. WebRTC uses a Certificate and Fingerprints, and the zero value
// of all other fields.
type Config struct {
	// Client makes the Conn a client. Default: a server.
	Client bool

	// Certificate is the local certificate. A server needs one, a client can do without.
	// Its key is ECDSA P-256 or P-384, Ed25519 or RSA. Its SupportedSignatureAlgorithms,
	// if any, limit the signature schemes, in order of preference.
	Certificate *tls.Certificate

	// Certificates, if any, replaces Certificate: the first one that the peer accepts is
	// used.
	Certificates []*tls.Certificate

	// MustMatchIssuer lists those of Certificates that are only for peers which name an
	// issuer of their chain as trusted (RFC 8446 §4.2.4). For all others, the issuers that
	// the peer names are ignored.
	MustMatchIssuer []*tls.Certificate

	// Fingerprints are the fingerprints of the peer's certificate, from its description.
	// If there are any, the certificate must match one with the strongest hash among
	// them, before any data is sent or returned (RFC 8122 §5).
	Fingerprints []Fingerprint

	// VerifyPeer, if set, checks the peer's chain (DER, its own certificate first), after
	// the fingerprints. An error ends the handshake with the alert bad_certificate or, if
	// it is an *AlertError, with its alert.
	VerifyPeer func(chain [][]byte) error

	// ClientAuth says whether a server asks for a certificate. Default:
	// ClientAuthRequire.
	ClientAuth ClientAuth

	// MinVersion and MaxVersion limit the negotiated version. Default: 1.2 and 1.3.
	MinVersion, MaxVersion Version

	// The preferred first; nil: the defaults of this package. A client of DTLS 1.3 sends
	// a key share for the first group and, if that is X25519MLKEM768, one for X25519.
	CipherSuites     []CipherSuite
	Groups           []Group
	SignatureSchemes []SignatureScheme // for signatures of the peer

	// DeferShares makes a client of DTLS 1.3 send key shares only when the server asks for
	// them, which costs a round trip. Its first ClientHello then fits into one datagram.
	// A server that validates addresses needs that. It asks for the shares in the message
	// that validates the address, so with such a server there is no additional round trip.
	DeferShares bool

	// NeedCertificate makes a client fail if the server asks for a certificate and accepts
	// none of Certificates. By default the client continues without, as RFC 8446 §4.4.2
	// says, and the server decides.
	NeedCertificate bool

	// Strict ends the handshake if a message in plaintext is one that the peer must not
	// send. By default such a message is dropped and counted, since an attacker can have
	// sent it (RFC 9147 §4.5.2), and an ACK in plaintext is believed only until the timer
	// runs out. A message that is due and has the wrong content ends the handshake in any
	// case. Strict is for finding mistakes of a peer on a network without attackers.
	Strict bool

	// ServerName is a client's server_name (RFC 6066 §3), or the name that a server
	// confirms. ALPN are the protocols (RFC 7301), SRTPProfiles those of use_srtp
	// (RFC 5764 §4.1.2), the preferred first. Default: none.
	ServerName   string
	ALPN         []string
	SRTPProfiles []uint16

	// ExternalSessionID binds the connection to a session of the program (RFC 8844 §4.3).
	// It has 20 to 255 bytes; with SDP it is the a=tls-id of the local description. A
	// client sends it, and a server sends it to a client that does.
	// PeerExternalSessionID is that of the peer: another value ends the handshake with
	// ErrExternalSessionID. A peer that sends none is accepted. Default: none is sent,
	// and the peer's is ignored.
	ExternalSessionID     string
	PeerExternalSessionID string

	// Tickets makes a client ask for sessions, which EventSession delivers. Session is
	// the one to resume. TicketKeys makes a server give tickets and resume their sessions:
	// the first key seals tickets, all of them open some. Default: no resumption, which
	// WebRTC does not use.
	Tickets    bool
	Session    *Session
	TicketKeys []TicketKey

	// RecordSizeLimit is the size in bytes, in plaintext, of the longest record that the
	// peer is asked to send (RFC 8449 §4): 64 to 2^14, and one more for the content type
	// of DTLS 1.3. Default: a client does not ask, and a server answers with the maximum.
	// A limit of the peer is always obeyed.
	RecordSizeLimit uint16

	// ConnectionIDs, if set, offers connection IDs (RFC 9146, RFC 9147 §9). Each Conn calls
	// it once for the connection ID in the peer's records, of at most 255 bytes. An empty
	// one means that this end needs none, but writes the peer's into its records. To
	// find a connection by its ID, make IDs random and all of the same length.
	ConnectionIDs func() []byte

	// DiscardCertificates drops the peer's chain after the handshake, to save memory.
	// ConnectionState.PeerCertificates is nil then.
	DiscardCertificates bool

	// Rand is the source of randomness. Default: crypto/rand.
	Rand io.Reader

	// KeyLogWriter gets the secrets in the NSS key log format, each line in one Write. If
	// Conns that run at the same time share it, it must allow calls at the same time.
	// Default: none.
	KeyLogWriter io.Writer

	// InitialTimeout is the first retransmission timeout, as long as SetRTT was not
	// called. Default: 400 ms.
	InitialTimeout time.Duration
	// MaxTimeout is the retransmission timeout at which doubling stops. Default: 2 s.
	MaxTimeout time.Duration
	// PatientRetransmission leaves a flight that was acknowledged in part to the timer. By
	// default the rest is sent again at once, as RFC 9147 §7.2 recommends. That can be too
	// soon on a path that reorders datagrams.
	PatientRetransmission bool
	// HandshakeTimeout is the time from the first message to the end of the handshake,
	// after which it fails. Default: 60 s; negative: no limit.
	HandshakeTimeout time.Duration
}

// ClientAuth says whether a server asks for a client's certificate.
type ClientAuth uint8

const (
	// ClientAuthRequire asks for a certificate, and fails without one. It is the default.
	// Fingerprints need it.
	ClientAuthRequire ClientAuth = iota
	// ClientAuthRequest asks for a certificate, and accepts that there is none.
	ClientAuthRequest
	// ClientAuthNone does not ask.
	ClientAuthNone
)

var (
	// ErrNoVerification is returned by NewConn: Config would accept any peer.
	ErrNoVerification = errors.New("dtls: neither a fingerprint with a strong hash nor VerifyPeer given")
	// ErrConfig is wrapped by the other errors of NewConn.
	ErrConfig = errors.New("dtls: bad configuration")
)

// check validates cfg.
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
			return fmt.Errorf("%w: Certificate has no usable key", ErrConfig)
		}
		if err := checkKey(signer.Public()); err != nil {
			return fmt.Errorf("%w: Certificate: %w", ErrConfig, err)
		}
	}
	return nil
}

// setDefaults sets the fields that have their zero value.
func (cfg *Config) setDefaults() {
	cfg.Rand = randOrDefault(cfg.Rand)
	if cfg.MinVersion == 0 {
		cfg.MinVersion = VersionDTLS12
	}
	if cfg.MaxVersion == 0 {
		cfg.MaxVersion = VersionDTLS13
	}
	// A version without suites cannot be negotiated.
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

// defaultGroups are in order of preference: first the one that a quantum computer cannot
// break. P-256 is faster than X25519 with Go's implementations, and all browsers offer it.
// But browsers send no share for it, and to ask for one costs a round trip.
func defaultGroups() []Group { return []Group{GroupX25519MLKEM768, GroupX25519, GroupP256, GroupP384} }

// knownVersion reports whether v is a valid MinVersion or MaxVersion.
func knownVersion(v Version) bool {
	return v == 0 || v == VersionDTLS12 || v == VersionDTLS13
}

// speaks reports whether v can be negotiated.
func (cfg *Config) speaks(v Version) bool {
	return !v.newer(cfg.MaxVersion) && !cfg.MinVersion.newer(v)
}

// suites lists the enabled suites of a version, the preferred first.
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

// enabled reports whether the suite id is enabled; 0: whether any suite of version is.
func (cfg *Config) enabled(version Version, id CipherSuite) bool {
	for s := range cfg.suites(version) {
		if s.id == id || id == 0 {
			return true
		}
	}
	return false
}

// groups12 lists the enabled groups of DTLS 1.2, the preferred first.
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
