package ice

import "time"

// Consent to send is asked for by checks on the selected pair (RFC 7675).
const (
	// RFC 7675 §5.1: 5 s, randomized by 20 %, of which half a second is left to
	// owners whose timers fire together.
	consentLeast   = 4 * time.Second
	consentMost    = 5500 * time.Millisecond
	consentExpires = 30 * time.Second

	// staleAfter is how long after its last answer a pair is in doubt: the
	// longest interval, and the probes that follow it.
	staleAfter = 8 * time.Second

	// doubtful is the number of unanswered requests that puts a pair in doubt
	// before that: it gives way to any other that answers.
	doubtful = 3

	// probeLeast is the least time between those requests.
	probeLeast = 200 * time.Millisecond
)

// consent is the schedule of one pair.
type consent struct {
	next       time.Time // when the next request is due; zero: none is
	unanswered int       // requests since the last answer
}

// probeInterval is when the next request follows one that is not answered.
//
// RFC 7675 §5.1 sets the interval of consent requests, no less than 4 s. One
// lost datagram must not look like a lost peer, so an unanswered request is
// followed, as a connectivity check would be retransmitted, by a few more.
func (a *Agent) probeInterval(unanswered int, rtt time.Duration) time.Duration {
	switch {
	case unanswered <= 3:
		return max(probeLeast, 2*rtt)
	case unanswered <= 6:
		return time.Second
	}
	return 2 * time.Second
}

// start begins the schedule, if it does not run.
func (c *consent) start(a *Agent, now time.Time) {
	if c.next.IsZero() {
		c.next = now.Add(a.random.between(consentLeast, consentMost))
	}
}

// answered puts the schedule back to its interval.
func (c *consent) answered(a *Agent, now time.Time) {
	c.unanswered = 0
	if !c.next.IsZero() {
		c.next = now.Add(a.random.between(consentLeast, consentMost))
	}
}

// consented tells whether the pair may be sent on: it was answered within
// the last 30 seconds.
func (p *pair) consented(now time.Time) bool {
	return p.state == PairSucceeded && now.Before(p.lastAnswer.Add(consentExpires))
}

// fresh tells whether the pair has answered lately.
func (p *pair) fresh(now time.Time) bool {
	return p.state == PairSucceeded && now.Before(p.lastAnswer.Add(staleAfter)) && p.consent.unanswered < doubtful
}

// runConsent sends due consent requests on the selected pair. When it goes
// stale, every other pair of its generation is checked again.
func (a *Agent) runConsent(now time.Time) {
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			a.runPairConsent(now, p)
		}
	}
}

func (a *Agent) runPairConsent(now time.Time, p *pair) {
	if p.state != PairSucceeded {
		return
	}
	if !p.consented(now) {
		// RFC 7675 §5.1: cease transmission; what is outstanding MUST be
		// discarded, so that a late response does not bring consent back.
		//
		// It goes on that the same credentials MUST NOT be used there again.
		// But a pair that is not in use is not asked for consent, and expires
		// while nothing is wrong with it: recheck has it prove itself anew, and
		// nothing is sent on it before. Consent that is lost on all pairs takes
		// a restart.
		p.state, p.nominating, p.err = PairFailed, false, ErrConsentExpired
		p.transactions = transactions{}
		return
	}
	if p.nominating {
		a.repeatNomination(now, p)
	}
	if p != a.selected {
		p.consent = consent{}
		return
	}
	if now.Before(p.probeAt()) || p.consent.next.IsZero() {
		return
	}
	p.quietSince = time.Time{}
	p.consent.unanswered++
	p.consent.next = now.Add(a.probeInterval(p.consent.unanswered, p.rtt))
	p.transactions.add(transaction{id: a.random.transactionID(), controlling: a.controlling,
		nominates: a.controlling && (p.nominating || p.gen.nominated == p)})
	a.queueRequest(p)
	if p.consent.unanswered == doubtful {
		if l := p.local.relay; l != nil {
			l.client.Check(now) // it may be the server that is gone
		}
		p.gen.recheck(p)
	}
}

// repeatNomination retransmits the check that nominates p. What is left of
// its schedule after the pair stopped answering is cut by consent, which is asked
// for meanwhile where data goes by p already: a path can die between its first
// check and its nomination, as between any two.
func (a *Agent) repeatNomination(now time.Time, p *pair) {
	send, failed := p.retransmission.Due(now)
	if send {
		a.queueRequest(p)
	}
	if failed {
		p.trigger()
	}
}

// recheck looks for another way when p does not answer, or is gone.
func (g *generation) recheck(p *pair) {
	for _, q := range g.pairs {
		if q != p && (q.state == PairSucceeded || q.state == PairFailed) {
			q.state = PairWaiting
		}
	}
}

func (a *Agent) consentAlarms(now time.Time, e *alarm) {
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			if p.state != PairSucceeded {
				continue
			}
			if p == a.selected || p.nominating {
				e.add(p.probeAt())
				if stale := p.lastAnswer.Add(staleAfter); now.Before(stale) {
					e.add(stale)
				} else {
					e.add(p.lastAnswer.Add(consentExpires))
				}
			}
		}
	}
}
