package pcapng

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sizes of headers in bytes.
const (
	ip4Header = 20
	ip6Header = 40
	udpHeader = 8
)

const (
	protocolUDP = 17
	hopLimit    = 64 // the capture does not know the real one
)

// sameFamily returns a as an address of the family with this length of its header. An
// address that is not valid becomes the unspecified one.
func sameFamily(a netip.Addr, header int) netip.Addr {
	switch {
	case header == ip4Header && !a.Is4():
		return netip.IPv4Unspecified()
	case header == ip6Header && !a.IsValid():
		return netip.IPv6Unspecified()
	case header == ip6Header:
		return netip.AddrFrom16(a.As16())
	}
	return a
}

// appendIP appends the header of an IP packet with n bytes of UDP. Both addresses have the
// same family.
func appendIP(b []byte, src, dst netip.Addr, n int) []byte {
	if src.Is6() { // RFC 8200 §3
		b = append(b, 0x60, 0, 0, 0)
		b = binary.BigEndian.AppendUint16(b, uint16(n))
		b = append(b, protocolUDP, hopLimit)
		return append(append(b, src.AsSlice()...), dst.AsSlice()...)
	}
	start := len(b) // RFC 791 §3.1
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(ip4Header+n))
	b = append(b, 0, 0, 0x40, 0, hopLimit, protocolUDP, 0, 0) // 0x40: do not fragment
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[start+10:], ^fold(sum(0, b[start:])))
	return b
}

// appendUDP appends a UDP datagram with its checksum (RFC 768).
func appendUDP(b []byte, from, to netip.AddrPort, payload []byte) []byte {
	n := udpHeader + len(payload)
	start := len(b)
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(n))
	b = append(append(b, 0, 0), payload...)
	// The pseudo header has the addresses, the protocol and the length.
	s := sum(sum(protocolUDP+uint64(n), from.Addr().AsSlice()), to.Addr().AsSlice())
	check := ^fold(sum(s, b[start:]))
	if check == 0 {
		check = 0xffff // 0 means that there is no checksum
	}
	binary.BigEndian.PutUint16(b[start+6:], check)
	return b
}

// sum adds the words of b to s, with the carry added at the other end (RFC 1071 §1, and
// §2 (C) for words longer than 16 bits).
func sum(s uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		var carry uint64
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), 0)
		s += carry
	}
	s = uint64(fold(s))
	for ; len(b) >= 2; b = b[2:] {
		s += uint64(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint64(b[0]) << 8
	}
	return s
}

// fold adds the 16-bit words of a sum, with their carries.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
