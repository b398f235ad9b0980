package ice

import "time"

// A path can die between two consent requests, which are seconds apart. But
// whoever waits for an answer and hears nothing notices: a DTLS flight or SCTP's
// data is answered within a round trip and the 200 ms that a SACK may be
// delayed (RFC 9260 §6.2). So what goes unanswered for longer has the next
// consent request sent at once. It is a connectivity check like any other, and
// nothing is concluded from silence alone.

// quietLeast is the least time that data goes unanswered before that.
const quietLeast = 400 * time.Millisecond

// quietFor is how long data on p may go unanswered.
func (p *pair) quietFor() time.Duration { return max(quietLeast, 200*time.Millisecond+2*p.rtt) }

// ExpectAnswer tells that the data sent last is to be answered, as an
// acknowledgement is not.
func (a *Agent) ExpectAnswer(now time.Time) {
	p := a.selected
	if p == nil || !p.quietSince.IsZero() || p.consent.unanswered > 0 || a.lite {
		return
	}
	p.quietSince = now
	if at := p.probeAt(); at.Before(a.deadline) {
		a.deadline = at
	}
}

// Silent tells whether the far end is late with an answer, so that Advance has
// a consent request sent before its time.
func (a *Agent) Silent(now time.Time) bool {
	p := a.selected
	if p == nil || now.Before(p.probeAt()) {
		return false
	}
	return p.consent.unanswered > 0 || now.Before(p.consent.next)
}

// Heard is when the far end last answered, on any pair; zero: never.
func (a *Agent) Heard() time.Time { return a.lastAnswer }

// Excuse tells that the far end's silence proves nothing, since what it sent
// may not have been read yet: data goes unanswered from now on, and a consent
// request that was to follow an unanswered one has its interval again. Advance
// follows.
func (a *Agent) Excuse(now time.Time) {
	p := a.selected
	if p == nil {
		return
	}
	if !p.quietSince.IsZero() {
		p.quietSince = now
	}
	if c := &p.consent; c.unanswered > 0 && !c.next.IsZero() && !now.Before(c.next) {
		c.next = now.Add(a.probeInterval(c.unanswered, p.rtt))
	}
}

// probeAt is when the next consent request is due.
func (p *pair) probeAt() time.Time {
	at := p.consent.next
	if !p.quietSince.IsZero() {
		if q := p.quietSince.Add(p.quietFor()); q.Before(at) {
			return q
		}
	}
	return at
}

// hears notes that the far end was heard on the selected pair.
func (p *pair) hears(now time.Time) { p.quietSince, p.heardAt = time.Time{}, now }

// followLeast is how long at least nothing was heard on the selected pair
// before data on another one is followed.
const followLeast = 200 * time.Millisecond

// followAgain is how long after it was left in vain, since it answered, a pair
// is not left in this way again: a far end may have reasons of its own to send
// on one pair what it takes on another.
const followAgain = time.Minute

// follow looks at data that came on another route than data goes out on. A far
// end that has left a path, perhaps since its network is gone, is followed
// without waiting for that path to be found dead. It is checked on, and
// used again if it answers. One that never sent data on it has not left: Firefox
// stays on the pair that it took first, and takes data on the one that we
// nominated. A pair that did not answer lately, such as one that the far end alone
// has checked, since ours that is nominated outranks it, is checked first. An
// ICE-lite agent never follows data, since it makes no checks (RFC 8445 §2.5): its
// far end's checks say where it is.
func (a *Agent) follow(now time.Time, r Route) {
	p := a.selected
	if p == nil || !p.used || a.lite || p.gen != a.cur || now.Sub(p.heardAt) < max(followLeast, 2*p.rtt) || now.Sub(p.leftAt) < followAgain {
		return
	}
	for _, q := range p.gen.pairs {
		switch {
		case q.route != r || q == p || p.consent.unanswered >= doubtful:
			continue
		case q.fresh(now):
			p.consent.unanswered, p.leftAt = doubtful, now
			a.update(now)
		case q.state != PairInProgress && !now.Before(q.provenAt.Add(q.provenWait)):
			a.askOn(now, q) // followProven, if it answers
		}
		return
	}
}

// strange looks at payload from where the far end has not proved itself. It may
// be the far end's yet, to which a NAT has given another address.
func (a *Agent) strange(r Route, b []byte) []byte {
	local := a.findBase(r)
	if a.selected == nil || a.selected.gen != a.cur || local == nil || local.tcp != NotTCP || a.lite || a.relayOnly && local.typ != Relay {
		return nil
	}
	a.stranger = r
	return b
}

// Proven tells that the payload that HandleDatagram returned last, with false,
// was made by the far end. Whether it is there, and did not only have its
// datagram carried on, a check is to say: its own may be seconds away, and so
// long all that is sent is lost. The check is sent once: whoever is there may
// have nothing to do with this. As long as it is not answered, more of such
// payload has it repeated ever less often. An ICE-lite agent asks for none of
// this.
func (a *Agent) Proven(now time.Time) {
	p, local := a.selected, a.findBase(a.stranger)
	if p == nil || local == nil {
		return
	}
	// It is not nominated for its priority, while the far end is heard where it
	// was (RFC 9000 §9.3.3).
	const typePreference = 0xff << 24 // RFC 8445 §5.1.2.1
	priority := PeerReflexive.preference()<<24 | p.remote.priority&^typePreference
	q := a.pairFor(now, a.cur, earlyCheck{
		base: local, route: local.route(a.stranger.Remote), priority: min(priority, p.remote.priority),
	})
	if q == nil || now.Before(q.provenAt.Add(q.provenWait)) {
		return
	}
	a.askOn(now, q)
}

// askOn has a pair checked that the far end may be sending on.
func (a *Agent) askOn(now time.Time, q *pair) {
	q.provenAt, q.provenWait = now, max(followLeast, 2*a.selected.rtt, 2*q.provenWait)
	q.trigger()
	q.once = true
	a.update(now)
}

// followProven has data go where the far end was proven to be, and has now
// answered, unless it was meanwhile heard where it was before.
func (a *Agent) followProven(now time.Time, q *pair) {
	p := a.selected
	if p != nil && p != q && p.gen == q.gen && !p.heardAt.After(q.provenAt) && now.Sub(p.leftAt) >= followAgain {
		p.consent.unanswered, p.leftAt = doubtful, now
	}
	q.provenWait = 0
}
