package dtls

import "golang.org/x/crypto/cryptobyte"

// retryRandom tells a HelloRetryRequest from a ServerHello (RFC 8446 §4.1.3):
// the SHA-256 of "HelloRetryRequest".
var retryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// downgradeTo12 ends the random of a server that speaks DTLS 1.3 and was
// made to negotiate 1.2 (RFC 8446 §4.1.3).
const downgradeTo12 = "DOWNGRD\x01"

// downgradeTo11 is the same of one that was made to negotiate less than 1.2. No
// honest one has it beside 1.2.
const downgradeTo11 = "DOWNGRD\x00"

// marshalEncryptedExtensions writes RFC 8446 §4.3.1's message.
func marshalEncryptedExtensions(e *helloExtensions) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { e.marshal(b, false) })
	return b.Bytes()
}

func parseEncryptedExtensions(body []byte) (e helloExtensions, err error) {
	if len(body) == 0 {
		return e, errDecode // unlike those of a hello, they cannot be missing
	}
	err = e.parse(body, false)
	return e, err
}

// marshalCertificateRequest13 writes RFC 8446 §4.3.2's message.
func marshalCertificateRequest13(schemes []SignatureScheme) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8(0) // no context in a handshake
	e := helloExtensions{schemes: schemes}
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { e.marshal(b, true) })
	return b.Bytes()
}

// parseCertificateRequest13 returns what the server accepts.
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

// marshalCertificates13 writes RFC 8446 §4.4.2's message, with no context and
// no extensions.
func marshalCertificates13(chain [][]byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, chainLen(chain)))
	b.AddUint8(0)
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range chain {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
			b.AddUint16(0)
		}
	})
	return b.Bytes()
}

// parseCertificates13 reads the body of a Certificate message. The chain is a
// view of body, and empty if the far end has none. We ask for no extensions
// of certificates, so there must be none.
func parseCertificates13(body []byte) (chain [][]byte, err error) {
	s := cryptobyte.String(body)
	var context, list cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&context) || !s.ReadUint24LengthPrefixed(&list) || len(s) != 0 {
		return nil, errDecode
	}
	if len(context) != 0 {
		return nil, fatal(AlertIllegalParameter, "Certificate has a context")
	}
	for len(list) > 0 {
		var der, extensions cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || len(der) == 0 ||
			!list.ReadUint16LengthPrefixed(&extensions) || len(chain) == maxCertificates {
			return nil, errDecode
		}
		if len(extensions) != 0 {
			return nil, fatal(AlertUnsupportedExtension, "certificate has extensions that nobody asked for")
		}
		chain = append(chain, der)
	}
	return chain, nil
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
