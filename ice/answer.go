package ice

import "time"

// An answerer cannot know when its answer arrives: signalling by hand takes minutes.
// Until then the remote agent may answer checks, but cannot send any, since it lacks
// the local credentials. Its first authenticated request shows that it has them.
// Before that, the remote agent's silence is no failure, and no timer counts down to
// one (RFC 8863 §4 counts from when checks can begin).

// pendingRecheck is how often pairs whose checks failed are checked again meanwhile:
// often enough to keep the bindings of NATs, which last 30 s or more.
const pendingRecheck = 10 * time.Second

// AnswerPending says that the remote agent may not have the local credentials of
// the present generation yet: the local end has answered, and how long the
// answer travels is unknown. It follows SetRemote. While the generation before a
// restart carries data nothing changes: its consent decides.
func (a *Agent) AnswerPending(now time.Time) {
	g := a.cur
	if a.state == StateClosed || g.reached || g.pending || a.selected != nil || !a.lastAnswer.IsZero() {
		return
	}
	g.pending, g.recheckAt = true, now.Add(pendingRecheck)
	a.update(now)
}

// Reached says that the remote agent has the local credentials, as its DTLS
// messages show.
func (a *Agent) Reached(now time.Time) {
	if a.cur.pending {
		a.cur.reach(now)
		a.update(now)
	}
}

// Pending reports whether the agent waits for a sign that the remote agent has
// the local credentials.
func (a *Agent) Pending() bool { return a.cur.pending }

// Ready reports whether data goes to a remote agent that has the local
// credentials.
func (a *Agent) Ready() bool { return a.selected != nil && !a.selected.gen.pending }

// reach notes that the remote agent has the local credentials.
func (g *generation) reach(now time.Time) {
	g.reached = true
	if g.pending {
		g.pending, g.recheckAt = false, time.Time{}
		g.started = now // RFC 8863 §4 counts from here
	}
}

// runPending checks failed pairs again while the answer is on its way. If consent
// expires meanwhile, it is no failure: the pair is checked again.
func (g *generation) runPending(now time.Time) {
	if !g.pending || now.Before(g.recheckAt) {
		return
	}
	g.recheckAt = now.Add(pendingRecheck)
	for _, p := range g.pairs {
		if p.state == PairFailed {
			p.state = PairWaiting
		}
	}
}
