package dtls

import "golang.org/x/crypto/cryptobyte"

// retryRandom is the SHA-256 of "HelloRetryRequest". A ServerHello with this value as
// its random is a HelloRetryRequest (RFC 8446 §4.1.3).
var retryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// The last bytes of the random of a server that speaks a newer version than the
// negotiated one (RFC 8446 §4.1.3).
const (
	downgradeTo12 = "DOWNGRD\x01" // the server speaks 1.3 and negotiates 1.2
	downgradeTo11 = "DOWNGRD\x00" // the server negotiates a version below 1.2; if the negotiated version is 1.2, an attack has happened
)

// marshalEncryptedExtensions returns the body of an EncryptedExtensions message
// (RFC 8446 §4.3.1).
func marshalEncryptedExtensions(e *helloExtensions) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { e.marshal(b, false) })
	return b.Bytes()
}

func parseEncryptedExtensions(body []byte) (e helloExtensions, err error) {
	if len(body) == 0 {
		return e, errDecode // unlike in a hello, the length of the extensions cannot be absent
	}
	err = e.parse(body, false)
	return e, err
}

// marshalCertificateRequest13 returns the body of a CertificateRequest (RFC 8446
// §4.3.2).
func marshalCertificateRequest13(schemes []SignatureScheme) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(0) // during the handshake the context is empty
	e := helloExtensions{schemes: schemes}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { e.marshal(b, true) })
	return b.Bytes()
}

// parseCertificateRequest13 returns which certificates the server accepts.
func parseCertificateRequest13(body []byte) (*acceptedCertificates, error) {
	s := cryptobyte.String(body)
	var context cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&context) || len(s) == 0 {
		return nil, errDecode
	}
	if len(context) != 0 {
		return nil, fatal(AlertIllegalParameter, "CertificateRequest has a context")
	}
	var e helloExtensions
	if err := e.parse(s, true); err != nil {
		return nil, err
	}
	if e.schemes == nil {
		return nil, fatal(AlertMissingExtension, "CertificateRequest without signature_algorithms")
	}
	return &acceptedCertificates{version: VersionDTLS13, schemes: e.schemes, authorities: e.authorities}, nil
}

// A keyUpdateRequest is the content of a KeyUpdate (RFC 8446 §4.6.3).
type keyUpdateRequest uint8

const (
	updateNotRequested keyUpdateRequest = 0
	updateRequested    keyUpdateRequest = 1
)

func parseKeyUpdate(body []byte) (keyUpdateRequest, error) {
	if len(body) != 1 {
		return 0, errDecode
	}
	if r := keyUpdateRequest(body[0]); r <= updateRequested {
		return r, nil
	}
	return 0, fatal(AlertIllegalParameter, "KeyUpdate with request %d", body[0])
}
