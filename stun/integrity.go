package stun

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

const (
	sizeSHA1      = sha1.Size
	sizeSHA256    = sha256.Size
	minSizeSHA256 = 16 // RFC 8489 §14.6: at least 16 bytes may be left of it
)

// An Integrity makes and verifies the integrity attributes of messages under
// one key. It allocates nothing for messages of usual length.
//
// The HMAC is made here of the hash: crypto/hmac keeps four states and pads
// for each key, half a kilobyte, and an agent at rest has two keys.
type Integrity struct{ key []byte }

// blockSize is that of SHA-1 and of SHA-256.
const blockSize = 64

// NewIntegrity returns an Integrity for the key: a short-term password
// (RFC 8489 §9.1.1) or the result of KeyMD5 or KeySHA256.
func NewIntegrity(key []byte) *Integrity {
	return &Integrity{append([]byte(nil), key...)}
}

// IsOf tells whether the key is the one given, in a time that does not depend
// on where they differ.
func (k *Integrity) IsOf(key []byte) bool { return hmac.Equal(k.key, key) }

// A hashKind is the hash of one of the two integrity attributes.
type hashKind bool

const (
	bySHA1   hashKind = false
	bySHA256 hashKind = true
)

// appendSum appends the hash of data. That data and dst do not escape, as they
// would from a hash.Hash, lets them be on the stack.
func (h hashKind) appendSum(dst, data []byte) []byte {
	if h == bySHA256 {
		sum := sha256.Sum256(data)
		return append(dst, sum[:]...)
	}
	sum := sha1.Sum(data)
	return append(dst, sum[:]...)
}

// appendMAC appends the HMAC (RFC 2104 §2) over message up to offset end, with
// a header whose length reaches just behind an integrity attribute of n bytes
// there (RFC 8489 §14.5).
func (k *Integrity) appendMAC(dst []byte, h hashKind, message []byte, end, n int) []byte {
	length := uint16(end + attrHeaderSize + n - HeaderSize)
	if end > usualLength {
		return k.appendLongMAC(dst, h, message[:end], length)
	}
	var room [blockSize + usualLength]byte
	b := append(k.appendPad(room[:0], h, 0x36), message[:end]...)
	binary.BigEndian.PutUint16(b[blockSize+2:], length)
	var sum [sizeSHA256]byte
	inner := h.appendSum(sum[:0], b)
	return h.appendSum(dst, append(k.appendPad(b[:0], h, 0x5c), inner...))
}

// usualLength is that of a long message: checks are a hundred bytes, answers
// of servers seldom three hundred.
const usualLength = 576

// appendLongMAC is appendMAC, without a copy of the message.
func (k *Integrity) appendLongMAC(dst []byte, h hashKind, message []byte, length uint16) []byte {
	mac := hmac.New(sha1.New, k.key)
	if h == bySHA256 {
		mac = hmac.New(sha256.New, k.key)
	}
	header := [HeaderSize]byte(message)
	binary.BigEndian.PutUint16(header[2:], length)
	mac.Write(header[:])
	mac.Write(message[HeaderSize:])
	return append(dst, mac.Sum(nil)...) // dst must not escape
}

// appendPad appends the key, filled up to a block, under a mask.
func (k *Integrity) appendPad(dst []byte, h hashKind, mask byte) []byte {
	var room [sizeSHA256]byte
	key := k.key
	if len(key) > blockSize {
		key = h.appendSum(room[:0], key)
	}
	for _, c := range key {
		dst = append(dst, c^mask)
	}
	for range blockSize - len(key) {
		dst = append(dst, mask)
	}
	return dst
}

// Integrity adds MESSAGE-INTEGRITY, over all that was added so far.
func (w *Builder) Integrity(k *Integrity) {
	var sum [sizeSHA1]byte
	m := w.message()
	w.Bytes(AttrMessageIntegrity, k.appendMAC(sum[:0], bySHA1, m, len(m), sizeSHA1))
}

// IntegritySHA256 adds MESSAGE-INTEGRITY-SHA256, over all that was added so
// far. The ways of authentication that RFC 8489 defines do not truncate it.
func (w *Builder) IntegritySHA256(k *Integrity) {
	var sum [sizeSHA256]byte
	m := w.message()
	w.Bytes(AttrMessageIntegritySHA256, k.appendMAC(sum[:0], bySHA256, m, len(m), sizeSHA256))
}

// Verify tells whether m has MESSAGE-INTEGRITY and it is right. The
// comparison takes the same time wherever the difference is.
func (k *Integrity) Verify(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegrity)
	if !ok || len(v) != sizeSHA1 {
		return false
	}
	var sum [sizeSHA1]byte
	return hmac.Equal(v, k.appendMAC(sum[:0], bySHA1, m.raw, offset, sizeSHA1))
}

// VerifySHA256 tells whether m has MESSAGE-INTEGRITY-SHA256 and it is right.
// It may be truncated to no less than 16 bytes, in steps of 4; whoever does
// not want that checks the attribute's length too (RFC 8489 §14.6).
func (k *Integrity) VerifySHA256(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegritySHA256)
	if !ok || len(v) < minSizeSHA256 || len(v) > sizeSHA256 || len(v)%4 != 0 {
		return false
	}
	var sum [sizeSHA256]byte
	return hmac.Equal(v, k.appendMAC(sum[:0], bySHA256, m.raw, offset, len(v))[:len(v)])
}

// fingerprintXOR keeps the CRC apart from another protocol's (RFC 8489 §14.7).
const fingerprintXOR = 0x5354554e

// Fingerprint adds FINGERPRINT; it must be the last attribute.
func (w *Builder) Fingerprint() {
	// The CRC covers the header with its final length, and not the attribute.
	end := len(w.b)
	w.Uint32(AttrFingerprint, 0)
	sum := crc32.ChecksumIEEE(w.b[w.start:end]) ^ fingerprintXOR
	binary.BigEndian.PutUint32(w.b[end+attrHeaderSize:], sum)
}

// CheckFingerprint tells whether FINGERPRINT is there, and whether it is the
// last attribute and right.
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
