package rtcpeer

import (
	"sync"
	"sync/atomic"
	"time"
)

// A suspicion counts the transports of a Host whose remotes are late with an answer. A
// transport whose path fails should probe it at once. But if many fall silent at the
// same time, the cause is not their paths: the process has no time to read, or a
// common link is congested, and thousands of probes and retransmissions, each with its
// answer, would make it worse.
type suspicion struct {
	established atomic.Int64 // connected transports

	mu     sync.Mutex
	since  time.Time // when the window began
	window uint32    // its number
	silent int       // late transports in this window
	many   bool      // there were many late ones in the previous window
}

const (
	suspicionWindow = 100 * time.Millisecond
	suspicionShare  = 32 // this share of the transports may be late in a window,
	suspicionLeast  = 32 // or so many
)

// commonSuspicion is for transports with sockets of their own.
var commonSuspicion suspicion

// admit reports whether a transport whose remote is late may suspect its path. counted
// is the window that the transport was counted in last.
func (s *suspicion) admit(now time.Time, counted *uint32) bool {
	if s == nil {
		return true
	}
	most := max(suspicionLeast, int(s.established.Load()/suspicionShare))
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.since); age >= suspicionWindow {
		s.many = s.silent > most && age < 2*suspicionWindow
		s.since, s.silent = now, 0
		s.window++
	}
	if *counted != s.window {
		*counted = s.window
		s.silent++
	}
	return !s.many && s.silent <= most
}

// count follows a transport's state.
func (s *suspicion) count(before, after ConnectionState) {
	is := func(state ConnectionState) bool { return state == StateConnected || state == StateDisconnected }
	switch {
	case s == nil || is(before) == is(after):
	case is(after):
		s.established.Add(1)
	default:
		s.established.Add(-1)
	}
}
