package udpmux

import (
	"encoding/binary"
	"net/netip"
	"syscall"
)

// Numbers that package syscall lacks (include/uapi/linux/udp.h).
const (
	udpSegment = 103
	udpGRO     = 104
)

// Sizes of in_pktinfo and in6_pktinfo.
const (
	pktinfo4 = 12
	pktinfo6 = 20
)

// oobSize is enough for all control messages that are received or sent.
const oobSize = 128

// Control messages are parsed and built here, because
// syscall.ParseSocketControlMessage allocates memory.

// wordSize is the size of cmsg_len, and the alignment of control messages.
const wordSize = syscall.SizeofCmsghdr - 8

func align(n int) int { return (n + wordSize - 1) &^ (wordSize - 1) }

// appendHeader appends the header of a control message. n is the size of the message's
// data.
func appendHeader(b []byte, level, typ int32, n int) []byte {
	if wordSize == 8 {
		b = binary.NativeEndian.AppendUint64(b, uint64(syscall.SizeofCmsghdr+n))
	} else {
		b = binary.NativeEndian.AppendUint32(b, uint32(syscall.SizeofCmsghdr+n))
	}
	b = binary.NativeEndian.AppendUint32(b, uint32(level))
	return binary.NativeEndian.AppendUint32(b, uint32(typ))
}

func pad(b []byte) []byte {
	for len(b)%wordSize != 0 {
		b = append(b, 0)
	}
	return b
}

// appendControl appends the control messages of a send: the segment size, unless it is
// 0, and the source address, if it is valid. For an IPv4 source, a dual-stack socket
// needs an IPv4-mapped IPv6 address.
func appendControl(b []byte, segment int, local netip.Addr, ipv6Socket bool) []byte {
	if segment > 0 {
		b = appendHeader(b, syscall.IPPROTO_UDP, udpSegment, 2)
		b = pad(binary.NativeEndian.AppendUint16(b, uint16(segment)))
	}
	switch {
	case !local.IsValid() || local.IsUnspecified():
	case ipv6Socket:
		b = appendHeader(b, syscall.IPPROTO_IPV6, syscall.IPV6_PKTINFO, pktinfo6)
		ip := local.As16()
		b = append(b, ip[:]...)
		b = pad(append(b, 0, 0, 0, 0)) // any interface
	default:
		b = appendHeader(b, syscall.IPPROTO_IP, syscall.IP_PKTINFO, pktinfo4)
		ip := local.As4()
		b = append(b, 0, 0, 0, 0) // any interface
		b = append(b, ip[:]...)   // ipi_spec_dst is the source address
		b = pad(append(b, 0, 0, 0, 0))
	}
	return b
}

// parseControl returns the segment size if the kernel joined datagrams, or 0, and the
// destination address.
func parseControl(b []byte) (segment int, local netip.Addr) {
	for len(b) >= syscall.SizeofCmsghdr {
		var n uint64
		if wordSize == 8 {
			n = binary.NativeEndian.Uint64(b)
		} else {
			n = uint64(binary.NativeEndian.Uint32(b))
		}
		if n < syscall.SizeofCmsghdr || n > uint64(len(b)) {
			break
		}
		level := int32(binary.NativeEndian.Uint32(b[wordSize:]))
		typ := int32(binary.NativeEndian.Uint32(b[wordSize+4:]))
		data := b[syscall.SizeofCmsghdr:n]
		switch {
		case level == syscall.IPPROTO_UDP && typ == udpGRO && len(data) >= 4:
			segment = int(int32(binary.NativeEndian.Uint32(data)))
		case level == syscall.IPPROTO_IP && typ == syscall.IP_PKTINFO && len(data) >= pktinfo4:
			local = netip.AddrFrom4([4]byte(data[8:12])) // ipi_addr is the destination address
		case level == syscall.IPPROTO_IPV6 && typ == syscall.IPV6_PKTINFO && len(data) >= pktinfo6:
			local = netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
		b = b[min(align(int(n)), len(b)):]
	}
	return segment, local
}
