package rtcpeer

import "time"

// A deadlineTimer is the state of a transport's timer. The timer is either a timer of
// the transport itself or a place in the wheel of its Host. A connected transport of a
// Host uses the wheel, unless its deadline is very near.
type deadlineTimer struct {
	own   *time.Timer   // the transport's own timer; nil: not needed until now, or replaced by the wheel
	at    time.Time     // the deadline for which the timer is set; zero: it is not set
	slack time.Duration // how much later than at it fires
}

// keeps reports whether the timer need not be changed for the deadline due, which is
// the duration wait from now. wheeled says that the deadline belongs in the wheel.
// idle says that no data is sent or received.
//
// A timer that is set for an earlier time than the deadline is not changed: most
// deadlines move later with every datagram, and when the timer fires it is set for the
// new deadline. The timer of an idle transport is set for the new deadline, because
// that is cheap in the wheel and saves a wake-up.
func (m *deadlineTimer) keeps(due time.Time, wait time.Duration, wheeled, idle bool) bool {
	if wheeled && idle {
		return due.Equal(m.at) && m.own == nil
	}
	// A timer with slack was set when nothing was urgent. It may fire too late for a
	// retransmission.
	urgent := m.slack > 0 && wait < slackFrom && !idle
	return !m.at.IsZero() && !due.Before(m.at) && !urgent
}

// stop stops the transport's own timer, because the wheel replaces it. Unless the
// transport is idle, the timer is kept for later use.
func (m *deadlineTimer) stop(idle bool) {
	if m.own == nil {
		return
	}
	m.own.Stop()
	if idle {
		m.own = nil
	}
}

// slackOf returns how much later than at the time due a timer fires. due is counted
// from any fixed moment, and is the duration wait from now. The slack moves the
// keepalives of many transports to common moments: a thousand idle transports wake the
// process twice a second instead of two hundred times. It is at most 1/8 of wait, and
// 0 if the deadline may be that of a retransmission.
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

// slackFrom is the longest wait without slack. It is more than the first timeout of
// any retransmission, and at least releaseAfter.
const slackFrom = 2 * time.Second
