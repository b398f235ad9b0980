package ice

import "time"

// An answerer cannot know when its answer arrives: signalling by hand takes minutes.
// Until the answer arrives, the remote agent may answer checks, but cannot send any,
// because it lacks the local credentials. Its first authenticated request shows that
// it has received them. Until then, it is no failure if the remote agent sends
// nothing, and no timer that would end in a failure runs (RFC 8863 §4 starts it when
// checks can begin).

// pendingRecheck is how often failed pairs are checked again while the answer may
// still be on its way. That is often enough to keep the bindings of NATs, which last
// 30 s or more.
const pendingRecheck = 10 * time.Second

// AnswerPending says that the local end has answered, and that it is unknown how long
// the answer travels. So the remote agent may not have the local credentials of the
// present generation yet. The owner calls it after SetRemote. While the generation
// before a restart carries data, nothing changes: the consent of that generation
// decides.
func (a *Agent) AnswerPending(now time.Time) {
	g := a.cur
	if a.state == StateClosed || g.reached || g.pending || a.selected != nil || !a.lastAnswer.IsZero() {
		return
	}
	g.pending, g.recheckAt = true, now.Add(pendingRecheck)
	a.update(now)
}

// Reached says that the remote agent has the local credentials. The owner knows that
// from its DTLS messages.
func (a *Agent) Reached(now time.Time) {
	if a.cur.pending {
		a.cur.reach(now)
		a.update(now)
	}
}

// Pending reports whether the agent waits for a sign that the remote agent has
// the local credentials.
func (a *Agent) Pending() bool { return a.cur.pending }

// Ready reports whether a pair carries data and the remote agent has the local
// credentials of the pair's generation.
func (a *Agent) Ready() bool { return a.selected != nil && !a.selected.gen.pending }

// reach notes that the remote agent has the local credentials.
func (g *generation) reach(now time.Time) {
	g.reached = true
	if g.pending {
		g.pending, g.recheckAt = false, time.Time{}
		g.started = now // the waiting time of RFC 8863 §4 starts now
	}
}

// runPending checks failed pairs again while the answer is on its way. If consent to a
// pair expires during that time, it is no failure: the pair is checked again.
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
