package udpmux

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"purertc/ice"
)

// An MDNS has two sockets, one for IPv4 and one for IPv6, in the multicast DNS groups
// (RFC 6762 §3), on every interface that supports multicast. It serves any number of
// transports; each transport receives everything.
//
// Its port, 5353, is shared with all other programs on the machine that use multicast
// DNS, such as browsers.
type MDNS struct {
	conns []*mdnsConn

	mu    sync.Mutex
	ports []*MDNSPort
	done  sync.WaitGroup
}

// An mdnsConn is the socket of one address family.
type mdnsConn struct {
	group   netip.AddrPort
	conn    net.PacketConn
	write   func(b []byte, ifIndex int, to net.Addr) error
	indices []int // indices of the interfaces that joined the group
}

// mdnsPort is the port of multicast DNS (RFC 6762 §3).
const mdnsPort = 5353

var errNoMulticast = errors.New("udpmux: no interface does multicast")

// ListenMDNS opens the sockets. If one address family does not work, only the other
// one is used.
func ListenMDNS() (*MDNS, error) {
	m := &MDNS{}
	c4, err4 := listenMDNS4()
	if err4 == nil {
		m.conns = append(m.conns, c4)
	}
	c6, err6 := listenMDNS6()
	if err6 == nil {
		m.conns = append(m.conns, c6)
	}
	if len(m.conns) == 0 {
		return nil, errors.Join(err4, err6)
	}
	for _, c := range m.conns {
		m.done.Add(1)
		go m.read(c)
	}
	return m, nil
}

func listenMDNS4() (*mdnsConn, error) {
	lc := net.ListenConfig{Control: shareAddress}
	// The socket is bound to all addresses, because some systems deliver no multicast
	// to a socket that is bound to the group.
	conn, err := lc.ListenPacket(context.Background(), "udp4", "0.0.0.0:5353")
	if err != nil {
		return nil, err
	}
	group := netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 251}), mdnsPort)
	p := ipv4.NewPacketConn(conn)
	p.SetMulticastLoopback(true) // browsers on this machine are the most frequent remotes
	p.SetMulticastTTL(255)       // RFC 6762 §11: the TTL is 255
	c := &mdnsConn{group: group, conn: conn}
	c.write = func(b []byte, ifIndex int, to net.Addr) error {
		_, err := p.WriteTo(b, &ipv4.ControlMessage{IfIndex: ifIndex}, to)
		return err
	}
	return c, c.join(p.JoinGroup)
}

func listenMDNS6() (*mdnsConn, error) {
	lc := net.ListenConfig{Control: shareAddress}
	conn, err := lc.ListenPacket(context.Background(), "udp6", "[::]:5353")
	if err != nil {
		return nil, err
	}
	group := netip.AddrPortFrom(netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0xfb}), mdnsPort)
	p := ipv6.NewPacketConn(conn)
	p.SetMulticastLoopback(true)
	p.SetMulticastHopLimit(255)
	c := &mdnsConn{group: group, conn: conn}
	c.write = func(b []byte, ifIndex int, to net.Addr) error {
		_, err := p.WriteTo(b, &ipv6.ControlMessage{IfIndex: ifIndex}, to)
		return err
	}
	return c, c.join(p.JoinGroup)
}

// join joins the group on every interface that allows it, including loopback.
func (c *mdnsConn) join(join func(*net.Interface, net.Addr) error) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		c.conn.Close()
		return err
	}
	group := &net.UDPAddr{IP: c.group.Addr().AsSlice()}
	for i := range interfaces {
		f := &interfaces[i]
		wanted := f.Flags&net.FlagUp != 0 && f.Flags&(net.FlagMulticast|net.FlagLoopback) != 0
		if wanted && join(f, group) == nil {
			c.indices = append(c.indices, f.Index)
		}
	}
	if len(c.indices) == 0 {
		c.conn.Close()
		return errNoMulticast
	}
	return nil
}

// read hands all packets that arrive to every transport.
func (m *MDNS) read(c *mdnsConn) {
	defer m.done.Done()
	buf := make([]byte, 9000) // RFC 6762 §17: no packet is longer
	for failures := 0; failures < maxReadErrors; {
		n, from, err := c.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		addr, ok := from.(*net.UDPAddr)
		if err != nil || !ok {
			failures++
			continue
		}
		failures = 0
		r := ice.Route{Sock: ice.SockMDNS, Remote: addr.AddrPort()}
		// RFC 6762 §6: responses come from port 5353.
		if r.Remote.Port() != mdnsPort {
			continue
		}
		now := time.Now()
		for _, p := range m.attached() {
			if !p.gone() {
				p.handler.HandleDatagrams(now, r, buf[:n], n)
			}
		}
	}
}

func (m *MDNS) attached() []*MDNSPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ports
}

// Close closes the sockets and waits for the readers to end. So a Handler must not
// call it.
func (m *MDNS) Close() error {
	var errs []error
	for _, c := range m.conns {
		errs = append(errs, c.conn.Close())
	}
	m.done.Wait()
	return errors.Join(errs...)
}

// An MDNSPort attaches one transport to an MDNS.
type MDNSPort struct {
	mdns    *MDNS
	handler Handler
	closed  bool // guarded by mdns.mu
}

// Attach attaches a transport, which receives all packets with ice.SockMDNS in the
// route.
func (m *MDNS) Attach(h Handler) *MDNSPort {
	p := &MDNSPort{mdns: m, handler: h}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ports = append(slices.Clone(m.ports), p) // a copy, because readers still use the old list
	return p
}

func (p *MDNSPort) gone() bool {
	p.mdns.mu.Lock()
	defer p.mdns.mu.Unlock()
	return p.closed
}

// Write sends a packet to the group r.Remote. It uses the interface that has the
// address r.Local, or every interface if r.Local is invalid. Errors are treated as
// losses, because queries are repeated.
func (p *MDNSPort) Write(r ice.Route, b []byte) {
	for _, c := range p.mdns.conns {
		if c.group != r.Remote {
			continue
		}
		to := net.UDPAddrFromAddrPort(c.group)
		only := 0
		if r.Local.IsValid() {
			only = interfaceOf(r.Local)
		}
		for _, index := range c.indices {
			if only == 0 || index == only {
				c.write(b, index, to)
			}
		}
	}
}

// interfaceOf returns the index of the interface that has an address, or 0 if there is
// none.
func interfaceOf(addr netip.Addr) int {
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface has just been removed
		}
		for _, a := range addrs {
			if n, ok := a.(*net.IPNet); ok && n.IP.Equal(addr.AsSlice()) {
				return i.Index
			}
		}
	}
	return 0
}

// Close detaches the transport. No call of its Handler begins after Close.
func (p *MDNSPort) Close() {
	m := p.mdns
	m.mu.Lock()
	defer m.mu.Unlock()
	p.closed = true
	m.ports = slices.DeleteFunc(slices.Clone(m.ports), func(q *MDNSPort) bool { return q == p })
}
