package ice

import "time"

// nominationDelay bounds how long the controlling agent waits, after the
// first valid pair, for a better pair's check to be answered. Data flows
// meanwhile (RFC 8445 §12.1), so nobody waits for it.
const nominationDelay = 200 * time.Millisecond

// nominate has the controlling agent nominate the best valid pair, as soon as
// no better one can come or nominationDelay has passed, and again when a
// better pair became valid or the nominated one does not answer.
//
// RFC 8445 §8.1.1 knows one nomination only. Browsers nominate again, and
// as the controlled end take a later nomination of a better pair.
func (a *Agent) nominate(now time.Time) {
	if !a.controlling {
		return
	}
	for g := a.cur; g != nil; g = g.older {
		if g.open {
			a.nominateIn(now, g)
		}
	}
}

func (a *Agent) nominateIn(now time.Time, g *generation) {
	best := g.bestValid(now)
	if best == nil || best == g.nominated || best.nominating {
		return
	}
	if n := g.nominated; n != nil && n.fresh(now) && n.priority >= best.priority {
		return
	}
	if now.Before(g.firstValid.Add(nominationDelay)) && g.betterMayCome(best) {
		return
	}
	for _, p := range g.pairs {
		p.nominating = false
	}
	best.nominating = true
	if a.renominates {
		a.nomination++
		best.nomination = a.nomination
	}
	best.trigger()
}

// SetRenomination tells whether the far end understands nominations that carry
// a number, of which the highest counts (draft-thatcher-ice-renomination). It
// then follows at once to a pair that is worse than the one nominated before,
// such as when that one has died. Numbers of the far end's are always obeyed.
func (a *Agent) SetRenomination(understood bool) { a.renominates = understood }

func (a *Agent) nominationAlarm(e *alarm) {
	for g := a.cur; g != nil; g = g.older {
		if !g.open {
			continue
		}
		if a.controlling && g.wasValid && g.nominated == nil {
			best := g.firstSucceeded()
			if best != nil && !best.nominating {
				e.add(g.firstValid.Add(nominationDelay))
			}
		}
		// A nomination is a check on a pair that succeeded already; it is
		// repeated until it is answered, or consent to the pair expires.
		for _, p := range g.pairs {
			if p.nominating && p.state == PairSucceeded {
				e.add(p.retransmission.Next())
			}
		}
	}
}

// bestValid is the best pair that answers.
func (g *generation) bestValid(now time.Time) *pair {
	for _, p := range g.pairs {
		if p.fresh(now) {
			return p
		}
	}
	return nil
}

func (g *generation) firstSucceeded() *pair {
	for _, p := range g.pairs {
		if p.state == PairSucceeded {
			return p
		}
	}
	return nil
}

// betterMayCome tells whether the check of a better pair than p is not
// decided yet.
func (g *generation) betterMayCome(p *pair) bool {
	for _, q := range g.pairs {
		if q == p {
			break
		}
		if q.state == PairWaiting || q.state == PairInProgress {
			return true
		}
	}
	return false
}

// nominationLasts is how long a nomination counts against that of a worse
// pair: agents that nominate again repeat it with their consent requests.
const nominationLasts = 10 * time.Second

// accept takes the controlling end's nomination of a valid pair. Of several
// at a time the best one counts, as with RFC 5245's aggressive nomination;
// but when the far end, for reasons of its own, speaks of a worse pair only,
// or the best one does not answer, it is followed.
func (g *generation) accept(now time.Time, p *pair) {
	p.nominated = true
	n := g.nominated
	if p.theirs != 0 {
		if p.theirs >= g.nomination {
			g.nomination, g.nominated = p.theirs, p
		}
		return
	}
	if n == nil || p.priority > n.priority || !n.fresh(now) || now.Sub(n.nominatedAt) > nominationLasts {
		g.nominated = p
	} else if now.Sub(n.heardAt) > n.quietFor() && n.consent.unanswered == 0 && !n.consent.next.IsZero() {
		n.consent.next = now // perhaps the far end knows that it is dead
	}
}

// choose decides which pair data takes: the nominated one, else the best valid
// one, of the newest generation that has any. A pair that is in doubt gives way
// to any that answers.
func (a *Agent) choose(now time.Time) {
	var p *pair
	for g := a.cur; g != nil; g = g.older {
		q := g.choice(now)
		if q == nil {
			continue
		}
		if q.fresh(now) {
			p = q
			break
		}
		if p == nil {
			p = q
		}
	}
	old := a.selected
	if p == old {
		return
	}
	a.selected = p
	if p == nil {
		return
	}
	p.used = false
	before := a.carried
	a.carried = p.path()
	lost := before != path{} && (old == nil || !old.fresh(now))
	if old != nil && old.state == PairSucceeded && !old.fresh(now) {
		// It is checked like any that did not work yet, and may come back.
		old.state, old.consent, old.quietSince = PairWaiting, consent{}, time.Time{}
	}
	if l := p.local.relay; l != nil {
		l.client.Bind(now, p.route.Remote)
	}
	if !a.lite {
		p.consent.start(a, now)
	}
	a.events.push(Event{Kind: EventSelected, Route: p.local.wire(p.route), Lost: lost, Moved: before != path{} && before != a.carried})
}

// choice is the generation's pair to send on, nil if there is none.
func (g *generation) choice(now time.Time) *pair {
	if n := g.nominated; n != nil && n.fresh(now) {
		return n
	}
	if p := g.bestValid(now); p != nil {
		return p
	}
	if n := g.nominated; n != nil && n.consented(now) {
		return n
	}
	for _, p := range g.pairs {
		if p.consented(now) {
			return p
		}
	}
	return nil
}
