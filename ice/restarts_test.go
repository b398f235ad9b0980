package ice

import (
	"fmt"
	"testing"
	"time"
)

// Two agents that are not connected yet restart ICE alternately, faster than a check
// is answered. They connect nevertheless.
func TestRestartsBeforeConnected(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 150 * time.Millisecond, 700 * time.Millisecond, 3 * time.Second} {
		for _, delay := range []time.Duration{10 * time.Millisecond, 500 * time.Millisecond} {
			t.Run(fmt.Sprintf("every %v, delay %v", every, delay), func(t *testing.T) {
				seeds := uint64(10)
				if testing.Short() {
					seeds = 2
				}
				for seed := range seeds {
					w := newWorld(t, seed)
					w.delay, w.loss = delay, 0.08
					a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000", "192.0.2.1:1001", "192.0.2.1:1002")
					b := w.peer("b", Config{}, "192.0.2.2:2000", "192.0.2.2:2001", "192.0.2.2:2002")
					// Only the last pair works.
					w.tap = func(_ *peer, r Route, _ []byte) bool {
						return r.Remote.Port()%10 == 2 && r.Sock == 2
					}
					w.connect(a, b)
					connected := func() bool { return a.selected != nil && b.selected != nil }
					for i := 0; !connected() && w.now.Sub(w.start) < 20*time.Second; i++ {
						offerer, answerer := a, b
						if i%3 == 0 {
							offerer, answerer = b, a
						}
						offerer.Restart(w.now, "", "")
						answerer.Restart(w.now, "", "")
						w.signal(offerer, answerer)
						w.signal(answerer, offerer)
						offerer.EndOfLocal(w.now)
						answerer.EndOfLocal(w.now)
						w.run(every, connected)
						if n := generations(a) + generations(b); n > 2*(1+maxReplaced) {
							t.Fatalf("%d generations", n)
						}
					}
					if !connected() {
						t.Errorf("seed %d: a %v, b %v after %v", seed, a.State(), b.State(), w.now.Sub(w.start))
					}
				}
			})
		}
	}
}

func generations(p *peer) (n int) {
	for g := p.cur; g != nil; g = g.older {
		n++
	}
	return n
}
