package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"
	"weak"

	"purertc/ice"
	"purertc/stun"
)

// TestConnectingDoesNotStall holds the lock of a connection during set-up, as its
// public-key operations do, while datagrams for it arrive. A connected connection of
// the same Host still receives.
func TestConnectingDoesNotStall(t *testing.T) {
	h, _, _, x, y := hostPair(t)
	transfer(t, x, y)

	a, b := New(), New()
	defer a.Close()
	defer b.Close()
	if err := a.Initialize(Config{IncludeLoopback: true}); err != nil {
		t.Fatal(err)
	}
	if err := b.Initialize(Config{Host: h}); err != nil {
		t.Fatal(err)
	}
	signalTo(t, a, b)
	held := make(chan *transport, 1)
	b.OnSessionDescriptionCreated(func(typ, sdp string) {
		b.SetLocalDescription(typ, sdp)
		p := b.ext.(*stack).transport
		p.mu.Lock() // the lock is taken before either end sends anything
		held <- p
		if err := a.SetRemoteDescription(typ, sdp); err != nil {
			t.Error(err)
		}
		candidate := fmt.Sprintf("candidate:1 1 udp 2126511871 %v %d typ host", h.Addr().Addr(), h.Addr().Port())
		if err := a.AddICECandidate("0", 0, candidate); err != nil {
			t.Error(err)
		}
	})
	opened := make(chan bool, 1)
	b.OnDataChannelReceived(func(*DataChannel) { opened <- true })
	kept, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
	var running sync.WaitGroup
	running.Go(func() { a.Run(ctx) })
	running.Go(func() { b.Run(ctx) })
	defer running.Wait()
	defer stop()

	p := <-held
	release := sync.OnceFunc(p.mu.Unlock)
	defer release() // otherwise a failure would block the test
	for tick := time.Tick(time.Millisecond); ; <-tick {
		if p.queue.some.Load() {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("nothing was postponed")
		}
	}
	transfer(t, x, y)
	transfer(t, y, x)
	release()
	select {
	case <-opened:
	case <-ctx.Done():
		t.Fatalf("the peer that was held did not connect:\n%v\n%v", a.Report(), b.Report())
	}
	for tick := time.Tick(time.Millisecond); !p.queue.direct.Load(); <-tick {
		if ctx.Err() != nil {
			t.Fatal("datagrams of a connected peer are postponed")
		}
	}
}

// The reader of a shared socket does not wait for a connection during set-up, not even
// with STUN. Later datagrams are queued behind earlier ones.
func TestReaderDoesNotWait(t *testing.T) {
	like := []byte{0, 1, 0, 0} // a datagram that looks like STUN
	bare := func() *transport {
		p := &transport{closed: true, now: time.Now}
		p.queue.workers, p.mu.transport = new(workers), p
		return p
	}
	p := bare()
	p.mu.Lock()
	done := make(chan bool)
	go func() {
		p.HandleDatagrams(time.Now(), ice.Route{}, like, len(like))
		close(done)
	}()
	select {
	case <-done:
		p.mu.Unlock()
	case <-time.After(5 * time.Second):
		p.mu.Unlock()
		t.Fatal("the reader waits for the peer")
	}
	end := time.Now().Add(5 * time.Second)
	for tick := time.Tick(time.Millisecond); p.queue.some.Load(); <-tick {
		if time.Now().After(end) {
			t.Fatal("what waits was not run")
		}
	}

	q := bare()
	q.queue.listed.Store(true) // a worker is to run the queued input
	q.HandleDatagrams(time.Now(), ice.Route{}, []byte{22}, 1)
	q.HandleDatagrams(time.Now(), ice.Route{}, like, len(like))
	if n := len(q.queue.input.datagrams); n != 2 {
		t.Errorf("%d datagrams wait: STUN overtook what came before it", n)
	}
}

// Forged data causes no check of its source address, even if it comes from the
// remote's host.
func TestForgedDataFromElsewhere(t *testing.T) {
	h, a, b, x, y := hostPair(t)
	transfer(t, x, y)
	for _, c := range []*Conn{a, b} {
		pairs := len(c.Report().ICE.Pairs)
		var to netip.AddrPort
		for _, p := range c.Report().ICE.Pairs {
			if p.Selected {
				to = p.Local.Addr
			}
		}
		if c == b {
			to = h.Addr()
		}
		s, err := net.Dial("udp", to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for i := range 200 {
			record := []byte{23, 254, 253, 0, 1, 0, 0, 0, 0, 0, byte(i), 0, 100} // DTLS 1.2
			if i%2 == 0 {
				record = []byte{0x2f, 0, byte(i), 0, 100} // DTLS 1.3
			}
			if _, err := s.Write(append(record, make([]byte, 100)...)); err != nil {
				t.Fatal(err)
			}
		}
		transfer(t, x, y)
		transfer(t, y, x)
		if r := c.Report(); len(r.ICE.Pairs) != pairs {
			t.Errorf("%d pairs before, now:\n%v", pairs, r)
		}
	}
}

// An old record proves nothing about the remote's address, because an attacker may
// have stored it.
func TestLateDataProvesNothing(t *testing.T) {
	_, a, b, x, y := hostPair(t)
	transfer(t, x, y)
	from, to := a.ext.(*stack).transport, b.ext.(*stack).transport
	from.mu.Lock()
	defer from.mu.Unlock() // the transport from sends nothing else while its lock is held
	to.mu.Lock()
	defer to.mu.Unlock()
	record := func() []byte {
		d := from.core.dtls
		return d.FinishRecord(append(d.BeginRecord(nil), make([]byte, 12)...), 0)
	}
	kept, newest, more := record(), record(), record()
	for _, step := range []struct {
		why  string
		b    []byte
		want bool
	}{
		{"the newest", slices.Clone(newest), true},
		{"a replay", newest, false},
		{"what was kept", slices.Clone(kept), false},
		{"both of what was kept and what is new", append(more, kept...), true},
	} {
		if got := to.core.handleData(time.Now(), step.b); got != step.want {
			t.Errorf("%s: proven %v", step.why, got)
		}
	}
}

// TestUnauthenticatedStateIsBounded floods a Host on which a connection waits for its
// remote. The flood consists of unauthenticated checks that name the connection, and
// of other datagrams. They add no candidates and little memory.
func TestUnauthenticatedStateIsBounded(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	c := New()
	defer c.Close()
	if err := c.Initialize(Config{Host: h}); err != nil {
		t.Fatal(err)
	}
	kept, err := c.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	c.OnSessionDescriptionCreated(func(typ, sdp string) { c.SetLocalDescription(typ, sdp) })
	if err := c.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	c.Poll()
	p := c.ext.(*stack).transport

	var flood [][]byte
	wrong := stun.NewIntegrity([]byte("a password that is not the right one"))
	forged := func(id stun.TransactionID) []byte {
		w := stun.Build(nil, stun.BindingRequest, id)
		w.Bytes(stun.AttrUsername, []byte(p.gatherer.ufrag+":them"))
		w.Bytes(stun.AttrPriority, []byte{0, 0, 1, id[0]})
		w.Integrity(wrong)
		w.Fingerprint()
		return w.Finish()
	}
	for i := range 250 {
		flood = append(flood, forged(stun.TransactionID{byte(i)}))
		flood = append(flood, append([]byte{22, 254, 253, 0, 0, 0, 0, 0, 0, 0, byte(i), 3, 232}, make([]byte, 1000)...)) // DTLS
		flood = append(flood, make([]byte, 700))                                                                         // a datagram of no known protocol
	}
	inUse := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := inUse()
	for range 20 { // number of source addresses
		s, err := net.Dial("udp4", h.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for _, b := range flood {
			s.Write(b)
		}
		if !refused(s, forged(stun.TransactionID{0xff})) {
			t.Fatal("a forged check was not refused")
		}
	}
	if grown := inUse() - before; grown > 256<<10 {
		t.Errorf("%d bytes more are in use", grown)
	}
	p.queue.mu.Lock()
	if in := p.queue.input; in != nil && in.cost > maxConnecting {
		t.Errorf("%d bytes are in the queue, of %d", in.cost, maxConnecting)
	}
	p.queue.mu.Unlock()
	if r := c.Report(); len(r.ICE.Remote) > 0 || len(r.ICE.Pairs) > 0 {
		t.Errorf("there are %d remote candidates and %d pairs", len(r.ICE.Remote), len(r.ICE.Pairs))
	}
}

// refused sends a request until an error response arrives. The Host has then read all
// earlier datagrams.
func refused(s net.Conn, request []byte) bool {
	want, err := stun.Parse(request)
	if err != nil {
		return false
	}
	b := make([]byte, 2000)
	for range 200 {
		s.Write(request)
		s.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		for {
			n, err := s.Read(b)
			if err != nil {
				break
			}
			m, err := stun.Parse(b[:n])
			if err == nil && m.TransactionID() == want.TransactionID() && m.Type().Class() == stun.ClassError {
				return true
			}
		}
	}
	return false
}

// dialHost creates a connection to the Host up to its offer. received gets a value
// when the remote has received its channel.
func dialHost(t *testing.T, h *Host) (a, b *Conn, kept *DataChannel, received <-chan bool) {
	t.Helper()
	a, b = New(), New()
	if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{Host: h})); err != nil {
		t.Fatal(err)
	}
	signalTo(t, a, b)
	signalTo(t, b, a)
	came := make(chan bool, 1)
	b.OnDataChannelReceived(func(*DataChannel) { came <- true })
	kept, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	return a, b, kept, came
}

// In TestHostRun one goroutine in Run serves two connections of a Host, until the Host
// is closed.
func TestHostRun(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	waiting := New() // this connection has events that wait for Poll
	defer waiting.Close()
	if err := waiting.Initialize(Config{Host: h}); err != nil {
		t.Fatal(err)
	}
	h.push(waiting)
	if err := h.Run(canceled); !errors.Is(err, context.Canceled) {
		t.Errorf("Run with a context that has ended: %v", err)
	}
	h.mu.Lock()
	if h.ready.first != waiting || h.ready.last != waiting {
		t.Error("what waited was taken nevertheless")
	}
	h.mu.Unlock()
	ran := make(chan error, 1)
	go func() { ran <- h.Run(context.Background()) }()
	for range 2 {
		a, b, kept, received := dialHost(t, h)
		defer a.Close()
		defer b.Close()
		defer kept.Close()
		go a.Run(t.Context())
		select {
		case <-received:
		case <-time.After(20 * time.Second):
			t.Fatal("the host's connection was not polled")
		}
	}
	h.Close()
	if err := <-ran; err != nil {
		t.Errorf("Run after Close: %v", err)
	}
}

// If the connections of a Host are polled by goroutines in Conn.Run, and not by Ready,
// the Host keeps no reference to connections that either end has closed.
func TestHostReleasesClosed(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var closed []weak.Pointer[Conn]
	for i := range 4 {
		func() {
			a, b, kept, received := dialHost(t, h)
			defer kept.Close()
			var running sync.WaitGroup
			running.Go(func() { a.Run(t.Context()) })
			running.Go(func() { b.Run(t.Context()) })
			select {
			case <-received:
			case <-time.After(20 * time.Second):
				t.Fatal("no connection")
			}
			if i%2 == 0 {
				b.Close()
			}
			a.Close()
			running.Wait() // Run of b ends, too, because the remote closes
			closed = append(closed, weak.Make(b))
		}()
	}
	wantCollected(t, closed)
}

// After Initialize a queued connection may belong to another Host.
func TestHostChanged(t *testing.T) {
	var hosts [2]*Host
	for i := range hosts {
		h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		hosts[i] = h
	}
	c := New()
	defer c.Close()
	for _, h := range hosts {
		if err := c.Initialize(Config{Host: h}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := c.CreateOffer(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if got, err := hosts[1].Ready(ctx); got != c {
		t.Errorf("Ready of the second host: %v, %v", got, err)
	}
	if hosts[0].ready.first != nil {
		t.Error("the first host still has it")
	}
}

// Run of a Host calls handlers that are set late, on an idle connection: for the
// channel's present state, and for a waiting packet.
func TestHostRunLateHandlers(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- h.Run(context.Background()) }()
	defer func() { h.Close(); <-ran }()
	a, b := New(), New()
	defer a.Close()
	defer b.Close()
	if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{Host: h})); err != nil {
		t.Fatal(err)
	}
	signalTo(t, a, b)
	signalTo(t, b, a)
	received := make(chan *DataChannel, 1)
	b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
	x, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go a.Run(ctx)
	var y *DataChannel
	select {
	case y = <-received:
	case <-ctx.Done():
		t.Fatal("no connection")
	}
	late, err := b.OpenDataChannel("late", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := x.PutPacket([]byte("waits")); err != nil {
		t.Fatal(err)
	}
	for tick := time.Tick(time.Millisecond); late.ReadyState() != ChannelStateOpen || y.AvailablePacketCount() == 0; <-tick {
		if ctx.Err() != nil {
			t.Fatal("no channel or no packet")
		}
	}
	for what, set := range map[string]func(f func()){"the state": late.OnStateChanged, "the packet": y.OnPacketReceived} {
		<-time.After(200 * time.Millisecond) // nothing is in flight that could wake Run
		told := make(chan bool, 1)
		set(func() { told <- true })
		select {
		case <-told:
		case <-time.After(3 * time.Second):
			t.Errorf("no handler was called for %s", what)
		}
	}
}

// A remote that restarts with the same address, as after a crash, is connected at
// once, although the old connection still has the address.
func TestRemoteRestartsOnItsAddress(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	crashed, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	a, _, _, _ := realPairOf(t, Config{Host: h}, Config{Host: crashed})
	crashed.Close()
	anew, err := NewHost(HostConfig{Addr: crashed.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { anew.Close() })
	_, _, x, y := realPairOf(t, Config{Host: h}, Config{Host: anew})
	crossover(t, x, y)
	if s := a.ConnectionState(); s != StateConnected {
		t.Errorf("the connection from before is %v already: this test shows nothing", s)
	}
}

func twoHosts(t *testing.T) (hosts [2]*Host) {
	t.Helper()
	for i := range hosts {
		h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		hosts[i] = h
	}
	return hosts
}

// Two Hosts have two connections with each other, established one after the other.
// When one connection is closed, the other continues.
func TestTwoHosts(t *testing.T) {
	hosts := twoHosts(t)
	_, _, x1, y1 := realPairOf(t, Config{Host: hosts[0]}, Config{Host: hosts[1]})
	a2, _, x2, y2 := realPairOf(t, Config{Host: hosts[0]}, Config{Host: hosts[1]})
	for range 10 {
		crossover(t, x1, y1)
		crossover(t, x2, y2)
	}
	a2.Close()
	for range 10 {
		crossover(t, x1, y1)
	}
}

// An ICE-lite end sends no checks, so it cannot validate a remote address. It does not
// bind an address that another connection has.
func TestLiteHostKeepsAddresses(t *testing.T) {
	hosts := twoHosts(t)
	_, _, x, y := realPairOf(t, Config{Host: hosts[0]}, Config{Host: hosts[1], ICELite: true})
	a, b := New(), New()
	t.Cleanup(func() { a.Close(); b.Close() })
	if err := errors.Join(a.Initialize(Config{Host: hosts[0]}), b.Initialize(Config{Host: hosts[1], ICELite: true})); err != nil {
		t.Fatal(err)
	}
	signalTo(t, a, b)
	signalTo(t, b, a)
	kept, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go a.Run(ctx)
	go b.Run(ctx)
	for begin := time.Now(); !b.Stats().CandidatePair.Remote.IsValid(); runtime.Gosched() {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("no pair is selected")
		}
	}
	for range 100 {
		crossover(t, x, y)
	}
	if s := b.ConnectionState(); s == StateConnected {
		t.Errorf("the other connection is %v", s)
	}
}

// crossover sends a message in each direction between the two ends of a channel.
func crossover(t *testing.T, x, y *DataChannel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for _, way := range [][2]*DataChannel{{x, y}, {y, x}} {
		if err := way[0].Send(ctx, []byte("over"), false); err != nil {
			t.Fatal(err)
		}
		if b, _, err := way[1].Receive(ctx); err != nil || string(b) != "over" {
			t.Fatalf("%q, %v", b, err)
		}
	}
}

// The methods of a zero Host return ErrUnconfigured.
func TestZeroHost(t *testing.T) {
	var h Host
	ctx := context.Background()
	if err := h.Run(ctx); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("Run: %v", err)
	}
	if _, err := h.Ready(ctx); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("Ready: %v", err)
	}
	if err := h.Close(); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("Close: %v", err)
	}
	if h.Addr().IsValid() || h.TCPAddr().IsValid() {
		t.Errorf("addresses %v and %v", h.Addr(), h.TCPAddr())
	}
}
