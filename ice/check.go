package ice

import (
	"time"

	"purertc/stun"
)

// pace (Ta) is the time between two ordinary checks. RFC 8445 §14.2
// recommends 50 ms and allows any value of 5 ms or more. At 20 ms a check of
// 120 bytes makes 48 kbit/s, which is a voice call's rate, and a browser's
// dozen pairs are through in a quarter of a second.
const pace = 20 * time.Millisecond

// checkRTO is the first retransmission timeout of checks. RFC 8445 §14.3 has
// it grow with the checks under way, and forbids less than 500 ms.
func (g *generation) checkRTO() time.Duration {
	n := 0
	for _, p := range g.pairs {
		if p.state == PairWaiting || p.state == PairInProgress {
			n++
		}
	}
	return max(stun.DefaultRTO, time.Duration(n)*pace)
}

// runChecks sends what is due: retransmissions, triggered checks at once,
// and one ordinary check every Ta.
//
// The checks of an open generation that was replaced go on, and its ordinary
// ones come first: they are nearer to their end than those of a generation
// that the next restart may replace as soon.
func (a *Agent) runChecks(now time.Time) {
	a.runFrom(now, a.cur)
}

func (a *Agent) runFrom(now time.Time, g *generation) {
	if g.older != nil {
		a.runFrom(now, g.older)
	}
	if g.open && g.remoteKey != nil {
		a.runGeneration(now, g)
	}
}

func (a *Agent) runGeneration(now time.Time, g *generation) {
	g.runReconnects(now)
	for _, p := range g.pairs {
		if p.state != PairInProgress {
			continue
		}
		send, failed := p.retransmission.Due(now)
		if failed {
			p.state, p.nominating, p.err = PairFailed, false, errNoResponse
		} else if (send || a.overdue(now, p)) && !g.outranks(p) {
			a.queueRequest(p)
		}
	}
	// A triggered check answers a check of the far end, which authenticated
	// itself and paces its own. So it need not wait for another Ta, and the
	// last of the three steps that set-up takes is not delayed.
	for _, p := range g.pairs {
		if p.triggered && p.permitted(now) {
			a.startCheck(now, p)
		}
	}
	for !now.Before(a.cur.nextCheck) {
		p := g.nextWaiting(now)
		if p == nil {
			return
		}
		a.startCheck(now, p)
		a.cur.nextCheck = now.Add(pace)
	}
}

// checkMost is the longest time between two checks of a pair while another way is
// wanted: that which was in use does not answer. By their own schedule a network
// that was away for 20 s would be found 12 s after it is back.
const checkMost = 2 * time.Second

// overdue tells whether p is to be checked ahead of its schedule.
func (a *Agent) overdue(now time.Time, p *pair) bool {
	at := a.overdueAt(p)
	return !at.IsZero() && !now.Before(at)
}

// overdueAt is when it is; zero: never.
func (a *Agent) overdueAt(p *pair) time.Time {
	wanted := a.state == StateDisconnected || a.selected != nil && a.selected.consent.unanswered >= doubtful
	if x := p.transactions.newest(); wanted && p.local.tcp == NotTCP && x != nil && !x.sentAt.IsZero() {
		return x.sentAt.Add(checkMost)
	}
	return time.Time{}
}

// nextWaiting is the best pair that waits to be checked.
func (g *generation) nextWaiting(now time.Time) *pair {
	for _, p := range g.pairs {
		if p.state == PairWaiting && !g.outranks(p) && p.permitted(now) {
			return p
		}
	}
	return nil
}

// outranks tells whether a nominated pair that works makes a check of p
// useless (RFC 8445 §8.1.2). Better pairs are checked on, and those that the
// far end nominates too.
func (g *generation) outranks(p *pair) bool {
	n := g.nominated
	return n != nil && !p.useCandidate && n != p && n.state == PairSucceeded && n.consent.unanswered < doubtful && p.priority < n.priority
}

// startCheck begins a new transaction.
func (a *Agent) startCheck(now time.Time, p *pair) {
	once := p.triggered && p.once || p.local.tcp != NotTCP // RFC 6544 §7.1
	p.triggered = false
	if p.state != PairSucceeded {
		p.state = PairInProgress
	}
	if once {
		p.retransmission.StartReliable(now)
	} else {
		p.retransmission.Start(now, p.gen.checkRTO())
	}
	p.retransmission.Due(now) // the sending queued here
	p.transactions.add(transaction{id: a.random.transactionID(), controlling: a.controlling, nominates: a.controlling && p.nominating})
	a.queueRequest(p)
}

// trigger has p checked at once.
func (p *pair) trigger() {
	if p.state != PairSucceeded {
		p.state = PairWaiting
	}
	p.retransmission.Stop() // of a check that this one supersedes
	p.triggered, p.once = true, false
}

func (a *Agent) checkAlarms(now time.Time, e *alarm) {
	for g := a.cur; g != nil; g = g.older {
		if !g.open || g.remoteKey == nil {
			continue
		}
		for _, p := range g.pairs {
			if p.state == PairInProgress {
				e.add(p.retransmission.Next())
				if !g.outranks(p) {
					e.add(a.overdueAt(p))
				}
			}
			e.add(p.retryAt)
		}
		if g.nextWaiting(now) != nil {
			e.add(a.cur.nextCheck)
		}
	}
}

// appendRequest appends the newest request of p (RFC 8445 §7.2.2).
func (a *Agent) appendRequest(now time.Time, dst []byte, p *pair) []byte {
	x := p.transactions.newest()
	p.sent++
	x.again, x.sentAt = !x.sentAt.IsZero(), now
	w := stun.Build(dst, stun.BindingRequest, x.id)
	w.String(stun.AttrUsername, p.gen.username)
	// What a peer-reflexive candidate learnt from this check would have.
	w.Uint32(stun.AttrPriority, candidatePriority(PeerReflexive.preferenceOver(p.local.tcp), p.local.preference))
	if x.controlling {
		w.Uint64(stun.AttrICEControlling, a.tieBreaker)
	} else {
		w.Uint64(stun.AttrICEControlled, a.tieBreaker)
	}
	if x.nominates {
		w.Flag(stun.AttrUseCandidate)
		if p.nomination != 0 {
			w.Uint32(stun.AttrNomination, p.nomination)
		}
	}
	w.Integrity(p.gen.remoteKey)
	w.Fingerprint()
	return w.Finish()
}

// pairOf finds the pair that sent a transaction.
func (a *Agent) pairOf(id stun.TransactionID) *pair {
	if a.selected != nil && a.selected.transactions.has(id) {
		return a.selected
	}
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			if p.transactions.has(id) {
				return p
			}
		}
	}
	return nil
}

// handleResponse takes a response to a check or a consent request.
func (a *Agent) handleResponse(now time.Time, r Route, b *base, m stun.Message) {
	p := a.pairOf(m.TransactionID())
	if p == nil || p.gen.failed || !p.gen.remoteKey.Verify(m) {
		return // not ours, or not theirs: as if never received (RFC 8489 §9.1.4)
	}
	if len(m.AppendUnknown(nil, nil)) > 0 {
		return // RFC 8489 §6.3.3; the retransmissions go on
	}
	x, _ := p.transactions.take(m.TransactionID())
	if p.local != b || p.route.Remote != p.local.route(r.Remote).Remote {
		// RFC 8445 §7.2.5.2.1: not symmetric. The path back is another one.
		if p.state == PairInProgress {
			p.state, p.err = PairFailed, errSymmetry
			p.retransmission.Stop()
		}
		return
	}
	if m.Type() == stun.BindingSuccess {
		if mapped, ok := m.MappedAddress(); ok && mapped.IsValid() {
			a.checkSucceeded(now, p, x)
		}
		return
	}
	code, _, _ := m.ErrorCode()
	switch {
	case code == stun.CodeRoleConflict:
		// RFC 8445 §7.2.5.1, unless the role changed already.
		if x.controlling == a.controlling {
			a.setRole(!x.controlling)
			a.tieBreaker = a.random.uint64()
		}
		p.trigger()
	case p.state == PairInProgress && code < stun.CodeServerError:
		p.state, p.nominating, p.err = PairFailed, false, m.Err()
		p.retransmission.Stop()
	}
}

// checkSucceeded makes p valid (RFC 8445 §7.2.5.3).
//
// The mapped address may be none of ours: then the pair's local candidate is
// a peer-reflexive one. Its datagrams leave from the same base all the same,
// and the far end knows the address already, so nothing is made of it.
func (a *Agent) checkSucceeded(now time.Time, p *pair, x transaction) {
	g := p.gen
	p.answers++
	p.err = nil
	p.lastAnswer, a.lastAnswer = now, now
	p.hears(now)
	p.consent.answered(a, now)
	if !x.again {
		p.addRTT(now.Sub(x.sentAt))
	}
	if p.state != PairSucceeded {
		p.state = PairSucceeded
		p.retransmission.Stop()
	}
	if !g.wasValid {
		a.becomeValid(now, g)
	}
	a.permit(p.route)
	if x.nominates && p.nominating {
		p.nominating, p.nominated = false, true
		p.retransmission.Stop()
		g.nominated = p
	}
	if p.useCandidate && !a.controlling {
		g.accept(now, p)
	}
	a.followProven(now, p)
}
