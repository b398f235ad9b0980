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
	since    int64 // by the association's clock; 0: not begun
	released int
	asked    int64 // when a HEARTBEAT was last asked for
	waiting  bool  // for its answer
}

// windowAsk is how often the round trip is asked for where nothing that we send
// tells it: by the one that was measured when the association began the window
// would limit who sends to us over a path that has become a longer one since. Such
// a path takes windowLonger times as long; less is a queue.
const (
	windowAsk    = time.Second
	windowLonger = 2
)

// tuneWindow takes note of n bytes that the program has read.
func (a *Association) tuneWindow(now time.Time, n int) {
	t, m := &a.tuner, a.memory
	if m.window >= m.windowMax {
		return
	}
	clock := a.clock(now)
	if t.since == 0 {
		t.since = clock
	}
	t.released += n
	period := a.rto.srtt
	if period == 0 {
		period = windowRTT
	}
	period = max(period, minWindowPeriod)
	elapsed := clock - t.since
	if elapsed < int64(period) {
		return
	}
	rate := float64(t.released) / float64(elapsed)
	switch half := float64(m.window / 2); {
	case rate*float64(period) > half:
		m.window = min(2*m.window, m.windowMax)
	case rate*float64(windowAsk) > half && a.out.empty() && clock-t.asked > int64(windowAsk):
		t.asked, t.waiting = clock, true
		a.askRTT(now)
	}
	t.since, t.released = clock, 0
}
