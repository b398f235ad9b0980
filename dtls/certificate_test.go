package dtls

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
)

// TestLargeRSAKeys checks that RSA keys whose signatures take long to verify are refused,
// with the reason.
func TestLargeRSAKeys(t *testing.T) {
	ca := testCertificate(t, "P-256")
	parent, err := x509.ParseCertificate(ca.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		bits, exponent int
		want           string // text of the error; "": no error
	}{
		{4096, 65537, ""}, {8192, 65537, ""}, {8192, 3, ""},
		{8200, 65537, "RSA key of 8200 bits"}, {16384, 65537, "RSA key of 16384 bits"}, {2048, 1<<31 - 1, "exponent 2147483647"},
	} {
		n := new(big.Int).Lsh(big.NewInt(1), uint(test.bits-1))
		key := &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: test.exponent}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: epoch, NotAfter: epoch.AddDate(1, 0, 0)}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key, ca.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		_, err = certificateKey(der)
		if ok := err == nil; ok != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d bits, exponent %d: %v", test.bits, test.exponent, err)
		}
	}
}

// TestUnusableCertificate checks that NewConn says why a local key is unusable.
func TestUnusableCertificate(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key.E = 1<<31 - 1
	_, err = NewConn(Config{Certificate: &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: key}, ClientAuth: ClientAuthNone})
	if err == nil || !strings.Contains(err.Error(), "exponent") {
		t.Errorf("%v", err)
	}
}
