package ice

import "time"

// An ICE-lite agent (RFC 8445 §2.5) is for a server that everybody reaches.
// It has host candidates only, is controlled, checks nothing and answers
// checks: a pair is valid, and carries data, when the far end nominates it
// (RFC 8445 §7.3.2), and as long as the far end goes on checking it, which a
// full agent does for its own consent to send (RFC 7675 §1).

// heardOn takes an authenticated check of the far end on p.
func (a *Agent) heardOn(now time.Time, p *pair, nominates bool) {
	g := p.gen
	if nominates {
		p.state, p.useCandidate, p.nominatedAt = PairSucceeded, true, now
		if !g.wasValid {
			a.becomeValid(now, g)
		}
	}
	if p.state == PairSucceeded {
		p.err = nil
		p.lastAnswer, a.lastAnswer = now, now
	}
	if nominates {
		g.accept(now, p)
	}
}
