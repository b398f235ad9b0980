package ice

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/stun"
)

// A world is two agents, or more, and a network between them, under virtual
// time.
type world struct {
	t      *testing.T
	now    time.Time
	start  time.Time
	rnd    *rand.Rand
	delay  time.Duration
	loss   float64
	dup    float64
	peers  []*peer
	flight []packet
	cut    func(from, to netip.AddrPort) bool       // drops what it says
	tap    func(from *peer, r Route, b []byte) bool // sees all; false drops
	nodes  map[netip.AddrPort]func(packet)          // that are no agents
	tcp    map[netip.AddrPort]*tcpEnd               // active ends, by the port that they connect from
	steps  int
}

type packet struct {
	at       time.Time
	from, to netip.AddrPort
	b        []byte
	tcp      bool
}

// A peer is an agent with its sockets.
type peer struct {
	*Agent
	w        *world
	name     string
	socks    map[Sock]netip.AddrPort
	tcp      map[Sock]TCPType // of the socks that are of TCP
	nat      *nat             // nil: none
	cands    []Candidate
	states   []State
	added    []Route
	removed  []Route
	selected []Route
	lost     []bool // with selected
	moved    []bool // … that are another path
	errs     []Event
	gone     []Sock // socks of connections
	gathered int
	data     []string
	proves   bool // can tell that data is the far end's, whatever its route
	sent     int
	trickle  *peer // who hears of candidates
}

// A nat maps one private address to a public one, for remotes that were sent
// to (port-restricted, endpoint-independent mapping).
type nat struct {
	public  netip.AddrPort
	allowed map[netip.AddrPort]bool
}

func newWorld(t *testing.T, seed uint64) *world {
	start := time.Unix(1_000_000, 0)
	return &world{t: t, now: start, start: start, rnd: rand.New(rand.NewPCG(seed, 1)), delay: 10 * time.Millisecond}
}

func seeded(seed uint64) io.Reader {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	return rand.NewChaCha8(key)
}

func (w *world) peer(name string, cfg Config, addrs ...string) *peer {
	cfg.Rand = seeded(w.rnd.Uint64())
	p := &peer{Agent: NewAgent(cfg), w: w, name: name, socks: map[Sock]netip.AddrPort{}}
	w.peers = append(w.peers, p)
	for _, a := range addrs {
		p.addSock(a)
	}
	return p
}

func (p *peer) addSock(addr string) {
	a := netip.MustParseAddrPort(addr)
	sock := Sock(len(p.socks))
	p.socks[sock] = a
	if err := p.AddLocal(p.w.now, Local{Sock: sock, Addr: a}); err != nil {
		p.w.t.Fatalf("AddLocal(%s): %v", addr, err)
	}
}

// connect exchanges credentials and trickles candidates both ways.
func (w *world) connect(a, b *peer) {
	a.trickle, b.trickle = b, a
	w.signal(a, b)
	w.signal(b, a)
	for _, p := range []*peer{a, b} {
		p.EndOfLocal(w.now)
	}
	w.settle()
}

// signal tells b the credentials of a.
func (w *world) signal(a, b *peer) {
	ufrag, pwd := a.Credentials()
	b.SetRemote(w.now, ufrag, pwd, false)
}

// settle takes all output and events.
func (w *world) settle() {
	for again := true; again; {
		again = false
		for _, p := range w.peers {
			for {
				b, r, ok := p.AppendDatagram(w.now, nil)
				if !ok {
					break
				}
				again = true
				p.sent++
				w.send(p, r, b)
			}
			for {
				e, ok := p.NextEvent()
				if !ok {
					break
				}
				again = true
				p.event(e)
			}
		}
	}
}

func (p *peer) event(e Event) {
	switch e.Kind {
	case EventCandidate:
		p.cands = append(p.cands, e.Candidate)
		if p.trickle != nil {
			c, err := ParseCandidate(e.Candidate.String())
			if err != nil {
				p.w.t.Fatalf("%s: %v", e.Candidate, err)
			}
			p.trickle.AddRemote(p.w.now, c)
		}
	case EventGatheringComplete:
		p.gathered++
		if p.trickle != nil {
			p.trickle.EndOfRemote(p.w.now)
		}
	case EventState:
		p.states = append(p.states, e.State)
	case EventRouteAdded:
		p.added = append(p.added, e.Route)
	case EventRouteRemoved:
		p.removed = append(p.removed, e.Route)
		if p.tcp[e.Route.Sock] != NotTCP {
			p.w.closeTCP(p, e.Route, false)
		}
	case EventSelected:
		p.selected = append(p.selected, e.Route)
		p.lost = append(p.lost, e.Lost)
		p.moved = append(p.moved, e.Moved)
	case EventServerError:
		p.errs = append(p.errs, e)
	case EventConnectionGone:
		p.gone = append(p.gone, e.Sock)
	}
}

func (w *world) send(p *peer, r Route, b []byte) {
	if w.tap != nil && !w.tap(p, r, b) {
		return
	}
	if p.tcp[r.Sock] != NotTCP {
		w.sendTCP(p, r, b)
		return
	}
	from := netip.AddrPortFrom(r.Local, p.socks[r.Sock].Port())
	if n := p.nat; n != nil && !r.Remote.Addr().IsPrivate() {
		n.allowed[r.Remote] = true
		from = n.public
	}
	if w.cut != nil && w.cut(from, r.Remote) {
		return
	}
	for copies := 1; copies > 0; copies-- {
		if w.rnd.Float64() < w.dup {
			copies++
		}
		if w.rnd.Float64() < w.loss {
			continue
		}
		w.flight = append(w.flight, packet{at: w.now.Add(w.delay), from: from, to: r.Remote, b: slices.Clone(b)})
	}
}

// deliver hands over what has arrived.
func (w *world) deliver() {
	due := w.flight[:0:0]
	rest := w.flight[:0:0]
	for _, k := range w.flight {
		if k.at.After(w.now) {
			rest = append(rest, k)
		} else {
			due = append(due, k)
		}
	}
	w.flight = rest
	for _, k := range due {
		if k.tcp {
			w.deliverTCP(k)
			continue
		}
		if h := w.nodes[k.to]; h != nil {
			h(k)
			continue
		}
		for _, p := range w.peers {
			to := k.to
			if p.nat != nil && to == p.nat.public && p.nat.allowed[k.from] {
				to = p.socks[0]
			}
			for sock, addr := range p.socks {
				if addr == to && p.tcp[sock] == NotTCP {
					r := Route{Sock: sock, Local: addr.Addr(), Remote: k.from}
					data, ok := p.HandleDatagram(w.now, r, k.b)
					if ok {
						p.data = append(p.data, string(data))
					} else if data != nil && p.proves {
						p.Authenticated(w.now)
					}
				}
			}
		}
	}
}

// run goes on for d, or until done says so.
func (w *world) run(d time.Duration, done func() bool) bool {
	w.t.Helper()
	end := w.now.Add(d)
	for {
		w.settle()
		if done != nil && done() {
			return true
		}
		next := end
		for _, k := range w.flight {
			if k.at.Before(next) {
				next = k.at
			}
		}
		for _, p := range w.peers {
			if at := p.NextTimeout(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		if !next.Before(end) {
			w.now = end
			w.deliver()
			w.settle()
			return done != nil && done()
		}
		if next.After(w.now) {
			w.now = next
		}
		if w.steps++; w.steps > 200_000 {
			w.t.Fatal("the simulation does not end")
		}
		w.deliver()
		for _, p := range w.peers {
			p.Advance(w.now)
			if at := p.NextTimeout(); !at.IsZero() && !at.After(w.now) {
				w.t.Fatalf("%s: a deadline %v in the past after Advance", p.name, w.now.Sub(at))
			}
		}
	}
}

// say sends a payload as the peer's selected pair does.
func (p *peer) say(text string) bool {
	b, ok := p.BeginData(nil)
	if !ok {
		return false
	}
	b, r := p.FinishData(append(append(b, 22, byte(len(text))), text...), 0)
	p.w.send(p, r, b)
	p.ExpectAnswer(p.w.now)
	return true
}

func (p *peer) is(s State) func() bool { return func() bool { return p.State() == s } }

func both(a, b *peer, s State) func() bool {
	return func() bool { return a.State() == s && b.State() == s }
}

func (w *world) since() time.Duration { return w.now.Sub(w.start) }

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

// One end knows no candidate of the other and learns from its checks.
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
	// Signalled later, the candidate becomes what it is.
	b.AddRemote(w.now, a.cands[0])
	if r := b.cur.remotes[0]; r.typ != Host || len(b.cur.remotes) != 1 || len(b.cur.pairs) != 1 {
		t.Errorf("remote %+v of %d", r, len(b.cur.remotes))
	}
}

// A candidate that was learnt from a check on one address is paired with the others
// once it is signalled: a NAT may ask for checks from there.
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

// Checks that come before the answer are answered, and pay when it comes.
func TestEarlyChecks(t *testing.T) {
	w := newWorld(t, 4)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	a.trickle = b
	b.trickle = a
	w.settle()
	w.signal(a, b) // b answers, but a does not know yet
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

// private tells that the two ends are in different private networks.
func (w *world) private(from, to netip.AddrPort) bool {
	return from.Addr().As4()[1] != to.Addr().As4()[1]
}

// stunServer answers Binding requests at addr.
func (w *world) stunServer(addr string) netip.AddrPort {
	a := netip.MustParseAddrPort(addr)
	old := w.tap
	w.tap = func(from *peer, r Route, b []byte) bool {
		if r.Remote != a {
			return old == nil || old(from, r, b)
		}
		m, err := stun.Parse(b)
		if err != nil {
			w.t.Fatal(err)
		}
		seen := from.socks[r.Sock]
		if from.nat != nil {
			seen = from.nat.public
			from.nat.allowed[a] = true
		}
		x := stun.Build(nil, stun.BindingSuccess, m.TransactionID())
		x.XORAddr(stun.AttrXORMappedAddress, seen)
		x.Fingerprint()
		w.flight = append(w.flight, packet{at: w.now.Add(2 * w.delay), from: a, to: seen, b: x.Finish()})
		return true
	}
	return a
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

func TestFailure(t *testing.T) {
	for _, tc := range []struct {
		name        string
		remote      bool // candidates are there, but nobody answers
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

// restart has a restart ICE: the offer takes 3 delays, and the answer too.
func (w *world) restart(a, b *peer) {
	a.Restart(w.now, "", "")
	w.run(3*w.delay, nil)
	b.Restart(w.now, "", "")
	w.signal(a, b)
	b.EndOfLocal(w.now)
	w.run(3*w.delay, nil)
	w.signal(b, a)
	a.EndOfLocal(w.now)
	for _, c := range b.cands[len(b.cands)-len(b.gather.bases):] {
		a.AddRemote(w.now, c)
	}
	a.EndOfRemote(w.now)
	b.EndOfRemote(w.now)
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

// A far end that stays on a pair of before two restarts, as Chromium does while
// nothing but checks comes on the new one, is heard for a time.
func TestFormerRoute(t *testing.T) {
	w := newWorld(t, 12)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "192.0.2.9:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(time.Second, nil)
	// Those of b's ports that the next generations have are other ones.
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
	// They are bounded, and give way to those in use.
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

// Names of the far end's that were never found make no room for those of
// later generations.
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

// The best address vanishes, and another takes over.
func TestMovement(t *testing.T) {
	w := newWorld(t, 11)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "[2001:db8::1]:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000", "[2001:db8::2]:1000")
	w.connect(a, b)
	w.run(5*time.Second, nil)
	// Silently dead: the other family takes over within some seconds.
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
	// Gone for good, and a new one comes.
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
