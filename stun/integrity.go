package stun

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
)

const (
	sizeSHA1      = sha1.Size
	sizeSHA256    = sha256.Size
	minSizeSHA256 = 16 // RFC 8489 §14.6: the sender may truncate the value to 16 bytes
)

// An Integrity computes and verifies the integrity attributes of messages with one
// key. It allocates memory at its first use, and at the first use after
// [Integrity.Release]. It must not be used by two goroutines at the same time.
type Integrity struct {
	key          []byte
	sha1, sha256 hash.Hash // allocated at the first use; nil: not allocated
	header       [HeaderSize]byte
	room         [sizeSHA256]byte
}

// NewIntegrity returns an Integrity for the key. The key is a short-term password
// (RFC 8489 §9.1.1) or the result of KeyMD5 or KeySHA256.
func NewIntegrity(key []byte) *Integrity {
	return &Integrity{key: append([]byte(nil), key...)}
}

// IsOf reports whether the key of the Integrity equals the given one. The comparison
// takes constant time.
func (k *Integrity) IsOf(key []byte) bool { return hmac.Equal(k.key, key) }

// Release frees the memory of the HMACs until the next use.
func (k *Integrity) Release() { k.sha1, k.sha256 = nil, nil }

// sum returns the HMAC of message[:end]. For the HMAC, the length in the header is
// that of a message that ends with an integrity attribute with a value of n bytes (RFC
// 8489 §14.5).
func (k *Integrity) sum(mac hash.Hash, message []byte, end, n int) []byte {
	copy(k.header[:], message)
	binary.BigEndian.PutUint16(k.header[2:], uint16(end+attrHeaderSize+n-HeaderSize))
	mac.Write(k.header[:])
	mac.Write(message[HeaderSize:end])
	return mac.Sum(k.room[:0])
}

// bySHA1 and bySHA256 return an HMAC that is ready for writing. They do not call Reset
// on a new HMAC: Reset would first store the state of the key, which makes the first
// use 50 % slower, and after Release there often is no second use.
func (k *Integrity) bySHA1() hash.Hash {
	if k.sha1 == nil {
		k.sha1 = hmac.New(sha1.New, k.key)
	} else {
		k.sha1.Reset()
	}
	return k.sha1
}

func (k *Integrity) bySHA256() hash.Hash {
	if k.sha256 == nil {
		k.sha256 = hmac.New(sha256.New, k.key)
	} else {
		k.sha256.Reset()
	}
	return k.sha256
}

// Integrity adds MESSAGE-INTEGRITY, which protects the attributes that were added
// before it.
func (w *Builder) Integrity(k *Integrity) {
	m := w.message()
	w.Bytes(AttrMessageIntegrity, k.sum(k.bySHA1(), m, len(m), sizeSHA1))
}

// IntegritySHA256 adds MESSAGE-INTEGRITY-SHA256, which protects the attributes that
// were added before it. The value is not truncated.
func (w *Builder) IntegritySHA256(k *Integrity) {
	m := w.message()
	w.Bytes(AttrMessageIntegritySHA256, k.sum(k.bySHA256(), m, len(m), sizeSHA256))
}

// Verify reports whether m has a valid MESSAGE-INTEGRITY. The comparison takes
// constant time.
func (k *Integrity) Verify(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegrity)
	if !ok || len(v) != sizeSHA1 {
		return false
	}
	return hmac.Equal(v, k.sum(k.bySHA1(), m.raw, offset, sizeSHA1))
}

// VerifySHA256 reports whether m has a valid MESSAGE-INTEGRITY-SHA256. The value may
// be truncated in steps of 4 bytes, to no less than 16 bytes. Callers that accept no
// truncated value have to check the length of the attribute, too (RFC 8489 §14.6).
func (k *Integrity) VerifySHA256(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegritySHA256)
	if !ok || len(v) < minSizeSHA256 || len(v) > sizeSHA256 || len(v)%4 != 0 {
		return false
	}
	return hmac.Equal(v, k.sum(k.bySHA256(), m.raw, offset, len(v))[:len(v)])
}

// fingerprintXOR is xored with the CRC, to distinguish it from the CRC of another
// protocol (RFC 8489 §14.7).
const fingerprintXOR = 0x5354554e

// Fingerprint adds FINGERPRINT, which must be the last attribute of a message.
func (w *Builder) Fingerprint() {
	// The CRC covers the header with its final length, but not the attribute
	// FINGERPRINT itself.
	end := len(w.b)
	w.Uint32(AttrFingerprint, 0)
	sum := crc32.ChecksumIEEE(w.b[w.start:end]) ^ fingerprintXOR
	binary.BigEndian.PutUint32(w.b[end+attrHeaderSize:], sum)
}

// CheckFingerprint reports whether the message has the attribute FINGERPRINT, and
// whether this attribute is valid and the last one.
func (m Message) CheckFingerprint() (present, valid bool) {
	offset, v, ok := m.find(AttrFingerprint)
	if !ok {
		return false, false
	}
	if len(v) != 4 || offset+attrHeaderSize+4 != len(m.raw) {
		return true, false
	}
	sum := crc32.ChecksumIEEE(m.raw[:offset]) ^ fingerprintXOR
	return true, binary.BigEndian.Uint32(v) == sum
}
