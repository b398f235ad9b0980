package dtls

import "encoding/binary"

// A contentType is the first byte of a record (RFC 6347 §4.1).
type contentType uint8

const (
	typeChangeCipherSpec contentType = 20
	typeAlert            contentType = 21
	typeHandshake        contentType = 22
	typeApplicationData  contentType = 23
	typeCID              contentType = 25 // RFC 9146 §4: the real type is encrypted with the content
	typeACK              contentType = 26 // RFC 9147 §7
)

const (
	recordHeaderLen = 13        // RFC 6347 §4.1
	maxPlaintext    = 1 << 14   // RFC 6347 §4.1
	maxSequence     = 1<<48 - 1 // RFC 6347 §4.1: the sequence number has 48 bits and must not wrap
	cidOffset12     = 11        // offset of the connection ID in the header (RFC 9146 §4)
)

// A recordHeader is the header of a record. If the header is a unified one (DTLS 1.3
// ciphertext), type and sequence number are known only after the record was decrypted.
type recordHeader struct {
	typ       contentType
	unified   bool
	numberLen uint8 // number of bytes of the encrypted record number in a unified header
	hasCID    bool
	newest    bool   // the record is authentic and newer than all earlier ones
	epoch     uint16 // only its two low bits until a record with a unified header is decrypted
	seq       uint64
	size      int // number of bytes before the payload
	length    int // number of bytes in the payload
}

// parse parses the header at the start of b. cidLen is the length of connection IDs in
// bytes. It reports false if b does not begin with a complete record of DTLS.
func (h *recordHeader) parse(b []byte, cidLen int) bool {
	if len(b) > 0 && b[0]&unifiedMask == unifiedFixed {
		return h.parseUnified(b, cidLen)
	}
	if len(b) < recordHeaderLen {
		return false
	}
	h.size = recordHeaderLen
	h.typ = contentType(b[0])
	version := Version(binary.BigEndian.Uint16(b[1:]))
	number := binary.BigEndian.Uint64(b[3:])
	h.epoch, h.seq = uint16(number>>48), number&maxSequence
	if h.typ == typeCID {
		// RFC 9146 §3: records in plaintext contain no connection ID.
		if cidLen == 0 || h.epoch == 0 || len(b) < recordHeaderLen+cidLen {
			return false
		}
		h.hasCID = true
		h.size += cidLen
	}
	h.length = int(binary.BigEndian.Uint16(b[h.size-2:]))
	// RFC 6347 §4.2.1: a HelloVerifyRequest and a first ClientHello may have the
	// version of DTLS 1.0.
	known := version == VersionDTLS12 || version == VersionDTLS10 && h.epoch == 0
	return known && len(b) >= h.size+h.length
}

// cid returns the connection ID of the record at the start of rec. The connection ID
// has n bytes.
func (h *recordHeader) cid(rec []byte, n int) []byte {
	if h.unified {
		return rec[1 : 1+n]
	}
	return rec[cidOffset12 : cidOffset12+n]
}

// putRecordHeader writes the header of a record with the given epoch and sequence
// number. If cid is empty, the record contains no connection ID.
func putRecordHeader(b []byte, typ contentType, version Version, epoch uint16, seq uint64, cid []byte, length int) {
	_ = b[recordHeaderLen-1]
	binary.BigEndian.PutUint64(b[3:], uint64(epoch)<<48|seq)
	b[0] = byte(typ)
	binary.BigEndian.PutUint16(b[1:], uint16(version))
	copy(b[cidOffset12:], cid)
	binary.BigEndian.PutUint16(b[cidOffset12+len(cid):], uint16(length))
}
