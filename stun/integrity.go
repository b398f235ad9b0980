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
	minSizeSHA256 = 16 // RFC 8489 §14.6: at least 16 bytes may be left of it
)

// An Integrity makes and verifies the integrity attributes of messages under
// one key. It allocates nothing after its first use. It is not safe for
// concurrent use.
//
// The HMAC is made here of the hash: crypto/hmac keeps four states and pads
// for each key, half a kilobyte, and two keys are the largest part of an agent
// at rest.
type Integrity struct {
	key    []byte
	sha1   hash.Hash
	sha256 hash.Hash
	header [HeaderSize]byte // with the length that the HMAC wants
	pad    [blockSize]byte
	sum    [sizeSHA256]byte
}

// blockSize is that of SHA-1 and of SHA-256.
const blockSize = 64

// NewIntegrity returns an Integrity for the key: a short-term password
// (RFC 8489 §9.1.1) or the result of KeyMD5 or KeySHA256.
func NewIntegrity(key []byte) *Integrity {
	return &Integrity{key: append([]byte(nil), key...)}
}

// compute is the HMAC over message up to offset end, with a header whose
// length reaches just behind an integrity attribute of n bytes there
// (RFC 8489 §14.5).
func (k *Integrity) compute(h hash.Hash, message []byte, end, n int) []byte {
	copy(k.header[:], message)
	binary.BigEndian.PutUint16(k.header[2:], uint16(end+attrHeaderSize+n-HeaderSize))
	k.begin(h, 0x36)
	h.Write(k.header[:])
	h.Write(message[HeaderSize:end])
	inner := h.Sum(k.sum[:0])
	k.begin(h, 0x5c)
	h.Write(inner)
	return h.Sum(k.sum[:0])
}

// begin starts one of the two hashes of an HMAC (RFC 2104 §2).
func (k *Integrity) begin(h hash.Hash, mask byte) {
	h.Reset()
	key := k.key
	if len(key) > blockSize {
		h.Write(key)
		key = h.Sum(k.pad[:0])
		h.Reset()
	}
	for i := range k.pad {
		if i < len(key) {
			k.pad[i] = key[i] ^ mask
		} else {
			k.pad[i] = mask
		}
	}
	h.Write(k.pad[:])
}

func (k *Integrity) hashSHA1() hash.Hash {
	if k.sha1 == nil {
		k.sha1 = sha1.New()
	}
	return k.sha1
}

func (k *Integrity) hashSHA256() hash.Hash {
	if k.sha256 == nil {
		k.sha256 = sha256.New()
	}
	return k.sha256
}

// Integrity adds MESSAGE-INTEGRITY, over all that was added so far.
func (w *Builder) Integrity(k *Integrity) {
	m := w.message()
	w.Bytes(AttrMessageIntegrity, k.compute(k.hashSHA1(), m, len(m), sizeSHA1))
}

// IntegritySHA256 adds MESSAGE-INTEGRITY-SHA256, over all that was added so
// far. The ways of authentication that RFC 8489 defines do not truncate it.
func (w *Builder) IntegritySHA256(k *Integrity) {
	m := w.message()
	w.Bytes(AttrMessageIntegritySHA256, k.compute(k.hashSHA256(), m, len(m), sizeSHA256))
}

// Verify tells whether m has MESSAGE-INTEGRITY and it is right. The
// comparison takes the same time wherever the difference is.
func (k *Integrity) Verify(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegrity)
	if !ok || len(v) != sizeSHA1 {
		return false
	}
	return hmac.Equal(v, k.compute(k.hashSHA1(), m.raw, offset, sizeSHA1))
}

// VerifySHA256 tells whether m has MESSAGE-INTEGRITY-SHA256 and it is right.
// It may be truncated to no less than 16 bytes, in steps of 4; whoever does
// not want that checks the attribute's length too (RFC 8489 §14.6).
func (k *Integrity) VerifySHA256(m Message) bool {
	offset, v, ok := m.find(AttrMessageIntegritySHA256)
	if !ok || len(v) < minSizeSHA256 || len(v) > sizeSHA256 || len(v)%4 != 0 {
		return false
	}
	return hmac.Equal(v, k.compute(k.hashSHA256(), m.raw, offset, len(v))[:len(v)])
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
