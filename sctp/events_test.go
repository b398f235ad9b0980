package sctp

import (
	"testing"
	"time"
)

// Messages that were received after a stream reset are held back until its event is
// taken.
func TestEventQueue(t *testing.T) {
	var q eventQueue
	want := func(why string, taken uint64, held bool) {
		t.Helper()
		if got := q.holds(taken); got != held {
			t.Errorf("%s: the message after %d others is held back: %v, want %v", why, taken, got, held)
		}
	}
	next := func(kind EventKind) {
		t.Helper()
		if ev, ok := q.next(); !ok || ev.Kind != kind {
			t.Errorf("next event %v, %v, want kind %v", ev.Kind, ok, kind)
		}
	}
	want("without events", 0, false)
	q.add(Event{Kind: EventEstablished}, 0)
	want("without a reset", 0, false)
	q.add(Event{Kind: EventStreamsReset}, 2)
	q.add(Event{Kind: EventStreamsReset}, 3)
	want("before the first reset", 1, false)
	want("after the first reset", 2, true)
	next(EventEstablished)
	want("after the first reset", 2, true)
	next(EventStreamsReset)
	want("between the resets", 2, false)
	want("after the second reset", 3, true)
	next(EventStreamsReset)
	want("after both events are taken", 3, false)
	if _, ok := q.next(); ok || q.resets != 0 {
		t.Errorf("an event is left, %d resets", q.resets)
	}
}

// The clock shows the time of the last call of tick.
func TestClockTick(t *testing.T) {
	var c clock
	begin := time.Unix(1e9, 0)
	if c.tick(begin) != 1 || c.last != 1 {
		t.Errorf("the first instant is %d", c.last)
	}
	if c.at(begin.Add(5)) != 6 || c.last != 1 {
		t.Errorf("at changes the last instant to %d", c.last)
	}
	if c.tick(begin.Add(7)) != 8 || c.last != 8 {
		t.Errorf("the last instant is %d, want 8", c.last)
	}
}
