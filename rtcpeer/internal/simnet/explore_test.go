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
