package ice

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"purertc/ice/internal/mdns"
	"purertc/stun"
)

// A gatherer finds the local candidates (RFC 8445 §5.1.1): the addresses that the
// owner adds, the addresses that STUN servers see (server.go), and the addresses that
// TURN servers relay (relay.go). It knows nothing about pairs. The agent learns by
// takeChanges which bases were added and removed.
type gatherer struct {
	random *randomSource
	events *eventQueue
	out    *outbox

	relayOnly bool
	ufrag     string // ufrag in the candidates: that of the newest generation

	bases       []*base
	changes     []baseChange // changes since the last takeChanges
	foundations []foundationKey
	familyCount [TCPPassive + 1][2]uint16 // number of bases so far, by transport and family: IPv6, IPv4
	names       mdns.Responder            // answers for the bases' names

	servers     []*server
	requests    []*serverRequest
	relays      []*relay
	nextRequest time.Time // when the next request to a server may be sent (RFC 8445 §5.1.1.2)
	lastSock    Sock      // Sock of the newest relayed base
	nextRelay   uint32    // order of the next relay

	ended    bool      // EndOfLocal was called: no base or server follows
	complete bool      // EventGatheringComplete was reported
	deadline time.Time // see GatherUntil; zero: none
}

// maxBases bounds the number of bases. Browsers have far fewer.
const maxBases = 64

// reopen begins gathering again: more bases or servers may come until EndOfLocal.
func (g *gatherer) reopen() { g.ended, g.complete = false, false }

// addLocal adds a base, unless it is known, and asks the servers from its address.
func (g *gatherer) addLocal(l Local) error {
	addr := netip.AddrPortFrom(l.Addr.Addr().Unmap(), l.Addr.Port())
	if l.TCP == TCPActive {
		addr = netip.AddrPortFrom(addr.Addr(), discardPort)
	}
	ip := addr.Addr()
	switch {
	case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || addr.Port() == 0 || l.TCP > TCPPassive,
		l.Public.IsValid() && l.Public.Unmap().Is4() != ip.Is4():
		return fmt.Errorf("%w: %v", ErrAddress, addr)
	case len(g.bases) >= maxBases:
		return ErrTooManyCandidates
	case g.hostBase(l.Sock, addr) != nil:
		return nil
	}
	b := &base{sock: l.Sock, addr: addr, typ: Host, tcp: l.TCP, public: l.Public.Unmap(), keep: l.KeepLocal, name: l.Name}
	b.preference = g.nextPreference(ip, l.TCP)
	b.foundation = g.foundation(foundationKey{typ: Host, base: ip, tcp: l.TCP})
	g.addBase(b)
	g.reopen()
	for _, s := range g.servers {
		g.askServer(s, b)
	}
	return nil
}

// removeLocal removes a base. It reports whether there was one.
func (g *gatherer) removeLocal(sock Sock, addr netip.AddrPort) bool {
	b := g.hostBase(sock, netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()))
	if b != nil {
		g.removeBase(b)
	}
	return b != nil
}

func (g *gatherer) hostBase(sock Sock, addr netip.AddrPort) *base {
	for _, b := range g.bases {
		if b.sock == sock && b.addr == addr && b.typ == Host {
			return b
		}
	}
	return nil
}

// addBase adds a base and signals its candidates.
func (g *gatherer) addBase(b *base) {
	g.bases = append(g.bases, b)
	if b.name != "" {
		g.names.Add(b.name, b.addr.Addr()) // if there are too many names, this one is not answered for
	}
	if g.usable(b) {
		g.changes = append(g.changes, baseChange{b, true})
		g.signal(b)
	}
}

// usable reports whether b may be signalled and checks may be sent from it. In RFC
// 8828's mode 4 only relayed addresses are usable.
func (g *gatherer) usable(b *base) bool { return !g.relayOnly || b.typ == Relay }

func (g *gatherer) removeBase(gone *base) {
	g.bases = slices.DeleteFunc(slices.Clone(g.bases), func(b *base) bool { return b == gone })
	if gone.name != "" && !slices.ContainsFunc(g.bases, func(b *base) bool { return b.name == gone.name }) {
		g.names.Remove(gone.name)
	}
	g.changes = append(g.changes, baseChange{gone, false})
	g.dropRelaysOf(gone)
	g.requests = slices.DeleteFunc(slices.Clone(g.requests), func(q *serverRequest) bool { return q.base == gone })
}

// A baseChange is a base that was added or removed.
type baseChange struct {
	*base
	added bool
}

// takeChanges returns the bases that were added or removed since its last call.
func (g *gatherer) takeChanges() (changes []baseChange) {
	changes, g.changes = g.changes, nil
	return changes
}

// baseOf returns the base on which a datagram of route r arrived, or nil if there is
// none.
func (g *gatherer) baseOf(r Route) *base {
	for _, b := range g.bases {
		if b.sock == r.Sock && (!r.Local.IsValid() || r.Local == b.addr.Addr()) {
			return b
		}
	}
	return nil
}

// signal signals the candidates that b has without the help of a server.
func (g *gatherer) signal(b *base) {
	for _, c := range g.appendCandidates(make([]Candidate, 0, 2), b) {
		g.events.push(Event{Kind: EventCandidate, Candidate: c})
	}
}

func (g *gatherer) appendCandidates(list []Candidate, b *base) []Candidate {
	list = append(list, b.candidate(g.ufrag))
	if b.public.IsValid() && b.keep {
		list = append(list, g.reflexive(b, b.publicAddr(), netip.Addr{}))
	}
	return list
}

// reflexive returns the server-reflexive candidate of a base. mapped is the base's
// address as the server sees it.
func (g *gatherer) reflexive(b *base, mapped netip.AddrPort, server netip.Addr) Candidate {
	return Candidate{
		Foundation: g.foundation(foundationKey{ServerReflexive, b.addr.Addr(), server, b.tcp}),
		Component:  1, Transport: b.tcp.transport(), TCPType: b.tcp,
		Priority: candidatePriority(ServerReflexive.preferenceOver(b.tcp), b.preference),
		Addr:     mapped, Type: ServerReflexive, Related: b.relatedAddr(), Ufrag: g.ufrag,
	}
}

// addReflexive signals a server-reflexive candidate, unless it is redundant (RFC 8445
// §5.1.3). The request q found it; if q is nil, an allocation found it.
func (g *gatherer) addReflexive(b *base, mapped netip.AddrPort, server netip.Addr, q *serverRequest) {
	if mapped == b.addr || mapped == b.publicAddr() {
		return // the server sees an address that is already signalled: there is no NAT, or its public address was configured
	}
	for _, o := range g.requests {
		if o != q && o.base == b && o.mapped == mapped {
			return
		}
	}
	if q != nil {
		for _, l := range g.relays {
			if l.from == b && l.client.Mapped() == mapped {
				return
			}
		}
	}
	g.events.push(Event{Kind: EventCandidate, Candidate: g.reflexive(b, mapped, server)})
}

// A foundationKey is what all candidates with the same foundation have in common (RFC
// 8445 §5.1.1.3).
type foundationKey struct {
	typ    CandidateType
	base   netip.Addr
	server netip.Addr
	tcp    TCPType
}

// foundation numbers the keys in the order in which they appear. A hash of them would
// reveal the addresses that names hide.
func (g *gatherer) foundation(key foundationKey) string {
	i := slices.Index(g.foundations, key)
	if i < 0 {
		i = len(g.foundations)
		g.foundations = append(g.foundations, key)
	}
	return strconv.Itoa(i + 1)
}

// nextPreference ranks the addresses of a family in the order in which they appear.
func (g *gatherer) nextPreference(ip netip.Addr, tcp TCPType) uint16 {
	family := 0
	if ip.Is4() {
		family = 1
	}
	n := int(g.familyCount[tcp][family])
	if n < 1000 { // n stays in the range of preferences; after 1000 addresses the order has no meaning
		g.familyCount[tcp][family]++
	}
	if tcp != NotTCP {
		return tcpPreference(tcp, ip, n)
	}
	return localPreference(ip, n)
}

// A gathererNeed says for what the checks still need the servers.
type gathererNeed struct {
	nominated bool  // a pair is nominated: its data keeps the bindings of NATs
	failed    bool  // ICE has failed
	selected  *pair // the pair that carries data; nil: none
}

// run sends requests that are due, and runs timers that are due.
func (g *gatherer) run(now time.Time, need gathererNeed) {
	g.runServers(now, need)
	g.runRelays(now, need)
}

// alarms adds the times of the next timers to e.
func (g *gatherer) alarms(e *alarm) {
	e.add(g.names.NextTimeout())
	g.serverAlarms(e)
	if !g.complete {
		e.add(g.deadline)
	}
	g.relayAlarms(e)
}

// finish reports the end of gathering, when all servers have answered or failed, or
// the deadline has been reached.
func (g *gatherer) finish(now time.Time) {
	late := !g.deadline.IsZero() && !now.Before(g.deadline)
	if g.complete || !g.ended && !late {
		return
	}
	for _, s := range g.servers {
		switch {
		case s.pending > 0 && !late:
			return
		case s.pending > 0:
			s.late = true
		}
	}
	g.reportUnreachable()
	g.complete = true
	g.events.push(Event{Kind: EventGatheringComplete})
}

// restart gathers again for new credentials (RFC 8445 §9). All candidates are
// signalled again, and all servers are asked again. A pending request is not replaced.
// The address that a server saw last is signalled immediately, because restarts may
// follow each other faster than servers answer.
func (g *gatherer) restart(now time.Time) {
	g.reopen()
	g.deadline = time.Time{}
	for _, b := range g.bases {
		if g.usable(b) {
			g.signal(b)
		}
	}
	// Servers that the owner could not reach are removed: the owner tries them again.
	g.servers = slices.DeleteFunc(g.servers, func(s *server) bool { return !s.Addr.IsValid() })
	for _, s := range g.servers {
		*s = server{Server: s.Server}
	}
	for _, q := range g.requests {
		q.server.pending++
		switch {
		case q.state == requestDone:
			q.state, q.refreshAt = requestWaiting, time.Time{}
		case q.retransmission.Sent() > 1:
			q.retransmission.Start(now, stun.DefaultRTO) // otherwise the next retransmission of its schedule may be half a minute away
		}
		if q.mapped.IsValid() {
			g.addReflexive(q.base, q.mapped, q.server.Addr.Addr(), q)
		}
	}
	for _, s := range g.servers {
		g.askFromAll(s)
	}
}

// close releases the allocations of the relays.
func (g *gatherer) close(now time.Time) {
	for _, l := range g.relays {
		l.client.Close(now)
	}
}

// appendDatagram appends a request to a TURN server, or an answer to a multicast DNS
// query.
func (g *gatherer) appendDatagram(now time.Time, dst []byte) (b []byte, r Route, ok bool) {
	for _, l := range g.relays {
		if b, ok := l.client.AppendRequest(dst); ok {
			return b, l.route, true
		}
	}
	if b, group, addr, ok := g.names.AppendAnswer(now, dst); ok {
		return b, Route{Sock: SockMDNS, Local: addr, Remote: group}, true
	}
	return dst, Route{}, false
}

// candidates returns the local candidates as they are signalled.
func (g *gatherer) candidates() (list []Candidate) {
	for _, b := range g.bases {
		if g.usable(b) {
			list = g.appendCandidates(list, b)
		}
	}
	known := map[[2]netip.AddrPort]bool{}
	reflexive := func(b *base, mapped netip.AddrPort, server netip.Addr) {
		key := [2]netip.AddrPort{b.addr, mapped}
		if g.relayOnly || !mapped.IsValid() || mapped == b.addr || mapped == b.publicAddr() || known[key] {
			return
		}
		known[key] = true
		list = append(list, g.reflexive(b, mapped, server))
	}
	for _, q := range g.requests {
		reflexive(q.base, q.mapped, q.server.Addr.Addr())
	}
	for _, l := range g.relays {
		if l.from != nil {
			reflexive(l.from, l.client.Mapped(), l.client.Server().Addr())
		}
	}
	return list
}

// AddLocal adds a local address that datagrams can be sent from, and its host
// candidate. Several addresses on the same socket may have the same port. Gathering is
// open again until EndOfLocal. Adding an address again does nothing.
func (a *Agent) AddLocal(now time.Time, l Local) error {
	switch {
	case a.state == StateClosed:
		return ErrClosed
	case a.lite && l.TCP == TCPActive:
		return nil // a lite agent cannot send the checks that open connections (RFC 6544 §4.4)
	}
	if err := a.gather.addLocal(l); err != nil {
		return err
	}
	a.undropLocal(l.Addr.Addr().Unmap().String())
	a.takeBases(now)
	a.update(now)
	return nil
}

// RemoveLocal removes a local address, its candidates and its pairs.
func (a *Agent) RemoveLocal(now time.Time, sock Sock, addr netip.AddrPort) {
	a.gather.removeLocal(sock, addr)
	a.takeBases(now)
	a.update(now)
}

// EndOfLocal says that no AddLocal and no AddServer follow in this gathering.
// Gathering is complete once all servers have answered or failed.
func (a *Agent) EndOfLocal(now time.Time) {
	a.gather.ended = true
	a.gather.closeForgotten(now, a.selected)
	a.takeBases(now)
	a.update(now)
}

// GatherUntil sets a time limit for this gathering. At the time end, gathering is
// complete even if servers have not answered, or EndOfLocal was not called. A later
// answer still leads to a candidate, and then gathering is complete once more.
func (a *Agent) GatherUntil(now, end time.Time) {
	a.gather.deadline = end
	a.update(now)
}

// takeBases forms the pairs of new bases, and removes the pairs of removed bases.
func (a *Agent) takeBases(now time.Time) {
	gone := false
	for _, c := range a.gather.takeChanges() {
		for g := a.cur; g != nil; g = g.older {
			if !c.added {
				g.removePairs(func(p *pair) bool { return p.local == c.base })
				continue
			}
			for _, r := range g.remotes {
				if g.open {
					a.addPair(now, g, c.base, r)
				}
			}
		}
		if gone = gone || !c.added; !c.added && a.selected != nil && a.selected.local == c.base {
			a.selected = nil
			a.cur.recheck(nil)
		}
	}
	if gone {
		a.pruneRoutes()
	}
}
