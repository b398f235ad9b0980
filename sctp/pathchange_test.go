package sctp

import (
	"testing"
	"time"
)

// Data sent on the old path says nothing about the new one. It is not retransmitted
// because a packet of the new path has overtaken it, but only after the time that the
// old path may take, and its loss is no congestion of the new path.
func TestPathChange(t *testing.T) {
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		t.Run(c.String(), func(t *testing.T) {
			p := newPair(t, 1, Config{CongestionControl: c}, Config{})
			p.delay = 100 * time.Millisecond
			p.connect()
			send := func(count int) {
				for n := range count {
					p.send(0, 1, testMessage(1, n, 1000), SendOptions{})
				}
			}
			send(20)
			p.run(2 * time.Second)
			a := p.ends[0]
			if a.Stats().SmoothedRTT < 200*time.Millisecond {
				t.Fatalf("srtt %v on the old path", a.Stats().SmoothedRTT)
			}
			send(10) // on the old path, just before the change
			p.run(50 * time.Millisecond)
			p.delay = 5 * time.Millisecond
			a.ChangePath(p.now)
			if s := a.Stats(); s.SmoothedRTT != 0 || s.CongestionWindow != initialWindow*a.sender.mtu {
				t.Errorf("srtt %v, window %d at the start", s.SmoothedRTT, s.CongestionWindow)
			}
			a.SetRTT(10 * time.Millisecond)
			send(10)
			p.run(time.Second)
			s := a.Stats()
			if s.ChunksRetransmitted != 0 || s.Timeouts != 0 {
				t.Errorf("%d chunks sent again, %d timeouts", s.ChunksRetransmitted, s.Timeouts)
			}
			if s.SmoothedRTT > 30*time.Millisecond || s.MinRTT > 30*time.Millisecond {
				t.Errorf("srtt %v, lowest %v on a path of 10 ms", s.SmoothedRTT, s.MinRTT)
			}
			if len(p.got[1]) != 40 || a.sender.out.change.active {
				t.Errorf("%d messages of 40; still moving: %v", len(p.got[1]), a.sender.out.change.active)
			}
			p.loss = 1
			send(10)
			p.run(time.Millisecond)
			p.loss = 0
			a.ChangePath(p.now)
			window := a.Stats().CongestionWindow
			send(10)
			p.run(100 * time.Millisecond)
			if s := a.Stats(); len(p.got[1]) != 60 || s.Timeouts != 0 || s.CongestionWindow < window {
				t.Errorf("%d messages of 60, %d timeouts, window %d before and %d after", len(p.got[1]), s.Timeouts, window, s.CongestionWindow)
			}
		})
	}
}

// Before the association is established, only the round trip is discarded.
func TestPathChangeBefore(t *testing.T) {
	a := NewAssociation(Config{})
	a.SetRTT(time.Second)
	a.ChangePath(time.Unix(1e9, 0))
	if a.Stats().SmoothedRTT != 0 {
		t.Error("the old path's round trip is kept")
	}
}

// movePair returns a pair that has used a path of this round trip. Its sender then sends
// these messages, and the next path's packets follow them.
func movePair(t *testing.T, cfg Config, rtt time.Duration) *pair {
	p := newPair(t, 1, cfg, Config{})
	p.delay = rtt / 2
	p.connect()
	p.sendMany(200, SendOptions{})
	p.run(5 * time.Second)
	if n := p.ends[0].sender.out.bytes; n != 0 {
		t.Fatalf("%d bytes still in flight", n)
	}
	p.got[1] = nil
	return p
}

// sendMany sends messages of one packet each.
func (p *pair) sendMany(count int, o SendOptions) {
	p.t.Helper()
	for n := range count {
		p.send(0, 1, testMessage(1, n, 1100), o)
	}
}

// lose drops all packets that are sent from now on, for the time d.
func (p *pair) lose(d time.Duration) {
	p.loss = 1
	p.run(d)
	p.loss = 0
}

// move changes the path of both ends to one with this round trip. Data on the old path
// still arrives.
func (p *pair) move(rtt time.Duration) {
	p.delay = rtt / 2
	for _, a := range p.ends {
		a.ChangePath(p.now)
		a.SetRTT(rtt)
	}
}

// A message that may not be retransmitted is not sent again, even if it was lost with
// the old path.
func TestPathChangeKeepsLimits(t *testing.T) {
	p := movePair(t, Config{}, 50*time.Millisecond)
	p.sendMany(3, SendOptions{Unordered: true, LimitRetransmits: true})
	p.lose(10 * time.Millisecond)
	p.move(10 * time.Millisecond)
	p.sendMany(2, SendOptions{})
	p.run(3 * time.Second)
	if s := p.ends[0].Stats(); s.ChunksRetransmitted != 0 || s.MessagesAbandoned != 3 || len(p.got[1]) != 2 {
		t.Errorf("%d chunks sent again, %d messages of 3 abandoned, %d arrived of 2", s.ChunksRetransmitted, s.MessagesAbandoned, len(p.got[1]))
	}
}

// After a path as short and fast as loopback, the next path gets no burst of the long
// packets that loopback carried.
func TestPathChangeBegins(t *testing.T) {
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		t.Run(c.String(), func(t *testing.T) {
			p := newPair(t, 1, Config{CongestionControl: c}, Config{})
			p.large, p.delay = true, 50*time.Microsecond
			p.ends[0].DiscoverPacketSize(15000)
			p.connect()
			send := func() {
				for n := range 100 {
					p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
				}
			}
			send()
			p.run(time.Second)
			if s := p.ends[0].Stats(); s.PacketSize != 16000 || s.BytesInFlight != 0 {
				t.Fatalf("packets of %d, %d bytes in flight", s.PacketSize, s.BytesInFlight)
			}
			p.move(50 * time.Millisecond)
			send()
			p.run(time.Millisecond)
			if s := p.ends[0].Stats(); s.BytesInFlight > 8000 || s.CongestionWindow != initialWindow*1200 {
				t.Errorf("%d bytes in flight after 1 ms, window %d", s.BytesInFlight, s.CongestionWindow)
			}
		})
	}
}

// If everything was lost with the old path and PathLost is not called, a tail loss
// probe shows the loss.
func TestPathChangeProbes(t *testing.T) {
	for _, o := range []SendOptions{{}, {Unordered: true, LimitRetransmits: true}} {
		p := movePair(t, Config{CongestionControl: CongestionCubic}, 50*time.Millisecond)
		p.sendMany(38, o)
		p.lose(45 * time.Millisecond)
		if n := p.ends[0].sender.out.bytes; n < 38*1100 {
			t.Fatalf("%d bytes in flight", n)
		}
		p.move(20 * time.Millisecond)
		window, start := p.ends[0].Stats().CongestionWindow, p.now
		for len(p.got[1]) < 38 && p.ends[0].sender.counters.MessagesAbandoned < 38 && p.now.Sub(start) < time.Second {
			p.run(5 * time.Millisecond)
		}
		s := p.ends[0].Stats()
		t.Logf("%v, %d timeouts, window %d", p.now.Sub(start), s.Timeouts, s.CongestionWindow)
		if s.CongestionWindow < window {
			t.Errorf("window %d before and %d after", window, s.CongestionWindow)
		}
		if d := p.now.Sub(start); !o.LimitRetransmits && (d > 150*time.Millisecond || s.Timeouts != 0) {
			t.Errorf("repaired after %v, %d timeouts", d, s.Timeouts)
		}
	}
}

// A window of the old path that is retransmitted on a shorter path is acknowledged
// sooner than was possible on the old path. This is no sign of reordering.
func TestPathChangeShorter(t *testing.T) {
	p := movePair(t, Config{}, 300*time.Millisecond)
	p.sendMany(133, SendOptions{})
	p.lose(290 * time.Millisecond)
	a := p.ends[0]
	t.Logf("%d bytes in flight", a.sender.out.bytes)
	for _, a := range p.ends {
		a.PathLost(p.now)
	}
	p.move(10 * time.Millisecond)
	p.run(time.Second)
	if r := &a.sender.recovery; r.reordering || r.steps > 1 || r.spurious != 0 || len(p.got[1]) != 133 {
		t.Errorf("reordering %v, %d steps, %d spurious; %d messages", r.reordering, r.steps, r.spurious, len(p.got[1]))
	}
}

// Packets that the old path may still deliver do not delay the detection of losses on
// the new one.
func TestPathChangeLoss(t *testing.T) {
	p := movePair(t, Config{}, 400*time.Millisecond)
	p.sendMany(1, SendOptions{Unordered: true})
	p.run(time.Millisecond) // this packet takes a long time
	p.move(10 * time.Millisecond)
	p.sendMany(1, SendOptions{Unordered: true})
	p.lose(0)
	p.sendMany(10, SendOptions{Unordered: true})
	p.run(60 * time.Millisecond)
	if s := p.ends[0].Stats(); len(p.got[1]) != 11 || s.ChunksRetransmitted != 1 {
		t.Errorf("%d messages of 11, %d chunks sent again", len(p.got[1]), s.ChunksRetransmitted)
	}
	p.run(time.Second)
	if s := p.ends[0].Stats(); len(p.got[1]) != 12 || s.ChunksRetransmitted != 1 {
		t.Errorf("%d messages of 12, %d chunks sent again", len(p.got[1]), s.ChunksRetransmitted)
	}
}

// A path that is used only briefly does not shorten the time for which packets of the
// path before it are awaited.
func TestPathChangeTwice(t *testing.T) {
	p := movePair(t, Config{}, 400*time.Millisecond)
	p.sendMany(5, SendOptions{})
	p.run(time.Millisecond)
	p.move(20 * time.Millisecond)
	p.move(10 * time.Millisecond)
	p.sendMany(10, SendOptions{})
	p.run(time.Second)
	if s := p.ends[0].Stats(); len(p.got[1]) != 15 || s.ChunksRetransmitted != 0 {
		t.Errorf("%d messages of 15, %d chunks sent again", len(p.got[1]), s.ChunksRetransmitted)
	}
}

// Everything arrives however often the path changes, under loss and reordering.
func TestPathChangeOften(t *testing.T) {
	for seed := range uint64(12) {
		p := newPair(t, seed, Config{CongestionControl: CongestionControl(seed % 3)}, Config{})
		p.connect()
		p.loss, p.jitter = 0.05*float64(seed%4), 10*time.Millisecond
		for range 60 {
			p.sendMany(20, SendOptions{})
			p.run(time.Duration(p.rng.IntN(50)) * time.Millisecond)
			p.move(time.Duration(p.rng.IntN(100)) * time.Millisecond)
		}
		p.run(20 * time.Second)
		if len(p.got[1]) != 1200 || p.ends[0].sender.out.change.active {
			t.Errorf("seed %d: %d messages of 1200, %+v", seed, len(p.got[1]), p.ends[0].sender.out.change)
		}
	}
}

// Data in flight on the old path does not count as sent by a program that has no more to
// send.
func TestPathChangeRate(t *testing.T) {
	p := movePair(t, Config{}, 200*time.Millisecond)
	a := p.ends[0]
	p.sendMany(30, SendOptions{})
	p.run(50 * time.Millisecond) // everything is sent
	p.move(10 * time.Millisecond)
	p.sendMany(60, SendOptions{})
	p.run(time.Millisecond)
	c := a.sender.out.at(a.sender.out.tail)
	if a.sender.out.change.old(c.order) || a.sender.queue.messages == 0 || c.appLimited || c.firstAt < a.clock.at(p.now)-int64(2*time.Millisecond) {
		t.Errorf("%d messages wait; sent as %+v at %v", a.sender.queue.messages, c.sendStamp, a.clock.at(p.now))
	}
}
