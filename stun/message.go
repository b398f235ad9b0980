package stun

import (
	"encoding/binary"
	"errors"
	"iter"
)

const (
	// HeaderSize is the size of the header of every message (RFC 8489 §5).
	HeaderSize = 20

	magicCookie    = 0x2112a442
	attrHeaderSize = 4
)

// Errors of Parse.
var (
	ErrNotSTUN   = errors.New("stun: not a STUN message")
	ErrTruncated = errors.New("stun: length does not match the datagram")
	ErrAttribute = errors.New("stun: attribute overruns the message")
)

// A TransactionID joins a response to its request (RFC 8489 §5).
type TransactionID [12]byte

// A Message is a view over the bytes of a well-formed STUN message. It is
// valid as long as they are.
type Message struct{ raw []byte }

// Is tells at a glance whether a datagram is STUN: the magic cookie is in
// place (RFC 8489 §5), and the first byte is in the range 0 to 3 that STUN has
// where it shares a port (RFC 7983 §7).
func Is(b []byte) bool {
	return len(b) >= HeaderSize && b[0] < 4 && binary.BigEndian.Uint32(b[4:]) == magicCookie
}

// Parse checks that b is exactly one STUN message, attributes included, and
// returns a view of it. It does not look into attributes.
func Parse(b []byte) (Message, error) {
	// RFC 8489 §5: the most significant 2 bits MUST be zeroes.
	if len(b) < HeaderSize || b[0]&0xc0 != 0 || binary.BigEndian.Uint32(b[4:]) != magicCookie {
		return Message{}, ErrNotSTUN
	}
	n := int(binary.BigEndian.Uint16(b[2:]))
	if n%4 != 0 || n != len(b)-HeaderSize {
		return Message{}, ErrTruncated
	}
	for rest := b[HeaderSize:]; len(rest) > 0; {
		// Both lengths are multiples of 4, so a header is always there.
		size := attrHeaderSize + padded(int(binary.BigEndian.Uint16(rest[2:])))
		if size > len(rest) {
			return Message{}, ErrAttribute
		}
		rest = rest[size:]
	}
	return Message{raw: b}, nil
}

// padded rounds an attribute's length up to the boundary of 32 bits on which
// the next one begins (RFC 8489 §14).
func padded(n int) int { return (n + 3) &^ 3 }

// Raw is the whole message.
func (m Message) Raw() []byte { return m.raw }

// Type is the message type.
func (m Message) Type() Type { return Type(binary.BigEndian.Uint16(m.raw)) }

// TransactionID is the message's transaction.
func (m Message) TransactionID() TransactionID { return TransactionID(m.raw[8:20]) }

// An attrOrder enforces which attributes may follow the integrity
// attributes: all others there are to be ignored (RFC 8489 §14.5, §14.6).
type attrOrder uint8

const (
	anyAttr attrOrder = iota
	afterIntegrity
	afterIntegritySHA256
	afterFingerprint
)

// admit tells whether an attribute of type t counts where the walk is now.
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

// next takes the attribute at offset i; the next one is at offset j.
func (m Message) next(i int) (t AttrType, v []byte, j int) {
	t = AttrType(binary.BigEndian.Uint16(m.raw[i:]))
	n := int(binary.BigEndian.Uint16(m.raw[i+2:]))
	i += attrHeaderSize
	return t, m.raw[i : i+n : i+n], i + padded(n)
}

// find returns the offset of the first attribute of type t that counts.
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

// Get returns the value of the first attribute of type t: later ones of the
// same type are to be ignored (RFC 8489 §14), and so are those that come
// after the message's integrity.
func (m Message) Get(t AttrType) (v []byte, ok bool) {
	_, v, ok = m.find(t)
	return v, ok
}

// Has tells whether there is an attribute of type t.
func (m Message) Has(t AttrType) bool {
	_, _, ok := m.find(t)
	return ok
}

// Attributes yields the attributes that count, in order.
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

// Uint32 returns the value of a 32-bit attribute, such as PRIORITY or
// LIFETIME. One of another length counts as absent.
func (m Message) Uint32(t AttrType) (v uint32, ok bool) {
	b, ok := m.Get(t)
	if !ok || len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// Uint64 returns the value of a 64-bit attribute, such as ICE-CONTROLLING.
func (m Message) Uint64(t AttrType) (v uint64, ok bool) {
	b, ok := m.Get(t)
	if !ok || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// AppendUnknown appends the comprehension-required attributes of m that
// understood does not name, each once, at most as many as fit dst's limit of
// 16. They are what a 420 answer lists (RFC 8489 §6.3.1). A nil understood
// stands for all that this package names.
func (m Message) AppendUnknown(dst []AttrType, understood func(AttrType) bool) []AttrType {
	const limit = 16 // an answer must not grow with the request
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
