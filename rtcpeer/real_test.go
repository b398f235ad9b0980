package rtcpeer

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/nettest"
)

// TestMain checks that no test leaves a goroutine.
func TestMain(m *testing.M) {
	if cfg := os.Getenv(namespaceVariable); cfg != "" {
		if err := namespacePeer(cfg); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	fuzzing := flag.Lookup("test.fuzz").Value.String() != "" // fuzzing has goroutines of its own
	if code == 0 && !fuzzing && !goroutinesDown(before) {
		buf := make([]byte, 1<<20)
		fmt.Printf("goroutines are left:\n%s\n", buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// goroutinesDown waits until at most n goroutines are left.
func goroutinesDown(n int) bool {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if runtime.NumGoroutine() <= n {
			return true
		}
		<-tick.C
	}
	return false
}

// realPair connects two ends over loopback UDP.
func realPair(t testing.TB, cfg Config) (a, b *Conn, x, y *DataChannel) {
	t.Helper()
	return realPairOf(t, cfg, cfg)
}

func realPairOf(t testing.TB, cfg, cfgB Config) (a, b *Conn, x, y *DataChannel) {
	t.Helper()
	return realPairWithout(t, cfg, cfgB, nil)
}

// hostPair does the same as realPairOf. The second end uses a Host.
func hostPair(t testing.TB) (h *Host, a, b *Conn, x, y *DataChannel) {
	t.Helper()
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() }) // runs after the cleanup of the pair
	a, b, x, y = realPairOf(t, Config{}, Config{Host: h})
	return h, a, b, x, y
}

// realPairWithout does the same as realPairOf, without the candidates for which drop
// returns true.
func realPairWithout(t testing.TB, cfg, cfgB Config, drop func(name string) bool) (a, b *Conn, x, y *DataChannel) {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() { // runs after the cleanup of the pair
		if !goroutinesDown(before) {
			t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	})
	return besideOthers(t, cfg, cfgB, drop)
}

// besideOthers does the same as realPairWithout, for a test that runs in parallel with
// other tests. It does not count goroutines, because some belong to the other tests.
func besideOthers(t testing.TB, cfg, cfgB Config, drop func(name string) bool) (a, b *Conn, x, y *DataChannel) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	a, b = New(), New()
	cfg.IncludeLoopback, cfgB.IncludeLoopback = true, true
	if err := errors.Join(a.Initialize(cfg), b.Initialize(cfgB)); err != nil {
		t.Fatal(err)
	}
	signalWithout(t, a, b, drop)
	signalWithout(t, b, a, drop)
	got := make(chan *DataChannel, 1)
	b.OnDataChannelReceived(func(ch *DataChannel) {
		select {
		case got <- ch:
		default: // channels that a test opens later
		}
	})
	x, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for _, c := range []*Conn{a, b} {
		running.Go(func() { c.Run(ctx) })
	}
	t.Cleanup(func() {
		a.Close()
		b.Close()
		cancel()
		running.Wait()
	})
	select {
	case y = <-got:
	case <-time.After(10 * time.Second):
		t.Fatal("no connection over loopback")
	}
	// The state changes at Poll. b's channel may be received before a's next Poll.
	waitReal(t, 10*time.Second, "the offerer is connected", func() bool { return a.ConnectionState() == StateConnected })
	return a, b, x, y
}

// A channel as a net.Conn passes the tests of x/net/nettest.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
		_, _, x, y := realPair(t, Config{SendBufferSize: 64 << 10})
		if c1, err = x.NetConn(); err != nil {
			return nil, nil, nil, err
		}
		if c2, err = y.NetConn(); err != nil {
			return nil, nil, nil, err
		}
		return c1, c2, func() { c1.Close(); c2.Close() }, nil
	})
}

func TestNetConnErrors(t *testing.T) {
	a, _, x, y := realPair(t, Config{})
	c, err := x.NetConn()
	if err != nil {
		t.Fatal(err)
	}
	far, err := y.NetConn()
	if err != nil {
		t.Fatal(err)
	}
	if pair, ok := a.SelectedPair(); !ok || c.LocalAddr().String() != pair.Local.Addr.String() || c.RemoteAddr().String() != pair.Remote.Addr.String() {
		t.Errorf("addresses %v, %v", c.LocalAddr(), c.RemoteAddr())
	}
	// Empty packets are skipped. A long write is split into packets.
	ctx := context.Background()
	if err := errors.Join(x.Send(ctx, nil, false), x.Send(ctx, []byte("ab"), false)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 1)
	for _, want := range "ab" {
		if n, err := far.Read(buf); err != nil || n != 1 || rune(buf[0]) != want {
			t.Fatalf("%q, %v", buf[:n], err)
		}
	}
	if n, err := c.Write(make([]byte, 200_000)); err != nil || n != 200_000 {
		t.Errorf("%d, %v", n, err)
	}
	if n, err := far.Read(nil); n != 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	far.SetReadDeadline(time.Now().Add(-time.Second))
	far.SetReadDeadline(time.Time{})
	for got, buf := 0, make([]byte, 100_000); got < 200_000; {
		n, err := far.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		got += n
	}
	a.Close()
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) || !errors.Is(err, ErrClosed) || strings.Contains(err.Error(), "\n") {
		t.Errorf("Write after the connection's Close: %v", err)
	}
	if _, err := far.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after the far connection's Close: %v", err)
	}
	far.Close()
	if _, err := far.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

// Concurrent writes are not interleaved, even if they are long.
func TestNetConnWritesWhole(t *testing.T) {
	_, _, x, y := realPair(t, Config{})
	c, err := x.NetConn()
	if err != nil {
		t.Fatal(err)
	}
	far, err := y.NetConn()
	if err != nil {
		t.Fatal(err)
	}
	const writers, size = 4, 5 * writeSize
	var writing sync.WaitGroup
	defer writing.Wait()
	for i := range writers {
		writing.Go(func() {
			if _, err := c.Write(bytes.Repeat([]byte{byte(i)}, size)); err != nil {
				t.Error(err)
			}
		})
	}
	buf := make([]byte, size)
	for range writers {
		if _, err := io.ReadFull(far, buf); err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(buf, buf[:1]); n != size {
			t.Errorf("%d bytes of one Write, then another's", n)
		}
	}
}

// If nothing refers to a handle, its channel is closed. A handle with a handler, a
// NetConn or a blocked call stays open.
func TestCollected(t *testing.T) {
	a, b, _, _ := realPair(t, Config{})
	received := make(chan *DataChannel, 10)
	b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
	open := func(use func(d *DataChannel)) *DataChannel {
		d, err := a.OpenDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Send(context.Background(), []byte("hi"), true); err != nil {
			t.Fatal(err)
		}
		use(d)
		peer := <-received
		if p, _, err := peer.Receive(context.Background()); err != nil || string(p) != "hi" {
			t.Fatalf("%q, %v", p, err)
		}
		return peer
	}
	var kept net.Conn
	blocked, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done sync.WaitGroup
	gone := open(func(*DataChannel) {})
	alive := map[string]*DataChannel{
		"handler":                  open(func(d *DataChannel) { d.OnStateChanged(func() {}) }),
		"handler that refers back": open(func(d *DataChannel) { d.OnPacketReceived(func() { d.GetPacket() }) }),
		"NetConn":                  open(func(d *DataChannel) { kept, _ = d.NetConn() }),
		"Receive":                  open(func(d *DataChannel) { done.Go(func() { d.Receive(blocked) }) }),
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for i := 0; gone.ReadyState() != ChannelStateClosed; i++ {
		if i == 1000 {
			t.Fatal("a channel whose handle is gone is still open")
		}
		runtime.GC()
		<-tick.C
	}
	for range 3 {
		runtime.GC()
		<-tick.C
	}
	for name, d := range alive {
		if d.ReadyState() != ChannelStateOpen {
			t.Errorf("%s: %v", name, d.ReadyState())
		}
	}
	cancel()
	done.Wait()
	kept.Close()
}

// Many goroutines call Close and all other methods at the same time. The race detector
// checks them.
func TestCloseConcurrently(t *testing.T) {
	for round := range 8 {
		a, b, x, y := realPair(t, Config{})
		var all sync.WaitGroup
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		loop := func(f func() error) {
			all.Go(func() {
				for range 100 {
					if err := f(); errors.Is(err, ErrClosed) {
						return
					}
				}
			})
		}
		for _, c := range []*Conn{a, b} {
			far := a
			if c == a {
				far = b
			}
			c.OnDataChannelReceived(func(*DataChannel) {})
			c.OnSessionDescriptionCreated(func(typ, sdp string) { // both ends offer, so many calls return errors
				c.SetLocalDescription(typ, sdp)
				far.SetRemoteDescription(typ, sdp)
			})
			c.OnICECandidateCreated(func(media string, index int, name string) { far.AddICECandidate(media, index, name) })
			loop(func() error { c.Poll(); return nil })
			loop(func() error { _, err := c.OpenDataChannel("y", ChannelOptions{}); runtime.Gosched(); return err })
			loop(func() error { c.Stats(); c.LocalDescription(); c.RemoteDescription(); return c.RestartICE() })
			loop(func() error { return c.AddICECandidate("0", 0, "candidate:1 1 udp 1 127.0.0.1 9 typ host") })
			loop(func() error { return c.CreateOffer() })
		}
		for _, d := range []*DataChannel{x, y} {
			loop(func() error { return d.PutPacket(make([]byte, 1000)) })
			loop(func() error { return d.Send(ctx, nil, true) })
			loop(func() error { _, _, err := d.Receive(ctx); return err })
			loop(func() error {
				d.OnPacketReceived(func() {})
				d.OnBufferedAmountLow(1, func() {})
				d.GetPacket()
				return nil
			})
			loop(func() error { d.BufferedAmount(); d.ID(); d.MaxPacketSize(); d.ReadyState(); return nil })
		}
		all.Go(func() {
			for range 100 * round {
				runtime.Gosched()
			}
			switch round % 4 {
			case 0:
				a.Close()
			case 1:
				soon, cancel := context.WithTimeout(ctx, 100*time.Millisecond) // possibly no goroutine reads the queued data
				b.Shutdown(soon)
				cancel()
			case 2:
				a.Initialize(Config{})
			case 3:
				x.Close()
				a.Close()
				a.Close()
			}
			a.Close()
			b.Close()
		})
		all.Wait()
		cancel()
	}
}

// Every handler calls Close.
func TestCloseInHandlers(t *testing.T) {
	for _, where := range []string{"state", "candidate", "description", "channel", "packet"} {
		before := runtime.NumGoroutine()
		a, b := New(), New()
		if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{IncludeLoopback: true})); err != nil {
			t.Fatal(err)
		}
		link := func(from, to *Conn) {
			from.OnSessionDescriptionCreated(func(typ, sdp string) {
				from.SetLocalDescription(typ, sdp)
				to.SetRemoteDescription(typ, sdp)
				if where == "description" {
					from.Close()
				}
			})
			from.OnICECandidateCreated(func(media string, index int, name string) {
				to.AddICECandidate(media, index, name)
				if where == "candidate" {
					from.Close()
				}
			})
		}
		link(a, b)
		link(b, a)
		b.OnStateChanged(func() {
			if where == "state" && b.ConnectionState() == StateConnected {
				b.Close()
			}
		})
		b.OnDataChannelReceived(func(ch *DataChannel) {
			if where == "channel" {
				b.Close()
			}
			ch.OnPacketReceived(func() { b.Close() })
		})
		ch, err := a.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		a.CreateOffer()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		var running sync.WaitGroup
		running.Go(func() { ch.Send(ctx, []byte("x"), true) })
		running.Go(func() { a.Run(ctx) })
		running.Go(func() { b.Run(ctx) })
		if where == "candidate" || where == "description" {
			// The remote end is not told.
			b.Wait(ctx)
			a.Close()
			b.Close()
		}
		running.Wait()
		if ctx.Err() != nil || a.ConnectionState() != StateClosed || b.ConnectionState() != StateClosed {
			t.Errorf("%s: %v, states %v and %v", where, ctx.Err(), a.ConnectionState(), b.ConnectionState())
		}
		cancel()
		if !goroutinesDown(before) {
			t.Errorf("%s: %d goroutines, %d before", where, runtime.NumGoroutine(), before)
		}
	}
}

func TestHost(t *testing.T) {
	for _, addr := range []string{"x", "127.0.0.1:99999", "[::1"} {
		if _, err := NewHost(HostConfig{Addr: addr}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%q: %v", addr, err)
		}
	}
	h, err := NewHost(HostConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if h.Addr().Port() == 0 {
		t.Errorf("address %v", h.Addr())
	}
	if _, err := NewHost(HostConfig{Addr: fmt.Sprint(":", h.Addr().Port())}); err == nil {
		t.Error("a port in use was opened again")
	}
	for range 2 {
		realPairOf(t, Config{}, Config{Host: h})
	}
	t.Cleanup(func() { // runs before the cleanup of the connections
		if err := errors.Join(h.Close(), h.Close()); err != nil {
			t.Error(err)
		}
	})
}

// Config.Filter is called for every datagram in both directions, while the
// connection's lock is held.
func TestFilter(t *testing.T) {
	var p atomic.Pointer[transport]
	var unlocked atomic.Bool
	seen := map[bool]int{}
	a, _, x, y := realPairOf(t, Config{Filter: func(outgoing bool, b []byte) bool {
		if p := p.Load(); p != nil && p.mu.TryLock() {
			p.mu.Unlock()
			unlocked.Store(true)
		}
		seen[outgoing]++
		return len(b) > 0 && seen[outgoing]%10 != 0 // one datagram in ten is lost
	}}, Config{})
	p.Store(a.ext.(*stack).transport)
	for range 50 {
		if err := x.Send(context.Background(), make([]byte, 10_000), false); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		if b, _, err := y.Receive(context.Background()); err != nil || len(b) != 10_000 {
			t.Fatalf("%d bytes, %v", len(b), err)
		}
	}
	a.Close()
	if unlocked.Load() {
		t.Error("called without the connection's lock")
	}
	if seen[true] < 100 || seen[false] < 100 {
		t.Errorf("seen %v", seen)
	}
}
