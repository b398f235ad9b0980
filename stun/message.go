package stun

import (
	"encoding/binary"
	"errors"
	"iter"
)

const (
	// HeaderSize is the size in bytes of the header of every message (RFC 8489 §5).
	HeaderSize = 20

	magicCookie    = 0x2112a442
	attrHeaderSize = 4
)

// Errors that Parse returns.
var (
	ErrNotSTUN   = errors.New("stun: not a STUN message")
	ErrTruncated = errors.New("stun: length does not match the datagram")
	ErrAttribute = errors.New("stun: attribute overruns the message")
)

// A TransactionID identifies the request that a response belongs to (RFC 8489 §5).
type TransactionID [12]byte

// A Message is a view of the bytes of a well-formed STUN message. It is valid until
// these bytes are changed.
type Message struct{ raw []byte }

// Is reports whether a datagram looks like a STUN message. It must have the magic
// cookie (RFC 8489 §5). Its first byte must be in the range 0 to 3, which STUN uses
// on a port that several protocols share (RFC 7983 §7).
func Is(b []byte) bool {
	return len(b) >= HeaderSize && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// Parse checks that b is exactly one STUN message with well-formed attributes, and
// returns a view of it. It does not check the values of the attributes.
func Parse(b []byte) (Message, error) {
	// RFC 8489 §5: the two most significant bits MUST be zero.
	if len(b) < HeaderSize || b[0]&0xc0 != 0 || binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return Message{}, ErrNotSTUN
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n%4 != 0 || n != len(b)-HeaderSize {
		return Message{}, ErrTruncated
	}
	for rest := b[HeaderSize:]; len(rest) > 0; {
		// The length of the message and the sizes of the attributes are multiples of
		// 4. So rest contains at least one whole attribute header.
		size := attrHeaderSize + padded(int(binary.BigEndian.Uint16(rest[2:])))
		if size > len(rest) {
			return Message{}, ErrAttribute
		}
		rest = rest[size:]
	}
	return Message{raw: b}, nil
}

// padded rounds the length of an attribute up to a multiple of 4. The next attribute
// begins there (RFC 8489 §14).
func padded(n int) int { return (n + 3) &^ 3 }

// Raw returns the bytes of the whole message.
func (m Message) Raw() []byte { return m.raw }

// Type returns the type of the message.
func (m Message) Type() Type { return Type(binary.BigEndian.Uint16(m.raw)) }

// TransactionID returns the transaction id of the message.
func (m Message) TransactionID() TransactionID { return TransactionID(m.raw[8:20]) }

// An attrOrder determines which attributes are valid after an integrity attribute. All
// others are ignored (RFC 8489 §14.5, §14.6).
type attrOrder uint8

const (
	anyAttr attrOrder = iota
	afterIntegrity
	afterIntegritySHA256
	afterFingerprint
)

// admit reports whether an attribute of type t is valid after the attributes that were
// admitted before.
func (o *attrOrder) admit(t AttrType) bool {
	switch t {
	case AttrMessageIntegrity:
		if *o >= afterIntegrity {
			return false
		}
		*o = afterIntegrity
	case AttrMessageIntegritySHA256:
		if *o >= afterIntegritySHA256 {
			return false
		}
		*o = afterIntegritySHA256
	case AttrFingerprint:
		if *o >= afterFingerprint {
			return false
		}
		*o = afterFingerprint
	default:
		return *o == anyAttr
	}
	return true
}

// next returns the type and the value of the attribute at offset i, and the offset j
// of the next attribute.
func (m Message) next(i int) (t AttrType, v []byte, j int) {
	t = AttrType(binary.BigEndian.Uint16(m.raw[i:]))
	n := int(binary.BigEndian.Uint16(m.raw[i+2:]))
	i += attrHeaderSize
	return t, m.raw[i : i+n : i+n], i + padded(n)
}

// find returns the offset and the value of the first valid attribute of the type want.
func (m Message) find(want AttrType) (offset int, v []byte, ok bool) {
	var order attrOrder
	for i := HeaderSize; i < len(m.raw); {
		t, v, j := m.next(i)
		if order.admit(t) && t == want {
			return i, v, true
		}
		i = j
	}
	return 0, nil, false
}

// Get returns the value of the first attribute of type t. Later attributes of the same
// type are ignored (RFC 8489 §14), and so are attributes that are not valid after an
// integrity attribute.
func (m Message) Get(t AttrType) (v []byte, ok bool) {
	_, v, ok = m.find(t)
	return v, ok
}

// Has reports whether the message has an attribute of type t.
func (m Message) Has(t AttrType) bool {
	_, _, ok := m.find(t)
	return ok
}

// Attributes returns an iterator over the valid attributes, in order.
func (m Message) Attributes() iter.Seq2[AttrType, []byte] {
	return func(yield func(AttrType, []byte) bool) {
		var order attrOrder
		for i := HeaderSize; i < len(m.raw); {
			t, v, j := m.next(i)
			if order.admit(t) && !yield(t, v) {
				return
			}
			i = j
		}
	}
}

// Uint32 returns the value of a 32-bit attribute, such as PRIORITY or LIFETIME. ok is
// false if it is absent or has another length.
func (m Message) Uint32(t AttrType) (v uint32, ok bool) {
	b, ok := m.Get(t)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// Uint64 returns the value of a 64-bit attribute, such as ICE-CONTROLLING. ok is false
// if it is absent or has another length.
func (m Message) Uint64(t AttrType) (v uint64, ok bool) {
	b, ok := m.Get(t)
	if !ok || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// AppendUnknown appends to dst the types of the comprehension-required attributes of m
// for which understood returns false. Each type is appended once, and at most 16 are
// appended. A response with error 420 lists these types (RFC 8489 §6.3.1). If
// understood is nil, the types that have a constant in this package are the known
// ones.
func (m Message) AppendUnknown(dst []AttrType, understood func(AttrType) bool) []AttrType {
	const limit = 16 // the number is limited so that the size of a response does not grow with the request
	var order attrOrder
walk:
	for i := HeaderSize; i < len(m.raw) && len(dst) < limit; {
		t, _, j := m.next(i)
		i = j
		if !order.admit(t) || !t.Required() {
			continue
		}
		if understood == nil && t.known() || understood != nil && understood(t) {
			continue
		}
		for _, have := range dst {
			if have == t {
				continue walk
			}
		}
		dst = append(dst, t)
	}
	return dst
}
