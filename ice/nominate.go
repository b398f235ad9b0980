package ice

import "time"

// nominationDelay bounds how long the controlling agent waits, after the first valid
// pair, for the answer to the check of a better pair. Data is sent during that time
// (RFC 8445 §12.1), so the wait delays nothing else.
const nominationDelay = 200 * time.Millisecond

// nominate nominates the best valid pair, if the agent is controlling. It does so as
// soon as no better pair can become valid or nominationDelay has passed. It nominates
// again when a better pair becomes valid or the nominated pair does not answer.
//
// RFC 8445 §8.1.1 allows only one nomination. Browsers nominate again and, as
// controlled agents, accept a later nomination of a better pair.
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

// SetRenomination says whether the remote agent understands numbered nominations, of
// which the one with the highest number is valid (draft-thatcher-ice-renomination).
// The remote agent then immediately changes even to a worse pair than the one
// nominated before, for example when that pair does not work any more. The numbers
// that the remote agent itself sends are always obeyed.
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
		// A nomination is a check on a pair that has already succeeded. It is repeated
		// until it is answered, or until consent to the pair expires.
		for _, p := range g.pairs {
			if p.nominating && p.state == PairSucceeded {
				e.add(p.retransmission.Next())
			}
		}
	}
}

// bestValid returns the best pair that works and is not doubtful, or nil.
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

// betterMayCome reports whether the check of a better pair than p is pending.
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

// nominationLasts is how long a nomination has precedence over that of a worse pair.
// Agents that nominate again repeat the nomination with their consent requests.
const nominationLasts = 10 * time.Second

// accept handles the controlling agent's nomination of a valid pair. If several pairs
// are nominated at a time, the best pair is used, as with RFC 5245's aggressive
// nomination. But if the remote agent, for its own reasons, nominates only a worse
// pair, or if the best pair does not answer, the worse pair is used.
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
		n.consent.next = now // perhaps the remote agent knows that pair n does not work any more
	}
}
