package ice

import (
	"net/netip"
	"testing"
)

// The memory of an empty queue is kept until release, except after a burst. Waiting
// events are not lost.
func TestEventMemory(t *testing.T) {
	a := NewAgent(Config{})
	drain := func(want int) {
		t.Helper()
		for i := range want {
			if e, ok := a.NextEvent(); !ok || e.State != State(i) {
				t.Fatalf("event %d is %+v, %v", i, e, ok)
			}
		}
		if e, ok := a.NextEvent(); ok {
			t.Fatalf("%+v is left", e)
		}
	}
	tell := func(n int) {
		for i := range n {
			a.events.push(Event{Kind: EventState, State: State(i)})
		}
	}
	tell(usualEvents)
	drain(usualEvents)
	if n := testing.AllocsPerRun(10, func() { tell(usualEvents); drain(usualEvents) }); n > 0 {
		t.Errorf("%v allocations for the usual events", n)
	}
	tell(usualEvents)
	a.Release()
	drain(usualEvents)
	if a.Release(); a.events.list != nil {
		t.Error("kept at rest")
	}
	tell(100)
	if drain(100); a.events.list != nil {
		t.Error("room for a burst is kept")
	}
}

// Every event is returned as it was queued.
func TestEventsAreWhole(t *testing.T) {
	a := NewAgent(Config{})
	for kind := EventCandidate; kind <= EventConnectionGone; kind++ {
		want := Event{Kind: kind, State: StateFailed, Lost: true, Moved: true, Route: Route{Sock: 3}, Err: ErrNoPair}
		if kind == EventCandidate || kind > EventSelected {
			want.Candidate.Foundation, want.URL, want.Sock, want.Domain = "1", "turn:example.org", 7, "example.net"
			want.Addr = netip.MustParseAddrPort("192.0.2.1:3478")
		}
		a.events.push(want)
		if got, ok := a.NextEvent(); !ok || got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
}
