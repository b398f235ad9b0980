package stun

import (
	"encoding/binary"
	"net/netip"
)

// A Family is an address family in the numbering of STUN (RFC 8489 §14.1).
type Family uint8

const (
	IPv4 Family = 1
	IPv6 Family = 2
)

func (w *Builder) addr(t AttrType, a netip.AddrPort, xor bool) {
	ip := a.Addr().Unmap()
	port := a.Port()
	if xor {
		port ^= magicCookie >> 16
	}
	// The address is xored with the magic cookie and the transaction id of the header
	// (RFC 8489 §14.2).
	key := w.b[w.start+4 : w.start+20]
	if ip.Is4() {
		w.begin(t, 8)
		w.b = append(w.b, 0, byte(IPv4))
		w.b = binary.BigEndian.AppendUint16(w.b, port)
		v := ip.As4()
		w.appendXORed(v[:], key, xor)
	} else {
		w.begin(t, 20)
		w.b = append(w.b, 0, byte(IPv6))
		w.b = binary.BigEndian.AppendUint16(w.b, port)
		v := ip.As16()
		w.appendXORed(v[:], key, xor)
	}
	w.end()
}

func (w *Builder) appendXORed(v, key []byte, xor bool) {
	for i, c := range v {
		if xor {
			c ^= key[i]
		}
		w.b = append(w.b, c)
	}
}

// Addr returns the value of an address attribute that is not xored. ok is false if it
// is absent or malformed.
func (m Message) Addr(t AttrType) (netip.AddrPort, bool) {
	v, ok := m.Get(t)
	if !ok {
		return netip.AddrPort{}, false
	}
	return m.decodeAddr(v, false)
}

// XORAddr returns the value of a xored address attribute (RFC 8489 §14.2). ok is
// false if it is absent or malformed.
func (m Message) XORAddr(t AttrType) (netip.AddrPort, bool) {
	v, ok := m.Get(t)
	if !ok {
		return netip.AddrPort{}, false
	}
	return m.decodeAddr(v, true)
}

// DecodeXORAddr decodes the value of a xored address attribute, which Attributes has
// returned. It is needed because XOR-RELAYED-ADDRESS and XOR-PEER-ADDRESS may occur
// more than once (RFC 8656 §7.3, §10.1).
func (m Message) DecodeXORAddr(v []byte) (netip.AddrPort, bool) { return m.decodeAddr(v, true) }

func (m Message) decodeAddr(v []byte, xor bool) (netip.AddrPort, bool) {
	if len(v) < 4 {
		return netip.AddrPort{}, false
	}
	port := binary.BigEndian.Uint16(v[2:])
	if xor {
		port ^= magicCookie >> 16
	}
	var ip [16]byte
	n := len(v) - 4
	switch {
	case Family(v[1]) == IPv4 && n == 4:
	case Family(v[1]) == IPv6 && n == 16:
	default:
		return netip.AddrPort{}, false
	}
	copy(ip[:], v[4:])
	if xor {
		for i := range ip[:n] {
			ip[i] ^= m.raw[4+i]
		}
	}
	if n == 4 {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(ip[:4])), port), true
	}
	// An IPv4-mapped IPv6 address is converted, because it would not compare equal to
	// the IPv4 address.
	return netip.AddrPortFrom(netip.AddrFrom16(ip).Unmap(), port), true
}

// MappedAddress returns the source address of the request as the responder saw it. It
// is the value of XOR-MAPPED-ADDRESS or, if that is absent, of MAPPED-ADDRESS, which
// servers older than RFC 5389 send.
func (m Message) MappedAddress() (netip.AddrPort, bool) {
	if a, ok := m.XORAddr(AttrXORMappedAddress); ok {
		return a, true
	}
	return m.Addr(AttrMappedAddress)
}
