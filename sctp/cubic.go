package sctp

import (
	"math"
	"time"
)

// Constants of CUBIC (RFC 8312 §4, RFC 9438 §4).
const (
	cubicC    = 0.4 // packets/s³
	cubicBeta = 0.7
)

// cubic is the congestion control of RFC 8312 and RFC 9438. After a loss the window grows
// along a cubic function of time: fast at first, slowly near the window before the loss,
// then faster again. Windows in its formulas are in packets.
type cubic struct {
	mtu        int
	cwnd       int
	ssthresh   int
	hystart    hystart
	recovering bool
	reduction  reduction
	lastSent   instant

	epoch    instant // when the curve began; 0: it has not begun
	wMax     float64 // the window before the last loss
	k        float64 // seconds from epoch until the curve reaches wMax
	wEst     float64 // the window that Reno would have (RFC 8312 §4.2)
	fraction float64 // part of a byte by which the window is still to grow

	prior struct {
		cwnd, ssthresh int
		wMax, k        float64
		epoch          int64
	}
}

func newCubic(mtu int) *cubic {
	return &cubic{mtu: mtu, cwnd: initialWindow * mtu, ssthresh: 1 << 30}
}

func (c *cubic) window() int { return c.cwnd }

func (c *cubic) setMTU(mtu int) { c.mtu = mtu }

func (c *cubic) pacingRate(srtt time.Duration) float64 {
	return windowPacing(c.cwnd, c.cwnd < c.ssthresh, srtt)
}

func (c *cubic) sent(now instant, n, inFlight int) {
	if inFlight == n && now-c.lastSent > idleRestart {
		c.cwnd = min(c.cwnd, max(c.cwnd/2, initialWindow*c.mtu))
		c.epoch = 0
	}
	c.lastSent = now
	c.reduction.sent(n)
}

func (c *cubic) acked(ev ackEvent) {
	if ev.recovering && c.recovering {
		c.cwnd = max(c.reduction.window(&ev, c.ssthresh, c.mtu), c.mtu)
		return
	}
	if c.recovering {
		c.recovering = false
		c.cwnd = c.ssthresh
	}
	if c.cwnd < c.ssthresh {
		grow, done := c.hystart.acked(&ev)
		if ev.limited {
			c.cwnd = min(c.cwnd+grow, c.ssthresh)
		}
		if done {
			c.ssthresh = c.cwnd
		}
		return
	}
	if ev.limited {
		c.avoid(&ev)
	}
}

// avoid grows the window in congestion avoidance (RFC 8312 §4.1 to §4.4).
func (c *cubic) avoid(ev *ackEvent) {
	w := float64(c.cwnd) / float64(c.mtu)
	if c.epoch == 0 {
		c.epoch, c.wEst = ev.now, w
		if c.wMax <= w {
			c.wMax, c.k = w, 0
		} else {
			c.k = math.Cbrt((c.wMax - w) / cubicC)
		}
	}
	// The target is the window one round trip later, when the packets sent now are
	// acknowledged.
	t := float64(ev.now-c.epoch+ev.rtt)/1e9 - c.k
	target := min(max(cubicC*t*t*t+c.wMax, w), 1.5*w)
	acked := float64(ev.acked) / float64(c.mtu)
	const alpha = 3 * (1 - cubicBeta) / (1 + cubicBeta)
	if c.wEst += alpha * acked / w; c.wEst > target {
		target = min(c.wEst, w+acked)
		c.fraction += (target - w) * float64(c.mtu)
	} else {
		c.fraction += (target - w) / w * float64(ev.acked)
	}
	n := int(c.fraction)
	c.fraction -= float64(n)
	c.cwnd += n
}

func (c *cubic) save() {
	c.prior.cwnd, c.prior.ssthresh = c.cwnd, c.ssthresh
	c.prior.wMax, c.prior.k, c.prior.epoch = c.wMax, c.k, c.epoch
}

// reduce reduces the window after a loss (RFC 8312 §4.5), with fast convergence
// (§4.6).
func (c *cubic) reduce() {
	w := float64(c.cwnd) / float64(c.mtu)
	if w < c.wMax {
		c.wMax = w * (1 + cubicBeta) / 2
	} else {
		c.wMax = w
	}
	c.epoch, c.fraction = 0, 0
	c.ssthresh = max(int(float64(c.cwnd)*cubicBeta), minWindow*c.mtu)
}

func (c *cubic) lost(now instant, inFlight int, again bool) {
	if again { // RFC 5681 §4.3: a retransmission was lost, so the window is reduced a second time
		c.cwnd = c.ssthresh
	} else {
		c.save()
	}
	c.reduce()
	c.recovering = true
	c.reduction.begin(inFlight)
}

func (c *cubic) timedOut(now instant) {
	if c.cwnd > c.mtu {
		c.save()
		c.reduce()
	}
	c.cwnd = c.mtu
	c.recovering = false
	c.hystart = hystart{ended: true} // RFC 9406 §4.3: HyStart++ is only for the first slow start
}

func (c *cubic) undo() {
	c.cwnd, c.ssthresh = max(c.cwnd, c.prior.cwnd), max(c.ssthresh, c.prior.ssthresh)
	c.wMax, c.k, c.epoch = c.prior.wMax, c.prior.k, c.prior.epoch
	c.recovering = false
}

// Constants of HyStart++ (RFC 9406 §4.3).
const (
	hystartMinThreshold = int64(4 * time.Millisecond)
	hystartMaxThreshold = int64(16 * time.Millisecond)
	hystartSamples      = 8
	hystartDivisor      = 4
	hystartRounds       = 5
)

// hystart is HyStart++ (RFC 9406). A round trip that takes longer than in the round
// before shows a queue. Slow start then ends before that queue overflows and half of
// the data in flight is lost. Because the delay may have been chance, slow start first
// goes on more slowly for a few rounds.
type hystart struct {
	end           int64 // total bytes delivered when the round began
	last, current int64 // shortest round trip of the last round and of the present one, ns
	samples       int   // round trips measured in the present round
	slow          bool  // conservative slow start
	slowRounds    int
	slowBase      int64 // shortest round trip when conservative slow start began, ns
	ended         bool
}

// acked returns how much the window may grow, and whether slow start is over.
func (h *hystart) acked(ev *ackEvent) (grow int, done bool) {
	if h.ended {
		return ev.acked, false // a later slow start, up to ssthresh
	}
	if ev.rate.prior >= h.end {
		h.nextRound(ev)
	}
	if ev.rtt > 0 {
		h.samples++
		if h.current == 0 || ev.rtt < h.current {
			h.current = ev.rtt
		}
	}
	grow = ev.acked
	if h.slow {
		grow /= hystartDivisor
	}
	if h.samples >= hystartSamples && h.last > 0 {
		threshold := max(hystartMinThreshold, min(h.last/8, hystartMaxThreshold))
		switch {
		case !h.slow && h.current >= h.last+threshold:
			h.slow, h.slowBase, h.slowRounds = true, h.current, 0
		case h.slow && h.current < h.slowBase:
			h.slow, h.slowBase = false, 0
		}
	}
	if h.slow && h.slowRounds >= hystartRounds {
		h.ended = true
	}
	return grow, h.ended
}

func (h *hystart) nextRound(ev *ackEvent) {
	h.end = ev.rate.delivered
	h.last, h.current, h.samples = h.current, 0, 0
	if h.slow {
		h.slowRounds++
	}
}
