package rtcpeer

import (
	"bytes"
	"context"
	"runtime"
	"strconv"
)

// A signal wakes goroutines that wait for something to change. It remembers
// one call of set, so that none is missed between a look and a wait; whoever
// was woken and used up the change calls set again for the others.
type signal chan struct{}

func newSignal() signal { return make(signal, 1) }

func (s signal) set() {
	select {
	case s <- struct{}{}:
	default:
	}
}

func (s signal) wait(ctx context.Context) error {
	select {
	case <-s:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goroutineID is the number of the calling goroutine. It serves one purpose:
// to tell a Poll called by a handler inside Poll, which must return at once,
// from one of another goroutine, which must wait.
func goroutineID() int64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	digits, _, _ := bytes.Cut(b, []byte(" "))
	id, _ := strconv.ParseInt(string(digits), 10, 64)
	return id
}
