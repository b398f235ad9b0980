package ice

import (
	"net/netip"
	"testing"
	"time"
)

// One agent knows no candidate of the other agent and learns them from its checks.
func TestPeerReflexive(t *testing.T) {
	w := newWorld(t, 3)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	b.trickle = a
	w.signal(a, b)
	w.signal(b, a)
	if !w.run(5*time.Second, func() bool { return a.State() == StateConnected && b.State() == StateConnected }) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if r := b.cur.remotes[0]; r.typ != PeerReflexive || r.priority != candidatePriority(typePreferencePrflx, a.gather.bases[0].preference) {
		t.Errorf("remote %+v", r)
	}
	// When the candidate is signalled later, it gets its signalled type and priority.
	b.AddRemote(w.now, a.cands[0])
	if r := b.cur.remotes[0]; r.typ != Host || len(b.cur.remotes) != 1 || len(b.cur.pairs) != 1 {
		t.Errorf("remote %+v of %d", r, len(b.cur.remotes))
	}
}

// A candidate that was learnt from a check on one base is paired with the other bases
// once it is signalled: checks from all bases may be needed to open a NAT.
func TestReflexiveIsPairedWhenSignalled(t *testing.T) {
	w := newWorld(t, 3)
	b := w.peer("b", Config{}, "192.0.2.2:2000", "192.0.2.3:2000")
	b.SetRemote(w.now, "ufrag", "a password of some length", false)
	far := netip.MustParseAddrPort("198.51.100.1:1000")
	on := b.gather.bases[0]
	b.learn(w.now, b.cur, earlyCheck{base: on, route: on.route(far), priority: 1})
	if len(b.cur.pairs) != 1 || b.cur.prflx != 1 {
		t.Fatalf("%d pairs, %d reflexive candidates, by the check", len(b.cur.pairs), b.cur.prflx)
	}
	for range 2 {
		c := Candidate{Component: 1, Transport: "udp", Priority: 2, Type: ServerReflexive, Addr: far}
		if err := b.AddRemote(w.now, c); err != nil {
			t.Fatal(err)
		}
		if len(b.cur.pairs) != 2 || len(b.cur.remotes) != 1 || b.cur.prflx != 0 {
			t.Errorf("%d pairs, %d candidates, %d reflexive, when it is signalled", len(b.cur.pairs), len(b.cur.remotes), b.cur.prflx)
		}
	}
}

// Checks that arrive before the answer are answered. They are processed when the
// answer arrives.
func TestEarlyChecks(t *testing.T) {
	w := newWorld(t, 4)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	a.trickle = b
	b.trickle = a
	w.settle()
	w.signal(a, b) // b has answered, but the answer has not arrived at a yet
	w.run(300*time.Millisecond, nil)
	if a.State() != StateNew || b.State() != StateConnected {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	if len(a.added) != 1 {
		t.Errorf("a has routes %v", a.added)
	}
	b.say("early")
	w.run(100*time.Millisecond, nil)
	if len(a.data) != 1 {
		t.Errorf("payload on an authenticated route: %q", a.data)
	}
	before := w.now
	w.signal(b, a)
	if !w.run(time.Second, a.is(StateConnected)) || w.now.Sub(before) > 2*w.delay {
		t.Errorf("%v after %v", a.State(), w.now.Sub(before))
	}
}
