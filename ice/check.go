package ice

import (
	"time"

	"purertc/stun"
)

// pace (Ta) is the time between two ordinary checks. RFC 8445 §14.2 recommends 50 ms
// and allows 5 ms or more. With 20 ms, checks of 120 bytes take 48 kbit/s, as much as
// a voice call, and the dozen pairs of a browser are checked in a quarter of a second.
const pace = 20 * time.Millisecond

// checkRTO returns the first retransmission timeout of checks. By RFC 8445 §14.3 it
// grows with the number of pending checks, and is at least 500 ms.
func (g *generation) checkRTO() time.Duration {
	n := 0
	for _, p := range g.pairs {
		if p.state == PairWaiting || p.state == PairInProgress {
			n++
		}
	}
	return max(stun.DefaultRTO, time.Duration(n)*pace)
}

// checking reports whether a check is pending.
func (g *generation) checking() bool {
	for _, p := range g.pairs {
		if p.state == PairWaiting || p.state == PairInProgress {
			return true
		}
	}
	return false
}

// runChecks sends checks that are due: retransmissions and triggered checks
// immediately, and one ordinary check every Ta.
//
// The checks of replaced generations that are still open come first. They are nearer
// to their end, and the next restart may soon replace the newest generation.
func (k *checks) runChecks(now time.Time) { k.runChecksFrom(now, k.cur) }

func (k *checks) runChecksFrom(now time.Time, g *generation) {
	if g.older != nil {
		k.runChecksFrom(now, g.older)
	}
	if g.open && g.remoteKey != nil {
		k.runGeneration(now, g)
	}
}

func (k *checks) runGeneration(now time.Time, g *generation) {
	g.runReconnects(now)
	for _, p := range g.pairs {
		if p.state != PairInProgress {
			continue
		}
		send, failed := p.retransmission.Due(now)
		if failed {
			p.state, p.nominating, p.err = PairFailed, false, errNoResponse
			k.trace.failed(now, p)
		} else if (send || k.overdue(now, p)) && !g.outranks(p) {
			k.out.request(p)
		}
	}
	// A triggered check follows a check of the remote agent, which is authenticated
	// and limits the pace. So the triggered check does not wait for the next Ta, which
	// would delay the last step of connecting.
	for _, p := range g.pairs {
		if p.triggered && p.permitted(now) {
			k.startCheck(now, p)
		}
	}
	for !now.Before(k.cur.nextCheck) {
		p := g.nextWaiting(now)
		if p == nil {
			return
		}
		k.startCheck(now, p)
		k.cur.nextCheck = now.Add(pace)
	}
}

// checkMost is the longest time between two checks of a pair while the selected pair
// does not answer. With the schedule of retransmissions alone, the agent would notice
// only after 12 s that a network, which was down for 20 s, is back.
const checkMost = 2 * time.Second

// overdue reports whether p is to be checked now, ahead of its schedule.
func (k *checks) overdue(now time.Time, p *pair) bool {
	at := k.overdueAt(p)
	return !at.IsZero() && !now.Before(at)
}

// overdueAt returns when p is to be checked ahead of its schedule. The zero time means
// never.
func (k *checks) overdueAt(p *pair) time.Time {
	wanted := k.state == StateDisconnected || k.selected != nil && k.selected.consent.unanswered >= doubtful
	if x := p.transactions.newest(); wanted && p.local.tcp == NotTCP && x != nil && !x.sentAt.IsZero() {
		return x.sentAt.Add(checkMost)
	}
	return time.Time{}
}

// nextWaiting returns the best pair that waits for its check, or nil.
func (g *generation) nextWaiting(now time.Time) *pair {
	for _, p := range g.pairs {
		if p.state == PairWaiting && !g.outranks(p) && p.permitted(now) {
			return p
		}
	}
	return nil
}

// outranks reports whether a check of p is useless, because a better pair is nominated
// and works (RFC 8445 §8.1.2). Pairs that are better than the nominated one, or that
// the remote agent nominates, are still checked.
func (g *generation) outranks(p *pair) bool {
	n := g.nominated
	return n != nil && !p.useCandidate && n != p && n.state == PairSucceeded && n.consent.unanswered < doubtful && p.priority < n.priority
}

// startCheck begins a new transaction on p.
func (k *checks) startCheck(now time.Time, p *pair) {
	once := p.triggered && p.once || p.local.tcp != NotTCP // RFC 6544 §7.1: over TCP a check is not retransmitted
	p.triggered = false
	if p.state != PairSucceeded {
		p.state = PairInProgress
	}
	if once {
		p.retransmission.StartReliable(now)
	} else {
		p.retransmission.Start(now, p.gen.checkRTO())
	}
	p.retransmission.Due(now) // the first transmission is queued below
	p.transactions.add(transaction{id: k.random.transactionID(), controlling: k.controlling, nominates: k.controlling && p.nominating})
	k.out.request(p)
	k.pushRest(now, p)
}

// trigger schedules a check of p immediately.
func (p *pair) trigger() {
	if p.state != PairSucceeded {
		p.state = PairWaiting
	}
	p.retransmission.Stop() // the new check supersedes the pending one
	p.triggered, p.once = true, false
}

func (k *checks) checkAlarms(now time.Time, e *alarm) {
	for g := k.cur; g != nil; g = g.older {
		if !g.open || g.remoteKey == nil {
			continue
		}
		for _, p := range g.pairs {
			if p.state == PairInProgress {
				e.add(p.retransmission.Next())
				if !g.outranks(p) {
					e.add(k.overdueAt(p))
				}
			}
			e.add(p.retryAt)
		}
		if g.nextWaiting(now) != nil {
			e.add(k.cur.nextCheck)
		}
	}
}

// appendRequest appends the newest request on p (RFC 8445 §7.2.2).
//
// Only its first transmission carries a DTLS datagram: on a path that does not carry
// datagrams of that size, a retransmission arrives.
func (k *checks) appendRequest(now time.Time, dst []byte, p *pair) []byte {
	x := p.transactions.newest()
	p.sent++
	x.again, x.sentAt = !x.sentAt.IsZero(), now
	w := stun.Build(dst, stun.BindingRequest, x.id)
	w.String(stun.AttrUsername, p.gen.username)
	// PRIORITY is the priority of the peer-reflexive candidate that the remote agent
	// may create from this check (RFC 8445 §7.1.1).
	w.Uint32(stun.AttrPriority, candidatePriority(PeerReflexive.preferenceOver(p.local.tcp), p.local.preference))
	if x.controlling {
		w.Uint64(stun.AttrICEControlling, k.tieBreaker)
	} else {
		w.Uint64(stun.AttrICEControlled, k.tieBreaker)
	}
	if x.nominates {
		w.Flag(stun.AttrUseCandidate)
		if p.nomination != 0 {
			w.Uint32(stun.AttrNomination, p.nomination)
		}
	}
	k.carried.appendTo(&w, k.selected != nil || x.again)
	w.Integrity(p.gen.remoteKey)
	w.Fingerprint()
	return w.Finish()
}

// pairOf returns the pair on which a transaction was sent, or nil if there is none.
func (k *checks) pairOf(id stun.TransactionID) *pair {
	if k.selected != nil && k.selected.transactions.has(id) {
		return k.selected
	}
	for g := k.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			if p.transactions.has(id) {
				return p
			}
		}
	}
	return nil
}

// handleResponse processes the response to a check or a consent request. It returns the
// DTLS datagram that the response carries; nil: it carries none.
func (k *checks) handleResponse(now time.Time, r Route, b *base, m stun.Message) (datagram []byte) {
	p := k.pairOf(m.TransactionID())
	if p == nil || p.gen.failed || !p.gen.remoteKey.Verify(m) {
		return nil // RFC 8489 §9.1.4: the response is treated as if it was never received
	}
	if len(m.AppendUnknown(nil, nil)) > 0 {
		return nil // RFC 8489 §6.3.3: the response is ignored; retransmissions go on
	}
	x, _ := p.transactions.take(m.TransactionID())
	if p.local != b || p.route.Remote != p.local.route(r.Remote).Remote {
		// RFC 8445 §7.2.5.2.1: the response took another path than the request.
		if p.state == PairInProgress {
			p.state, p.err = PairFailed, errSymmetry
			p.retransmission.Stop()
			k.trace.failed(now, p)
		}
		return nil
	}
	if m.Type() == stun.BindingSuccess {
		if mapped, ok := m.MappedAddress(); ok && mapped.IsValid() {
			k.checkSucceeded(now, p, x)
		}
		return k.carried.receive(m)
	}
	code, _, _ := m.ErrorCode()
	switch {
	case code == stun.CodeRoleConflict:
		// RFC 8445 §7.2.5.1: the role changes, unless it has changed since the
		// request was sent.
		if x.controlling == k.controlling {
			k.setRole(!x.controlling)
			k.tieBreaker = k.random.uint64()
		}
		p.trigger()
	case p.state == PairInProgress && code < stun.CodeServerError:
		p.state, p.nominating, p.err = PairFailed, false, m.Err()
		p.retransmission.Stop()
		k.trace.failed(now, p)
	}
	return nil
}

// checkSucceeded handles a successful check on p, which makes p valid (RFC 8445
// §7.2.5.3).
//
// If the mapped address is not a known candidate, the pair's local candidate is
// peer-reflexive. Its datagrams leave from the same base, and the remote agent knows
// the address already. So no candidate is created for it.
func (k *checks) checkSucceeded(now time.Time, p *pair, x transaction) {
	g := p.gen
	k.trace.answered(now, p, x)
	p.answers++
	p.err = nil
	p.lastAnswer, k.lastAnswer = now, now
	p.markReceived(now)
	p.consent.answered(k.random, &k.consent, now)
	if !x.again {
		p.addRTT(now.Sub(x.sentAt))
	}
	if p.state != PairSucceeded {
		p.state = PairSucceeded
		p.retransmission.Stop()
	}
	if !g.wasValid {
		k.becomeValid(now, g)
	}
	k.permit(p.route)
	if x.nominates && p.nominating {
		p.nominating = false
		p.retransmission.Stop()
		g.nominated = p
	}
	if p.useCandidate && !k.controlling {
		g.accept(now, p)
	}
	k.validated(now, p)
}
