package ice

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// The remote agent is replaced by an agent with the same credentials and another
// socket. Renew is called up to a round trip after the first check of the new agent,
// or at once. Data is then sent to the new agent, in either role.
func TestRenew(t *testing.T) {
	for _, test := range []struct {
		controlling, lite, trickle bool
		loss                       float64
		after                      time.Duration // time from the new agent's first check to Renew
	}{
		{},
		{controlling: true},
		{trickle: true, after: 50 * time.Millisecond},
		{controlling: true, trickle: true, after: 50 * time.Millisecond},
		{lite: true},
		{loss: 0.1, after: time.Second},
		{controlling: true, loss: 0.1, after: time.Second},
	} {
		for seed := range uint64(5) {
			t.Run(fmt.Sprintf("%+v seed=%d", test, seed), func(t *testing.T) {
				w := newWorld(t, seed)
				w.loss = test.loss
				a := w.peer("a", Config{Controlling: test.controlling, Lite: test.lite}, "192.0.2.1:1000", "192.0.2.1:1001")
				b := w.peer("b", Config{Controlling: !test.controlling}, "192.0.2.2:2000", "192.0.2.2:2001")
				w.connect(a, b)
				if test.lite {
					ufrag, pwd := a.Credentials()
					b.SetRemote(w.now, ufrag, pwd, true)
				}
				w.run(time.Minute, nil)
				ufrag, pwd := b.Credentials()
				w.peers = w.peers[:1]
				c := w.peer("c", Config{Controlling: !test.controlling, Ufrag: ufrag, Pwd: pwd}, "192.0.2.2:3000")
				if test.trickle {
					c.trickle = a
				}
				w.signal(a, c)
				for _, candidate := range a.cands {
					c.AddRemote(w.now, candidate)
				}
				c.EndOfLocal(w.now)
				w.run(test.after, nil)
				a.Renew(w.now)
				if a.say("too early") {
					t.Error("data is sent before a check of a pair was answered")
				}
				from := w.now
				if !w.run(20*time.Second, func() bool {
					r, ok := a.Selected()
					return ok && r.Remote == c.socks[0] && c.selected != nil && a.say("x")
				}) {
					t.Fatalf("a %v, c %v: %+v", a.State(), c.State(), a.Report())
				}
				if took := w.now.Sub(from); test.loss == 0 && took > 500*time.Millisecond {
					t.Errorf("it took %v", took)
				}
				w.run(time.Minute, nil)
				if r, _ := a.Selected(); r.Remote != c.socks[0] || a.State() != StateConnected && a.State() != StateCompleted || !c.say("y") {
					t.Errorf("a minute later: %v by %v", a.State(), r)
				}
			})
		}
	}
}

// If no new agent appears after Renew, the agent fails after 30 seconds.
func TestRenewWithoutNewAgent(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(time.Minute, nil)
	w.cut = func(_, _ netip.AddrPort) bool { return true }
	a.Renew(w.now)
	if w.run(29*time.Second, a.is(StateFailed)) {
		t.Error("it failed early")
	}
	if !w.run(10*time.Second, a.is(StateFailed)) {
		t.Errorf("%v", a.State())
	}
}
