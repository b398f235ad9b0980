package udpmux

import (
	"context"
	"net"
	"syscall"
)

// soReusePort is SO_REUSEPORT, which package syscall lacks on some architectures. It
// is 15 on all architectures on which Go supports Linux, except MIPS and SPARC.
const soReusePort = 15

func listen(cfg Config) (*net.UDPConn, error) {
	if !cfg.ReusePort {
		return net.ListenUDP(network(cfg.Addr.Addr()), udpAddr(cfg))
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if cerr := c.Control(func(fd uintptr) {
			err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
		}); cerr != nil {
			return cerr
		}
		return err
	}}
	conn, err := lc.ListenPacket(context.Background(), network(cfg.Addr.Addr()), udpAddr(cfg).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.UDPConn), nil
}

// setOptions turns on segmentation offload if the kernel has it, requests large
// buffers and, for a wildcard socket, the destination address of each datagram.
func setOptions(conn *net.UDPConn, wildcard, offload bool, size int) (gso, gro bool, err error) {
	rc, err := conn.SyscallConn()
	if err != nil {
		return false, false, err
	}
	cerr := rc.Control(func(f uintptr) {
		fd := int(f)
		// SO_RCVBUFFORCE and SO_SNDBUFFORCE are not limited by net.core.[rw]mem_max,
		// but require CAP_NET_ADMIN. A smaller buffer also works.
		if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, size) != nil {
			syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUF, size)
		}
		if syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUFFORCE, size) != nil {
			syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_SNDBUF, size)
		}
		neverFragment(fd, isIPv6(conn))
		if offload {
			// A kernel that knows the socket option also knows the control message.
			// Linux has split sent datagrams since version 4.18, and joined received
			// datagrams since 5.0.
			gro = syscall.SetsockoptInt(fd, syscall.IPPROTO_UDP, udpGRO, 1) == nil
			gso = gro
			if !gso {
				_, gerr := syscall.GetsockoptInt(fd, syscall.IPPROTO_UDP, udpSegment)
				gso = gerr == nil
			}
		}
		if wildcard {
			if isIPv6(conn) {
				err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
			} else {
				err = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
			}
		}
	})
	if cerr != nil {
		err = cerr
	}
	return gso, gro, err
}

// stopJoining turns off GRO, so that each read returns one datagram.
func stopJoining(conn *net.UDPConn) {
	if rc, err := conn.SyscallConn(); err == nil {
		rc.Control(func(fd uintptr) { syscall.SetsockoptInt(int(fd), syscall.IPPROTO_UDP, udpGRO, 0) })
	}
}

// isIPv6 reports whether the socket is of the family AF_INET6.
func isIPv6(conn *net.UDPConn) bool {
	return conn.LocalAddr().(*net.UDPAddr).IP.To4() == nil
}

// Unfragmented says that datagrams of these sockets are never fragmented, so that a
// layer above can discover the path MTU (RFC 8899 §3).
const Unfragmented = true

// neverFragment sets DF. It also tells the kernel to send any size that the interface
// allows, regardless of ICMP messages, which anybody can forge. The layer above probes
// instead (RFC 8899 §4.6). A datagram that is too long for the interface causes
// EMSGSIZE and is treated as lost. A dual-stack socket needs both options.
func neverFragment(fd int, ipv6 bool) {
	syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_MTU_DISCOVER, syscall.IP_PMTUDISC_PROBE)
	if ipv6 {
		syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_MTU_DISCOVER, syscall.IPV6_PMTUDISC_PROBE)
	}
}
