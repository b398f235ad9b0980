package sctp

import (
	"encoding/binary"
	"hash/crc32"
)

// A chunkType is the first byte of a chunk (RFC 9260 §3.2). Its two upper bits say what a
// receiver does with an unknown type.
type chunkType uint8

const (
	chunkData             chunkType = 0
	chunkInit             chunkType = 1
	chunkInitAck          chunkType = 2
	chunkSack             chunkType = 3
	chunkHeartbeat        chunkType = 4
	chunkHeartbeatAck     chunkType = 5
	chunkAbort            chunkType = 6
	chunkShutdown         chunkType = 7
	chunkShutdownAck      chunkType = 8
	chunkError            chunkType = 9
	chunkCookieEcho       chunkType = 10
	chunkCookieAck        chunkType = 11
	chunkECNE             chunkType = 12
	chunkCWR              chunkType = 13
	chunkShutdownComplete chunkType = 14
	chunkIData            chunkType = 64   // RFC 8260 §2.1
	chunkReconfig         chunkType = 130  // RFC 6525 §3.1
	chunkPad              chunkType = 0x84 // RFC 4820 §3
	chunkForwardTSN       chunkType = 192  // RFC 3758 §3.2
	chunkIForwardTSN      chunkType = 194  // RFC 8260 §2.3.1
)

// Flags of DATA and I-DATA chunks (RFC 9260 §3.3.1, RFC 8260 §2.1).
const (
	flagEnd       = 1 << 0
	flagBegin     = 1 << 1
	flagUnordered = 1 << 2
	flagImmediate = 1 << 3 // RFC 7053: acknowledge without delay
)

// flagReflected is the T bit of ABORT and SHUTDOWN COMPLETE: the sender has no association
// and reflects the verification tag of the packet that it answers (RFC 9260 §8.5.1).
const flagReflected = 1 << 0

// Sizes on the wire.
const (
	commonHeaderSize = 12 // RFC 9260 §3.1
	chunkHeaderSize  = 4
	dataHeaderSize   = 16
	iDataHeaderSize  = 20
	sackHeaderSize   = 16
	initFixedSize    = 16
	maxPacketSize    = 65535
)

// A paramType is the type of a parameter (RFC 9260 §3.2.1). Its two upper bits say what a
// receiver does with an unknown type.
type paramType uint16

const (
	paramHeartbeatInfo    paramType = 1
	paramIPv4             paramType = 5
	paramIPv6             paramType = 6
	paramStateCookie      paramType = 7
	paramUnrecognized     paramType = 8
	paramCookiePreserv    paramType = 9
	paramHostName         paramType = 11
	paramAddressTypes     paramType = 12
	paramOutgoingReset    paramType = 13 // RFC 6525 §4.1
	paramIncomingReset    paramType = 14 // RFC 6525 §4.2
	paramTSNReset         paramType = 15 // RFC 6525 §4.3
	paramReconfigResponse paramType = 16 // RFC 6525 §4.4
	paramAddOutgoing      paramType = 17 // RFC 6525 §4.5
	paramAddIncoming      paramType = 18 // RFC 6525 §4.6
	paramECN              paramType = 0x8000
	paramZeroChecksum     paramType = 0x8001 // RFC 9653
	paramRandom           paramType = 0x8002 // RFC 4895 §3.1
	paramChunkList        paramType = 0x8003 // RFC 4895 §3.2
	paramHMAC             paramType = 0x8004 // RFC 4895 §3.3
	paramPad              paramType = 0x8005 // RFC 4820 §4
	paramSupportedExt     paramType = 0x8008 // RFC 5061 §4.2.7
	paramForwardTSN       paramType = 0xC000 // RFC 3758 §3.1
	paramAdaptation       paramType = 0xC006 // RFC 5061 §4.2.6
	zeroChecksumOverDTLS            = 1      // RFC 9653: the error detection method of RFC 8261
	paramHeaderSize                 = 4
	maxUnrecognizedEchoed           = 256 // bytes of parameters that an INIT ACK reports
)

// A chunk is one chunk of a received packet; body is a view of it.
type chunk struct {
	typ   chunkType
	flags uint8
	body  []byte
	whole []byte // header and body
}

// nextChunk splits the first chunk off b. The padding of the last chunk may be missing
// (RFC 9260 §3.2).
func nextChunk(b []byte) (c chunk, rest []byte, ok bool) {
	if len(b) < chunkHeaderSize {
		return chunk{}, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < chunkHeaderSize || n > len(b) {
		return chunk{}, nil, false
	}
	c = chunk{typ: chunkType(b[0]), flags: b[1], body: b[chunkHeaderSize:n], whole: b[:n]}
	return c, b[min(padded(n), len(b)):], true
}

// A param is one parameter or error cause; both have the same form.
type param struct {
	typ   paramType
	body  []byte
	whole []byte
}

// nextParam splits the first parameter off b.
func nextParam(b []byte) (p param, rest []byte, ok bool) {
	if len(b) < paramHeaderSize {
		return param{}, nil, false
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n < paramHeaderSize || n > len(b) {
		return param{}, nil, false
	}
	p = param{typ: paramType(binary.BigEndian.Uint16(b)), body: b[paramHeaderSize:n], whole: b[:n]}
	return p, b[min(padded(n), len(b)):], true
}

// padded rounds n up to a multiple of four (RFC 9260 §3.2).
func padded(n int) int { return (n + 3) &^ 3 }

// beginChunk appends a chunk header. endChunk sets its length.
func beginChunk(b []byte, t chunkType, flags uint8) (_ []byte, start int) {
	return append(b, byte(t), flags, 0, 0), len(b)
}

// endChunk sets the length of the chunk that began at start, and pads it.
func endChunk(b []byte, start int) []byte {
	binary.BigEndian.PutUint16(b[start+2:], uint16(len(b)-start))
	return appendPadding(b, len(b)-start)
}

// appendPadding appends the padding of a chunk or parameter that has n bytes.
func appendPadding(b []byte, n int) []byte {
	var zero [3]byte
	return append(b, zero[:padded(n)-n]...)
}

// appendParam appends a parameter or error cause.
func appendParam(b []byte, t paramType, body []byte) []byte {
	n := paramHeaderSize + len(body)
	b = binary.BigEndian.AppendUint16(b, uint16(t))
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(b, body...)
	return appendPadding(b, n)
}

// appendCommonHeader appends the common header with a checksum of zero.
func appendCommonHeader(b []byte, src, dst uint16, tag uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, src)
	b = binary.BigEndian.AppendUint16(b, dst)
	b = binary.BigEndian.AppendUint32(b, tag)
	return append(b, 0, 0, 0, 0)
}

// setChecksum sets the CRC32c of a packet with a checksum field of zero. Its least
// significant byte is first (RFC 9260 Appendix A).
func setChecksum(pkt []byte) {
	binary.LittleEndian.PutUint32(pkt[8:], checksum(pkt))
}

// castagnoli is the table of CRC32c. It and zeroField are never written. zeroField is not a
// local variable because arguments of hash/crc32 escape.
var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	zeroField  [4]byte
)

// checksum returns the CRC32c of a packet as if its checksum field were zero.
func checksum(pkt []byte) uint32 {
	crc := crc32.Update(0, castagnoli, pkt[:8])
	crc = crc32.Update(crc, castagnoli, zeroField[:])
	return crc32.Update(crc, castagnoli, pkt[12:])
}
