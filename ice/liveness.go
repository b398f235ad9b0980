package ice

import "time"

// A path can die between two consent requests, which are seconds apart. The layers
// above notice earlier: a DTLS flight or SCTP's data is answered within a round trip
// and the 200 ms by which a SACK may be delayed (RFC 9260 §6.2). When an answer is
// late, the next consent request is sent at once. It is a connectivity check like any
// other; silence alone proves nothing.

// answerLeast is the least time for an answer to data.
const answerLeast = 400 * time.Millisecond

// answerTimeout is how long data on p may be unanswered.
func (p *pair) answerTimeout() time.Duration {
	return max(answerLeast, 200*time.Millisecond+2*p.rtt)
}

// ExpectAnswer says that the data sent last requires an answer, which an
// acknowledgement does not.
func (a *Agent) ExpectAnswer(now time.Time) {
	p := a.selected
	if p == nil || !p.unansweredSince.IsZero() || p.consent.unanswered > 0 || a.lite {
		return
	}
	p.unansweredSince = now
	if at := p.probeAt(); at.Before(a.deadline) {
		a.deadline = at
	}
}

// LossTimerDue reports whether an answer is late, so that Advance sends a consent
// request before its time.
func (a *Agent) LossTimerDue(now time.Time) bool {
	p := a.selected
	if p == nil || now.Before(p.probeAt()) {
		return false
	}
	return p.consent.unanswered > 0 || now.Before(p.consent.next)
}

// LastReceived returns when the remote agent last answered, on any pair; zero:
// never.
func (a *Agent) LastReceived() time.Time { return a.lastAnswer }

// SuppressLossDetection says that datagrams of the remote agent may lie unread in
// a socket, so that its silence proves nothing: the time for an answer begins again,
// and so does the interval after an unanswered consent request. Advance follows.
func (a *Agent) SuppressLossDetection(now time.Time) {
	p := a.selected
	if p == nil {
		return
	}
	if !p.unansweredSince.IsZero() {
		p.unansweredSince = now
	}
	if c := &p.consent; c.unanswered > 0 && !c.next.IsZero() && !now.Before(c.next) {
		c.next = now.Add(probeInterval(c.unanswered, p.rtt))
	}
}

// probeAt returns when the next consent request is due.
func (p *pair) probeAt() time.Time {
	at := p.consent.next
	if !p.unansweredSince.IsZero() {
		if q := p.unansweredSince.Add(p.answerTimeout()); q.Before(at) {
			return q
		}
	}
	return at
}

// markReceived notes that something of the remote agent arrived on the pair.
func (p *pair) markReceived(now time.Time) { p.unansweredSince, p.lastReceived = time.Time{}, now }

// silentLeast is the least time without a datagram on the selected pair before
// data on another one is followed.
const silentLeast = 200 * time.Millisecond

// followAgain is how long a pair is not left again after it was left and then
// answered: a remote agent may have its reasons to send on one pair and receive on
// another.
const followAgain = time.Minute

// follow takes data that arrived on another pair than the selected one, and reports
// whether a pair is to be checked or selected because of it. If the
// remote agent has left the selected pair, perhaps because its interface is gone,
// data follows it without waiting for consent to expire. The pair is still checked,
// and selected again if it answers.
//
// A remote agent that never sent data on the selected pair has not left it: Firefox
// stays on the pair that it used first, and accepts data on the nominated one. A pair
// that did not answer lately is checked first, such as one that only the remote agent
// has checked, since the nominated one outranks it. An ICE-lite agent sends no checks
// (RFC 8445 §2.5) and does not follow data: the remote agent's checks say where it is.
func (k *checks) follow(now time.Time, r Route) bool {
	p := k.selected
	if p == nil || !p.carried || k.lite || p.gen != k.cur || now.Sub(p.lastReceived) < max(silentLeast, 2*p.rtt) || now.Sub(p.leftAt) < followAgain {
		return false
	}
	for _, q := range p.gen.pairs {
		switch {
		case q.route != r || q == p || p.consent.unanswered >= doubtful:
			continue
		case q.fresh(now):
			k.leave(now, p)
			return true
		case q.state != PairInProgress && !now.Before(q.validateAt()):
			k.validate(now, q)
			return true
		}
		return false
	}
	return false
}

// leave makes p doubtful, so that it gives way to a pair that answers.
func (k *checks) leave(now time.Time, p *pair) { p.consent.unanswered, p.leftAt = doubtful, now }

// unvalidated takes payload from an address that no check has validated. It may be
// the remote agent's, to which a NAT has given another address. It returns nil where
// Authenticated would do nothing.
func (k *checks) unvalidated(r Route, payload []byte) []byte {
	local := k.gather.baseOf(r)
	if k.selected == nil || k.selected.gen != k.cur || local == nil || local.tcp != NotTCP || k.lite || !k.gather.usable(local) {
		return nil
	}
	k.unvalidatedFrom = r
	return payload
}

// Authenticated says that DTLS accepted the payload that HandleDatagram returned
// last without ok. Somebody else may have forwarded it, so its source address is
// checked before data goes there (RFC 9000 §9.3); the remote agent's own check may be
// seconds away, and what is sent until then is lost. One request is sent, since the
// address may be a stranger's. As long as it is not answered, more of such payload
// repeats it at growing intervals.
func (a *Agent) Authenticated(now time.Time) {
	p, local := a.selected, a.gather.baseOf(a.unvalidatedFrom)
	if p == nil || local == nil {
		return
	}
	// The priority is no higher than the selected pair's, so that the new pair is not
	// nominated while the remote agent still sends on the old one (RFC 9000 §9.3.3).
	const typePreference = 0xff << 24 // RFC 8445 §5.1.2.1
	priority := PeerReflexive.preference()<<24 | p.remote.priority&^typePreference
	q := a.pairFor(now, a.cur, earlyCheck{
		base: local, route: local.route(a.unvalidatedFrom.Remote), priority: min(priority, p.remote.priority),
	})
	if q == nil || now.Before(q.validateAt()) {
		return
	}
	a.validate(now, q)
	a.update(now)
}

// validateAt returns when the address of a pair that authenticated data arrives on
// may be checked again.
func (p *pair) validateAt() time.Time { return p.validatedAt.Add(p.validateWait) }

// validate checks a pair that the remote agent may be sending on.
func (k *checks) validate(now time.Time, q *pair) {
	q.validatedAt, q.validateWait = now, max(silentLeast, 2*k.selected.rtt, 2*q.validateWait)
	q.trigger()
	q.once = true
}

// validated takes the answer on q. Data follows, unless something has meanwhile
// arrived on the selected pair.
func (k *checks) validated(now time.Time, q *pair) {
	p := k.selected
	if p != nil && p != q && p.gen == q.gen && !p.lastReceived.After(q.validatedAt) && now.Sub(p.leftAt) >= followAgain {
		k.leave(now, p)
	}
	q.validateWait = 0
}
