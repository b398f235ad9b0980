package ice

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"purertc/ice/internal/mdns"
)

// A remote is a candidate of the far end, of one generation.
type remote struct {
	addr     netip.AddrPort
	typ      CandidateType
	tcp      TCPType
	priority uint32
}

// usableRemote tells whether a check may be sent to an address at all.
func usableRemote(a netip.AddrPort) bool {
	ip := a.Addr()
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && a.Port() != 0 &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// AddRemote adds a candidate of the far end. One with a name ending in
// .local is resolved by multicast DNS first. One that cannot be used here,
// for its transport, component, address or name, is dropped without an error.
// ErrTooManyCandidates tells that a limit is reached.
func (a *Agent) AddRemote(now time.Time, c Candidate) error {
	g := a.generationOf(c.Ufrag)
	switch {
	case a.state == StateClosed:
		return ErrClosed
	case c.Transport != c.TCPType.transport() || c.Component != 1:
		return nil
	case c.TCPType > TCPPassive || c.TCPType == TCPActive && c.Name != "":
		return nil // there is no way to connect to it, and so no use for its address
	case g == nil:
		return nil // of a generation that is over, or not begun
	case c.Name != "":
		return a.resolve(now, g, c)
	case !usableRemote(c.Addr):
		return nil
	}
	err := a.addRemote(g, c)
	a.update(now)
	return err
}

// generationOf returns the generation that a candidate of the peer belongs to
// by its ufrag; nil if it is over, or has not begun.
func (a *Agent) generationOf(ufrag string) *generation {
	if ufrag == "" || a.cur.remoteUfrag == "" {
		return a.cur
	}
	for g := a.cur; g != nil; g = g.older {
		if g.open && g.remoteUfrag == ufrag {
			return g
		}
	}
	return nil
}

func (a *Agent) inUse(g *generation) bool {
	for o := a.cur; o != nil; o = o.older {
		if o == g {
			return true
		}
	}
	return false
}

// Knows reports whether a generation with the peer's ufrag is checked, so that
// AddRemote takes its candidates.
func (a *Agent) Knows(ufrag string) bool {
	return a.cur.remoteKey != nil && a.generationOf(ufrag) != nil
}

func (a *Agent) addRemote(g *generation, c Candidate) error {
	addr := netip.AddrPortFrom(c.Addr.Addr().Unmap().WithZone(""), c.Addr.Port())
	if r := g.findRemote(addr, c.TCPType); r != nil {
		if r.typ == PeerReflexive && c.Type != PeerReflexive {
			// The candidate was learnt from a check before it was signalled
			// (RFC 8838 §11 4A): now its true type and priority are known. And
			// it is paired with the other bases, as any is (§11 2): until now
			// it was with the one that the check came on.
			r.typ, r.priority = c.Type, c.Priority
			g.prflx--
			g.sortPairs(a.controlling)
			a.pairRemote(g, r)
		}
		return nil
	}
	r := &remote{addr: addr, typ: c.Type, tcp: c.TCPType, priority: c.Priority}
	return a.addRemotePairs(g, r)
}

// addRemotePairs takes up a remote candidate and forms its pairs.
func (a *Agent) addRemotePairs(g *generation, r *remote) error {
	if len(g.remotes) >= maxRemotes {
		return ErrTooManyCandidates
	}
	g.remotes = append(g.remotes, r)
	a.pairRemote(g, r)
	return nil
}

// pairRemote forms the pairs of a remote candidate that there are not yet.
func (a *Agent) pairRemote(g *generation, r *remote) {
	for _, b := range a.bases {
		a.addPair(g, b, r)
	}
}

// findRemote finds a candidate by its address, in which a zone does not count,
// and its transport.
func (g *generation) findRemote(addr netip.AddrPort, tcp TCPType) *remote {
	if addr.Addr().Zone() != "" {
		addr = netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port())
	}
	for _, r := range g.remotes {
		if r.addr == addr && r.tcp == tcp {
			return r
		}
	}
	return nil
}

// EndOfRemote tells that the far end has no more candidates (RFC 8838 §14).
func (a *Agent) EndOfRemote(now time.Time) {
	a.cur.remoteEnded = true
	a.update(now)
}

// resolve asks multicast DNS for a candidate's name. Other names are not
// looked up: that would be the far end's way to make this one do it
// (RFC 8839 §5.1 leaves it open).
func (a *Agent) resolve(now time.Time, g *generation, c Candidate) error {
	if !strings.HasSuffix(strings.ToLower(c.Name), ".local") || c.Addr.Port() == 0 {
		return nil
	}
	if len(a.unresolved) >= maxRemotes {
		i := slices.IndexFunc(a.unresolved, func(u unresolved) bool { return u.gen != a.cur })
		if i < 0 {
			return ErrTooManyCandidates
		}
		a.unresolved = slices.Delete(a.unresolved, i, i+1)
	}
	if a.mdns == nil {
		a.mdns = mdns.NewResolver()
	}
	if err := a.mdns.Start(now, c.Name); err != nil {
		return nil // a name that cannot be asked for only drops the candidate
	}
	a.unresolved = append(a.unresolved, unresolved{gen: g, candidate: c})
	a.update(now)
	return nil
}

// dropUnresolved gives up the names of generations that are not checked any more,
// and ends the look-up of those that only they had.
func (a *Agent) dropUnresolved() {
	var kept, gone []unresolved
	for _, u := range a.unresolved {
		if u.gen.open && a.inUse(u.gen) {
			kept = append(kept, u)
		} else {
			gone = append(gone, u)
		}
	}
	for _, u := range gone {
		if !slices.ContainsFunc(kept, func(k unresolved) bool { return strings.EqualFold(k.candidate.Name, u.candidate.Name) }) {
			a.mdns.Stop(u.candidate.Name)
		}
	}
	a.unresolved = kept
}

// An unresolved candidate waits for its address.
type unresolved struct {
	gen       *generation
	candidate Candidate
}

// runMDNS advances the resolver and takes its results.
func (a *Agent) runMDNS(now time.Time) {
	if a.mdns == nil {
		return
	}
	a.mdns.Advance(now)
	for {
		name, addr, ok := a.mdns.Next()
		if !ok {
			return
		}
		kept := a.unresolved[:0]
		for _, u := range a.unresolved {
			if !strings.EqualFold(u.candidate.Name, name) {
				kept = append(kept, u)
				continue
			}
			if !addr.IsValid() {
				continue // given up
			}
			kept = append(kept, u) // another address may follow
			c := u.candidate
			c.Addr = netip.AddrPortFrom(addr, c.Addr.Port())
			if u.gen.open && usableRemote(c.Addr) {
				a.addRemote(u.gen, c)
			}
		}
		a.unresolved = kept
	}
}
