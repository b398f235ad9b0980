package sctp

import (
	"fmt"
	"testing"
	"time"
)

// discover transfers data over a path that carries packets up to a length.
func discover(t *testing.T, carries int) *pair {
	p := newPair(t, 1, Config{}, Config{})
	p.large = true
	p.inspect = func(_ int, pkt []byte) bool { return len(pkt) <= carries }
	p.ends[0].DiscoverPacketSize(15000)
	p.connect()
	for n := range 100 {
		p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
	}
	p.run(10 * time.Second)
	if len(p.got[1]) != 100 {
		t.Fatalf("%d messages of 100", len(p.got[1]))
	}
	return p
}

// Packets become as long as the path carries, among the sizes that are tried.
func TestPacketSizeDiscovery(t *testing.T) {
	for carries, want := range map[int]int{1200: 1200, 1460: 1452, 1500: 1472, 9000: 8932, 65000: 16000} {
		p := discover(t, carries)
		if got := p.ends[0].Stats().PacketSize; got != want {
			t.Errorf("path of %d: packets of %d, want %d", carries, got, want)
		}
		if got := p.ends[1].Stats().PacketSize; got != 1200 {
			t.Errorf("packets of %d without discovery", got)
		}
	}
}

// The path becomes narrower. Everything still arrives, in small packets.
func TestBlackHole(t *testing.T) {
	p := discover(t, 9000)
	p.inspect = func(_ int, pkt []byte) bool { return len(pkt) <= 1300 }
	p.got[1] = nil
	for n := range 50 {
		p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
	}
	p.run(20 * time.Second)
	if len(p.got[1]) != 50 {
		t.Fatalf("%d messages of 50: %+v", len(p.got[1]), p.ends[0].Stats())
	}
	if got := p.ends[0].Stats().PacketSize; got != 1200 {
		t.Errorf("packets of %d", got)
	}
	p.inspect = nil
	p.run(raiseInterval)
	for n := range 100 {
		p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
	}
	p.run(time.Second)
	if got := p.ends[0].Stats().PacketSize; got != 16000 {
		t.Errorf("packets of %d when the path is wide again", got)
	}
}

// A different limit means that the path is different.
func TestLimitChangeRestartsDiscovery(t *testing.T) {
	p := discover(t, 9000)
	p.mtu = 1100
	p.send(0, 1, testMessage(1, 0, 100), SendOptions{})
	p.flush(0)
	if got := p.ends[0].Stats().PacketSize; got != 1100 {
		t.Errorf("packets of %d", got)
	}
}

// Packets become as long as the data that the path delivers in a millisecond, whatever
// the round trip: four packets of 16,000 bytes exceed the queue of a slow path.
func TestSlowPathKeepsPacketsShort(t *testing.T) {
	const queue = 25000
	for _, test := range []struct {
		mbps float64
		size int
	}{{5, 1472}, {50, 4096}, {100, 8932}} {
		for _, delay := range []time.Duration{100 * time.Microsecond, time.Millisecond, 20 * time.Millisecond} {
			for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
				t.Run(fmt.Sprint(test.mbps, "Mbit/s ", delay, " ", c), func(t *testing.T) {
					p := newPair(t, 1, Config{CongestionControl: c}, Config{})
					p.large = true
					p.ends[0].DiscoverPacketSize(15000)
					rate, free := test.mbps*1e6/8, p.now
					p.inspect = func(to int, pkt []byte) bool {
						if p.delay = delay; to == 0 {
							return true
						}
						if free.Before(p.now) {
							free = p.now
						}
						if free.Sub(p.now).Seconds()*rate > queue {
							return false
						}
						free = free.Add(time.Duration(float64(len(pkt)) / rate * 1e9))
						p.delay += free.Sub(p.now)
						return true
					}
					p.connect()
					for n := range 2000 {
						p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
					}
					p.run(time.Second)
					s, got := p.ends[0].Stats(), float64(len(p.got[1]))*16384/rate
					t.Logf("packets of %d, %.2f of the path, %d chunks sent again", s.PacketSize, got, s.ChunksRetransmitted)
					if s.PacketSize > test.size || s.PacketSize < test.size && delay < time.Millisecond {
						t.Errorf("packets of %d, want %d", s.PacketSize, test.size)
					}
					if delay < 20*time.Millisecond && got < 0.9 {
						t.Errorf("%.2f of the path in use", got)
					}
					if c == CongestionBBR && delay < time.Millisecond && s.ChunksRetransmitted > 50 {
						t.Errorf("%d chunks sent again", s.ChunksRetransmitted)
					}
				})
			}
		}
	}
}

// After an outage the search begins again at once. After a second outage soon afterwards
// it begins only in ten minutes.
func TestOutageIsNoBlackHole(t *testing.T) {
	p := discover(t, 9000)
	for i, want := range []int{8932, 1200} {
		out := true
		p.inspect = func(_ int, pkt []byte) bool { return !out && len(pkt) <= 9000 }
		for n := range 200 {
			p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
		}
		p.run(3 * time.Second)
		if out = false; p.ends[0].Stats().PacketSize != 1200 {
			t.Fatalf("outage %d: packets of %d", i+1, p.ends[0].Stats().PacketSize)
		}
		p.run(10 * time.Second)
		if got := p.ends[0].Stats().PacketSize; got != want {
			t.Errorf("after outage %d: packets of %d, want %d", i+1, got, want)
		}
	}
	p.run(raiseInterval)
	for n := range 100 {
		p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
	}
	p.run(time.Second)
	if got := p.ends[0].Stats().PacketSize; got != 8932 {
		t.Errorf("packets of %d after a pause", got)
	}
}

// If the owner does not know whether the path carries the base, no data is lost on a
// path that carries less, and packets become as long as it carries.
func TestShortStart(t *testing.T) {
	for carries, want := range map[int]int{548: 548, 700: 548, 972: 972, 1000: 972, 1180: 1172, 1200: 1200, 1500: 1472} {
		p := newPair(t, 1, Config{}, Config{})
		p.large = true
		p.inspect = func(_ int, pkt []byte) bool { return len(pkt) <= carries }
		for _, e := range p.ends {
			e.AssumeShorter(1200)
			e.DiscoverPacketSize(272)
		}
		p.connect()
		for n := range 100 {
			p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
			p.send(1, 1, testMessage(1, n, 100), SendOptions{})
		}
		p.run(20 * time.Second)
		if len(p.got[1]) != 100 || len(p.got[0]) != 100 {
			t.Errorf("path of %d: %d and %d messages of 100", carries, len(p.got[1]), len(p.got[0]))
		}
		s := p.ends[0].Stats()
		if s.PacketSize != want {
			t.Errorf("path of %d: packets of %d, want %d", carries, s.PacketSize, want)
		}
		if s.ChunksRetransmitted > 0 {
			t.Errorf("path of %d: %d chunks sent again", carries, s.ChunksRetransmitted)
		}
	}
}
