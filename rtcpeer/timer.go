package rtcpeer

import "time"

// A deadlineTimer is what a transport knows of its timer: a timer of its own, or its
// place in the wheel of its Host. A connected transport of a Host uses the wheel,
// unless its deadline is very near.
type deadlineTimer struct {
	own   *time.Timer   // nil: not needed so far, or replaced by the wheel
	at    time.Time     // the deadline that it is set for; zero: it is not set
	slack time.Duration // how much later than at it fires
}

// keeps reports whether the timer may stay as it is for a deadline that is wait away.
// wheeled says that the deadline belongs in the wheel; idle, that no data goes.
//
// A timer that is set earlier than the deadline stays: most deadlines move later with
// every datagram, and when the timer fires it is set for the new one. An idle transport
// moves to the new deadline, which is cheap in the wheel and saves a wake-up.
func (m *deadlineTimer) keeps(due time.Time, wait time.Duration, wheeled, idle bool) bool {
	if wheeled && idle {
		return due.Equal(m.at) && m.own == nil
	}
	// A timer with slack, set while nothing was urgent, may fire too late for a
	// retransmission.
	urgent := m.slack > 0 && wait < slackFrom && !idle
	return !m.at.IsZero() && !due.Before(m.at) && !urgent
}

// stop stops the transport's own timer, since the wheel replaces it. While data goes it
// will be needed again and is kept.
func (m *deadlineTimer) stop(idle bool) {
	if m.own == nil {
		return
	}
	m.own.Stop()
	if idle {
		m.own = nil
	}
}

// slackOf returns how much later a timer fires that is due at a time (counted from any
// fixed moment) and wait away. The slack moves the keepalives of many transports to
// common moments: a thousand idle ones wake the process twice a second instead of two
// hundred times. It is at most 1/8 of the wait, and 0 if the deadline may be a
// retransmission.
func slackOf(due, wait time.Duration) time.Duration {
	if wait <= slackFrom {
		return 0
	}
	grid := slackFrom >> 3
	for grid<<4 <= wait {
		grid <<= 1
	}
	return grid - due%grid
}

// slackFrom is more than the first timeout of any retransmission, and at least
// releaseAfter.
const slackFrom = 2 * time.Second
