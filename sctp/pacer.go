package sctp

import "time"

const (
	// pacingBurst is the least that is sent at once: timers are not finer, and
	// a segment that the kernel cuts costs far less than a datagram.
	pacingBurst = time.Millisecond

	// pacingCredit is how late a timer may be and be made up for.
	pacingCredit = 16 * time.Millisecond

	// smallBurst is how many small packets go at once, and how many each pacingBurst.
	// A small packet has room for more, even without path MTU discovery. A packet costs both ends about the same however little is
	// in it, and takes about a kilobyte of the receiver's socket buffer. A program
	// that sends a message on each of a few channels has them sent at once.
	smallBurst = 4

	// smallInterval is the time from one small packet to the next.
	smallInterval = pacingBurst / smallBurst
)

// A pacer spreads packets over time, in bursts of pacingBurst. It lets
// packets go until it is a burst ahead, and then none until all that went
// would have passed at the pace; so bursts stay whole, whatever comes between.
//
// It counts packets, too, on any path: the small ones. After smallBurst of them, the
// next one waits until a smallInterval has passed, or until it is full, or until the
// receiver has acknowledged all but one, for whose SACK it may wait. So
// messages that a program sends in a loop share packets, and a message that follows
// no others goes at once.
type pacer struct {
	ahead  float64 // bytes sent that have not passed yet; under 0: that may still go
	at     int64   // as of then
	small  int64   // when the last small packet has passed, if each takes smallInterval
	closed bool
}

// burst is how many bytes go at once, at a rate in bytes a second.
func burst(rate float64, mtu int) float64 {
	return max(rate*pacingBurst.Seconds(), float64(2*mtu))
}

// ready reports whether a packet may go now, and if not, when.
func (p *pacer) ready(now int64, rate float64, mtu int) (when int64, ok bool) {
	if rate <= 0 {
		*p = pacer{at: now, small: p.small}
		return 0, true
	}
	credit := burst(rate, mtu)
	if p.closed {
		// Packets have waited, so what is late is the timer. Were it not made
		// up for, the rate would be measured lower, and the pace with it, and
		// so on down.
		credit = max(credit, rate*pacingCredit.Seconds())
	}
	p.ahead = max(p.ahead-float64(now-p.at)/1e9*rate, min(p.ahead, -credit))
	p.at = now
	if p.closed && p.ahead > 0 || !p.closed && p.ahead >= burst(rate, mtu) {
		p.closed = true
		return now + int64(p.ahead/rate*1e9) + 1, false
	}
	p.closed = false
	return 0, true
}

// sent notes that n bytes went.
func (p *pacer) sent(n int) { p.ahead += float64(n) }

// readySmall reports whether a small packet may go now, and if not, when.
func (p *pacer) readySmall(now int64) (when int64, ok bool) {
	when = p.small - int64((smallBurst-1)*smallInterval)
	return when, when <= now
}

// sentSmall notes that a small packet went.
func (p *pacer) sentSmall(now int64) { p.small = max(p.small, now) + int64(smallInterval) }

// restart lets smallBurst small packets go at once again.
func (p *pacer) restart() { p.small = 0 }
