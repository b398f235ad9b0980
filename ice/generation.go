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
	nomination  uint32 // controlled: the highest of the far end's

	remotes []*remote
	prflx   int     // remotes learnt from checks
	pairs   []*pair // best first
	early   []earlyCheck

	started    time.Time // when remoteKey became known
	nextCheck  time.Time // pacing of ordinary checks
	firstValid time.Time // when the first pair became valid
	nominated  *pair
	closedFor  *pair // the nominated pair that closeSuperseded was last done for

	until time.Time // of a generation that was replaced: when it is forgotten
}

func (a *Agent) newGeneration(ufrag, pwd string) *generation {
	if ufrag == "" {
		ufrag = a.iceChars(8) // 48 bits; RFC 8445 §5.3 wants 24
	}
	if pwd == "" {
		pwd = string(append([]byte(a.iceChars(16)), a.iceChars(16)...)) // 192 bits; 128 are wanted
	}
	return &generation{ufrag: ufrag, pwd: pwd, localKey: stun.NewIntegrity([]byte(pwd))}
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
		a.replaceGeneration(g.ufrag, g.pwd)
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
	a.replaceGeneration(ufrag, pwd)
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
	a.cur, a.replaced = a.replaced, nil
	if a.prev == a.cur {
		a.prev = nil
	}
	a.dropRoutes()
	a.update(now)
}

// replacedFor is how long requests to the old credentials are answered after
// a pair of the new generation is in use: the far end moves over a
// round trip or so later.
const replacedFor = 10 * time.Second

// replaceGeneration makes a new generation the present one. The old one goes
// on as long as it has the pair that carries data.
func (a *Agent) replaceGeneration(ufrag, pwd string) {
	old := a.cur
	a.cur = a.newGeneration(ufrag, pwd)
	if a.selected != nil && a.selected.gen != old && a.prev != nil {
		// Restarted again before a pair of the last restart was valid: the
		// one that carries data is what matters.
		return
	}
	a.prev = nil
	if old.remoteKey != nil && !old.failed {
		a.prev = old
	}
	a.dropRoutes()
}

// expirePrevious forgets the old generation some time after the new one took
// over.
func (a *Agent) expirePrevious(now time.Time) {
	if a.prev == nil {
		return
	}
	if a.selected != nil && a.selected.gen == a.cur && a.prev.until.IsZero() {
		a.prev.until = now.Add(replacedFor)
	}
	if !a.prev.until.IsZero() && !now.Before(a.prev.until) {
		a.prev = nil
		a.dropRoutes()
	}
}
