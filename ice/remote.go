package ice

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A remote is a candidate of the remote agent, in one generation.
type remote struct {
	addr     netip.AddrPort
	typ      CandidateType
	tcp      TCPType
	priority uint32
}

// maxRemotes bounds the remote candidates of a generation, both signalled and
// peer-reflexive ones.
const maxRemotes = 64

// allowed reports whether Config.RemoteFilter allows an address.
func (k *checks) allowed(a netip.Addr) bool {
	return k.remoteFilter == nil || k.remoteFilter(a.Unmap().WithZone(""))
}

// usableRemote reports whether a check may be sent to an address.
func usableRemote(a netip.AddrPort) bool {
	ip := a.Addr()
	return ip.IsValid() && !ip.IsUnspecified() && !ip.IsMulticast() && a.Port() != 0 &&
		ip != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// AddRemote adds a candidate of the remote agent. A name that ends in .local is first
// resolved by multicast DNS. A candidate that cannot be used, because of its
// transport, component, address, name or generation, is dropped: the error wraps
// ErrUnusable. If there are more than 64 candidates, the least useful one is dropped.
// If that is c, the error is ErrTooManyCandidates. Report names the dropped
// candidates.
func (a *Agent) AddRemote(now time.Time, c Candidate) error {
	if a.state == StateClosed {
		return ErrClosed
	}
	err := a.addSignalled(now, c)
	if err != nil {
		return a.dropRemote(now, c, err)
	}
	a.update(now)
	return nil
}

func (a *Agent) addSignalled(now time.Time, c Candidate) error {
	g := a.generationOf(c.Ufrag)
	switch {
	case c.Component != 1:
		return errComponent
	case c.Transport != c.TCPType.transport() || c.TCPType > TCPPassive:
		return errTransport
	case c.TCPType == TCPActive && c.Name != "":
		return errActiveName
	case g == nil:
		return errGeneration
	case c.Name != "" && !strings.HasSuffix(strings.ToLower(c.Name), ".local"):
		return errName
	case c.Name != "" && c.Addr.Port() == 0:
		return errPort
	case c.Name != "":
		return a.lookups.start(now, g, c)
	case !usableRemote(c.Addr):
		return errPort
	case !a.allowed(c.Addr.Addr()):
		return errFiltered
	}
	return a.addRemote(now, g, c)
}

// generationOf returns the generation with the remote ufrag that a candidate names. It
// returns nil if that generation has ended, or has not begun.
func (k *checks) generationOf(ufrag string) *generation {
	if ufrag == "" || k.cur.remoteUfrag == "" {
		return k.cur
	}
	for g := k.cur; g != nil; g = g.older {
		if g.open && g.remoteUfrag == ufrag {
			return g
		}
	}
	return nil
}

// Knows reports whether a generation with this remote ufrag is checked, so that
// AddRemote accepts its candidates.
func (a *Agent) Knows(ufrag string) bool {
	return a.cur.remoteKey != nil && a.generationOf(ufrag) != nil
}

// EndOfRemote says that the remote agent has no more candidates (RFC 8838 §14).
func (a *Agent) EndOfRemote(now time.Time) {
	a.cur.remoteEnded = true
	a.update(now)
}

func (k *checks) addRemote(now time.Time, g *generation, c Candidate) error {
	addr := netip.AddrPortFrom(c.Addr.Addr().Unmap().WithZone(""), c.Addr.Port())
	if r := g.findRemote(addr, c.TCPType); r != nil {
		if r.typ == PeerReflexive && c.Type != PeerReflexive {
			// A check showed the candidate before it was signalled (RFC 8838 §11 4A).
			// Now its type and priority are known, and it is paired with all bases
			// (§11 2), not only with the base on which the check arrived.
			r.typ, r.priority = c.Type, c.Priority
			g.prflx--
			g.sortPairs(k.controlling)
			k.pairRemote(now, g, r)
		}
		return nil
	}
	r := &remote{addr: addr, typ: c.Type, tcp: c.TCPType, priority: c.Priority}
	if !k.makeRoom(now, g, r) {
		return ErrTooManyCandidates
	}
	g.remotes = append(g.remotes, r)
	k.trace.remote(now, r)
	k.pairRemote(now, g, r)
	return nil
}

// pairRemote forms the pairs of a remote candidate that do not exist yet.
func (k *checks) pairRemote(now time.Time, g *generation, r *remote) {
	for _, b := range k.gather.bases {
		k.addPair(now, g, b, r)
	}
}

// makeRoom reports whether there is room for r. If there are maxRemotes candidates, it
// removes the least useful one, if r is more useful. It first removes candidates
// without a pair, then candidates for which all pairs have failed or are not answered,
// then candidates that wait for their first check and have a lower priority.
func (k *checks) makeRoom(now time.Time, g *generation, r *remote) bool {
	if len(g.remotes) < maxRemotes {
		return true
	}
	pairable := slices.ContainsFunc(k.gather.bases, func(b *base) bool { return b.tcp.checks(r.tcp) && k.reaches(g, b, r) })
	if !pairable && r.typ != PeerReflexive {
		return false
	}
	uses := make(map[*remote]use, len(g.remotes))
	for _, p := range g.pairs {
		uses[p.remote] = max(uses[p.remote], k.useOf(now, p))
	}
	var gone *remote
	for _, o := range g.remotes {
		if u := uses[o]; u == useChecked || u == useWaiting && o.priority >= r.priority {
			continue
		}
		if gone == nil || uses[o] < uses[gone] || uses[o] == uses[gone] && o.priority < gone.priority {
			gone = o
		}
	}
	if gone == nil {
		return false
	}
	g.removeRemote(gone)
	k.dropRemote(now, gone.candidate(g), errMadeRoom)
	k.pruneRoutes()
	return true
}

// removeRemote removes a remote candidate and its pairs.
func (g *generation) removeRemote(gone *remote) {
	g.removePairs(func(p *pair) bool { return p.remote == gone })
	g.remotes = slices.DeleteFunc(g.remotes, func(o *remote) bool { return o == gone })
	if gone.typ == PeerReflexive {
		g.prflx--
	}
}

// findRemote finds a candidate by its address, without a zone, and its transport.
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

// resolved handles the results of lookups.
func (a *Agent) resolved(now time.Time) {
	for _, r := range a.lookups.advance(now) {
		c := r.candidate
		c.Addr = netip.AddrPortFrom(r.addr, c.Addr.Port())
		switch {
		case !r.addr.IsValid():
			a.dropRemote(now, r.candidate, errUnresolved)
		case !a.allowed(r.addr):
			a.dropRemote(now, c, errFiltered)
		case r.gen.open && usableRemote(c.Addr):
			if err := a.addRemote(now, r.gen, c); err != nil {
				a.dropRemote(now, c, err)
			}
		}
	}
}

// retainLookups ends the lookups of generations that are not checked any more.
func (a *Agent) retainLookups() {
	a.lookups.retain(func(gen *generation) bool {
		for g := a.cur; g != nil; g = g.older {
			if g == gen {
				return g.open
			}
		}
		return false
	})
}
