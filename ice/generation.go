package ice

import (
	"time"

	"purertc/stun"
)

// A generation is all that an ICE restart replaces: the credentials of both
// ends, the far end's candidates, and the pairs.
type generation struct {
	ufrag, pwd  string
	localKey    *stun.Integrity // of requests to us and our answers
	remoteUfrag string          // a part of username
	remoteKey   *stun.Integrity // their password, of our requests and their answers; nil until known
	username    string          // of our requests: their ufrag, colon, ours (RFC 8445 §7.2.2)

	lite        bool
	remoteEnded bool
	wasValid    bool
	failed      bool
	reached     bool      // a request of the remote agent named this generation: it has the local credentials
	pending     bool      // the answer with the local credentials may still be on its way; excludes reached
	recheckAt   time.Time // while pending
	nomination  uint32    // controlled: the highest number that the remote agent nominated with

	remotes []*remote
	prflx   int     // remotes learnt from checks
	pairs   []*pair // best first
	early   []earlyCheck
	seen    seenChecks // of a lite agent

	started    time.Time // when remoteKey became known
	firstValid time.Time // when the first pair became valid
	nominated  *pair
	closedFor  *pair // the nominated pair that closeSuperseded was last done for

	gatherBy  time.Time // see GatherUntil; zero: no bound
	nextCheck time.Time // of the newest generation: pacing of all ordinary checks (RFC 8445 §6.1.4.2)

	older *generation // the generation in use that this one replaced; at most maxReplaced follow
	open  bool        // its pairs are checked and nominated; see replaceGeneration
	until time.Time   // of a replaced generation: when it is forgotten; zero: not known yet
}

func (a *Agent) newGeneration(ufrag, pwd string) *generation {
	if ufrag == "" {
		ufrag = a.random.iceChars(8) // 48 bits; RFC 8445 §5.3 wants 24
	}
	if pwd == "" {
		pwd = string(append([]byte(a.random.iceChars(16)), a.random.iceChars(16)...)) // 192 bits; 128 are wanted
	}
	return &generation{ufrag: ufrag, pwd: pwd, open: true, localKey: stun.NewIntegrity([]byte(pwd))}
}

// SetRemote sets the far end's credentials, and whether it is ICE lite.
// Checks begin once they are known. Other credentials than before mean that
// the far end restarted, or that another one answered.
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
	a.dropUnresolved()
	// What is kept is copied: the arguments may be parts of a long text.
	g.username, g.lite = ufrag+":"+g.ufrag, lite
	g.remoteUfrag = g.username[:len(ufrag)]
	g.remoteKey = stun.NewIntegrity([]byte(pwd))
	g.started, g.failed = now, false
	if lite && !a.lite && !a.controlling {
		a.setRole(true) // RFC 8445 §6.1.1
	}
	a.replayEarly(now)
	a.update(now)
}

// checking tells whether a check is under way or waits for its turn.
func (g *generation) checking() bool {
	for _, p := range g.pairs {
		if p.state == PairWaiting || p.state == PairInProgress {
			return true
		}
	}
	return false
}

// Restart begins an ICE restart (RFC 8445 §9) with new local credentials,
// made at random where empty. Data goes on over the old pair until a new one
// is valid. The remote's new credentials come with SetRemote. Local
// candidates are told anew, with the new ufrag, and servers asked again;
// EndOfLocal is to follow.
func (a *Agent) Restart(now time.Time, ufrag, pwd string) {
	if a.state == StateClosed {
		return
	}
	if a.cur.remoteKey != nil {
		a.replaced = a.cur
	}
	a.replaceGeneration(now, ufrag, pwd)
	a.localEnded, a.gatheringEnd = false, false
	for _, b := range a.bases {
		if !a.relayOnly || b.typ == Relay {
			a.tellCandidates(b)
		}
	}
	a.regather(now)
	a.update(now)
}

// Rollback takes back a Restart whose offer was rolled back before it was
// answered (RFC 8839 §4.4.1.1.1 lets only offers restart): the generation
// before it goes on. Without such a Restart it does nothing.
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

// setLive makes g the present generation, and older those that it replaced, the
// newest first.
func (a *Agent) setLive(g *generation, older []*generation) {
	if a.cur != nil {
		g.nextCheck = a.cur.nextCheck
	}
	a.cur, g.older = g, nil
	for _, o := range older {
		g.older, o.older = o, nil
		g = o
	}
}

// olderExcept returns the generations in use that g replaced, the newest first,
// without those that drop reports.
func (g *generation) olderExcept(drop func(*generation) bool) (list []*generation) {
	for o := g.older; o != nil; o = o.older {
		if !drop(o) {
			list = append(list, o)
		}
	}
	return list
}

const (
	// replacedFor is how long a replaced generation that carries no data is
	// kept. The peer moves to the new generation a round trip or so after this
	// end; and checks under way at a round trip of a second, with one of ten
	// lost, are answered within it.
	replacedFor = 10 * time.Second

	// maxReplaced bounds the replaced generations that are kept. Offers and
	// answers take turns, so both ends replace the same generations in the same
	// order, at most two apart at any moment: of four, two are kept by both.
	maxReplaced = 4
)

// replaceGeneration makes a new generation the present one. The generation that
// has the pair that carries data goes on carrying it. Generations without a
// valid pair stay open: their checks go on, or else restarts that follow each
// other faster than checks are answered would never let a pair become valid.
// Where there are too many, the newest is dropped, since the checks of the others
// are nearer to their end.
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

// becomeValid notes that g has its first valid pair. The generations that it
// replaced are not checked any more.
func (a *Agent) becomeValid(now time.Time, g *generation) {
	g.wasValid, g.firstValid = true, now
	for o := g.older; o != nil; o = o.older {
		o.open = false
	}
}

// expireReplaced forgets replaced generations, replacedFor after they last
// carried data. The generation that a rollback would go back to stays.
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
		a.dropUnresolved()
		a.pruneRoutes()
	}
}

func (g *generation) expired(now time.Time) bool { return !g.until.IsZero() && !now.Before(g.until) }
