package ice

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/stun"
)

// A turnServer is a TURN server of the test. Like a real server, it forgets everything
// that is not refreshed.
type turnServer struct {
	w        *world
	addr     netip.AddrPort
	allocs   map[netip.AddrPort]*allocation // allocations by the client's address
	nextPort uint16
	refuse   stun.ErrorCode // error code of the response to CreatePermission; 0: success
	channels int            // number of ChannelData messages that passed
	sends    int            // Send indications that passed
	key      *stun.Integrity
}

type allocation struct {
	client, relayed netip.AddrPort
	until           time.Time
	permissions     map[netip.Addr]time.Time
	channels        map[uint16]netip.AddrPort
}

func (w *world) turnServer(addr string) *turnServer {
	s := &turnServer{w: w, addr: netip.MustParseAddrPort(addr), allocs: map[netip.AddrPort]*allocation{}, nextPort: 50000,
		key: stun.NewIntegrity(stun.KeyMD5("u", "r", "p"))}
	if w.nodes == nil {
		w.nodes = map[netip.AddrPort]func(packet){}
	}
	w.nodes[s.addr] = s.handle
	return s
}

// config returns the configuration with which an agent uses the server.
func (s *turnServer) config() Server {
	return Server{URL: "turn:" + s.addr.String(), Addr: s.addr, TURN: true, Sock: SockAny, Username: "u", Password: "p"}
}

func (s *turnServer) send(from, to netip.AddrPort, b []byte) {
	s.w.flight = append(s.w.flight, packet{at: s.w.now.Add(s.w.delay), from: from, to: to, b: slices.Clone(b)})
}

func (s *turnServer) handle(k packet) {
	a := s.allocs[k.from]
	if a != nil && s.w.now.After(a.until) {
		s.release(a)
		a = nil
	}
	if k.b[0] >= 64 {
		to, ok := netip.AddrPort{}, false
		if a != nil {
			to, ok = a.channels[binary.BigEndian.Uint16(k.b)]
		}
		if ok && a.permits(s.w.now, to) {
			s.channels++
			s.send(a.relayed, to, k.b[4:4+int(binary.BigEndian.Uint16(k.b[2:]))])
		}
		return
	}
	m, err := stun.Parse(k.b)
	if err != nil {
		s.w.t.Fatalf("% x: %v", k.b, err)
	}
	if m.Type().Class() == stun.ClassIndication {
		to, _ := m.XORAddr(stun.AttrXORPeerAddress)
		if data, ok := m.Get(stun.AttrData); ok && a != nil && a.permits(s.w.now, to) {
			s.sends++
			s.send(a.relayed, to, data)
		}
		return
	}
	s.request(k.from, a, m)
}

func (a *allocation) permits(now time.Time, to netip.AddrPort) bool {
	return now.Before(a.permissions[to.Addr()])
}

func (s *turnServer) release(a *allocation) {
	delete(s.allocs, a.client)
	delete(s.w.nodes, a.relayed)
}

func (s *turnServer) request(from netip.AddrPort, a *allocation, m stun.Message) {
	now, method := s.w.now, m.Type().Method()
	answer := func(code stun.ErrorCode, more func(w *stun.Builder)) {
		class := stun.ClassSuccess
		if code != 0 {
			class = stun.ClassError
		}
		w := stun.Build(nil, stun.NewType(method, class), m.TransactionID())
		if code != 0 {
			w.ErrorCode(code)
		}
		if more != nil {
			more(&w)
		}
		if code != stun.CodeUnauthenticated {
			w.Integrity(s.key)
		}
		s.send(s.addr, from, w.Finish())
	}
	if !s.key.Verify(m) {
		answer(stun.CodeUnauthenticated, func(w *stun.Builder) {
			w.String(stun.AttrRealm, "r")
			w.String(stun.AttrNonce, "n")
		})
		return
	}
	if (a == nil) != (method == stun.MethodAllocate) {
		answer(stun.CodeAllocationMismatch, nil)
		return
	}
	peer, _ := m.XORAddr(stun.AttrXORPeerAddress)
	switch method {
	case stun.MethodAllocate:
		s.nextPort++
		a = &allocation{client: from, relayed: netip.AddrPortFrom(s.addr.Addr(), s.nextPort), until: now.Add(10 * time.Minute),
			permissions: map[netip.Addr]time.Time{}, channels: map[uint16]netip.AddrPort{}}
		s.allocs[from] = a
		s.w.nodes[a.relayed] = func(k packet) { s.relay(a, k) }
		answer(0, func(w *stun.Builder) {
			w.XORAddr(stun.AttrXORRelayedAddress, a.relayed)
			w.XORAddr(stun.AttrXORMappedAddress, from)
			w.Uint32(stun.AttrLifetime, 600)
		})
	case stun.MethodRefresh:
		lifetime, _ := m.Uint32(stun.AttrLifetime)
		if a.until = now.Add(time.Duration(lifetime) * time.Second); lifetime == 0 {
			s.release(a)
		}
		answer(0, func(w *stun.Builder) { w.Uint32(stun.AttrLifetime, lifetime) })
	case stun.MethodCreatePermission:
		if s.refuse == 0 {
			a.permissions[peer.Addr()] = now.Add(5 * time.Minute)
		}
		answer(s.refuse, nil)
	case stun.MethodChannelBind:
		number, _ := m.Uint32(stun.AttrChannelNumber)
		a.channels[uint16(number>>16)] = peer
		a.permissions[peer.Addr()] = now.Add(5 * time.Minute)
		answer(0, nil)
	}
}

// relay handles a datagram that a peer sent to a relayed address.
func (s *turnServer) relay(a *allocation, k packet) {
	if !a.permits(s.w.now, k.from) {
		return
	}
	for number, peer := range a.channels {
		if peer == k.from {
			b := binary.BigEndian.AppendUint16(nil, number)
			b = binary.BigEndian.AppendUint16(b, uint16(len(k.b)))
			s.send(s.addr, a.client, append(b, k.b...))
			return
		}
	}
	w := stun.Build(nil, stun.NewType(stun.MethodData, stun.ClassIndication), stun.TransactionID{})
	w.XORAddr(stun.AttrXORPeerAddress, k.from)
	w.Bytes(stun.AttrData, k.b)
	s.send(s.addr, a.client, w.Finish())
}

// relayPair connects two agents that have a TURN server each.
func relayPair(t *testing.T, only bool) (w *world, a, b *peer, s *turnServer) {
	w = newWorld(t, 3)
	a = w.peer("a", Config{Controlling: true, RelayOnly: only}, "10.0.0.1:1000")
	b = w.peer("b", Config{RelayOnly: only}, "10.1.0.1:1000")
	s = w.turnServer("203.0.113.1:3478")
	for _, p := range []*peer{a, b} {
		if err := p.AddServer(w.now, s.config()); err != nil {
			t.Fatal(err)
		}
	}
	// The two networks reach only the server.
	w.cut = func(from, to netip.AddrPort) bool {
		return from.Addr().IsPrivate() && to.Addr().IsPrivate() && from.Addr() != to.Addr()
	}
	w.connect(a, b)
	return w, a, b, s
}

func TestRelay(t *testing.T) {
	for _, only := range []bool{false, true} {
		w, a, b, s := relayPair(t, only)
		if !w.run(10*time.Second, both(a, b, StateCompleted)) {
			t.Fatalf("only %v: a %v, b %v", only, a.State(), b.State())
		}
		for _, c := range a.cands {
			if only && (c.Type != Relay || c.Related != netip.MustParseAddrPort("0.0.0.0:0")) {
				t.Errorf("candidate %v tells more than the relay", c)
			}
			if c.Type == Relay && (c.Addr.Addr() != s.addr.Addr() || c.Priority >= 1<<24 || !only && c.Related != a.socks[0]) {
				t.Errorf("candidate %v", c)
			}
		}
		// Unless only relayed candidates are allowed, one agent sends from its host
		// address to the relayed address of the other agent, which saves a hop.
		if r, _ := a.Selected(); r.Remote.Addr() != s.addr.Addr() || only && r.Remote != s.addr || r.Sock != 0 {
			t.Errorf("a sends to %v", r)
		}
		w.run(time.Second, nil) // after this time channels are bound
		a.say("hello")
		b.say("to you")
		w.run(time.Second, nil)
		if len(b.data) != 1 || b.data[0] != "\x16\x05hello" || len(a.data) != 1 {
			t.Errorf("data %q, %q", a.data, b.data)
		}
		if s.channels == 0 || only && a.DataOverhead() != 4 {
			t.Errorf("%d by channel, overhead %d", s.channels, a.DataOverhead())
		}
		// The connection lasts only if everything is refreshed, because the server
		// forgets the rest.
		for range 60 {
			w.run(time.Minute, nil)
			if a.State() != StateCompleted || b.State() != StateCompleted {
				t.Fatalf("after %v a is %v, b %v", w.since(), a.State(), b.State())
			}
		}
		buf := make([]byte, 0, 1500)
		if n := testing.AllocsPerRun(100, func() {
			b, _ := a.BeginData(buf)
			b, r := a.FinishData(append(b, 22, 1, 2), 0)
			a.HandleDatagram(w.now, r, b)
		}); n != 0 {
			t.Errorf("%v allocations a datagram", n)
		}
		a.Close(w.now)
		b.Close(w.now)
		w.run(time.Second, nil)
		if len(s.allocs) != 0 {
			t.Errorf("%d allocations are left", len(s.allocs))
		}
	}
}

// Data is sent before its channel is bound.
func TestDataBeforeTheChannel(t *testing.T) {
	w, a, b, s := relayPair(t, true)
	if !w.run(10*time.Second, func() bool { _, ok := a.Selected(); return ok }) {
		t.Fatal("no pair")
	}
	before := s.sends
	a.say("early")
	w.run(100*time.Millisecond, nil)
	if s.sends == before || len(b.data) != 1 {
		t.Errorf("%d indications, data %q", s.sends-before, b.data)
	}
}

func TestRestartOverRelay(t *testing.T) {
	w, a, b, s := relayPair(t, true)
	w.run(10*time.Second, both(a, b, StateCompleted))
	a.cands = nil
	w.restart(a, b)
	if !w.run(10*time.Second, func() bool {
		return a.State() == StateCompleted && b.State() == StateCompleted && a.Agent.selected.gen == a.cur
	}) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	ufrag, _ := a.Credentials()
	if len(a.cands) != 1 || a.cands[0].Ufrag != ufrag || len(s.allocs) != 2 {
		t.Errorf("candidates %v, %d allocations", a.cands, len(s.allocs))
	}
}

// If the same server is set again, its allocation is kept. The allocation of a removed
// server is released, unless it carries data.
func TestServersSetAgain(t *testing.T) {
	w, a, b, s := relayPair(t, true)
	w.run(10*time.Second, both(a, b, StateCompleted))
	a.cands = nil
	a.ClearServers(w.now)
	a.AddServer(w.now, s.config())
	a.EndOfLocal(w.now)
	w.run(time.Second, nil)
	if len(s.allocs) != 2 || len(a.cands) != 1 || a.gathered != 2 {
		t.Errorf("%d allocations, candidates %v, gathered %d", len(s.allocs), a.cands, a.gathered)
	}
	a.ClearServers(w.now)
	a.EndOfLocal(w.now)
	w.run(20*time.Second, nil)
	if len(s.allocs) != 2 || a.State() != StateCompleted {
		t.Errorf("%d allocations, %v", len(s.allocs), a.State())
	}

	w, a, _, s = relayPair(t, false)
	w.cut = nil // from now on host candidates work
	w.run(10*time.Second, a.is(StateCompleted))
	a.ClearServers(w.now)
	a.EndOfLocal(w.now)
	w.run(time.Second, nil)
	if len(s.allocs) != 1 {
		t.Errorf("%d allocations", len(s.allocs))
	}
}

func TestRelayIsLost(t *testing.T) {
	w, a, b, s := relayPair(t, true)
	w.run(10*time.Second, both(a, b, StateCompleted))
	delete(w.nodes, s.addr)
	w.run(30*time.Second, nil)
	if a.State() == StateCompleted {
		t.Errorf("a is %v without its relay", a.State())
	}
	if r := a.Report().Servers[0]; !errors.Is(r.Err, ErrServerTimeout) {
		t.Errorf("a server that is silent is reported as %+v", r)
	}
	if !w.run(20*time.Minute, func() bool { return len(a.errs) > 0 }) || !errors.Is(a.errs[0].Err, ErrServerTimeout) {
		t.Errorf("errors %v", a.errs)
	}
	// The server runs again, and relays another port. While it did not run, it was
	// asked at growing intervals.
	asked := a.sent
	w.run(time.Hour, nil)
	if n := a.sent - asked; n > 7*60 {
		t.Errorf("asked %d times in an hour", n)
	}
	known, gathered := len(a.cands), a.gathered
	w.nodes[s.addr] = s.handle
	if !w.run(2*time.Minute, func() bool { return a.gathered > gathered }) || len(a.cands) != known+1 || a.cands[known].Type != Relay {
		t.Errorf("%v; gathered %d times", a.cands[known:], a.gathered)
	}
	if r := a.Report().Servers[0]; r.Err != nil || len(r.Relayed) != 1 {
		t.Errorf("%+v", r)
	}
	// The server forgets only the allocation. A pair that becomes doubtful causes the
	// request that detects this.
	s.allocs = map[netip.AddrPort]*allocation{}
	a.gather.relays[0].client.Check(w.now)
	if !w.run(5*time.Second, func() bool { return len(a.cands) == known+2 }) {
		t.Error("a lost allocation is not made again")
	}
}

// If a server does not answer any more over its connection, the owner is asked for
// another connection. Over datagrams the owner is asked sooner, because no other sign
// of a failure exists there.
func TestConnectionGone(t *testing.T) {
	for transport, limit := range map[Transport]time.Duration{OverDTLS: 10 * time.Second, OverTCP: 45 * time.Second, OverTLS: 45 * time.Second} {
		w := newWorld(t, 1)
		a := w.peer("a", Config{}, "192.0.2.1:1000")
		s := w.turnServer("203.0.113.1:3478")
		ours := netip.MustParseAddrPort("192.0.2.1:2000") // local address of the connection
		var answers func(packet)
		dial := func(sock Sock) {
			w.nodes[ours] = func(k packet) { a.HandleDatagram(w.now, Route{Sock: sock, Remote: s.addr}, k.b) }
			w.tap = func(_ *peer, r Route, b []byte) bool {
				if answers != nil && r.Sock == sock {
					answers(packet{from: ours, b: slices.Clone(b)})
				}
				return false
			}
			config := s.config()
			config.Sock, config.Transport = sock, transport
			if err := a.AddServer(w.now, config); err != nil {
				t.Fatal(err)
			}
			a.EndOfLocal(w.now)
		}
		answers = s.handle
		dial(7)
		relays := func() bool { return len(a.Report().Servers[0].Relayed) == 1 }
		if !w.run(time.Second, relays) {
			t.Fatalf("%v: no allocation", transport)
		}
		answers = nil
		a.gather.relays[0].client.Check(w.now)
		a.update(w.now)
		began := w.now
		if !w.run(limit, func() bool { return len(a.gone) == 1 }) || a.gone[0] != 7 {
			t.Fatalf("%v: told of %v", transport, a.gone)
		}
		a.ConnectionFailed(w.now, 7, ErrServerTimeout) // the owner reports the failure
		if took := w.now.Sub(began); took < 5*time.Second {
			t.Errorf("%v: given up after %v", transport, took)
		}
		if r := a.Report().Servers[0]; !errors.Is(r.Err, ErrServerTimeout) {
			t.Errorf("%v: %+v", transport, r)
		}
		w.run(5*time.Minute, nil)
		if len(a.gone) != 1 || len(a.errs) != 1 {
			t.Errorf("%v: told of %v, %v", transport, a.gone, a.errs)
		}
		s.allocs = map[netip.AddrPort]*allocation{}
		answers = s.handle
		dial(8)
		if !w.run(time.Second, relays) || a.Report().Servers[0].Err != nil {
			t.Errorf("%v: %+v", transport, a.Report().Servers)
		}
	}
}

// If a server over a connection refers the client to another server, the owner is
// told, and gathering waits for the owner.
func TestServerRefersToAnother(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{}, "192.0.2.1:1000")
	config := Server{URL: "turns:one.example", Addr: netip.MustParseAddrPort("192.0.2.10:443"), TURN: true, Sock: 7, Transport: OverTLS, Username: "u", Password: "p"}
	if err := a.AddServer(w.now, config); err != nil {
		t.Fatal(err)
	}
	a.EndOfLocal(w.now)
	b, r, ok := a.AppendDatagram(w.now, nil)
	if m, err := stun.Parse(b); !ok || err != nil || r.Sock != 7 {
		t.Fatalf("%v, %v", r, err)
	} else {
		x := stun.Build(nil, stun.NewType(stun.MethodAllocate, stun.ClassError), m.TransactionID())
		x.ErrorCode(stun.CodeTryAlternate)
		x.Addr(stun.AttrAlternateServer, netip.MustParseAddrPort("192.0.2.11:443"))
		x.String(stun.AttrAlternateDomain, "two.example")
		a.HandleDatagram(w.now, r, x.Finish())
	}
	var last Event
	for e, ok := a.NextEvent(); ok; e, ok = a.NextEvent() {
		last = e
	}
	if last.Kind != EventAlternate || last.URL != config.URL || last.Sock != 7 || last.Addr.String() != "192.0.2.11:443" || last.Domain != "two.example" {
		t.Fatalf("%+v", last)
	}
	w.run(time.Minute, nil)
	if a.gathered != 0 || len(a.Report().Servers) != 0 {
		t.Errorf("gathered %d times; %+v", a.gathered, a.Report().Servers)
	}
	a.ServerFailed(w.now, config.URL, errRefused)
	a.EndOfLocal(w.now)
	w.settle()
	if a.gathered != 1 || len(a.errs) != 1 || !errors.Is(a.errs[0].Err, errRefused) {
		t.Errorf("gathered %d times, errors %v", a.gathered, a.errs)
	}
	a.ServerFailed(w.now, config.URL, errRefused) // the same server fails a second time, and is listed once
	if n := len(a.Report().Servers); n != 1 {
		t.Errorf("%d servers", n)
	}
}

// The policy of a server may forbid a peer. The pair with that peer fails with the
// reason.
func TestPermissionRefused(t *testing.T) {
	w := newWorld(t, 3)
	a := w.peer("a", Config{Controlling: true, RelayOnly: true}, "10.0.0.1:1000")
	b := w.peer("b", Config{}, "10.1.0.1:1000")
	s := w.turnServer("203.0.113.1:3478")
	s.refuse = stun.CodeForbidden
	a.AddServer(w.now, s.config())
	w.connect(a, b)
	if !w.run(time.Minute, a.is(StateFailed)) {
		t.Fatalf("a is %v", a.State())
	}
	if p := a.cur.pairs[0]; p.err == nil || !strings.Contains(p.err.Error(), "policy") {
		t.Errorf("%v", p.err)
	}
}

func TestServerErrors(t *testing.T) {
	w := newWorld(t, 3)
	a := w.peer("a", Config{}, "10.0.0.1:1000")
	s := w.turnServer("203.0.113.1:3478")
	wrong := s.config()
	wrong.Password = "q"
	unreachable := Server{URL: "turn:six", Addr: netip.MustParseAddrPort("[2001:db8::1]:3478"), TURN: true, Sock: SockAny, Username: "u", Password: "p"}
	connection := s.config()
	connection.Sock, connection.Transport, connection.URL = 7, OverTCP, "turn:tcp"
	for _, c := range []Server{wrong, unreachable, connection} {
		if err := a.AddServer(w.now, c); err != nil {
			t.Fatal(err)
		}
	}
	a.ServerFailed(w.now, "turn:gone", errors.New("connection refused"))
	a.EndOfLocal(w.now)
	a.ConnectionFailed(w.now, 7, errors.New("connection reset"))
	w.run(10*time.Second, func() bool { return a.gathered > 0 })
	var got []string
	for _, e := range a.errs {
		got = append(got, e.Err.Error())
	}
	slices.Sort(got)
	if len(got) != 4 ||
		!strings.Contains(got[0], "ice: server turn:203.0.113.1:3478: wrong username or password") ||
		!strings.Contains(got[1], "turn:gone: connection refused") ||
		!strings.Contains(got[2], "turn:six: no local address reaches") ||
		!strings.Contains(got[3], "turn:tcp: connection reset") {
		t.Errorf("errors %q", got)
	}
	if a.gathered != 1 {
		t.Errorf("gathering ended %d times", a.gathered)
	}
}

// The socket from which an allocation was requested is removed.
func TestBaseOfRelayVanishes(t *testing.T) {
	w, a, b, _ := relayPair(t, true)
	w.run(10*time.Second, both(a, b, StateCompleted))
	a.RemoveLocal(w.now, 0, a.socks[0])
	w.run(time.Second, nil)
	if _, ok := a.Selected(); ok || len(a.gather.bases) != 0 || len(a.gather.relays) != 0 {
		t.Errorf("%d bases, %d relays", len(a.gather.bases), len(a.gather.relays))
	}
	if len(a.errs) != 1 || !errors.Is(a.errs[0].Err, errBaseGone) {
		t.Errorf("errors %v", a.errs)
	}
}
