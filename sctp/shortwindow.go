package sctp

import "time"

// A shortWindow is the window of bbr on a short path. There the schedulers of both
// ends, not the path, decide when packets are acknowledged, so the bandwidth-delay
// product says little. The window is what the path delivers in shortTime, which covers
// a wake-up of each end. It has a lower bound, so that packets are sent in long
// batches, and an upper bound, so that the packets fit the remote's receive buffer.
type shortWindow struct {
	bound int     // upper limit of the window, in bytes
	after instant // when bound may grow again
}

const (
	// shortRTT is the round trip, in ns, below which a path is short.
	shortRTT  = int64(time.Millisecond)
	shortTime = 2 * time.Millisecond

	// noShortRTT is a round trip, in ns, that no short path has for long: shortRTT,
	// shortTime for the data in flight, and as much for the schedulers. If all round
	// trips are longer, probeRTT measures the path again. Otherwise the window for a
	// path of half a millisecond would stay when the path has changed to one of 40 ms.
	noShortRTT = shortRTT + 2*int64(shortTime)

	// The receive buffer of a Linux socket holds about 90 datagrams by default, or 256
	// KiB if the kernel coalesces them. firstShortWindow is derived from the 90
	// datagrams. The bound of the window begins with it, and grows while nothing is
	// lost. After a loss the bound stays for a while below the value at which the loss
	// occurred. On loopback between two processes the throughput is a third higher
	// with 192 KiB than with 96 KiB, and no higher with 256 or 320 KiB.
	leastShortWindow  = 16 << 10
	leastShortPackets = 2
	firstShortWindow  = 96 << 10
	maxShortWindow    = 192 << 10
	shortWindowHold   = int64(2 * time.Second)
)

// window returns the window for a rate in bytes a second.
func (s *shortWindow) window(rate float64, mtu int) int {
	w := int(rate * shortTime.Seconds())
	return max(min(w, s.bound), leastShortWindow, leastShortPackets*mtu)
}

// endRound changes the bound after a round. lost is how many bytes were lost in the
// round.
func (s *shortWindow) endRound(ev *ackEvent, lost, mtu int) {
	switch {
	case lost > 0:
		s.bound = max(int(lossBeta*float64(min(s.bound, ev.before))), leastShortWindow)
		s.after = ev.now + shortWindowHold
	case ev.limited && ev.now > s.after:
		s.bound = min(s.bound+2*mtu, maxShortWindow)
	}
}
