package rtcpeer

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// A packetSwitch is a network of PacketConns in memory.
type packetSwitch struct {
	mu    sync.Mutex
	conns map[netip.AddrPort]*switchConn
}

// A switchConn is a PacketConn on a packetSwitch.
type switchConn struct {
	network *packetSwitch
	addr    netip.AddrPort
	in      chan memDatagram
	closed  chan struct{}
	once    sync.Once

	mu       sync.Mutex
	deadline time.Time
	changed  chan struct{} // closed when the deadline changes
}

func newPacketSwitch() *packetSwitch { return &packetSwitch{conns: map[netip.AddrPort]*switchConn{}} }

// listen returns a PacketConn that is bound to addr. An earlier PacketConn with this
// address receives nothing from now on.
func (n *packetSwitch) listen(addr string) *switchConn {
	c := &switchConn{
		network: n, addr: netip.MustParseAddrPort(addr), in: make(chan memDatagram, 1024),
		closed: make(chan struct{}), changed: make(chan struct{}),
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns[c.addr] = c
	return c
}

func (c *switchConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		c.mu.Lock()
		deadline, changed := c.deadline, c.changed
		c.mu.Unlock()
		var expired <-chan time.Time
		if !deadline.IsZero() {
			expired = time.After(time.Until(deadline))
		}
		select {
		case d := <-c.in:
			return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
		case <-c.closed:
			return 0, nil, net.ErrClosed
		case <-expired:
			return 0, nil, os.ErrDeadlineExceeded
		case <-changed:
		}
	}
}

func (c *switchConn) WriteTo(b []byte, to net.Addr) (int, error) {
	c.network.mu.Lock()
	remote := c.network.conns[to.(*net.UDPAddr).AddrPort()]
	c.network.mu.Unlock()
	if remote != nil {
		select {
		case remote.in <- memDatagram{from: c.addr, b: slices.Clone(b)}:
		default: // the datagram is lost, as with a full socket buffer
		}
	}
	return len(b), nil
}

func (c *switchConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	close(c.changed)
	c.changed = make(chan struct{})
	return nil
}

func (c *switchConn) Close() error                     { c.once.Do(func() { close(c.closed) }); return nil }
func (c *switchConn) LocalAddr() net.Addr              { return net.UDPAddrFromAddrPort(c.addr) }
func (c *switchConn) SetDeadline(t time.Time) error    { return c.SetReadDeadline(t) }
func (c *switchConn) SetWriteDeadline(time.Time) error { return nil }

// hostOn makes a Host on a PacketConn of the program. The Host is closed at the test's
// end.
func hostOn(t *testing.T, conn net.PacketConn) *Host {
	t.Helper()
	h, err := NewHost(HostConfig{PacketConn: conn})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestHostOnPacketConnInMemory connects two Hosts whose PacketConns are not sockets of
// the system, so nothing leaves the process.
func TestHostOnPacketConnInMemory(t *testing.T) {
	network := newPacketSwitch()
	one, other := network.listen("10.0.0.1:4000"), network.listen("10.0.0.2:5000")
	ha, hb := hostOn(t, one), hostOn(t, other)
	a, _, x, y := realPairOf(t, Config{Host: ha}, Config{Host: hb})
	transfer(t, x, y)
	transfer(t, y, x)
	p := selectedPair(t, a)
	if p.Local.Addr != one.addr || p.Remote.Addr != other.addr {
		t.Errorf("the pair is %v, %v", p.Local.Addr, p.Remote.Addr)
	}
	if n := a.Stats().SCTPTransport.MTU; n > defaultDatagramSize {
		t.Errorf("SCTP sends packets of %d bytes through a PacketConn that may fragment them", n)
	}
}

// TestHostReturnsPacketConn closes a Host and uses its PacketConn afterwards.
func TestHostReturnsPacketConn(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	for name, conn := range map[string]net.PacketConn{"UDP socket": udp, "in memory": newPacketSwitch().listen("10.0.0.1:4000")} {
		for range 2 { // the second Host uses the PacketConn after the first Host is closed
			h := hostOn(t, conn)
			if h.Addr().String() != conn.LocalAddr().String() {
				t.Errorf("%s: the host has the address %v, not %v", name, h.Addr(), conn.LocalAddr())
			}
			if name == "UDP socket" {
				_, _, x, y := realPairOf(t, Config{}, Config{Host: h})
				transfer(t, x, y)
			}
			if err := h.Close(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		// Both datagrams are sent before the first is read, to check that the kernel
		// does not join them (GRO).
		for _, text := range []string{"after the host", "and once more"} {
			if _, err := conn.WriteTo([]byte(text), conn.LocalAddr()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		want := map[string]bool{"after the host": true, "and once more": true}
		b := make([]byte, 2000)
		for len(want) > 0 {
			conn.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, _, err := conn.ReadFrom(b)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			delete(want, string(b[:n])) // datagrams of the closed connection may come first
		}
	}
}

// A sharedConn is the part of a UDP socket that another protocol leaves to a Host.
// Datagrams of the other protocol begin with a byte of 128 or more, as those of QUIC
// can.
type sharedConn struct {
	*net.UDPConn
	other chan []byte // datagrams of the other protocol
}

func (c sharedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := c.UDPConn.ReadFrom(b)
		if err != nil || n == 0 || b[0] < 128 {
			return n, from, err
		}
		c.other <- slices.Clone(b[:n])
	}
}

// TestHostSharesPort has a Host and another protocol use one UDP socket.
func TestHostSharesPort(t *testing.T) {
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	conn := sharedConn{udp, make(chan []byte, 10)}
	h := hostOn(t, conn)
	_, _, x, y := realPairOf(t, Config{}, Config{Host: h})
	client, err := net.Dial("udp4", udp.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for range 3 {
		transfer(t, x, y)
		// No protocol's datagrams begin with this byte, so the host drops the
		// datagram.
		if _, err := client.Write([]byte{100, 1, 2, 3}); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte{0xc0, 'q'}); err != nil {
			t.Fatal(err)
		}
		select {
		case b := <-conn.other:
			if len(b) != 2 || b[1] != 'q' {
				t.Errorf("the other protocol got %x", b)
			}
		case <-time.After(5 * time.Second):
			t.Fatal("the other protocol got nothing")
		}
		transfer(t, y, x)
	}
}

// TestHostOnListener connects over TCP to a Host with a Listener that the program
// opened.
func TestHostOnListener(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", Listener: l})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	a, _, x, y := realPairWithout(t, Config{}, Config{Host: h}, withoutUDP)
	transfer(t, x, y)
	if p := selectedPair(t, a); p.Remote.Addr.String() != l.Addr().String() {
		t.Errorf("connected to %v, not to %v", p.Remote.Addr, l.Addr())
	}
	h.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Host.Close: %v", err)
	}
}

// A unixAddr is a PacketConn with a local address that has neither IP address nor
// port.
type unixAddr struct{ net.PacketConn }

func (unixAddr) LocalAddr() net.Addr { return &net.UnixAddr{Name: "/nowhere", Net: "unixgram"} }

func TestHostConfigOfOwnSockets(t *testing.T) {
	network := newPacketSwitch()
	conn := network.listen("10.0.0.1:4000")
	l, err := net.Listen("unix", t.TempDir()+"/socket")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, cfg := range map[string]HostConfig{
		"both Addr and PacketConn":  {PacketConn: conn, Addr: ":0"},
		"several sockets":           {PacketConn: conn, Sockets: 2},
		"a PacketConn without port": {PacketConn: unixAddr{conn}},
		"a Listener without port":   {PacketConn: conn, Listener: l},
		"both TCPAddr and Listener": {PacketConn: conn, Listener: l, TCPAddr: ":0"},
	} {
		if _, err := NewHost(cfg); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The Hosts that were refused do not read the PacketConn.
	if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, _, err := conn.ReadFrom(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("read %d bytes, %v", n, err)
	}
}

// TestHostLocalAddresses has LocalAddresses choose the candidates of a Host that is
// bound to all addresses.
func TestHostLocalAddresses(t *testing.T) {
	network := newPacketSwitch()
	h := hostOn(t, network.listen("0.0.0.0:4000"))
	c := New()
	defer c.Close()
	only := netip.MustParseAddr("10.1.2.3")
	if err := c.Initialize(Config{Host: h, LocalAddresses: []netip.Addr{only}}); err != nil {
		t.Fatal(err)
	}
	c.OnSessionDescriptionCreated(func(typ, sdp string) { c.SetLocalDescription(typ, sdp) })
	kept, err := c.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if err := c.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for c.GatheringState() != GatheringStateComplete {
		if err := c.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		c.Poll()
	}
	local := c.Report().ICE.Local
	if len(local) != 1 || local[0].Addr != netip.AddrPortFrom(only, 4000) {
		t.Errorf("the candidates are %v", local)
	}
}
