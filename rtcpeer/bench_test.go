package rtcpeer

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"purertc/ice"
)

// A wire connects two stacks without sockets, goroutines or timers, so that a
// benchmark measures only the stacks.
type wire struct {
	now  time.Time
	ends [2]*wireEnd
}

// A wireEnd is the network of one stack, with one socket.
type wireEnd struct {
	fixedAddresses
	w    *wire
	conn *Conn
	addr netip.AddrPort
	h    handler
	out  []wireBatch // written batches; elements beyond the length are buffers that are used again
}

type wireBatch struct {
	b       []byte
	segment int
}

func (e *wireEnd) open(h handler, _ addressChoice) ([]port, []local, error) {
	e.h = h
	return []port{e}, []local{{addr: e.addr}}, nil
}

func (e *wireEnd) AddUfrag(string) error     { return nil }
func (e *wireEnd) RemoveUfrag(string)        {}
func (e *wireEnd) Bind(netip.AddrPort) error { return nil }
func (e *wireEnd) Unbind(netip.AddrPort)     {}
func (e *wireEnd) Close()                    {}

func (e *wireEnd) Write(r ice.Route, b []byte, segment int) bool {
	if n := len(e.out); n < cap(e.out) {
		e.out = e.out[:n+1]
	} else {
		e.out = append(e.out, wireBatch{})
	}
	last := &e.out[len(e.out)-1]
	last.b, last.segment = append(last.b[:0], b...), segment
	return true
}

// run delivers datagrams until both ends are idle.
func (w *wire) run() {
	for moved := true; moved; {
		moved = false
		for i, e := range w.ends {
			to := w.ends[1-i]
			for n := 0; n < len(e.out); n++ {
				moved = true
				w.now = w.now.Add(10 * time.Microsecond)
				to.h.HandleDatagrams(w.now, ice.Route{Local: to.addr.Addr(), Remote: e.addr}, e.out[n].b, e.out[n].segment)
			}
			e.out = e.out[:0]
		}
	}
}

// connectWire connects two stacks over a wire, with a channel between them, until the
// test ends.
func connectWire(t testing.TB) (w *wire, x, y *DataChannel) { return connectWireWith(t, Config{}) }

// connectWireWith is connectWire with a configuration of the first end.
func connectWireWith(t testing.TB, cfg Config) (w *wire, x, y *DataChannel) {
	w, x, y = dialWire(t, cfg)
	t.Cleanup(w.close)
	return w, x, y
}

func (w *wire) close() {
	for _, e := range w.ends {
		e.conn.Close()
	}
}

func dialWire(t testing.TB, cfg Config) (w *wire, x, y *DataChannel) {
	w = &wire{now: time.Unix(1e9, 0)}
	for i := range w.ends {
		e := &wireEnd{w: w, addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + i)}), 5000)}
		s := newStack()
		s.network, s.now = e, func() time.Time { return w.now }
		e.conn = connOf(s)
		w.ends[i] = e
		if err := e.conn.Initialize(cfg); err != nil {
			t.Fatal(err)
		}
		cfg = Config{} // of the second end
	}
	a, b := w.ends[0].conn, w.ends[1].conn
	signalTo(t, a, b)
	signalTo(t, b, a)
	b.OnDataChannelReceived(func(d *DataChannel) { y = d })
	x, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	for n := 0; y == nil || x.ReadyState() != ChannelStateOpen; n++ {
		if n > 10_000 {
			t.Fatal("does not connect")
		}
		w.now = w.now.Add(time.Millisecond)
		for _, e := range w.ends {
			e.conn.Poll()
			e.conn.ext.(*stack).transport.fire()
		}
		w.run()
	}
	return w, x, y
}

// carry sends a message and receives it.
func carry(t testing.TB, w *wire, from, to *DataChannel, msg []byte, recycle bool) {
	if err := from.PutPacket(msg); err != nil {
		t.Fatal(err)
	}
	w.run()
	p, err := to.GetPacket()
	if err != nil || len(p) != len(msg) {
		t.Fatalf("%d bytes, %v", len(p), err)
	}
	if recycle {
		to.Recycle(p)
	}
}

// TestStackAllocations checks that in steady state a datagram causes no allocation in
// any layer, and a message only the allocation of the slice that the caller keeps.
func TestStackAllocations(t *testing.T) {
	if raced {
		t.Skip("the race detector has sync.Pool forget at random")
	}
	for _, size := range []int{64, 1000, 16384, 100_000} {
		w, x, y := connectWire(t)
		msg := make([]byte, size)
		for range 200 {
			carry(t, w, x, y, msg, true)
		}
		if n := testing.AllocsPerRun(200, func() { carry(t, w, x, y, msg, true) }); n != 0 {
			t.Errorf("%v allocations for a message of %d bytes that is given back", n, size)
		}
		if n := testing.AllocsPerRun(200, func() { carry(t, w, x, y, msg, false) }); n > 1 {
			t.Errorf("%v allocations for a message of %d bytes, want 1", n, size)
		}
	}
}

// BenchmarkStack measures both ends, in memory.
func BenchmarkStack(b *testing.B) {
	for _, bench := range []struct {
		name string
		size int
	}{{"ping", 64}, {"bulk", 16384}} {
		b.Run(bench.name, func(b *testing.B) {
			w, x, y := connectWire(b)
			msg := make([]byte, bench.size)
			b.SetBytes(int64(bench.size))
			b.ReportAllocs()
			for b.Loop() {
				carry(b, w, x, y, msg, true)
			}
		})
	}
}

// BenchmarkConnect measures both ends of a connection from New to Close, in memory:
// descriptions, ICE, DTLS with its default algorithms, SCTP and a channel.
func BenchmarkConnect(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		w, _, _ := dialWire(b, Config{})
		w.close()
	}
}

// BenchmarkLoopback measures both ends in one process, over UDP sockets.
func BenchmarkLoopback(b *testing.B) {
	ctx := context.Background()
	b.Run("ping", func(b *testing.B) {
		_, _, x, y := realPair(b, Config{})
		go func() {
			for {
				p, _, err := y.Receive(ctx)
				if err != nil || y.Send(ctx, p, false) != nil {
					return
				}
				y.Recycle(p)
			}
		}()
		msg := make([]byte, 64)
		b.ReportAllocs()
		for b.Loop() {
			if err := x.Send(ctx, msg, false); err != nil {
				b.Fatal(err)
			}
			p, _, err := x.Receive(ctx)
			if err != nil {
				b.Fatal(err)
			}
			x.Recycle(p)
		}
	})
	b.Run("bulk", func(b *testing.B) {
		_, _, x, y := realPair(b, Config{MaxDatagramSize: 1200})
		msg := make([]byte, 16384)
		b.SetBytes(int64(len(msg)))
		b.ReportAllocs()
		b.ResetTimer()
		go func() {
			for range b.N {
				if x.Send(ctx, msg, false) != nil {
					return
				}
			}
		}()
		for range b.N {
			p, _, err := y.Receive(ctx)
			if err != nil {
				b.Fatal(err)
			}
			y.Recycle(p)
		}
	})
}

// Packets do not wake Wait if the program has no handler for them.
func TestNoHandlerNoEvent(t *testing.T) {
	w, x, y := connectWire(t)
	for _, e := range w.ends {
		e.conn.Poll()
	}
	b := w.ends[1].conn
	wake := b.wake.channel()
	<-wake
	arrive := func() {
		t.Helper()
		if err := x.PutPacket([]byte("x")); err != nil {
			t.Fatal(err)
		}
		w.run()
	}
	if arrive(); len(wake) != 0 {
		t.Error("woken for a packet that there is no handler for")
	}
	called := 0
	y.OnPacketReceived(func() { called++ })
	if len(wake) != 1 || !b.pending() {
		t.Fatal("a packet that arrived earlier wakes no waiting call")
	}
	if b.Poll(); called != 1 {
		t.Fatalf("called %d times", called)
	}
	<-wake
	if arrive(); len(wake) != 1 {
		t.Fatal("a packet wakes no waiting call")
	}
	if b.Poll(); called != 2 {
		t.Errorf("called %d times", called)
	}
	y.OnPacketReceived(nil)
	<-wake
	if arrive(); len(wake) != 0 {
		t.Error("woken after the handler was taken away")
	}
}

// BenchmarkLogs measures what the logs of one end cost, in memory, with a writer that
// drops everything.
func BenchmarkLogs(b *testing.B) {
	for _, bench := range []struct {
		name string
		cfg  Config
	}{
		{"off", Config{}}, {"eventlog", Config{EventLog: discard{}}}, {"capture", Config{PacketCapture: discard{}}},
		{"both", Config{EventLog: discard{}, PacketCapture: discard{}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			w, x, y := connectWireWith(b, bench.cfg)
			msg := make([]byte, 16384)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			for b.Loop() {
				carry(b, w, x, y, msg, true)
			}
		})
	}
}
