package ice

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"time"
)

// Config configures an Agent.
type Config struct {
	Controlling bool
	RelayOnly   bool      // only relayed candidates are signalled, and checks are sent only from them
	Lite        bool      // the agent is ICE-lite, see the package's comment; not together with RelayOnly
	Ufrag, Pwd  string    // local credentials; drawn from Rand if empty (RFC 8445 §5.3)
	Rand        io.Reader // nil means crypto/rand, which also replaces a reader that fails

	// Consent configures the intervals and time limits of consent.
	Consent ConsentTimes
	// RemoteFilter, if set, reports whether an address may be that of a remote
	// candidate. Checks from other addresses are not answered.
	RemoteFilter func(netip.Addr) bool

	// Trace, if set, is called with each step of the agent that NextEvent does not
	// report, for a log. It must not call methods of the Agent. Default: none.
	Trace func(now time.Time, e TraceEvent)
}

// Errors with which an agent fails.
var (
	ErrNoPair         = errors.New("ice: no candidate pair worked")
	ErrConsentExpired = errors.New("ice: the remote agent did not answer, and the consent to send has expired")
	ErrBothLite       = errors.New("ice: both agents are ICE-lite, so that none sends checks")
)

// An Agent is an ICE agent (RFC 8445), full or lite, for one component of one data
// stream. It is a pure state machine, and not safe for concurrent use.
//
// It passes input to its parts, and combines their output. The gatherer finds local
// candidates, lookups resolves names of remote candidates, and checks forms pairs,
// checks them and selects the pair that carries data.
type Agent struct {
	random   randomSource
	gather   gatherer
	lookups  lookups
	checks   // embedded, because the Agent reads its fields
	out      outbox
	events   eventQueue
	deadline time.Time // when Advance has something to do; zero: never
}

// NewAgent returns an agent in StateNew.
func NewAgent(cfg Config) *Agent {
	a := &Agent{random: randomSource{reader: cfg.Rand}}
	a.gather = gatherer{random: &a.random, events: &a.events, out: &a.out, relayOnly: cfg.RelayOnly}
	a.checks = checks{
		random: &a.random, events: &a.events, out: &a.out, gather: &a.gather,
		consent: cfg.Consent.orDefaults(), remoteFilter: cfg.RemoteFilter, trace: tracer{cfg.Trace},
		lite: cfg.Lite, controlling: cfg.Controlling && !cfg.Lite, tieBreaker: a.random.uint64(),
	}
	a.setLive(a.newGeneration(cfg.Ufrag, cfg.Pwd), nil)
	return a
}

// Credentials returns the local ufrag and password (RFC 8839 §5.4).
func (a *Agent) Credentials() (ufrag, pwd string) { return a.cur.ufrag, a.cur.pwd }

// Ufrags returns the local ufrags that checks of the remote agent may name: that of
// the present generation, those of the generations that it replaced, and that of the
// generation to which Rollback would return.
func (a *Agent) Ufrags() (list []string) {
	add := func(g *generation) {
		if !slices.Contains(list, g.ufrag) {
			list = append(list, g.ufrag)
		}
	}
	for g := a.cur; g != nil; g = g.older {
		add(g)
	}
	if a.replaced != nil {
		add(a.replaced)
	}
	return list
}

// SetControlling sets the role that follows from offer and answer (RFC 8445 §6.1.1).
// If one agent is lite, the full agent is controlling, whatever the argument says.
func (a *Agent) SetControlling(now time.Time, controlling bool) {
	controlling = (controlling || a.cur.lite) && !a.lite
	if a.controlling != controlling {
		a.setRole(controlling)
	}
	a.update(now)
}

// Controlling reports whether the agent is controlling at present. A role conflict may
// have changed its role.
func (a *Agent) Controlling() bool { return a.controlling }

// setRole changes the role; pair priorities depend on it (RFC 8445 §7.3.1.1).
func (k *checks) setRole(controlling bool) {
	k.controlling = controlling
	for g := k.cur; g != nil; g = g.older {
		g.sortPairs(controlling)
	}
}

// Release releases memory that will be allocated again when it is needed: the HMACs of
// the passwords, and room for events and datagrams. It is for an owner of many idle
// agents, which only send and answer consent requests.
func (a *Agent) Release() {
	for g := a.cur; g != nil; g = g.older {
		g.localKey.Release()
		if g.remoteKey != nil {
			g.remoteKey.Release()
		}
	}
	a.events.release()
	a.out.release()
}

// State returns the present state.
func (a *Agent) State() State { return a.state }

// Err returns the cause of StateFailed. It is nil in other states.
func (a *Agent) Err() error { return a.err }

// Advance runs the timers that are due.
func (a *Agent) Advance(now time.Time) {
	if !a.deadline.IsZero() && !now.Before(a.deadline) {
		a.update(now)
	}
}

// NextTimeout returns when Advance has something to do. The zero time means never.
func (a *Agent) NextTimeout() time.Time { return a.deadline }

// update runs everything that depends on the time, or on the input that just arrived.
func (a *Agent) update(now time.Time) {
	if a.state == StateClosed {
		a.deadline = time.Time{}
		return
	}
	a.resolved(now)
	a.gather.run(now, gathererNeed{nominated: a.cur.nominated != nil, failed: a.cur.failed, selected: a.selected})
	a.takeBases(now)
	if !a.cur.failed {
		a.expireReplaced(now)
		a.routesRemoved(a.routes.expire(now))
		if !a.lite {
			a.cur.runPending(now)
			a.nominate(now)
			a.runChecks(now)
		}
		a.choose(now)
		a.runConsent(now)
		a.choose(now) // consent may have expired
		a.closeSuperseded()
		a.updateState(now, a.lookups.idle())
	}
	a.gather.finish(now)
	a.deadline = a.earliest(now)
}

// An alarm collects times and keeps the earliest.
type alarm struct{ at time.Time }

func (e *alarm) add(t time.Time) {
	if !t.IsZero() && (e.at.IsZero() || t.Before(e.at)) {
		e.at = t
	}
}

// earliest returns when update will next change something.
func (a *Agent) earliest(now time.Time) time.Time {
	var e alarm
	e.add(a.lookups.nextTimeout())
	a.gather.alarms(&e)
	if !a.cur.failed {
		if !a.lite {
			a.checkAlarms(now, &e)
			a.nominationAlarm(&e)
		}
		a.consentAlarms(now, &e)
		e.add(a.giveUpAt(now))
		e.add(a.cur.recheckAt)
		for g := a.cur.older; g != nil; g = g.older {
			e.add(g.until)
		}
	}
	if !e.at.IsZero() && !e.at.After(now) {
		// Everything that is due was just done. A part that still reports a time in
		// the past is wrong, and must not cause the owner to call Advance in an
		// endless loop.
		return now.Add(time.Millisecond)
	}
	return e.at
}

// setState changes the state and reports it to the owner.
func (k *checks) setState(s State) {
	if s == k.state {
		return
	}
	k.state = s
	if s != StateFailed {
		k.err = nil
	}
	k.events.push(Event{Kind: EventState, State: s, Err: k.err})
}

// updateState derives the state from the pairs. resolved says that no lookup of a
// remote candidate's name is under way.
func (k *checks) updateState(now time.Time, resolved bool) {
	g := k.cur
	switch p := k.selected; {
	case p != nil && !now.Before(p.lastAnswer.Add(k.consent.Stale)):
		k.setState(StateDisconnected)
	case p != nil && p == g.nominated && g.remoteEnded && k.gather.complete && resolved:
		k.setState(StateCompleted)
	case p != nil:
		k.setState(StateConnected)
	case !k.lastAnswer.IsZero() && now.Before(k.lastAnswer.Add(k.consent.Expires)):
		k.setState(StateDisconnected) // the interface of the selected pair was removed; another pair may work
	case g.pending:
		g.wasValid = false
		k.setState(StateChecking)
	case g.wasValid:
		k.fail(ErrConsentExpired)
	case g.remoteKey == nil:
		// There is nothing to check before the first remote description, nor during a
		// restart before the remote agent has answered it.
		if !k.lastAnswer.IsZero() {
			k.fail(ErrConsentExpired)
		}
	case k.lite && g.lite:
		k.fail(ErrBothLite)
	case g.hopeless(now):
		k.fail(ErrNoPair)
	default:
		k.setState(StateChecking)
	}
}

// fail ends all checks of this generation. A restart starts checks again.
func (k *checks) fail(err error) {
	k.cur.failed = true
	k.setLive(k.cur, nil)
	k.err, k.lastAnswer, k.selected = err, time.Time{}, nil
	k.setState(StateFailed)
	k.out.drop()
	k.routesRemoved(k.routes.clear())
}

// RFC 8863 §4: an agent that has no pair left does not fail immediately. It waits for
// checks of the remote agent as long as a STUN transaction can take. It also waits for
// checks of its own that began late, but not for ever.
const (
	patience    = 39500 * time.Millisecond
	maxPatience = 55 * time.Second
)

// hopeless reports whether the generation has failed (RFC 8863 §4).
func (g *generation) hopeless(now time.Time) bool {
	waited := now.Sub(g.started)
	return waited >= maxPatience || waited >= patience && !g.checking()
}

// giveUpAt returns when updateState may fail the generation. The zero time means that
// the time alone does not fail it.
func (k *checks) giveUpAt(now time.Time) time.Time {
	g := k.cur
	if k.selected == nil && !k.lastAnswer.IsZero() {
		return k.lastAnswer.Add(k.consent.Expires)
	}
	if g.remoteKey == nil || g.pending || k.selected != nil || g.wasValid {
		return time.Time{}
	}
	if at := g.started.Add(patience); now.Before(at) {
		return at
	}
	return g.started.Add(maxPatience)
}

// Close closes the agent. Its last datagrams release the allocations of relays.
func (a *Agent) Close(now time.Time) {
	if a.state == StateClosed {
		return
	}
	a.out.drop()
	a.gather.close(now)
	a.routesRemoved(a.routes.clear())
	a.selected, a.deadline = nil, time.Time{}
	a.setState(StateClosed)
}
