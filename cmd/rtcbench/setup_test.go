package main

import "testing"

// TestConnectSetup checks that connect -setup measures the set-up of each connection, on
// the loopback interface, with and without SNAP.
func TestConnectSetup(t *testing.T) {
	for _, flag := range []string{"-snap=true", "-snap=false", "-warp=false"} {
		o, err := parseOptions([]string{"connect", "-setup", "-dur", "100ms", flag})
		if err != nil {
			t.Fatal(err)
		}
		f, _, err := both(o)
		if err != nil {
			t.Fatal(err)
		}
		if f["failed"] != 0 || f["n"] == 0 {
			t.Errorf("%s: %v connections, %v failed", flag, f["n"], f["failed"])
		}
		for _, name := range []string{"rtt_ms", "open_p50_ms", "open_p50_rtt", "message_p50_ms"} {
			if v, _ := f[name].(float64); v <= 0 {
				t.Errorf("%s: %s is %v, not more than 0", flag, name, f[name])
			}
		}
		if open, message := f["open_p50_ms"].(float64), f["message_p99_ms"].(float64); message < open {
			t.Errorf("%s: the slowest first message came after %v ms, before the median channel was open, %v ms", flag, message, open)
		}
		if low, high := f["open_p50_ms"].(float64), f["open_p99_ms"].(float64); low > high {
			t.Errorf("%s: the median %v ms is over the 99th percentile %v ms", flag, low, high)
		}
	}
}

// TestSetupPercentiles checks the percentiles of known times, in milliseconds and in
// round trips.
func TestSetupPercentiles(t *testing.T) {
	var s setupTimes
	for i := range 100 {
		s.add(setupSample{open: float64(100 - i), message: float64(200 - i), rtt: 10})
	}
	f := figures{}
	s.addTo(f)
	for name, want := range map[string]float64{"rtt_ms": 10, "open_p50_ms": 51, "open_p95_ms": 96, "open_p99_ms": 100, "message_p50_ms": 151, "message_p50_rtt": 15.1, "open_p99_rtt": 10} {
		if f[name] != want {
			t.Errorf("%s is %v, not %v", name, f[name], want)
		}
	}
}
