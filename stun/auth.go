package stun

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// The functions below use names and passwords as they are given. RFC 8489 requires
// that names and passwords are prepared with the OpaqueString profile (RFC 8265),
// which does not change ASCII characters. The caller has to prepare other characters.

// KeyMD5 returns the long-term key of RFC 8489 §18.5.1.1: MD5(username ":" realm ":"
// password).
func KeyMD5(username, realm, password string) []byte {
	sum := md5.Sum([]byte(username + ":" + realm + ":" + password))
	return sum[:]
}

// KeySHA256 returns the long-term key of RFC 8489 §18.5.1.2: SHA-256(username ":"
// realm ":" password).
func KeySHA256(username, realm, password string) []byte {
	sum := sha256.Sum256([]byte(username + ":" + realm + ":" + password))
	return sum[:]
}

// Userhash returns the value of USERHASH: SHA-256(username ":" realm). USERHASH
// replaces USERNAME if the server supports anonymity (RFC 8489 §14.4).
func Userhash(username, realm string) []byte {
	sum := sha256.Sum256([]byte(username + ":" + realm))
	return sum[:]
}

// A PasswordAlgorithm says how a long-term key is derived (RFC 8489 §18.5).
type PasswordAlgorithm uint16

const (
	PasswordMD5    PasswordAlgorithm = 1
	PasswordSHA256 PasswordAlgorithm = 2
)

// Key derives the long-term key; nil: the algorithm is unknown.
func (a PasswordAlgorithm) Key(username, realm, password string) []byte {
	switch a {
	case PasswordMD5:
		return KeyMD5(username, realm, password)
	case PasswordSHA256:
		return KeySHA256(username, realm, password)
	}
	return nil
}

// PasswordAlgorithm adds PASSWORD-ALGORITHM (RFC 8489 §14.12). The known algorithms
// have no parameters.
func (w *Builder) PasswordAlgorithm(a PasswordAlgorithm) {
	w.Uint32(AttrPasswordAlgorithm, uint32(a)<<16)
}

// PasswordAlgorithms adds PASSWORD-ALGORITHMS (RFC 8489 §14.11).
func (w *Builder) PasswordAlgorithms(list ...PasswordAlgorithm) {
	w.begin(AttrPasswordAlgorithms, 4*len(list))
	for _, a := range list {
		w.b = binary.BigEndian.AppendUint32(w.b, uint32(a)<<16)
	}
	w.end()
}

// BestPasswordAlgorithm returns the first known algorithm in the value v of
// PASSWORD-ALGORITHMS, which is in the server's order of preference (RFC 8489
// §9.2.5.1); 0: it contains no known algorithm.
func BestPasswordAlgorithm(v []byte) PasswordAlgorithm {
	for len(v) >= 4 {
		a := PasswordAlgorithm(binary.BigEndian.Uint16(v))
		n := 4 + padded(int(binary.BigEndian.Uint16(v[2:])))
		if a == PasswordMD5 || a == PasswordSHA256 {
			return a
		}
		if n > len(v) {
			break
		}
		v = v[n:]
	}
	return 0
}

// SecurityFeatures are bits that a server puts into its nonce. They prevent that an
// attacker weakens the authentication by removing attributes: the attacker cannot
// change the nonce (RFC 8489 §9.2).
type SecurityFeatures uint32

const (
	// RFC 8489 §18.1: bit 0 is the leftmost of the 24 bits.
	FeaturePasswordAlgorithms SecurityFeatures = 1 << 23
	FeatureUsernameAnonymity  SecurityFeatures = 1 << 22
)

const nonceCookie = "obMatJos2" // RFC 8489 §9.2

// NonceFeatures returns the security features in a nonce. ok is false if the nonce
// does not begin with the nonce cookie.
func NonceFeatures(nonce []byte) (f SecurityFeatures, ok bool) {
	if len(nonce) < len(nonceCookie)+4 || string(nonce[:len(nonceCookie)]) != nonceCookie {
		return 0, false
	}
	var bits [3]byte
	if _, err := base64.StdEncoding.Decode(bits[:], nonce[len(nonceCookie):len(nonceCookie)+4]); err != nil {
		return 0, false
	}
	return SecurityFeatures(bits[0])<<16 | SecurityFeatures(bits[1])<<8 | SecurityFeatures(bits[2]), true
}

// AppendNonceCookie appends to dst the nonce cookie with these features. A nonce
// begins with it.
func AppendNonceCookie(dst []byte, f SecurityFeatures) []byte {
	dst = append(dst, nonceCookie...)
	return base64.StdEncoding.AppendEncode(dst, []byte{byte(f >> 16), byte(f >> 8), byte(f)})
}
