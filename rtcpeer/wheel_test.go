package rtcpeer

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// Every transport is due once, at its time or later by at most its slack.
func TestWheel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		var w wheel
		type want struct {
			at, late time.Time
			removed  bool
		}
		peers := map[*transport]*want{}
		begin := time.Now()
		for now := begin; now.Sub(begin) < 5*time.Minute; now = now.Add(wheelSlot / 3) {
			if len(peers) < 500 && now.Sub(begin) < 3*time.Minute {
				p, wait := &transport{}, wheelLeast+time.Duration(random.Int64N(int64(60*time.Second)))
				w.add(p, now.Add(time.Hour), time.Hour) // the next call of add replaces this one
				slack := w.add(p, now.Add(wait), wait)
				if slack < 0 || slack > wait/8+wheelSlot {
					t.Fatalf("wait %v: slack %v", wait, slack)
				}
				peers[p] = &want{at: now.Add(wait), late: now.Add(wait + slack)}
				if random.IntN(4) == 0 {
					w.remove(p)
					peers[p].removed = true
				}
			}
			w.timer.Stop() // the test sets the clock
			for _, p := range w.take(now) {
				x := peers[p]
				if x == nil || x.removed || now.Before(x.at) {
					t.Fatalf("due at %v: %+v", now, x)
				}
				delete(peers, p)
			}
			for p, x := range peers {
				if !x.removed && now.After(x.late.Add(wheelSlot)) {
					t.Fatalf("not due at %v: %+v in slot %d, done %d", now, x, p.place.slot, w.done)
				}
				if x.removed && now.After(x.late) {
					delete(peers, p)
				}
			}
		}
		if len(peers) > 0 || w.armed != 0 {
			t.Errorf("%d peers are left, and the timer is set for slot %d", len(peers), w.armed)
		}
	})
}

// A transport is due even if its caller has read the clock a long time ago.
func TestWheelLate(t *testing.T) {
	var w wheel
	begin := time.Now()
	w.add(&transport{}, begin.Add(time.Minute), time.Minute)
	defer w.timer.Stop()
	w.take(begin.Add(10 * time.Second))
	p := &transport{}
	w.add(p, begin.Add(time.Second), time.Second)
	if due := w.take(begin.Add(10*time.Second + 2*wheelSlot)); len(due) != 1 || due[0] != p {
		t.Errorf("%d peers are due; it is in slot %d, of which %d are done", len(due), p.place.slot, w.done)
	}
}

// The timer of a wheel is set for the earliest transport, whatever the order in which
// transports are added.
func TestWheelFires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w wheel
		begin := time.Now()
		late, soon := &transport{closed: true}, &transport{closed: true}
		w.add(late, begin.Add(30*time.Second), 30*time.Second)
		w.add(soon, begin.Add(time.Second), time.Second)
		waits := func(p *transport) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return p.place.slot != 0
		}
		for _, x := range []struct {
			p  *transport
			at time.Duration
		}{{soon, time.Second}, {late, 30 * time.Second}} {
			<-time.After(x.at - time.Since(begin) - 1)
			synctest.Wait()
			if !waits(x.p) {
				t.Errorf("%v: too early", x.at)
			}
			<-time.After(x.at/8 + 2*wheelSlot)
			synctest.Wait()
			if waits(x.p) {
				t.Errorf("%v: did not fire", x.at)
			}
		}
	})
}

// A Host's connection that waits for an acknowledgement is in the wheel, which causes
// the retransmission.
func TestWaitingTransportIsInTheWheel(t *testing.T) {
	h, a, b, x, y := hostPair(t)
	transfer(t, x, y)
	far, p := a.ext.(*stack).transport, b.ext.(*stack).transport
	far.mu.Lock()
	defer far.mu.Unlock()
	if err := y.PutPacket([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	again := func() uint64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.core.assoc.Stats().ChunksRetransmitted
	}
	before := again()
	p.mu.Lock()
	h.wheel.remove(p) // this removes an earlier entry
	p.timer.stop(true)
	p.timer.at = time.Time{}
	p.arm(p.core.nextTimeout().Add(-2 * wheelLeast)) // the transport is set for a deadline that has passed
	h.wheel.mu.Lock()
	if p.timer.own != nil || p.place.slot == 0 {
		t.Errorf("slot %d; a timer of its own: %v", p.place.slot, p.timer.own != nil)
	}
	h.wheel.mu.Unlock()
	p.mu.Unlock()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-tick.C {
		if again() > before {
			return
		}
		if time.Now().After(end) {
			t.Fatal("nothing is sent again")
		}
	}
}

// An idle connection of a Host is in the wheel until it is closed.
func TestIdleTransportIsInTheWheel(t *testing.T) {
	h, _, b, x, y := hostPair(t)
	transfer(t, x, y)
	p := b.ext.(*stack).transport
	rests := func() bool { // the transport rests after the last packets of a transfer and releaseAfter
		p.mu.Lock()
		defer p.mu.Unlock()
		h.wheel.mu.Lock()
		defer h.wheel.mu.Unlock()
		return p.core.recordAt.IsZero() && p.place.slot != 0 && p.timer.own == nil
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	soon := func() {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !rests(); <-tick.C {
			if time.Now().After(end) {
				t.Fatal("does not rest")
			}
		}
	}
	soon()
	p.fire() // the timer fires early
	transfer(t, x, y)
	soon()
	b.Close()
	if h.wheel.mu.Lock(); p.place.slot != 0 {
		t.Error("closed, and still in the wheel")
	}
	h.wheel.mu.Unlock()
}
