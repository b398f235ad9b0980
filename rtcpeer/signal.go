package rtcpeer

import (
	"context"
	"sync/atomic"
)

// A signal wakes goroutines that wait for something to change. It remembers
// one call of set, so that none is missed between a look and a wait; whoever
// was woken and used up the change calls set again for the others. The zero
// value is ready; most signals of a program are never waited for, and take no
// more room than a pointer.
type signal struct{ waited atomic.Pointer[chan struct{}] }

func (s *signal) set() {
	if c := s.waited.Load(); c != nil {
		select {
		case *c <- struct{}{}:
		default:
		}
	}
}

// wait waits for a set, or for ctx. It may return without one: whoever waits
// looks again at what it waits for.
func (s *signal) wait(ctx context.Context) error {
	select {
	case <-s.channel():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// channel is what receives one value after set was called. The first has one
// at once, for the calls before it, which nothing could remember.
func (s *signal) channel() <-chan struct{} {
	if c := s.waited.Load(); c != nil {
		return *c
	}
	c := make(chan struct{}, 1)
	if s.waited.CompareAndSwap(nil, &c) {
		s.set()
	}
	return *s.waited.Load()
}
