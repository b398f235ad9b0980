package ice

import (
	"bytes"
	"net/netip"
	"time"

	"purertc/stun"
)

// understood reports whether a comprehension-required attribute is known in checks. A
// check with an unknown comprehension-required attribute is answered with 420 (RFC
// 8489 §6.3.1).
func understood(t stun.AttrType) bool {
	switch t {
	case stun.AttrUsername, stun.AttrMessageIntegrity, stun.AttrMessageIntegritySHA256,
		stun.AttrPriority, stun.AttrUseCandidate, stun.AttrXORMappedAddress, stun.AttrMappedAddress:
		return true
	}
	return false
}

// generationFor returns the generation that a request's USERNAME names: local ufrag,
// colon, remote ufrag.
func (k *checks) generationFor(username []byte) *generation {
	local, remote, ok := bytes.Cut(username, []byte{':'})
	if !ok {
		return nil
	}
	for g := k.cur; g != nil; g = g.older {
		if string(local) == g.ufrag && (g.remoteKey == nil || string(remote) == g.remoteUfrag) {
			return g
		}
	}
	return nil
}

// handleRequest processes a connectivity check (RFC 8445 §7.3). It returns the DTLS
// datagram that the check carries; nil: it carries none.
func (k *checks) handleRequest(now time.Time, r Route, b *base, m stun.Message) (datagram []byte) {
	if !k.allowed(r.Remote.Addr()) {
		return nil
	}
	if !k.gather.usable(b) {
		return nil // RFC 8828 mode 4: a remote agent must not learn that there is an agent at this address
	}
	username, ok := m.Get(stun.AttrUsername)
	g := k.generationFor(username)
	if !ok || g == nil || g.failed {
		// RFC 8489 §9.1.3 answers such a request with 400 or 401. Here it is dropped:
		// an answer would only show to strangers that there is an agent.
		return nil
	}
	reply := item{kind: itemResponse, gen: g, base: b, remote: r.Remote, id: m.TransactionID(), bare: true}
	if !g.localKey.Verify(m) {
		// The requester knows the ufrag, and perhaps has the password of another
		// generation, so a 401 response is sent. The response has no more bytes than
		// the request, because the requester's address is not validated. A shorter
		// request cannot have a valid integrity.
		if len(m.Raw()) < bareResponse {
			return nil
		}
		reply.code = stun.CodeUnauthenticated
		k.out.respond(reply)
		return nil
	}
	reply.bare = false
	if reply.unknown, reply.unknownCount = k.unknownIn(m); reply.unknownCount > 0 {
		reply.code = stun.CodeUnknownAttribute
		k.out.respond(reply)
		return nil
	}
	priority, ok := m.Uint32(stun.AttrPriority)
	if !ok {
		reply.code = stun.CodeBadRequest
		k.out.respond(reply)
		return nil
	}
	if k.roleConflict(m) {
		reply.code = stun.CodeRoleConflict
		k.out.respond(reply)
		return nil
	}
	k.out.respond(reply)
	datagram = k.carried.receive(m)
	if k.lite && !g.seen.add(m.TransactionID()) {
		return datagram // the check is perhaps a replay; see lite.go
	}
	if !g.reached {
		g.reach(now)
	}
	k.permit(b.route(r.Remote))
	nomination, _ := m.Uint32(stun.AttrNomination) // 0: none
	k.learn(now, g, earlyCheck{
		base: b, route: b.route(r.Remote), priority: priority,
		useCandidate: m.Has(stun.AttrUseCandidate) || nomination != 0, nomination: nomination,
	})
	return datagram
}

// bareResponse is the length in bytes of an unauthenticated 401 response: a header,
// ERROR-CODE with "Unauthenticated", and FINGERPRINT.
const bareResponse = stun.HeaderSize + 24 + 8

func (k *checks) unknownIn(m stun.Message) (list [4]stun.AttrType, n int) {
	return list, copy(list[:], m.AppendUnknown(nil, understood))
}

// roleConflict detects and resolves a role conflict (RFC 8445 §7.3.1.1). It reports
// whether the remote agent has to change its role, and so gets a 487 response.
func (k *checks) roleConflict(m stun.Message) bool {
	if k.lite {
		return m.Has(stun.AttrICEControlled) // a lite agent cannot be controlling (RFC 8445 §6.1.1)
	}
	if remote, ok := m.Uint64(stun.AttrICEControlling); ok && k.controlling {
		if k.tieBreaker >= remote {
			return true
		}
		k.setRole(false)
	} else if remote, ok := m.Uint64(stun.AttrICEControlled); ok && !k.controlling {
		if k.tieBreaker < remote {
			return true
		}
		k.setRole(true)
	}
	return false
}

// An earlyCheck holds the contents of a request. Requests that arrive before the
// remote credentials are known are kept until SetRemote.
type earlyCheck struct {
	base         *base
	route        Route
	priority     uint32
	useCandidate bool
	nomination   uint32
}

const maxEarly = 16

// learn acts on an authenticated request (RFC 8445 §7.3.1.3 to §7.3.1.5).
func (k *checks) learn(now time.Time, g *generation, c earlyCheck) {
	if g.remoteKey == nil {
		for i := range g.early {
			if g.early[i].route == c.route {
				c.useCandidate = c.useCandidate || g.early[i].useCandidate
				c.nomination = max(c.nomination, g.early[i].nomination)
				g.early[i] = c
				return
			}
		}
		if len(g.early) < maxEarly {
			g.early = append(g.early, c)
		}
		return
	}
	p := k.pairFor(now, g, c)
	if p == nil {
		return
	}
	p.received++
	k.trace.received(now, p, c.useCandidate)
	k.carrier = p
	p.markReceived(now)
	p.remoteNomination = max(p.remoteNomination, c.nomination)
	if k.lite {
		k.checkedBy(now, p, c.useCandidate)
		return
	}
	if c.useCandidate && !k.controlling {
		p.useCandidate, p.nominatedAt = true, now
		if p.state == PairSucceeded && !p.fresh(now) && p != k.selected {
			p.state = PairWaiting // the pair has worked before; the check that is triggered below shows whether it still works
		}
		if p.state == PairSucceeded {
			g.accept(now, p)
		}
	}
	if g.open && !g.outranks(p) && (k.checksAgain(p) || p.state != PairSucceeded && !p.justChecked(now)) {
		p.trigger()
	}
}

// checksAgain reports whether the check that just arrived triggers another check even
// if p works or is being checked. A controlling agent may nominate a pair when a check
// arrives on it after the agent's own check was answered. Otherwise it nominates only
// at its next tick, which for pion may be 200 ms later. So the controlled agent sends
// one check after its first response.
func (k *checks) checksAgain(p *pair) bool {
	return !k.controlling && p.gen.nominated == nil && p.received == 1
}

// justChecked reports whether a check of p was sent within the last Ta. That check
// crossed the remote agent's check in the network, and serves as the triggered check.
func (p *pair) justChecked(now time.Time) bool {
	x := p.transactions.newest()
	return p.state == PairInProgress && (p.queued || x != nil && now.Sub(x.sentAt) < pace)
}

// pairFor returns the pair on which a request arrived. An unknown address becomes a
// new peer-reflexive candidate.
func (k *checks) pairFor(now time.Time, g *generation, c earlyCheck) *pair {
	addr := c.route.Remote
	addr = netip.AddrPortFrom(addr.Addr().WithZone(""), addr.Port())
	r := g.findRemote(addr, c.base.tcp.opposite())
	if r == nil {
		if !usableRemote(addr) {
			return nil
		}
		r = &remote{addr: addr, typ: PeerReflexive, tcp: c.base.tcp.opposite(), priority: c.priority}
		if g.prflx >= maxRemotes/2 && !k.removeSilent(now, g) || !k.makeRoom(now, g, r) && !k.removeSilent(now, g) {
			return nil
		}
		g.prflx++
		g.remotes = append(g.remotes, r)
		k.trace.remote(now, r)
		// RFC 8445 §7.3.1.3: the candidate is paired only with the base on which the
		// check arrived.
	}
	return k.formPair(now, g, c.base, r)
}

// removeSilent makes room for another peer-reflexive candidate. It removes the
// candidate from which nothing has arrived for the longest time, unless its pair is in
// use. A NAT that forgets its bindings, or a remote agent that moves, can cause any
// number of peer-reflexive candidates.
func (k *checks) removeSilent(now time.Time, g *generation) bool {
	lastReceived := map[*remote]time.Time{}
	for _, p := range g.pairs {
		switch {
		case p.remote.typ != PeerReflexive:
		case p == k.selected || p == g.nominated || p.nominating || p.fresh(now):
			lastReceived[p.remote] = now
		default:
			for _, at := range []time.Time{p.lastReceived, p.validatedAt} {
				if at.After(lastReceived[p.remote]) {
					lastReceived[p.remote] = at
				}
			}
		}
	}
	var silent *remote
	for _, r := range g.remotes {
		if r.typ == PeerReflexive && lastReceived[r].Before(now) && (silent == nil || lastReceived[r].Before(lastReceived[silent])) {
			silent = r
		}
	}
	if silent == nil {
		return false
	}
	g.removeRemote(silent)
	k.pruneRoutes()
	return true
}

// replayEarly processes the requests that arrived before the remote credentials were
// known.
func (k *checks) replayEarly(now time.Time) {
	g := k.cur
	early := g.early
	g.early = nil
	for _, c := range early {
		k.learn(now, g, c)
	}
	k.pruneRoutes()
}
