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

// Config configures a Conn. A WebRTC program sets Certificate and Fingerprints, and
// Client in the client, and leaves all other fields zero.
type Config struct {
	// Client says that the Conn is the client. Default: it is the server.
	Client bool

	// Certificate is the local certificate. A server needs one. A client may have
	// none. Its key is ECDSA P-256 or P-384, Ed25519 or RSA. Its field
	// SupportedSignatureAlgorithms, if set, lists the signature schemes that the key
	// may be used with, in order of preference.
	Certificate *tls.Certificate

	// Certificates, if not empty, replaces Certificate. The first one that the peer
	// accepts is used.
	Certificates []*tls.Certificate

	// MustMatchIssuer lists those of Certificates that are only for peers which name
	// an issuer of the certificate's chain as trusted (RFC 8446 §4.2.4). For all
	// other certificates, it does not matter which issuers the peer names.
	MustMatchIssuer []*tls.Certificate

	// Fingerprints are the fingerprints in the peer's description. If there are any,
	// only those with the strongest hash among them are used, and the peer's
	// certificate must match one of these. This is checked before any data is sent or
	// returned (RFC 8122 §5).
	Fingerprints []Fingerprint

	// VerifyPeer, if set, checks the peer's certificate chain after the fingerprints.
	// The certificates are in DER form, the first is the peer's. If VerifyPeer returns
	// an *AlertError, the handshake ends with its alert. Any other error ends the
	// handshake with the alert bad_certificate.
	VerifyPeer func(chain [][]byte) error

	// ClientAuth says whether a server asks the client for a certificate. Default:
	// ClientAuthRequire.
	ClientAuth ClientAuth

	// MinVersion and MaxVersion are the lowest and the highest version that may be
	// negotiated. Default: 1.2 and 1.3.
	MinVersion, MaxVersion Version

	// CipherSuites, Groups and SignatureSchemes are in order of preference; nil: the
	// defaults of this package. A client of DTLS 1.3 sends a key share for the first
	// group and, if this group is X25519MLKEM768, a second key share for X25519.
	CipherSuites     []CipherSuite
	Groups           []Group
	SignatureSchemes []SignatureScheme // the schemes that the peer may sign with

	// DeferShares says that a client of DTLS 1.3 sends key shares only after the
	// server has asked for them, which costs a round trip. Without key shares, its
	// first ClientHello fits into one datagram. A server that validates addresses
	// needs that. Such a server asks for the shares in the message that validates the
	// address, so there is no additional round trip.
	DeferShares bool

	// NeedCertificate says that a client fails if the server asks for a certificate
	// and accepts none of Certificates. By default the client continues without a
	// certificate, as RFC 8446 §4.4.2 says, and the server decides whether it accepts
	// that.
	NeedCertificate bool

	// Strict ends the handshake if a message in plaintext is one that the peer must
	// not send. By default such a message is dropped and counted, since an attacker
	// can have sent it (RFC 9147 §4.5.2), and an ACK in plaintext is trusted only
	// until the retransmission timer runs out. In both modes, an expected message with
	// wrong content ends the handshake. Strict is for finding mistakes of a peer on a
	// network without attackers.
	Strict bool

	// ServerName is the server_name that a client sends (RFC 6066 §3). In a server,
	// it is the name that the server confirms. ALPN are the protocols of the extension
	// ALPN (RFC 7301), and SRTPProfiles the profiles of use_srtp (RFC 5764 §4.1.2),
	// both in order of preference. Default: none.
	ServerName   string
	ALPN         []string
	SRTPProfiles []uint16

	// ExternalSessionID binds the connection to a session of the program (RFC 8844
	// §4.3). It has 20 to 255 bytes. With SDP it is the value of a=tls-id in the
	// local description. A client sends it. A server sends it if the client has sent
	// one. PeerExternalSessionID is the value that is expected from the peer: another
	// value ends the handshake with ErrExternalSessionID. A peer that sends none is
	// accepted. Default: none is sent, and the peer's value is ignored.
	ExternalSessionID     string
	PeerExternalSessionID string

	// Tickets says that a client asks for sessions, which EventSession delivers.
	// Session is the session that a client asks to resume. TicketKeys, if set, lets a
	// server give tickets and resume their sessions. The first key encrypts new
	// tickets, and every key can decrypt the tickets that it has encrypted. Default:
	// no resumption, which WebRTC does not use.
	Tickets    bool
	Session    *Session
	TicketKeys []TicketKey

	// RecordSizeLimit is the size in bytes of the longest record, before encryption,
	// that the peer may send (RFC 8449 §4). It is at least 64 and at most 2^14 + 1,
	// where DTLS 1.3 uses one byte for the content type. Default: a client sends no
	// limit, and a server answers a client's limit with the maximum. A limit that the
	// peer sends is always obeyed.
	RecordSizeLimit uint16

	// ConnectionIDs, if set, enables connection IDs (RFC 9146, RFC 9147 §9). Each
	// Conn calls it once for the connection ID that the peer's records shall contain,
	// which has at most 255 bytes. If the function returns an empty one, the peer's
	// records contain none, but the local records contain the connection ID that the
	// peer asks for. If connections are found by their IDs, the IDs must be random and
	// must all have the same length.
	ConnectionIDs func() []byte

	// DiscardCertificates drops the peer's certificate chain after the handshake, to
	// save memory. ConnectionState.PeerCertificates is nil then.
	DiscardCertificates bool

	// Rand is the source of randomness. Default: crypto/rand.
	Rand io.Reader

	// KeyLogWriter receives the secrets in the NSS key log format, each line in one
	// call of Write. If several Conns that run at the same time share it, it must
	// allow concurrent calls. Default: none.
	KeyLogWriter io.Writer

	// Trace, if set, is called with each step of the handshake, and with alerts, for a
	// log. It must not call methods of the Conn. Default: none.
	Trace func(now time.Time, e TraceEvent)

	// InitialTimeout is the first retransmission timeout until SetRTT is called.
	// Default: 400 ms.
	InitialTimeout time.Duration
	// MaxTimeout is the maximum to which the retransmission timeout doubles. Default:
	// 2 s.
	MaxTimeout time.Duration
	// PatientRetransmission says that after a flight was acknowledged in part, the
	// rest is sent again only when the retransmission timer runs out. By default the
	// rest is sent again immediately, as RFC 9147 §7.2 recommends. That can be too
	// early on a path that reorders datagrams.
	PatientRetransmission bool
	// HandshakeTimeout is the time after the first message at which a handshake that
	// has not finished fails. Default: 60 s; negative: no limit.
	HandshakeTimeout time.Duration
}

// ClientAuth says whether a server asks the client for a certificate.
type ClientAuth uint8

const (
	// ClientAuthRequire asks for a certificate. The handshake fails if the client has
	// none. It is the default. A server with Fingerprints needs it.
	ClientAuthRequire ClientAuth = iota
	// ClientAuthRequest asks for a certificate, and accepts a client that has none.
	ClientAuthRequest
	// ClientAuthNone does not ask for a certificate.
	ClientAuthNone
)

var (
	// ErrNoVerification is returned by NewConn if a Conn with this Config would accept
	// any peer.
	ErrNoVerification = errors.New("dtls: neither a fingerprint with a strong hash nor VerifyPeer given")
	// ErrConfig is wrapped by all other errors of NewConn.
	ErrConfig = errors.New("dtls: bad configuration")
)

// check returns an error if cfg is not valid.
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

// setDefaults replaces the fields that have their zero value by the defaults.
func (cfg *Config) setDefaults() {
	cfg.Rand = randOrDefault(cfg.Rand)
	if cfg.MinVersion == 0 {
		cfg.MinVersion = VersionDTLS12
	}
	if cfg.MaxVersion == 0 {
		cfg.MaxVersion = VersionDTLS13
	}
	// A version for which no suite is enabled cannot be negotiated.
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

// defaultGroups are in order of preference. The first is the group that a quantum
// computer cannot break. P-256 is faster than X25519 with Go's implementations, and
// all browsers offer it. But browsers send no key share for P-256, and asking for one
// would cost a round trip.
func defaultGroups() []Group { return []Group{GroupX25519MLKEM768, GroupX25519, GroupP256, GroupP384} }

// knownVersion reports whether v is a valid MinVersion or MaxVersion.
func knownVersion(v Version) bool {
	return v == 0 || v == VersionDTLS12 || v == VersionDTLS13
}

// speaks reports whether version v can be negotiated.
func (cfg *Config) speaks(v Version) bool {
	return !v.newer(cfg.MaxVersion) && !cfg.MinVersion.newer(v)
}

// suites returns the enabled suites of a version, in order of preference.
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

// enabled reports whether the suite id of a version is enabled. If id is 0, it reports
// whether any suite of the version is enabled.
func (cfg *Config) enabled(version Version, id CipherSuite) bool {
	for s := range cfg.suites(version) {
		if s.id == id || id == 0 {
			return true
		}
	}
	return false
}

// groups12 returns the enabled groups that DTLS 1.2 can use, in order of preference.
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
