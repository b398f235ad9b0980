package dtls

import "encoding/binary"

// A contentType is the first byte of a record (RFC 6347 §4.1).
type contentType uint8

const (
	typeChangeCipherSpec contentType = 20
	typeAlert            contentType = 21
	typeHandshake        contentType = 22
	typeApplicationData  contentType = 23
	typeACK              contentType = 26 // RFC 9147 §7
)

const (
	recordHeaderLen = 13        // RFC 6347 §4.1
	maxPlaintext    = 1 << 14   // RFC 6347 §4.1
	maxSequence     = 1<<48 - 1 // RFC 6347 §4.1: a 48-bit number that must not wrap
)

// A recordHeader is the header of a record. Of one with a unified header
// (DTLS 1.3 ciphertext), type and number are known only once it was opened.
type recordHeader struct {
	typ       contentType
	version   Version
	epoch     uint16 // its two low bits, if unified
	seq       uint64
	size      int // bytes before the payload
	length    int // bytes of the payload
	unified   bool
	numberLen int // bytes of encrypted number, if unified
}

// parseRecordHeader reads the header at the start of b. ok is false if b does
// not begin with a whole record of a version this package may meet.
func parseRecordHeader(b []byte) (h recordHeader, ok bool) {
	if len(b) > 0 && b[0]&unifiedMask == unifiedFixed {
		return parseUnifiedHeader(b)
	}
	if len(b) < recordHeaderLen {
		return h, false
	}
	h.size = recordHeaderLen
	h.typ = contentType(b[0])
	h.version = Version(binary.BigEndian.Uint16(b[1:]))
	h.epoch = binary.BigEndian.Uint16(b[3:])
	h.seq = binary.BigEndian.Uint64(b[3:]) & maxSequence
	h.length = int(binary.BigEndian.Uint16(b[11:]))
	// A HelloVerifyRequest, and a first ClientHello, may carry the number of
	// DTLS 1.0 (RFC 6347 §4.2.1).
	known := h.version == VersionDTLS12 || h.version == VersionDTLS10 && h.epoch == 0
	return h, known && len(b) >= recordHeaderLen+h.length
}

// putRecordHeader writes the header of a record of epoch and seq.
func putRecordHeader(b []byte, typ contentType, epoch uint16, seq uint64, length int) {
	_ = b[recordHeaderLen-1]
	binary.BigEndian.PutUint64(b[3:], uint64(epoch)<<48|seq)
	b[0] = byte(typ)
	binary.BigEndian.PutUint16(b[1:], uint16(VersionDTLS12))
	binary.BigEndian.PutUint16(b[11:], uint16(length))
}
