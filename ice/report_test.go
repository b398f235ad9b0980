package ice

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestReport(t *testing.T) {
	w := newWorld(t, 3)
	a := w.peer("a", Config{Controlling: true}, "10.0.0.1:1000")
	a.nat = &nat{netip.MustParseAddrPort("198.51.100.1:7000"), map[netip.AddrPort]bool{}}
	b := w.peer("b", Config{}, "203.0.113.9:2000")
	stunServer := w.stunServer("203.0.113.1:3478")
	s := w.turnServer("203.0.113.2:3478")
	wrong := s.config()
	wrong.Password, wrong.URL = "q", "turn:wrong"
	wrong.Addr = netip.MustParseAddrPort("203.0.113.3:3478")
	w.nodes[wrong.Addr] = w.nodes[s.addr]
	for _, c := range []Server{{URL: "stun:x", Addr: stunServer, Sock: SockAny}, s.config()} {
		if err := a.AddServer(w.now, c); err != nil {
			t.Fatal(err)
		}
	}
	a.nat.allowed[s.addr] = true
	w.connect(a, b)
	a.AddRemote(w.now, Candidate{Component: 1, Transport: "udp", Priority: 1, Addr: netip.MustParseAddrPort("192.0.2.77:1"), Type: Host})
	a.AddRemote(w.now, Candidate{Component: 1, Transport: "udp", Name: "x.local", Addr: netip.AddrPortFrom(netip.Addr{}, 9)})
	w.run(45*time.Second, nil)

	r := a.Report()
	if r.State != StateConnected && r.State != StateCompleted || !r.Controlling || !r.Gathered || !r.RemoteEnded {
		t.Errorf("%+v", r)
	}
	types := map[CandidateType]int{}
	for _, c := range r.Local {
		types[c.Type]++
	}
	if types[Host] != 1 || types[ServerReflexive] != 1 || types[Relay] != 1 || len(r.Local) != 3 {
		t.Errorf("local candidates %v", r.Local)
	}
	var selected, dead *PairReport
	for i := range r.Pairs {
		switch p := &r.Pairs[i]; {
		case p.Selected:
			selected = p
		case p.Remote.Addr.Addr() == netip.MustParseAddr("192.0.2.77") && p.Local.Type == Host:
			dead = p
		}
	}
	if selected == nil || selected.State != PairSucceeded || !selected.Nominated || selected.RTT != 20*time.Millisecond ||
		selected.RequestsSent < selected.ResponsesReceived || selected.ResponsesReceived == 0 ||
		selected.RequestsReceived == 0 || selected.Err != nil || selected.LastResponse.IsZero() || selected.Remote.Type != Host {
		t.Errorf("selected %+v", selected)
	}
	if dead == nil || dead.ResponsesReceived != 0 || dead.Selected {
		t.Errorf("the pair without answers: %+v", dead)
	}
	if len(r.Servers) != 2 || !r.Servers[0].Answered || len(r.Servers[0].Mapped) != 1 ||
		len(r.Servers[1].Relayed) != 1 || r.Servers[1].Err != nil {
		t.Errorf("servers %+v", r.Servers)
	}

	c := w.peer("c", Config{Controlling: true}, "10.0.0.5:1000")
	c.AddServer(w.now, wrong)
	c.SetRemote(w.now, "nobody", "who is not there at all", false)
	c.AddRemote(w.now, Candidate{Component: 1, Transport: "udp", Priority: 1, Addr: netip.MustParseAddrPort("10.0.0.77:1"), Type: Host})
	c.EndOfLocal(w.now)
	w.run(time.Minute, c.is(StateFailed))
	r = c.Report()
	if r.State != StateFailed || !errors.Is(r.Err, ErrNoPair) || len(r.Pairs) != 1 || !errors.Is(r.Pairs[0].Err, errNoResponse) || r.Pairs[0].RequestsSent != 7 {
		t.Errorf("%+v", r)
	}
	if len(r.Servers) != 1 || r.Servers[0].Err == nil {
		t.Errorf("servers %+v", r.Servers)
	}
	for s := PairWaiting; s <= PairFailed+1; s++ {
		if s.String() == "" {
			t.Errorf("state %d has no name", s)
		}
	}
}
