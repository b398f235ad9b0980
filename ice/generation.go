package ice

import (
	"time"

	"purertc/stun"
)

// A generation is everything that an ICE restart replaces: the credentials of both
// agents, the remote candidates, and the checklist of pairs.
type generation struct {
	consent     *ConsentTimes // Config.Consent of the agent
	ufrag, pwd  string
	localKey    *stun.Integrity // key of requests to this agent, and of the responses to them
	remoteUfrag string          // ufrag of the remote agent; a part of the string username
	remoteKey   *stun.Integrity // key of requests to the remote agent, and of the responses to them; nil: not known yet
	username    string          // USERNAME in requests to the remote agent: remote ufrag, colon, local ufrag (RFC 8445 §7.2.2)

	lite        bool // the remote agent is ICE-lite
	remoteEnded bool // EndOfRemote was called
	wasValid    bool // a pair became valid
	failed      bool
	reached     bool      // a request of the remote agent named this generation, so the remote agent has the local credentials
	pending     bool      // the answer with the local credentials may still be on its way; not set together with reached
	recheckAt   time.Time // while pending: when failed pairs are checked again
	nomination  uint32    // if controlled: the highest number with which the remote agent has nominated

	remotes []*remote
	prflx   int     // number of peer-reflexive candidates in remotes
	pairs   []*pair // best first
	early   []earlyCheck
	seen    seenChecks // checks seen by a lite agent

	started    time.Time // when remoteKey became known
	firstValid time.Time // when the first pair became valid
	nominated  *pair
	closedFor  *pair // the nominated pair for which closeSuperseded was last run

	nextCheck time.Time // in the newest generation: time of the next ordinary check of all generations (RFC 8445 §6.1.4.2)

	older *generation // the generation in use that this one has replaced; the list has at most maxReplaced
	open  bool        // pairs of this generation are checked and nominated; see replaceGeneration
	until time.Time   // for a replaced generation: when it is removed; zero: not known yet
}

func (k *checks) newGeneration(ufrag, pwd string) *generation {
	if ufrag == "" {
		ufrag = k.random.iceChars(8) // 48 random bits; RFC 8445 §5.3 requires 24
	}
	if pwd == "" {
		pwd = k.random.iceChars(16) + k.random.iceChars(16) // 192 random bits; RFC 8445 §5.3 requires 128
	}
	return &generation{consent: &k.consent, ufrag: ufrag, pwd: pwd, open: true, localKey: stun.NewIntegrity([]byte(pwd))}
}

// SetRemote sets the remote credentials, and whether the remote agent is ICE-lite.
// Checks begin once the credentials are known. If the credentials differ from the
// previous ones, the remote agent has restarted, or another agent has answered.
func (a *Agent) SetRemote(now time.Time, ufrag, pwd string, lite bool) {
	g := a.cur
	if a.state == StateClosed || g.remoteKey != nil && g.remoteUfrag == ufrag && g.remoteKey.IsOf([]byte(pwd)) {
		return
	}
	if g.remoteKey != nil {
		a.replaceGeneration(now, g.ufrag, g.pwd)
		g = a.cur
	}
	a.replaced = nil
	a.retainLookups()
	// username is a copy, and remoteUfrag a part of it, because the arguments may be
	// parts of a long text.
	g.username, g.lite = ufrag+":"+g.ufrag, lite
	g.remoteUfrag = g.username[:len(ufrag)]
	g.remoteKey = stun.NewIntegrity([]byte(pwd))
	g.started, g.failed = now, false
	if lite && !a.lite && !a.controlling {
		a.setRole(true) // RFC 8445 §6.1.1: the full agent is controlling
	}
	a.replayEarly(now)
	a.update(now)
}

// Restart begins an ICE restart (RFC 8445 §9) with new local credentials. If ufrag or
// pwd is empty, it is drawn at random. Data is sent on the old pair until a new pair
// is valid. The new remote credentials come with SetRemote. Local candidates are
// signalled again, with the new ufrag, and servers are asked again. The owner then
// calls EndOfLocal.
func (a *Agent) Restart(now time.Time, ufrag, pwd string) {
	if a.state == StateClosed {
		return
	}
	if a.cur.remoteKey != nil {
		a.replaced = a.cur
	}
	a.replaceGeneration(now, ufrag, pwd)
	a.gather.restart(now)
	a.update(now)
}

// Rollback undoes a Restart if its offer was rolled back before the offer was answered
// (RFC 8839 §4.4.1.1.1: only offers restart). The generation that Restart replaced
// becomes the present one again. If there is no Restart to undo, Rollback does
// nothing.
func (a *Agent) Rollback(now time.Time) {
	if a.state == StateClosed || a.replaced == nil {
		return
	}
	g := a.replaced
	a.replaced = nil
	g.open, g.until = true, time.Time{}
	a.setLive(g, a.cur.olderExcept(func(o *generation) bool { return o == g }))
	a.pruneRoutes()
	a.update(now)
}

// setLive sets g as the present generation. older are the generations that it
// replaced, the newest first.
func (k *checks) setLive(g *generation, older []*generation) {
	if k.cur != nil {
		g.nextCheck = k.cur.nextCheck
	}
	k.cur, g.older = g, nil
	k.gather.ufrag = g.ufrag
	for _, o := range older {
		g.older, o.older = o, nil
		g = o
	}
}

// olderExcept returns the generations in use that g has replaced, the newest first,
// without those for which drop returns true.
func (g *generation) olderExcept(drop func(*generation) bool) (list []*generation) {
	for o := g.older; o != nil; o = o.older {
		if !drop(o) {
			list = append(list, o)
		}
	}
	return list
}

const (
	// replacedFor is how long a replaced generation that carries no data is kept. The
	// remote agent changes to the new generation about a round trip later than this
	// agent. Within this time pending checks are answered even if the round trip is a
	// second and one datagram in ten is lost.
	replacedFor = 10 * time.Second

	// maxReplaced bounds the replaced generations. Offers and answers alternate, so
	// both agents replace the same generations in the same order, at most two apart at
	// any moment. If both keep four, they have two in common.
	maxReplaced = 4
)

// replaceGeneration creates a new generation, which becomes the present one. The
// generation of the selected pair still carries data. Generations without a valid pair
// stay open, so that their checks continue. Otherwise no pair would ever become valid
// if restarts follow each other faster than checks are answered. If there are too many
// generations, the newest of the replaced generations is dropped, because the checks
// of the older generations are nearer to their end.
func (a *Agent) replaceGeneration(now time.Time, ufrag, pwd string) {
	old := a.cur
	older := a.cur.olderExcept(func(g *generation) bool {
		return !g.open && (a.selected == nil || a.selected.gen != g)
	})
	if old.remoteKey != nil && !old.failed && len(older) < maxReplaced {
		old.open = !old.wasValid
		older = append([]*generation{old}, older...)
	}
	a.setLive(a.newGeneration(ufrag, pwd), older)
	a.expireReplaced(now)
	a.pruneRoutes()
}

// becomeValid notes that g has its first valid pair. The generations that g has
// replaced are not checked any more.
func (k *checks) becomeValid(now time.Time, g *generation) {
	g.wasValid, g.firstValid = true, now
	for o := g.older; o != nil; o = o.older {
		o.open = false
	}
}

// expireReplaced removes a replaced generation when replacedFor has passed since it
// last carried data. The generation to which Rollback would return stays.
func (a *Agent) expireReplaced(now time.Time) {
	expired := false
	for g := a.cur.older; g != nil; g = g.older {
		switch {
		case g == a.replaced || a.selected != nil && a.selected.gen == g:
			g.until = time.Time{}
		case g.until.IsZero():
			g.until = now.Add(replacedFor)
		}
		expired = expired || g.expired(now)
	}
	if expired {
		a.setLive(a.cur, a.cur.olderExcept(func(g *generation) bool { return g.expired(now) }))
		a.retainLookups()
		a.pruneRoutes()
	}
}

func (g *generation) expired(now time.Time) bool { return !g.until.IsZero() && !now.Before(g.until) }
