package ice

import (
	"net/netip"
	"testing"
	"time"
)

func TestConsentLossAndReturn(t *testing.T) {
	w := newWorld(t, 8)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(time.Minute, nil)
	if !both(a, b, StateCompleted)() || len(a.states) != 3 {
		t.Fatalf("a %v, b %v", a.states, b.states)
	}
	for round := range 3 {
		w.cut = func(from, to netip.AddrPort) bool { return true }
		cut := w.now
		if !w.run(time.Minute, both(a, b, StateDisconnected)) {
			t.Fatalf("round %d: a %v, b %v", round, a.State(), b.State())
		}
		if since := a.lastAnswer.Add(5 * time.Second); w.now.Before(since) || w.now.After(cut.Add(10*time.Second)) {
			t.Errorf("disconnected %v after the cut", w.now.Sub(cut))
		}
		w.run(15*time.Second, nil)
		if !a.say("x") {
			t.Error("consent has not expired, but nothing can be sent")
		}
		w.cut = nil
		back := w.now
		if !w.run(10*time.Second, both(a, b, StateCompleted)) {
			t.Fatalf("round %d: a %v, b %v", round, a.State(), b.State())
		}
		if w.now.Sub(back) > 3*time.Second {
			t.Errorf("back only after %v", w.now.Sub(back))
		}
		w.run(30*time.Second, nil)
	}
	w.cut = func(from, to netip.AddrPort) bool { return true }
	if !w.run(time.Minute, both(a, b, StateFailed)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if since := w.now.Sub(w.start); a.Err() != ErrConsentExpired {
		t.Errorf("after %v: %v", since, a.Err())
	}
	if a.say("x") {
		t.Error("sends without consent")
	}
	if len(a.removed) != len(a.added) {
		t.Errorf("routes added %v, removed %v", a.added, a.removed)
	}

	// A restart recovers from failure (RFC 8445 §9).
	w.cut = nil
	w.restart(a, b)
	if !w.run(10*time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("after the restart: a %v, b %v", a.State(), b.State())
	}
}

func TestConsentIsIdle(t *testing.T) {
	w := newWorld(t, 9)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "[2001:db8::1]:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000", "[2001:db8::2]:1000")
	w.connect(a, b)
	w.run(10*time.Second, nil)
	before := a.sent
	w.run(100*time.Second, nil)
	if n := a.sent - before; n < 2*100/6 || n > 2*100/4 {
		t.Errorf("%d datagrams in 100 s, want a request and an answer every 4 to 6 s", n)
	}
	if len(a.states) != 3 {
		t.Errorf("states %v", a.states)
	}
}

func TestConsentUnderLoss(t *testing.T) {
	for seed := range uint64(5) {
		w := newWorld(t, seed)
		a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
		b := w.peer("b", Config{}, "192.0.2.2:2000")
		w.connect(a, b)
		w.run(5*time.Second, nil)
		w.loss = 0.1
		w.run(10*time.Minute, nil)
		if a.State() == StateFailed || b.State() == StateFailed {
			t.Errorf("seed %d: a %v, b %v", seed, a.states, b.states)
		}
	}
}

// The intervals and limits of consent are those of the configuration.
func TestConsentTimes(t *testing.T) {
	w := newWorld(t, 10)
	times := ConsentTimes{Interval: time.Second, Stale: 2500 * time.Millisecond, Expires: 6 * time.Second}
	a := w.peer("a", Config{Controlling: true, Consent: times}, "192.0.2.1:1000")
	b := w.peer("b", Config{Consent: times}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(10*time.Second, nil)
	before := a.sent
	w.run(100*time.Second, nil)
	if n := a.sent - before; n < 2*90 || n > 2*125 {
		t.Errorf("%d datagrams in 100 s, want a request and an answer every 0.8 to 1.1 s", n)
	}
	w.cut = func(from, to netip.AddrPort) bool { return true }
	cut := w.now
	if !w.run(time.Minute, both(a, b, StateDisconnected)) || w.now.Sub(cut) > 3*time.Second {
		t.Errorf("disconnected %v after the cut: a %v, b %v", w.now.Sub(cut), a.State(), b.State())
	}
	if !w.run(time.Minute, both(a, b, StateFailed)) || w.now.Sub(cut) > 7*time.Second {
		t.Errorf("failed %v after the cut: a %v, b %v", w.now.Sub(cut), a.State(), b.State())
	}
}

// A filter of remote addresses applies to signalled candidates and to the sources of
// checks.
func TestRemoteFilter(t *testing.T) {
	w := newWorld(t, 11)
	allowed := netip.MustParseAddr("192.0.2.2")
	a := w.peer("a", Config{Controlling: true, RemoteFilter: func(a netip.Addr) bool { return a == allowed }}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000", "192.0.2.3:3000")
	w.connect(a, b)
	if !w.run(time.Minute, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	r := a.Report()
	if len(r.Pairs) != 1 || r.Pairs[0].Remote.Addr.Addr() != allowed {
		t.Errorf("pairs %v", r.Pairs)
	}
	if len(r.Dropped) != 1 || r.Dropped[0].Reason != errFiltered {
		t.Errorf("dropped %v", r.Dropped)
	}
	if local, remote, ok := a.SelectedPair(); !ok || local.Addr.Port() != 1000 || remote.Addr.Addr() != allowed {
		t.Errorf("selected %v, %v, %v", local, remote, ok)
	}
}
