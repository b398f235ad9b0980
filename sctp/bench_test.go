package sctp

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkBulk sends messages of 16 KiB between two ends in memory, without delay. It
// counts bytes of payload.
func BenchmarkBulk(b *testing.B) {
	for _, bench := range []struct {
		name string
		cfg  Config
	}{
		{"I-DATA", Config{}},
		{"DATA", Config{DisableInterleaving: true}},
		{"checksum", Config{DisableZeroChecksum: true}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			x, y, now := connectedPair(b, bench.cfg)
			msg := make([]byte, 16384)
			buf := make([]byte, 0, 2048)
			b.SetBytes(int64(len(msg)))
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if err := x.Send(now, Message{Data: msg}, SendOptions{}); err != nil {
					b.Fatal(err)
				}
				now = exchange(x, y, now, buf)
			}
		})
	}
}

// exchange moves packets until neither end has any.
func exchange(x, y *Association, now time.Time, buf []byte) time.Time {
	for moved := true; moved; {
		moved = false
		for {
			pkt, ok := x.AppendPacket(now, buf, 1200)
			if !ok {
				break
			}
			moved = true
			y.HandlePacket(now, pkt)
		}
		for {
			m, ok := y.Receive()
			if !ok {
				break
			}
			y.Release(now, len(m.Data))
		}
		now = now.Add(50 * time.Microsecond)
		for {
			pkt, ok := y.AppendPacket(now, buf, 1200)
			if !ok {
				break
			}
			moved = true
			x.HandlePacket(now, pkt)
		}
	}
	return now
}

func connectedPair(t testing.TB, cfg Config) (x, y *Association, now time.Time) {
	p := newPair(t, 1, cfg, cfg)
	p.delay = 0
	p.connect()
	return p.ends[0], p.ends[1], p.now
}

// BenchmarkPing exchanges a small message and its answer.
func BenchmarkPing(b *testing.B) {
	x, y, now := connectedPair(b, Config{})
	msg := make([]byte, 64)
	buf := make([]byte, 0, 2048)
	b.ReportAllocs()
	for range b.N {
		x.Send(now, Message{Data: msg}, SendOptions{})
		now = exchange(x, y, now, buf)
		y.Send(now, Message{Data: msg}, SendOptions{})
		now = exchange(y, x, now, buf)
	}
}

// In steady state, sending allocates nothing, and receiving allocates only the
// returned message.
func TestAllocations(t *testing.T) {
	for _, size := range []int{64, 1000, 16384} {
		x, y, now := connectedPair(t, Config{})
		msg := make([]byte, size)
		buf := make([]byte, 0, 2048)
		send := func() {
			x.Send(now, Message{Data: msg}, SendOptions{})
			now = exchange(x, y, now, buf)
		}
		for range 200 {
			send()
		}
		if n := testing.AllocsPerRun(500, send); n > 1 {
			t.Errorf("%v allocations for a message of %d bytes, want 1", n, size)
		}
	}
}

// An idle association is small.
func TestIdleMemory(t *testing.T) {
	const n = 200
	keep := make([]*Association, 0, 2*n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range n {
		p := newPair(t, 1, Config{}, Config{})
		p.connect()
		p.send(0, 0, []byte("x"), SendOptions{})
		p.send(1, 0, []byte("x"), SendOptions{})
		p.run(2 * time.Minute)
		p.flight, p.got, p.events = nil, [2][]Message{}, [2][]Event{}
		for _, a := range p.ends {
			a.cfg.Rand = nil
			keep = append(keep, a)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	each := int(after.HeapAlloc-before.HeapAlloc) / len(keep)
	t.Logf("%d bytes", each)
	if each > 3072 {
		t.Errorf("%d bytes each", each)
	}
	runtime.KeepAlive(keep)
}
