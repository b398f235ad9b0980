package ice

import (
	"io"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/stun"
)

// A world contains two or more agents and a network between them, in virtual time.
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
	cut    func(from, to netip.AddrPort) bool       // reports whether the network drops a datagram; nil: it drops none
	tap    func(from *peer, r Route, b []byte) bool // is called with each datagram; if it returns false, the datagram is dropped
	nodes  map[netip.AddrPort]func(packet)          // handlers of addresses that belong to no agent
	tcp    map[netip.AddrPort]*tcpEnd               // active ends of TCP connections, by the address that they connect from
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
	tcp      map[Sock]TCPType // types of the TCP sockets
	nat      *nat             // nil: the peer is not behind a NAT
	cands    []Candidate
	states   []State
	added    []Route
	removed  []Route
	selected []Route
	lost     []bool // Event.Lost of each selection in selected
	moved    []bool // Event.Moved of each selection in selected
	errs     []Event
	gone     []Sock // Sock of each EventConnectionGone
	gathered int
	data     []string
	proves   bool // the owner can verify that data is from the remote, whatever route it arrived on
	sent     int
	trickle  *peer // the peer that gets the candidates of this one; nil: none
}

// A nat maps one private address to a public address. Its mapping is
// endpoint-independent, and its filter is port-restricted: only remote addresses to
// which a datagram was sent can answer.
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

func both(a, b *peer, s State) func() bool {
	return func() bool { return a.State() == s && b.State() == s }
}

func (p *peer) addSock(addr string) {
	a := netip.MustParseAddrPort(addr)
	sock := Sock(len(p.socks))
	p.socks[sock] = a
	if err := p.AddLocal(p.w.now, Local{Sock: sock, Addr: a}); err != nil {
		p.w.t.Fatalf("AddLocal(%s): %v", addr, err)
	}
}

// connect exchanges credentials, and trickles candidates in both directions.
func (w *world) connect(a, b *peer) {
	a.trickle, b.trickle = b, a
	w.signal(a, b)
	w.signal(b, a)
	for _, p := range []*peer{a, b} {
		p.EndOfLocal(w.now)
	}
	w.settle()
}

// signal passes the credentials of a to b.
func (w *world) signal(a, b *peer) {
	ufrag, pwd := a.Credentials()
	b.SetRemote(w.now, ufrag, pwd, false)
}

// settle takes all datagrams and events of all agents.
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

// deliver delivers the datagrams that have arrived.
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

// run runs the world for the time d, or until done returns true.
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

// say sends a payload on the peer's selected pair.
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

func (w *world) since() time.Duration { return w.now.Sub(w.start) }

// private reports whether the two addresses are in different private networks.
func (w *world) private(from, to netip.AddrPort) bool {
	return from.Addr().As4()[1] != to.Addr().As4()[1]
}

// stunServer adds a server at addr that answers Binding requests.
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

// restart makes a restart ICE. The offer takes three times the network's delay, and so
// does the answer.
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
