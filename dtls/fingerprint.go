package dtls

import (
	"crypto"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"
)

// A Fingerprint is an a=fingerprint line (RFC 8122 §5): "sha-256" and the
// hash itself.
type Fingerprint struct {
	Hash  string
	Value []byte
}

// strongHashes are those a fingerprint may use, the preferred first. MD5 and
// SHA-1 prove nothing any more.
func strongHashes() []crypto.Hash {
	return []crypto.Hash{crypto.SHA512, crypto.SHA384, crypto.SHA256}
}

// fingerprintHash maps a name of the IANA "Hash Function Textual Names"
// registry, in either case, to a strong hash.
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

// CertificateFingerprint hashes the DER form of a certificate. The name is
// "sha-256", "sha-384" or "sha-512"; others are an error.
func CertificateFingerprint(hash string, der []byte) (Fingerprint, error) {
	h, ok := fingerprintHash(hash)
	if !ok {
		return Fingerprint{}, fmt.Errorf("dtls: no fingerprints with hash %q", hash)
	}
	return Fingerprint{Hash: strings.ToLower(hash), Value: sum(h, der)}, nil
}

// sum is the hash of b.
func sum(h crypto.Hash, b []byte) []byte {
	if h == crypto.SHA256 { // the usual one, which needs no object for that
		s := sha256.Sum256(b)
		return s[:]
	}
	s := h.New()
	s.Write(b)
	return s.Sum(nil)
}

// anyStrong tells whether one of the lines could ever match.
func anyStrong(lines []Fingerprint) bool {
	for _, f := range lines {
		if h, ok := fingerprintHash(f.Hash); ok && len(f.Value) == h.Size() {
			return true
		}
	}
	return false
}

// matchFingerprint checks a certificate against the lines of a description.
//
// RFC 8122 §5: an endpoint MUST select the set of fingerprints that use its
// most preferred hash function (out of those offered by the peer) and verify
// that each certificate used matches one fingerprint out of that set. So a
// sha-256 line cannot rescue a certificate that the sha-512 lines disown.
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
