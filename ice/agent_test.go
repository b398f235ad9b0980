package ice

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestTwoHosts(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	if !w.run(time.Second, both(a, b, StateConnected)) && a.State() != StateCompleted {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if w.since() != 2*w.delay {
		t.Errorf("connected after %v, want one round trip", w.since())
	}
	if !w.run(time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if w.since() > 4*w.delay {
		t.Errorf("nominated after %v, want two round trips", w.since())
	}
	want := []State{StateChecking, StateConnected, StateCompleted}
	if !slices.Equal(a.states, want) || !slices.Equal(b.states, want) {
		t.Errorf("states %v, %v", a.states, b.states)
	}
	if a.RTT() != 2*w.delay {
		t.Errorf("RTT %v", a.RTT())
	}
	a.say("hello")
	b.say("hi")
	w.run(100*time.Millisecond, nil)
	if len(a.data) != 1 || len(b.data) != 1 {
		t.Errorf("data %q, %q", a.data, b.data)
	}
}

func TestFamiliesPreferIPv6AndOneSelection(t *testing.T) {
	w := newWorld(t, 2)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "[2001:db8::1]:1000", "[fe80::1]:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000", "[2001:db8::2]:2000", "127.0.0.1:2000")
	w.connect(a, b)
	if !w.run(5*time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	for _, p := range []*peer{a, b} {
		if r, _ := p.Selected(); !r.Remote.Addr().Is6() {
			t.Errorf("%s selected %v", p.name, r)
		}
	}
	for _, q := range a.cur.pairs {
		if q.local.addr.Addr().IsLinkLocalUnicast() || q.remote.addr.Addr().IsLoopback() {
			t.Errorf("pair %v – %v", q.local.addr, q.remote.addr)
		}
	}
}

func TestRoleConflict(t *testing.T) {
	for _, controlling := range []bool{true, false} {
		for seed := range uint64(8) {
			w := newWorld(t, seed)
			a := w.peer("a", Config{Controlling: controlling}, "192.0.2.1:1000")
			b := w.peer("b", Config{Controlling: controlling}, "192.0.2.2:2000")
			w.connect(a, b)
			if !w.run(5*time.Second, both(a, b, StateCompleted)) {
				t.Fatalf("both controlling=%v, seed %d: a %v, b %v", controlling, seed, a.State(), b.State())
			}
			if a.Controlling() == b.Controlling() {
				t.Errorf("both controlling=%v, seed %d: still both %v", controlling, seed, a.Controlling())
			}
		}
	}
}

func TestLossySetups(t *testing.T) {
	worst := time.Duration(0)
	for seed := range uint64(150) {
		w := newWorld(t, seed)
		w.loss, w.dup = 0.25, 0.1
		w.delay = time.Duration(1+seed%100) * time.Millisecond
		a := w.peer("a", Config{Controlling: seed%3 != 0}, "192.0.2.1:1000", "[2001:db8::1]:1000")
		b := w.peer("b", Config{Controlling: seed%3 == 1}, "192.0.2.2:2000", "[2001:db8::2]:1000")
		w.connect(a, b)
		if !w.run(60*time.Second, both(a, b, StateCompleted)) {
			t.Fatalf("seed %d: a %v, b %v", seed, a.State(), b.State())
		}
		worst = max(worst, w.since())
		w.loss = 0
		w.run(30*time.Second, nil)
		ra, _ := a.Selected()
		rb, _ := b.Selected()
		if ra.Local != rb.Remote.Addr() || rb.Local != ra.Remote.Addr() {
			t.Errorf("seed %d: a sends on %v, b on %v", seed, ra, rb)
		}
	}
	if worst > 20*time.Second {
		t.Errorf("the slowest took %v", worst)
	}
}

func TestFailure(t *testing.T) {
	for _, tc := range []struct {
		name        string
		remote      bool // the remote has candidates, but does not answer
		least, most time.Duration
	}{
		{"no candidates", false, 39 * time.Second, 60 * time.Second},
		{"no answers", true, 39 * time.Second, 60 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, 7)
			a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
			a.SetRemote(w.now, "abcd", "0123456789012345678901", false)
			if tc.remote {
				c, _ := ParseCandidate("candidate:1 1 udp 2130706431 192.0.2.9 9000 typ host")
				a.AddRemote(w.now, c)
			}
			a.EndOfLocal(w.now)
			a.EndOfRemote(w.now)
			if !w.run(2*time.Minute, a.is(StateFailed)) {
				t.Fatalf("%v", a.State())
			}
			if w.since() < tc.least || w.since() > tc.most || a.Err() != ErrNoPair {
				t.Errorf("failed after %v: %v", w.since(), a.Err())
			}
			if !a.NextTimeout().IsZero() {
				t.Error("a failed agent has a timer")
			}
		})
	}
}

// The best address is removed, and another address is used instead.
func TestMovement(t *testing.T) {
	w := newWorld(t, 11)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "[2001:db8::1]:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000", "[2001:db8::2]:1000")
	w.connect(a, b)
	w.run(5*time.Second, nil)
	// The path fails without a message. The other address family is used within some
	// seconds.
	w.cut = func(from, to netip.AddrPort) bool { return to.Addr().Is6() }
	w.run(20*time.Second, nil)
	for _, p := range []*peer{a, b} {
		if r, ok := p.Selected(); !ok || !r.Remote.Addr().Is4() {
			t.Errorf("%s sends on %v, %v: %v", p.name, r, ok, p.states)
		}
		if p.State() != StateConnected && p.State() != StateCompleted {
			t.Errorf("%s %v", p.name, p.states)
		}
	}
	// The address is removed for good, and a new address is added.
	a.RemoveLocal(w.now, 0, a.socks[0])
	if a.State() != StateDisconnected {
		t.Errorf("without an address a is %v", a.State())
	}
	a.addSock("192.0.2.77:1000")
	if !w.run(20*time.Second, func() bool { return a.State() == StateConnected && b.State() != StateDisconnected }) {
		t.Fatalf("a %v, b %v", a.states, b.states)
	}
	a.say("moved")
	w.run(time.Second, nil)
	if len(b.data) != 1 {
		t.Errorf("b got %q", b.data)
	}
}

func TestClose(t *testing.T) {
	w := newWorld(t, 12)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(time.Second, nil)
	a.Close(w.now)
	a.Close(w.now)
	w.settle()
	if a.State() != StateClosed || !a.NextTimeout().IsZero() || a.say("x") || len(a.removed) != 1 {
		t.Errorf("%v %v %v", a.State(), a.NextTimeout(), a.removed)
	}
	if err := a.AddLocal(w.now, Local{Sock: 3, Addr: netip.MustParseAddrPort("192.0.2.3:1")}); err != ErrClosed {
		t.Error(err)
	}
	if err := a.AddRemote(w.now, Candidate{}); err != ErrClosed {
		t.Error(err)
	}
	if err := a.AddServer(w.now, Server{}); err != ErrClosed {
		t.Error(err)
	}
	a.SetRemote(w.now, "abcd", "x", false)
	a.Restart(w.now, "", "")
	if _, ok := a.HandleDatagram(w.now, b.selected[0], []byte{22}); ok {
		t.Error("a closed agent gives up data")
	}
	if !w.run(time.Minute, b.is(StateFailed)) {
		t.Errorf("b %v", b.State())
	}
}
