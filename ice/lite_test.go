package ice

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/stun"
)

// signalLite passes the credentials of a to b. lite says that a is ICE-lite.
func (w *world) signalLite(a, b *peer, lite bool) {
	ufrag, pwd := a.Credentials()
	b.SetRemote(w.now, ufrag, pwd, lite)
}

// A lite agent sends no requests, and accepts nominations. Its connection lasts as
// long as the remote agent checks it.
func TestLite(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{}, "192.0.2.1:1000", "[2001:db8::1]:1000") // the offer makes a the controlled agent, until SetRemote says that b is lite
	b := w.peer("b", Config{Lite: true, Controlling: true}, "192.0.2.2:2000", "[2001:db8::2]:2000")
	w.tap = func(p *peer, _ Route, d []byte) bool {
		if m, err := stun.Parse(d); err == nil && p == b && m.Type() == stun.BindingRequest {
			t.Error("the lite end checks")
		}
		return true
	}
	a.trickle, b.trickle = b, a
	w.signalLite(a, b, false)
	w.signalLite(b, a, true)
	b.SetControlling(w.now, true)
	a.SetControlling(w.now, false)
	a.EndOfLocal(w.now)
	b.EndOfLocal(w.now)
	if !w.run(5*time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if !a.Controlling() || b.Controlling() {
		t.Error("the lite end controls")
	}
	if p, q := a.selectedPair(), b.selectedPair(); !p.Remote.Addr.Addr().Is6() || q.Local.Addr != p.Remote.Addr {
		t.Errorf("a has %v, b %v", p.Remote, q.Local)
	}
	a.say("hello")
	b.say("hi")
	w.run(5*time.Minute, nil)
	if len(a.data) != 1 || len(b.data) != 1 || b.State() != StateCompleted {
		t.Errorf("data %q, %q; b %v", a.data, b.data, b.State())
	}
	// A restart changes the credentials of both agents.
	a.Restart(w.now, "", "")
	b.Restart(w.now, "", "")
	a.EndOfLocal(w.now)
	b.EndOfLocal(w.now)
	w.signalLite(a, b, false)
	w.signalLite(b, a, true)
	w.run(5*time.Second, nil)
	if p := b.selectedPair(); p.Replaced || b.State() != StateCompleted {
		t.Errorf("restarted: %v, %+v", b.State(), p)
	}
	// The full agent has ended.
	a.Close(w.now)
	start := w.now
	if !w.run(time.Minute, b.is(StateDisconnected)) || w.now.Sub(start) > 15*time.Second {
		t.Errorf("disconnected after %v", w.now.Sub(start))
	}
	if !w.run(time.Minute, b.is(StateFailed)) || b.say("x") {
		t.Errorf("%v", b.State())
	}
}

func TestBothLite(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Lite: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{Lite: true}, "192.0.2.2:2000")
	a.trickle, b.trickle = b, a
	w.signalLite(a, b, true)
	w.signalLite(b, a, true)
	w.settle()
	if a.State() != StateFailed || a.Err() != ErrBothLite || b.Err() != ErrBothLite {
		t.Errorf("%v, %v", a.State(), a.Err())
	}
}

// A remote agent that takes the lite agent for the controlling one gets a
// role-conflict response.
func TestLiteRoleConflict(t *testing.T) {
	a := NewAgent(Config{Lite: true})
	m := stun.Build(nil, stun.BindingRequest, stun.TransactionID{})
	m.Uint64(stun.AttrICEControlled, 1)
	parsed, err := stun.Parse(m.Finish())
	if err != nil || !a.roleConflict(parsed) || a.Controlling() {
		t.Errorf("%v, controlling %v", err, a.Controlling())
	}
}

// Replayed checks, from the original address or from another one, do not renew the
// consent of a lite agent and do not redirect its data.
func TestLiteReplay(t *testing.T) {
	for _, from := range []string{"192.0.2.66:6666", "192.0.2.1:1000"} {
		w := newWorld(t, 1)
		a := w.peer("a", Config{}, "192.0.2.1:1000")
		b := w.peer("b", Config{Lite: true}, "192.0.2.2:2000")
		var checks [][]byte
		w.tap = func(p *peer, _ Route, d []byte) bool {
			if m, err := stun.Parse(d); err == nil && p == a && m.Type() == stun.BindingRequest {
				checks = append(checks, slices.Clone(d))
			}
			return true
		}
		a.trickle, b.trickle = b, a
		w.signalLite(a, b, false)
		w.signalLite(b, a, true)
		a.EndOfLocal(w.now)
		b.EndOfLocal(w.now)
		if !w.run(30*time.Second, both(a, b, StateCompleted)) {
			t.Fatalf("a %v, b %v", a.State(), b.State())
		}
		w.run(time.Minute, nil)
		before, _ := b.Selected()
		// The full agent vanishes, and all its checks are replayed repeatedly.
		w.tap = func(p *peer, _ Route, _ []byte) bool { return p == b }
		gone := w.now
		for w.now.Sub(gone) < 2*time.Minute && b.State() != StateFailed {
			for _, d := range checks {
				b.HandleDatagram(w.now, Route{Local: b.socks[0].Addr(), Remote: netip.MustParseAddrPort(from)}, d)
			}
			if r, ok := b.Selected(); ok && r != before {
				t.Fatalf("replay from %s: data is sent to %v", from, r)
			}
			w.run(time.Second, nil)
		}
		if after := w.now.Sub(gone); after > 32*time.Second {
			t.Errorf("from %s: %v, %v after the full end vanished", from, b.State(), after)
		}
	}
}
