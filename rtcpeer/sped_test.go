package rtcpeer

import (
	"testing"
	"time"
)

// With SPED and SNAP the channel is open one round trip after the offerer has the
// answer, and the answerer has its first message half a round trip later.
func TestSPEDTimes(t *testing.T) {
	const rtt = 200 * time.Millisecond
	for name, tt := range map[string]struct {
		cfg             Config
		open, delivered time.Duration
	}{
		"SPED and SNAP": {Config{}, rtt, rtt * 3 / 2},
		"SNAP":          {Config{DisableSPED: true}, 2 * rtt, rtt * 5 / 2},
	} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			n.delay = rtt / 2
			a, b := newMemConn(t, n, "10.0.0.1", tt.cfg), newMemConn(t, n, "10.0.0.2", tt.cfg)
			defer a.Close()
			defer b.Close()
			x, y := agreedAfter(t, a, b, rtt/2)
			start := time.Now()
			if err := x.Opened(t.Context()); err != nil {
				t.Fatal(err)
			}
			open := time.Since(start)
			if err := x.Send(t.Context(), []byte("hello"), true); err != nil {
				t.Fatal(err)
			}
			if p, _, err := y.Receive(t.Context()); err != nil || string(p) != "hello" {
				t.Fatalf("%q, %v", p, err)
			}
			delivered := time.Since(start)
			t.Logf("%s: open after %v, first message after %v", name, open, delivered)
			if (open-tt.open).Abs() > 10*time.Millisecond || (delivered-tt.delivered).Abs() > 10*time.Millisecond {
				t.Errorf("%s: open after %v, want %v; first message after %v, want %v", name, open, tt.open, delivered, tt.delivered)
			}
			t.Log(a.Report(), b.Report())
		})
	}
}
