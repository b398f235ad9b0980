package simnet_test

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
	"purertc/sctp"
)

var (
	untold   = flag.Bool("untold", false, "TestNewPath does not tell of the new path, to compare")
	newPaths = flag.Uint64("newpaths", 1, "seeds of TestNewPath")
)

// In TestNewPath, ICE changes to a path of another length and rate during a transfer,
// and back. Each time the transfer uses the path soon, and the delay of a ping beside
// the transfer is not longer than on a path that never changed.
func TestNewPath(t *testing.T) {
	type leg struct {
		rtt  time.Duration
		mbps float64
	}
	for _, test := range []struct{ first, second leg }{
		{leg{5 * time.Millisecond, 100}, leg{80 * time.Millisecond, 10}},
		{leg{500 * time.Microsecond, 100}, leg{50 * time.Millisecond, 20}},
		{leg{20 * time.Millisecond, 10}, leg{100 * time.Millisecond, 100}},
	} {
		for _, c := range controls {
			leastSoon, leastLater := 0.6, 0.75
			if test.second.mbps > test.first.mbps && c != sctp.CongestionBBR {
				// Slow start on so long and fast a path overfills its queue, also on a
				// new association.
				leastSoon, leastLater = 0.4, 0.5
			}
			for seed := range *newPaths {
				t.Run(fmt.Sprintf("%v %v %v seed %d", test.first, test.second, c, seed), func(t *testing.T) {
					n := newNetwork(t, seed, simnet.Path{})
					back := n.Path(n.b.addr, n.a.addr)
					take := func(l leg) {
						n.path.Delay, n.path.Rate = l.rtt/2, l.mbps*1e6
						n.path.Queue = int(max(l.mbps*1e6/8*l.rtt.Seconds(), 64<<10))
						back.Delay = l.rtt / 2
					}
					take(test.first)
					x, y := n.connect(sctp.Config{CongestionControl: c})
					x.bulk, y.echo = true, true
					n.run(3*time.Second, nil)
					x.ping()
					for i, l := range []leg{test.second, test.first, test.second, test.first} {
						take(l)
						if !*untold {
							for _, e := range []*end{x, y} {
								e.ChangePath(n.Now())
								e.SetRTT(l.rtt)
							}
						}
						start, dropped, timeouts := y.got, n.path.Stats.QueueFull, x.Stats().Timeouts
						n.run(2*time.Second, nil)
						soon, start := mbps(y.got-start, 2*time.Second), y.got
						x.pings = nil
						n.run(3*time.Second, nil)
						later, ping := mbps(y.got-start, 3*time.Second), time.Duration(0)
						if len(x.pings) > 0 {
							ping = median(x.pings)
						}
						t.Logf("%d to %v: %.1f then %.1f Mbit/s, ping %v, dropped %d, timeouts %d", i, l, soon, later, ping, n.path.Stats.QueueFull-dropped, x.Stats().Timeouts-timeouts)
						if soon < leastSoon*l.mbps || later < leastLater*l.mbps {
							t.Errorf("%d to %v: %.1f then %.1f Mbit/s", i, l, soon, later)
						}
						if c == sctp.CongestionBBR && ping > l.rtt*3/2+10*time.Millisecond {
							t.Errorf("%d to %v: ping %v", i, l, ping)
						}
					}
					if y.bad {
						t.Error("messages out of order")
					}
				})
			}
		}
	}
}

// In TestNewPathFromLoopback, ICE changes from a path with long packets and without
// pacing to a slow path, on which neither is suitable.
func TestNewPathFromLoopback(t *testing.T) {
	const rtt, rate = 50 * time.Millisecond, 10e6
	for _, c := range controls {
		t.Run(c.String(), func(t *testing.T) {
			n := newNetwork(t, 1, simnet.Path{Delay: 50 * time.Microsecond, Rate: 2e9})
			x, y := n.connect(sctp.Config{CongestionControl: c})
			x.DiscoverPacketSize(15000)
			x.bulk = true
			n.run(200*time.Millisecond, nil)
			if size := x.Stats().PacketSize; size < 15000 {
				t.Fatalf("packets of %d", size)
			}
			x.bulk = false
			n.run(time.Second, func() bool { return x.Pending() == 0 })
			x.bulk = true
			n.Both(n.a.addr, n.b.addr, simnet.Path{Delay: rtt / 2, Rate: rate, Queue: 64 << 10, MTU: 1472})
			for _, e := range []*end{x, y} {
				e.ChangePath(n.Now())
				e.SetRTT(rtt)
			}
			start, stamp := y.got, n.Now()
			n.run(time.Minute, func() bool { return y.got-start >= 1<<20 })
			took, dropped := n.Now().Sub(stamp), n.path.Stats.QueueFull
			t.Logf("a megabyte in %v, dropped %d, timeouts %d", took, dropped, x.Stats().Timeouts)
			if took > 1200*time.Millisecond || dropped > 150 {
				t.Errorf("a megabyte in %v, dropped %d", took, dropped)
			}
		})
	}
}

// In TestNewPathWithRetransmissions a fast path fails. For a while, the slow path after it
// carries only retransmissions of the data that was in flight. Although only
// retransmissions are acknowledged, the slow path is not overloaded.
func TestNewPathWithRetransmissions(t *testing.T) {
	const rtt, rate = 20 * time.Millisecond, 2e6
	for _, c := range controls {
		for _, measured := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v, round trip known %v", c, measured), func(t *testing.T) {
				n := newNetwork(t, 1, link(100*time.Millisecond, 0, 1))
				back := n.Path(n.b.addr, n.a.addr)
				x, y := n.connect(sctp.Config{CongestionControl: c})
				x.bulk = true
				n.run(5*time.Second, nil)
				n.path.Down, back.Down = true, true
				n.run(500*time.Millisecond, nil)
				arrears := x.Stats().BytesInFlight
				n.Both(n.a.addr, n.b.addr, simnet.Path{Delay: rtt / 2, Rate: rate, Queue: 15_000})
				for _, e := range []*end{x, y} {
					e.PathLost(n.Now())
					e.ChangePath(n.Now())
					if measured {
						e.SetRTT(rtt)
					}
				}
				start, sent := y.got, n.path.Stats.QueueFull
				n.run(10*time.Second, nil)
				got, dropped := mbps(y.got-start, 10*time.Second), n.path.Stats.QueueFull-sent
				t.Logf("%d bytes in arrears, %.2f Mbit/s, dropped %d, timeouts %d", arrears, got, dropped, x.Stats().Timeouts)
				if got < 1.7 || dropped > 300 {
					t.Errorf("%.2f Mbit/s, dropped %d", got, dropped)
				}
			})
		}
	}
}

// The old path, or only its acknowledgements, were slow: data is acknowledged on the
// old path just after it was sent again on the new path. This is not a round trip of
// the new path.
func TestNewPathLateAcknowledgements(t *testing.T) {
	const rtt, rate = 100 * time.Millisecond, 20e6
	for _, c := range controls {
		for _, measured := range []bool{true, false} {
			for _, old := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond} {
				t.Run(fmt.Sprintf("%v, round trip known %v, old %v", c, measured, old), func(t *testing.T) {
					n := newNetwork(t, 1, link(old, 0, 20))
					x, y := n.connect(sctp.Config{CongestionControl: c})
					x.bulk = true
					n.run(5*time.Second, nil)
					n.Both(n.a.addr, n.b.addr, simnet.Path{Delay: rtt / 2, Rate: rate, Queue: 250_000})
					for _, e := range []*end{x, y} {
						e.PathLost(n.Now())
						e.ChangePath(n.Now())
						if measured {
							e.SetRTT(rtt)
						}
					}
					n.run(2*time.Second, nil)
					start := y.got
					n.run(14*time.Second, nil)
					if got := mbps(y.got-start, 14*time.Second); got < 15 {
						t.Errorf("%.1f Mbit/s of 20; window %d", got, x.Stats().CongestionWindow)
					}
				})
			}
		}
	}
}

// If the round trip is longer than the first timeout, it is measured although
// everything is sent twice.
func TestLongRoundTrip(t *testing.T) {
	for _, c := range controls {
		least := 3.0
		if c == sctp.CongestionReno {
			least = 0.2 // Reno adds one packet in a round trip
		}
		t.Run(c.String(), func(t *testing.T) {
			n := newNetwork(t, 1, link(1300*time.Millisecond, 0, 20))
			x, y := n.connect(sctp.Config{CongestionControl: c})
			x.bulk = true
			n.run(30*time.Second, nil)
			start, sent := y.got, n.path.Stats.QueueFull
			n.run(10*time.Second, nil)
			s := x.Stats()
			got, dropped := mbps(y.got-start, 10*time.Second), n.path.Stats.QueueFull-sent
			t.Logf("%.1f Mbit/s, dropped %d, timeouts %d, round trip %v, window %d", got, dropped, s.Timeouts, s.SmoothedRTT, s.CongestionWindow)
			if s.SmoothedRTT < 1300*time.Millisecond || got < least {
				t.Errorf("%.1f Mbit/s, round trip %v", got, s.SmoothedRTT)
			}
		})
	}
}
