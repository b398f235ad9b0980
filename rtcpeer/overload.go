package rtcpeer

import (
	"sync"
	"sync/atomic"
	"time"
)

// A transport whose path fails should probe it at once. But if the process is late, or
// the remotes of many transports are late with their answers at the same time, the
// cause is not the path: the process has no time to read, or a common link is
// congested. Thousands of probes and retransmissions, each with its answer, would make
// it worse. So loss detection is suppressed then, for a bounded time. Due transmissions
// are sent even so. Counting the late remotes is necessary: without it, a message to
// each of 10,000 connections and its answer took 3.3 to 3.9 s, and with it 1.2 to 1.4 s
// (30 November 2026).

// lateLimit is how late a timer fires at most in a process that keeps up. In a process
// that does not, the answers that the timer waits for have likely arrived and are in a
// socket's buffer.
const lateLimit = 20 * time.Millisecond

// maxSuppressions limits how often the loss detection of one path is suppressed without
// anything received meanwhile: to about a second of data. The path may have failed even
// though the process is overloaded.
const maxSuppressions = 4

// A lossSuppression decides for one transport whether a timer means loss.
type lossSuppression struct {
	overload  *overload // of the Host, or of the process; nil: no other transport counts
	counted   uint32    // the last window of overload in which this transport was counted
	times     uint8     // suppressions since something was received
	at        time.Time // of the last suppression
	postponed bool      // the timer was postponed last time, before the connection was established
}

// postpones reports whether a timer that fires late, before the connection is
// established, is postponed: by twice as much as it is late, and only once.
func (s *lossSuppression) postpones(late time.Duration) bool {
	s.postponed = late > lateLimit && !s.postponed
	return s.postponed
}

// suppresses reports whether a loss timer that fires late is ignored. received is when
// data or an answer was last received.
func (s *lossSuppression) suppresses(now time.Time, late time.Duration, received time.Time) bool {
	if received.After(s.at) {
		s.times = 0
	}
	if s.times == maxSuppressions || late <= lateLimit && s.overload.admitLoss(now, &s.counted) {
		return false
	}
	s.times++
	s.at = now
	return true
}

// An overload counts the transports of a Host whose remotes are late with an answer.
// Too many in a window mean that the process or a common link is overloaded.
type overload struct {
	established atomic.Int64 // connected transports

	mu       sync.Mutex
	since    time.Time // when the window began
	window   uint32    // its number
	late     int       // late transports in this window
	exceeded bool      // too many were late in the previous window
}

const (
	overloadWindow = 100 * time.Millisecond
	overloadShare  = 32 // one of 32 transports may be late in a window,
	overloadLeast  = 32 // or 32 if that is more
)

// commonOverload is for transports with sockets of their own.
var commonOverload overload

// admitLoss reports whether a transport whose remote is late may take that for loss.
// counted is the window that the transport was counted in last.
func (o *overload) admitLoss(now time.Time, counted *uint32) bool {
	if o == nil {
		return true
	}
	most := max(overloadLeast, int(o.established.Load()/overloadShare))
	o.mu.Lock()
	defer o.mu.Unlock()
	if age := now.Sub(o.since); age >= overloadWindow {
		o.exceeded = o.late > most && age < 2*overloadWindow
		o.since, o.late = now, 0
		o.window++
	}
	if *counted != o.window {
		*counted = o.window
		o.late++
	}
	return !o.exceeded && o.late <= most
}

// stateChanged counts the connected transports.
func (o *overload) stateChanged(before, after ConnectionState) {
	connected := func(s ConnectionState) bool { return s == StateConnected || s == StateDisconnected }
	switch {
	case o == nil || connected(before) == connected(after):
	case connected(after):
		o.established.Add(1)
	default:
		o.established.Add(-1)
	}
}
