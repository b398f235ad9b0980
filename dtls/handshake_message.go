package dtls

import (
	"encoding/binary"

	"golang.org/x/crypto/cryptobyte"
)

// A handshakeType is the first byte of a handshake message.
type handshakeType uint8

const (
	typeHelloRequest        handshakeType = 0 // RFC 5246 §7.4
	typeClientHello         handshakeType = 1
	typeServerHello         handshakeType = 2
	typeHelloVerifyRequest  handshakeType = 3 // RFC 6347 §4.3.2
	typeNewSessionTicket    handshakeType = 4 // RFC 8446 §4
	typeEncryptedExtensions handshakeType = 8
	typeRequestConnectionID handshakeType = 9 // RFC 9147 §5.2
	typeNewConnectionID     handshakeType = 10
	typeCertificate         handshakeType = 11
	typeServerKeyExchange   handshakeType = 12
	typeCertificateRequest  handshakeType = 13
	typeServerHelloDone     handshakeType = 14
	typeCertificateVerify   handshakeType = 15
	typeClientKeyExchange   handshakeType = 16
	typeFinished            handshakeType = 20
	typeKeyUpdate           handshakeType = 24 // RFC 8446 §4
	typeMessageHash         handshakeType = 254
)

const (
	fragmentHeaderLen = 12       // RFC 6347 §4.2.2
	maxMessage        = 32 << 10 // length in bytes of the longest message that is accepted; enough for a chain of RSA certificates
)

// A message is a complete handshake message.
type message struct {
	typ   handshakeType
	seq   uint16
	epoch uint16 // epoch of the records that contain the message
	body  []byte
}

// A fragment is the part of a handshake message that a record contains.
type fragment struct {
	typ    handshakeType
	seq    uint16
	length int // length of the whole message
	offset int
	data   []byte
}

// parseFragment parses the first fragment in the payload of a record.
func parseFragment(b []byte) (f fragment, rest []byte, ok bool) {
	s := cryptobyte.String(b)
	var typ uint8
	var length, offset, n uint32
	var data []byte
	if !s.ReadUint8(&typ) || !s.ReadUint24(&length) || !s.ReadUint16(&f.seq) ||
		!s.ReadUint24(&offset) || !s.ReadUint24(&n) || !s.ReadBytes(&data, int(n)) {
		return f, nil, false
	}
	f.typ, f.length, f.offset, f.data = handshakeType(typ), int(length), int(offset), data
	return f, s, f.offset+len(data) <= f.length
}

// last reports whether f contains the end of its message.
func (f fragment) last() bool { return f.offset+len(f.data) == f.length }

// appendFragmentHeader appends the header of a fragment. length is the length of the
// whole message. The fragment has n bytes, and begins at offset.
func appendFragmentHeader(b []byte, typ handshakeType, length int, seq uint16, offset, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(typ)<<24|uint32(length))
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, byte(offset>>16), byte(offset>>8), byte(offset))
	return append(b, byte(n>>16), byte(n>>8), byte(n))
}

// appendTranscript12 appends m in the form in which the transcript of DTLS 1.2
// contains it: with the header that it has if it is sent in a single fragment
// (RFC 6347 §4.2.6).
func (m message) appendTranscript12(b []byte) []byte {
	b = appendFragmentHeader(b, m.typ, len(m.body), m.seq, 0, len(m.body))
	return append(b, m.body...)
}
