package udpmux

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/ice"
)

// A plainConn hides that a PacketConn is a UDP socket.
type plainConn struct{ net.PacketConn }

// sink is a PacketConn that takes everything and allocates nothing.
type sink struct {
	net.PacketConn
	sent int
}

func (c *sink) WriteTo(b []byte, to net.Addr) (int, error) { c.sent++; return len(b), nil }

// serveUDP serves a UDP socket of the test. With plain, the UDP socket is hidden in a
// plainConn.
func serveUDP(t *testing.T, plain bool, cfg Config) *Socket {
	t.Helper()
	udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var conn net.PacketConn = udp
	if plain {
		conn = plainConn{udp}
	}
	s, err := Serve(conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if s.Foreign() != plain {
		t.Errorf("Foreign reports %v", s.Foreign())
	}
	t.Cleanup(func() {
		s.Close()
		<-s.Done()
		if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
			t.Errorf("the PacketConn after Close: %v", err)
		}
		conn.Close()
	})
	return s
}

// TestServe sends bursts between PacketConns of the program.
func TestServe(t *testing.T) {
	for _, plain := range []bool{false, true} {
		a, b := serveUDP(t, plain, Config{}), serveUDP(t, plain, Config{})
		ha, hb := newRecorder(), newRecorder()
		pa := attach(t, a, ha, 7, true)
		attach(t, b, hb, 8, true)
		var want [][]byte
		for i := range 10 {
			want = append(want, slices.Repeat([]byte{byte(30 + i)}, 100))
		}
		if !pa.Write(ice.Route{Local: a.LocalAddr().Addr(), Remote: b.LocalAddr()}, slices.Concat(want...), 100) {
			t.Errorf("plain %v: the socket is full", plain)
		}
		for i, d := range hb.wait(t, len(want)) {
			if !slices.Equal(d, want[i]) {
				t.Errorf("plain %v: datagram %d is % x", plain, i, d)
			}
		}
		if r := hb.route(0); r != (ice.Route{Sock: 8, Local: b.LocalAddr().Addr(), Remote: a.LocalAddr()}) {
			t.Errorf("plain %v: the route is %v", plain, r)
		}
	}
}

// TestServeSendsWithoutAllocation sends to a few addresses again and again.
func TestServeSendsWithoutAllocation(t *testing.T) {
	c := &sink{}
	s := newSocketAt(netip.MustParseAddrPort("10.0.0.1:1"), Config{})
	s.packets = &packetConn{PacketConn: c, addrs: map[netip.AddrPort]net.Addr{}}
	s.writer.socket = s
	p := attach(t, s, newRecorder(), 0, false)
	b := slices.Repeat([]byte{30}, 1000)
	i := 0
	if n := testing.AllocsPerRun(200, func() {
		i++
		p.Write(ice.Route{Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), uint16(i%7+1))}, b, 100)
	}); n != 0 {
		t.Errorf("%v allocations for ten datagrams", n)
	}
	if c.sent != 2010 { // AllocsPerRun calls the function once more
		t.Errorf("%d datagrams were sent", c.sent)
	}
	// The number of cached addresses is bounded.
	for i := range 3 * maxPacketAddrs {
		s.packets.send(b, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1))
	}
	if n := len(s.packets.addrs); n > maxPacketAddrs {
		t.Errorf("%d addresses are remembered", n)
	}
}

// A failing is a PacketConn on which every read fails.
type failing struct{ sink }

func (c *failing) ReadFrom([]byte) (int, net.Addr, error) {
	return 0, nil, errors.New("test: unreadable")
}
func (c *failing) LocalAddr() net.Addr             { return &net.UDPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 1} }
func (c *failing) SetReadDeadline(time.Time) error { return nil }

// TestServeReportsFailure has a PacketConn that fails again and again end its reader.
func TestServeReportsFailure(t *testing.T) {
	h := newRecorder()
	s := newSocketAt(netip.MustParseAddrPort("10.0.0.1:1"), Config{})
	s.packets, s.kept = &packetConn{PacketConn: &failing{}}, true
	attach(t, s, h, 3, false)
	go s.read()
	select {
	case err := <-h.closed:
		if err == nil {
			t.Error("no error was reported")
		}
	case <-time.After(5 * time.Second):
		t.Fatal("the reader does not end")
	}
	<-s.Done()
}

// TestUsernameOfSeveralPorts checks which transport gets a request if two transports
// share a local ufrag by their whole USERNAMEs and a third transport has the local
// ufrag alone. Requests for unknown ufrags are reported to Unclaimed.
func TestUsernameOfSeveralPorts(t *testing.T) {
	unclaimed := make(chan string, 10)
	s := open(t, Config{Unclaimed: func(now time.Time, r ice.Route, b []byte) { unclaimed <- string(b[8:20]) }})
	one, other, rest := newRecorder(), newRecorder(), newRecorder()
	p1, p2, p3 := attach(t, s, one, 0, false), attach(t, s, other, 0, false), attach(t, s, rest, 0, false)
	if err := errors.Join(p1.AddUfrag("shared:one"), p2.AddUfrag("shared:other")); err != nil {
		t.Fatal(err)
	}
	if err := p3.AddUfrag("shared:one"); !errors.Is(err, ErrTaken) {
		t.Errorf("a USERNAME that another port has: %v", err)
	}
	c, err := net.Dial("udp4", s.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	id := byte(0)
	send := func(username string) {
		id++
		if _, err := c.Write(request(username, id)); err != nil {
			t.Fatal(err)
		}
	}
	send("shared:third")
	select {
	case <-unclaimed:
	case <-time.After(5 * time.Second):
		t.Fatal("a request for an unknown USERNAME was not reported")
	}
	if err := p3.AddUfrag("shared"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		send("shared:other")
		send("shared:third")
		send("shared:one")
	}
	for name, h := range map[string]*recorder{"one": one, "other": other, "rest": rest} {
		if n := len(h.wait(t, 3)); n != 3 {
			t.Errorf("%s has %d requests", name, n)
		}
	}
	for username, want := range map[string]bool{"shared:one": true, "shared:any": true, "nobody:one": false} {
		if got := s.Claimed(username); got != want {
			t.Errorf("Claimed(%q) is %v", username, got)
		}
	}
	if len(unclaimed) != 0 {
		t.Errorf("%d requests of known ufrags were reported", len(unclaimed))
	}
}
