package sctp

import (
	"testing"
	"time"
)

// shortPair returns a pair that has measured its short path, with much data to send on
// stream 1.
func shortPair(t *testing.T, messages int) *pair {
	p := newPair(t, 1, Config{ReceiveBuffer: 8 << 20}, Config{ReceiveBuffer: 8 << 20})
	p.delay = 50 * time.Microsecond
	p.connect()
	for range messages {
		p.send(0, 1, make([]byte, 16384), SendOptions{})
	}
	return p
}

// On a short path packets are sent in long bursts, even if only a few packets are
// acknowledged at a time.
func TestGatheredBursts(t *testing.T) {
	p := shortPair(t, 1000)
	p.run(5 * time.Millisecond)
	var bursts []int
	for range 400 {
		// The remote takes four packets and acknowledges them.
		for n := 0; n < 4 && len(p.flight) > 0; p.flight = p.flight[1:] {
			p.ends[p.flight[0].to].HandlePacket(p.now, p.flight[0].pkt)
			n += p.flight[0].to
		}
		p.collect(1)
		p.now = p.now.Add(50 * time.Microsecond)
		p.ends[1].Advance(p.now)
		for {
			sack, ok := p.ends[1].AppendPacket(p.now, nil, p.mtu)
			if !ok {
				break
			}
			p.ends[0].HandlePacket(p.now, sack)
		}
		before := len(p.flight)
		if p.flush(0); len(p.flight) > before {
			bursts = append(bursts, len(p.flight)-before)
		}
	}
	if len(bursts) < 10 {
		t.Fatalf("bursts %v", bursts)
	}
	for _, n := range bursts[1 : len(bursts)-1] {
		if n < 30 {
			t.Fatalf("bursts %v", bursts)
		}
	}
}

// A small message is sent although another stream has filled the window, up to a bound.
// A message of that stream waits.
func TestUrgentMessages(t *testing.T) {
	p := shortPair(t, 400)
	p.run(5 * time.Millisecond)
	a := p.ends[0]
	full := func() {
		t.Helper()
		if b, ok := a.AppendPacket(p.now, nil, p.mtu); ok {
			t.Fatalf("the window is not full: %d bytes", len(b))
		}
	}
	full()
	if a.sender.queue.messages == 0 || a.sender.out.bytes == 0 {
		t.Fatal("nothing waits")
	}
	p.send(0, 1, make([]byte, 64), SendOptions{})
	full()
	before, sent := a.sender.out.bytes, 0
	for range 100 {
		p.send(0, uint16(2+sent), make([]byte, 64), SendOptions{})
		if _, ok := a.AppendPacket(p.now, nil, p.mtu); !ok {
			break
		}
		sent++
	}
	if over := a.sender.out.bytes - before; sent == 0 || over > urgentRoom+2*p.mtu {
		t.Errorf("%d small messages were sent, %d bytes over the window", sent, over)
	}
	p.run(time.Second)
	p = shortPair(t, 400)
	p.run(5 * time.Millisecond)
	a = p.ends[0]
	p.send(0, 2, make([]byte, urgentRoom), SendOptions{})
	full()
}

// While several streams send on a short path, less is in flight than with one.
func TestSharedWindow(t *testing.T) {
	p := shortPair(t, 2000)
	p.run(20 * time.Millisecond)
	alone := p.ends[0].sender.out.bytes
	p.send(0, 2, make([]byte, 64), SendOptions{})
	p.run(5 * time.Millisecond)
	if n := p.ends[0].sender.out.bytes; alone <= sharedWindow || n > sharedWindow+p.mtu {
		t.Errorf("%d bytes in flight alone, %d with another stream; bound %d", alone, n, sharedWindow)
	}
}

// The window of a short path grows without loss, and stays lower for a while after a
// loss.
func TestShortWindow(t *testing.T) {
	m := newBBR(1200, 1)
	now, delivered := int64(0), int64(0)
	round := func(lost int) int {
		now += int64(200 * time.Microsecond)
		delivered += 64 << 10
		m.acked(ackEvent{now: now, acked: 64 << 10, lost: lost, before: m.cwnd, rtt: int64(200 * time.Microsecond), limited: true,
			rate: rateSample{bytes: 64 << 10, interval: int64(200 * time.Microsecond), delivered: delivered, prior: delivered}})
		return m.cwnd
	}
	first := round(0)
	if first > firstShortWindow {
		t.Errorf("window %d at first", first)
	}
	for range 200 {
		round(0)
	}
	if m.cwnd != maxShortWindow {
		t.Fatalf("window %d after 200 rounds, want %d", m.cwnd, maxShortWindow)
	}
	if round(1200); m.short.bound >= maxShortWindow {
		t.Fatalf("bound %d after a loss", m.short.bound)
	}
	low := m.short.bound
	for range 100 {
		round(0)
	}
	if m.short.bound != low {
		t.Errorf("bound %d grew to %d at once", low, m.short.bound)
	}
	now += shortWindowHold
	for range 10 {
		round(0)
	}
	if m.short.bound <= low {
		t.Error("the bound does not grow again")
	}
}

// If a short path becomes longer without a message from ICE, the sender detects it in
// about the time that a longer path takes. Otherwise the bytes in flight would stay
// too few for ever.
func TestShortPathBecomesLong(t *testing.T) {
	p := shortPair(t, 100)
	p.run(2 * time.Second)
	if len(p.got[1]) != 100 {
		t.Fatalf("%d messages of 100 on the short path", len(p.got[1]))
	}
	p.delay = 20 * time.Millisecond
	for range 1000 {
		p.send(0, 1, make([]byte, 16384), SendOptions{})
	}
	p.run(15 * time.Second)
	if len(p.got[1]) != 1100 {
		t.Errorf("%d messages of 1100 after 15 s, window %d", len(p.got[1]), p.ends[0].Stats().CongestionWindow)
	}
}

// A short path is still taken for short when data in flight makes every round trip
// longer than the shortest.
func TestShortPathStaysShort(t *testing.T) {
	p := shortPair(t, 100)
	p.run(2 * time.Second)
	m := p.ends[0].sender.cc.(*bbr)
	least := m.minRTT
	p.delay = 1500 * time.Microsecond
	for range 30 {
		for range 100 {
			p.send(0, 1, make([]byte, 16384), SendOptions{})
		}
		p.run(time.Second)
	}
	if m.minRTT != least {
		t.Errorf("lowest round trip %v, was %v", time.Duration(m.minRTT), time.Duration(least))
	}
}
