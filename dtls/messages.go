package dtls

import "golang.org/x/crypto/cryptobyte"

// maxCertificates is the maximum number of certificates in the peer's chain.
const maxCertificates = 16

// marshalCertificates returns the body of a Certificate message (RFC 5246 §7.4.2). In
// DTLS 1.3 the message also contains a context, and extensions after each certificate
// (RFC 8446 §4.4.2). All of these are empty here.
func marshalCertificates(v Version, chain [][]byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, 512)) // bytes enough for a self-signed certificate
	if v == VersionDTLS13 {
		b.AddUint8(0)
	}
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range chain {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
			if v == VersionDTLS13 {
				b.AddUint16(0)
			}
		}
	})
	return b.Bytes()
}

// parseCertificates parses the body of a Certificate message. The certificates are
// slices of body. The chain is empty if the peer has no certificate.
func parseCertificates(v Version, body []byte) (chain [][]byte, err error) {
	s := cryptobyte.String(body)
	var context, list cryptobyte.String
	if v == VersionDTLS13 && !s.ReadUint8LengthPrefixed(&context) || !s.ReadUint24LengthPrefixed(&list) || len(s) != 0 {
		return nil, errDecode
	}
	if len(context) != 0 {
		return nil, fatal(AlertIllegalParameter, "Certificate has a context")
	}
	for len(list) > 0 {
		var der, extensions cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || len(der) == 0 ||
			v == VersionDTLS13 && !list.ReadUint16LengthPrefixed(&extensions) || len(chain) == maxCertificates {
			return nil, errDecode
		}
		if len(extensions) != 0 {
			return nil, fatal(AlertUnsupportedExtension, "certificate has extensions that were not asked for")
		}
		chain = append(chain, der)
	}
	return chain, nil
}

// addSignature writes a digitally-signed struct (RFC 5246 §4.7): the scheme and the
// signature.
func addSignature(b *cryptobyte.Builder, scheme SignatureScheme, signature []byte) {
	b.AddUint16(uint16(scheme))
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(signature) })
}

func readSignature(s *cryptobyte.String, scheme *SignatureScheme, signature *[]byte) bool {
	var id uint16
	var sig cryptobyte.String
	if !s.ReadUint16(&id) || !s.ReadUint16LengthPrefixed(&sig) {
		return false
	}
	*scheme, *signature = SignatureScheme(id), sig
	return true
}

// marshalCertificateVerify returns the body of a CertificateVerify message (RFC 5246
// §7.4.8).
func marshalCertificateVerify(scheme SignatureScheme, signature []byte) ([]byte, error) {
	var b cryptobyte.Builder
	addSignature(&b, scheme, signature)
	return b.Bytes()
}

func parseCertificateVerify(body []byte) (scheme SignatureScheme, signature []byte, err error) {
	s := cryptobyte.String(body)
	if !readSignature(&s, &scheme, &signature) || len(s) != 0 {
		return 0, nil, errDecode
	}
	return scheme, signature, nil
}
