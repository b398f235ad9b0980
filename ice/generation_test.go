package ice

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func TestRestartUnderLoad(t *testing.T) {
	w := newWorld(t, 10)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(time.Second, nil)
	sent := 0
	for range 20 {
		offerer, answerer := a, b
		if w.rnd.IntN(2) == 0 {
			offerer, answerer = b, a
		}
		ufrag, _ := offerer.Credentials()
		w.restart(offerer, answerer)
		if now, _ := offerer.Credentials(); now == ufrag {
			t.Fatal("the ufrag did not change")
		}
		for range 100 {
			if !a.say(fmt.Sprint(sent)) || !b.say(fmt.Sprint(sent)) {
				t.Fatalf("cannot send: a %v, b %v", a.State(), b.State())
			}
			sent++
			w.run(time.Millisecond, nil)
		}
		w.run(time.Second, nil)
	}
	w.run(time.Second, nil)
	if len(a.data) != sent || len(b.data) != sent {
		t.Errorf("sent %d, a got %d, b got %d", sent, len(a.data), len(b.data))
	}
	if !both(a, b, StateCompleted)() {
		t.Errorf("a %v, b %v", a.State(), b.State())
	}
	for _, s := range a.states {
		if s == StateDisconnected || s == StateFailed {
			t.Errorf("states %v", a.states)
		}
	}
	w.run(time.Minute, nil)
	if a.cur.older != nil || b.cur.older != nil {
		t.Error("an old generation is kept for ever")
	}
}

// Chromium stays on a pair from before two restarts while only checks arrive on the new
// pair. Data of such a remote is accepted for a time.
func TestFormerRoute(t *testing.T) {
	w := newWorld(t, 12)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "192.0.2.9:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(time.Second, nil)
	// The next generations use other ports of b.
	old, _ := a.Selected()
	b.RemoveLocal(w.now, 0, netip.MustParseAddrPort("192.0.2.2:2000"))
	b.addSock("192.0.2.2:2001")
	for range 2 {
		w.restart(a, b)
		w.run(time.Second, nil)
	}
	if now, ok := a.Selected(); !ok || now == old || a.uses(old) {
		t.Fatalf("a is on %v", now)
	}
	data := []byte{22, 1, 'x'}
	if _, ok := a.HandleDatagram(w.now, old, data); !ok {
		t.Error("data of the old pair is dropped at once")
	}
	w.run(formerFor+10*time.Second, nil)
	if _, ok := a.HandleDatagram(w.now, old, data); ok {
		t.Error("data of the old pair is taken for ever")
	}
	if a.routes.former != nil || b.routes.former != nil {
		t.Errorf("%v, %v", a.routes.former, b.routes.former)
	}
	// The number of former routes is bounded, and they are removed before routes in
	// use.
	for i := range 2 * maxRoutes {
		sock := Sock(len(b.socks) - 1)
		b.RemoveLocal(w.now, sock, b.socks[sock])
		b.addSock(fmt.Sprintf("192.0.2.2:%d", 3000+i))
		w.restart(a, b)
		w.run(100*time.Millisecond, nil)
		if n := len(a.routes.permitted) + len(a.routes.former); n > maxRoutes {
			t.Fatalf("%d routes", n)
		}
	}
	if r, ok := a.Selected(); !ok || !a.permitted(r) || len(a.routes.former) == 0 {
		t.Errorf("on %v (selected %v, permitted %v) beside %d former ones", r, ok, a.permitted(r), len(a.routes.former))
	}
}

// Names of former generations that were never resolved are dropped, so that the number
// of lookups stays bounded.
func TestNamesOfRestarts(t *testing.T) {
	w := newWorld(t, 13)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	for i := range 3 * maxRemotes {
		w.restart(a, b)
		for j := range 2 {
			c := Candidate{Foundation: "1", Component: 1, Transport: "udp", Name: fmt.Sprintf("name-%d-%d.local", i, j), Addr: netip.AddrPortFrom(netip.Addr{}, 1000)}
			if err := a.AddRemote(w.now, c); err != nil {
				t.Fatalf("restart %d: %v", i, err)
			}
		}
	}
	if n := len(a.lookups.waiting); n > 2*(1+maxReplaced) {
		t.Errorf("%d names are looked up", n)
	}
}
