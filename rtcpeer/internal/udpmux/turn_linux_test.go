//go:build !386

package udpmux

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"time"

	"purertc/ice"
)

// Lingering returns at once where something waits, gives up after a while
// where nothing comes, and stops where that never pays.
func TestLinger(t *testing.T) {
	if runtime.GOMAXPROCS(0) == 1 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	}
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var l turn
	l.init(raw)
	if _, err := conn.WriteTo([]byte("x"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	for n := 0; l.credit != maxCredit; n++ { // a few, or more on a loaded machine
		if l.linger(); n > 1000 || l.credit > maxCredit {
			t.Fatalf("credit %v with a datagram there", l.credit)
		}
	}
	if _, _, err := conn.ReadFrom(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	tries := 0
	for ; l.pause == 0; tries++ {
		if l.linger(); tries > 100 {
			t.Fatal("goes on in vain for ever")
		}
	}
	if time.Since(begin) < time.Duration(tries)*lingerTime {
		t.Errorf("%d tries took %v", tries, time.Since(begin))
	}
	for range lingerPause {
		l.linger()
	}
	if l.pause != 0 || l.credit != startCredit {
		t.Errorf("pause %d, credit %v after the pause", l.pause, l.credit)
	}
	if n := testing.AllocsPerRun(100, func() { l.linger() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	conn.Close()
	l.linger()
}

// atLeastTwo has a test run with two processors: with one nobody lingers.
func atLeastTwo(t *testing.T) {
	if n := runtime.GOMAXPROCS(0); n == 1 {
		runtime.GOMAXPROCS(2)
		t.Cleanup(func() { runtime.GOMAXPROCS(n) })
	}
}

// Only one can take a turn, and only from a reader that lingers, or where it
// was left.
func TestTurnTaken(t *testing.T) {
	x := turn{back: make(chan struct{}, 1)}
	if x.take() {
		t.Error("taken from a reader that reads")
	}
	x.state.Store(turnLingering)
	if !x.take() {
		t.Error("not taken from a reader that lingers")
	}
	if x.take() {
		t.Error("taken from who leads")
	}
	x.leave()
	if !x.take() {
		t.Error("not taken where it was left")
	}
	x.giveBack()
	if x.take() {
		t.Error("taken though it was given back")
	}
	if x.stand() || x.state.Load() != turnReading {
		t.Error("the reader did not get it back")
	}
}

// While several want to lead, who does yields more often, until one alone has
// for a while.
func TestTurnSought(t *testing.T) {
	x := turn{back: make(chan struct{}, 1)}
	x.state.Store(turnLingering)
	x.take()
	if x.yieldAfter() != yieldLooks {
		t.Error("nobody else wants to lead")
	}
	x.take()
	for i := range soughtTurns {
		if x.yieldAfter() != soughtLooks {
			t.Fatalf("forgotten after %d turns", i)
		}
		x.leave()
		x.leftAt = time.Now().Add(time.Hour) // a slow machine is not the matter
		x.take()
	}
	if x.yieldAfter() != yieldLooks {
		t.Error("not forgotten")
	}
	// Nor does a reader that is alone remember it.
	x.take()
	for range soughtTurns {
		x.linger()
	}
	if x.yieldAfter() != yieldLooks {
		t.Error("not forgotten by the reader")
	}
}

// A reader takes its turn again where who led does not come back, and does
// not lend it for a while.
func TestTurnDeserted(t *testing.T) {
	x := turn{back: make(chan struct{}, 1)}
	x.state.Store(turnLent)
	x.leave()
	if !x.stand() || x.state.Load() != turnReading {
		t.Fatal("not taken back")
	}
	x.state.Store(turnLingering)
	for i := range leadPause {
		if x.take() {
			t.Fatalf("lent after %d times", i)
		}
	}
	if !x.take() {
		t.Error("never lent again")
	}
}

// Who stays away for long does not get the turn.
func TestTurnAway(t *testing.T) {
	x := turn{back: make(chan struct{}, 1)}
	x.state.Store(turnLingering)
	if !x.take() {
		t.Fatal("not taken")
	}
	for i := 0; ; i++ {
		x.leave()
		x.leftAt = x.leftAt.Add(-4 * maxAway)
		if !x.take() {
			break
		}
		if i > 8 {
			t.Fatal("taken again and again")
		}
	}
	if x.state.Load() != turnReturned || x.unfit.Load() != leadPause {
		t.Errorf("state %d, unfit %d", x.state.Load(), x.unfit.Load())
	}
}

// Who leads delivers what comes until it has what it waits for.
func TestLead(t *testing.T) {
	atLeastTwo(t)
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0", "0.0.0.0:0", "[::]:0"} {
		t.Run(addr, func(t *testing.T) { testLead(t, netip.MustParseAddrPort(addr)) })
	}
}

func testLead(t *testing.T, addr netip.AddrPort) {
	s, err := newSocket(Config{Addr: addr})
	if err != nil && addr.Addr().Is6() {
		t.Skipf("no IPv6 on this machine: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ready := make(chan struct{}, 1)
	h := newRecorder()
	h.onData = func() {
		if len(h.got)%3 == 0 {
			ready <- struct{}{}
		}
	}
	port := attach(t, s, h, 5, true)
	ctx := context.Background()
	if port.Lead(ctx, ready) {
		t.Error("led though the reader does not linger")
	}

	to := s.LocalAddr()
	if to.Addr().IsUnspecified() {
		to = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), to.Port())
	}
	far, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	waits := newWaits()
	send := func(n int) {
		for range n {
			if _, err := far.Write([]byte{33, 44}); err != nil {
				t.Fatal(err)
			}
		}
		waits.until(t, s)
	}

	s.turn.state.Store(turnLingering)
	send(4)
	if !port.Lead(ctx, ready) || s.turn.state.Load() != turnLeft {
		t.Fatalf("did not lead: state %d", s.turn.state.Load())
	}
	want := ice.Route{Sock: 5, Local: to.Addr(), Remote: far.LocalAddr().(*net.UDPAddr).AddrPort()}
	if got := h.wait(t, 3); len(got) != 3 || string(got[2]) != "!," {
		t.Errorf("got %q", got)
	}
	if got := h.route(2); got != want {
		t.Errorf("route %v, want %v", got, want)
	}

	// With nothing to come the reader is to go on.
	<-ready
	s.turn.leftAt = time.Now().Add(time.Hour) // a slow machine is not the matter
	if !port.Lead(ctx, ready) || s.turn.state.Load() != turnReturned || len(h.wait(t, 4)) != 4 {
		t.Errorf("state %d", s.turn.state.Load())
	}
	if s.turn.stand() {
		t.Error("deserted")
	}

	// A context that is done ends it, but not what comes.
	done, cancel := context.WithCancel(ctx)
	cancel()
	s.turn.state.Store(turnLingering)
	send(1)
	if !port.Lead(done, ready) || s.turn.state.Load() != turnLeft || len(h.wait(t, 5)) != 5 {
		t.Errorf("state %d", s.turn.state.Load())
	}

	// So does the socket's end.
	s.Close()
	s.turn.leftAt = time.Now().Add(time.Hour)
	if !port.Lead(ctx, ready) || s.turn.state.Load() != turnReturned {
		t.Errorf("state %d after Close", s.turn.state.Load())
	}
}

// A waits tells that something waits to be read: on a loaded machine even the
// loopback interface may take longer than anybody lingers.
type waits struct {
	n    int
	err  error
	look func(fd uintptr)
}

func newWaits() *waits {
	w := new(waits)
	w.look = func(fd uintptr) { w.n, w.err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, soMemInfo) }
	return w
}

func (w *waits) until(t *testing.T, s *Socket) {
	for begin := time.Now(); ; runtime.Gosched() {
		if err := errors.Join(s.turn.raw.Control(w.look), w.err); err != nil || time.Since(begin) > 10*time.Second {
			t.Fatalf("nothing came: %v", err)
		}
		if w.n > 0 {
			return
		}
	}
}

// Leading does not allocate.
func TestLeadAllocations(t *testing.T) {
	atLeastTwo(t)
	s, err := newSocket(Config{Addr: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ready := make(chan struct{}, 1)
	port := attach(t, s, &notifier{ready}, 0, true)
	to := s.LocalAddr()
	s.turn.state.Store(turnLingering)
	ctx := context.Background()
	waits := newWaits()
	n := testing.AllocsPerRun(1000, func() {
		s.conn.WriteToUDPAddrPort([]byte("x"), to)
		waits.until(t, s)
		s.turn.leftAt = time.Now().Add(time.Hour) // a slow machine is not the matter
		if !port.Lead(ctx, ready) || len(ready) != 1 {
			t.Fatalf("did not lead: state %d", s.turn.state.Load())
		}
		<-ready
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A notifier is a handler that tells that something came.
type notifier struct{ ready chan struct{} }

func (h *notifier) HandleDatagrams(time.Time, ice.Route, []byte, int) { h.ready <- struct{}{} }
func (h *notifier) Writable(int16)                                    {}
func (h *notifier) SocketClosed(int16, error)                         {}
