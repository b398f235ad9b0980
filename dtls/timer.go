package dtls

import "time"

const (
	// RFC 6347 §4.2.4.1 and RFC 9147 §5.8.2 propose 1 s, and allow less where latency
	// matters. Round-trip times of most paths are below 400 ms.
	defaultInitialTimeout = 400 * time.Millisecond

	// Both RFCs let the timer grow to 60 s. Then an outage of a few seconds can cost
	// half a minute more, and with 30 % loss one handshake in ten thousand runs out of
	// attempts. One flight in 2 s, until the handshake times out, does not burden a
	// network.
	defaultMaxTimeout = 2 * time.Second

	// Twice the 30 s after which ICE's consent expires (RFC 7675 §5.1): after an
	// outage there is time left for the handshake.
	defaultHandshakeTimeout = 60 * time.Second

	// Bounds of the timeout that is derived from a round-trip time. The lower one
	// covers the peer's public-key operations, which are not part of a round trip of
	// ICE. The upper one is three times the initial value of RFC 6298.
	minRTTTimeout = 50 * time.Millisecond
	maxRTTTimeout = 3 * time.Second

	// A message that the peer repeats within repeatPause of a local flight has crossed
	// it. Later it is a sign that the flight was lost.
	repeatPause = minRTTTimeout / 2
)

// SetRTT sets the round-trip time of the path, from which the retransmission timeout
// is derived: twice rtt, at least 50 ms, at most 3 s. Timers that run are scaled to
// it. 0 means unknown.
func (c *Conn) SetRTT(rtt time.Duration) {
	before, after := c.out.setRTT(rtt)
	c.acks.at = c.acks.at.Add(after/4 - before/4)
}

// PathLost says that recent datagrams may be lost together with the path that they
// were sent on, and that there is a new path. A flight that is not answered is sent
// again at once, and its timeout begins with the initial value.
func (c *Conn) PathLost(now time.Time) { c.out.pathLost() }

// setDeadline limits the duration of the handshake, which has begun.
func (c *Conn) setDeadline(now time.Time) {
	if c.deadline.IsZero() && c.hs.cfg.HandshakeTimeout > 0 && !c.untimed {
		c.deadline = now.Add(c.hs.cfg.HandshakeTimeout)
	}
}

// SetUntimed sets whether Config.HandshakeTimeout is suspended. While there is no
// path, or the peer does not have the local description yet, missing answers are not a
// failure of DTLS. The full time counts, for a server too, from the call with false.
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

// NextTimeout returns when Advance has to be called; zero: never.
func (c *Conn) NextTimeout() (next time.Time) {
	if c.out.timed() {
		next = c.out.retransmitAt
	}
	for _, t := range [...]time.Time{c.deadline, c.causeAt(), c.acks.nextTimeout()} {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return next
}

// Advance runs the timers that are due.
func (c *Conn) Advance(now time.Time) {
	if due(c.causeAt(), now) {
		c.fail(c.hs.cause.err)
	}
	if due(c.deadline, now) && c.state == stateEstablished {
		c.forgetHandshake()
	} else if due(c.deadline, now) {
		c.fail(ErrHandshakeTimeout)
	}
	c.acks.advance(now)
	c.out.advance(now)
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
