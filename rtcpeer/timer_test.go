package rtcpeer

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestSlack holds a timer's slack to what is promised: none for short waits,
// at most an eighth of long ones, and common moments for all.
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
		if wait >= 4*time.Second && wait < 6*time.Second { // where the checks of consent are
			moments[due.Add(got)] = true
		}
	}
	if len(moments) > 10 {
		t.Errorf("timers over two seconds fire at %d moments, want a few", len(moments))
	}
}

// TestLateTimerIsPutOff has a timer fire a second late, which a busy process
// is the reason of: before the connection is up, nothing is given up for lost
// before it could be read.
func TestLateTimerIsPutOff(t *testing.T) {
	alonePeer(t, func(t *testing.T, p *transport, _ *DataChannel) {
		p.mu.Lock()
		dtls := p.core.dtls
		p.core.dtls = nil // as it was then
		due := p.core.nextTimeout()
		p.dropTimer()
		p.now = func() time.Time { return due.Add(time.Second) }
		p.armed, p.slack = due, 0
		p.mu.Unlock()
		for _, putOff := range []bool{true, false} {
			p.fire()
			p.mu.Lock()
			if next := p.core.nextTimeout(); p.deferred != putOff || next.Equal(due) != putOff {
				t.Errorf("put off: %v, want %v; the next deadline is %v later", p.deferred, putOff, next.Sub(due))
			}
			p.mu.Unlock()
		}
		p.mu.Lock()
		p.core.dtls = dtls
		p.mu.Unlock()
	})
}

// alonePeer gives f one end of a connection whose network is cut, so that
// nothing else runs the peer.
func alonePeer(t *testing.T, f func(t *testing.T, p *transport, x *DataChannel)) {
	inBubble(t, func(t *testing.T) {
		pair := connect(t, Config{}, ChannelOptions{})
		defer pair.close()
		pair.net.setCut(true)
		<-time.After(10 * pair.net.delay)
		synctest.Wait()
		f(t, pair.a.ext.(*stack).transport, pair.x)
	})
}

// silentPeer is alonePeer with a message on its way that nobody answers, and a
// clock that stands until it is set.
func silentPeer(t *testing.T, f func(t *testing.T, p *transport, clock *time.Time)) {
	alonePeer(t, func(t *testing.T, p *transport, x *DataChannel) {
		if err := x.PutPacket([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		p.suspects = new(suspicion)
		p.timed = false // but by the test
		p.dropTimer()
		clock := new(time.Time)
		p.now = func() time.Time { return *clock }
		p.mu.Unlock()
		f(t, p, clock)
	})
}

// fireLate has the timer fire so much after each deadline, until one was for
// the far end's silence, and tells what has gone again since the connection was
// made.
func (p *transport) fireLate(clock *time.Time, late time.Duration) (again uint64) {
	for silent := false; !silent; {
		p.mu.Lock()
		due := p.core.nextTimeout()
		*clock = due.Add(late)
		silent = p.core.silent(*clock)
		p.armed, p.slack = due, 0
		p.timed = true
		p.mu.Unlock()
		p.fire()
		p.mu.Lock()
		p.timed = false
		p.dropTimer()
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.core.assoc.Stats().ChunksRetransmitted
}

// A process that is late does not take silence for loss, but for how long is
// bounded.
func TestSilenceIsExcused(t *testing.T) {
	silentPeer(t, func(t *testing.T, p *transport, clock *time.Time) {
		begin := p.fireLate(clock, 0) // a probe, in time
		if begin == 0 {
			t.Fatal("nothing is sent again though the timer is in time")
		}
		for i := range excusesMost {
			if n := p.fireLate(clock, 2*overloaded); n != begin {
				t.Fatalf("late for the %dth time: %d sent again", i+1, n-begin)
			}
		}
		if n := p.fireLate(clock, 2*overloaded); n == begin {
			t.Error("silence is excused for ever")
		}
	})
}

// A peer among many that fall silent together suspects its path as little.
func TestCommonSilenceIsExcused(t *testing.T) {
	silentPeer(t, func(t *testing.T, p *transport, clock *time.Time) {
		p.mu.Lock()
		at := p.core.nextTimeout()
		p.mu.Unlock()
		for range suspicionLeast {
			p.suspects.admit(at, new(uint32))
		}
		if n := p.fireLate(clock, 0); n != 0 {
			t.Errorf("%d sent again", n)
		}
		if n := p.fireLate(clock, 0); n == 0 {
			t.Error("nothing is sent again, and the others are long silent no more")
		}
	})
}

// One of so many may be silent in a window, and none when those of the window
// before were too many.
func TestSuspicion(t *testing.T) {
	at := time.Unix(1e9, 0)
	for _, x := range []struct {
		connected, most int
	}{{0, suspicionLeast}, {suspicionLeast * suspicionShare, suspicionLeast}, {10_000, 10_000 / suspicionShare}} {
		var s suspicion
		s.established.Store(int64(x.connected))
		ask := func(n int) (admitted int) {
			for range n {
				if s.admit(at, new(uint32)) {
					admitted++
				}
			}
			return admitted
		}
		for _, step := range []struct{ ask, want int }{
			{x.most, x.most},     // few
			{x.most + 5, x.most}, // many …
			{10, 0},              // … and so it begins
			{x.most + 5, x.most}, // few were, before
		} {
			if got := ask(step.ask); got != step.want {
				t.Errorf("%d connected: %d of %d admitted, want %d", x.connected, got, step.ask, step.want)
			}
			at = at.Add(suspicionWindow)
		}
		at = at.Add(2 * suspicionWindow)
		if got := ask(10); got != 10 {
			t.Errorf("%d connected: %d of 10 admitted, and it was long ago", x.connected, got)
		}
	}
}

// A peer counts once in a window, however often it asks.
func TestSuspicionCountsPeers(t *testing.T) {
	var s suspicion
	var mine uint32
	for i := range 10 * suspicionLeast {
		if !s.admit(time.Unix(1e9, 0), &mine) {
			t.Fatalf("not admitted when it asks for the %dth time", i+1)
		}
	}
}

// The established peers of a host are counted, whatever becomes of them.
func TestEstablishedAreCounted(t *testing.T) {
	h, _, b, _, _ := hostPair(t)
	if n := h.silence.established.Load(); n != 1 {
		t.Errorf("%d established, want 1", n)
	}
	b.Close()
	if n := h.silence.established.Load(); n != 0 {
		t.Errorf("%d established after Close", n)
	}
	var s suspicion
	before := StateNew
	for _, x := range []struct {
		state ConnectionState
		want  int64
	}{{StateConnecting, 0}, {StateConnected, 1}, {StateDisconnected, 1}, {StateConnected, 1}, {StateFailed, 0}, {StateClosed, 0}} {
		s.count(before, x.state)
		before = x.state
		if n := s.established.Load(); n != x.want {
			t.Errorf("%d established in %v, want %d", n, x.state, x.want)
		}
	}
}
