package sctp

import (
	"encoding/binary"
	"math"
	"time"
)

// A sender is the sending half of an association: the queue of messages (sendqueue.go),
// the chunks that await acknowledgement (outstanding.go), loss detection (recovery.go),
// congestion control and pacing, and the sending half of partial reliability
// (abandon.go). transmit.go builds its packets.
type sender struct {
	queue    sendQueue
	out      outstanding
	rto      rtoEstimator
	recovery recoveryState
	cc       congestionController // nil until the peer is known
	rate     rateSampler
	pacer    pacer
	short    shortPath
	skip     skipState

	mtu   int       // longest packet in bytes
	hold  bool      // queued messages stay in the queue
	rwnd  int       // the peer's a_rwnd, as in its last SACK
	order sendOrder // number of the packet being built

	t3, reorder, probe instant // timers: T3-rtx; reordering (RFC 8985 §6.2 step 5); tail loss probe (RFC 8985 §7)
	paced              instant // when the pacer lets the next packet go; 0: nothing waits for it

	counters sendCounters
	trace    *tracer // nil: Config.Trace is not set
}

// sendCounters are the sender's part of Counters.
type sendCounters struct {
	ChunksRetransmitted, Timeouts, TailProbes, SpuriousRecoveries, MessagesAbandoned uint64
}

// init prepares an association that has no peer yet.
func (s *sender) init(m *Memory, t *tracer) { s.mtu, s.queue.memory, s.trace = defaultMTU, m, t }

// begin starts to send to a peer. rwnd is the peer's receive window.
func (s *sender) begin(control CongestionControl, seed, rwnd uint32, interleaving bool) {
	s.rwnd = windowOf(rwnd)
	s.cc = control.newController(s.mtu, seed)
	s.queue.interleaving, s.queue.budget = interleaving, int(rwnd/2)
}

// establish starts the retransmission timer for data sent with the COOKIE ECHO.
func (s *sender) establish(now instant) {
	s.rto.progress()
	if s.out.listed() > 0 {
		s.t3 = now + int64(s.rto.timeout(rtoMin))
	}
}

// restart drops everything queued and in flight, and starts at an initial TSN.
func (s *sender) restart(initial chunkTSN) {
	s.queue.clear()
	s.out.reset(initial)
	s.skip, s.recovery, s.rate, s.pacer = skipState{}, recoveryState{}, rateSampler{}, pacer{}
	s.t3, s.reorder, s.probe = 0, 0, 0
}

// end drops everything queued and in flight for good.
func (s *sender) end() {
	s.queue.clear()
	s.out, s.skip = outstanding{}, skipState{}
	s.t3, s.reorder, s.probe, s.paced = 0, 0, 0, 0
}

// hasNew reports whether a queued message may be sent.
func (s *sender) hasNew() bool { return s.queue.messages > 0 && !s.hold }

// drained reports whether nothing is queued or awaits acknowledgement.
func (s *sender) drained() bool { return s.queue.messages == 0 && s.out.empty() }

// awaitsAck reports whether the remote has to acknowledge something.
func (s *sender) awaitsAck() bool {
	return s.out.listed() > 0 || s.skip.pending(&s.out) || s.out.reneged()
}

// send queues a copy of a message. partial says that the peer supports partial
// reliability. Otherwise the limits of reliability in o are ignored.
func (s *sender) send(now instant, m Message, o SendOptions, partial bool) error {
	st := s.queue.stream(m.Stream)
	if st.paused {
		return ErrStreamClosed
	}
	out := s.queue.pool.get(len(m.Data))
	out.data = append(out.data[:0], m.Data...)
	out.stream, out.ppid, out.unordered = st, m.PPID, o.Unordered
	out.uncounted = o.Uncounted
	if partial {
		out.limitRetransmits, out.maxRetransmits = o.LimitRetransmits, o.MaxRetransmits
		if o.Lifetime > 0 {
			out.limitLifetime(now, o.Lifetime, s.shortestRTT())
		}
	}
	s.queue.push(out)
	return nil
}

// shortestRTT returns the path's round-trip time without a queue, or the best guess
// of it. 0 means that nothing is known.
func (s *sender) shortestRTT() time.Duration {
	if s.recovery.minRTT > 0 {
		return time.Duration(s.recovery.minRTT)
	}
	return s.rto.srtt
}

// seedRTT takes a round-trip time that a lower layer has measured.
func (s *sender) seedRTT(now instant, rtt time.Duration) {
	s.rto.seed(rtt)
	if s.out.change.active && s.probe == 0 {
		s.armProbe(now) // everything in flight may be lost together with the old path
	}
}

// heartbeatRTT takes the round-trip time that a HEARTBEAT measured. ifLonger says that
// the HEARTBEAT was sent to find out whether the path has become longer. Then the time
// is used only if it is much longer.
func (s *sender) heartbeatRTT(rtt time.Duration, ifLonger bool) {
	if r := &s.recovery; int64(rtt) < r.soonest(0) {
		// The minimum was measured on a path that no longer exists. RFC 6298 §5 lets
		// an implementation clear such estimates.
		r.minRTT, s.rto.measured = int64(rtt), false
	}
	switch {
	case !ifLonger:
		s.rto.sample(rtt)
	case rtt > windowLonger*s.rto.srtt:
		s.rto.measured = false
		s.rto.sample(rtt)
	}
}

// windowOf converts a received a_rwnd. It limits the value, because an int may have
// only 32 bits. No sender has that much data in flight.
func windowOf(rwnd uint32) int { return int(min(rwnd, math.MaxInt32)) }

// An ackOutcome says what an acknowledgement means to the other parts.
type ackOutcome struct {
	progress bool // chunks were acknowledged that no earlier SACK had acknowledged
	askRTT   bool // a HEARTBEAT is to measure the round-trip time
}

// handleSack takes the body of a SACK (RFC 9260 §6.2.1). ok is false if the SACK is
// malformed, older than the last one, or acknowledges data that was never sent. Such
// a SACK has no effect. rtt is the result of a HEARTBEAT since the last SACK, or 0.
func (s *sender) handleSack(now instant, body []byte, rtt time.Duration) (r ackOutcome, ok bool) {
	if len(body) < sackHeaderSize-chunkHeaderSize {
		return r, false
	}
	cum := chunkTSN(binary.BigEndian.Uint32(body))
	gaps := body[sackHeaderSize-chunkHeaderSize:]
	blocks, dups := int(binary.BigEndian.Uint16(body[8:])), int(binary.BigEndian.Uint16(body[10:]))
	if !s.validCum(cum) || 4*(blocks+dups) > len(gaps) || !s.out.validGaps(cum, gaps[:4*blocks]) {
		return r, false
	}
	s.rwnd = windowOf(binary.BigEndian.Uint32(body[4:]))
	s.queue.budget = max(s.queue.budget, s.rwnd/2)
	return s.acknowledge(now, cum, gaps[:4*blocks], rtt), true
}

// validCum reports whether a cumulative TSN is neither older than the last one nor
// beyond what was sent.
func (s *sender) validCum(cum chunkTSN) bool {
	return !cum.before(s.out.first-1) && cum.before(s.out.end)
}

// acknowledge takes the cumulative TSN and the gap blocks of a SACK, or the TSN of a
// SHUTDOWN.
func (s *sender) acknowledge(now instant, cum chunkTSN, gaps []byte, rtt time.Duration) (out ackOutcome) {
	before, l := s.out.bytes, &s.recovery
	r := s.out.ack(cum, gaps, now-l.soonest(s.rto.srtt), &s.queue)
	l.observe(now, &r)
	ev := ackEvent{now: now, acked: r.acked - r.moved, before: before, limited: r.valid && !l.limited.before(r.newest.order)}
	switch {
	case r.valid && r.retransmits == 0: // RFC 9260 §6.3.1 C5: Karn's algorithm
		ev.rtt = max(now-r.newest.at, 1)
		s.rto.sample(time.Duration(ev.rtt))
	case rtt > 0:
		ev.rtt = int64(rtt)
	case (!s.rto.measured || r.tooSoon && !r.valid) && !s.out.empty():
		// While everything in flight is a retransmission, acknowledgements do not
		// measure the round-trip time. If the path has become shorter, an
		// acknowledgement arrives so soon that it is taken for one of an earlier
		// transmission.
		out.askRTT = r.any
	}
	out.progress = r.any || r.cumAdvanced
	if out.progress {
		s.rto.progress() // acknowledged chunks count even if they are abandoned
	}
	if l.allSpurious() {
		s.counters.SpuriousRecoveries++
		s.trace.note(now, TraceSpurious)
		s.cc.undo()
		l.end()
	}
	if l.active && !cum.before(l.until) {
		l.end()
	}
	if r.any {
		ev.lost = s.detectLosses(now)
		if ev.acked > 0 {
			ev.rate = s.rate.acked(now, ev.acked, &r)
		}
		ev.inFlight, ev.recovering = s.out.bytes, l.active && !l.timedOut
		s.cc.acked(ev)
	}
	s.skip.acknowledged(&s.out)
	s.skip.repeat(&s.out, now, int64(s.rto.srtt))
	s.abandonLost(now)
	switch {
	case !s.awaitsAck():
		s.t3 = 0 // RFC 9260 §6.3.2 R2: everything is acknowledged
	case out.progress:
		// RFC 9260 §6.3.2 R3 restarts the timer only when the lowest TSN is
		// acknowledged. RACK finds other losses without this timer, so here each
		// progress restarts it.
		s.t3 = now + int64(s.rto.timeout(rtoMin))
	}
	s.armProbe(now)
	return out
}

// retransmissionTimeout retransmits everything after T3-rtx has expired (RFC 9260
// §6.3.3). It returns a fault if the remote has dropped acknowledged data for the
// second time.
func (s *sender) retransmissionTimeout(now instant) *fault {
	if s.rwnd > 0 && !s.out.allOldPath() {
		// While the peer's window is closed, data is sent only to probe the window,
		// and a timeout says nothing about the path. Data that was sent on the old
		// path says nothing about the new path.
		s.cc.timedOut(now)
	}
	s.recovery.begin(s.out.end-1, true)
	s.recovery.marked += s.out.flying
	s.reorder, s.probe = 0, 0
	s.out.markAllLost()
	// A SACK that shows that the remote has dropped data does not cause
	// retransmissions. Otherwise 20 bytes of the remote would cause the retransmission
	// of everything in flight.
	if s.out.reneged() && !s.out.renege() {
		return violation("acknowledged data was dropped twice")
	}
	s.skip.looked = s.skip.point // chunks that the remote has dropped are no longer acknowledged
	s.abandonLost(now)
	s.skip.due = s.skip.pending(&s.out)
	s.t3 = now + int64(s.rto.timeout(rtoMin))
	return nil
}

// lossTimerDue reports whether a timer has expired because the remote did not answer
// data.
func (s *sender) lossTimerDue(now instant) bool {
	return s.probe != 0 && now >= s.probe || s.t3 != 0 && now >= s.t3
}

// suppressLossDetection cancels the tail loss probe and restarts T3-rtx if they are
// due.
func (s *sender) suppressLossDetection(now instant) {
	due(now, &s.probe)
	if due(now, &s.t3) {
		s.t3 = now + int64(s.rto.timeout(rtoMin))
	}
}

// trim releases memory that an idle association does not need.
func (s *sender) trim() {
	s.out.trim()
	s.queue.pool = messagePool{}
	if s.queue.messages == 0 {
		s.queue.heap = nil
	}
}

// stats returns the sender's counters and estimates.
func (s *sender) stats() Stats {
	c := &s.counters
	st := Stats{
		SmoothedRTT: s.rto.srtt, MinRTT: time.Duration(s.recovery.minRTT),
		PacketSize: s.mtu, BytesInFlight: s.out.bytes, PeerReceiveWindow: s.rwnd,
	}
	st.ChunksRetransmitted, st.Timeouts, st.TailProbes = c.ChunksRetransmitted, c.Timeouts, c.TailProbes
	st.SpuriousRecoveries, st.MessagesAbandoned = c.SpuriousRecoveries, c.MessagesAbandoned
	if s.cc != nil {
		st.PacingRate, st.CongestionWindow = s.pacingRate(), s.cc.window()
	}
	return st
}

// metrics returns what TraceMetrics reports. window is the local receive window.
func (s *sender) metrics(window int) Metrics {
	st := s.stats()
	return Metrics{
		SmoothedRTT: st.SmoothedRTT, MinRTT: st.MinRTT, CongestionWindow: st.CongestionWindow, BytesInFlight: st.BytesInFlight,
		PacingRate: st.PacingRate, PacketSize: st.PacketSize, ReceiveWindow: window, PeerReceiveWindow: st.PeerReceiveWindow,
	}
}
