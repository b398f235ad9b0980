package rtcpeer

import "sync"

// An eventQueue is a queue of events, first in, first out. Its memory comes from a
// pool, and returns to the pool when the queue is empty, so that an idle connection
// has none. The zero value is empty.
type eventQueue struct {
	buffer *eventBuffer // nil: the queue is empty
	head   int
}

type eventBuffer struct{ events []Event }

const (
	eventBufferSize = 16 // more events than a connection has at once during set-up
	eventBufferMax  = 64 // larger buffers are not returned to the pool
)

var eventBuffers = sync.Pool{New: func() any { return &eventBuffer{make([]Event, 0, eventBufferSize)} }}

func (q *eventQueue) len() int {
	if q.buffer == nil {
		return 0
	}
	return len(q.buffer.events) - q.head
}

func (q *eventQueue) push(e Event) {
	if q.buffer == nil {
		q.buffer = eventBuffers.Get().(*eventBuffer)
	}
	q.buffer.events = append(q.buffer.events, e)
}

// front returns the first event of a queue that is not empty.
func (q *eventQueue) front() *Event { return &q.buffer.events[q.head] }

func (q *eventQueue) pop() (e Event, ok bool) {
	if q.len() == 0 {
		return Event{}, false
	}
	e, *q.front() = *q.front(), Event{}
	if q.head++; q.len() == 0 {
		q.clear()
	}
	return e, true
}

// clear drops all events.
func (q *eventQueue) clear() {
	if b := q.buffer; b != nil && cap(b.events) <= eventBufferMax {
		clear(b.events)
		b.events = b.events[:0]
		eventBuffers.Put(b)
	}
	*q = eventQueue{}
}
