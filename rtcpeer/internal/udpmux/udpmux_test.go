package udpmux

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// A recorder is a handler that stores what it receives.
type recorder struct {
	mu       sync.Mutex
	got      [][]byte
	routes   []ice.Route
	batches  int
	writable chan ice.Sock
	closed   chan error
	arrived  chan struct{}
	onData   func()
}

func newRecorder() *recorder {
	return &recorder{writable: make(chan ice.Sock, 16), closed: make(chan error, 16), arrived: make(chan struct{}, 1)}
}

func (h *recorder) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	h.mu.Lock()
	h.batches++
	for len(b) > 0 {
		n := min(segment, len(b))
		h.got = append(h.got, bytes.Clone(b[:n]))
		h.routes = append(h.routes, r)
		clear(b[:n]) // this overwrites the datagram, as decryption in place does
		b = b[n:]
	}
	f := h.onData
	h.mu.Unlock()
	select {
	case h.arrived <- struct{}{}:
	default:
	}
	if f != nil {
		f()
	}
}

func (h *recorder) Writable(sock ice.Sock)                { h.writable <- sock }
func (h *recorder) SocketClosed(sock ice.Sock, err error) { h.closed <- err }

// wait returns the first n datagrams.
func (h *recorder) wait(t *testing.T, n int) [][]byte {
	t.Helper()
	timeout := time.After(5 * time.Second)
	for {
		h.mu.Lock()
		got := h.got
		h.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-h.arrived:
		case <-timeout:
			t.Fatalf("%d datagrams, want %d", len(got), n)
		}
	}
}

func (h *recorder) route(i int) ice.Route {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.routes[i]
}

func open(t testing.TB, cfg Config) *Socket {
	t.Helper()
	if !cfg.Addr.IsValid() {
		cfg.Addr = netip.MustParseAddrPort("127.0.0.1:0")
	}
	s, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		<-s.Done()
	})
	return s
}

func attach(t testing.TB, s *Socket, h Handler, sock ice.Sock, sole bool) *Port {
	t.Helper()
	p, err := s.Attach(h, sock, sole)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func offloads(t *testing.T, f func(t *testing.T, cfg Config)) {
	t.Run("offload", func(t *testing.T) { f(t, Config{}) })
	t.Run("plain", func(t *testing.T) { f(t, Config{DisableOffload: true}) })
	t.Run("busy polling", func(t *testing.T) { f(t, Config{BusyPoll: 100 * time.Microsecond}) })
	t.Run("plain by environment", func(t *testing.T) {
		t.Setenv("PURERTC_DISABLE_OFFLOAD", "1")
		f(t, Config{})
	})
}

func TestSoleBursts(t *testing.T) {
	offloads(t, func(t *testing.T, cfg Config) {
		a, b := open(t, cfg), open(t, cfg)
		ha, hb := newRecorder(), newRecorder()
		pa, pb := attach(t, a, ha, 7, true), attach(t, b, hb, 8, true)
		var want [][]byte
		for _, sizes := range [][2]int{{1, 10}, {1200, 1200}, {1200, 1200*3 + 5}, {1200, 1200 * 100}, {100, 100 * 200}, {9000, 60000}, {0, 17}} {
			segment, total := sizes[0], sizes[1]
			burst := make([]byte, total)
			for i := range burst {
				burst[i] = byte(20 + i%40)
			}
			r := ice.Route{Remote: b.LocalAddr()}
			if !pa.Write(r, burst, segment) {
				t.Fatal("the socket is full")
			}
			if segment == 0 {
				segment = total
			}
			for rest := burst; len(rest) > 0; rest = rest[min(segment, len(rest)):] {
				want = append(want, rest[:min(segment, len(rest))])
			}
			got := hb.wait(t, len(want))
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("datagram %d has %d bytes, want %d", i, len(got[i]), len(want[i]))
				}
			}
		}
		r := hb.route(0)
		if r.Sock != 8 || r.Local != b.LocalAddr().Addr() || r.Remote != a.LocalAddr() {
			t.Errorf("route %v", r)
		}
		pb.Write(r, []byte{33}, 1)
		ha.wait(t, 1)
		gso, gro := a.Offload()
		if off := cfg.DisableOffload; off && (gso || gro) {
			t.Error("offload is on")
		}
		t.Logf("gso %v, gro %v: %d datagrams in %d batches", gso, gro, len(want), hb.batches)
	})
}

func request(username string, id byte) []byte {
	w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{id})
	w.String(stun.AttrUsername, username)
	return w.Finish()
}

func response(id byte) []byte {
	w := stun.Build(nil, stun.BindingSuccess, stun.TransactionID{id})
	return w.Finish()
}

func TestSharedDemultiplexing(t *testing.T) {
	offloads(t, func(t *testing.T, cfg Config) {
		s := open(t, cfg)
		h1, h2 := newRecorder(), newRecorder()
		p1, p2 := attach(t, s, h1, 1, false), attach(t, s, h2, 2, false)
		if err := p1.AddUfrag("one"); err != nil {
			t.Fatal(err)
		}
		if err := p2.AddUfrag("two"); err != nil {
			t.Fatal(err)
		}
		far := open(t, Config{})
		hf := newRecorder()
		pf := attach(t, far, hf, 0, true)
		to := ice.Route{Remote: s.LocalAddr()}
		n1, n2 := 0, 0
		expect := func(why string, h *recorder, n *int) {
			t.Helper()
			*n++
			h.wait(t, *n)
			h1.mu.Lock()
			h2.mu.Lock()
			if len(h1.got) != n1 || len(h2.got) != n2 {
				t.Errorf("%s: %d and %d datagrams, want %d and %d", why, len(h1.got), len(h2.got), n1, n2)
			}
			h2.mu.Unlock()
			h1.mu.Unlock()
		}
		pf.Write(to, []byte{22, 1, 2}, 3) // data from an address that belongs to no port
		pf.Write(to, request("three:x", 1), 0)
		pf.Write(to, request("nothing", 1), 0)
		pf.Write(to, []byte{1, 1, 1}, 0)
		pf.Write(to, request("two:x", 1), 0)
		expect("a request is its ufrag's", h2, &n2)
		if err := p2.Bind(far.LocalAddr()); err != nil {
			t.Fatal(err)
		}
		pf.Write(to, []byte{22, 1, 2}, 3)
		expect("data is the bound peer's", h2, &n2)
		pf.Write(to, request("one:x", 2), 0)
		expect("a bound address may turn to another peer", h1, &n1)
		if err := p1.Bind(far.LocalAddr()); err != ErrTaken {
			t.Errorf("a bound address is given to another: %v", err)
		}
		pf.Write(to, response(9), 0)
		expect("an unknown response is the bound peer's", h2, &n2)
		p1.Write(ice.Route{Remote: far.LocalAddr()}, request("x:one", 9), 0)
		hf.wait(t, 1)
		pf.Write(to, response(9), 0)
		expect("a response is the asker's", h1, &n1)

		// A burst with STUN in the middle is received by one read with GRO.
		burst := append(bytes.Repeat([]byte{23}, 3*64), request("one:x", 5)[:36]...)
		pf.Write(to, burst[:3*64], 64)
		n2 += 2
		expect("a burst", h2, &n2)

		p2.Unbind(far.LocalAddr())
		if err := p1.Bind(far.LocalAddr()); err != nil {
			t.Errorf("after Unbind: %v", err)
		}
		pf.Write(to, []byte{22, 1, 2}, 3)
		expect("the new owner's", h1, &n1)
		p1.Close()
		if err := p2.Bind(far.LocalAddr()); err != nil {
			t.Errorf("after Close of the holder: %v", err)
		}
		pf.Write(to, []byte{22, 1, 2}, 3)
		expect("Close frees the address", h2, &n2)
		if err := p1.Bind(far.LocalAddr()); err != ErrClosed {
			t.Error(err)
		}
		if err := p1.AddUfrag("x"); err != ErrClosed {
			t.Error(err)
		}
		if err := p2.AddUfrag("one"); err != nil {
			t.Errorf("Close frees the ufrag: %v", err)
		}
		p2.RemoveUfrag("one")
		p2.Unbind(far.LocalAddr())
		pf.Write(to, request("one:x", 1), 0)
		pf.Write(to, request("two:x", 1), 0)
		expect("RemoveUfrag", h2, &n2)
	})
}

// If an address has answered a check of another peer, it belongs to that peer, too.
// The peer that had the address before, perhaps without knowing that its remote has
// ended, still gets encrypted datagrams.
func TestClaim(t *testing.T) {
	s := open(t, Config{})
	far := open(t, Config{})
	pf := attach(t, far, newRecorder(), 0, true)
	to := ice.Route{Remote: s.LocalAddr()}
	var handlers []*recorder
	var ports []*Port
	for i := range maxBefore + 2 {
		handlers = append(handlers, newRecorder())
		ports = append(ports, attach(t, s, handlers[i], ice.Sock(i), false))
	}
	got := make([]int, len(ports))
	expect := func(b []byte, who ...int) {
		t.Helper()
		pf.Write(to, b, 0)
		for _, i := range who {
			got[i]++
			if all := handlers[i].wait(t, got[i]); !bytes.Equal(all[got[i]-1], b) {
				t.Errorf("peer %d got %x", i, all[got[i]-1])
			}
		}
		for i, h := range handlers {
			h.mu.Lock()
			if len(h.got) != got[i] {
				t.Errorf("peer %d got %d datagrams, want %d", i, len(h.got), got[i])
			}
			h.mu.Unlock()
		}
	}
	encrypted, greeting := []byte{0x2f, 1, 2, 3, 4, 5}, []byte{22, 254, 253, 0, 0, 1}

	if err := ports[0].Bind(far.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if err := ports[1].Bind(far.LocalAddr()); err != ErrTaken {
		t.Errorf("bound without proof: %v", err)
	}
	expect(encrypted, 0)
	if err := ports[1].Claim(far.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	expect(encrypted, 0, 1)
	expect(greeting, 1)
	if err := ports[0].Claim(far.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	expect(greeting, 0)
	expect(encrypted, 0, 1)
	ports[0].Unbind(far.LocalAddr())
	expect(encrypted, 1)
	expect(greeting, 1)

	// If there are too many previous owners, the oldest one is removed.
	for _, p := range []int{2, 3, 4, 0} {
		if err := ports[p].Claim(far.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
	expect(encrypted, 2, 3, 4, 0)
	if len(ports[1].binds) != 0 {
		t.Error("a forgotten peer still has it")
	}
	ports[1].Close()
	for _, p := range []int{3, 0, 2} {
		ports[p].Close()
	}
	expect(greeting, 4)
	ports[4].Close()
	if d := &s.demux; len(d.bound)+len(d.before)+len(d.hosts) != 0 {
		t.Errorf("left: %v, %v, %v", d.bound, d.before, d.hosts)
	}
}

func TestDispatchSplitsMixedBatches(t *testing.T) {
	s := open(t, Config{})
	h1, h2 := newRecorder(), newRecorder()
	p1, p2 := attach(t, s, h1, 1, false), attach(t, s, h2, 2, false)
	from := netip.MustParseAddrPort("192.0.2.1:1")
	p1.Bind(from)
	p2.AddUfrag("two")
	q := request("two:abcd", 1)
	data := bytes.Repeat([]byte{23}, len(q))
	var b []byte
	for _, part := range [][]byte{data, data, q, data, q, data[:5]} {
		b = append(b, part...)
	}
	s.dispatch(time.Now(), ice.Route{Remote: from}, b, len(q))
	if len(h1.got) != 4 || h1.batches != 3 || len(h2.got) != 2 {
		t.Errorf("%d datagrams in %d batches, and %d", len(h1.got), h1.batches, len(h2.got))
	}
	if h1.routes[0].Sock != 1 || h2.routes[0].Sock != 2 {
		t.Errorf("routes %v %v", h1.routes[0], h2.routes[0])
	}
}

// Data from a new port of a host is offered to a few ports that are bound to another
// port of that host, at a limited rate. Each of them gets a copy of its own.
func TestOffers(t *testing.T) {
	s := open(t, Config{})
	at := func(host, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(host)}), uint16(port))
	}
	var peers []*recorder
	var ports []*Port
	for i := range maxOffered + 2 {
		peers = append(peers, newRecorder())
		ports = append(ports, attach(t, s, peers[i], ice.Sock(i), false))
		ports[i].Bind(at(1, 1+i))
	}
	other := newRecorder()
	attach(t, s, other, 0, false).Bind(at(2, 1))
	ports[0].Bind(at(3, 1))

	now := time.Now()
	offered := func(from netip.AddrPort, b ...byte) (n int) {
		for _, h := range append(peers, other) {
			h.got = nil
		}
		s.dispatch(now, ice.Route{Remote: from}, append(b, b...), len(b))
		now = now.Add(2 * offerWindow)
		for _, h := range append(peers, other) {
			if len(h.got) == 1 && bytes.Equal(h.got[0], b) {
				n++
			} else if len(h.got) > 0 {
				t.Errorf("%x was offered", h.got)
			}
		}
		return n
	}
	if n := offered(at(1, 1000), 23, 1); n != maxOffered {
		t.Errorf("offered to %d", n)
	}
	if n := offered(at(2, 1000), 23, 1); n != 1 || len(other.got) != 1 {
		t.Errorf("offered to %d ports of another host", n)
	}
	if n := offered(at(9, 1), 23, 1); n != 0 {
		t.Errorf("an unknown host's was offered to %d", n)
	}
	now = now.Add(time.Second)
	at0, total := now, 0
	for range 3 * maxOffers {
		now = at0
		total += offered(at(3, 1000), 23, 1)
	}
	if total != maxOfHost {
		t.Errorf("offered %d times at once, want %d", total, maxOfHost)
	}
	now = at0
	if n := offered(at(2, 1000), 23, 1); n != 1 {
		t.Error("one host uses up what another has")
	}
	for host := 10; host < 30; host++ {
		ports[0].Bind(at(host, 1))
		now = at0
		total += offered(at(host, 1000), 23, 1)
		ports[0].Unbind(at(host, 1))
	}
	if total++; total != maxOffers {
		t.Errorf("offered %d times at once, want %d", total, maxOffers)
	}
	ports[0].Unbind(at(3, 1))
	if n := offered(at(3, 1000), 23, 1); n != 0 {
		t.Errorf("offered to %d that have left", n)
	}
	for _, p := range ports {
		p.Close()
	}
	if n := offered(at(1, 1000), 23, 1); n != 0 || len(s.demux.hosts) != 1 {
		t.Errorf("offered to %d that are closed; %d hosts", n, len(s.demux.hosts))
	}
}

func TestLimits(t *testing.T) {
	s := open(t, Config{})
	p := attach(t, s, newRecorder(), 1, false)
	for i := range maxBinds + 1 {
		err := p.Bind(netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(i+1)))
		if (err == ErrLimit) != (i == maxBinds) {
			t.Fatalf("binding %d: %v", i, err)
		}
	}
	for i := range maxUfrags + 1 {
		err := p.AddUfrag(fmt.Sprint(i))
		if (err == ErrLimit) != (i == maxUfrags) {
			t.Fatalf("ufrag %d: %v", i, err)
		}
	}
	if p.AddUfrag("1") != nil || p.Bind(netip.MustParseAddrPort("192.0.2.1:1")) != nil {
		t.Error("adding twice is an error")
	}
	now := time.Now()
	for i := range 3 * maxQuestions {
		w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{byte(i), byte(i >> 8), byte(i >> 16)})
		s.demux.note(now, p, netip.MustParseAddrPort("192.0.2.9:1"), w.Finish())
	}
	if n := len(s.demux.waiting); n != maxQuestions {
		t.Errorf("%d requests remembered", n)
	}
	if n := len(s.demux.asked); n > 3*maxQuestions {
		t.Errorf("%d requests in the list", n)
	}
	s.demux.note(now.Add(time.Minute), p, netip.MustParseAddrPort("192.0.2.9:1"), request("x", 1))
	if n := len(s.demux.waiting); n != 1 {
		t.Errorf("%d requests remembered after a minute", n)
	}
	p.Close()
	if len(s.demux.waiting)+len(s.demux.bound)+len(s.demux.ufrags)+len(s.demux.ports) != 0 {
		t.Error("Close leaves something")
	}
}

func TestSoleExcludesOthers(t *testing.T) {
	s := open(t, Config{})
	p := attach(t, s, newRecorder(), 1, true)
	for _, sole := range []bool{true, false} {
		if _, err := s.Attach(newRecorder(), 2, sole); err != ErrNotSole {
			t.Errorf("%v", err)
		}
	}
	p.Close()
	q := attach(t, s, newRecorder(), 1, false)
	if _, err := s.Attach(newRecorder(), 2, true); err != ErrNotSole {
		t.Errorf("%v", err)
	}
	q.Close()
	s.Close()
	if _, err := s.Attach(newRecorder(), 2, true); err != ErrClosed {
		t.Errorf("%v", err)
	}
	if err := s.Close(); err != ErrClosed {
		t.Errorf("%v", err)
	}
	if !p.Write(ice.Route{Remote: s.LocalAddr()}, []byte{1}, 1) {
		t.Error("a closed port says that it is full")
	}
}

func TestCloseWithinHandler(t *testing.T) {
	s, far := open(t, Config{}), open(t, Config{})
	h := newRecorder()
	p := attach(t, s, h, 1, true)
	h.mu.Lock() // the reader already runs
	h.onData = func() { p.Close() }
	h.mu.Unlock()
	pf := attach(t, far, newRecorder(), 1, true)
	to := ice.Route{Remote: s.LocalAddr()}
	pf.Write(to, []byte{1}, 1)
	h.wait(t, 1)
	// A second peer shows that later datagrams have reached the socket.
	deadline := time.After(5 * time.Second)
	var p2 *Port
	h2 := newRecorder()
	for p2 == nil {
		select {
		case <-deadline:
			t.Fatal("the port stays")
		default:
			p2, _ = s.Attach(h2, 2, true)
		}
	}
	pf.Write(to, []byte{2}, 1)
	h2.wait(t, 1)
	if got := h.wait(t, 1); len(got) != 1 {
		t.Errorf("%d datagrams after Close", len(got))
	}
}

func TestWildcardKnowsItsAddress(t *testing.T) {
	for _, tc := range []struct{ listen, local string }{
		{"0.0.0.0:0", "127.0.0.1"}, {"0.0.0.0:0", "127.0.0.7"}, {"[::]:0", "127.0.0.7"}, {"[::]:0", "::1"},
	} {
		t.Run(tc.listen+" "+tc.local, func(t *testing.T) {
			s := open(t, Config{Addr: netip.MustParseAddrPort(tc.listen)})
			h := newRecorder()
			p := attach(t, s, h, 1, true)
			local := netip.MustParseAddr(tc.local)
			listen := "127.0.0.1:0"
			if local.Is6() {
				listen = "[::1]:0"
			}
			far := open(t, Config{Addr: netip.MustParseAddrPort(listen)})
			hf := newRecorder()
			pf := attach(t, far, hf, 1, true)
			dst := netip.AddrPortFrom(local, s.LocalAddr().Port())
			pf.Write(ice.Route{Remote: dst}, bytes.Repeat([]byte{30}, 500), 100)
			h.wait(t, 5)
			r := h.route(0)
			if !knowsLocal {
				return
			}
			if r.Local != local || r.Remote != far.LocalAddr() {
				t.Fatalf("route %v", r)
			}
			p.Write(r, bytes.Repeat([]byte{30}, 500), 100)
			hf.wait(t, 5)
			if got := hf.route(0).Remote; got != dst {
				t.Errorf("the answer comes from %v, want %v", got, dst)
			}
		})
	}
}

// An ICMP error, which the kernel reports at the next read, does not end the reader.
func TestPortUnreachable(t *testing.T) {
	s, far := open(t, Config{}), open(t, Config{})
	h := newRecorder()
	p, pf := attach(t, s, h, 1, true), attach(t, far, newRecorder(), 1, true)
	dead, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := dead.LocalAddr().(*net.UDPAddr).AddrPort()
	dead.Close()
	for range 20 {
		p.Write(ice.Route{Remote: addr}, []byte{22}, 1)
	}
	p.Write(ice.Route{Remote: netip.MustParseAddrPort("[::1]:9")}, []byte{22}, 1) // the address has another family: the datagram is lost
	pf.Write(ice.Route{Remote: s.LocalAddr()}, []byte{23}, 1)
	h.wait(t, 1)
}

func TestOversizedIsLost(t *testing.T) {
	s := open(t, Config{})
	h := newRecorder()
	p := attach(t, s, h, 1, true)
	to := ice.Route{Remote: s.LocalAddr()}
	if !p.Write(to, make([]byte, 70000), 70000) {
		t.Error("full")
	}
	p.Write(to, []byte{1}, 1)
	if got := h.wait(t, 1); len(got[0]) != 1 {
		t.Errorf("%d bytes", len(got[0]))
	}
}

func TestReceiveDoesNotAllocate(t *testing.T) {
	offloads(t, func(t *testing.T, cfg Config) {
		s, far := open(t, cfg), open(t, cfg)
		burst := bytes.Repeat([]byte{33}, 10*1000)
		h := &counter{got: make(chan int, 1), want: len(burst)}
		attach(t, s, h, 1, true)
		pf := attach(t, far, newRecorder(), 1, true)
		to := ice.Route{Remote: s.LocalAddr()}
		n := testing.AllocsPerRun(200, func() {
			pf.Write(to, burst, 1000)
			<-h.got
		})
		if n != 0 {
			t.Errorf("%v allocations a burst of 10, want 0", n)
		}
	})
}

// A counter counts bytes.
type counter struct {
	n, want int
	got     chan int
}

func (c *counter) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	if c.n += len(b); c.n >= c.want {
		c.n = 0
		c.got <- 0
	}
}
func (c *counter) Writable(ice.Sock)            {}
func (c *counter) SocketClosed(ice.Sock, error) {}

func benchmark(b *testing.B, cfg Config, shared bool) {
	s, far := open(b, cfg), open(b, cfg)
	const batch = 48
	burst := bytes.Repeat([]byte{33}, batch*1200)
	h := &counter{got: make(chan int, 1), want: len(burst)}
	p := attach(b, s, h, 1, !shared)
	p.Bind(far.LocalAddr())
	pf := attach(b, far, newRecorder(), 1, true)
	to := ice.Route{Remote: s.LocalAddr()}
	b.SetBytes(1200)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += batch {
		pf.Write(to, burst, 1200)
		<-h.got
	}
}

// BenchmarkOffload sends and receives datagrams in bursts of 48.
func BenchmarkOffload(b *testing.B) { benchmark(b, Config{}, false) }
func BenchmarkShared(b *testing.B)  { benchmark(b, Config{}, true) }
func BenchmarkPlain(b *testing.B)   { benchmark(b, Config{DisableOffload: true}, false) }

// The datagrams that wait for a full socket are limited, for each transport and for
// all transports together.
func TestPendingIsBounded(t *testing.T) {
	var w writer
	var ports []*Port
	for range 200 {
		p := new(Port)
		ports = append(ports, p)
		for range 10 {
			w.keep(p, ice.Route{}, make([]byte, 60_000), 1200)
		}
	}
	sum := 0
	for _, p := range ports {
		if sum += p.pendingBytes; p.pendingBytes > maxPending {
			t.Fatalf("%d bytes of one peer wait", p.pendingBytes)
		}
	}
	if sum != w.pendingBytes || sum > maxAllPending || sum < maxAllPending-60_000 {
		t.Errorf("%d bytes wait, %d are counted", sum, w.pendingBytes)
	}
	for _, p := range ports {
		w.forget(p)
	}
	if w.pendingBytes != 0 || len(w.waiters) != 0 {
		t.Errorf("%d bytes of %d peers stay", w.pendingBytes, len(w.waiters))
	}
}
