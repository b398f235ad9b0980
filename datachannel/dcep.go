package datachannel

import (
	"encoding/binary"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// PPIDs, the payload protocol identifiers of RFC 8831 §8.
const (
	ppidDCEP          = 50
	ppidString        = 51
	ppidBinaryPartial = 52 // deprecated
	ppidBinary        = 53
	ppidStringPartial = 54 // deprecated
	ppidStringEmpty   = 56
	ppidBinaryEmpty   = 57
)

// Message types of the establishment protocol (RFC 8832 §8.2.1).
const (
	dcepAck  = 0x02
	dcepOpen = 0x03
)

// Channel types (RFC 8832 §5.1).
const (
	typeReliable  = 0x00
	typeRexmit    = 0x01
	typeTimed     = 0x02
	typeUnordered = 0x80
)

const (
	openFixedSize = 12

	// MaxOpenSize is the length in bytes of the longest DATA_CHANNEL_OPEN. An
	// association for data channels must accept this length, whatever the limit of the
	// program's messages.
	MaxOpenSize = openFixedSize + 2*65535
)

var errMalformed = errors.New("datachannel: malformed DATA_CHANNEL_OPEN")

// appendOpen appends the DATA_CHANNEL_OPEN message (RFC 8832 §5.1).
func appendOpen(b []byte, p *Params) []byte {
	typ, limit := byte(typeReliable), uint32(0)
	switch {
	case p.MaxRetransmits >= 0:
		typ, limit = typeRexmit, uint32(p.MaxRetransmits)
	case p.MaxPacketLifeTime >= 0:
		typ, limit = typeTimed, uint32(p.MaxPacketLifeTime)
	}
	if p.Unordered {
		typ |= typeUnordered
	}
	b = append(b, dcepOpen, typ)
	b = binary.BigEndian.AppendUint16(b, p.Priority)
	b = binary.BigEndian.AppendUint32(b, limit)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Label)))
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Protocol)))
	b = append(b, p.Label...)
	return append(b, p.Protocol...)
}

// parseOpen parses a DATA_CHANNEL_OPEN message. Like browsers, it ignores bytes after
// the label and the protocol.
func parseOpen(b []byte) (p Params, err error) {
	if len(b) < openFixedSize || b[0] != dcepOpen {
		return p, errMalformed
	}
	labelSize, protocolSize := int(binary.BigEndian.Uint16(b[8:])), int(binary.BigEndian.Uint16(b[10:]))
	names := b[openFixedSize:]
	switch n := labelSize + protocolSize; {
	case len(names) < n || len(b) > MaxOpenSize:
		return p, errMalformed
	case len(names) > n:
		labelSize, protocolSize = sizesOfCharacters(names, labelSize, protocolSize)
	}
	p.MaxRetransmits, p.MaxPacketLifeTime = -1, -1
	// The limit has 32 bits in the message, and 16 bits in the API (RFC 8832 §5.1).
	limit := int(min(binary.BigEndian.Uint32(b[4:]), 65535))
	switch b[1] &^ typeUnordered {
	case typeReliable:
	case typeRexmit:
		p.MaxRetransmits = limit
	case typeTimed:
		p.MaxPacketLifeTime = limit
	default:
		return p, errMalformed
	}
	p.Unordered = b[1]&typeUnordered != 0
	// RFC 8831 §6.4 has no priority 0. libdatachannel announces 0 for every channel,
	// and means normal priority.
	if p.Priority = binary.BigEndian.Uint16(b[2:]); p.Priority == 0 {
		p.Priority = normalPriority
	}
	p.Label = string(names[:labelSize])
	p.Protocol = string(names[labelSize:][:protocolSize])
	return p, nil
}

// sizesOfCharacters returns the sizes in bytes of a label and a protocol, if their
// announced lengths add up to less than names has. The lengths should be in bytes (RFC
// 8832 §5.1), but aiortc announces them in code points and werift in UTF-16 code
// units. If names has exactly the announced number of code points or of code units,
// the lengths are converted to bytes. Otherwise they are taken for bytes.
func sizesOfCharacters(names []byte, label, protocol int) (int, int) {
	if !utf8.Valid(names) {
		return label, protocol
	}
	points, units := 0, 0
	byPoints, byUnits := -1, -1 // offset of the protocol in names; -1: not found
	for i := 0; ; {
		if points == label {
			byPoints = i
		}
		if units == label {
			byUnits = i
		}
		if i == len(names) {
			break
		}
		r, size := utf8.DecodeRune(names[i:])
		i += size
		points++
		units += utf16.RuneLen(r)
	}
	split := -1
	switch label + protocol {
	case points:
		split = byPoints
	case units:
		split = byUnits
	}
	if split < 0 || split > 65535 || len(names)-split > 65535 { // no such offset, or a size that the fields cannot hold
		return label, protocol
	}
	return split, len(names) - split
}
