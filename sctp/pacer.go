package sctp

import "time"

const (
	// pacingBurst is the least that is sent at once: timers are not finer, and
	// a segment that the kernel cuts costs far less than a datagram.
	pacingBurst = time.Millisecond

	// minPacedRTT: on shorter paths acknowledgements come more often than
	// timers could, and alone keep the pace.
	minPacedRTT = time.Millisecond
)

// A pacer spreads packets over time, in bursts of pacingBurst. It lets
// packets go until it is a burst ahead, and then none until all that went
// would have passed at the pace; so bursts stay whole, whatever comes between.
type pacer struct {
	free   int64 // when what was sent has passed
	closed bool
}

// burst is how long the bursts last, at a rate in bytes a second.
func (p *pacer) burst(rate float64, mtu int) int64 {
	return max(int64(pacingBurst), int64(2*float64(mtu)/rate*1e9))
}

// ready reports whether a packet may go.
func (p *pacer) ready(now int64, rate float64, mtu int) bool {
	if rate <= 0 {
		p.closed = false
		return true
	}
	if p.closed {
		if p.free > now {
			return false
		}
		p.closed = false
	}
	if p.free-now >= p.burst(rate, mtu) {
		p.closed = true
		return false
	}
	return true
}

// sent notes that n bytes went. A timer that is late may be made up for by as
// much as a burst.
func (p *pacer) sent(now int64, n int, rate float64, mtu int) {
	if rate > 0 {
		p.free = max(p.free, now-p.burst(rate, mtu)) + int64(float64(n)/rate*1e9)
	}
}
