package sctp

import "time"

const (
	// maxReceiveWindow is how far the receive window grows by itself: enough for 1
	// Gbit/s over 100 ms. Memory is used only by data that waits for the program or for
	// missing data.
	maxReceiveWindow = 16 << 20

	// windowRTT is the round-trip time assumed until one is measured.
	windowRTT = 100 * time.Millisecond

	// minWindowPeriod is the shortest period over which the program's reading is
	// measured. How much a program reads in a shorter time depends on the scheduler,
	// not on the path.
	minWindowPeriod = time.Millisecond

	// windowAsk is how often the round-trip time is measured by a HEARTBEAT if this end
	// sends no data. Otherwise the window would stay too small on a path that has become
	// longer since the association began.
	windowAsk = time.Second

	// windowLonger is the factor by which the round trip of a path must have grown for
	// the new value to be used. A smaller growth may be caused by a queue.
	windowLonger = 2
)

// A windowTuner grows the receive window to twice what the program reads in a round
// trip. So the window never limits a remote while the program reads promptly, and a
// program that reads slowly causes little data to be kept.
type windowTuner struct {
	since    instant // when the present period began; 0: no period has begun
	released int     // bytes released in the present period
	askedAt  instant // when release last asked for a HEARTBEAT
	asking   bool    // the HEARTBEAT that release asked for is not answered yet
}

// release gives the n bytes of a read message back to the window. It reports whether a
// HEARTBEAT is to measure the round-trip time. idle says that no data awaits
// acknowledgement.
func (r *receiver) release(now instant, n int, srtt time.Duration, idle bool) (askRTT bool) {
	t, m := &r.tuner, r.memory
	m.held = max(m.held-n-messageOverhead, 0)
	if m.window >= m.windowMax {
		return false
	}
	if t.since == 0 {
		t.since = now
	}
	t.released += n
	if srtt == 0 {
		srtt = windowRTT
	}
	period, elapsed := int64(max(srtt, minWindowPeriod)), now-t.since
	if elapsed < period {
		return false
	}
	rate := float64(t.released) / float64(elapsed)
	switch half := float64(m.window / 2); {
	case rate*float64(period) > half:
		m.window = min(2*m.window, m.windowMax)
	case rate*float64(windowAsk) > half && idle && now-t.askedAt > int64(windowAsk):
		t.askedAt, t.asking = now, true
		askRTT = true
	}
	t.since, t.released = now, 0
	return askRTT
}

// takeAsking reports whether release wanted the HEARTBEAT that is answered now.
func (r *receiver) takeAsking() bool {
	asking := r.tuner.asking
	r.tuner.asking = false
	return asking
}
