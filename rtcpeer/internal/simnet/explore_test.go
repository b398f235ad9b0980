package simnet_test
import ("testing";"time")
import "purertc/sctp"
func TestExplore(t *testing.T) {
	for _, c := range controls {
		for _, p := range []struct{rtt time.Duration; loss float64}{{50,0},{50,.01},{100,.001},{20,.05},{5,0},{200,0}} {
			t.Logf("%v %v", p.rtt, p.loss)
			goodput(t, link(p.rtt*time.Millisecond, p.loss, 1), sctp.Config{CongestionControl: c}, 1)
		}
	}
}
func TestShares(t *testing.T) {
	for _, c := range controls[:1] {
		for q := range 1 {
		a,b := share(t, uint64(q), 1, c, c)
		t.Logf("jain %.3f", jain(a,b))
		share(t, uint64(q), 1, c, sctp.CongestionReno)
		share(t, uint64(q), 1, sctp.CongestionReno, c)
		}
	}
	share(t, 1, 4, sctp.CongestionModel, sctp.CongestionReno)
	share(t, 1, .25, sctp.CongestionModel, sctp.CongestionReno)
}

func TestTrace(t *testing.T) {
	n := newNetwork(t, 1, link(50*time.Millisecond, 0, 1))
	x, y := n.connect(sctp.Config{})
	x.bulk = true
	last := 0
	for i := range 60 {
		n.run(50*time.Millisecond, nil)
		s := x.Stats()
		t.Logf("%d %.1f cwnd %d inflight %d pace %.1f srtt %v min %v rtx %d", i*50, mbps(y.got-last, 50*time.Millisecond), s.CongestionWindow, s.BytesInFlight, s.PacingRate*8/1e6, s.SmoothedRTT, s.MinRTT, s.ChunksRetransmitted)
		last = y.got
	}
}
func TestTrace2(t *testing.T) {
	n := newNetwork(t, 1, link(50*time.Millisecond, 0, 1))
	x, y := n.connect(sctp.Config{})
	x1, y1 := n.connect(sctp.Config{})
	x.bulk = true
	x1.bulk = true
	last, last1 := 0, 0
	for i := range 60 {
		n.run(500*time.Millisecond, nil)
		s := x.Stats()
		s1 := x1.Stats()
		t.Logf("%d %.1f cwnd %d pace %.1f srtt %v -- %.1f cwnd %d pace %.1f srtt %v", i*500, mbps(y.got-last, 500*time.Millisecond), s.CongestionWindow, s.PacingRate*8/1e6, s.SmoothedRTT,
		mbps(y1.got-last1, 500*time.Millisecond), s1.CongestionWindow, s1.PacingRate*8/1e6, s1.SmoothedRTT)
		last = y.got
		last1 = y1.got
	}
}
