package ice

import "time"

// Renew says that the remote agent was replaced by another one with the same
// credentials and other sockets. A browser does that when the media section of its
// transport is rejected. No address of the old agent answers any more, so every pair
// is checked again before it carries data. The addresses of the new agent arrive as
// candidates or with its checks, perhaps before Renew is called. So Renew removes no
// candidate; the checks of the old agent's candidates will fail. The agent fails after
// 30 s without an answer.
func (a *Agent) Renew(now time.Time) {
	if a.state == StateClosed || a.cur.failed {
		return
	}
	for g := a.cur; g != nil; g = g.older {
		g.renew()
	}
	a.selected, a.lastAnswer = nil, now
	a.update(now)
}

// renew resets every pair of a generation to its initial state.
func (g *generation) renew() {
	g.wasValid, g.open = false, true
	g.nominated, g.closedFor, g.nomination = nil, nil, 0
	for _, p := range g.pairs {
		p.state, p.err = PairWaiting, nil
		p.nominating, p.remoteNomination, p.carried = false, 0, false
		p.transactions, p.consent = transactions{}, consent{}
		p.lastAnswer, p.unansweredSince, p.rtt = time.Time{}, time.Time{}, 0
		p.retransmission.Stop()
	}
}
