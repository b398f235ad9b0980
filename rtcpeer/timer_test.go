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
// is the reason of: nothing is given up for lost before it could be read.
func TestLateTimerIsPutOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		pair := connect(t, Config{}, ChannelOptions{})
		defer pair.close()
		p := pair.a.ext.(*stack).peer
		pair.net.setCut(true) // nothing else runs the peer
		<-time.After(10 * pair.net.delay)
		synctest.Wait()
		p.mu.Lock()
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
	})
}
