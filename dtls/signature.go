package dtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/tls"
	"io"
	"slices"
)

// defaultSchemes are the signature schemes that the peer may use, in order of
// preference. SHA-1 is not among them, although it is the default in RFC 5246
// §7.4.1.4.1.
func defaultSchemes() []SignatureScheme {
	return []SignatureScheme{
		ECDSAP256SHA256, Ed25519, ECDSAP384SHA384,
		RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512,
		RSAPKCS1SHA256, RSAPKCS1SHA384, RSAPKCS1SHA512,
	}
}

// hash returns the hash function of the scheme; 0: Ed25519, which signs the message
// itself.
func (s SignatureScheme) hash() crypto.Hash {
	switch s {
	case ECDSAP256SHA256, RSAPSSSHA256, RSAPKCS1SHA256:
		return crypto.SHA256
	case ECDSAP384SHA384, RSAPSSSHA384, RSAPKCS1SHA384:
		return crypto.SHA384
	case RSAPSSSHA512, RSAPKCS1SHA512:
		return crypto.SHA512
	}
	return 0
}

// digest returns the input of the signature for message: its hash or, for Ed25519, the
// message itself.
func (s SignatureScheme) digest(message []byte) []byte {
	h := s.hash()
	if h == 0 {
		return message
	}
	return sum(h, message)
}

// options returns the options of the scheme for crypto.Signer and rsa.VerifyPSS.
func (s SignatureScheme) options() crypto.SignerOpts {
	switch s {
	case RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512:
		// RFC 8446 §4.2.3: the salt is as long as the digest.
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash()}
	}
	return s.hash()
}

// schemesFor returns the schemes that a key can sign with, in order of preference. In
// DTLS 1.3 each ECDSA curve is used with one hash only (RFC 8446 §4.2.3). In DTLS 1.2
// each curve is used with any hash: RFC 8422 §5.1.1 restricts only the curves.
func schemesFor(public crypto.PublicKey, version Version) []SignatureScheme {
	v12 := version == VersionDTLS12
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		switch {
		case k.Curve == elliptic.P256() && v12:
			return []SignatureScheme{ECDSAP256SHA256, ECDSAP384SHA384}
		case k.Curve == elliptic.P384() && v12:
			return []SignatureScheme{ECDSAP384SHA384, ECDSAP256SHA256}
		case k.Curve == elliptic.P256():
			return []SignatureScheme{ECDSAP256SHA256}
		case k.Curve == elliptic.P384():
			return []SignatureScheme{ECDSAP384SHA384}
		}
	case ed25519.PublicKey:
		return []SignatureScheme{Ed25519}
	case *rsa.PublicKey:
		list := []SignatureScheme{RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512}
		if v12 {
			list = append(list, RSAPKCS1SHA256, RSAPKCS1SHA384, RSAPKCS1SHA512)
		}
		return list
	}
	return nil
}

// signingSchemes returns the schemes that a local certificate may be used with, in
// order of preference.
func signingSchemes(cert *tls.Certificate, version Version) []SignatureScheme {
	list := schemesFor(publicKey(cert), version)
	if cert.SupportedSignatureAlgorithms == nil {
		return list
	}
	var chosen []SignatureScheme
	for _, s := range cert.SupportedSignatureAlgorithms {
		if slices.Contains(list, SignatureScheme(s)) {
			chosen = append(chosen, SignatureScheme(s))
		}
	}
	return chosen
}

// signer returns the private key of a local certificate. Config.check has verified
// that it is a crypto.Signer.
func signer(cert *tls.Certificate) crypto.Signer { return cert.PrivateKey.(crypto.Signer) }

// publicKey returns the public key of a local certificate.
func publicKey(cert *tls.Certificate) crypto.PublicKey { return signer(cert).Public() }

// signingRand returns the source of randomness for signatures with key. ECDSA
// signatures use none, so they are deterministic, as RFC 8446 §C.3 recommends: if the
// randomness of a signature is predictable, the key can be computed from it.
// Deterministic signatures are also faster.
func signingRand(key crypto.Signer, rand io.Reader) io.Reader {
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		return nil
	}
	return rand
}

// verify checks a signature of the peer. allowed are the schemes that this end
// offered.
func verify(public crypto.PublicKey, version Version, allowed []SignatureScheme, s SignatureScheme, message, signature []byte) error {
	if !slices.Contains(allowed, s) || !slices.Contains(schemesFor(public, version), s) {
		return fatal(AlertIllegalParameter, "signature scheme %v was not offered, or does not fit the key", s)
	}
	digest := s.digest(message)
	ok := false
	switch k := public.(type) {
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest, signature)
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, digest, signature)
	case *rsa.PublicKey:
		if o, pss := s.options().(*rsa.PSSOptions); pss {
			ok = rsa.VerifyPSS(k, s.hash(), digest, signature, o) == nil
		} else {
			ok = rsa.VerifyPKCS1v15(k, s.hash(), digest, signature) == nil
		}
	}
	if !ok {
		return fatal(AlertDecryptError, "signature is wrong")
	}
	return nil
}
