package rtcpeer

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// A broadcast wakes all goroutines that wait. The zero value is ready. Without a
// waiting goroutine, send costs one atomic load.
type broadcast struct{ waiting atomic.Pointer[chan struct{}] }

// next returns a channel that the next send closes.
func (b *broadcast) next() <-chan struct{} {
	for {
		if c := b.waiting.Load(); c != nil {
			return *c
		}
		c := make(chan struct{})
		if b.waiting.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

func (b *broadcast) send() {
	if b.waiting.Load() == nil {
		return
	}
	if c := b.waiting.Swap(nil); c != nil {
		close(*c)
	}
}

// A liveState is the true state of the connection, as far as its events have come.
// Poll shows it later.
type liveState struct {
	connection ConnectionState
	gathering  GatheringState
	cause      error // why the connection failed or was closed
}

// err returns the cause if the connection has failed or is closed.
func (l *liveState) err() error {
	switch l.connection {
	case StateFailed:
		return failedBy(l.cause)
	case StateClosed:
		if errors.Is(l.cause, ErrClosed) {
			return l.cause
		}
		return closedBy(l.cause)
	}
	return nil
}

// closedErr is err for a connection that may recover from StateFailed.
func (l *liveState) closedErr() error {
	if l.connection == StateClosed {
		return l.err()
	}
	return nil
}

// observe updates the live state from an event that collect has taken. It reports
// whether the event needs no delivery.
func (c *Conn) observe(e *Event) (done bool) {
	switch e.Kind {
	case EventError:
		c.live.cause = e.Err
	case EventConnectionState:
		c.live.connection = ConnectionState(e.State)
		if c.live.connection == StateClosed {
			c.ending.end()
		}
	case EventGatheringState:
		c.live.gathering = GatheringState(e.State)
	case EventSessionDescription:
		if c.wanted != nil && c.wanted.Type == e.Type {
			c.wanted.SDP = e.SDP
			return true
		}
		c.unpolled.begin()
	case EventChannelState:
		if ch := c.channels.get(e.Channel); ch != nil {
			ch.opened = ch.opened || ChannelState(e.State) == ChannelStateOpen
		}
	case EventICEState:
		return c.handlers.ice == nil
	case EventSelectedPair:
		return c.handlers.pair == nil
	}
	return false
}

// beginLife begins a connection after Initialize.
func (c *Conn) beginLife() {
	c.live = liveState{}
	c.handlers.told = shownStates{}
	c.ending = &endSignal{}
	if x, ok := c.ext.(EndingExtension); ok {
		x.NotifyEnd(c.ending.end)
	}
}

// endLife ends a connection that Close or Initialize closes.
func (c *Conn) endLife() {
	if c.live.connection != StateClosed {
		c.live.connection, c.live.cause = StateClosed, cmp.Or(c.live.cause, ErrClosed)
	}
	c.unpolled.end()
	if c.ending != nil {
		c.ending.end()
	}
}

// await waits until done returns true or an error. c.mu is held during its calls.
func (c *Conn) await(ctx context.Context, done func() (bool, error)) error {
	for {
		changed := c.changes.next()
		c.mu.Lock()
		if c.ext == nil {
			c.mu.Unlock()
			return ErrUnconfigured
		}
		c.collect()
		ok, err := done()
		c.mu.Unlock()
		if ok || err != nil {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Connected waits until the connection is established: ICE has a path, DTLS is
// established and the remote's certificate matches its fingerprint. Nobody needs to call
// Poll meanwhile. The error is ErrFailed or ErrClosed with the cause, or ctx's error.
// After RestartICE in StateFailed, Connected waits for the restart.
func (c *Conn) Connected(ctx context.Context) error {
	return c.await(ctx, func() (bool, error) {
		if c.live.connection == StateConnected {
			return true, nil
		}
		if x, ok := c.ext.(RestartExtension); ok && c.live.connection == StateFailed && x.Restarting() {
			return false, nil
		}
		return false, c.live.err()
	})
}

// Done returns a channel that is closed when the connection is closed: by Close, by the
// remote, or by Initialize, which begins another connection with another channel. A
// connection in StateFailed is not closed: RestartICE may recover it. Nobody needs to
// call Poll meanwhile. Err returns the reason.
func (c *Conn) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ending == nil { // a zero Conn, or one whose Initialize in New has failed
		e := &endSignal{over: true}
		return e.channel()
	}
	c.collect()
	return c.ending.channel()
}

// Err returns nil while the connection can be used, ErrFailed with the cause in
// StateFailed, and ErrClosed, with the cause if there is one, when the connection is
// closed. It does not wait for Poll to show the state.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ext == nil {
		return ErrUnconfigured
	}
	c.collect()
	return c.live.err()
}

// Opened waits until the channel is open. Nobody needs to call Poll meanwhile. The
// error is ErrClosed, with the cause if there is one, if the channel is closed or is
// being closed; ErrFailed with the cause if the connection has failed and is not being
// restarted; or ctx's error.
func (d *DataChannel) Opened(ctx context.Context) error {
	if err := d.check(); err != nil {
		return err
	}
	ch := d.ch
	defer func(d *DataChannel) { _ = d.ch }(d) // keeps the handle reachable during the wait
	return ch.conn.await(ctx, func() (bool, error) {
		if s := ChannelState(ch.state.Load()); s >= ChannelStateClosing {
			return false, ch.closedError()
		}
		if ended, _ := ch.ended(); ended {
			return false, ch.closedError()
		}
		if ch.opened {
			return true, nil
		}
		if c := ch.conn; c.live.connection == StateFailed {
			if x, ok := c.ext.(RestartExtension); !ok || !x.Restarting() {
				return false, c.live.err()
			}
		}
		return false, nil
	})
}

// closedError returns ErrClosed, with the cause if the channel was not closed cleanly.
func (ch *channel) closedError() error {
	if ch.waking != nil {
		if _, cause := ch.waking.Ended(); errors.Is(cause, ErrClosed) {
			return cause
		}
	}
	return ErrClosed
}

// An endSignal is the end of one connection, for Conn.Done.
type endSignal struct {
	mu   sync.Mutex
	over bool
	done chan struct{} // closed with over; nil: nobody asked for it
}

// end may be called from any goroutine, any number of times.
func (e *endSignal) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.over && e.done != nil {
		close(e.done)
	}
	e.over = true
}

func (e *endSignal) channel() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.done == nil {
		e.done = make(chan struct{})
		if e.over {
			close(e.done)
		}
	}
	return e.done
}

// pollPatience is how long a created description waits for Poll before the log says
// so.
const pollPatience = 5 * time.Second

// A pollWatch logs a warning if a created description waits for a long time: a common
// mistake is that nobody calls Poll.
type pollWatch struct {
	log   *slog.Logger // nil: no log
	timer *time.Timer  // nil: no description waits
}

// begin begins to watch, when a description waits for Poll.
func (w *pollWatch) begin() {
	if w.log == nil || w.timer != nil {
		return
	}
	log := w.log
	w.timer = time.AfterFunc(pollPatience, func() {
		log.Warn("a created description waits for Poll: call Poll in each frame, or Run in a goroutine, or use Offer and Answer", "waits", pollPatience)
	})
}

// end ends the watch, when Poll has come or the connection is closed.
func (w *pollWatch) end() {
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
