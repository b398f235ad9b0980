package ice

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/stun"
)

// twoPaths connects two agents that have two addresses each. They select the IPv6
// pair. While *dead is set, the IPv6 path drops all datagrams.
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

// talk makes the talkers send data at short intervals, and both ends answer it as SCTP
// does.
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

// When a path fails without a message, an agent that has data to send leaves it within
// two seconds, whichever agent controls. It selects the path again after the path
// works again.
func TestPathFails(t *testing.T) {
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

// A response that arrives after consent has expired does not renew the consent (RFC
// 7675 §5.1).
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

// The path of a pair fails while the pair is being nominated.
func TestPathFailsDuringNomination(t *testing.T) {
	w, a, b, dead := twoPaths(t, true)
	w.talk(time.Second, nil, a)
	*dead = true
	a.cur.nominated = nil
	start := w.now
	if !w.talk(10*time.Second, func() bool { return on4(a)() && on4(b)() }, a) || w.now.Sub(start) > 2*time.Second {
		t.Errorf("left after %v", w.now.Sub(start))
	}
}

// After an outage of all paths, the path that works again is found at once, although
// no retransmission of a check is due.
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

// Without traffic, a failed path is detected within a consent interval and the
// requests that follow an unanswered request.
func TestPathFailsWhenIdle(t *testing.T) {
	w, a, b, dead := twoPaths(t, true)
	*dead = true
	start := w.now
	if !w.run(20*time.Second, func() bool { return on4(a)() && on4(b)() }) || w.now.Sub(start) > DefaultConsentInterval*11/10+2*time.Second {
		t.Errorf("left after %v", w.now.Sub(start))
	}
}

// If loss detection is suppressed, no consent request is sent before its time. A
// consent request that is due is sent.
func TestSuppressLossDetection(t *testing.T) {
	w, a, _, _ := twoPaths(t, true)
	p := a.Agent.selected
	for p.consent.next.Sub(w.now) < 2*time.Second {
		w.run(time.Second, nil)
	}
	sent := p.sent
	suppressed := func(at time.Time) {
		t.Helper()
		if !a.LossTimerDue(at) {
			t.Error("the loss timer is not due")
		}
		a.SuppressLossDetection(at)
		if a.LossTimerDue(at) {
			t.Error("the loss timer is due although loss detection is suppressed")
		}
		if a.Advance(at); p.queued || !a.NextTimeout().After(at) {
			t.Error("a request although loss detection is suppressed")
		}
	}
	a.Agent.ExpectAnswer(w.now)
	if a.LossTimerDue(w.now) {
		t.Error("the loss timer is due at once")
	}
	suppressed(w.now.Add(p.answerTimeout()))
	if p.unansweredSince != w.now.Add(p.answerTimeout()) {
		t.Errorf("unanswered since %v later", p.unansweredSince.Sub(w.now))
	}
	p.markReceived(w.now)
	at := p.consent.next
	if a.LossTimerDue(at) {
		t.Error("a consent request at its time counts as loss detection")
	}
	a.SuppressLossDetection(at)
	if a.Advance(at); !p.queued || p.consent.unanswered != 1 {
		t.Error("no consent request in its time")
	}
	if _, _, ok := a.AppendDatagram(at, nil); !ok || p.sent != sent+1 {
		t.Errorf("%d requests sent, want one", p.sent-sent)
	}
	suppressed(p.consent.next) // the consent request after an unanswered one is suppressed, too
}

// EventSelected says whether data that was sent before may be lost.
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

// A change of the port does not change the path. A change of the address changes it,
// and so does the use of a relay or of TCP.
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

// The agent follows data that arrives on another pair, but only once: if the remote
// continues to send there although the selected pair answers, the agent does not
// switch repeatedly. It does not follow data if the remote never sent on the selected
// pair.
func TestFollow(t *testing.T) {
	for used, want := range map[bool]int{true: 2, false: 0} {
		if got := follows(t, used); got != want {
			t.Errorf("the remote sent on the selected pair: %v; %d changes of it, want %d", used, got, want)
		}
	}
}

// follows lets data arrive at an agent on a pair other than the selected one. used
// says that the remote has sent data on the selected pair before. follows returns how
// often the selected pair changes.
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

// A remote that has moved and does not nominate may send data on a pair that only the
// remote has checked. The agent follows the data once the pair has answered.
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
		if took := w.now.Sub(start); took > 300*time.Millisecond || q.sent > sent+2 { // the second check may be a nomination
			t.Errorf("controlling %v: followed after %v and %d checks", controlling, took, q.sent-sent)
		}
	}
}

// A numbered nomination is obeyed at once, even if it is for a worse pair. A
// nomination with a lower number is ignored.
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
	// a has lost its address. b has not noticed that, and has no data to send.
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

// Without numbers, the nomination of a worse pair shows the controlled agent that the
// selected pair may have failed, so the agent checks the selected pair.
func TestNominationOfWorsePair(t *testing.T) {
	w, a, b, _ := twoPaths(t, true)
	a.RemoveLocal(w.now, 0, a.socks[0])
	w.cut = func(from, to netip.AddrPort) bool { return strings.HasPrefix(to.String(), "[2001:db8::1]") }
	start := w.now
	if !w.run(20*time.Second, func() bool { return on4(a)() && on4(b)() }) || w.now.Sub(start) > 2*time.Second {
		t.Errorf("followed after %v", w.now.Sub(start))
	}
}

// behindNAT connects a client and a server. The client is behind a NAT, which gives it
// a new address whenever rebind is called.
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

// A NAT gives a client new addresses repeatedly, in one connection without an ICE
// restart. The server follows the client each time, whichever agent controls.
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

// If a client sends no checks for a long time, the server follows its data, if DTLS
// has accepted the data. An address that only forwards the client's data is checked
// once.
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

		// Another host forwards data of the client, and does not answer checks.
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
		// Now the other host also forwards checks and answers, while data still
		// arrives from the client's own address.
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

// fromElsewhere returns the route to a server of behindNAT on which a datagram from
// addr arrives.
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

// The situation is that at the end of TestDataFromElsewhere, but the remote's address
// is a server-reflexive candidate that the remote signalled. The pair that RFC 8445
// prefers is not nominated while the remote still sends from its former address (RFC
// 9000 §9.3.3).
func TestDataFromElsewhereOfReflexive(t *testing.T) {
	for _, controlling := range []bool{true, false} { // role of the client
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

// An address that does not answer is checked once if one datagram is forwarded from
// it. If more datagrams are forwarded, it is checked at growing intervals.
func TestChecksOfSilentAddress(t *testing.T) {
	for _, test := range []struct {
		every  time.Duration // interval of the datagrams; 0: there is only one
		checks int           // number of checks in 20 s
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
				for range 10 { // several datagrams arrive in one batch
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

// A remote that has moved and continues to send is followed soon, even if the first
// check of its new address is lost.
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

// A candidate that was learnt from data has the type preference of a peer-reflexive
// candidate, but no higher priority than the remote candidate in use.
func TestPriorityOfValidatedCandidate(t *testing.T) {
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

// If an agent has followed a remote to a new address and then back, because the old
// address still answers, it does not follow the remote's data again for a while.
func TestFollowAgain(t *testing.T) {
	w, client, server, rebind := behindNAT(t, false)
	w.talk(time.Second, nil, client)
	at := func() bool { r, ok := server.Selected(); return ok && r.Remote == client.nat.public }
	old := client.nat
	rebind()
	server.proves = true
	if !w.talk(time.Second, at, client) {
		t.Fatal("not followed")
	}
	client.nat = old // the client is at its old address again
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
		w.tap = func(from *peer, r Route, b []byte) bool { // drops the client's checks
			m, err := stun.Parse(b)
			return err != nil || m.Type() != stun.BindingRequest || from == server
		}
		if got := w.talk(500*time.Millisecond, at, client); got != test.want {
			t.Errorf("after %v: followed %v", test.after, got)
		}
		w.tap = nil
	}
}

// Data from an address that no check has validated is passed to the owner only if the
// agent could check that address.
func TestDataFromUnvalidatedAddress(t *testing.T) {
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

// If there are as many peer-reflexive candidates as allowed, a candidate whose check
// is not answered yet is kept, even if data arrives from another new address.
func TestCandidateBeingValidatedIsKept(t *testing.T) {
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

// If room is needed for a peer-reflexive candidate, the candidate from which nothing
// has arrived for longer is removed, unless it is useful.
func TestRemoveSilent(t *testing.T) {
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
		received := func(ago time.Duration, addr string) *pair {
			r := fromElsewhere(server, addr)
			p := a.pairFor(w.now, a.cur, earlyCheck{base: a.gather.baseOf(r), route: r, priority: 1})
			p.lastReceived = w.now.Add(-ago)
			return p
		}
		later, p := received(time.Minute, "198.51.100.9:1"), received(2*time.Minute, "198.51.100.9:2")
		test.use(a, p, w.now)
		if !a.removeSilent(w.now, a.cur) {
			t.Errorf("%s: no room is made", test.name)
		}
		if got := slices.Contains(a.cur.pairs, p); got != test.kept || slices.Contains(a.cur.pairs, later) == test.kept {
			t.Errorf("%s: kept %v, want %v", test.name, got, test.kept)
		}
	}
}
