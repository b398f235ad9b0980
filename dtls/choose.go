package dtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"slices"
)

// A wanted is what a far end says of the certificates it can use.
type wanted struct {
	version Version
	schemes []SignatureScheme

	authorities [][]byte   // the DER names of the issuers it trusts, if it says
	groups      []Group    // of a DTLS 1.2 client: the curves it knows; nil: all
	auth        []authKind // of DTLS 1.2: the kinds its suites or types allow; nil: all
}

// chooseCertificate makes the first of Certificates that the far end can use
// our Certificate. With none, a server cannot go on, and a client goes on
// without.
func (c *Conn) chooseCertificate(w *wanted) error {
	if len(c.cfg.Certificates) == 0 {
		return nil
	}
	c.cfg.Certificate = nil
	unfit := ""
	for _, cert := range c.cfg.Certificates {
		unfit = w.unfit(cert)
		if unfit == "" && slices.Contains(c.cfg.MustMatchIssuer, cert) && !w.trusts(cert) {
			unfit = "far end does not name the issuer of our certificate"
		}
		if unfit == "" {
			c.cfg.Certificate = cert
			return nil
		}
	}
	if c.client && !c.cfg.NeedCertificate {
		return nil
	}
	return fatal(AlertHandshakeFailure, "%s", unfit)
}

// trusts tells whether the far end names an issuer in cert's chain.
func (w *wanted) trusts(cert *tls.Certificate) bool {
	for _, der := range cert.Certificate {
		issuer, err := certificateIssuer(der)
		named := func(name []byte) bool { return bytes.Equal(name, issuer) }
		if err == nil && slices.ContainsFunc(w.authorities, named) {
			return true
		}
	}
	return false
}

// unfit tells why the far end cannot verify what cert signs; empty: it can.
func (w *wanted) unfit(cert *tls.Certificate) string {
	key := cert.PrivateKey.(crypto.Signer).Public()
	usable := slices.ContainsFunc(signingSchemes(cert, w.version), func(s SignatureScheme) bool { return slices.Contains(w.schemes, s) })
	if w.auth != nil && !slices.Contains(w.auth, keyAuth(key)) {
		return "far end accepts no certificate of the type of ours"
	}
	if k, ok := key.(*ecdsa.PublicKey); ok && w.groups != nil {
		// RFC 8422 §5.1: the curve of the key is to be one of them.
		usable = usable && slices.Contains(w.groups, curveGroup(k.Curve))
	}
	if !usable {
		return "far end accepts no signature that our key can make"
	}
	return ""
}

// curveGroup is the group of an ECDSA key's curve.
func curveGroup(curve elliptic.Curve) Group {
	if curve == elliptic.P384() {
		return GroupP384
	}
	return GroupP256
}

// offeredAuth lists what a ClientHello's suites can authenticate with.
func (c *Conn) offeredAuth(offered []CipherSuite) (kinds []authKind) {
	kinds = []authKind{}
	for s := range c.cfg.suites(VersionDTLS12) {
		if slices.Contains(offered, s.id) {
			kinds = append(kinds, s.auth)
		}
	}
	return kinds
}
