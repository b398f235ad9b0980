package ice

import "time"

// Renew says that the remote agent has been replaced by another one, with the same
// credentials and other sockets: a browser does so when the media section that its
// transport belongs to is rejected. No address of the old agent answers any more, so
// every pair has to prove itself anew before data goes by it. The addresses of the
// new agent come as its candidates, or with its checks. They may have come before
// Renew, so none is forgotten: checks of those that are gone fail. As if the selected
// pair had just answered, 30 s pass until the agent fails.
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

// renew has every pair of a generation be checked as if it never had been.
func (g *generation) renew() {
	g.wasValid, g.open = false, true
	g.nominated, g.closedFor, g.nomination = nil, nil, 0
	for _, p := range g.pairs {
		p.state, p.err = PairWaiting, nil
		p.nominating, p.nominated, p.theirs, p.used = false, false, 0, false
		p.transactions, p.consent = transactions{}, consent{}
		p.lastAnswer, p.quietSince, p.rtt = time.Time{}, time.Time{}, 0
		p.retransmission.Stop()
	}
}
