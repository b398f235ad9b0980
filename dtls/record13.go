package dtls

import "encoding/binary"

// The first byte of a unified header (RFC 9147 §4): 001CSLEE.
const (
	unifiedMask   = 0xe0
	unifiedFixed  = 0x20
	unifiedCID    = 0x10 // a connection ID follows
	unifiedSeq16  = 0x08 // the record number has 16 bits, not 8
	unifiedLength = 0x04 // a length field follows the record number
	unifiedEpoch  = 0x03 // the two low bits of the epoch
)

// unifiedHeaderLen is the length, without the connection ID, of the unified headers
// that this package writes. They contain a 16-bit record number. They also contain the
// length field, because it is not known while a record is encrypted whether another
// record follows it in the datagram.
const unifiedHeaderLen = 5

// parseUnified parses the unified header at the start of b. cidLen is the length of
// connection IDs in bytes.
func (h *recordHeader) parseUnified(b []byte, cidLen int) bool {
	flags := b[0]
	h.unified = true
	h.epoch = uint16(flags & unifiedEpoch)
	h.size = 1
	if flags&unifiedCID != 0 {
		// RFC 9147 §9.1: a record with a connection ID that was not negotiated is
		// rejected.
		if cidLen == 0 {
			return false
		}
		h.hasCID = true
		h.size += cidLen
	}
	h.numberLen = 1
	if flags&unifiedSeq16 != 0 {
		h.numberLen = 2
	}
	h.size += int(h.numberLen)
	if flags&unifiedLength == 0 {
		// RFC 9147 §4: without a length field, the record extends to the end of the
		// datagram.
		h.length = len(b) - h.size
		return h.length >= 0
	}
	h.size += 2
	if len(b) < h.size {
		return false
	}
	h.length = int(binary.BigEndian.Uint16(b[h.size-2:]))
	return len(b) >= h.size+h.length
}

// putUnifiedHeader writes the unified header of a record. length is the number of
// bytes of ciphertext. It returns the offset of the record number in the header, which
// the caller still has to encrypt.
func putUnifiedHeader(b []byte, epoch uint16, cid []byte, seq uint64, length int) (number int) {
	b[0] = unifiedFixed | unifiedSeq16 | unifiedLength | byte(epoch&unifiedEpoch)
	number = 1
	if len(cid) > 0 {
		b[0] |= unifiedCID
		number += copy(b[1:], cid)
	}
	b = b[number:]
	binary.BigEndian.PutUint16(b, uint16(seq))
	binary.BigEndian.PutUint16(b[2:], uint16(length))
	return number
}

// fullNumber returns the record number that is closest to the expected one among all
// numbers with the given low bits (RFC 9147 §4.2.2). bits is the number of low bits.
func fullNumber(expected, low uint64, bits int) uint64 {
	span := uint64(1) << bits
	n := expected&^(span-1) | low
	switch {
	case n+span/2 < expected:
		return n + span
	case n > expected+span/2 && n >= span:
		return n - span
	}
	return n
}
