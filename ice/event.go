package ice

import "net/netip"

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone              EventKind = iota
	EventCandidate                   // Candidate: a local candidate was gathered
	EventGatheringComplete           // no more local candidates of this gathering
	EventState                       // State; Err: the cause of StateFailed
	EventRouteAdded                  // Route: an authenticated check arrived on it, or was answered on it
	EventRouteRemoved                // Route: it is not used any more
	EventSelected                    // Route, Lost, Moved: data is sent on another route than before
	EventServerError                 // URL, Err: a STUN or TURN server failed; gathering goes on without it
	EventAlternate                   // URL, Sock, Addr, Domain: the TURN server on Sock refers to another one
	EventConnectionGone              // Sock, Err: the server does not answer over its connection any more; see ConnectionFailed
)

// An Event reports a change to the owner of an Agent. It is flat, like
// crypto/tls.QUICEvent.
type Event struct {
	Kind      EventKind
	State     State
	Lost      bool // data sent on the previous route may not have arrived: it does not answer, or is gone
	Moved     bool // the path through the network is another one, not only the ports (RFC 9000 §9.4)
	Sock      Sock
	Route     Route
	Candidate Candidate
	URL       string
	Err       error

	// Addr and Domain are where a TURN server refers to (RFC 8489 §10). The
	// connection on Sock is of no more use. The owner connects to Addr, whose
	// certificate must be for Domain, or for the host of URL if Domain is empty, and
	// calls AddServer or ServerFailed, and EndOfLocal.
	Addr   netip.AddrPort
	Domain string
}

const (
	// maxEvents bounds the events that wait for an owner that never takes any.
	// All but candidates, whose number is bounded, can be had from the Agent again.
	// So the oldest event is dropped.
	maxEvents = 512

	// usualEvents is how many events wait at once while two agents with an address
	// each connect. Room for so many is kept until release.
	usualEvents = 4
)

// An eventQueue is first in, first out.
type eventQueue struct {
	list []queuedEvent
	head int
}

// A queuedEvent is an Event in a third of the memory, where only the fields of
// the frequent kinds are set.
type queuedEvent struct {
	kind        EventKind
	state       State
	lost, moved bool
	route       Route
	err         error
	whole       *Event // of the other kinds; nil: the fields above are all
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

func (q *eventQueue) push(e Event) {
	if len(q.list) == maxEvents && q.head == 0 {
		q.head = 1
	}
	if len(q.list) == cap(q.list) && q.head > 0 || len(q.list) == maxEvents {
		n := copy(q.list, q.list[q.head:])
		clear(q.list[n:])
		q.list, q.head = q.list[:n], 0
	}
	if q.list == nil {
		q.list = make([]queuedEvent, 0, usualEvents)
	}
	q.list = append(q.list, queued(e))
}

func (q *eventQueue) pop() (Event, bool) {
	if q.head == len(q.list) {
		return Event{}, false
	}
	e := q.list[q.head].event()
	if q.head++; q.head == len(q.list) {
		clear(q.list)
		q.list, q.head = q.list[:0], 0
		if cap(q.list) > usualEvents {
			q.list = nil // of a burst
		}
	}
	return e, true
}

// release gives up the memory of an empty queue.
func (q *eventQueue) release() {
	if len(q.list) == 0 {
		q.list = nil
	}
}

// NextEvent returns the next event, in order.
func (a *Agent) NextEvent() (Event, bool) { return a.events.pop() }
