package dtls

import "time"

const (
	// RFC 6347 §4.2.4.1 and RFC 9147 §5.8.2 propose 1 s, and allow a shorter timeout
	// if latency matters. The round-trip times of most paths are below 400 ms.
	defaultInitialTimeout = 400 * time.Millisecond

	// RFC 6347 and RFC 9147 let the timeout grow to 60 s. With 60 s, an outage of a
	// few seconds could delay the handshake by another half minute, and with 30 % loss
	// one of ten thousand handshakes would run out of attempts. One flight every 2 s,
	// until the handshake times out, is no burden for a network.
	defaultMaxTimeout = 2 * time.Second

	// defaultHandshakeTimeout is twice the 30 s after which ICE's consent expires (RFC
	// 7675 §5.1), so that there is time left for the handshake after an outage.
	defaultHandshakeTimeout = 60 * time.Second

	// minRTTTimeout and maxRTTTimeout limit the timeout that is derived from a
	// round-trip time. The lower limit leaves time for the peer's public-key
	// operations, which are not part of a round trip of ICE. The upper limit is three
	// times the initial timeout of RFC 6298.
	minRTTTimeout = 50 * time.Millisecond
	maxRTTTimeout = 3 * time.Second

	// If the peer repeats a message within repeatPause after a local flight was sent,
	// the message and the flight have crossed on the path. If the peer repeats the
	// message later, the local flight was probably lost.
	repeatPause = minRTTTimeout / 2
)

// SetRTT sets the round-trip time of the path. The first retransmission timeout is
// twice rtt, but at least 50 ms and at most 3 s. Running timers are scaled
// accordingly. If rtt is 0, the round-trip time is unknown.
func (c *Conn) SetRTT(rtt time.Duration) {
	before, after := c.out.setRTT(rtt)
	c.acks.at = c.acks.at.Add(after/4 - before/4)
}

// PathLost says that there is a new path, and that recent datagrams may have been lost
// with the old path. If the peer has not answered a flight, the flight is sent again
// immediately, with the initial timeout.
func (c *Conn) PathLost(now time.Time) { c.out.pathLost() }

// setDeadline sets the time at which the handshake fails. It is called after the
// handshake has begun.
func (c *Conn) setDeadline(now time.Time) {
	if c.deadline.IsZero() && c.hs.cfg.HandshakeTimeout > 0 && !c.untimed {
		c.deadline = now.Add(c.hs.cfg.HandshakeTimeout)
	}
}

// SetUntimed sets whether Config.HandshakeTimeout is suspended. While there is no
// path, or the peer does not have the local description yet, missing answers are not a
// failure of DTLS. When SetUntimed is called with false, the full timeout starts, also
// in a server.
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

// HoldRetransmission sets whether the retransmission timer stands still, because
// something else repeats the datagrams of flights, such as ICE's checks (SPED). When
// the timer runs again, a flight that was sent longer ago than its timeout is sent again
// by the next Advance.
func (c *Conn) HoldRetransmission(held bool) { c.out.hold(held) }

// Resend makes the present flight pending again: AppendDatagram returns it once more,
// because its datagrams were not sent after all. If there is none, it does nothing.
func (c *Conn) Resend() { c.out.resend() }

// FlightChanges counts how often a local flight began, ended or was made pending again.
// When the count has changed, datagrams that AppendDatagram has returned before are of
// no use any more.
func (c *Conn) FlightChanges() int { return c.out.begun + int(c.out.retransmissions) }

// NextTimeout returns the time at which Advance has to be called; zero: never.
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

// Advance handles all timers that have run out.
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
	before := c.out.retransmissions
	if c.out.advance(now); c.out.retransmissions != before {
		c.trace.timeout(now, c.out.flight)
	}
}

func due(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }
