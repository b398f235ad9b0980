package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// Limits on what an agent holds. Browsers stay far below.
const (
	maxBases   = 32
	maxRemotes = 64  // of a generation, signalled and peer-reflexive
	maxPairs   = 100 // RFC 8445 §6.1.2.5 suggests it
	maxRoutes  = 32
)

// Errors of AddLocal and AddRemote.
var (
	ErrTooManyCandidates = errors.New("ice: too many candidates")
	ErrAddress           = errors.New("ice: address cannot be used")
	ErrClosed            = errors.New("ice: agent is closed")
)

// A base is a local address that datagrams leave from: a host candidate, or
// a relayed one (RFC 8445 §4). Server-reflexive candidates are other
// names of their base, and no pairs are made of them (RFC 8445 §6.1.2.4).
type base struct {
	sock       int16
	addr       netip.AddrPort
	typ        CandidateType // Host or Relay
	preference uint16
	foundation string
	relay      *relay         // of a relayed address; else nil
	related    netip.AddrPort // of a relayed address: what its candidate names beside it
}

func (b *base) priority() uint32 { return candidatePriority(b.typ, b.preference) }

// route is how a datagram for remote leaves from b.
func (b *base) route(remote netip.AddrPort) Route {
	if zone := b.addr.Addr().Zone(); zone != "" && remote.Addr().IsLinkLocalUnicast() {
		remote = netip.AddrPortFrom(remote.Addr().WithZone(zone), remote.Port())
	}
	return Route{Sock: b.sock, Local: b.addr.Addr(), Remote: remote}
}

// reaches tells whether a pair of b and remote makes sense.
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
	return Candidate{
		Foundation: b.foundation, Component: 1, Transport: "udp", Priority: b.priority(),
		Addr: netip.AddrPortFrom(b.addr.Addr().WithZone(""), b.addr.Port()), Type: b.typ, Related: b.related, Ufrag: ufrag,
	}
}

// A foundationKey is what candidates of one foundation have in common
// (RFC 8445 §5.1.1.3).
type foundationKey struct {
	typ    CandidateType
	base   netip.Addr
	server netip.Addr
}

// foundation numbers the keys as they come. A hash would tell the addresses
// that a name is meant to hide.
func (a *Agent) foundation(typ CandidateType, base, server netip.Addr) string {
	key := foundationKey{typ, base, server}
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
func (a *Agent) AddLocal(now time.Time, sock int16, addr netip.AddrPort) error {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	ip := addr.Addr()
	switch {
	case a.state == StateClosed:
		return ErrClosed
	case !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || addr.Port() == 0:
		return fmt.Errorf("%w: %v", ErrAddress, addr)
	case len(a.bases) >= maxBases:
		return ErrTooManyCandidates
	}
	for _, b := range a.bases {
		if b.sock == sock && b.addr == addr && b.typ == Host {
			return nil
		}
	}
	b := &base{sock: sock, addr: addr, typ: Host, preference: a.nextPreference(ip)}
	b.foundation = a.foundation(Host, ip, netip.Addr{})
	a.addBase(b)
	a.localEnded, a.gatheringEnd = false, false
	for _, s := range a.servers {
		a.askServer(now, s, b)
	}
	a.update(now)
	return nil
}

// nextPreference ranks the addresses of a family in the order they came.
func (a *Agent) nextPreference(ip netip.Addr) uint16 {
	family := 0
	if ip.Is4() {
		family = 1
	}
	n := a.familyCount[family]
	if n < 1000 { // after so many comings and goings the order says nothing
		a.familyCount[family]++
	}
	return localPreference(ip, n)
}

// addBase takes up a base: its candidate is told and its pairs are formed.
func (a *Agent) addBase(b *base) {
	a.bases = append(a.bases, b)
	if a.relayOnly && b.typ != Relay {
		return // RFC 8828 mode 4: not a word about it, and no checks from it
	}
	a.event(Event{Kind: EventCandidate, Candidate: b.candidate(a.cur.ufrag)})
	for _, r := range a.cur.remotes {
		a.addPair(a.cur, b, r)
	}
}

// RemoveLocal forgets a local address, its candidates and its pairs.
func (a *Agent) RemoveLocal(now time.Time, sock int16, addr netip.AddrPort) {
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
	for _, g := range []*generation{a.cur, a.prev} {
		if g != nil {
			g.removePairs(func(p *pair) bool { return p.local == gone })
		}
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
	a.dropRoutes()
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
