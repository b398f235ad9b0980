package rtcpeer

import (
	"fmt"
	"net"
	"net/netip"

	"purertc/ice"
	"purertc/rtcpeer/internal/tcpmux"
)

// openTCP opens the host's TCP listener, or takes the program's, if there is to be one.
func (h *Host) openTCP(cfg HostConfig) error {
	if l := cfg.Listener; l != nil {
		var err error
		if h.tcp, err = tcpmux.Serve(l, h.unclaimedConnection, cfg.Logger); err != nil {
			return invalid("host: %w", err)
		}
		return nil
	}
	if cfg.TCPAddr == "" {
		return nil
	}
	a, err := net.ResolveTCPAddr("tcp", cfg.TCPAddr)
	if err != nil {
		return invalid("host TCP address: %w", err)
	}
	addr := netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	if h.tcp, err = tcpmux.Listen(addr, h.unclaimedConnection, cfg.Logger); err != nil {
		return fmt.Errorf("rtcpeer: host: %w", err)
	}
	return nil
}

// TCPAddr is the TCP address of the host; invalid if it has none.
func (h *Host) TCPAddr() netip.AddrPort {
	if h.tcp == nil {
		return netip.AddrPort{}
	}
	return h.tcp.LocalAddr()
}

// tcpSock is the Sock of a host's TCP listener. Its UDP sockets have 0.
const tcpSock = 1

// listenTCP attaches a transport to the listener, and adds the listener's addresses.
func (n hostNetwork) listenTCP(h handler, addrs []netip.Addr, ports *[]port, locals *[]local) error {
	if n.host.tcp == nil {
		return nil
	}
	p, err := n.host.tcp.Attach(h, tcpSock)
	if err != nil {
		return err
	}
	*ports = append(*ports, p)
	if bound := n.host.TCPAddr().Addr(); !bound.IsUnspecified() {
		addrs = []netip.Addr{bound}
	}
	for _, a := range addrs {
		*locals = append(*locals, n.passive(a)...)
	}
	return nil
}

// passive returns the passive candidate of an address; nothing if the listener does
// not serve it.
func (n hostNetwork) passive(a netip.Addr) []local {
	bound := n.host.TCPAddr()
	if !bound.IsValid() || a.Is6() && bound.Addr().Is4() || !bound.Addr().IsUnspecified() && a != bound.Addr() {
		return nil
	}
	return []local{{sock: tcpSock, addr: netip.AddrPortFrom(a, bound.Port()), tcp: ice.TCPPassive}}
}

// dial implements network. Two hosts that both listen need active candidates, too.
func (n hostNetwork) dial(h handler, sock ice.Sock, addr netip.Addr) port {
	if n.host.tcp == nil {
		return nil
	}
	return tcpmux.NewDialer(h, sock, addr, n.tcp)
}

// vanished implements network: only connections from the address are closed.
func (n hostNetwork) vanished(q port) bool {
	_, gone := q.(*tcpmux.Dialer)
	if gone {
		q.Close()
	}
	return gone
}
