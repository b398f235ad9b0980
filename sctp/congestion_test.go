package sctp

import (
	"math"
	"testing"
	"time"
)

// Every controller transfers data over a bad link, and does not undo a reduction that
// was justified.
func TestControllersOverBadLinks(t *testing.T) {
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		t.Run(c.String(), func(t *testing.T) {
			p := newPair(t, 3, Config{CongestionControl: c}, Config{})
			p.connect()
			p.loss, p.jitter = 0.02, 4*time.Millisecond
			for n := range 100 {
				p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
			}
			p.run(20 * time.Second)
			p.run(2 * idleTestPause) // the path is idle, then the transfer is repeated
			for n := range 100 {
				p.send(0, 1, testMessage(1, n, 16384), SendOptions{})
			}
			p.run(20 * time.Second)
			if len(p.got[1]) != 200 {
				t.Fatalf("%d messages of 200", len(p.got[1]))
			}
			if p.ends[0].sender.out.bytes != 0 || !p.ends[0].sender.drained() {
				t.Error("sender keeps data")
			}
		})
	}
}

const idleTestPause = time.Duration(idleRestart)

// After a loss CUBIC needs K seconds to return to the window before the loss. It grows
// slowly there, and then exceeds that window (RFC 8312 §4.1).
func TestCubicCurve(t *testing.T) {
	const mtu, rtt = 1200, int64(100 * time.Millisecond)
	c := newCubic(mtu)
	c.cwnd, c.ssthresh = 200*mtu, 100*mtu
	c.lost(0, c.cwnd, false)
	if c.ssthresh != 140*mtu {
		t.Fatalf("ssthresh %d packets, want 140", c.ssthresh/mtu)
	}
	now, grown := rtt, [12]int{}
	for second := range grown {
		before := c.cwnd
		for range 10 {
			c.acked(ackEvent{now: now, acked: c.cwnd, before: c.cwnd, rtt: rtt, limited: true})
			now += rtt
		}
		grown[second] = (c.cwnd - before) / mtu
	}
	// K = ∛(60/0.4) ≈ 5.3 s.
	if w := c.wMax; w != 200 {
		t.Errorf("wMax %.0f", w)
	}
	if grown[5] > grown[1] || grown[5] > grown[10] {
		t.Errorf("growth by the second %v: not cubic", grown)
	}
	if c.cwnd < 250*mtu {
		t.Errorf("%d packets after twelve seconds", c.cwnd/mtu)
	}
	// Fast convergence (RFC 8312 §4.6): a second loss below the last maximum.
	c.wMax = 1000
	w := float64(c.cwnd) / mtu
	c.lost(now, c.cwnd, false)
	if want := w * (1 + cubicBeta) / 2; c.wMax != want {
		t.Errorf("wMax %.1f, want %.1f", c.wMax, want)
	}
	c.undo()
	if c.wMax != 1000 {
		t.Errorf("wMax %.1f after undo", c.wMax)
	}
}

// A loss of retransmitted data reduces the window a second time (RFC 5681 §4.3). undo
// reverts both reductions.
func TestLostAgain(t *testing.T) {
	const mtu = 1200
	for _, test := range []struct {
		c    CongestionControl
		beta float64
	}{{CongestionReno, 0.5}, {CongestionCubic, cubicBeta}} {
		c := test.c.newController(mtu, 1)
		c.acked(ackEvent{now: 1, acked: 100 * mtu, before: 100 * mtu, rtt: 1e6, limited: true})
		full := c.window()
		c.lost(2, full, false)
		c.lost(3, full, true)
		c.acked(ackEvent{now: 4, acked: mtu, rtt: 1e6}) // ends the recovery
		if want := test.beta * test.beta * float64(full); math.Abs(float64(c.window())-want) > 2*mtu {
			t.Errorf("%v: %d after two losses of %d, want %.0f", test.c, c.window(), full, want)
		}
		c.undo()
		if c.window() < full {
			t.Errorf("%v: %d after undo, want %d", test.c, c.window(), full)
		}
	}
}

// Slow start ends because of delay, after a few slower rounds. If the delay was chance,
// slow start goes on (RFC 9406 §4.2).
func TestHyStart(t *testing.T) {
	round := int64(0)
	run := func(h *hystart, rtt time.Duration) (grown int, done bool) {
		round++
		for range 10 {
			n, d := h.acked(&ackEvent{acked: 1200, rtt: int64(rtt), rate: rateSample{prior: round * 1000, delivered: round*1000 + 500}})
			grown, done = grown+n, done || d
		}
		return grown, done
	}
	var h hystart
	run(&h, 50*time.Millisecond)
	if n, _ := run(&h, 52*time.Millisecond); n != 12000 || h.slow {
		t.Errorf("slowed down by 2 ms: %d", n)
	}
	run(&h, 70*time.Millisecond)
	if !h.slow {
		t.Fatal("not slowed down by 18 ms")
	}
	if n, done := run(&h, 70*time.Millisecond); n != 3000 || done {
		t.Errorf("grown by %d in a slow round, %v", n, done)
	}
	run(&h, 50*time.Millisecond)
	if h.slow {
		t.Error("not forgiven")
	}
	run(&h, 80*time.Millisecond)
	rounds := 0
	for done := false; !done; rounds++ {
		if _, done = run(&h, 80*time.Millisecond); rounds > 10 {
			t.Fatal("does not end")
		}
	}
	if rounds != hystartRounds {
		t.Errorf("ended after %d slow rounds, want %d", rounds, hystartRounds)
	}
}

// The pacer keeps its rate even if the timer is late, up to a bound. After a pause it
// allows no more than a burst.
func TestPacer(t *testing.T) {
	const rate, mtu = 10e6, 1200
	for _, late := range []time.Duration{0, time.Millisecond, 5 * time.Millisecond} {
		var p pacer
		now, sent := int64(0), 0
		for now < int64(time.Second) {
			when, ok := p.ready(now, rate, mtu)
			if ok {
				p.sent(mtu)
				sent += mtu
				continue
			}
			if when <= now {
				t.Fatal("not to wait, and not ready")
			}
			now = when + int64(late)
		}
		if float64(sent) < 0.98*rate || float64(sent) > 1.02*rate {
			t.Errorf("%v late: %d bytes in a second, want %.0f", late, sent, rate)
		}
		now += int64(time.Minute)
		burst := 0
		for ; ; burst += mtu {
			if _, ok := p.ready(now, rate, mtu); !ok {
				break
			}
			p.sent(mtu)
		}
		if limit := rate * (2*pacingBurst + pacingCredit).Seconds(); float64(burst) > limit+mtu {
			t.Errorf("burst of %d after a pause, want at most %.0f", burst, limit)
		}
	}
}
