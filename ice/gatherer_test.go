package ice

import (
	"net/netip"
	"testing"
	"time"

	"purertc/stun"
)

// The gatherer is tested without an agent: bases are added and removed, and a server
// answers, fails, or answers late.
func TestGatherer(t *testing.T) {
	var (
		now    = time.Unix(1000, 0)
		random = randomSource{reader: seeded(1)}
		events eventQueue
		out    outbox
	)
	g := &gatherer{random: &random, events: &events, out: &out, ufrag: "u"}
	next := func(want EventKind) Event {
		t.Helper()
		e, _ := events.pop()
		if e.Kind != want {
			t.Fatalf("%+v, want an event of kind %d", e, want)
		}
		return e
	}
	local := netip.MustParseAddrPort("192.168.0.2:1000")
	if err := g.addLocal(Local{Sock: 0, Addr: local}); err != nil {
		t.Fatal(err)
	}
	if c := next(EventCandidate).Candidate; c.Type != Host || c.Addr != local || c.Ufrag != "u" {
		t.Errorf("%v", c)
	}
	if c := g.takeChanges(); len(c) != 1 || !c[0].added || g.takeChanges() != nil {
		t.Errorf("%v", c)
	}
	if err := g.addLocal(Local{Sock: 0, Addr: local}); err != nil || g.takeChanges() != nil {
		t.Errorf("an address was added twice: %v", err)
	}

	// A STUN server answers, and is asked again so that the binding is kept.
	server := Server{URL: "stun:a", Addr: netip.MustParseAddrPort("192.0.2.1:3478"), Sock: SockAny}
	if err := g.addServer(server); err != nil {
		t.Fatal(err)
	}
	g.ended = true
	g.run(now, gathererNeed{})
	g.finish(now)
	if _, ok := events.pop(); ok {
		t.Error("gathering is complete before the server has answered")
	}
	request := func() stun.Message {
		t.Helper()
		i, ok := out.pop()
		if !ok || i.kind != itemServer {
			t.Fatal("no request")
		}
		b, r, _ := i.request.append(nil)
		if r.Remote != server.Addr {
			t.Errorf("a request to %v", r)
		}
		m, err := stun.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	mapped := netip.MustParseAddrPort("198.51.100.1:7000")
	w := stun.Build(nil, stun.BindingSuccess, request().TransactionID())
	w.XORAddr(stun.AttrXORMappedAddress, mapped)
	answer, err := stun.Parse(w.Finish())
	if err != nil {
		t.Fatal(err)
	}
	if g.handleResponse(now, Route{Sock: 0, Local: local.Addr(), Remote: netip.MustParseAddrPort("192.0.2.9:3478")}, answer); len(events.list) > events.head {
		t.Error("a response from elsewhere counts")
	}
	if !g.handleResponse(now, Route{Sock: 0, Local: local.Addr(), Remote: server.Addr}, answer) {
		t.Error("a response is not known")
	}
	if c := next(EventCandidate).Candidate; c.Type != ServerReflexive || c.Addr != mapped || c.Related != local {
		t.Errorf("%v", c)
	}
	g.finish(now)
	next(EventGatheringComplete)
	var e alarm
	g.alarms(&e)
	if want := now.Add(keepalive); e.at != want {
		t.Errorf("the next timer is at %v, want %v", e.at, want)
	}
	g.run(e.at, gathererNeed{})
	request()
	g.run(e.at.Add(keepalive), gathererNeed{nominated: true})
	if e = (alarm{}); true {
		if g.alarms(&e); !e.at.IsZero() {
			t.Error("the binding is kept although a pair is nominated")
		}
	}

	// Another server never answers; the deadline completes gathering without it.
	server = Server{URL: "stun:b", Addr: netip.MustParseAddrPort("192.0.2.2:3478"), Sock: SockAny}
	if err := g.addServer(server); err != nil {
		t.Fatal(err)
	}
	g.ended, g.deadline = true, now.Add(time.Second)
	g.run(now.Add(time.Minute), gathererNeed{})
	request()
	g.finish(now.Add(time.Minute))
	next(EventGatheringComplete)
	for at := now.Add(time.Minute); len(events.list) == events.head && at.Before(now.Add(3*time.Minute)); at = at.Add(time.Second) {
		g.run(at, gathererNeed{})
	}
	if e := next(EventServerError); e.URL != "stun:b" {
		t.Errorf("%v", e.Err)
	}

	// If a base is removed, its requests are removed, too.
	if !g.removeLocal(0, local) || g.removeLocal(0, local) {
		t.Error("removeLocal")
	}
	if c := g.takeChanges(); len(c) != 1 || c[0].added || len(g.requests) != 0 || g.baseOf(Route{}) != nil {
		t.Errorf("%v, %d requests are left", c, len(g.requests))
	}
}
