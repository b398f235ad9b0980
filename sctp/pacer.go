package sctp

import "time"

const (
	// pacingBurst is the length of a burst: data for this time is sent together.
	// Timers are not finer, and with segmentation offload one long burst costs far
	// less than many datagrams.
	pacingBurst = time.Millisecond

	// pacingCredit limits how much is sent to make up for a late timer: the data of at
	// most this time.
	pacingCredit = 16 * time.Millisecond

	// smallBurst is how many small packets are sent together, and how many in each
	// pacingBurst. A small packet has room for more data, even without path MTU
	// discovery. A small packet costs both ends about as much as a full one, and takes
	// about a kilobyte of the receiver's socket buffer. Four packets let a program
	// send one message on each of a few channels together.
	smallBurst = 4

	// smallInterval is the time from one small packet to the next.
	smallInterval = pacingBurst / smallBurst
)

// A pacer spreads packets over time, in bursts of pacingBurst. It allows packets until
// a whole burst was sent ahead of the rate, and then none until the rate has caught
// up.
//
// On every path the pacer also limits small packets. After smallBurst of them, the
// next small packet waits until a smallInterval has passed, or the packet is full, or
// the receiver has acknowledged all packets but one (its SACK may be delayed). So
// messages that a program sends in a loop share packets, and a message that follows no
// others is sent immediately.
type pacer struct {
	ahead  float64 // bytes sent ahead of the rate; negative: bytes that may still be sent
	at     instant // time at which ahead was computed
	small  instant // end of the time that the small packets sent take, if each takes smallInterval
	closed bool    // no packet is allowed until ahead is 0
}

// burst returns the length of a burst in bytes. rate is in bytes a second.
func burst(rate float64, mtu int) float64 {
	return max(rate*pacingBurst.Seconds(), float64(2*mtu))
}

// ready reports whether a packet may be sent now. If not, when says how long to wait.
func (p *pacer) ready(now instant, rate float64, mtu int) (when instant, ok bool) {
	if rate <= 0 {
		*p = pacer{at: now, small: p.small}
		return 0, true
	}
	credit := burst(rate, mtu)
	if p.closed {
		// The pacer lets packets go later than intended if the timer is late. Without
		// a credit for this time, the measured rate of delivery would fall, then the
		// pacing rate, and so on.
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

// sent notes that n bytes were sent.
func (p *pacer) sent(n int) { p.ahead += float64(n) }

// readySmall reports whether a small packet may be sent now. If not, when says how
// long to wait.
func (p *pacer) readySmall(now instant) (when instant, ok bool) {
	when = p.small - int64((smallBurst-1)*smallInterval)
	return when, when <= now
}

// sentSmall notes that a small packet was sent.
func (p *pacer) sentSmall(now instant) { p.small = max(p.small, now) + int64(smallInterval) }

// restart allows smallBurst small packets again without waiting.
func (p *pacer) restart() { p.small = 0 }
