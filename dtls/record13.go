package dtls

import "encoding/binary"

// The first byte of a unified header (RFC 9147 §4): 001CSLEE.
const (
	unifiedMask   = 0xe0
	unifiedFixed  = 0x20
	unifiedCID    = 0x10 // a connection ID follows
	unifiedSeq16  = 0x08 // the number has 16 bits, not 8
	unifiedLength = 0x04 // a length follows the number
	unifiedEpoch  = 0x03 // low bits of the epoch
)

// unifiedHeaderLen is the length of the headers we write: 16 bits of number,
// and a length, since what stands behind the record in the datagram is not
// known when it is sealed.
const unifiedHeaderLen = 5

// parseUnifiedHeader reads the header at the start of b. We asked for no
// connection ID, so a record that has one is not for us.
func parseUnifiedHeader(b []byte) (h recordHeader, ok bool) {
	flags := b[0]
	if flags&unifiedCID != 0 {
		return h, false
	}
	h.unified = true
	h.version = VersionDTLS13
	h.epoch = uint16(flags & unifiedEpoch)
	h.numberLen = 1
	if flags&unifiedSeq16 != 0 {
		h.numberLen = 2
	}
	h.size = 1 + h.numberLen
	if flags&unifiedLength == 0 {
		// RFC 9147 §4: the record consumes the entire rest of the datagram.
		h.length = len(b) - h.size
		return h, h.length >= 0
	}
	if len(b) < h.size+2 {
		return h, false
	}
	h.length = int(binary.BigEndian.Uint16(b[h.size:]))
	h.size += 2
	return h, len(b) >= h.size+h.length
}

// putUnifiedHeader writes the header of a record whose payload, sealed, has
// length bytes. The number is yet to be encrypted.
func putUnifiedHeader(b []byte, epoch uint16, seq uint64, length int) {
	_ = b[unifiedHeaderLen-1]
	b[0] = unifiedFixed | unifiedSeq16 | unifiedLength | byte(epoch&unifiedEpoch)
	binary.BigEndian.PutUint16(b[1:], uint16(seq))
	binary.BigEndian.PutUint16(b[3:], uint16(length))
}

// fullNumber finds the number that ends in the given low bits and is closest
// to the expected one (RFC 9147 §4.2.2).
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
