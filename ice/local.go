package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Limits on what an agent holds. Browsers stay far below.
const (
	maxBases   = 64
	maxRemotes = 64  // of a generation, signalled and peer-reflexive
	maxPairs   = 100 // RFC 8445 §6.1.2.5 suggests it
)

// Errors of AddLocal and AddRemote.
var (
	ErrTooManyCandidates = errors.New("ice: too many candidates")
	ErrAddress           = errors.New("ice: address cannot be used")
	ErrClosed            = errors.New("ice: agent is closed")
)

// A Local is a local address that datagrams can be sent from.
type Local struct {
	Sock Sock           // the socket; it may serve other addresses too
	Addr netip.AddrPort // with TCPActive the port does not count
	TCP  TCPType        // NotTCP, TCPActive or TCPPassive
	// Public, if valid, is the address that a 1:1 NAT gives this one, port for
	// port. It is told in place of Addr; with KeepPrivate beside it, as a
	// server-reflexive candidate.
	Public      netip.Addr
	KeepPrivate bool
	// Name, if not empty, is told in place of Addr: a multicast DNS name that
	// the agent answers for. Candidates that relate to Addr do not say so.
	Name string
}

// A base is a local address that datagrams leave from: a host candidate, or
// a relayed one (RFC 8445 §4). Server-reflexive candidates are other
// names of their base, and no pairs are made of them (RFC 8445 §6.1.2.4).
type base struct {
	sock       Sock
	addr       netip.AddrPort
	typ        CandidateType // Host or Relay
	tcp        TCPType
	preference uint16
	foundation string
	relay      *relay         // of a relayed address; else nil
	related    netip.AddrPort // of a relayed address: what its candidate names beside it
	public     netip.Addr     // Local's
	keep       bool           // Local.KeepPrivate
	name       string         // Local's
}

func (b *base) priority() uint32 { return candidatePriority(b.typ.preferenceOver(b.tcp), b.preference) }

// told is where the far end is told that b is.
func (b *base) told() netip.AddrPort {
	if b.public.IsValid() && !b.keep {
		return netip.AddrPortFrom(b.public, b.addr.Port())
	}
	return netip.AddrPortFrom(b.addr.Addr().WithZone(""), b.addr.Port())
}

// relatedTo is what candidates that b is the base of say of it. Where it has
// a name, its address is not for the far end to know (RFC 8839 §5.1 has
// 0.0.0.0 and the discard port stand for that).
func (b *base) relatedTo() netip.AddrPort {
	if b.name != "" {
		return netip.AddrPortFrom(zeroOf(b.addr.Addr()), discardPort)
	}
	return b.told()
}

// route is how a datagram for remote leaves from b.
func (b *base) route(remote netip.AddrPort) Route {
	if zone := b.addr.Addr().Zone(); zone != "" && remote.Addr().IsLinkLocalUnicast() {
		remote = netip.AddrPortFrom(remote.Addr().WithZone(zone), remote.Port())
	}
	return Route{Sock: b.sock, Local: b.addr.Addr(), Remote: remote}
}

// reaches reports whether a pair of b and r makes sense. From a machine's own
// address its loopback addresses are reached, too. That is tried where the peer has
// loopback candidates only, and this end has none.
func (a *Agent) reaches(g *generation, b *base, r *remote) bool {
	ip := r.addr.Addr()
	if b.reaches(ip) {
		return true
	}
	local := b.addr.Addr()
	return ip.IsLoopback() && r.typ == Host && b.typ == Host && b.tcp == NotTCP && local.Is4() == ip.Is4() && !local.IsLinkLocalUnicast() &&
		!slices.ContainsFunc(a.bases, func(o *base) bool { return o.typ == Host && o.reaches(ip) }) &&
		!slices.ContainsFunc(g.remotes, func(o *remote) bool { return !o.addr.Addr().IsLoopback() })
}

// reaches reports whether addresses of the scopes of b and remote reach each other.
func (b *base) reaches(remote netip.Addr) bool {
	local := b.addr.Addr()
	return local.Is4() == remote.Is4() &&
		// RFC 8445 §6.1.2.2: link-local IPv6 with link-local only.
		(local.Is4() || local.IsLinkLocalUnicast() == remote.IsLinkLocalUnicast()) &&
		// A host's own addresses are reached from loopback and the reverse,
		// but not by another host's, and kernels refuse it.
		local.IsLoopback() == remote.IsLoopback()
}

// candidate is what the far end is told of b.
func (b *base) candidate(ufrag string) Candidate {
	c := Candidate{
		Foundation: b.foundation, Component: 1, Transport: b.tcp.transport(), TCPType: b.tcp, Priority: b.priority(),
		Addr: b.told(), Type: b.typ, Related: b.related, Ufrag: ufrag,
	}
	if b.name != "" && c.Addr.Addr() == b.addr.Addr() {
		c.Name, c.Addr = b.name, netip.AddrPortFrom(netip.Addr{}, c.Addr.Port())
	}
	return c
}

// reported is what the owner is told of b, with the address that a name hides.
func (b *base) reported(ufrag string) Candidate {
	c := b.candidate(ufrag)
	if c.Name != "" {
		c.Addr = netip.AddrPortFrom(b.addr.Addr().WithZone(""), c.Addr.Port())
	}
	return c
}

// tellCandidates tells all that b has without a server's help.
func (a *Agent) tellCandidates(b *base) {
	for _, c := range a.appendCandidates(make([]Candidate, 0, 2), b) {
		a.events.push(Event{Kind: EventCandidate, Candidate: c})
	}
}

func (a *Agent) appendCandidates(list []Candidate, b *base) []Candidate {
	list = append(list, b.candidate(a.cur.ufrag))
	if b.public.IsValid() && b.keep {
		list = append(list, a.reflexive(b, b.publicAddr(), netip.Addr{}))
	}
	return list
}

// publicAddr is where a 1:1 NAT has b; invalid if there is none.
func (b *base) publicAddr() netip.AddrPort { return netip.AddrPortFrom(b.public, b.addr.Port()) }

// A foundationKey is what candidates of one foundation have in common
// (RFC 8445 §5.1.1.3).
type foundationKey struct {
	typ    CandidateType
	base   netip.Addr
	server netip.Addr
	tcp    TCPType
}

// foundation numbers the keys as they come. A hash would tell the addresses
// that a name is meant to hide.
func (a *Agent) foundation(key foundationKey) string {
	for i, k := range a.foundations {
		if k == key {
			return strconv.Itoa(i + 1)
		}
	}
	a.foundations = append(a.foundations, key)
	return strconv.Itoa(len(a.foundations))
}

// AddLocal adds a local address that datagrams can be sent from, and its
// host candidate. The port may be shared with other addresses on the same
// socket. Gathering is open again until EndOfLocal. Adding an address again
// does nothing.
func (a *Agent) AddLocal(now time.Time, l Local) error {
	addr := netip.AddrPortFrom(l.Addr.Addr().Unmap(), l.Addr.Port())
	if l.TCP == TCPActive {
		addr = netip.AddrPortFrom(addr.Addr(), discardPort)
	}
	ip := addr.Addr()
	switch {
	case a.state == StateClosed:
		return ErrClosed
	case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || addr.Port() == 0 || l.TCP > TCPPassive,
		l.Public.IsValid() && l.Public.Unmap().Is4() != ip.Is4():
		return fmt.Errorf("%w: %v", ErrAddress, addr)
	case len(a.bases) >= maxBases:
		return ErrTooManyCandidates
	case a.lite && l.TCP == TCPActive:
		return nil // it could not check (RFC 6544 §4.4)
	}
	for _, b := range a.bases {
		if b.sock == l.Sock && b.addr == addr && b.typ == Host {
			return nil
		}
	}
	b := &base{sock: l.Sock, addr: addr, typ: Host, tcp: l.TCP, public: l.Public.Unmap(), keep: l.KeepPrivate, name: l.Name}
	b.preference = a.nextPreference(ip, l.TCP)
	b.foundation = a.foundation(foundationKey{typ: Host, base: ip, tcp: l.TCP})
	a.undropLocal(ip.String())
	a.addBase(now, b)
	a.localEnded, a.gatheringEnd = false, false
	for _, s := range a.servers {
		a.askServer(now, s, b)
	}
	a.update(now)
	return nil
}

// nextPreference ranks the addresses of a family in the order they came.
func (a *Agent) nextPreference(ip netip.Addr, tcp TCPType) uint16 {
	family := 0
	if ip.Is4() {
		family = 1
	}
	n := int(a.familyCount[tcp][family])
	if n < 1000 { // after so many comings and goings the order says nothing
		a.familyCount[tcp][family]++
	}
	if tcp != NotTCP {
		return tcpPreference(tcp, ip, n)
	}
	return localPreference(ip, n)
}

// addBase takes up a base: its candidate is told and its pairs are formed.
func (a *Agent) addBase(now time.Time, b *base) {
	a.bases = append(a.bases, b)
	if b.name != "" {
		a.names.Add(b.name, b.addr.Addr()) // one too many cannot be asked for
	}
	if a.relayOnly && b.typ != Relay {
		return // RFC 8828 mode 4: not a word about it, and no checks from it
	}
	a.tellCandidates(b)
	for g := a.cur; g != nil; g = g.older {
		for _, r := range g.remotes {
			if g.open {
				a.addPair(now, g, b, r)
			}
		}
	}
}

// RemoveLocal forgets a local address, its candidates and its pairs.
func (a *Agent) RemoveLocal(now time.Time, sock Sock, addr netip.AddrPort) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	for _, b := range a.bases {
		if b.sock == sock && b.addr == addr && b.typ == Host {
			a.removeBase(b)
			break
		}
	}
	a.update(now)
}

func (a *Agent) removeBase(gone *base) {
	for i, b := range a.bases {
		if b == gone {
			a.bases = append(a.bases[:i:i], a.bases[i+1:]...)
			break
		}
	}
	if gone.name != "" && !slices.ContainsFunc(a.bases, func(b *base) bool { return b.name == gone.name }) {
		a.names.Remove(gone.name)
	}
	for g := a.cur; g != nil; g = g.older {
		g.removePairs(func(p *pair) bool { return p.local == gone })
	}
	if a.selected != nil && a.selected.local == gone {
		a.selected = nil
		a.cur.recheck(nil)
	}
	a.dropRelaysOf(gone)
	kept := a.requests[:0:0]
	for _, q := range a.requests {
		if q.base != gone {
			kept = append(kept, q)
		}
	}
	a.requests = kept
	a.pruneRoutes()
}

// findBase returns the base that a datagram on r arrived at.
func (a *Agent) findBase(r Route) *base {
	for _, b := range a.bases {
		if b.sock == r.Sock && (!r.Local.IsValid() || r.Local == b.addr.Addr()) {
			return b
		}
	}
	return nil
}
