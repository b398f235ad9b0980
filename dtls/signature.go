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

// defaultSchemes is what we verify, in order of preference. SHA-1 is not
// among them, whatever RFC 5246 §7.4.1.4.1 says of its absence.
func defaultSchemes() []SignatureScheme {
	return []SignatureScheme{
		ECDSAP256SHA256, Ed25519, ECDSAP384SHA384,
		RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512,
		RSAPKCS1SHA256, RSAPKCS1SHA384, RSAPKCS1SHA512,
	}
}

// hash is the hash that s signs; 0 for Ed25519, which takes the message itself.
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

// digest hashes message as s needs it.
func (s SignatureScheme) digest(message []byte) []byte {
	h := s.hash()
	if h == 0 {
		return message
	}
	return sum(h, message)
}

// options are those of crypto.Signer and of rsa.VerifyPSS.
func (s SignatureScheme) options() crypto.SignerOpts {
	switch s {
	case RSAPSSSHA256, RSAPSSSHA384, RSAPSSSHA512:
		// RFC 8446 §4.2.3: the salt is as long as the digest.
		return &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: s.hash()}
	}
	return s.hash()
}

// schemesFor lists, best first, the schemes that a key can sign with.
// DTLS 1.2 binds neither curve nor hash to the other (RFC 8422 §5.1.1
// restricts only the curves), 1.3 does (RFC 8446 §4.2.3).
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

// signingSchemes lists, best first, what a certificate of ours may sign with.
func signingSchemes(cert *tls.Certificate, version Version) []SignatureScheme {
	list := schemesFor(cert.PrivateKey.(crypto.Signer).Public(), version)
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

// signingRand is where key takes what is random in a signature from. Those of
// ECDSA are deterministic, as RFC 8446 §C.3 recommends: whoever can guess the
// randomness of one would have the key. They are cheaper, too.
func (cfg *Config) signingRand(key crypto.Signer) io.Reader {
	if _, ok := key.(*ecdsa.PrivateKey); ok {
		return nil
	}
	return cfg.Rand
}

// sign signs message with the best scheme that the far end accepts.
func (cfg *Config) sign(version Version, accepted []SignatureScheme, message []byte) (SignatureScheme, []byte, error) {
	key := cfg.signer()
	for _, s := range signingSchemes(cfg.Certificate, version) {
		if !slices.Contains(accepted, s) {
			continue
		}
		signature, err := key.Sign(cfg.signingRand(key), s.digest(message), s.options())
		if err != nil {
			return 0, nil, fatal(AlertInternalError, "signing: %w", err)
		}
		return s, signature, nil
	}
	return 0, nil, fatal(AlertHandshakeFailure, "far end accepts no signature that our key can make")
}

// verify checks a signature of the far end's.
func verify(public crypto.PublicKey, version Version, allowed []SignatureScheme, s SignatureScheme, message, signature []byte) error {
	if !slices.Contains(allowed, s) || !slices.Contains(schemesFor(public, version), s) {
		return fatal(AlertIllegalParameter, "signature scheme %v was not offered or is none of the key's", s)
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
