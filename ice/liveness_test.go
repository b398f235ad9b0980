package ice

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/stun"
)

// twoPaths connects two agents that have two addresses each, the first pair of
// which is taken; cut stops what goes by it.
func twoPaths(t *testing.T, controlling bool) (w *world, a, b *peer, dead *bool) {
	t.Helper()
	w = newWorld(t, 1)
	a = w.peer("a", Config{Controlling: controlling}, "[2001:db8::1]:1000", "192.0.2.1:1000")
	b = w.peer("b", Config{Controlling: !controlling}, "[2001:db8::2]:1000", "192.0.2.2:1000")
	dead = new(bool)
	w.cut = func(from, to netip.AddrPort) bool { return *dead && to.Addr().Is6() }
	w.connect(a, b)
	if !w.run(5*time.Second, both(a, b, StateCompleted)) || !a.selectedPair().Local.Addr.Addr().Is6() {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	w.run(10*time.Second, nil)
	return w, a, b, dead
}

// talk has both ends send every so often, and answer as SCTP does.
func (w *world) talk(d time.Duration, done func() bool, talkers ...*peer) bool {
	end := w.now.Add(d)
	for w.now.Before(end) {
		for _, p := range talkers {
			p.say("ping")
		}
		if w.run(50*time.Millisecond, done) {
			return true
		}
		for _, p := range w.peers {
			if len(p.data) > 0 {
				p.data = nil
				p.say("ack")
			}
		}
	}
	return false
}

func on4(p *peer) func() bool {
	return func() bool { r, ok := p.Selected(); return ok && r.Remote.Addr().Is4() }
}

// A path that dies without a word is left within two seconds by whoever has
// something to send, whichever controls; and is found again when it is back.
func TestSilentDeath(t *testing.T) {
	for _, controlling := range []bool{true, false} {
		w, a, b, dead := twoPaths(t, controlling)
		*dead = true
		start := w.now
		if !w.talk(5*time.Second, func() bool { return on4(a)() && on4(b)() }, a) || w.now.Sub(start) > 2*time.Second {
			t.Errorf("controlling %v: left after %v", controlling, w.now.Sub(start))
		}
		t.Logf("controlling %v: left after %v", controlling, w.now.Sub(start))
		if a.State() != StateCompleted && a.State() != StateConnected {
			t.Errorf("a %v", a.State())
		}
		*dead = false
		if !w.talk(time.Minute, func() bool { return !on4(a)() && !on4(b)() }, a) {
			t.Errorf("controlling %v: never back", controlling)
		}
	}
}

// A response that comes after consent has expired brings none back (RFC 7675 §5.1).
func TestLateResponse(t *testing.T) {
	w, a, _, _ := twoPaths(t, true)
	var p *pair
	for _, q := range a.cur.pairs {
		if q.state == PairSucceeded && q != a.Agent.selected {
			p = q
		}
	}
	if p == nil {
		t.Fatal("no second pair")
	}
	id := stun.TransactionID{1}
	p.transactions.add(transaction{id: id, controlling: true, sentAt: w.now})
	w.run(DefaultConsentExpires+time.Second, nil)
	if p.err != ErrConsentExpired {
		t.Fatalf("%v: %v", p.state, p.err)
	}
	m := stun.Build(nil, stun.BindingSuccess, id)
	m.XORAddr(stun.AttrXORMappedAddress, p.local.addr)
	m.Integrity(p.gen.remoteKey)
	m.Fingerprint()
	a.HandleDatagram(w.now, p.route, m.Finish())
	if p.state != PairFailed {
		t.Errorf("the pair is %v", p.state)
	}
}

// The same while it is being nominated.
func TestSilentDeathOfNominee(t *testing.T) {
	w, a, b, dead := twoPaths(t, true)
	w.talk(time.Second, nil, a)
	*dead = true
	a.cur.nominated = nil
	start := w.now
	if !w.talk(10*time.Second, func() bool { return on4(a)() && on4(b)() }, a) || w.now.Sub(start) > 2*time.Second {
		t.Errorf("left after %v", w.now.Sub(start))
	}
}

// After an outage of all paths the one that comes back is found at once, though
// none of the checks that began meanwhile is due.
func TestOutageOfAll(t *testing.T) {
	for _, outage := range []time.Duration{6 * time.Second, 10 * time.Second, 18 * time.Second, 22 * time.Second} {
		w, a, b, _ := twoPaths(t, true)
		out := true
		w.cut = func(_, to netip.AddrPort) bool { return out || to.Addr().Is6() }
		w.talk(outage, nil, a)
		out = false
		start := w.now
		if !w.talk(10*time.Second, func() bool { return on4(a)() && on4(b)() }, a) || w.now.Sub(start) > checkMost+time.Second {
			t.Errorf("%v of outage: found after %v", outage, w.now.Sub(start))
		}
	}
}

// Without traffic a dead path is found within a consent interval and the
// probes that follow it.
func TestSilentDeathWhenIdle(t *testing.T) {
	w, a, b, dead := twoPaths(t, true)
	*dead = true
	start := w.now
	if !w.run(20*time.Second, func() bool { return on4(a)() && on4(b)() }) || w.now.Sub(start) > DefaultConsentInterval*11/10+2*time.Second {
		t.Errorf("left after %v", w.now.Sub(start))
	}
}

// Silence that is excused has no consent request sent before its time; one that
// is due goes.
func TestExcuse(t *testing.T) {
	w, a, _, _ := twoPaths(t, true)
	p := a.Agent.selected
	for p.consent.next.Sub(w.now) < 2*time.Second {
		w.run(time.Second, nil)
	}
	sent := p.sent
	excused := func(at time.Time) {
		t.Helper()
		if !a.LossTimerDue(at) {
			t.Error("not silent")
		}
		a.SuppressLossDetection(at)
		if a.LossTimerDue(at) {
			t.Error("silent in spite of the excuse")
		}
		if a.Advance(at); p.queued || !a.NextTimeout().After(at) {
			t.Error("a request in spite of the excuse")
		}
	}
	a.Agent.ExpectAnswer(w.now)
	if a.LossTimerDue(w.now) {
		t.Error("silent at once")
	}
	excused(w.now.Add(p.answerTimeout()))
	if p.unansweredSince != w.now.Add(p.answerTimeout()) {
		t.Errorf("quiet since %v later", p.unansweredSince.Sub(w.now))
	}
	p.markReceived(w.now)
	at := p.consent.next
	if a.LossTimerDue(at) {
		t.Error("a consent request in its time is for silence")
	}
	a.SuppressLossDetection(at)
	if a.Advance(at); !p.queued || p.consent.unanswered != 1 {
		t.Error("no consent request in its time")
	}
	if _, _, ok := a.AppendDatagram(at, nil); !ok || p.sent != sent+1 {
		t.Errorf("%d requests sent, want one", p.sent-sent)
	}
	excused(p.consent.next) // the next, for want of an answer
}

// EventSelected says whether what was sent before may be lost.
func TestLost(t *testing.T) {
	w, a, _, dead := twoPaths(t, true)
	*dead = true
	w.talk(5*time.Second, on4(a), a)
	if !slices.Equal(a.lost, []bool{false, true}) {
		t.Errorf("selections with losses: %v, want the first one without and the second one with", a.lost)
	}
	if !slices.Equal(a.moved, a.lost) {
		t.Errorf("other paths: %v, want the second one", a.moved)
	}
}

// Another port is no other path; another address is, and so are a relay and TCP.
func TestPath(t *testing.T) {
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	host := &base{addr: at("10.0.0.1:1000")}
	p := &pair{local: host, route: Route{Remote: at("10.0.0.2:2000")}}
	relayed := func(server string) *base {
		return &base{addr: host.addr, relay: &relay{from: host, route: Route{Remote: at(server)}}}
	}
	through := &pair{local: relayed("10.0.0.9:3478"), route: p.route}
	for _, test := range []struct {
		name string
		p, q *pair
		same bool
	}{
		{"far port", p, &pair{local: host, route: Route{Remote: at("10.0.0.2:2001")}}, true},
		{"own port and socket", p, &pair{local: &base{sock: 1, addr: at("10.0.0.1:1001")}, route: p.route}, true},
		{"far address", p, &pair{local: host, route: Route{Remote: at("10.0.0.3:2000")}}, false},
		{"own address", p, &pair{local: &base{addr: at("10.0.0.4:1000")}, route: p.route}, false},
		{"TCP", p, &pair{local: &base{addr: host.addr, tcp: TCPActive}, route: p.route}, false},
		{"a relay", p, through, false},
		{"another relay", through, &pair{local: relayed("10.0.0.8:3478"), route: p.route}, false},
		{"the relay again", through, &pair{local: relayed("10.0.0.9:3479"), route: p.route}, true},
	} {
		if got := test.p.path() == test.q.path(); got != test.same {
			t.Errorf("%s: same path %v", test.name, got)
		}
	}
}

// Data on another pair is followed, once: a remote that goes on sending there
// though this one answers does not have it go back and forth. It is not followed
// where it never sent on this one.
func TestFollow(t *testing.T) {
	for used, want := range map[bool]int{true: 2, false: 0} {
		if got := follows(t, used); got != want {
			t.Errorf("the remote sent on the selected pair: %v; %d changes of it, want %d", used, got, want)
		}
	}
}

// follows has an agent hear data on another pair than the selected one, which the
// remote used before or not, and counts how often the selected one changes.
func follows(t *testing.T, used bool) (changes int) {
	w, a, b, _ := twoPaths(t, true)
	if used {
		b.say("from here")
		w.run(time.Second, nil)
	}
	a.cur.pairs[1].state, b.cur.pairs[1].state = PairSucceeded, PairSucceeded
	for _, p := range []*peer{a, b} {
		p.cur.pairs[1].lastAnswer = w.now
		p.permit(p.cur.pairs[1].route)
	}
	before := len(a.selected)
	other := Route{Sock: 1, Local: a.socks[1].Addr(), Remote: b.socks[1]}
	for range 100 {
		w.run(100*time.Millisecond, nil)
		if _, ok := a.HandleDatagram(w.now, other, []byte{22, 0}); !ok {
			t.Fatal("not permitted")
		}
	}
	w.run(time.Second, nil)
	return len(a.selected) - before
}

// Data on a pair that only the remote has checked, as one does that has moved
// and does not nominate, is followed once the pair has answered.
func TestFollowUnchecked(t *testing.T) {
	for _, controlling := range []bool{true, false} {
		w, a, b, dead := twoPaths(t, controlling)
		b.say("from here")
		w.run(time.Second, nil)
		q := a.cur.pairs[1]
		q.state = PairWaiting
		a.permit(q.route)
		*dead = true
		other := Route{Sock: 1, Local: a.socks[1].Addr(), Remote: b.socks[1]}
		start, sent := w.now, q.sent
		for w.now.Sub(start) < time.Second && !on4(a)() {
			if _, ok := a.HandleDatagram(w.now, other, []byte{22, 0}); !ok {
				t.Fatal("not permitted")
			}
			w.run(50*time.Millisecond, on4(a))
		}
		if took := w.now.Sub(start); took > 300*time.Millisecond || q.sent > sent+2 { // one that nominates
			t.Errorf("controlling %v: followed after %v and %d checks", controlling, took, q.sent-sent)
		}
	}
}

// A numbered nomination is obeyed at once, a worse pair's too; one that is
// older is not.
func TestRenomination(t *testing.T) {
	w, a, b, _ := twoPaths(t, true)
	a.SetRenomination(true)
	numbers := map[uint32]bool{}
	w.tap = func(p *peer, _ Route, d []byte) bool {
		if m, err := stun.Parse(d); err == nil && m.Type() == stun.BindingRequest {
			if n, ok := m.Uint32(stun.AttrNomination); ok {
				numbers[n] = true
				if p != a || !m.Has(stun.AttrUseCandidate) {
					t.Errorf("%s nominates without USE-CANDIDATE", p.name)
				}
			}
		}
		return true
	}
	// a has lost its address; b has not noticed, and has nothing to say.
	gone := a.socks[0]
	a.RemoveLocal(w.now, 0, gone)
	start := w.now
	if !w.run(5*time.Second, func() bool { return on4(a)() && on4(b)() }) || w.now.Sub(start) > 8*w.delay {
		t.Errorf("followed after %v", w.now.Sub(start))
	}
	if len(numbers) == 0 {
		t.Error("no number was sent")
	}
	g := b.cur
	n, worse := g.nominated, &pair{gen: g, remoteNomination: 1, state: PairSucceeded}
	g.nomination = 5
	if g.accept(w.now, worse); g.nominated != n {
		t.Error("an old nomination was followed")
	}
	worse.remoteNomination = 6
	if g.accept(w.now, worse); g.nominated != worse {
		t.Error("a new nomination was not followed")
	}
}

// Without numbers, the controlled end is told by a nomination of a worse pair
// that something is amiss, and looks.
func TestNominationOfWorsePair(t *testing.T) {
	w, a, b, _ := twoPaths(t, true)
	a.RemoveLocal(w.now, 0, a.socks[0])
	w.cut = func(from, to netip.AddrPort) bool { return strings.HasPrefix(to.String(), "[2001:db8::1]") }
	start := w.now
	if !w.run(20*time.Second, func() bool { return on4(a)() && on4(b)() }) || w.now.Sub(start) > 2*time.Second {
		t.Errorf("followed after %v", w.now.Sub(start))
	}
}

// behindNAT connects a client, to which its NAT gives another address whenever
// rebind is called, and a server.
func behindNAT(t *testing.T, controlling bool) (w *world, client, server *peer, rebind func()) {
	t.Helper()
	w = newWorld(t, 1)
	client = w.peer("client", Config{Controlling: controlling}, "10.0.0.1:1000")
	server = w.peer("server", Config{Controlling: !controlling}, "192.0.2.2:2000")
	port := uint16(1000)
	rebind = func() {
		port++
		client.nat = &nat{netip.AddrPortFrom(netip.MustParseAddr("198.51.100.1"), port), map[netip.AddrPort]bool{}}
	}
	rebind()
	w.cut = func(from, to netip.AddrPort) bool { return to.Addr().IsPrivate() }
	w.connect(client, server)
	if !w.run(5*time.Second, both(client, server, StateCompleted)) {
		t.Fatalf("client %v, server %v", client.State(), server.State())
	}
	return w, client, server, rebind
}

// A NAT that gives a client ever new addresses, in one connection without a
// restart of ICE: the client is followed each time, whichever end controls.
func TestRebindings(t *testing.T) {
	for _, controlling := range []bool{true, false} {
		w, client, server, rebind := behindNAT(t, controlling)
		for i := range 200 {
			rebind()
			followed := func() bool { r, ok := server.Selected(); return ok && r.Remote == client.nat.public }
			if !w.talk(6*time.Second, followed, client, server) {
				t.Fatalf("address %d is not followed: client %v, server %v\n%v", i+1, client.State(), server.State(), server.Report())
			}
			if !w.talk(time.Second, func() bool { return len(client.data) > 0 }, server) {
				t.Fatalf("address %d: nothing comes back", i+1)
			}
		}
	}
}

// A client that does not check for long is followed by its data, if that proves
// to be its own; one check is made of an address that only sends it on.
func TestDataFromElsewhere(t *testing.T) {
	for _, controlling := range []bool{true, false} {
		w, client, server, rebind := behindNAT(t, controlling)
		w.talk(time.Second, nil, client)
		silent := true
		checks := map[netip.AddrPort]int{}
		w.tap = func(from *peer, r Route, b []byte) bool {
			m, err := stun.Parse(b)
			request := err == nil && m.Type() == stun.BindingRequest
			if request && from == server {
				checks[r.Remote]++
			}
			return !request || !silent || from == server
		}
		followed := func() bool { r, ok := server.Selected(); return ok && r.Remote == client.nat.public }

		rebind()
		if w.talk(time.Second, followed, client) || checks[client.nat.public] > 0 {
			t.Error("followed by data that proves nothing")
		}
		server.proves = true
		start := w.now
		if !w.talk(5*time.Second, followed, client) || w.now.Sub(start) > 500*time.Millisecond {
			t.Errorf("followed after %v", w.now.Sub(start))
		}
		if n := checks[client.nat.public]; n > 3 {
			t.Errorf("%d checks", n)
		}
		silent = false
		w.talk(5*time.Second, nil, client, server)

		// Somebody sends data of the client's on, and answers nothing.
		elsewhere := fromElsewhere(server, "198.51.100.9:9")
		carryOn := func() {
			if !server.carry(elsewhere) {
				t.Fatal("data that may be the client's is not shown")
			}
		}
		for range 100 {
			carryOn()
			w.run(time.Millisecond, nil)
		}
		if n := checks[elsewhere.Remote]; n != 1 {
			t.Errorf("%d checks of an address that does not answer", n)
		}
		// And now has it answer, too, while it is heard where it was.
		w.nodes = map[netip.AddrPort]func(packet){elsewhere.Remote: func(k packet) {
			w.flight = append(w.flight, packet{at: w.now.Add(w.delay), from: elsewhere.Remote, to: client.nat.public, b: k.b})
		}}
		w.tap = func(from *peer, r Route, b []byte) bool {
			if from == client && r.Remote == elsewhere.Remote {
				w.flight = append(w.flight, packet{at: w.now.Add(w.delay), from: elsewhere.Remote, to: server.socks[0], b: slices.Clone(b)})
				return false
			}
			return true
		}
		client.nat.allowed[elsewhere.Remote] = true
		before, answered := len(server.selected), false
		for range 40 {
			client.say("here")
			w.run(15*time.Millisecond, nil)
			carryOn()
			answered = answered || slices.Contains(server.routes.permitted, elsewhere)
		}
		if !answered || len(server.selected) != before || !followed() {
			t.Errorf("answered from elsewhere: %v; selected %v", answered, server.selected[before:])
		}
	}
}

// fromElsewhere is the route to a server behindNAT of what comes from addr.
func fromElsewhere(server *peer, addr string) Route {
	return Route{Sock: 0, Local: server.socks[0].Addr(), Remote: netip.MustParseAddrPort(addr)}
}

// carry delivers data of the remote on r. It reports whether the agent passed the data
// to the owner.
func (p *peer) carry(r Route) (shown bool) {
	data, ok := p.HandleDatagram(p.w.now, r, []byte{22, 0})
	if data != nil && !ok {
		p.Authenticated(p.w.now)
	}
	return data != nil
}

// As at the end of TestDataFromElsewhere, but the remote's address is a
// server-reflexive candidate that it signalled. The pair that RFC 8445 prefers is not
// nominated while the remote still sends from its former address (RFC 9000 §9.3.3).
func TestDataFromElsewhereOfReflexive(t *testing.T) {
	for _, controlling := range []bool{true, false} { // the client
		w, client, server, _ := behindNAT(t, controlling)
		c, err := ParseCandidate("candidate:1 1 udp 1694498815 198.51.100.1 1001 typ srflx raddr 10.0.0.1 rport 1000")
		if err != nil {
			t.Fatal(err)
		}
		server.AddRemote(w.now, c)
		w.talk(2*time.Second, nil, client, server)
		elsewhere := fromElsewhere(server, "198.51.100.9:9")
		w.nodes = map[netip.AddrPort]func(packet){elsewhere.Remote: func(k packet) {
			w.flight = append(w.flight, packet{at: w.now.Add(w.delay), from: elsewhere.Remote, to: client.nat.public, b: k.b})
		}}
		w.tap = func(from *peer, r Route, b []byte) bool {
			if from == client && r.Remote == elsewhere.Remote {
				w.flight = append(w.flight, packet{at: w.now.Add(w.delay), from: elsewhere.Remote, to: server.socks[0], b: slices.Clone(b)})
				return false
			}
			return true
		}
		client.nat.allowed[elsewhere.Remote] = true
		before := len(server.selected)
		server.carry(elsewhere)
		w.talk(1500*time.Millisecond, nil, client)
		if !slices.Contains(server.routes.permitted, elsewhere) || len(server.selected) != before {
			t.Errorf("answered from elsewhere: %v; selected %v", slices.Contains(server.routes.permitted, elsewhere), server.selected[before:])
		}
	}
}

// An address that does not answer is checked once for one datagram that is
// carried on from there, and ever less often for more.
func TestChecksOfSilentAddress(t *testing.T) {
	for _, test := range []struct {
		every  time.Duration // 0: one only
		checks int           // in 20 s
	}{
		{0, 1},
		{50 * time.Millisecond, 7}, // after 0, 0.2, 0.6, 1.4, 3, 6.2 and 12.6 s
	} {
		w, client, server, _ := behindNAT(t, false)
		w.talk(time.Second, nil, client, server)
		elsewhere, checks := fromElsewhere(server, "198.51.100.9:9"), 0
		w.tap = func(from *peer, r Route, b []byte) bool {
			if r.Remote == elsewhere.Remote {
				checks++
			}
			return true
		}
		for i := range 400 {
			if i == 0 || test.every > 0 {
				for range 10 { // in a batch
					server.carry(elsewhere)
				}
			}
			client.say("here")
			w.run(50*time.Millisecond, nil)
		}
		if checks != test.checks {
			t.Errorf("data every %v: %d checks, want %d", test.every, checks, test.checks)
		}
	}
}

// A remote that has moved is followed soon though the first check of its new
// address is lost, if it goes on sending.
func TestDataFromElsewhereUnderLoss(t *testing.T) {
	w, client, server, rebind := behindNAT(t, false)
	w.talk(time.Second, nil, client)
	rebind()
	server.proves = true
	lost := false
	w.tap = func(from *peer, r Route, b []byte) bool {
		m, err := stun.Parse(b)
		request := err == nil && m.Type() == stun.BindingRequest
		if request && from == server && r.Remote == client.nat.public && !lost {
			lost = true
			return false
		}
		return !request || from == server
	}
	followed := func() bool { r, ok := server.Selected(); return ok && r.Remote == client.nat.public }
	start := w.now
	if !w.talk(5*time.Second, followed, client) || !lost || w.now.Sub(start) > 700*time.Millisecond {
		t.Errorf("followed after %v, a check lost: %v", w.now.Sub(start), lost)
	}
	if p := server.Agent.selected; p.validateWait != 0 {
		t.Errorf("an address that answered is checked again after %v only", p.validateWait)
	}
}

// Only a check that was caused by data is sent just once. A check triggered by the
// remote's check, and an ordinary check, are retransmitted.
func TestCheckOnce(t *testing.T) {
	for name, check := range map[string]func(w *world, a *Agent, p *pair){
		"triggered": func(w *world, a *Agent, p *pair) {
			a.learn(w.now, a.cur, earlyCheck{base: p.local, route: p.route, priority: 1})
		},
		"ordinary": func(w *world, a *Agent, p *pair) { a.cur.recheck(a.selected) },
	} {
		w, _, server, _ := behindNAT(t, false)
		elsewhere, checks := fromElsewhere(server, "198.51.100.9:9"), 0
		w.tap = func(from *peer, r Route, b []byte) bool {
			if r.Remote == elsewhere.Remote {
				checks++
			}
			return true
		}
		server.carry(elsewhere)
		w.run(time.Minute, nil)
		p := server.cur.findPair(server.gather.baseOf(elsewhere), server.cur.findRemote(elsewhere.Remote, NotTCP))
		if checks != 1 || p.state != PairFailed {
			t.Errorf("%d checks, %v", checks, p.state)
		}
		check(w, server.Agent, p)
		if w.run(time.Minute, nil); checks != 8 {
			t.Errorf("%s: %d checks more, want 7", name, checks-1)
		}
	}
}

// A candidate that data led to has the type preference of a peer-reflexive one,
// but no higher priority than the one that is in use.
func TestPriorityOfProven(t *testing.T) {
	for _, test := range []struct{ inUse, want uint32 }{
		{typePreferenceHost, typePreferencePrflx},
		{typePreferencePrflx, typePreferencePrflx},
		{typePreferenceSrflx, typePreferenceSrflx},
		{typePreferenceRelay, typePreferenceRelay},
	} {
		_, _, server, _ := behindNAT(t, false)
		const rest = 0xfeedff
		server.Agent.selected.remote.priority = test.inUse<<24 | rest
		elsewhere := fromElsewhere(server, "198.51.100.9:9")
		server.carry(elsewhere)
		if r := server.cur.findRemote(elsewhere.Remote, NotTCP); r.typ != PeerReflexive || r.priority != test.want<<24|rest {
			t.Errorf("in use %d: %v of priority %#x", test.inUse, r.typ, r.priority)
		}
	}
}

// A remote that was followed in vain, since it answers where it was, is not
// followed by another of its data for a while.
func TestProvenAgain(t *testing.T) {
	w, client, server, rebind := behindNAT(t, false)
	w.talk(time.Second, nil, client)
	at := func() bool { r, ok := server.Selected(); return ok && r.Remote == client.nat.public }
	old := client.nat
	rebind()
	server.proves = true
	if !w.talk(time.Second, at, client) {
		t.Fatal("not followed")
	}
	client.nat = old // and it is heard there
	if !w.talk(20*time.Second, at, client, server) {
		t.Fatal("not back")
	}
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{time.Second, false}, {followAgain, true}} {
		client.nat = old
		w.talk(test.after, nil, client, server)
		if !at() {
			t.Fatal("not where it was")
		}
		rebind()
		client.nat.allowed[server.socks[0]] = true
		w.tap = func(from *peer, r Route, b []byte) bool { // no checks of the client's
			m, err := stun.Parse(b)
			return err != nil || m.Type() != stun.BindingRequest || from == server
		}
		if got := w.talk(500*time.Millisecond, at, client); got != test.want {
			t.Errorf("after %v: followed %v", test.after, got)
		}
		w.tap = nil
	}
}

// Data from where the remote has not proved itself is of use to an agent that
// could check there.
func TestStrangeData(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world, server *peer, r Route)
		shown  bool
	}{
		{"", func(*world, *peer, Route) {}, true},
		{"another socket", func(_ *world, server *peer, r Route) { server.gather.baseOf(r).sock = 7 }, false},
		{"lite", func(_ *world, server *peer, r Route) { server.lite = true }, false},
		{"relays only", func(_ *world, server *peer, r Route) { server.gather.relayOnly = true }, false},
		{"TCP", func(_ *world, server *peer, r Route) { server.gather.baseOf(r).tcp = TCPPassive }, false},
		{"restarted", func(w *world, server *peer, r Route) { server.Restart(w.now, "", "") }, false},
	} {
		w, _, server, _ := behindNAT(t, false)
		r := fromElsewhere(server, "198.51.100.9:9")
		test.change(w, server, r)
		if data, ok := server.HandleDatagram(w.now, r, []byte{22, 0}); ok || data != nil != test.shown {
			t.Errorf("%s: %v, %v", test.name, data, ok)
		}
	}
}

// With as many peer-reflexive candidates as there may be, an address that data
// is being proven from stays, though data comes from yet another before the
// check is answered.
func TestNewcomerIsNotForgotten(t *testing.T) {
	w, client, server, rebind := behindNAT(t, false)
	for range maxRemotes / 2 {
		rebind()
		w.talk(3*time.Second, func() bool { r, ok := server.Selected(); return ok && r.Remote == client.nat.public }, client, server)
	}
	w.talk(time.Minute, nil, client, server)
	first, second := fromElsewhere(server, "198.51.100.9:1"), fromElsewhere(server, "198.51.100.9:2")
	server.carry(first)
	w.settle()
	w.now = w.now.Add(w.delay)
	server.carry(second)
	for _, r := range []Route{first, second} {
		if server.cur.findRemote(r.Remote, NotTCP) == nil {
			t.Errorf("%v is forgotten", r.Remote)
		}
	}
	if server.cur.prflx > maxRemotes/2 {
		t.Errorf("%d peer-reflexive", server.cur.prflx)
	}
}

// Of two peer-reflexive candidates, the one that was silent for longer goes,
// unless it is of use.
func TestForgetSilent(t *testing.T) {
	for _, test := range []struct {
		name string
		use  func(a *Agent, p *pair, now time.Time)
		kept bool
	}{
		{"", func(*Agent, *pair, time.Time) {}, false},
		{"selected", func(a *Agent, p *pair, _ time.Time) { a.selected = p }, true},
		{"nominated", func(a *Agent, p *pair, _ time.Time) { a.cur.nominated = p }, true},
		{"nominating", func(a *Agent, p *pair, _ time.Time) { p.nominating = true }, true},
		{"fresh", func(a *Agent, p *pair, now time.Time) { p.state, p.lastAnswer = PairSucceeded, now }, true},
		{"proven", func(a *Agent, p *pair, now time.Time) { p.validatedAt = now.Add(-time.Second) }, true},
	} {
		w, _, server, _ := behindNAT(t, false)
		a := server.Agent
		heard := func(ago time.Duration, addr string) *pair {
			r := fromElsewhere(server, addr)
			p := a.pairFor(w.now, a.cur, earlyCheck{base: a.gather.baseOf(r), route: r, priority: 1})
			p.lastReceived = w.now.Add(-ago)
			return p
		}
		later, p := heard(time.Minute, "198.51.100.9:1"), heard(2*time.Minute, "198.51.100.9:2")
		test.use(a, p, w.now)
		if !a.removeSilent(w.now, a.cur) {
			t.Errorf("%s: no room is made", test.name)
		}
		if got := slices.Contains(a.cur.pairs, p); got != test.kept || slices.Contains(a.cur.pairs, later) == test.kept {
			t.Errorf("%s: kept %v, want %v", test.name, got, test.kept)
		}
	}
}
