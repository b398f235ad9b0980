//go:build !linux

package udpmux

import "net"

func listen(cfg Config) (*net.UDPConn, error) {
	if cfg.ReusePort {
		return nil, ErrUnsupported
	}
	return net.ListenUDP(network(cfg.Addr.Addr()), udpAddr(cfg))
}

// setOptions asks for large buffers. Less than was asked for still works.
func setOptions(conn *net.UDPConn, wildcard, offload bool, size int) (gso, gro bool, err error) {
	conn.SetReadBuffer(size)
	conn.SetWriteBuffer(size)
	return false, false, nil
}

// Unfragmented tells that datagrams of these sockets are never fragmented, so
// that a layer above can find out what the path carries (RFC 8899 §3).
const Unfragmented = false
