package dtls

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"testing"
)

// TestKDFDigests checks that a kdf creates no new digests, and that its results do not
// depend on earlier calls.
func TestKDFDigests(t *testing.T) {
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		used := newKDF(h)
		secret := bytes.Repeat([]byte{7}, h.Size())
		for n := range 100 {
			label := "label"[:n%6]
			got, want := used.expandLabel(secret, label, secret, n), newKDF(h).expandLabel(secret, label, secret, n)
			if !bytes.Equal(got, want) {
				t.Fatalf("%v: %d bytes for %q differ", h, n, label)
			}
			if got, want := used.finishedMAC(secret, got), newKDF(h).finishedMAC(secret, want); !bytes.Equal(got, want) {
				t.Fatalf("%v: Finished number %d differs", h, n)
			}
		}
		if n := len(used.digests); n > 3 {
			t.Errorf("%v: %d digests", h, n)
		}
		// Within one call, constructor returns two different digests.
		mac := hmac.New(used.constructor(), secret)
		mac.Write(secret)
		want := hmac.New(h.New, secret)
		want.Write(secret)
		if !bytes.Equal(mac.Sum(nil), want.Sum(nil)) {
			t.Errorf("%v: HMAC differs", h)
		}
	}
}

// TestSaltWithoutPSK derives the Handshake Secret of each suite with the stored salt
// and step by step (RFC 8446 §7.1).
func TestSaltWithoutPSK(t *testing.T) {
	for _, su := range suites {
		shared := []byte("shared secret")
		long := earlySchedule13(newKDF(su.hash), make([]byte, su.hash.Size()))
		long.next(shared)
		if short := newSchedule13(newKDF(su.hash), nil, shared); !bytes.Equal(short.secret, long.secret) {
			t.Errorf("%v: %x, not %x", su.id, short.secret, long.secret)
		}
	}
}
