package rtcpeer

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"purertc/ice"
)

// connectedPeer returns a connected transport of a Host, without sockets. seen is
// called with each of its datagrams, which is then dropped.
func connectedPeer(t *testing.T, h *Host, seen func(b []byte)) *transport {
	t.Helper()
	cfg := Config{Host: h, Filter: func(_ bool, b []byte) bool { seen(b); return false }}
	p, err := newTransport(cfg, nil, func() {})
	if err != nil {
		t.Fatal(err)
	}
	p.queue.workers, p.memory.host = &h.workers, &h.memory
	p.queue.direct.Store(true)
	return p
}

// within fails the test if f does not return because it waits for a lock.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan bool)
	go func() {
		f()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Errorf("%s waits for the peer's lock", what)
	}
}

// No shared goroutine waits for a transport's lock, and the goroutine that releases
// the lock runs the queued input.
func TestSharedGoroutinesDoNotWait(t *testing.T) {
	h := new(Host)
	h.memory.limit = DefaultHostMemory
	for _, connected := range []bool{true, false} {
		datagrams := 0
		p := connectedPeer(t, h, func([]byte) { datagrams++ })
		p.queue.direct.Store(connected)
		mdns := ice.Route{Sock: ice.SockMDNS}
		p.mu.Lock()
		p.full, p.timer.at = true, time.Now()
		b := make([]byte, 100)
		within(t, "the reader", func() { p.HandleDatagrams(time.Now(), ice.Route{}, b, 50) })
		within(t, "multicast DNS", func() { p.HandleDatagrams(time.Now(), mdns, b, 100) })
		within(t, "Writable", func() { p.Writable(hostSocket) })
		within(t, "the timer wheel", func() { p.fireAt(time.Now()) })
		within(t, "the watch over addresses", func() { p.addressesChanged([]netip.Addr{netip.IPv4Unspecified()}) })
		within(t, "SocketClosed", func() { p.SocketClosed(hostSocket, errors.New("test")) })
		if datagrams != 0 || !p.full {
			t.Error("the queue was run without the lock")
		}
		p.mu.Unlock()
		waitReal(t, 5*time.Second, "what waits has run", func() bool {
			p.mu.Lock()
			defer p.mu.Unlock()
			return datagrams == 2 && !p.full && p.timer.at.IsZero() && !p.queue.some.Load()
		})
		if p.traffic.packetsReceived != 1 || h.memory.used.Load() != int64(p.memory.bytes.Load()) {
			t.Errorf("%d datagrams of multicast DNS, %d bytes stay charged", p.traffic.packetsReceived, h.memory.used.Load())
		}
	}
}

// The datagrams of a transport are handled in the order of arrival by any goroutine,
// and each of them once.
func TestQueuedOrder(t *testing.T) {
	for _, workersOnly := range []bool{false, true} {
		h := new(Host)
		h.memory.limit = DefaultHostMemory
		var last, count atomic.Uint32
		p := connectedPeer(t, h, func(b []byte) {
			if n := binary.BigEndian.Uint32(b); n <= last.Load() {
				t.Errorf("datagram %d after %d", n, last.Load())
			} else {
				last.Store(n)
			}
			count.Add(1)
		})
		p.queue.workersOnly = workersOnly
		stop, stopped := make(chan bool), make(chan bool)
		go func() { // this goroutine is the program
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					p.mu.Lock()
					runtime.Gosched()
					p.mu.Unlock()
				}
			}
		}()
		const total = 20_000
		for n := uint32(1); n <= total; n++ {
			p.HandleDatagrams(time.Now(), ice.Route{}, binary.BigEndian.AppendUint32(nil, n), 4)
			if n%100 == 0 {
				waitReal(t, 10*time.Second, "the last datagram has run", func() bool { return last.Load() == n })
			}
		}
		close(stop)
		<-stopped
		if count.Load() != total {
			t.Errorf("%d datagrams, want %d", count.Load(), total)
		}
	}
}

// A transport's queued input is limited in bytes, in datagrams and by the Host's
// memory, and costs no allocation.
func TestQueueIsBounded(t *testing.T) {
	h := new(Host)
	h.memory.limit = DefaultHostMemory
	datagrams := 0
	p := connectedPeer(t, h, func([]byte) { datagrams++ })
	flood := func(size, segment int) (runs int) {
		p.mu.Lock()
		for range 10_000 {
			p.HandleDatagrams(time.Now(), ice.Route{}, make([]byte, size), segment)
		}
		cost := p.queue.input.cost
		if charged := h.memory.used.Load(); charged != int64(cost)+p.memory.bytes.Load() {
			t.Errorf("%d bytes are charged for %d", charged, cost)
		}
		datagrams = 0
		p.mu.Unlock()
		if cost > maxQueued || datagrams*(segment+datagramOverhead) > maxQueued {
			t.Errorf("%d datagrams of %d bytes wait, for %d", datagrams, segment, cost)
		}
		return datagrams
	}
	for _, c := range []struct{ size, segment, want int }{{1, 1, 1000}, {1200, 1200, 180}, {60_000, 1200, 150}} {
		if n := flood(c.size, c.segment); n < c.want {
			t.Errorf("%d datagrams of %d bytes wait, want %d at least", n, c.segment, c.want)
		}
	}
	h.memory.connections.Store(1000)
	h.memory.used.Add(DefaultHostMemory)
	h.memory.limit = 100 << 20
	p.mu.Lock()
	for range 1000 {
		p.HandleDatagrams(time.Now(), ice.Route{}, make([]byte, 1200), 1200)
	}
	if cost, share := p.queue.input.cost, 50<<20/1000; cost > share || cost < share/2 {
		t.Errorf("%d bytes wait, while the share is %d", cost, share)
	}
	h.memory.used.Add(-DefaultHostMemory)
	p.mu.Unlock()

	if raced {
		return // with the race detector, sync.Pool drops objects at random
	}
	b, now := make([]byte, 1200), time.Now()
	if n := testing.AllocsPerRun(200, func() {
		p.mu.Lock()
		p.HandleDatagrams(now, ice.Route{}, b, len(b))
		p.mu.Unlock()
	}); n != 0 {
		t.Errorf("%v allocations for a datagram that waits", n)
	}
}

// While the locks of some transports of a Host are held, over UDP and TCP, other
// transports connect and transfer data. No data of the held transports is lost.
func TestHeldTransportsDelayNoOthers(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	var xs, ys [4]*DataChannel // the locks of 0 and 1 are held
	var held [2]*transport
	// Each pair uses only UDP or only TCP. With both, a connection with a blocked path
	// would change to the other one.
	pair := func(overTCP bool) (b *Conn, x, y *DataChannel) {
		drop := withoutUDP
		if !overTCP {
			drop = nil
		}
		_, b, x, y = realPairWithout(t, Config{DisableTCP: !overTCP}, Config{Host: h}, drop)
		return b, x, y
	}
	for i := range xs {
		b, x, y := pair(i%2 == 1)
		xs[i], ys[i] = x, y
		transfer(t, x, y)
		if i < len(held) {
			held[i] = b.ext.(*stack).transport
		}
	}
	const messages = 300
	for i, p := range held {
		p.mu.Lock()
		defer func() {
			for range messages {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				if _, _, err := ys[i].Receive(ctx); err != nil {
					t.Fatal(i, err)
				}
			}
		}()
		defer p.mu.Unlock()
		for range messages {
			if err := xs[i].PutPacket(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range xs {
		if i >= len(held) {
			transfer(t, xs[i], ys[i])
		}
	}
	for _, overTCP := range []bool{false, true} {
		_, x, y := pair(overTCP)
		transfer(t, x, y)
	}
}
