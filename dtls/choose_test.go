package dtls

import (
	"crypto/tls"
	"testing"

	"golang.org/x/crypto/cryptobyte"
)

func TestChooseCertificate(t *testing.T) {
	ec, rsa, p384 := testCertificate(t, "P-256"), testCertificate(t, "RSA"), testCertificate(t, "P-384")
	issuer := func(cert *tls.Certificate) []byte {
		name, err := certificateIssuer(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return name
	}
	all := defaultSchemes()
	both := []*tls.Certificate{ec, rsa}
	for _, test := range []struct {
		name  string
		have  []*tls.Certificate
		bound []*tls.Certificate // certificates that must match an issuer
		wants acceptedCertificates
		want  *tls.Certificate
	}{
		{"the first will do", both, nil, acceptedCertificates{version: VersionDTLS13, schemes: all}, ec},
		{"the local preference", []*tls.Certificate{rsa, ec}, nil, acceptedCertificates{version: VersionDTLS13, schemes: all}, rsa},
		{"schemes", both, nil, acceptedCertificates{version: VersionDTLS13, schemes: []SignatureScheme{RSAPSSSHA256}}, rsa},
		{"curve of the key in 1.3", []*tls.Certificate{p384, ec}, nil, acceptedCertificates{version: VersionDTLS13, schemes: []SignatureScheme{ECDSAP256SHA256}}, ec},
		{"suites of 1.2", both, nil, acceptedCertificates{version: VersionDTLS12, schemes: all, auth: []authKind{authRSA}}, rsa},
		{"curves of 1.2", []*tls.Certificate{p384, ec}, nil, acceptedCertificates{version: VersionDTLS12, schemes: all, groups: []Group{GroupP256}}, ec},
		{"nothing suits", []*tls.Certificate{ec}, nil, acceptedCertificates{version: VersionDTLS13, schemes: []SignatureScheme{Ed25519}}, nil},
		{"issuers do not matter", both, nil, acceptedCertificates{version: VersionDTLS13, schemes: all, authorities: [][]byte{issuer(rsa)}}, ec},
		{"another issuer", both, both, acceptedCertificates{version: VersionDTLS13, schemes: all, authorities: [][]byte{issuer(p384), issuer(rsa)}}, rsa},
		{"no issuer named", both, both[:1], acceptedCertificates{version: VersionDTLS13, schemes: all}, rsa},
		{"no local issuer", both, both, acceptedCertificates{version: VersionDTLS13, schemes: all, authorities: [][]byte{issuer(p384)}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, client := range []bool{true, false} {
				h := &handshake{cfg: &Config{Client: client, Certificates: test.have, MustMatchIssuer: test.bound}}
				err := h.chooseCertificate(&test.wants)
				if h.certificate != test.want || (err != nil) != (test.want == nil && !client) {
					t.Errorf("client %t: wrong certificate, or error %v", client, err)
				}
			}
		})
	}
}

// TestAuthorities checks that the names of issuers are parsed.
func TestAuthorities(t *testing.T) {
	names := []string{"one", "two"}
	addNames := func(b *cryptobyte.Builder) {
		for _, n := range names {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte(n)) })
		}
	}
	check := func(w *acceptedCertificates, err error) {
		t.Helper()
		if err != nil || len(w.authorities) != 2 || string(w.authorities[0]) != "one" || string(w.authorities[1]) != "two" {
			t.Errorf("%+v, %v", w, err)
		}
	}
	b := cryptobyte.NewBuilder([]byte{1, certTypeRSASign, 0, 2, 4, 1})
	b.AddUint16LengthPrefixed(addNames)
	check(parseCertificateRequest12(b.BytesOrPanic()))

	b = cryptobyte.NewBuilder([]byte{0})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		b.AddBytes([]byte{0, 13, 0, 4, 0, 2, 4, 3, 0, byte(extAuthorities)})
		b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint16LengthPrefixed(addNames) })
	})
	check(parseCertificateRequest13(b.BytesOrPanic()))
}
