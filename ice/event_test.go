package ice

import "testing"

// Room for events is kept from one to the next, until Rest; that of a burst is
// not, and what waits is not lost.
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
			a.event(Event{Kind: EventState, State: State(i)})
		}
	}
	tell(usualEvents)
	drain(usualEvents)
	if n := testing.AllocsPerRun(10, func() { tell(usualEvents); drain(usualEvents) }); n > 0 {
		t.Errorf("%v allocations for the usual events", n)
	}
	tell(usualEvents)
	a.Rest()
	drain(usualEvents)
	if a.Rest(); a.events != nil {
		t.Error("kept at rest")
	}
	tell(100)
	if drain(100); a.events != nil {
		t.Error("room for a burst is kept")
	}
}
