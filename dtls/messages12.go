package dtls

import (
	"golang.org/x/crypto/cryptobyte"
)

// parseHelloVerifyRequest reads RFC 6347 §4.2.1's message and returns its
// cookie.
func parseHelloVerifyRequest(body []byte) (cookie []byte, err error) {
	s := cryptobyte.String(body)
	var version uint16
	var c cryptobyte.String
	if !s.ReadUint16(&version) || !s.ReadUint8LengthPrefixed(&c) || len(s) != 0 {
		return nil, errDecode
	}
	return c, nil
}

// marshalCertificates12 writes the body of a Certificate message
// (RFC 5246 §7.4.2).
func marshalCertificates12(chain [][]byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, chainLen(chain)))
	b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, der := range chain {
			b.AddUint24LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(der) })
		}
	})
	return b.Bytes()
}

// chainLen is the most that a message with chain needs, in either version.
func chainLen(chain [][]byte) int {
	n := 4
	for _, der := range chain {
		n += len(der) + 5
	}
	return n
}

// maxCertificates bounds a far end's chain.
const maxCertificates = 16

// parseCertificates12 reads the body of a Certificate message. The chain is
// a view of body, and empty if the far end has none.
func parseCertificates12(body []byte) (chain [][]byte, err error) {
	s := cryptobyte.String(body)
	var list cryptobyte.String
	if !s.ReadUint24LengthPrefixed(&list) || len(s) != 0 {
		return nil, errDecode
	}
	for len(list) > 0 {
		var der cryptobyte.String
		if !list.ReadUint24LengthPrefixed(&der) || len(der) == 0 || len(chain) == maxCertificates {
			return nil, errDecode
		}
		chain = append(chain, der)
	}
	return chain, nil
}

// A serverKeyExchange is RFC 8422 §5.4's message: an ephemeral key, signed.
type serverKeyExchange struct {
	group     Group
	public    []byte
	scheme    SignatureScheme
	signature []byte
}

const curveTypeNamed = 3 // RFC 8422 §5.4

// marshalParams writes what the signature covers besides the randoms.
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

// signed is what the signature covers: both randoms and the parameters.
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

// addSignature writes a digitally-signed struct (RFC 5246 §4.7).
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

// Certificate types of a CertificateRequest (RFC 8422 §5.5, RFC 5246 §7.4.4).
const (
	certTypeRSASign   = 1
	certTypeECDSASign = 64
)

// marshalCertificateRequest12 writes a CertificateRequest that names schemes
// and no authorities (RFC 5246 §7.4.4).
func marshalCertificateRequest12(schemes []SignatureScheme) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{certTypeECDSASign, certTypeRSASign})
	})
	addUint16s(&b, schemes)
	b.AddUint16(0)
	return b.Bytes()
}

// parseCertificateRequest12 returns what the server accepts.
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

// marshalClientKeyExchange writes RFC 8422 §5.7's message.
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

// marshalCertificateVerify writes RFC 5246 §7.4.8's message.
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
