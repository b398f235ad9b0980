package sctp

import "time"

const (
	// maxReceiveWindow is how far the receive window grows by itself: enough
	// for a gigabit a second over 100 ms. Memory is used only while data waits
	// for the program, or for data that is missing.
	maxReceiveWindow = 16 << 20

	// windowRTT stands for the round-trip time where none was measured.
	windowRTT = 100 * time.Millisecond

	// minWindowPeriod: below, what the program reads in a round trip says more
	// of the scheduler than of the path.
	minWindowPeriod = time.Millisecond
)

// A windowTuner grows the receive window to twice what the program reads in a
// round-trip time, so that it never limits a sender whose data is read, while
// for a program that reads slowly little is kept.
type windowTuner struct {
	since    time.Time
	released int
}

// tuneWindow takes note of n bytes that the program has read.
func (a *Association) tuneWindow(now time.Time, n int) {
	t := &a.tuner
	if a.window >= a.windowMax {
		return
	}
	if t.since.IsZero() {
		t.since = now
	}
	t.released += n
	period := a.rto.srtt
	if period == 0 {
		period = windowRTT
	}
	period = max(period, minWindowPeriod)
	elapsed := now.Sub(t.since)
	if elapsed < period {
		return
	}
	if read := int(float64(t.released) * float64(period) / float64(elapsed)); read > a.window/2 {
		a.window = min(2*a.window, a.windowMax)
	}
	*t = windowTuner{since: now}
}
