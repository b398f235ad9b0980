package rtcpeer

import (
	"context"
	"sync/atomic"
)

// A signal wakes goroutines that wait for a change. It remembers one call of set, so
// that a change between looking and waiting is not missed. A goroutine that was woken
// and took the change calls set again for the others. The zero value is ready; most
// signals are never waited for, and take no more memory than a pointer.
type signal struct{ waited atomic.Pointer[chan struct{}] }

func (s *signal) set() {
	if c := s.waited.Load(); c != nil {
		select {
		case *c <- struct{}{}:
		default:
		}
	}
}

// wait waits for a set, or for ctx. It may return without either: the caller looks
// again.
func (s *signal) wait(ctx context.Context) error {
	select {
	case <-s.channel():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// channel returns the channel that receives one value after set. The first call puts
// one in, for sets before it.
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
