package dtls

import "time"

const (
	// RFC 6347 §4.2.4.1 proposes 1 s, RFC 9147 §5.8.2 too, and both allow
	// less where time matters. RTTs of real paths are below 400 ms.
	defaultInitialTimeout = 400 * time.Millisecond

	// Both RFCs let the timer grow to 60 s. Then an outage of a few seconds
	// can cost half a minute more, and at 30 % loss one handshake in ten
	// thousand runs out of tries. A flight each 2 s, for as long as a
	// handshake may take (below), is no burden to any network.
	defaultMaxTimeout = 2 * time.Second

	// Twice the 30 s after which ICE's consent ends (RFC 7675 §5.1): a path
	// that came back has time for the handshake.
	defaultHandshakeTimeout = 60 * time.Second

	// Bounds of what SetRTT may make of a round-trip time. The floor covers
	// the far end's public-key work, which the ICE checks that measured the
	// time had no part of; the ceiling is RFC 6298's initial value, three
	// times over.
	minRTTTimeout = 50 * time.Millisecond
	maxRTTTimeout = 3 * time.Second

	// repeatPause is how long after a flight of ours a repetition of the far
	// end's is taken for one that crossed it, not for a sign of loss.
	repeatPause = minRTTTimeout / 2
)

// SetRTT gives the round-trip time that ICE measured, which the
// retransmission timer is derived from: twice that, at least 50 ms, at most
// 3 s. Timers that run are scaled to it. Zero means unknown.
func (c *Conn) SetRTT(rtt time.Duration) {
	old := c.initialTimeout()
	c.rtt = rtt
	first := c.initialTimeout()
	before := c.timeout
	c.timeout = min(time.Duration(float64(before)*float64(first)/float64(old)), max(c.maxTimeout, first))
	if !c.retransmitAt.IsZero() {
		c.retransmitAt = c.out.sentAt.Add(c.timeout)
	}
	if !c.ackAt.IsZero() {
		c.ackAt = c.ackAt.Add(c.timeout/4 - before/4)
	}
}

// PathLost tells that what was sent lately may be lost with the path that it
// took, and that there is another one: a flight that is not answered goes
// again at once, and what follows is timed as if for the first time.
func (c *Conn) PathLost(now time.Time) {
	if !c.retransmitAt.IsZero() {
		c.timeout, c.retransmitAt = c.initialTimeout(), time.Time{}
		c.repeatLast()
	}
}

// initialTimeout is the first timeout of a flight.
//
// Each flight begins with it anew. RFC 6347 §4.2.4.1 would rather keep a
// timeout that has doubled until something passed without loss; but it
// guesses the round-trip time, and here that is known: what did not come
// back was lost.
func (c *Conn) initialTimeout() time.Duration {
	if c.rtt <= 0 {
		return c.firstTimeout
	}
	return min(max(2*c.rtt, minRTTTimeout), maxRTTTimeout)
}

// currentTimeout is that of the flight on its way, or of the next.
func (c *Conn) currentTimeout() time.Duration {
	if c.timeout == 0 {
		return c.initialTimeout()
	}
	return c.timeout
}

// setDeadline limits the handshake, which has begun.
func (c *Conn) setDeadline(now time.Time) {
	if c.deadline.IsZero() && c.cfg.HandshakeTimeout > 0 && !c.untimed {
		c.deadline = now.Add(c.cfg.HandshakeTimeout)
	}
}

// SetUntimed says whether Config.HandshakeTimeout stands still: while there is
// no path, or the peer does not have the local description yet, silence is no
// fault of DTLS. The time counts from when untimed becomes false, a server's too.
func (c *Conn) SetUntimed(now time.Time, untimed bool) {
	if c.state != stateHandshake {
		return
	}
	c.untimed = untimed
	if untimed {
		c.deadline = time.Time{}
	} else {
		c.setDeadline(now)
	}
}

// NextTimeout is when Advance has something to do; zero: never.
func (c *Conn) NextTimeout() time.Time {
	next := c.retransmitAt
	for _, t := range [...]time.Time{c.deadline, c.causeAt(), c.ackAt} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// Advance runs the timers that are due.
func (c *Conn) Advance(now time.Time) {
	if due(c.causeAt(), now) {
		c.fail(c.hs.cause)
	}
	if due(c.deadline, now) && c.state == stateEstablished {
		c.forgetHandshake()
	} else if due(c.deadline, now) {
		c.fail(ErrHandshakeTimeout)
	}
	if due(c.ackAt, now) {
		c.ackPending, c.ackAt = true, time.Time{}
	}
	if due(c.retransmitAt, now) {
		// RFC 6347 §4.2.4.1: double the value at each retransmission.
		c.timeout = min(2*c.timeout, c.maxTimeout)
		c.retransmitAt = time.Time{}
		c.stats.Retransmissions++
		c.shorten()
		c.out.doubt()
		c.out.restart()
	}
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// stopTimers leaves nothing for Advance to do.
func (c *Conn) stopTimers() {
	c.retransmitAt, c.deadline, c.ackAt = time.Time{}, time.Time{}, time.Time{}
}
