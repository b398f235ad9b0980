package rtcpeer

import (
	"sync"
	"sync/atomic"
	"time"
)

// A suspicion is what the peers of a process have in common: how many of them
// wait for answers that are late. One whose path fails should ask at once
// whether it does. But when a good part of all fall silent together, it is not
// their paths: the process has no time to read, or whatever they are all behind
// has none, and thousands of probes and repetitions, each with its answer, make
// it worse.
type suspicion struct {
	connected atomic.Int64 // peers

	mu    sync.Mutex
	since time.Time // when the window began
	asked int       // in it
	many  bool      // were in the one before
}

const (
	suspicionWindow = 100 * time.Millisecond
	suspicionShare  = 64 // one peer of so many may be silent in a window,
	suspicionLeast  = 32 // or so many peers
)

// suspects is of all peers of the process.
var suspects suspicion

// admit tells whether a peer whose far end is late is to suspect its path.
func (s *suspicion) admit(now time.Time) bool {
	most := max(suspicionLeast, int(s.connected.Load()/suspicionShare))
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.since); age >= suspicionWindow {
		s.many = s.asked > most && age < 2*suspicionWindow
		s.since, s.asked = now, 0
	}
	s.asked++
	return !s.many && s.asked <= most
}
