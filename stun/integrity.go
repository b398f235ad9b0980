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
	minSizeSHA256 = 16 // RFC 8489 §14.6: it may be truncated to 16 bytes
)

// An Integrity makes and verifies the integrity attributes of messages under one key.
// It allocates at its first use, and at the first use after [Integrity.Release]. It is
// not safe for concurrent use.
type Integrity struct {
	key          []byte
	sha1, sha256 hash.Hash // made at the first use
	header       [HeaderSize]byte
	room         [sizeSHA256]byte
}

// NewIntegrity returns an Integrity for the key: a short-term password
// (RFC 8489 §9.1.1) or the result of KeyMD5 or KeySHA256.
func NewIntegrity(key []byte) *Integrity {
	return &Integrity{key: append([]byte(nil), key...)}
}

// IsOf reports whether the key is the given one, in constant time.
func (k *Integrity) IsOf(key []byte) bool { return hmac.Equal(k.key, key) }

// Release gives up the memory of the HMACs until the next use.
func (k *Integrity) Release() { k.sha1, k.sha256 = nil, nil }

// sum is the HMAC of message[:end], with the length in the header that it has if an
// integrity attribute of n bytes ends the message (RFC 8489 §14.5).
func (k *Integrity) sum(mac hash.Hash, message []byte, end, n int) []byte {
	copy(k.header[:], message)
	binary.BigEndian.PutUint16(k.header[2:], uint16(end+attrHeaderSize+n-HeaderSize))
	mac.Write(k.header[:])
	mac.Write(message[HeaderSize:end])
	return mac.Sum(k.room[:0])
}

// bySHA1 and bySHA256 return an HMAC to write to. A new HMAC is not reset: Reset would
// save the state of the key first, which costs half as much again, and after Release
// there often is no second use.
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

// Integrity adds MESSAGE-INTEGRITY over the attributes so far.
func (w *Builder) Integrity(k *Integrity) {
	m := w.message()
	w.Bytes(AttrMessageIntegrity, k.sum(k.bySHA1(), m, len(m), sizeSHA1))
}

// IntegritySHA256 adds MESSAGE-INTEGRITY-SHA256 over the attributes so far, not
// truncated.
func (w *Builder) IntegritySHA256(k *Integrity) {
	m := w.message()
	w.Bytes(AttrMessageIntegritySHA256, k.sum(k.bySHA256(), m, len(m), sizeSHA256))
}

// Verify reports whether m has a valid MESSAGE-INTEGRITY, in constant time.
func (k *Integrity) Verify(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegrity)
	if !ok || len(v) != sizeSHA1 {
		return false
	}
	return hmac.Equal(v, k.sum(k.bySHA1(), m.raw, offset, sizeSHA1))
}

// VerifySHA256 reports whether m has a valid MESSAGE-INTEGRITY-SHA256. It may be
// truncated to no less than 16 bytes, in steps of 4; callers that do not want that
// check the attribute's length too (RFC 8489 §14.6).
func (k *Integrity) VerifySHA256(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegritySHA256)
	if !ok || len(v) < minSizeSHA256 || len(v) > sizeSHA256 || len(v)%4 != 0 {
		return false
	}
	return hmac.Equal(v, k.sum(k.bySHA256(), m.raw, offset, len(v))[:len(v)])
}

// fingerprintXOR distinguishes the CRC from another protocol's (RFC 8489 §14.7).
const fingerprintXOR = 0x5354554e

// Fingerprint adds FINGERPRINT; it must be the last attribute.
func (w *Builder) Fingerprint() {
	// The CRC covers the header with its final length, and not the attribute.
	end := len(w.b)
	w.Uint32(AttrFingerprint, 0)
	sum := crc32.ChecksumIEEE(w.b[w.start:end]) ^ fingerprintXOR
	binary.BigEndian.PutUint32(w.b[end+attrHeaderSize:], sum)
}

// CheckFingerprint reports whether FINGERPRINT is present, and whether it is valid and
// the last attribute.
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
