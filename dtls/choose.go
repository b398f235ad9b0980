package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"slices"
)

// acceptedCertificates says which certificates the peer accepts.
type acceptedCertificates struct {
	version Version
	schemes []SignatureScheme

	authorities [][]byte   // DER names of the issuers that the peer trusts; nil: the peer did not name any
	groups      []Group    // the curves that a DTLS 1.2 client accepts; nil: all
	auth        []authKind // the kinds of keys that the peer's DTLS 1.2 cipher suites, or certificate types, allow; nil: all
}

// Reasons why the peer accepts no local certificate.
const (
	errNoSignature = "peer accepts no signature that the local key can make"
	errKeyType     = "peer accepts no certificate of the local type"
	errIssuer      = "peer does not name the issuer of the local certificate"
)

// chooseCertificate chooses the first of Config.Certificates that the peer accepts. If
// the peer accepts none, a server fails. A client then continues without a
// certificate, unless Config.NeedCertificate is set.
func (h *handshake) chooseCertificate(a *acceptedCertificates) error {
	if len(h.cfg.Certificates) == 0 {
		return nil
	}
	h.certificate = nil
	reason := ""
	for _, cert := range h.cfg.Certificates {
		reason = a.reject(cert)
		if reason == "" && slices.Contains(h.cfg.MustMatchIssuer, cert) && !a.trusts(cert) {
			reason = errIssuer
		}
		if reason == "" {
			h.certificate = cert
			return nil
		}
	}
	if h.cfg.Client && !h.cfg.NeedCertificate {
		return nil
	}
	return fatal(AlertHandshakeFailure, "%s", reason)
}

// trusts reports whether the peer names an issuer in the chain of cert.
func (a *acceptedCertificates) trusts(cert *tls.Certificate) bool {
	for _, der := range cert.Certificate {
		issuer, err := certificateIssuer(der)
		named := func(name []byte) bool { return bytes.Equal(name, issuer) }
		if err == nil && slices.ContainsFunc(a.authorities, named) {
			return true
		}
	}
	return false
}

// reject returns the reason why the peer cannot verify signatures made with cert;
// empty: the peer can verify them.
func (a *acceptedCertificates) reject(cert *tls.Certificate) (reason string) {
	key := publicKey(cert)
	usable := slices.ContainsFunc(signingSchemes(cert, a.version), func(s SignatureScheme) bool { return slices.Contains(a.schemes, s) })
	if a.auth != nil && !slices.Contains(a.auth, keyAuth(key)) {
		return errKeyType
	}
	if k, ok := key.(*ecdsa.PublicKey); ok && a.groups != nil {
		// RFC 8422 §5.1: the curve of the key must be one of the groups.
		usable = usable && slices.Contains(a.groups, curveGroup(k.Curve))
	}
	if !usable {
		return errNoSignature
	}
	return ""
}

// curveGroup returns the Group of the curve of an ECDSA key.
func curveGroup(curve elliptic.Curve) Group {
	if curve == elliptic.P384() {
		return GroupP384
	}
	return GroupP256
}

// offeredAuth lists the kinds of keys that can be used with the suites in a DTLS 1.2
// ClientHello; empty: no offered suite is enabled here.
func (cfg *Config) offeredAuth(offered []CipherSuite) (kinds []authKind) {
	for s := range cfg.suites(VersionDTLS12) {
		if slices.Contains(offered, s.id) {
			kinds = append(kinds, s.auth)
		}
	}
	return kinds
}

// chooseSuite12 chooses the most preferred suite that the client offers and that a key
// of the given kind can be used with.
func (cfg *Config) chooseSuite12(offered []CipherSuite, auth authKind) (suite, bool) {
	for s := range cfg.suites(VersionDTLS12) {
		if s.auth == auth && slices.Contains(offered, s.id) {
			return s, true
		}
	}
	return suite{}, false
}

// chooseGroup12 chooses the most preferred group that the client offers.
func (cfg *Config) chooseGroup12(offered []Group) (Group, bool) {
	if offered == nil {
		// RFC 8422 §4: a client that names no group supports all of them. P-256 is
		// the one that all implementations have.
		offered = []Group{GroupP256}
	}
	for _, g := range cfg.groups12() {
		if slices.Contains(offered, g) {
			return g, true
		}
	}
	return 0, false
}

// chooseSuite13 chooses the most preferred suite that the client offers.
func (cfg *Config) chooseSuite13(offered []CipherSuite) (suite, bool) {
	for s := range cfg.suites(VersionDTLS13) {
		if slices.Contains(offered, s.id) {
			return s, true
		}
	}
	return suite{}, false
}

// chooseGroup13 chooses the most preferred group for which the client sent a key
// share. If there is none, it chooses the most preferred group that the client offers,
// and share is nil.
func (cfg *Config) chooseGroup13(e *helloExtensions) (g Group, share []byte, ok bool) {
	for _, g := range cfg.Groups {
		for _, k := range e.keyShares {
			if k.group == g {
				return g, k.data, true
			}
		}
	}
	for _, g := range cfg.Groups {
		if slices.Contains(e.groups, g) {
			return g, nil, true
		}
	}
	return 0, nil, false
}
