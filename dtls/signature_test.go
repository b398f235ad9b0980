package dtls

import (
	"bytes"
	"crypto/rand"
	"testing"
)

// TestSignatureRandomness checks that ECDSA signatures are deterministic (RFC 8446 §C.3), and
// that those of RSASSA-PSS are not.
func TestSignatureRandomness(t *testing.T) {
	for _, tc := range []struct {
		kind    string
		version Version
		random  bool
	}{
		{"P-256", VersionDTLS12, false},
		{"P-256", VersionDTLS13, false},
		{"P-384", VersionDTLS12, false},
		{"P-384", VersionDTLS13, false},
		{"Ed25519", VersionDTLS13, false},
		{"RSA", VersionDTLS13, true},
	} {
		cert := testCertificate(t, tc.kind)
		h := &handshake{cfg: &Config{Rand: rand.Reader}, certificate: cert, agreed: &agreement{ConnectionState: ConnectionState{Version: tc.version}}}
		public := publicKey(cert)
		message := []byte("message")
		var signatures [2][]byte
		for i := range signatures {
			scheme, signature, err := h.sign(defaultSchemes(), message)
			if err != nil {
				t.Fatalf("%s, %v: %v", tc.kind, tc.version, err)
			}
			if err := verify(public, tc.version, defaultSchemes(), scheme, message, signature); err != nil {
				t.Errorf("%s, %v: %v", tc.kind, tc.version, err)
			}
			signatures[i] = signature
		}
		if same := bytes.Equal(signatures[0], signatures[1]); same == tc.random {
			t.Errorf("%s, %v: two signatures of one message are the same: %v", tc.kind, tc.version, same)
		}
	}
}
