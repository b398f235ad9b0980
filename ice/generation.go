package ice

import (
	"time"

	"purertc/stun"
)

// A generation is everything that an ICE restart replaces: the credentials of both
// agents, the remote candidates, and the checklist of pairs.
type generation struct {
	ufrag, pwd  string
	localKey    *stun.Integrity // of requests to this agent and their responses
	remoteUfrag string          // a part of username
	remoteKey   *stun.Integrity // of requests to the remote agent and their responses; nil: not known yet
	username    string          // of requests to the remote agent: its ufrag, colon, ufrag (RFC 8445 §7.2.2)

	lite        bool // the remote agent is
	remoteEnded bool // EndOfRemote
	wasValid    bool // a pair became valid
	failed      bool
	reached     bool      // a request of the remote agent named this generation: it has the local credentials
	pending     bool      // the answer with the local credentials may still be on its way; excludes reached
	recheckAt   time.Time // while pending
	nomination  uint32    // controlled: the highest number that the remote agent nominated with

	remotes []*remote
	prflx   int     // peer-reflexive ones of remotes
	pairs   []*pair // best first
	early   []earlyCheck
	seen    seenChecks // of a lite agent

	started    time.Time // when remoteKey became known
	firstValid time.Time // when the first pair became valid
	nominated  *pair
	closedFor  *pair // the nominated pair that closeSuperseded was last done for

	nextCheck time.Time // of the newest generation: pacing of all ordinary checks (RFC 8445 §6.1.4.2)

	older *generation // the generation in use that this one replaced; at most maxReplaced follow
	open  bool        // its pairs are checked and nominated; see replaceGeneration
	until time.Time   // of a replaced generation: when it is removed; zero: not known yet
}

func (k *checks) newGeneration(ufrag, pwd string) *generation {
	if ufrag == "" {
		ufrag = k.random.iceChars(8) // 48 bits; RFC 8445 §5.3 requires 24
	}
	if pwd == "" {
		pwd = k.random.iceChars(16) + k.random.iceChars(16) // 192 bits; 128 are required
	}
	return &generation{ufrag: ufrag, pwd: pwd, open: true, localKey: stun.NewIntegrity([]byte(pwd))}
}

// SetRemote sets the remote credentials, and whether the remote agent is ICE-lite.
// Checks begin once the credentials are known. Other ones than before mean that the
// remote agent has restarted, or that another one has answered.
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
	// Copies are kept: the arguments may be parts of a long text.
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

// Restart begins an ICE restart (RFC 8445 §9) with new local credentials, made at
// random where empty. Data is sent on the old pair until a new one is valid. The new
// remote credentials come with SetRemote. Local candidates are signalled again, with
// the new ufrag, and servers asked again; EndOfLocal follows.
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

// Rollback undoes a Restart whose offer was rolled back before it was answered
// (RFC 8839 §4.4.1.1.1: only offers restart): the generation before it is the present
// one again. Without such a Restart it does nothing.
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

// setLive makes g the present generation, and older the ones that it replaced, the
// newest first.
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

// olderExcept returns the generations in use that g replaced, the newest first,
// except those that drop reports.
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
	// remote agent changes to the new generation about a round trip after this one;
	// and pending checks are answered within it at a round trip of a second, with one
	// datagram in ten lost.
	replacedFor = 10 * time.Second

	// maxReplaced bounds the replaced generations. Offers and answers take turns, so
	// both agents replace the same generations in the same order, at most two apart
	// at any moment: of four, both agents have two in common.
	maxReplaced = 4
)

// replaceGeneration makes a new generation the present one. The generation of the
// selected pair still carries data. Generations without a valid pair stay open: their
// checks go on, or else restarts that follow each other faster than checks are
// answered would never let a pair become valid. If there are too many, the newest is
// dropped, since the checks of the others are nearer to their end.
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

// becomeValid notes that g has its first valid pair. Generations that it replaced
// are not checked any more.
func (k *checks) becomeValid(now time.Time, g *generation) {
	g.wasValid, g.firstValid = true, now
	for o := g.older; o != nil; o = o.older {
		o.open = false
	}
}

// expireReplaced removes replaced generations, replacedFor after they last carried
// data. The generation that Rollback would go back to stays.
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
