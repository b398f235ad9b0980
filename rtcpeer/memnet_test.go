package rtcpeer

import (
	"context"
	"errors"
	"net/netip"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/udpmux"
)

// A memNet is a network in memory with goroutines of its own, for tests in a synctest
// bubble, where its delays take virtual time.
type memNet struct {
	delay time.Duration

	mu      sync.Mutex
	sockets map[netip.AddrPort]*memSocket
	cut     bool // the network drops all datagrams
}

type memDatagram struct {
	from netip.AddrPort
	at   time.Time
	b    []byte
}

// A memSocket is the socket of an end, with a reader goroutine like a real one.
type memSocket struct {
	net    *memNet
	h      udpmux.Handler
	addr   netip.AddrPort
	in     chan memDatagram
	closed chan struct{}
	once   sync.Once
}

func newMemNet() *memNet {
	return &memNet{delay: 5 * time.Millisecond, sockets: map[netip.AddrPort]*memSocket{}}
}

// at returns the network for the end with one address.
func (n *memNet) at(addr string) network {
	return memAddress{net: n, addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 5000)}
}

type memAddress struct {
	fixedAddresses
	net  *memNet
	addr netip.AddrPort
}

func (a memAddress) open(h handler, _ addressChoice) ([]port, []local, error) {
	s := &memSocket{net: a.net, h: h, addr: a.addr, in: make(chan memDatagram, 4096), closed: make(chan struct{})}
	a.net.mu.Lock()
	a.net.sockets[a.addr] = s
	a.net.mu.Unlock()
	go s.read()
	return []port{s}, []local{{addr: a.addr}}, nil
}

func (s *memSocket) read() {
	for {
		select {
		case <-s.closed:
			return
		case d := <-s.in:
			select {
			case <-time.After(time.Until(d.at)):
				s.h.HandleDatagrams(time.Now(), ice.Route{Local: s.addr.Addr(), Remote: d.from}, d.b, len(d.b))
			case <-s.closed:
				return
			}
		}
	}
}

func (s *memSocket) AddUfrag(string) error     { return nil }
func (s *memSocket) RemoveUfrag(string)        {}
func (s *memSocket) Bind(netip.AddrPort) error { return nil }
func (s *memSocket) Unbind(netip.AddrPort)     {}

func (s *memSocket) Close() {
	s.once.Do(func() {
		close(s.closed)
		s.net.mu.Lock()
		defer s.net.mu.Unlock()
		if s.net.sockets[s.addr] == s {
			delete(s.net.sockets, s.addr)
		}
	})
}

func (s *memSocket) Write(r ice.Route, b []byte, segment int) bool {
	s.net.mu.Lock()
	defer s.net.mu.Unlock()
	to := s.net.sockets[r.Remote]
	if to == nil || s.net.cut {
		return true // the datagram is lost
	}
	for len(b) > 0 {
		n := min(segment, len(b))
		select {
		case to.in <- memDatagram{s.addr, time.Now().Add(s.net.delay), append([]byte(nil), b[:n]...)}:
		default: // the remote's buffer is full: the datagram is lost
		}
		b = b[n:]
	}
	return true
}

func (n *memNet) setCut(cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = cut
}

// newMemConn creates a Conn on the network.
func newMemConn(t testing.TB, n *memNet, addr string, cfg Config) *Conn {
	t.Helper()
	s := newStack()
	s.network = n.at(addr)
	c := connOf(s)
	if err := c.Initialize(cfg); err != nil {
		t.Fatal(err)
	}
	return c
}

// signalTo passes the descriptions and candidates of from to the Conn to.
func signalTo(t testing.TB, from, to *Conn) { signalWithout(t, from, to, nil) }

// signalWithout does the same as signalTo, without the candidates for which drop
// returns true.
func signalWithout(t testing.TB, from, to *Conn, drop func(name string) bool) {
	from.OnSessionDescriptionCreated(func(typ, sdp string) {
		if err := from.SetLocalDescription(typ, sdp); err != nil {
			t.Errorf("SetLocalDescription(%s): %v", typ, err)
		}
		if err := to.SetRemoteDescription(typ, sdp); err != nil {
			t.Errorf("SetRemoteDescription(%s): %v", typ, err)
		}
	})
	from.OnICECandidateCreated(func(media string, index int, name string) {
		if drop != nil && drop(name) {
			return
		}
		if err := to.AddICECandidate(media, index, name); err != nil && !errors.Is(err, ErrClosed) { // to may be closed at the end of the test
			t.Errorf("AddICECandidate(%q): %v", name, err)
		}
	})
}

// A memPair is two connected Conns and a channel between them, with
// goroutines that run them.
type memPair struct {
	net  *memNet
	a, b *Conn
	x, y *DataChannel // the ends of the channel
	stop context.CancelFunc
}

// inBubble runs f in a synctest bubble. The test fails if a goroutine still runs when
// f has returned.
func inBubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	// The garbage collector would close handles that the test has dropped. The runtime
	// does that outside of the bubble, where the bubble's channels must not be used.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	synctest.Test(t, f)
}

// connect creates two connected Conns with a channel.
func connect(t *testing.T, cfg Config, o ChannelOptions) *memPair {
	t.Helper()
	p := &memPair{net: newMemNet()}
	p.a, p.b = newMemConn(t, p.net, "10.0.0.1", cfg), newMemConn(t, p.net, "10.0.0.2", cfg)
	signalTo(t, p.a, p.b)
	signalTo(t, p.b, p.a)
	got := make(chan *DataChannel, 100)
	p.b.OnDataChannelReceived(func(ch *DataChannel) { got <- ch })
	var err error
	if p.x, err = p.a.CreateDataChannel("x", o); err != nil {
		t.Fatal(err)
	}
	if o.Negotiated {
		if p.y, err = p.b.CreateDataChannel("x", o); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	go p.a.Run(ctx)
	go p.b.Run(ctx)
	if !o.Negotiated {
		select {
		case p.y = <-got:
		case <-time.After(10 * time.Second):
			t.Fatal("no connection")
		}
	}
	// Both ends have reached that state when all goroutines of the bubble are blocked.
	synctest.Wait()
	waitFor(t, "both are connected", func() bool {
		return p.a.ConnectionState() == StateConnected && p.b.ConnectionState() == StateConnected &&
			p.x.ReadyState() == ChannelStateOpen && p.y.ReadyState() == ChannelStateOpen
	})
	return p
}

// waitFor lets virtual time pass until f is true.
func waitFor(t testing.TB, what string, f func() bool) {
	t.Helper()
	for range 200_000 {
		synctest.Wait()
		if f() {
			return
		}
		<-time.After(time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func (p *memPair) close() {
	p.a.Close()
	p.b.Close()
	p.stop()
}

// fixedAddresses is embedded in networks with addresses that do not change.
type fixedAddresses struct{}

func (fixedAddresses) watch(func([]netip.Addr)) (stop func())  { return func() {} }
func (fixedAddresses) dial(handler, ice.Sock, netip.Addr) port { return nil }
func (fixedAddresses) appeared(handler, ice.Sock, netip.Addr) (port, []local, error) {
	panic("no address has appeared")
}
func (fixedAddresses) vanished(port) bool { panic("no address has vanished") }
