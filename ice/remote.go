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

// AddRemote adds a candidate of the peer. One with a name ending in .local is
// resolved by multicast DNS first. A candidate that cannot be used here, for its
// transport, component, address, name or generation, is dropped: the error wraps
// ErrUnusable. Beyond 64 candidates the least useful one is dropped, which may be this
// one: ErrTooManyCandidates. Report names what was dropped.
func (a *Agent) AddRemote(now time.Time, c Candidate) error {
	g := a.generationOf(c.Ufrag)
	switch {
	case a.state == StateClosed:
		return ErrClosed
	case c.Component != 1:
		return a.dropRemote(c, errComponent)
	case c.Transport != c.TCPType.transport() || c.TCPType > TCPPassive:
		return a.dropRemote(c, errTransport)
	case c.TCPType == TCPActive && c.Name != "":
		return a.dropRemote(c, errActiveName)
	case g == nil:
		return a.dropRemote(c, errGeneration) // it is over, or has not begun
	case c.Name != "":
		return a.resolve(now, g, c)
	case !usableRemote(c.Addr):
		return a.dropRemote(c, errPort)
	}
	err := a.addRemote(now, g, c)
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

func (a *Agent) addRemote(now time.Time, g *generation, c Candidate) error {
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
			a.pairRemote(now, g, r)
		}
		return nil
	}
	r := &remote{addr: addr, typ: c.Type, tcp: c.TCPType, priority: c.Priority}
	if !a.makeRoom(now, g, r) {
		return a.dropRemote(c, ErrTooManyCandidates)
	}
	g.remotes = append(g.remotes, r)
	a.pairRemote(now, g, r)
	return nil
}

// pairRemote forms the pairs of a remote candidate that there are not yet.
func (a *Agent) pairRemote(now time.Time, g *generation, r *remote) {
	for _, b := range a.bases {
		a.addPair(now, g, b, r)
	}
}

// makeRoom reports whether r may be taken up. Where there are maxRemotes, the least
// useful one goes, if r is of more use: first those that no pair was formed of,
// then those whose pairs all failed, or are checked for long in vain, then those
// that wait for their first check and have a lower priority.
func (a *Agent) makeRoom(now time.Time, g *generation, r *remote) bool {
	if len(g.remotes) < maxRemotes {
		return true
	}
	pairable := slices.ContainsFunc(a.bases, func(b *base) bool { return b.tcp.checks(r.tcp) && a.reaches(g, b, r) })
	if !pairable && r.typ != PeerReflexive {
		return false
	}
	uses := make(map[*remote]use, len(g.remotes))
	for _, p := range g.pairs {
		uses[p.remote] = max(uses[p.remote], a.useOf(now, p))
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
	g.removePairs(func(p *pair) bool { return p.remote == gone })
	g.remotes = slices.DeleteFunc(g.remotes, func(o *remote) bool { return o == gone })
	if gone.typ == PeerReflexive {
		g.prflx--
	}
	a.dropRemote(gone.candidate(g), errMadeRoom)
	a.pruneRoutes()
	return true
}

// A use says how useful a candidate is, by its best pair.
type use uint8

const (
	useNone    use = iota // no pair was formed
	useFailed             // it failed, or is checked in vain
	useWaiting            // it waits for its first check
	useChecked            // it is checked, or works, or the peer checks it
)

// vainRequests is how many requests of a check go unanswered before its pair gives
// way to another: the fourth leaves seven timeouts after the first, 3.5 s or more.
// vainOverTCP is as long for a connection, over which a check is sent once.
const (
	vainRequests = 4
	vainOverTCP  = 3500 * time.Millisecond
)

func (a *Agent) useOf(now time.Time, p *pair) use {
	switch x := p.transactions.newest(); {
	case p == a.selected || p.gen.nominated == p || p.queued:
		return useChecked
	case p.state == PairFailed:
		return useFailed
	case p.received > 0 || p.answers > 0:
		return useChecked
	case p.state == PairWaiting:
		return useWaiting
	case p.sent >= vainRequests || p.local.tcp != NotTCP && x != nil && now.Sub(x.sentAt) >= vainOverTCP:
		return useFailed
	}
	return useChecked
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
	switch {
	case !strings.HasSuffix(strings.ToLower(c.Name), ".local"):
		return a.dropRemote(c, errName)
	case c.Addr.Port() == 0:
		return a.dropRemote(c, errPort)
	}
	if len(a.unresolved) >= maxRemotes {
		i := slices.IndexFunc(a.unresolved, func(u unresolved) bool { return u.gen != a.cur })
		if i < 0 {
			return a.dropRemote(c, ErrTooManyCandidates)
		}
		a.unresolved = slices.Delete(a.unresolved, i, i+1)
	}
	if a.mdns == nil {
		a.mdns = mdns.NewResolver()
	}
	if err := a.mdns.Start(now, c.Name); err != nil {
		return a.dropRemote(c, unusable("%v", err))
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
				a.dropRemote(u.candidate, errUnresolved)
				continue
			}
			kept = append(kept, u) // another address may follow
			c := u.candidate
			c.Addr = netip.AddrPortFrom(addr, c.Addr.Port())
			if u.gen.open && usableRemote(c.Addr) {
				a.addRemote(now, u.gen, c)
			}
		}
		a.unresolved = kept
	}
}
