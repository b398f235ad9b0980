package ice

import "time"

// Consent to send is kept by checks on the selected pair (RFC 7675).
const (
	// RFC 7675 §5.1: 5 s, randomized by 20 %. Half a second of it is left to owners
	// whose timers fire together.
	consentLeast   = 4 * time.Second
	consentMost    = 5500 * time.Millisecond
	consentExpires = 30 * time.Second

	// staleAfter is how long after its last answer a pair is doubtful: the longest
	// interval, and the probes that follow it.
	staleAfter = 8 * time.Second

	// doubtful is the number of unanswered requests that make a pair doubtful before
	// that. A doubtful pair gives way to any other that answers.
	doubtful = 3

	// probeLeast is the least time between these requests.
	probeLeast = 200 * time.Millisecond
)

// consent is the schedule of one pair's consent requests.
type consent struct {
	next       time.Time // when the next request is due; zero: never
	unanswered int       // requests since the last answer
}

// probeInterval is the time from an unanswered request to the next one.
//
// RFC 7675 §5.1 sets the interval of consent requests, no less than 4 s. One lost
// datagram must not look like a lost peer, so a few more requests follow an
// unanswered one, like the retransmissions of a connectivity check.
func probeInterval(unanswered int, rtt time.Duration) time.Duration {
	switch {
	case unanswered <= 3:
		return max(probeLeast, 2*rtt)
	case unanswered <= 6:
		return time.Second
	}
	return 2 * time.Second
}

// start begins the schedule, unless it runs.
func (c *consent) start(random *randomSource, now time.Time) {
	if c.next.IsZero() {
		c.next = now.Add(random.between(consentLeast, consentMost))
	}
}

// answered returns to the usual interval.
func (c *consent) answered(random *randomSource, now time.Time) {
	c.unanswered = 0
	if !c.next.IsZero() {
		c.next = now.Add(random.between(consentLeast, consentMost))
	}
}

// consented reports whether data may be sent on the pair: it was answered within
// the last 30 seconds.
func (p *pair) consented(now time.Time) bool {
	return p.state == PairSucceeded && now.Before(p.lastAnswer.Add(consentExpires))
}

// fresh reports whether the pair works and is not doubtful.
func (p *pair) fresh(now time.Time) bool {
	return p.state == PairSucceeded && now.Before(p.lastAnswer.Add(staleAfter)) && p.consent.unanswered < doubtful
}

// runConsent sends due consent requests on the selected pair, and ends consent
// that has expired on any.
func (k *checks) runConsent(now time.Time) {
	for g := k.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			k.runPairConsent(now, p)
		}
	}
}

func (k *checks) runPairConsent(now time.Time, p *pair) {
	if p.state != PairSucceeded {
		return
	}
	if !p.consented(now) {
		// RFC 7675 §5.1: transmission ceases, and outstanding transactions MUST be
		// discarded, so that a late response does not bring consent back.
		//
		// It also says that the same credentials MUST NOT be used there again. But a
		// pair that is not selected is not asked for consent, and expires while
		// nothing is wrong with it: recheck makes it prove itself again, and no data
		// is sent on it before. Consent that is lost on all pairs takes a restart.
		p.state, p.nominating, p.err = PairFailed, false, ErrConsentExpired
		p.transactions = transactions{}
		return
	}
	if p.nominating {
		k.repeatNomination(now, p)
	}
	if p != k.selected {
		p.consent = consent{}
		return
	}
	if now.Before(p.probeAt()) || p.consent.next.IsZero() {
		return
	}
	p.unansweredSince = time.Time{}
	p.consent.unanswered++
	p.consent.next = now.Add(probeInterval(p.consent.unanswered, p.rtt))
	p.transactions.add(transaction{id: k.random.transactionID(), controlling: k.controlling,
		nominates: k.controlling && (p.nominating || p.gen.nominated == p)})
	k.out.request(p)
	if p.consent.unanswered == doubtful {
		if l := p.local.relay; l != nil {
			l.client.Check(now) // perhaps the server is gone
		}
		p.gen.recheck(p)
	}
}

// repeatNomination retransmits the check that nominates p. Consent ends it early
// if the pair stops answering: a path can die between its first check and its
// nomination.
func (k *checks) repeatNomination(now time.Time, p *pair) {
	send, failed := p.retransmission.Due(now)
	if send {
		k.out.request(p)
	}
	if failed {
		p.trigger()
	}
}

// recheck checks all other pairs again, when p does not answer or is gone.
func (g *generation) recheck(p *pair) {
	for _, q := range g.pairs {
		if q != p && (q.state == PairSucceeded || q.state == PairFailed) {
			q.state = PairWaiting
		}
	}
}

func (k *checks) consentAlarms(now time.Time, e *alarm) {
	for g := k.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			if p.state != PairSucceeded || p != k.selected && !p.nominating {
				continue
			}
			e.add(p.probeAt())
			if stale := p.lastAnswer.Add(staleAfter); now.Before(stale) {
				e.add(stale)
			} else {
				e.add(p.lastAnswer.Add(consentExpires))
			}
		}
	}
}
