package ice

import (
	"errors"
	"io"
	"slices"
	"time"

	"purertc/ice/internal/mdns"
)

// Config is what an Agent is made from.
type Config struct {
	Controlling bool
	RelayOnly   bool
	Lite        bool      // see lite.go; not with RelayOnly
	Ufrag, Pwd  string    // local credentials; made from Rand where empty (RFC 8445 §5.3)
	Rand        io.Reader // nil: crypto/rand, which also replaces a reader that fails
}

// Why an agent fails.
var (
	ErrNoPair         = errors.New("ice: no candidate pair worked")
	ErrConsentExpired = errors.New("ice: the far end did not answer for 30 seconds")
	ErrBothLite       = errors.New("ice: both ends are ICE lite, so that nobody checks")
)

// An Agent is an ICE agent (RFC 8445), full or lite, of one component and one
// data stream: a pure state machine. It is not safe for concurrent use.
type Agent struct {
	random      randomSource
	tieBreaker  uint64
	relayOnly   bool
	lite        bool
	controlling bool

	localEnded   bool
	gatheringEnd bool // EventGatheringComplete was given

	state State

	renominates bool   // the far end goes by the numbers of nominations
	nomination  uint32 // the latest of ours

	familyCount   [TCPPassive + 1][2]uint16 // of bases, by transport: IPv6, IPv4
	nextRelaySock uint16
	nextRelay     uint32

	err     error // why state is StateFailed
	carried path  // of the last selected pair; the zero path: there was none

	cur *generation // the newest of those in use; the others follow by older
	// replaced is the generation that Rollback goes back to, from Restart to SetRemote.
	replaced *generation

	bases       []*base
	foundations []foundationKey
	routes      routeTable
	stranger    Route // what HandleDatagram returned last with false came on

	selected   *pair     // where data goes; nil: nowhere
	lastAnswer time.Time // of the far end, on any pair

	servers     []*server
	relays      []*relay
	requests    []*serverRequest
	nextRequest time.Time // pacing

	mdns       *mdns.Resolver // nil until there is a name to ask for
	names      mdns.Responder
	unresolved []unresolved
	drops      *drops // nil: no candidate was dropped

	out      outbox
	events   eventQueue
	deadline time.Time // when Advance has something to do
}

// NewAgent returns an agent in StateNew.
func NewAgent(cfg Config) *Agent {
	a := &Agent{random: randomSource{reader: cfg.Rand}, relayOnly: cfg.RelayOnly, lite: cfg.Lite, controlling: cfg.Controlling && !cfg.Lite}
	a.tieBreaker = a.random.uint64()
	a.setLive(a.newGeneration(cfg.Ufrag, cfg.Pwd), nil)
	return a
}

// Credentials returns the local ufrag and password (RFC 8839 §5.4).
func (a *Agent) Credentials() (ufrag, pwd string) { return a.cur.ufrag, a.cur.pwd }

// Ufrags returns the local ufrags that the peer's checks may name: of the
// present generation, of those that it replaced, and of the one that a
// rollback would go back to.
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

// SetControlling sets the role that offer and answer gave (RFC 8445 §6.1.1).
// Where one end is lite it is the other that controls.
func (a *Agent) SetControlling(now time.Time, controlling bool) {
	controlling = (controlling || a.cur.lite) && !a.lite
	if a.controlling != controlling {
		a.setRole(controlling)
	}
	a.update(now)
}

// Controlling tells the present role, which a conflict may have changed.
func (a *Agent) Controlling() bool { return a.controlling }

// setRole changes the role; pair priorities depend on it (RFC 8445 §7.3.1.1).
func (a *Agent) setRole(controlling bool) {
	a.controlling = controlling
	for g := a.cur; g != nil; g = g.older {
		g.sortPairs(controlling)
	}
}

// Rest lets go of what can be made again: the HMACs of the passwords, which the
// next message makes anew, and room for events. It is for an owner of many
// agents of which most have nothing to do but to answer, and to ask, for consent.
func (a *Agent) Rest() {
	for g := a.cur; g != nil; g = g.older {
		g.localKey.Rest()
		if g.remoteKey != nil {
			g.remoteKey.Rest()
		}
	}
	a.events.release()
	a.out.release()
}

// RTT is the smoothed round-trip time of the selected pair; zero if unknown.
func (a *Agent) RTT() time.Duration {
	if a.selected == nil {
		return 0
	}
	return a.selected.rtt
}

// State returns the present state.
func (a *Agent) State() State { return a.state }

// Err returns why the agent failed; nil if it has not.
func (a *Agent) Err() error { return a.err }

// Selected returns the route that data takes; ok is false if there is none.
func (a *Agent) Selected() (r Route, ok bool) {
	if a.selected == nil {
		return Route{}, false
	}
	return a.selected.local.wire(a.selected.route), true
}

// Advance runs the timers that are due.
func (a *Agent) Advance(now time.Time) {
	if !a.deadline.IsZero() && !now.Before(a.deadline) {
		a.update(now)
	}
}

// NextTimeout is when Advance has something to do; zero: never.
func (a *Agent) NextTimeout() time.Time { return a.deadline }

// update brings everything that depends on the time, or on what just
// happened, up to date.
func (a *Agent) update(now time.Time) {
	if a.state == StateClosed {
		a.deadline = time.Time{}
		return
	}
	a.runMDNS(now)
	a.runServers(now)
	a.runRelays(now)
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
		a.updateState(now)
	}
	a.updateGathering(now)
	a.deadline = a.earliest(now)
}

// An alarm collects the earliest of some times.
type alarm struct{ at time.Time }

func (e *alarm) add(t time.Time) {
	if !t.IsZero() && (e.at.IsZero() || t.Before(e.at)) {
		e.at = t
	}
}

// earliest is the next time at which update changes something.
func (a *Agent) earliest(now time.Time) time.Time {
	var e alarm
	if a.mdns != nil {
		e.add(a.mdns.NextTimeout())
	}
	e.add(a.names.NextTimeout())
	a.serverAlarms(&e)
	if !a.gatheringEnd {
		e.add(a.cur.gatherBy)
	}
	a.relayAlarms(&e)
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
		// What is due was just done; whatever says otherwise must not make
		// the owner spin.
		return now.Add(time.Millisecond)
	}
	return e.at
}

// setState changes the state and tells it.
func (a *Agent) setState(s State) {
	if s == a.state {
		return
	}
	a.state = s
	if s != StateFailed {
		a.err = nil
	}
	a.events.push(Event{Kind: EventState, State: s, Err: a.err})
}

// updateState derives the state from the pairs.
func (a *Agent) updateState(now time.Time) {
	g := a.cur
	switch p := a.selected; {
	case p != nil && !now.Before(p.lastAnswer.Add(staleAfter)):
		a.setState(StateDisconnected)
	case p != nil && p == g.nominated && g.remoteEnded && a.gatheringEnd && len(a.unresolved) == 0:
		a.setState(StateCompleted)
	case p != nil:
		a.setState(StateConnected)
	case !a.lastAnswer.IsZero() && now.Before(a.lastAnswer.Add(consentExpires)):
		a.setState(StateDisconnected) // the interface vanished; another may do
	case g.pending:
		g.wasValid = false
		a.setState(StateChecking)
	case g.wasValid:
		a.fail(ErrConsentExpired)
	case g.remoteKey == nil:
		// Before the first description, and during a restart whose answer is
		// not here yet, there is nothing to check.
		if !a.lastAnswer.IsZero() {
			a.fail(ErrConsentExpired)
		}
	case a.lite && g.lite:
		a.fail(ErrBothLite)
	case g.hopeless(now):
		a.fail(ErrNoPair)
	default:
		a.setState(StateChecking)
	}
}

// fail ends all attempts of this generation; a restart begins anew.
func (a *Agent) fail(err error) {
	a.cur.failed = true
	a.setLive(a.cur, nil)
	a.err, a.lastAnswer, a.selected = err, time.Time{}, nil
	a.setState(StateFailed)
	a.out.drop()
	a.routesRemoved(a.routes.clear())
}

// RFC 8863: an agent waits for checks of the far end as long as a STUN
// transaction can take before it declares failure, even if it has no pair of
// its own. A check begun late is waited for, but not for ever.
const (
	patience    = 39500 * time.Millisecond
	maxPatience = 55 * time.Second
)

// hopeless tells whether the generation has failed (RFC 8863 §4).
func (g *generation) hopeless(now time.Time) bool {
	waited := now.Sub(g.started)
	return waited >= maxPatience || waited >= patience && !g.checking()
}

// giveUpAt is when hopeless may become true.
func (a *Agent) giveUpAt(now time.Time) time.Time {
	g := a.cur
	if a.selected == nil && !a.lastAnswer.IsZero() {
		return a.lastAnswer.Add(consentExpires)
	}
	if g.remoteKey == nil || g.pending || a.selected != nil || g.wasValid {
		return time.Time{}
	}
	if at := g.started.Add(patience); now.Before(at) {
		return at
	}
	return g.started.Add(maxPatience)
}

// BeginData appends room for the relay framing that the selected pair needs,
// if any. ok is false when there is no valid pair with consent to send on.
func (a *Agent) BeginData(dst []byte) (b []byte, ok bool) {
	p := a.selected
	if p == nil {
		return dst, false
	}
	return p.local.begin(dst, p.route.Remote), true
}

// FinishData completes the datagram that BeginData began at b[start:] and
// tells where to send it.
func (a *Agent) FinishData(b []byte, start int) ([]byte, Route) {
	p := a.selected
	if p == nil {
		return b[:start], Route{} // nothing was begun
	}
	if l := p.local.relay; l != nil {
		return l.client.Finish(b, start), l.route
	}
	return b, p.route
}

// DataOverhead is the most that BeginData and FinishData add, in bytes.
func (a *Agent) DataOverhead() int {
	if p := a.selected; p != nil && p.local.relay != nil {
		return p.local.relay.client.Overhead(p.route.Remote)
	}
	return 0
}

// Direct tells whether the selected pair is UDP all the way, as far as the
// candidates tell. What goes over a stream, be it the far end's to its relay,
// is not lost when it is too long to be read: it ends the stream.
func (a *Agent) Direct() bool {
	p := a.selected
	return p != nil && p.local.relay == nil && p.local.tcp == 0 && p.remote.typ != Relay
}

// Close ends the agent: relays are released by its last datagrams.
func (a *Agent) Close(now time.Time) {
	if a.state == StateClosed {
		return
	}
	a.out.drop()
	for _, l := range a.relays {
		l.client.Close(now)
	}
	a.routesRemoved(a.routes.clear())
	a.selected, a.deadline = nil, time.Time{}
	a.setState(StateClosed)
}
