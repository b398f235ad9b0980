package ice

import "net/netip"

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone              EventKind = iota
	EventCandidate                   // Candidate: a local candidate was gathered
	EventGatheringComplete           // no more local candidates of this gathering
	EventState                       // State
	EventRouteAdded                  // Route: an authenticated check arrived on it, or was answered on it
	EventRouteRemoved                // Route: it is not used any more
	EventSelected                    // Route: data goes out on another route than before; Lost, Moved
	EventServerError                 // URL, Err: a STUN or TURN server failed; gathering goes on without it
	EventAlternate                   // URL, Sock, Addr, Domain: the server at Sock sends us on to another one; see below
	EventConnectionGone              // Sock, Err: the server does not answer any more over the connection opened for it; see ConnectionFailed
)

// An Event is something the Agent's owner should know. It is flat, like
// crypto/tls.QUICEvent.
type Event struct {
	Kind      EventKind
	State     State
	Lost      bool // what was sent on the route before may not have arrived: it does not answer, or is gone
	Moved     bool // the path through the network is another one: not the ports alone differ (RFC 9000 §9.4)
	Sock      Sock // see Addr
	Route     Route
	Candidate Candidate
	URL       string
	Err       error

	// Where a server sends us on to (RFC 8489 §10). The connection Sock is of
	// no more use. Who runs the Agent connects to Addr, where a certificate
	// has to have the name Domain, or the one of URL's host if that is empty,
	// and calls AddServer or ServerFailed, and EndOfLocal.
	Addr   netip.AddrPort
	Domain string
}

// maxEvents bounds what waits for an owner that never asks. All that an
// event tells can be had from the Agent again but candidates, whose number is
// bounded, so the oldest is given up.
const maxEvents = 512

// usualEvents is how many wait at once while two ends with an address each find
// one another. Room for so many is kept until Rest.
const usualEvents = 4

// A queuedEvent is an Event in a third of the room, where it has only what most
// have.
type queuedEvent struct {
	kind        EventKind
	state       State
	lost, moved bool
	route       Route
	err         error
	whole       *Event // of the kinds that tell more; nil: the fields above are all
}

func queued(e Event) queuedEvent {
	switch e.Kind {
	case EventState, EventRouteAdded, EventRouteRemoved, EventSelected, EventGatheringComplete:
		return queuedEvent{kind: e.Kind, state: e.State, lost: e.Lost, moved: e.Moved, route: e.Route, err: e.Err}
	}
	whole := e
	return queuedEvent{whole: &whole}
}

func (q *queuedEvent) event() Event {
	if q.whole != nil {
		return *q.whole
	}
	return Event{Kind: q.kind, State: q.state, Lost: q.lost, Moved: q.moved, Route: q.route, Err: q.err}
}

func (a *Agent) event(e Event) {
	if len(a.events) == maxEvents && a.nextEvent == 0 {
		a.nextEvent = 1
	}
	if len(a.events) == cap(a.events) && a.nextEvent > 0 || len(a.events) == maxEvents {
		n := copy(a.events, a.events[a.nextEvent:])
		clear(a.events[n:])
		a.events, a.nextEvent = a.events[:n], 0
	}
	if a.events == nil {
		a.events = make([]queuedEvent, 0, usualEvents)
	}
	a.events = append(a.events, queued(e))
}

// NextEvent returns the next event, in order.
func (a *Agent) NextEvent() (Event, bool) {
	if a.nextEvent == len(a.events) {
		return Event{}, false
	}
	e := a.events[a.nextEvent].event()
	if a.nextEvent++; a.nextEvent == len(a.events) {
		clear(a.events)
		a.events, a.nextEvent = a.events[:0], 0
		if cap(a.events) > usualEvents {
			a.events = nil // of a burst
		}
	}
	return e, true
}
