package sctp

import (
	"testing"
	"time"
)

// discover runs a transfer over a path that carries packets of so many bytes.
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

// Packets become as long as the path carries, of the sizes that are tried.
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

// The path becomes narrower: everything still arrives, in small packets.
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
	p.send(0, 1, testMessage(1, 0, 100), SendOptions{})
	p.run(time.Second)
	if got := p.ends[0].Stats().PacketSize; got != 16000 {
		t.Errorf("packets of %d when the path is wide again", got)
	}
}

// Another limit is another path.
func TestLimitChangeRestartsDiscovery(t *testing.T) {
	p := discover(t, 9000)
	p.mtu = 1100
	p.send(0, 1, testMessage(1, 0, 100), SendOptions{})
	p.flush(0)
	if got := p.ends[0].Stats().PacketSize; got != 1100 {
		t.Errorf("packets of %d", got)
	}
}

// On a slow path packets stay as long as Ethernet's, though it carries longer ones:
// four of 16,000 bytes are more than its queue holds.
func TestSlowPathKeepsPacketsShort(t *testing.T) {
	const rate, queue = 5e6 / 8, 25000
	p := newPair(t, 1, Config{}, Config{})
	p.large, p.delay = true, 20*time.Millisecond
	p.ends[0].DiscoverPacketSize(15000)
	var free time.Time
	p.inspect = func(to int, pkt []byte) bool {
		if to == 0 {
			return true
		}
		if free.Before(p.now) {
			free = p.now
		}
		if free.Sub(p.now).Seconds()*rate > queue {
			return false
		}
		free = free.Add(time.Duration(float64(len(pkt)) / rate * 1e9))
		return true
	}
	p.connect()
	for n := range 400 {
		p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
	}
	p.run(6 * time.Second)
	if s := p.ends[0].Stats(); s.PacketSize != 1472 || s.ChunksRetransmitted > 1500 || len(p.got[1]) < 170 {
		t.Errorf("packets of %d, %d chunks sent again, %d messages", s.PacketSize, s.ChunksRetransmitted, len(p.got[1]))
	}
}
