package ice

import "time"

// A path can fail between two consent requests, which are seconds apart. The layers
// above notice the failure earlier: a DTLS flight or SCTP's data is answered within a
// round trip plus the 200 ms by which a SACK may be delayed (RFC 9260 §6.2). When an
// answer is late, the next consent request is sent immediately. It is a connectivity
// check like any other. A missing answer alone does not show that the path has failed.

// answerLeast is the shortest time that is allowed for an answer to data.
const answerLeast = 400 * time.Millisecond

// answerTimeout is how long data on p may be unanswered.
func (p *pair) answerTimeout() time.Duration {
	return max(answerLeast, 200*time.Millisecond+2*p.rtt)
}

// ExpectAnswer says that the data sent most recently requires an answer. An
// acknowledgement, for example, requires none.
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

// LossTimerDue reports whether an answer is late, so that Advance would send a consent
// request earlier than planned.
func (a *Agent) LossTimerDue(now time.Time) bool {
	p := a.selected
	if p == nil || now.Before(p.probeAt()) {
		return false
	}
	return p.consent.unanswered > 0 || now.Before(p.consent.next)
}

// LastReceived returns when the remote agent last answered, on any pair. The zero time
// means never.
func (a *Agent) LastReceived() time.Time { return a.lastAnswer }

// SuppressLossDetection says that datagrams of the remote agent may wait unread in a
// socket, so that a missing answer proves nothing. The time for an answer restarts,
// and so does the interval after an unanswered consent request. The owner then calls
// Advance.
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

// markReceived notes that a datagram of the remote agent arrived on the pair.
func (p *pair) markReceived(now time.Time) { p.unansweredSince, p.lastReceived = time.Time{}, now }

// silentLeast is how long no datagram must have arrived on the selected pair before
// the agent follows data that arrives on another pair.
const silentLeast = 200 * time.Millisecond

// followAgain is how long the agent stays on a pair that it had left and that has
// answered since. A remote agent may have reasons to send on one pair and receive on
// another.
const followAgain = time.Minute

// follow handles data that arrived on another pair than the selected one. It reports
// whether a pair is to be checked or selected because of that data. The remote agent
// may have left the selected pair, perhaps because its interface was removed. Then the
// agent also sends data on the other pair, without waiting until consent expires. The
// selected pair is still checked, and selected again if it answers.
//
// A remote agent that never sent data on the selected pair has not left it: Firefox
// stays on the pair that it used first, and accepts data on the nominated one. A pair
// that has not answered recently is checked first. For example, a pair may have been
// checked only by the remote agent, because the nominated pair outranks it. An
// ICE-lite agent sends no checks (RFC 8445 §2.5) and does not follow data: the remote
// agent's checks show which pair to use.
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

// leave makes p doubtful, so that a pair that answers replaces it.
func (k *checks) leave(now time.Time, p *pair) { p.consent.unanswered, p.leftAt = doubtful, now }

// unvalidated handles payload from an address that no check has validated. It may be a
// new address of the remote agent behind a NAT. unvalidated returns nil, which drops
// the payload, if Authenticated would do nothing.
func (k *checks) unvalidated(r Route, payload []byte) []byte {
	local := k.gather.baseOf(r)
	if k.selected == nil || k.selected.gen != k.cur || local == nil || local.tcp != NotTCP || k.lite || !k.gather.usable(local) {
		return nil
	}
	k.unvalidatedFrom = r
	return payload
}

// Authenticated says that DTLS has accepted the payload that HandleDatagram last
// returned without ok. Another host may have forwarded that payload. So its source
// address is checked before data is sent there (RFC 9000 §9.3). The remote agent's
// own check may be seconds away, and data sent until then is lost. Only one request is
// sent, because the address may be a stranger's. While the request is not answered,
// further payload from the address repeats it at growing intervals.
func (a *Agent) Authenticated(now time.Time) {
	p, local := a.selected, a.gather.baseOf(a.unvalidatedFrom)
	if p == nil || local == nil {
		return
	}
	// The new pair's priority is not higher than the selected pair's, so that the new
	// pair is not nominated while the remote agent still sends on the old one (RFC
	// 9000 §9.3.3).
	const typePreference = 0xff << 24 // type preference in a priority (RFC 8445 §5.1.2.1)
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

// validateAt returns when a pair on which authenticated data arrives may be checked
// again.
func (p *pair) validateAt() time.Time { return p.validatedAt.Add(p.validateWait) }

// validate checks a pair that the remote agent may be sending on.
func (k *checks) validate(now time.Time, q *pair) {
	q.validatedAt, q.validateWait = now, max(silentLeast, 2*k.selected.rtt, 2*q.validateWait)
	q.trigger()
	q.once = true
}

// validated handles the answer on q. Data is then sent on q, unless something has
// arrived on the selected pair since q was checked.
func (k *checks) validated(now time.Time, q *pair) {
	p := k.selected
	if p != nil && p != q && p.gen == q.gen && !p.lastReceived.After(q.validatedAt) && now.Sub(p.leftAt) >= followAgain {
		k.leave(now, p)
	}
	q.validateWait = 0
}
