package sctp

import "time"

// Loss detection is RACK-TLP (RFC 8985), counted in packets. A chunk is lost if a
// packet that was sent sufficiently later was acknowledged. This also holds for
// retransmitted chunks, so each loss of a chunk is detected, and T3-rtx is needed only
// if no acknowledgements arrive. RACK replaces the miss indications of RFC 9260
// §7.2.4. They count SACKs, of which a receiver may send one for many packets, and
// work only once for each chunk.
//
// The list of chunks in flight is in the order of sending. So detection examines only
// the lost chunks at its head, and one chunk more.

const (
	// While no reordering was seen, a packet is lost if another packet, sent at least
	// reorderPackets later, was acknowledged (RFC 8985 §6.2: DupThresh).
	reorderPackets = 3

	// maxReorderSteps bounds the reordering window, in quarters of the minimum
	// round-trip time.
	maxReorderSteps = 16

	// reorderPersist is how many recoveries a widened reordering window lasts
	// (RFC 8985 §6.2).
	reorderPersist = 16

	// minProbeTimeout is the least time before a tail loss probe. It allows for a
	// receiver that its scheduler runs late.
	minProbeTimeout = 10 * time.Millisecond
)

// A recoveryState is what loss detection knows of the path, and the present recovery.
type recoveryState struct {
	newest  sendOrder // the acknowledged packet that was sent last
	limited sendOrder // the last packet sent before the congestion window was full
	rtt     int64     // round trip of newest, in ns
	minRTT  int64     // shortest round trip, in ns; 0 until measured
	steps   int       // reordering window in quarters of minRTT; 0 means 1
	persist int       // recoveries left until steps is 1 again

	any        bool // newest is set
	reordering bool // reordering was seen
	probed     bool // a tail loss probe was sent since the last acknowledgement
	allowance  bool // one packet may exceed the window and the pace

	active   bool // a recovery is under way, until the cumulative TSN reaches the TSN until
	timedOut bool // the recovery began with a timeout
	until    chunkTSN
	reduced  sendOrder // first packet sent after congestion control was last told of a loss
	marked   int       // chunks declared lost in the recovery
	spurious int       // number of marked chunks that had arrived
}

// reorderWindow returns how much later than expected an acknowledgement may arrive, in
// ns (RFC 8985 §6.2 step 4).
func (r *recoveryState) reorderWindow(srtt time.Duration) int64 {
	if !r.reordering && r.active {
		return 0
	}
	return min(r.minRTT/4*int64(max(r.steps, 1)), max(int64(srtt), r.minRTT/4))
}

// soonest returns the least time in ns that an acknowledgement takes. Until SCTP has
// measured a round trip, srtt is the round trip that ICE has measured. That round trip
// may include other delays, so half of it is used.
func (r *recoveryState) soonest(srtt time.Duration) int64 {
	if r.minRTT == 0 {
		return int64(srtt / 2)
	}
	return r.minRTT * 7 / 8
}

// observe takes the result of a SACK (RFC 8985 §6.2 steps 1 to 3).
func (r *recoveryState) observe(now instant, ack *ackResult) {
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

// widen allows more reordering after a spurious retransmission.
func (r *recoveryState) widen() {
	r.reordering = true
	r.steps = min(max(r.steps, 1)+1, maxReorderSteps)
	r.persist = reorderPersist
}

// begin enters recovery until everything sent so far is acknowledged.
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

// allSpurious reports whether every chunk declared lost in this recovery had arrived.
func (r *recoveryState) allSpurious() bool {
	return r.active && r.marked > 0 && r.spurious >= r.marked
}

// detectLosses declares chunks lost (RFC 8985 §6.2 step 5). lost is how many bytes
// they have.
func (s *sender) detectLosses(now instant) (lost int) {
	r := &s.recovery
	s.reorder = 0
	if !r.any {
		return 0
	}
	wait := r.rtt + r.reorderWindow(s.rto.srtt)
	s.detectOldPath(now, wait)
	for tsn, ok := s.out.firstOfPath(); ok; tsn, ok = s.out.firstOfPath() {
		c := s.out.at(tsn)
		if !c.order.before(r.newest) {
			break
		}
		if at := c.at + wait; now < at && (r.reordering || r.newest.since(c.order) < reorderPackets) {
			s.armReorder(at)
			break
		}
		lost += int(c.size)
		if again := r.active; !again || c.retransmits > 0 && !r.timedOut && !c.order.before(r.reduced) {
			if !again {
				r.begin(s.out.end-1, false)
			}
			r.reduced = s.order + 1
			s.cc.lost(now, s.out.bytes, again)
		}
		r.marked++
		s.trace.lost(now, tsn, c)
		s.out.markLost(tsn, c)
	}
	return lost
}

// armReorder sets the reordering timer, unless it already expires earlier.
func (s *sender) armReorder(at instant) {
	if s.reorder == 0 || at < s.reorder {
		s.reorder = at
	}
}

// reorderTimeout declares chunks lost for which the reordering window has passed.
func (s *sender) reorderTimeout(now instant) {
	if lost := s.detectLosses(now); lost > 0 {
		s.cc.acked(ackEvent{now: now, lost: lost, before: s.out.bytes + lost, inFlight: s.out.bytes, recovering: true})
	}
	s.abandonLost(now) // also for chunks lost on the old path, which the variable lost does not count
}

// armProbe sets the timer of the tail loss probe (RFC 8985 §7.2).
func (s *sender) armProbe(now instant) {
	r := &s.recovery
	s.probe = 0
	if r.probed || r.active || s.out.flying == 0 || s.rto.srtt == 0 || s.reorder != 0 {
		return
	}
	d := max(2*s.rto.srtt, minProbeTimeout)
	if s.out.at(s.out.head).order == s.out.at(s.out.tail).order {
		d += ackDelay // the SACK of a single packet may be delayed
	}
	if at := now + int64(d); s.t3 == 0 || at < s.t3 {
		s.probe = at
	}
}
