package dtls

import "golang.org/x/crypto/cryptobyte"

// parseHelloVerifyRequest returns the cookie in a HelloVerifyRequest (RFC 6347
// §4.2.1).
func parseHelloVerifyRequest(body []byte) (cookie []byte, err error) {
	s := cryptobyte.String(body)
	var version uint16
	var c cryptobyte.String
	if !s.ReadUint16(&version) || !s.ReadUint8LengthPrefixed(&c) || len(s) != 0 {
		return nil, errDecode
	}
	return c, nil
}

// A serverKeyExchange is the ServerKeyExchange message of RFC 8422 §5.4: an ephemeral
// key with a signature.
type serverKeyExchange struct {
	group     Group
	public    []byte
	scheme    SignatureScheme
	signature []byte
}

const curveTypeNamed = 3 // RFC 8422 §5.4

// marshalParams writes the parameters, which are the part of the message that the
// signature covers.
func (m *serverKeyExchange) marshalParams(b *cryptobyte.Builder) {
	b.AddUint8(curveTypeNamed)
	b.AddUint16(uint16(m.group))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(m.public) })
}

func (m *serverKeyExchange) marshal() ([]byte, error) {
	var b cryptobyte.Builder
	m.marshalParams(&b)
	addSignature(&b, m.scheme, m.signature)
	return b.Bytes()
}

// signed returns what the signature covers: the randoms of client and server, and the
// parameters.
func (m *serverKeyExchange) signed(clientRandom, serverRandom *[32]byte) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddBytes(clientRandom[:])
	b.AddBytes(serverRandom[:])
	m.marshalParams(&b)
	return b.Bytes()
}

func parseServerKeyExchange(body []byte) (*serverKeyExchange, error) {
	m := &serverKeyExchange{}
	s := cryptobyte.String(body)
	var curveType uint8
	var group uint16
	var public cryptobyte.String
	if !s.ReadUint8(&curveType) || curveType != curveTypeNamed ||
		!s.ReadUint16(&group) || !s.ReadUint8LengthPrefixed(&public) || len(public) == 0 ||
		!readSignature(&s, &m.scheme, &m.signature) || len(s) != 0 {
		return nil, errDecode
	}
	m.group, m.public = Group(group), public
	return m, nil
}

// Certificate types in a CertificateRequest (RFC 8422 §5.5, RFC 5246 §7.4.4).
const (
	certTypeRSASign   = 1
	certTypeECDSASign = 64
)

// marshalCertificateRequest12 returns the body of a CertificateRequest (RFC 5246
// §7.4.4) that lists the given schemes and names no authorities.
func marshalCertificateRequest12(schemes []SignatureScheme) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{certTypeECDSASign, certTypeRSASign})
	})
	addUint16s(&b, schemes)
	b.AddUint16(0)
	return b.Bytes()
}

// parseCertificateRequest12 returns which certificates the server accepts.
func parseCertificateRequest12(body []byte) (*acceptedCertificates, error) {
	a := &acceptedCertificates{version: VersionDTLS12, auth: []authKind{}}
	s := cryptobyte.String(body)
	var types cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&types) || len(types) == 0 || !readUint16s(&s, &a.schemes) ||
		!readAuthorities(&s, &a.authorities) || len(s) != 0 {
		return nil, errDecode
	}
	for _, t := range types {
		switch t {
		case certTypeRSASign:
			a.auth = append(a.auth, authRSA)
		case certTypeECDSASign:
			a.auth = append(a.auth, authECDSA)
		}
	}
	return a, nil
}

// marshalClientKeyExchange returns the body of a ClientKeyExchange (RFC 8422 §5.7).
func marshalClientKeyExchange(public []byte) []byte {
	return append([]byte{byte(len(public))}, public...)
}

func parseClientKeyExchange(body []byte) (public []byte, err error) {
	s := cryptobyte.String(body)
	var p cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&p) || len(p) == 0 || len(s) != 0 {
		return nil, errDecode
	}
	return p, nil
}
