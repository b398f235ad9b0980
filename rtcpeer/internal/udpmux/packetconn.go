package udpmux

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"purertc/ice"
)

// A packetConn reads and writes a net.PacketConn that is not a UDP socket of the
// system, for example one of a network stack in user space, one in memory, or one that
// is shared with another protocol. Each datagram takes a call of ReadFrom or WriteTo.
// The local address of an arriving datagram is known only if the PacketConn is bound
// to one address.
type packetConn struct {
	net.PacketConn
	addrs map[netip.AddrPort]net.Addr // cached arguments of WriteTo, so that sending allocates nothing; guarded by writer.mu
}

// maxPacketAddrs bounds the number of entries of packetConn.addrs.
const maxPacketAddrs = 4096

// read reads one datagram into b.
func (c *packetConn) read(b []byte) (n int, from netip.AddrPort, err error) {
	n, addr, err := c.ReadFrom(b)
	if err != nil {
		return 0, from, err
	}
	return n, addrPortOf(addr), nil // Socket.take drops a datagram from an address that is not an IP address
}

// send writes one datagram. If it returns an error, the datagram counts as lost.
func (c *packetConn) send(b []byte, remote netip.AddrPort) error {
	addr := c.addrs[remote]
	if addr == nil {
		if len(c.addrs) >= maxPacketAddrs {
			clear(c.addrs)
		}
		addr = net.UDPAddrFromAddrPort(remote)
		c.addrs[remote] = addr
	}
	_, err := c.WriteTo(b, addr)
	return err
}

// addrPortOf returns the IP address and port of a net.Addr. It returns an invalid
// AddrPort if the net.Addr has none.
func addrPortOf(a net.Addr) netip.AddrPort {
	if u, ok := a.(*net.UDPAddr); ok {
		return unmap(u.AddrPort())
	}
	if a == nil {
		return netip.AddrPort{}
	}
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.AddrPort{}
	}
	return unmap(p)
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Serve starts a reader on a PacketConn that the program owns. A *net.UDPConn is
// served like a socket of Listen. The fields Addr and ReusePort of cfg are ignored.
// Until Close, no other code may read from conn or set its read deadline.
//
// Close does not close conn. It ends the reader by a read deadline in the past. The
// deadline is removed when the reader has ended (Done). If conn does not support read
// deadlines, the reader ends when the next call of ReadFrom returns.
func Serve(conn net.PacketConn, cfg Config) (*Socket, error) { return serve(conn, cfg, true) }

// Adopt does what Serve does, for a PacketConn that the Socket owns: Close closes
// conn.
func Adopt(conn net.PacketConn, cfg Config) (*Socket, error) { return serve(conn, cfg, false) }

func serve(conn net.PacketConn, cfg Config, kept bool) (*Socket, error) {
	local := addrPortOf(conn.LocalAddr())
	if !local.IsValid() {
		return nil, fmt.Errorf("udpmux: the local address %v of the PacketConn is no IP address with a port", conn.LocalAddr())
	}
	s := newSocketAt(local, cfg)
	s.kept = kept
	if udp, ok := conn.(*net.UDPConn); ok {
		s.conn = udp
		if err := s.setUp(cfg); err != nil {
			return nil, err
		}
	} else {
		s.packets = &packetConn{PacketConn: conn, addrs: map[netip.AddrPort]net.Addr{}}
		s.writer.socket = s
	}
	go s.read()
	return s, nil
}

// readPacket waits for a datagram from s.packets and hands it to its transport.
func (s *Socket) readPacket() error {
	buffer := borrowBuffer()
	defer returnBuffer(buffer)
	n, from, err := s.packets.read(buffer.b[:])
	if err != nil {
		return err
	}
	s.take(time.Now(), from, buffer.b[:n], nil)
	return nil
}

// release ends the reader of a PacketConn that the program owns, without closing it.
func (s *Socket) release() error {
	err := s.packetConn().SetReadDeadline(time.Unix(1, 0))
	if err != nil {
		return fmt.Errorf("udpmux: the reader ends with the next datagram, because the PacketConn has no read deadlines: %w", err)
	}
	return nil
}

// released is called when the reader has ended. It undoes the changes that the Socket
// made to a PacketConn of the program.
func (s *Socket) released() {
	s.packetConn().SetReadDeadline(time.Time{})
	if s.conn != nil && s.gro {
		stopJoining(s.conn)
	}
}

// packetConn returns the PacketConn that the socket reads and writes.
func (s *Socket) packetConn() net.PacketConn {
	if s.conn != nil {
		return s.conn
	}
	return s.packets
}

// endsReader reports whether the reader ends at once after the read error err.
func (s *Socket) endsReader(err error) bool {
	return s.closed.Load() || errors.Is(err, net.ErrClosed)
}

// Foreign reports whether the socket reads a PacketConn that is not a UDP socket of
// the system. It is not known whether such a PacketConn fragments large datagrams.
func (s *Socket) Foreign() bool { return s.packets != nil }

// Claimed reports whether a transport has the local ufrag of a check with this USERNAME.
func (s *Socket) Claimed(username string) bool { return s.demux.claimed(username) }

// An Unclaimed function is called on the reader goroutine with a connectivity check
// that names the ufrag of no transport. b is valid only during the call. The call must
// not block.
type Unclaimed func(now time.Time, r ice.Route, b []byte)
