package sctp

// A queuedEvent is an event, and how many messages were received before it.
type queuedEvent struct {
	Event
	after uint64
}

// An eventQueue holds the events that NextEvent has not returned.
type eventQueue struct {
	queue  queue[queuedEvent]
	resets int32 // how many EventStreamsReset are in the queue
}

// add queues an event. received is how many messages were received before it.
func (q *eventQueue) add(ev Event, received uint64) {
	if ev.Kind == EventStreamsReset {
		q.resets++
	}
	q.queue.push(queuedEvent{ev, received})
}

// next removes and returns the first event.
func (q *eventQueue) next() (Event, bool) {
	ev, ok := q.queue.pop()
	if ok && ev.Kind == EventStreamsReset {
		q.resets--
	}
	return ev.Event, ok
}

// holds reports whether the next message was received after a stream reset that next
// has not returned. taken is how many messages Receive has returned.
func (q *eventQueue) holds(taken uint64) bool {
	if q.resets == 0 {
		return false
	}
	for i := range q.queue.n {
		if ev := q.queue.at(i); ev.Kind == EventStreamsReset {
			return taken >= ev.after
		}
	}
	return false
}
