package sctp

import "time"

// Loss detection is RACK-TLP (RFC 8985), by packets: a chunk is lost when a
// packet that was sent sufficiently later was acknowledged. That holds for
// chunks sent again as well, so one that is lost twice or ten times is found
// each time, and the retransmission timer is for silence only. It replaces the
// miss indications of RFC 9260 §7.2.4, which count SACKs, of which a receiver
// may send one for a whole batch, and count only once for each chunk.
//
// What the list of chunks in flight begins with was sent first, so that
// detection looks at what is lost, and at one chunk more.

const (
	// reorderPackets is how many packets later one must have been acknowledged
	// while no reordering was seen (RFC 8985 §6.2: DupThresh).
	reorderPackets = 3

	// maxReorderSteps bounds the reordering window, in quarters of the minimum
	// round-trip time.
	maxReorderSteps = 16

	// reorderPersist is for how many recoveries a widened window lasts
	// (RFC 8985 §6.2).
	reorderPersist = 16

	// minProbeTimeout keeps the tail loss probe behind a receiver's scheduler.
	minProbeTimeout = 10 * time.Millisecond
)

// A recoveryState is what loss detection knows of the path, and the episode of
// recovery under way.
type recoveryState struct {
	newest  sendOrder // of the packets acknowledged, the one sent last
	limited sendOrder // the packet before which the window was last a limit
	rtt     int64     // what the newest took
	minRTT  int64     // ns; 0: none yet
	steps   int       // of the reordering window; 0 counts as 1
	persist int       // recoveries until it is 1 again

	any        bool // there is a newest packet
	reordering bool // was seen
	probed     bool // a tail loss probe went since the last acknowledgement
	allowance  bool // one packet past the window and the pace

	timedOut bool // the episode began with a timeout
	active   bool // it goes on until the cumulative TSN reaches
	until    chunkTSN
	reduced  sendOrder // the first packet since congestion control was told of loss
	marked   int       // chunks taken for lost in it
	spurious int       // of those, that were not
}

// reorderWindow is how much later than expected an acknowledgement may come
// (RFC 8985 §6.2 step 4).
func (r *recoveryState) reorderWindow(srtt time.Duration) int64 {
	if !r.reordering && r.active {
		return 0
	}
	return min(r.minRTT/4*int64(max(r.steps, 1)), max(int64(srtt), r.minRTT/4))
}

// soonest is the time below which no acknowledgement can come. Before there is
// a measurement, srtt is what ICE has measured, which may have been held up.
func (r *recoveryState) soonest(srtt time.Duration) int64 {
	if r.minRTT == 0 {
		return int64(srtt / 2)
	}
	return r.minRTT * 7 / 8
}

// observe takes what a SACK acknowledged (RFC 8985 §6.2 steps 1 to 3).
func (r *recoveryState) observe(now int64, ack *ackResult) {
	if ack.any {
		r.probed = false
	}
	if ack.hasOldest && r.any && ack.oldest.before(r.newest) {
		r.reordering = true
	}
	if ack.spurious > 0 {
		r.widen()
		r.spurious += ack.spurious
	}
	if !ack.valid {
		return
	}
	rtt := now - ack.newest.at
	if ack.retransmits == 0 && (r.minRTT == 0 || rtt < r.minRTT) {
		r.minRTT = max(rtt, 1)
	}
	if !r.any || !ack.newest.order.before(r.newest) {
		r.newest, r.rtt, r.any = ack.newest.order, rtt, true
	}
}

// widen lets reordering go further: something was sent again in vain.
func (r *recoveryState) widen() {
	r.reordering = true
	r.steps = min(max(r.steps, 1)+1, maxReorderSteps)
	r.persist = reorderPersist
}

// begin enters recovery, until everything sent so far is acknowledged.
func (r *recoveryState) begin(until chunkTSN, timedOut bool) {
	if !r.active {
		r.marked, r.spurious = 0, 0
	}
	r.active, r.timedOut, r.until = true, timedOut, until
	r.allowance = true
}

// end leaves recovery.
func (r *recoveryState) end() {
	r.active, r.timedOut = false, false
	if r.persist > 0 {
		if r.persist--; r.persist == 0 {
			r.steps = 0
		}
	}
}

// vain reports whether everything that was taken for lost had arrived.
func (r *recoveryState) allSpurious() bool { return r.active && r.marked > 0 && r.spurious >= r.marked }

// detectLosses marks what is lost (RFC 8985 §6.2 step 5), and returns the bytes.
func (a *Association) detectLosses(now time.Time) (lost int) {
	r := &a.recovery
	a.timers.reorder = time.Time{}
	if !r.any {
		return 0
	}
	clock := a.clock(now)
	wait := r.rtt + r.reorderWindow(a.rto.srtt)
	a.detectMoved(clock, wait)
	for tsn, ok := a.out.fresh(); ok; tsn, ok = a.out.fresh() {
		c := a.out.at(tsn)
		if !c.order.before(r.newest) {
			break
		}
		if due := c.at + wait; clock < due && (r.reordering || r.newest.since(c.order) < reorderPackets) {
			a.armReorder(due)
			break
		}
		lost += int(c.size)
		if again := r.active; !again || c.retransmits > 0 && !r.timedOut && !c.order.before(r.reduced) {
			if !again {
				r.begin(a.out.end-1, false)
			}
			r.reduced = a.order + 1
			a.cc.lost(clock, a.out.bytes, again)
		}
		r.marked++
		a.out.markLost(tsn, c)
	}
	return lost
}

// armReorder sets the timer for what is not late yet.
func (a *Association) armReorder(due int64) {
	if at, t := a.base.Add(time.Duration(due)), &a.timers.reorder; t.IsZero() || at.Before(*t) {
		*t = at
	}
}

// reorderTimeout marks what was waited for long enough.
func (a *Association) reorderTimeout(now time.Time) {
	if lost := a.detectLosses(now); lost > 0 {
		a.cc.acked(ackEvent{now: a.clock(now), lost: lost, before: a.out.bytes + lost, inFlight: a.out.bytes, recovering: true})
	}
	a.abandonLost(now) // of what took the old path too, which is not counted
}

// armProbe sets the timer of the tail loss probe (RFC 8985 §7.2).
func (a *Association) armProbe(now time.Time) {
	r := &a.recovery
	if r.probed || r.active || a.out.flying == 0 || a.rto.srtt == 0 || !a.timers.reorder.IsZero() {
		a.timers.probe = time.Time{}
		return
	}
	d := max(2*a.rto.srtt, minProbeTimeout)
	if a.out.at(a.out.head).order == a.out.at(a.out.tail).order {
		d += ackDelay // a lone packet's SACK may wait
	}
	at := now.Add(d)
	if !a.timers.t3.IsZero() && !at.Before(a.timers.t3) {
		at = time.Time{}
	}
	a.timers.probe = at
}

// LossTimerDue tells whether the far end is late with an answer, so that Advance has
// something sent again.
func (a *Association) LossTimerDue(now time.Time) bool {
	t := &a.timers
	return !t.probe.IsZero() && !now.Before(t.probe) || !t.t3.IsZero() && !now.Before(t.t3)
}

// LastReceived is when the last packet of the far end came; zero: none has.
func (a *Association) LastReceived() time.Time { return a.heartbeat.lastReceived }

// SuppressLossDetection tells that the far end's silence proves nothing, since what it sent
// may not have been read yet. What is due for want of an answer has another
// timeout's time: there is no probe, and T3 starts anew. Advance follows.
func (a *Association) SuppressLossDetection(now time.Time) {
	due(now, &a.timers.probe)
	if due(now, &a.timers.t3) {
		a.timers.t3 = now.Add(a.rto.timeout(rtoMin))
	}
}

// probeTimeout sends one packet, so that its acknowledgement tells whether the
// tail of what was sent is lost (RFC 8985 §7.3): of new data, or the last once
// more.
func (a *Association) probeTimeout(now time.Time) {
	r := &a.recovery
	if r.active || a.out.flying == 0 {
		return
	}
	r.probed, r.allowance = true, true
	a.stats.TailProbes++
	if a.queue.messages > 0 && a.windowAllows(defaultMTU) {
		return
	}
	tsn := a.out.tail
	c := a.out.at(tsn)
	if c.msg.partiallyReliable() {
		return // it is not known to be lost, and may not be sent any number of times
	}
	a.out.markLost(tsn, c)
}
