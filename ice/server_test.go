package ice

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestNAT(t *testing.T) {
	w := newWorld(t, 5)
	a := w.peer("a", Config{Controlling: true}, "10.0.0.1:1000")
	a.nat = &nat{netip.MustParseAddrPort("198.51.100.1:7000"), map[netip.AddrPort]bool{}}
	b := w.peer("b", Config{}, "10.1.0.1:1000")
	b.nat = &nat{netip.MustParseAddrPort("198.51.100.2:8000"), map[netip.AddrPort]bool{}}
	server := w.stunServer("203.0.113.1:3478")
	for _, p := range []*peer{a, b} {
		if err := p.AddServer(w.now, Server{URL: "stun:x", Addr: server, Sock: SockAny}); err != nil {
			t.Fatal(err)
		}
	}
	w.cut = func(from, to netip.AddrPort) bool {
		return to.Addr().IsPrivate() && from.Addr() != to.Addr() && w.private(from, to)
	}
	w.connect(a, b)
	if !w.run(10*time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v %v, b %v %v", a.State(), a.cands, b.State(), b.cands)
	}
	if len(a.cands) != 2 || a.cands[1].Type != ServerReflexive || a.cands[1].Addr != a.nat.public || a.cands[1].Related != a.socks[0] {
		t.Errorf("candidates %v", a.cands)
	}
	if r, _ := a.Selected(); r.Remote != b.nat.public {
		t.Errorf("a sends to %v", r.Remote)
	}
}

func TestServerThatIsSilent(t *testing.T) {
	w := newWorld(t, 6)
	a := w.peer("a", Config{Controlling: true}, "10.0.0.1:1000")
	a.AddServer(w.now, Server{URL: "stun:nobody", Addr: netip.MustParseAddrPort("203.0.113.1:3478"), Sock: SockAny})
	a.EndOfLocal(w.now)
	if w.run(39*time.Second, func() bool { return a.gathered > 0 }) {
		t.Errorf("gathering complete after %v", w.since())
	}
	if !w.run(time.Second, func() bool { return a.gathered == 1 }) {
		t.Error("gathering never ends")
	}
	if len(a.errs) != 1 || a.errs[0].URL != "stun:nobody" || !errors.Is(a.errs[0].Err, ErrServerTimeout) {
		t.Errorf("errors %v", a.errs)
	}
	if a.sent != 7 {
		t.Errorf("%d requests", a.sent)
	}
}
