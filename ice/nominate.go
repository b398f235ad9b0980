package ice

import "time"

// nominationDelay bounds how long the controlling agent waits, after the first
// valid pair, for the answer to a better pair's check. Data flows meanwhile (RFC 8445
// §12.1), so that nothing else waits for it.
const nominationDelay = 200 * time.Millisecond

// nominate makes the controlling agent nominate the best valid pair, as soon as no
// better one can come or nominationDelay has passed, and again when a better pair
// becomes valid or the nominated one does not answer.
//
// RFC 8445 §8.1.1 has one nomination only. Browsers nominate again, and as
// controlled agents accept a later nomination of a better pair.
func (k *checks) nominate(now time.Time) {
	if !k.controlling {
		return
	}
	for g := k.cur; g != nil; g = g.older {
		if g.open {
			k.nominateIn(now, g)
		}
	}
}

func (k *checks) nominateIn(now time.Time, g *generation) {
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
	if k.renominates {
		k.nomination++
		best.nomination = k.nomination
	}
	best.trigger()
}

// SetRenomination says whether the remote agent understands numbered nominations,
// of which the highest counts (draft-thatcher-ice-renomination). It then follows at
// once to a worse pair than the one nominated before, such as when that one has died.
// The remote agent's own numbers are always obeyed.
func (a *Agent) SetRenomination(understood bool) { a.renominates = understood }

func (k *checks) nominationAlarm(e *alarm) {
	for g := k.cur; g != nil; g = g.older {
		if !g.open {
			continue
		}
		if k.controlling && g.wasValid && g.nominated == nil {
			best := g.firstSucceeded()
			if best != nil && !best.nominating {
				e.add(g.firstValid.Add(nominationDelay))
			}
		}
		// A nomination is a check on a pair that has succeeded already. It is
		// repeated until it is answered, or consent to the pair expires.
		for _, p := range g.pairs {
			if p.nominating && p.state == PairSucceeded {
				e.add(p.retransmission.Next())
			}
		}
	}
}

// bestValid is the best pair that works and is not doubtful.
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

// betterMayCome reports whether a check of a better pair than p is pending.
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

// nominationLasts is how long a nomination outweighs that of a worse pair: agents
// that nominate again repeat it with their consent requests.
const nominationLasts = 10 * time.Second

// accept takes the controlling agent's nomination of a valid pair. The best of
// several pairs nominated at a time counts, as with RFC 5245's aggressive nomination.
// But if the remote agent, for reasons of its own, names a worse pair only, or the
// best one does not answer, the worse one counts.
func (g *generation) accept(now time.Time, p *pair) {
	n := g.nominated
	if p.remoteNomination != 0 {
		if p.remoteNomination >= g.nomination {
			g.nomination, g.nominated = p.remoteNomination, p
		}
		return
	}
	if n == nil || p.priority > n.priority || !n.fresh(now) || now.Sub(n.nominatedAt) > nominationLasts {
		g.nominated = p
	} else if now.Sub(n.lastReceived) > n.answerTimeout() && n.consent.unanswered == 0 && !n.consent.next.IsZero() {
		n.consent.next = now // perhaps the remote agent knows that it is dead
	}
}
