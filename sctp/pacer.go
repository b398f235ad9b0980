package sctp

import "time"

const (
	// pacingBurst is how much time's data is sent at once. Timers are not finer, and with
	// segmentation offload one long burst costs far less than many datagrams.
	pacingBurst = time.Millisecond

	// pacingCredit is the longest lateness of a timer that is made up for.
	pacingCredit = 16 * time.Millisecond

	// smallBurst is how many small packets are sent at once, and how many in each
	// pacingBurst. A small packet has room for more data, even without path MTU discovery.
	// It costs both ends about as much as a full one, and takes about a kilobyte of the
	// receiver's socket buffer. Four packets let a program send one message on each of a
	// few channels at once.
	smallBurst = 4

	// smallInterval is the time from one small packet to the next.
	smallInterval = pacingBurst / smallBurst
)

// A pacer spreads packets over time, in bursts of pacingBurst. It allows packets until it
// is a burst ahead of the rate, and then none until the rate has caught up. So bursts stay
// whole, whatever is sent between them.
//
// On every path it also counts small packets. After smallBurst of them, the next one waits
// until a smallInterval has passed, or it is full, or the receiver has acknowledged all but
// one packet, whose SACK may be delayed. So messages that a program sends in a loop share
// packets, and a message that follows no others is sent at once.
type pacer struct {
	ahead  float64 // bytes sent ahead of the rate; negative: bytes that may still be sent
	at     instant // time of ahead
	small  instant // when the last small packet has passed, if each takes smallInterval
	closed bool    // no packet is allowed until ahead is 0
}

// burst returns how many bytes are sent at once at a rate in bytes a second.
func burst(rate float64, mtu int) float64 {
	return max(rate*pacingBurst.Seconds(), float64(2*mtu))
}

// ready reports whether a packet may be sent now, and if not, when.
func (p *pacer) ready(now instant, rate float64, mtu int) (when instant, ok bool) {
	if rate <= 0 {
		*p = pacer{at: now, small: p.small}
		return 0, true
	}
	credit := burst(rate, mtu)
	if p.closed {
		// Packets waited, so the timer was late. Without a credit the measured rate of
		// delivery would fall, then the pacing rate, and so on.
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

// sent notes that n bytes are sent.
func (p *pacer) sent(n int) { p.ahead += float64(n) }

// readySmall reports whether a small packet may be sent now, and if not, when.
func (p *pacer) readySmall(now instant) (when instant, ok bool) {
	when = p.small - int64((smallBurst-1)*smallInterval)
	return when, when <= now
}

// sentSmall notes that a small packet is sent.
func (p *pacer) sentSmall(now instant) { p.small = max(p.small, now) + int64(smallInterval) }

// restart allows smallBurst small packets at once again.
func (p *pacer) restart() { p.small = 0 }
