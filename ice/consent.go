package ice

import (
	"cmp"
	"time"
)

// ConsentTimes are the intervals and time limits of consent (RFC 7675): checks on the
// selected pair keep the consent to send. A zero field has its default.
type ConsentTimes struct {
	// Interval is the time between consent requests. Each interval is random, from 80 to
	// 110 percent of Interval. RFC 7675 §5.1 allows 120 percent; the rest is left for
	// owners that run a timer a little late, together with other timers. Default: 5 s.
	Interval time.Duration
	// Stale is how long after the last answer a pair becomes doubtful. When the
	// selected pair is doubtful, the agent is in StateDisconnected. The default, 8 s,
	// is the longest interval plus the time of the additional requests that follow an
	// unanswered request.
	Stale time.Duration
	// Expires is how long after the last answer consent expires, and with it the pair.
	// Default: 30 s, which is also the most that RFC 7675 §5.1 allows.
	Expires time.Duration
}

// Default values of ConsentTimes.
const (
	DefaultConsentInterval = 5 * time.Second
	DefaultConsentStale    = 8 * time.Second
	DefaultConsentExpires  = 30 * time.Second
)

func (c ConsentTimes) orDefaults() ConsentTimes {
	return ConsentTimes{
		Interval: cmp.Or(c.Interval, DefaultConsentInterval),
		Stale:    cmp.Or(c.Stale, DefaultConsentStale),
		Expires:  cmp.Or(c.Expires, DefaultConsentExpires),
	}
}

// next draws the time until the next consent request.
func (c *ConsentTimes) next(random *randomSource) time.Duration {
	return random.between(c.Interval*8/10, c.Interval*11/10)
}

const (
	// doubtful is the number of unanswered consent requests after which a pair becomes
	// doubtful earlier than ConsentTimes.Stale. A doubtful pair is replaced by any
	// other pair that answers.
	doubtful = 3

	// probeLeast is the least time between unanswered consent requests.
	probeLeast = 200 * time.Millisecond
)

// consent is the schedule of one pair's consent requests.
type consent struct {
	next       time.Time // when the next request is due; zero: never
	unanswered int       // how many requests were sent since the last answer
}

// probeInterval returns the time from an unanswered request to the next one.
//
// RFC 7675 §5.1 sets the interval of consent requests to no less than 4 s. But one
// lost datagram must not look like a lost peer. So a few more requests follow an
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

// start starts the schedule, unless it already runs.
func (c *consent) start(random *randomSource, times *ConsentTimes, now time.Time) {
	if c.next.IsZero() {
		c.next = now.Add(times.next(random))
	}
}

// answered notes an answer, after which requests are sent at the usual interval again.
func (c *consent) answered(random *randomSource, times *ConsentTimes, now time.Time) {
	c.unanswered = 0
	if !c.next.IsZero() {
		c.next = now.Add(times.next(random))
	}
}

// consented reports whether data may be sent on the pair: a request on it was answered
// within the last ConsentTimes.Expires.
func (p *pair) consented(now time.Time) bool {
	return p.state == PairSucceeded && now.Before(p.lastAnswer.Add(p.gen.consent.Expires))
}

// fresh reports whether the pair works and is not doubtful.
func (p *pair) fresh(now time.Time) bool {
	return p.state == PairSucceeded && now.Before(p.lastAnswer.Add(p.gen.consent.Stale)) && p.consent.unanswered < doubtful
}

// runConsent sends consent requests that are due on the selected pair. It marks every
// pair with expired consent as failed.
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
		// RFC 7675 §5.1: transmission stops, and outstanding transactions MUST be
		// discarded, so that a late response does not renew the consent.
		//
		// RFC 7675 also says that the same credentials MUST NOT be used again on the
		// pair. But no consent requests are sent on a pair that is not selected, so
		// its consent expires even if the pair works. recheck checks it again, and no
		// data is sent on it before that check is answered. If consent is lost on all
		// pairs, a restart is needed.
		p.state, p.nominating, p.err = PairFailed, false, ErrConsentExpired
		k.trace.failed(now, p)
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
			l.client.Check(now) // perhaps the server does not run any more
		}
		p.gen.recheck(p)
	}
}

// repeatNomination retransmits the check that nominates p. It stops when the consent
// of p expires: a path can fail between its first check and its nomination.
func (k *checks) repeatNomination(now time.Time, p *pair) {
	send, failed := p.retransmission.Due(now)
	if send {
		k.out.request(p)
	}
	if failed {
		p.trigger()
	}
}

// recheck checks all pairs except p again, because p does not answer or was removed.
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
			if stale := p.lastAnswer.Add(k.consent.Stale); now.Before(stale) {
				e.add(stale)
			} else {
				e.add(p.lastAnswer.Add(k.consent.Expires))
			}
		}
	}
}
