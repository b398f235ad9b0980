package rtcpeer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// numbers sends messages in one direction of an ordered and reliable channel, in real
// time: simMessage(0), simMessage(1) and so on, a few at a time, until end is called.
// It checks that each arriving message is the next one.
type numbers struct {
	sent, got atomic.Int64
	stopping  chan struct{}
	done      sync.WaitGroup // goroutines that send
	reading   sync.WaitGroup
}

// count begins to send from one end to the other.
func count(t testing.TB, from, to *DataChannel) *numbers {
	n := &numbers{stopping: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { // this also ends a test that has failed elsewhere
		cancel()
		n.done.Wait()
		n.reading.Wait()
	})
	n.done.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			for range 4 {
				if err := from.Send(ctx, simMessage(uint32(n.sent.Load())), false); err != nil {
					if ctx.Err() == nil {
						t.Errorf("message %d: %v", n.sent.Load(), err)
					}
					return
				}
				n.sent.Add(1)
			}
			select {
			case <-tick.C:
			case <-n.stopping:
				return
			case <-ctx.Done():
				return
			}
		}
	})
	n.reading.Go(func() {
		for {
			i := uint32(n.got.Load())
			p, _, err := to.Receive(ctx)
			if err != nil {
				return
			}
			if string(p) != string(simMessage(i)) {
				t.Errorf("message %d is not what came: %d bytes", i, len(p))
				return
			}
			n.got.Add(1)
		}
	})
	return n
}

// caughtUp waits until all messages sent so far have arrived.
func (n *numbers) caughtUp(t testing.TB, limit time.Duration) {
	t.Helper()
	want := n.sent.Load()
	waitReal(t, limit, fmt.Sprint(want, " messages have arrived"), func() bool { return n.got.Load() >= want })
}

// waitReal waits, in real time, until f is true.
func waitReal(t testing.TB, limit time.Duration, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// end stops sending, waits until all messages have arrived, and returns their number.
func (n *numbers) end(t testing.TB) int64 {
	t.Helper()
	close(n.stopping)
	n.done.Wait()
	n.caughtUp(t, 10*time.Second)
	return n.sent.Load()
}
