package dtls

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

// A Fingerprint is the content of an a=fingerprint line (RFC 8122 §5).
type Fingerprint struct {
	Hash  string // "sha-256", "sha-384" or "sha-512", in upper or lower case
	Value []byte
}

// strongHashes are the hashes that a fingerprint may use, in order of preference. MD5
// and SHA-1 are not among them because they are broken.
func strongHashes() []crypto.Hash {
	return []crypto.Hash{crypto.SHA512, crypto.SHA384, crypto.SHA256}
}

// fingerprintHash returns the hash with the given name in the IANA registry "Hash
// Function Textual Names", in upper or lower case. ok is false if the hash is not a
// strong one.
func fingerprintHash(name string) (h crypto.Hash, ok bool) {
	switch strings.ToLower(name) {
	case "sha-256":
		return crypto.SHA256, true
	case "sha-384":
		return crypto.SHA384, true
	case "sha-512":
		return crypto.SHA512, true
	}
	return 0, false
}

// CertificateFingerprint returns the fingerprint of a certificate in DER form. hash is
// the name of the hash function: "sha-256", "sha-384" or "sha-512". Other names are an
// error.
func CertificateFingerprint(hash string, der []byte) (Fingerprint, error) {
	h, ok := fingerprintHash(hash)
	if !ok {
		return Fingerprint{}, fmt.Errorf("dtls: unsupported fingerprint hash %q", hash)
	}
	return Fingerprint{Hash: strings.ToLower(hash), Value: sum(h, der)}, nil
}

// sum returns the hash h of b.
func sum(h crypto.Hash, b []byte) []byte {
	if h == crypto.SHA256 { // the most frequent hash; this way its state needs no allocation
		s := sha256.Sum256(b)
		return s[:]
	}
	s := h.New()
	s.Write(b)
	return s.Sum(nil)
}

// anyStrong reports whether at least one fingerprint has a strong hash that this
// package supports, and a value of the right length. If not, no certificate can match.
func anyStrong(lines []Fingerprint) bool {
	for _, f := range lines {
		if h, ok := fingerprintHash(f.Hash); ok && len(f.Value) == h.Size() {
			return true
		}
	}
	return false
}

// matchFingerprint reports whether a certificate matches the fingerprints of a
// description, which are its a=fingerprint lines.
//
// RFC 8122 §5: of the hash functions that the peer's lines use, an endpoint MUST select
// the one that it prefers most. The certificate must match one of the fingerprints made
// with this function. So a matching sha-256 line
// does not help if there are sha-512 lines and none of them matches.
func matchFingerprint(lines []Fingerprint, der []byte) bool {
	for _, h := range strongHashes() {
		offered, match := false, 0
		var got []byte
		for _, f := range lines {
			if hash, ok := fingerprintHash(f.Hash); !ok || hash != h {
				continue
			}
			if !offered {
				offered, got = true, sum(h, der)
			}
			match |= subtle.ConstantTimeCompare(got, f.Value)
		}
		if offered {
			return match == 1
		}
	}
	return false
}
