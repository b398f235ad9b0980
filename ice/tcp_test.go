package ice

import (
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/stun"
)

// A tcpEnd is the active end of a TCP connection in a world.
type tcpEnd struct {
	p *peer
	r Route
}

var errRefused = errors.New("connection refused")

// addTCP adds a TCP socket to a peer. The port of addr is the port on which a passive
// socket listens; 0: the socket is active.
func (p *peer) addTCP(typ TCPType, addr string) {
	a := netip.MustParseAddrPort(addr)
	sock := Sock(len(p.socks))
	p.socks[sock] = a
	if p.tcp == nil {
		p.tcp = map[Sock]TCPType{}
	}
	p.tcp[sock] = typ
	if err := p.AddLocal(p.w.now, Local{Sock: sock, Addr: a, TCP: typ}); err != nil {
		p.w.t.Fatal(err)
	}
}

// listener returns the peer that listens at an address, and its socket.
func (w *world) listener(a netip.AddrPort) (*peer, Sock) {
	for _, p := range w.peers {
		for sock, addr := range p.socks {
			if addr == a && p.tcp[sock] == TCPPassive {
				return p, sock
			}
		}
	}
	return nil, 0
}

func (w *world) sendTCP(p *peer, r Route, b []byte) {
	if w.tcp == nil {
		w.tcp = map[netip.AddrPort]*tcpEnd{}
	}
	k := packet{at: w.now.Add(w.delay), from: p.socks[r.Sock], to: r.Remote, b: slices.Clone(b), tcp: true}
	if p.tcp[r.Sock] == TCPActive {
		k.from = w.portOf(p, r)
		if !k.from.IsValid() {
			if l, _ := w.listener(r.Remote); l == nil {
				p.RouteClosed(w.now, r, errRefused)
				return
			}
			k.from = netip.AddrPortFrom(r.Local, uint16(40000+len(w.tcp)))
			w.tcp[k.from] = &tcpEnd{p, r}
			k.at = k.at.Add(2 * w.delay) // the SYN and its answer take a round trip
		}
	} else if w.tcp[r.Remote] == nil {
		p.RouteClosed(w.now, r, errRefused)
		return
	}
	w.flight = append(w.flight, k)
}

// portOf returns the address that a connection comes from. It is invalid if there is
// no connection.
func (w *world) portOf(p *peer, r Route) netip.AddrPort {
	for a, c := range w.tcp {
		if c != nil && c.p == p && c.r == r {
			return a
		}
	}
	return netip.AddrPort{}
}

func (w *world) deliverTCP(k packet) {
	p, r := (*peer)(nil), Route{Local: k.to.Addr(), Remote: k.from}
	if c := w.tcp[k.to]; c != nil {
		p, r = c.p, c.r
	} else if w.tcp[k.from] != nil {
		p, r.Sock = w.listener(k.to)
	}
	if p == nil {
		return // the connection was closed in the meantime
	}
	if data, ok := p.HandleDatagram(w.now, r, k.b); ok {
		p.data = append(p.data, string(data))
	}
}

// closeTCP closes a connection. The remote end is told at once, and the local end only
// if tell is set.
func (w *world) closeTCP(p *peer, r Route, tell bool) {
	near := r.Remote
	if p.tcp[r.Sock] == TCPActive {
		near = w.portOf(p, r)
	}
	c := w.tcp[near]
	if c == nil {
		return
	}
	w.tcp[near] = nil
	err := errors.New("closed")
	if c.p != p || tell {
		c.p.RouteClosed(w.now, c.r, err)
	}
	if far, sock := w.listener(c.r.Remote); far != nil && (far != p || tell) {
		far.RouteClosed(w.now, Route{Sock: sock, Local: c.r.Remote.Addr(), Remote: near}, err)
	}
}

func (w *world) connections() (n int) {
	for _, c := range w.tcp {
		if c != nil {
			n++
		}
	}
	return n
}

// selectedPair returns the report of the pair that carries data.
func (p *peer) selectedPair() PairReport {
	p.w.t.Helper()
	for _, q := range p.Report().Pairs {
		if q.Selected {
			return q
		}
	}
	p.w.t.Fatalf("%s has selected nothing", p.name)
	return PairReport{}
}

// The active agent connects, whichever agent controls, and each check is sent once,
// however long its answer takes (RFC 6544 §7.1).
func TestTCPOnly(t *testing.T) {
	for _, controlling := range []bool{true, false} {
		w := newWorld(t, 1)
		w.delay = 800 * time.Millisecond
		a := w.peer("a", Config{Controlling: controlling})
		b := w.peer("b", Config{Controlling: !controlling})
		a.addTCP(TCPActive, "192.0.2.1:0")
		b.addTCP(TCPPassive, "192.0.2.2:443")
		b.addTCP(TCPActive, "192.0.2.2:0")
		ids := map[stun.TransactionID]int{}
		w.tap = func(_ *peer, _ Route, d []byte) bool {
			if m, err := stun.Parse(d); err == nil && m.Type() == stun.BindingRequest {
				if ids[m.TransactionID()]++; ids[m.TransactionID()] > 1 {
					t.Errorf("a check was repeated")
				}
			}
			return true
		}
		w.connect(a, b)
		if !w.run(20*time.Second, both(a, b, StateCompleted)) {
			t.Fatalf("a %v, b %v\n%+v", a.State(), b.State(), a.Report())
		}
		if p := a.selectedPair(); p.Local.TCPType != TCPActive || p.Remote.TCPType != TCPPassive || p.Local.Addr.Port() != 9 {
			t.Errorf("a: %v %v", p.Local, p.Remote)
		}
		if p := b.selectedPair(); p.Local.TCPType != TCPPassive || p.Remote.Type != PeerReflexive || p.Remote.Addr.Port() < 40000 {
			t.Errorf("b: %v %v", p.Local, p.Remote)
		}
		if n := len(b.Report().Pairs); n != 1 {
			t.Errorf("b has %d pairs, although no agent listens", n)
		}
		a.say("hello")
		b.say("hi")
		w.run(time.Minute, nil)
		if len(a.data) != 1 || len(b.data) != 1 || a.State() != StateCompleted || b.State() != StateCompleted {
			t.Errorf("data %q, %q; states %v, %v", a.data, b.data, a.State(), b.State())
		}
	}
}

// If UDP works, a UDP pair is selected and the TCP connections are closed (RFC 6544
// §8). If UDP does not work any more, the TCP connections are opened again.
func TestTCPBesideUDP(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:443")
	a.addTCP(TCPActive, "192.0.2.1:0")
	b.addTCP(TCPPassive, "192.0.2.2:443") // the same port as the UDP candidate, but another candidate
	late := w.now.Add(100 * time.Millisecond)
	w.cut = func(from, to netip.AddrPort) bool { return w.now.Before(late) } // so that TCP works earlier than UDP
	w.connect(a, b)
	if !w.run(10*time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	w.run(10*time.Second, func() bool { return w.connections() == 0 })
	for _, p := range []*peer{a, b} {
		if s := p.selectedPair(); s.Local.Transport != "udp" {
			t.Errorf("%s: %v", p.name, s.Local)
		}
	}
	if len(w.tcp) == 0 || w.connections() != 0 {
		t.Errorf("%d connections made, %d left", len(w.tcp), w.connections())
	}
	w.cut = func(from, to netip.AddrPort) bool { return true }
	if !w.run(40*time.Second, func() bool {
		p, q := a.selectedPair(), b.selectedPair()
		return p.Local.Transport == "tcp" && q.Local.Transport == "tcp"
	}) {
		t.Fatalf("%+v", a.Report())
	}
	a.say("over TCP")
	w.run(time.Second, nil)
	if !slices.Equal(b.data, []string{"\x16\x08over TCP"}) {
		t.Errorf("%q", b.data)
	}
}

// A connection that is closed is opened again, any number of times.
func TestTCPReconnects(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{})
	b := w.peer("b", Config{Controlling: true})
	a.addTCP(TCPActive, "192.0.2.1:0")
	b.addTCP(TCPPassive, "192.0.2.2:443")
	w.connect(a, b)
	for i := range 3 * maxRemotes {
		if !w.run(10*time.Second, both(a, b, StateCompleted)) {
			t.Fatalf("connection %d: a %v, b %v", i, a.State(), b.State())
		}
		w.run(2*tcpRetryInterval, nil)
		r, _ := a.Selected()
		w.closeTCP(a, r, true)
		if a.State() != StateDisconnected || b.State() != StateDisconnected {
			t.Fatalf("closed: a %v, b %v", a.State(), b.State())
		}
	}
	if n := len(b.cur.remotes); n > 2 {
		t.Errorf("%d remote candidates are left", n)
	}
	if n := len(b.routes.permitted); n > 1 {
		t.Errorf("%d routes are left", n)
	}
}

// If no program listens at the candidate's address, the pair's error says so.
func TestTCPRefused(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true})
	b := w.peer("b", Config{}, "192.0.2.2:1")
	a.addTCP(TCPActive, "192.0.2.1:0")
	w.connect(a, b)
	a.AddRemote(w.now, Candidate{Foundation: "1", Component: 1, Transport: "tcp", TCPType: TCPPassive, Addr: netip.MustParseAddrPort("192.0.2.2:80"), Priority: 1})
	w.run(time.Second, nil)
	if p := a.Report().Pairs; len(p) != 1 || p[0].State != PairFailed || !errors.Is(p[0].Err, errRefused) {
		t.Errorf("%+v", p)
	}
	if !w.run(time.Minute, a.is(StateFailed)) {
		t.Errorf("%v", a.State())
	}
}

func TestTCPCandidates(t *testing.T) {
	// RFC 6544 §4.2: the direction has precedence over the address; §6.2: which
	// candidates are paired.
	if p, q := tcpPreference(TCPActive, netip.MustParseAddr("2001:db8::1"), 0), tcpPreference(TCPPassive, netip.MustParseAddr("2001:db8::1"), 0); p != 6<<13+8191 || q != 4<<13+8191 {
		t.Errorf("%d, %d", p, q)
	}
	seen := map[uint16]bool{}
	for _, typ := range []TCPType{TCPActive, TCPPassive} {
		for _, a := range []string{"2001:db8::1", "192.0.2.1", "fe80::1", "127.0.0.1"} {
			for n := range 100 {
				p := tcpPreference(typ, netip.MustParseAddr(a), n)
				if seen[p] || p>>13 != map[TCPType]uint16{TCPActive: 6, TCPPassive: 4}[typ] {
					t.Errorf("%v, %s, %d: %d", typ, a, n, p)
				}
				seen[p] = true
			}
		}
	}
	for local := NotTCP; local <= TCPSimultaneous; local++ {
		for remote := NotTCP; remote <= TCPSimultaneous; remote++ {
			want := local == NotTCP && remote == NotTCP || local == TCPActive && remote == TCPPassive
			if local.checks(remote) != want {
				t.Errorf("%v with %v: %v", local, remote, !want)
			}
		}
	}
	// TCP candidates that are not relayed have a lower preference than all UDP
	// candidates.
	if typePreferenceHostTCP >= typePreferenceSrflx || typePreferencePrflxTCP <= typePreferenceRelay {
		t.Error("type preferences")
	}
	for line, want := range map[string]TCPType{
		"candidate:1 1 tcp 1 192.0.2.1 9 typ host tcptype active":   TCPActive,
		"candidate:1 1 TCP 1 192.0.2.1 80 typ host tcptype passive": TCPPassive,
		"candidate:1 1 tcp 1 192.0.2.1 80 typ host tcptype so":      TCPSimultaneous,
		"candidate:1 1 tcp 1 192.0.2.1 80 typ host tcptype other":   NotTCP,
		"candidate:1 1 udp 1 192.0.2.1 80 typ host tcptype active":  NotTCP,
		"candidate:1 1 tcp 1 192.0.2.1 80 typ host":                 NotTCP,
	} {
		if c, err := ParseCandidate(line); err != nil || c.TCPType != want {
			t.Errorf("%s: %v, %v", line, c.TCPType, err)
		}
	}
	a := NewAgent(Config{})
	a.SetRemote(time.Unix(0, 0), "ufrag", "password-of-22-characters", false)
	for _, line := range []string{
		"candidate:1 1 tcp 1 192.0.2.1 80 typ host", "candidate:1 1 tcp 1 192.0.2.1 80 typ host tcptype so",
		"candidate:1 1 tcp 1 192.0.2.1 80 typ host tcptype other", "candidate:1 1 tcp 1 x.local 9 typ host tcptype active",
	} {
		c, _ := ParseCandidate(line)
		if err := a.AddRemote(time.Unix(0, 0), c); !errors.Is(err, ErrUnusable) || len(a.cur.remotes) != 0 || len(a.lookups.waiting) != 0 {
			t.Errorf("%s: %v, %d", line, err, len(a.cur.remotes))
		}
	}
}

// Address families alternate in the priorities of candidates, and so in the order of
// pairs (RFC 8421 §4).
func TestFamiliesTakeTurns(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1", "198.51.100.1:1", "[2001:db8::1]:1", "[2001:db8:1::1]:1")
	b := w.peer("b", Config{}, "192.0.2.2:1", "[2001:db8::2]:1")
	w.connect(a, b)
	var order string
	for _, p := range a.Report().Pairs {
		order += map[bool]string{true: "4", false: "6"}[p.Local.Addr.Addr().Is4()]
	}
	if order != "6464" {
		t.Errorf("pairs of the families %s", order)
	}
}
