//go:build !linux

package udpmux

import "net"

func listen(cfg Config) (*net.UDPConn, error) {
	if cfg.ReusePort {
		return nil, ErrUnsupported
	}
	return net.ListenUDP(network(cfg.Addr.Addr()), udpAddr(cfg))
}

// setOptions requests large buffers. A smaller buffer also works.
func setOptions(conn *net.UDPConn, wildcard, offload bool, size int) (gso, gro bool, err error) {
	conn.SetReadBuffer(size)
	conn.SetWriteBuffer(size)
	return false, false, nil
}

// stopJoining does nothing, because GRO is never turned on.
func stopJoining(*net.UDPConn) {}

// Unfragmented says whether datagrams of these sockets are never fragmented, so that a
// layer above can discover the path MTU (RFC 8899 §3).
const Unfragmented = false
