package rtcpeer

import (
	"sync"
	"sync/atomic"
	"time"
)

// A suspicion is what the peers of a Host have in common: how many of them
// wait for answers that are late. One whose path fails should ask at once
// whether it does. But when a good part of all fall silent together, it is not
// their paths: the process has no time to read, or whatever they are all behind
// has none, and thousands of probes and repetitions, each with its answer, make
// it worse.
type suspicion struct {
	established atomic.Int64 // peers

	mu     sync.Mutex
	since  time.Time // when the window began
	window uint32    // its number
	silent int       // peers, in it
	many   bool      // were in the one before
}

const (
	suspicionWindow = 100 * time.Millisecond
	suspicionShare  = 32 // one peer of so many may be silent in a window,
	suspicionLeast  = 32 // or so many peers
)

// commonSuspicion is that of the peers that have sockets of their own.
var commonSuspicion suspicion

// admit tells whether a peer whose far end is late is to suspect its path.
// counted is the peer's own: the window that it was counted in last.
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

// count follows a peer's state.
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
