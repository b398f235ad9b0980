package ice

import "net/netip"

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone              EventKind = iota
	EventCandidate                   // Candidate is a local candidate that was gathered
	EventGatheringComplete           // this gathering has found all local candidates
	EventState                       // the state is State now; Err is the cause of StateFailed
	EventRouteAdded                  // an authenticated check arrived on Route, or was answered on it
	EventRouteRemoved                // Route is not used any more
	EventSelected                    // data is sent on Route now, instead of another route; see Lost and Moved
	EventServerError                 // the STUN or TURN server with URL failed because of Err; gathering continues without it
	EventAlternate                   // the TURN server with URL, on Sock, refers to another server at Addr, with Domain
	EventConnectionGone              // the server on Sock does not answer over its connection any more, because of Err; see ConnectionFailed
)

// An Event reports a change to the owner of an Agent. It is flat, like
// crypto/tls.QUICEvent.
type Event struct {
	Kind      EventKind
	State     State
	Lost      bool // data sent on the previous route may be lost: that route does not answer, or was removed
	Moved     bool // the path through the network has changed, not only the ports (RFC 9000 §9.4)
	Sock      Sock
	Route     Route
	Candidate Candidate
	URL       string
	Err       error

	// Addr and Domain are the server to which a TURN server refers (RFC 8489 §10).
	// The connection on Sock is of no more use. The owner connects to Addr. The
	// certificate there must be for Domain, or for the host of URL if Domain is empty.
	// The owner then calls AddServer or ServerFailed, and EndOfLocal.
	Addr   netip.AddrPort
	Domain string
}

const (
	// maxEvents bounds the events that wait for an owner that never takes any. If
	// there are more, the oldest is dropped. The Agent's methods return the same
	// information as dropped events. Only candidates have no such method, and their
	// number is bounded.
	maxEvents = 512

	// usualEvents is how many events wait at a time while two agents with one address
	// each connect. The queue keeps room for usualEvents events until release.
	usualEvents = 4
)

// An eventQueue is first in, first out.
type eventQueue struct {
	list []queuedEvent
	head int
}

// A queuedEvent is an Event in a third of the memory. It has only the fields that the
// frequent kinds of events set.
type queuedEvent struct {
	kind        EventKind
	state       State
	lost, moved bool
	route       Route
	err         error
	whole       *Event // an event of another kind; nil: the other fields are the whole event
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
			q.list = nil // a burst of events had enlarged the list
		}
	}
	return e, true
}

// release releases the memory of an empty queue.
func (q *eventQueue) release() {
	if len(q.list) == 0 {
		q.list = nil
	}
}

// NextEvent returns the next event, in order.
func (a *Agent) NextEvent() (Event, bool) { return a.events.pop() }
