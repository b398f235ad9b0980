package rtcpeer

import (
	"testing"
	"testing/synctest"
	"time"
)

// A timer has no slack for short waits, and at most an eighth of a long wait. The
// timers of many transports fire at few moments.
func TestSlack(t *testing.T) {
	base := time.Unix(1_800_000_000, 123_456_789)
	moments := map[time.Time]bool{}
	for i := range 1000 {
		wait := time.Duration(i) * 10 * time.Millisecond
		due := base.Add(wait)
		got := slackOf(time.Duration(due.UnixNano()), wait)
		if got < 0 || got > wait/8 || wait < 2*time.Second && got != 0 {
			t.Errorf("wait %v: slack %v", wait, got)
		}
		if wait >= 4*time.Second && wait < 6*time.Second { // this is the range of consent intervals
			moments[due.Add(got)] = true
		}
	}
	if len(moments) > 10 {
		t.Errorf("timers over two seconds fire at %d moments, want a few", len(moments))
	}
}

// A timer that is set earlier than the next deadline is not changed, unless its slack
// would make a retransmission late, or the transport is idle and moves in the wheel.
func TestTimerKeeps(t *testing.T) {
	at := time.Unix(1e9, 0)
	own := time.NewTimer(time.Hour)
	defer own.Stop()
	for _, x := range []struct {
		name          string
		timer         deadlineTimer
		due           time.Duration // time from m.at to the new deadline
		wait          time.Duration
		wheeled, idle bool
		want          bool
	}{
		{name: "not set", wait: time.Second},
		{name: "set earlier", timer: deadlineTimer{at: at}, due: time.Second, wait: time.Second, want: true},
		{name: "set later", timer: deadlineTimer{at: at}, due: -time.Second, wait: time.Second},
		{name: "slack, and a retransmission", timer: deadlineTimer{at: at, slack: time.Second}, due: time.Second, wait: time.Second},
		{name: "slack, and a keepalive", timer: deadlineTimer{at: at, slack: time.Second}, due: time.Second, wait: 3 * time.Second, want: true},
		{name: "slack, idle", timer: deadlineTimer{at: at, slack: time.Second}, due: time.Second, wait: time.Second, idle: true, want: true},
		{name: "idle in the wheel", timer: deadlineTimer{at: at}, wait: time.Second, wheeled: true, idle: true, want: true},
		{name: "idle, moves in the wheel", timer: deadlineTimer{at: at}, due: time.Second, wait: time.Second, wheeled: true, idle: true},
		{name: "idle, moves to the wheel", timer: deadlineTimer{at: at, own: own}, wait: time.Second, wheeled: true, idle: true},
	} {
		if got := x.timer.keeps(at.Add(x.due), x.wait, x.wheeled, x.idle); got != x.want {
			t.Errorf("%s: keeps %v", x.name, got)
		}
	}
}

// Loss detection is suppressed for late timers at most maxSuppressions times in a row.
// It can be suppressed again after something was received.
func TestLossSuppression(t *testing.T) {
	var s lossSuppression
	now := time.Unix(1e9, 0)
	received := now.Add(-time.Second)
	step := func(late time.Duration, want bool) {
		t.Helper()
		now = now.Add(time.Second)
		if got := s.suppresses(now, late, received); got != want {
			t.Errorf("late by %v after %d suppressions: %v", late, s.times, got)
		}
	}
	step(lateLimit, false) // the timer is in time
	for range maxSuppressions {
		step(lateLimit+1, true)
	}
	step(lateLimit+1, false)
	received = now.Add(time.Millisecond)
	step(lateLimit+1, true)
	s.overload = &overload{since: now.Add(time.Second), late: overloadLeast}
	s.counted = 1 // the transport was not counted in this window
	step(0, true) // many other transports are late
	for _, want := range []bool{true, false, false, true} {
		late := time.Second
		if !want && !s.postponed {
			late = 0
		}
		if got := s.postpones(late); got != want {
			t.Errorf("postpones %v, want %v", got, want)
		}
	}
}

// If a timer fires late before the connection is established, its effect is postponed
// once: nothing is treated as lost before the datagrams that have arrived could be
// read.
func TestLateTimerIsPostponed(t *testing.T) {
	aloneTransport(t, func(t *testing.T, p *transport, _ *DataChannel) {
		p.mu.Lock()
		dtls := p.core.dtls
		p.core.dtls, p.core.recordAt = nil, time.Time{} // the state before the handshake
		due := p.core.nextTimeout()
		p.timer.stop(true)
		p.now = func() time.Time { return due.Add(time.Second) }
		p.timer.at, p.timer.slack = due, 0
		p.mu.Unlock()
		for _, postponed := range []bool{true, false} {
			p.fire()
			p.mu.Lock()
			if next := p.core.nextTimeout(); p.loss.postponed != postponed || next.Equal(due) != postponed {
				t.Errorf("postponed: %v, want %v; the next deadline is %v later", p.loss.postponed, postponed, next.Sub(due))
			}
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.core.dtls = dtls
		p.mu.Unlock()
	})
}

// aloneTransport calls f with one end of a connection with a cut network, so that only
// f runs it.
func aloneTransport(t *testing.T, f func(t *testing.T, p *transport, x *DataChannel)) {
	inBubble(t, func(t *testing.T) {
		pair := connect(t, Config{}, ChannelOptions{})
		defer pair.close()
		pair.net.setCut(true)
		<-time.After(10 * pair.net.delay)
		synctest.Wait()
		f(t, pair.a.ext.(*stack).transport, pair.x)
	})
}

// unansweredTransport does the same as aloneTransport. A message that is not
// acknowledged is in flight, and f sets the clock.
func unansweredTransport(t *testing.T, f func(t *testing.T, p *transport, clock *time.Time)) {
	aloneTransport(t, func(t *testing.T, p *transport, x *DataChannel) {
		if err := x.PutPacket([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		p.loss.overload = new(overload)
		p.timed = false // the test calls fire itself
		p.timer.stop(true)
		clock := new(time.Time)
		p.now = func() time.Time { return *clock }
		p.mu.Unlock()
		f(t, p, clock)
	})
}

// fireLate fires the timer late at each deadline, until a deadline was that of a loss
// timer. It returns the number of chunks retransmitted since the beginning of the
// connection.
func (p *transport) fireLate(clock *time.Time, late time.Duration) (again uint64) {
	for loss := false; !loss; {
		p.mu.Lock()
		due := p.core.nextTimeout()
		*clock = due.Add(late)
		loss = p.core.lossTimerDue(*clock)
		p.timer.at, p.timer.slack = due, 0
		p.timed = true
		p.mu.Unlock()
		p.fire()
		p.mu.Lock()
		p.timed = false
		p.timer.stop(true)
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.assoc.Stats().ChunksRetransmitted
}

// In a process that is late, a transport suppresses loss detection, a bounded number
// of times.
func TestLateProcessSuppressesLoss(t *testing.T) {
	unansweredTransport(t, func(t *testing.T, p *transport, clock *time.Time) {
		begin := p.fireLate(clock, 0) // the tail loss probe is sent in time
		if begin == 0 {
			t.Fatal("nothing is sent again though the timer is in time")
		}
		for i := range maxSuppressions {
			if n := p.fireLate(clock, 2*lateLimit); n != begin {
				t.Fatalf("late for the %dth time: %d sent again", i+1, n-begin)
			}
		}
		if n := p.fireLate(clock, 2*lateLimit); n == begin {
			t.Error("loss detection is suppressed for ever")
		}
	})
}

// A transport suppresses loss detection if many other transports are late at the same
// time.
func TestOverloadSuppressesLoss(t *testing.T) {
	unansweredTransport(t, func(t *testing.T, p *transport, clock *time.Time) {
		p.mu.Lock()
		at := p.core.nextTimeout()
		p.mu.Unlock()
		for range overloadLeast {
			p.loss.overload.admitLoss(at, new(uint32))
		}
		if n := p.fireLate(clock, 0); n != 0 {
			t.Errorf("%d sent again", n)
		}
		if n := p.fireLate(clock, 0); n == 0 {
			t.Error("nothing is sent again, though the others are not late any more")
		}
	})
}

// In each window, a limited number of transports may treat a late answer as a loss. No
// transport may if too many were late in the window before.
func TestOverload(t *testing.T) {
	at := time.Unix(1e9, 0)
	for _, x := range []struct {
		connected, most int
	}{{0, overloadLeast}, {overloadLeast * overloadShare, overloadLeast}, {10_000, 10_000 / overloadShare}} {
		var s overload
		s.established.Store(int64(x.connected))
		ask := func(n int) (admitted int) {
			for range n {
				if s.admitLoss(at, new(uint32)) {
					admitted++
				}
			}
			return admitted
		}
		for _, step := range []struct{ ask, want int }{
			{x.most, x.most},     // few transports are late
			{x.most + 5, x.most}, // many transports are late
			{10, 0},              // the next window depends on the window before
			{x.most + 5, x.most}, // few transports were late in the window before
		} {
			if got := ask(step.ask); got != step.want {
				t.Errorf("%d connected: %d of %d admitted, want %d", x.connected, got, step.ask, step.want)
			}
			at = at.Add(overloadWindow)
		}
		at = at.Add(2 * overloadWindow)
		if got := ask(10); got != 10 {
			t.Errorf("%d connected: %d of 10 admitted, long after the overload", x.connected, got)
		}
	}
}

// A transport is counted once in a window, even if it is late several times.
func TestOverloadCountsTransports(t *testing.T) {
	var s overload
	var mine uint32
	for i := range 10 * overloadLeast {
		if !s.admitLoss(time.Unix(1e9, 0), &mine) {
			t.Fatalf("not admitted when it asks for the %dth time", i+1)
		}
	}
}

// An overload counts the connected transports of a Host.
func TestEstablishedAreCounted(t *testing.T) {
	h, _, b, _, _ := hostPair(t)
	if n := h.overload.established.Load(); n != 1 {
		t.Errorf("%d established, want 1", n)
	}
	b.Close()
	if n := h.overload.established.Load(); n != 0 {
		t.Errorf("%d established after Close", n)
	}
	var s overload
	before := StateNew
	for _, x := range []struct {
		state ConnectionState
		want  int64
	}{{StateConnecting, 0}, {StateConnected, 1}, {StateDisconnected, 1}, {StateConnected, 1}, {StateFailed, 0}, {StateClosed, 0}} {
		s.stateChanged(before, x.state)
		before = x.state
		if n := s.established.Load(); n != x.want {
			t.Errorf("%d established in %v, want %d", n, x.state, x.want)
		}
	}
}
