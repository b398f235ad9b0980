package rtcpeer

import (
	"math/rand/v2"
	"testing"
)

// TestFifo pushes and pops at random, and compares the fifo with a slice.
func TestFifo(t *testing.T) {
	var q fifo[*int]
	var want []*int
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 100_000 {
		if r.IntN(1000) < 500+300*(i/1000%2*2-1) { // the fifo grows and shrinks alternately
			v := new(i)
			q.push(v)
			want = append(want, v)
		} else if v, ok := q.pop(); ok != (len(want) > 0) {
			t.Fatalf("step %d: pop says %v of %d", i, ok, len(want))
		} else if ok {
			if v != want[0] {
				t.Fatalf("step %d: got %d, want %d", i, *v, *want[0])
			}
			want = want[1:]
		}
		if q.len() != len(want) {
			t.Fatalf("step %d: %d items, want %d", i, q.len(), len(want))
		}
		for _, v := range q.items[:cap(q.items)][len(q.items):] {
			if v != nil {
				t.Fatalf("step %d: holds what was popped", i)
			}
		}
		if q.len() == 0 && cap(q.items) > fifoKept {
			t.Fatalf("step %d: empty, with room for %d", i, cap(q.items))
		}
	}
	if n := testing.AllocsPerRun(100, func() { q.push(nil); q.pop() }); n != 0 {
		t.Errorf("%v allocations for a push and a pop", n)
	}
}
