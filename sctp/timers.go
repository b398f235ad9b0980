package sctp

import (
	"encoding/binary"
	"time"
)

// timers are the deadlines of an association. Zero is off.
type timers struct {
	init      time.Time // T1-init, T1-cookie
	t3        time.Time // T3-rtx
	reorder   time.Time // RFC 8985 §6.2 step 5
	probe     time.Time // RFC 8985 §7
	pmtud     time.Time // RFC 8899 §5.1.1
	ack       time.Time // the delayed SACK
	reconfig  time.Time // RFC 6525 §5.1.1
	heartbeat time.Time
	shutdown  time.Time // T2-shutdown
	guard     time.Time // T5-shutdown-guard
}

// NextTimeout is when Advance has something to do; zero: never.
func (a *Association) NextTimeout() time.Time {
	t := &a.timers
	next := a.queue.nextExpiry
	for _, d := range [...]time.Time{t.init, t.t3, t.reorder, t.probe, t.pmtud, a.pacedUntil, t.ack, t.reconfig, t.heartbeat, t.shutdown, t.guard} {
		if !d.IsZero() && (next.IsZero() || d.Before(next)) {
			next = d
		}
	}
	return next
}

// due reports whether a timer has run out, and stops it.
func due(now time.Time, t *time.Time) bool {
	if t.IsZero() || now.Before(*t) {
		return false
	}
	*t = time.Time{}
	return true
}

// Advance runs the timers that are due.
func (a *Association) Advance(now time.Time) {
	a.tick(now)
	if due(now, &a.timers.init) {
		a.handshakeTimeout(now)
	}
	if due(now, &a.timers.ack) && a.ack == ackDelayed {
		a.ack = ackNow
	}
	a.queue.expire(now)
	due(now, &a.pacedUntil)
	if due(now, &a.timers.reorder) {
		a.reorderTimeout(now)
	}
	if due(now, &a.timers.pmtud) {
		a.sizeTimeout(now)
	}
	if due(now, &a.timers.probe) {
		a.probeTimeout(now)
	}
	if due(now, &a.timers.t3) {
		a.retransmissionTimeout(now)
	}
	if due(now, &a.timers.reconfig) {
		a.reconfigTimeout(now)
	}
	if due(now, &a.timers.heartbeat) {
		a.heartbeatTimeout(now)
	}
	if due(now, &a.timers.shutdown) {
		a.shutdownTimeout(now)
	}
	if due(now, &a.timers.guard) {
		a.abort(CauseUserAbort, "shutdown takes too long") // RFC 9260 §9.2
	}
	if a.transferring() {
		a.afterInput(now)
	}
}

// Awaiting tells whether something was sent that the far end has to answer:
// within a round trip, and 200 ms where it is data (RFC 9260 §6.2).
func (a *Association) Awaiting() bool {
	t := &a.timers
	return !t.t3.IsZero() || !t.init.IsZero() || !t.reconfig.IsZero() || !t.shutdown.IsZero()
}

// PathLost tells that what was sent lately may be lost with the path that it
// took, and that there is another one, of which nothing is known: whatever is
// not acknowledged goes again at once, as if a timer had run out.
func (a *Association) PathLost(now time.Time) {
	a.rto.measured = false // so that SetRTT may say what the new path's is
	for _, t := range []*time.Time{&a.timers.init, &a.timers.t3, &a.timers.reconfig, &a.timers.shutdown} {
		if !t.IsZero() {
			*t = now
		}
	}
	a.Advance(now)
	a.rto.progress() // that was no sign of congestion
}

// retransmissionTimeout is T3-rtx running out (RFC 9260 §6.3.3).
func (a *Association) retransmissionTimeout(now time.Time) {
	if a.out.listed() == 0 && !a.skip.pending(&a.out) && !a.out.reneged() {
		return
	}
	a.stats.Timeouts++
	a.checkBlackHole(now)
	a.rto.expired()
	if a.countError() {
		return
	}
	if a.peerRwnd > 0 && !a.out.allMoved() {
		// A probe of a closed window says nothing of the path, nor does what
		// took the one before.
		a.cc.timedOut(a.clock(now))
	}
	a.recovery.begin(a.out.end-1, true)
	a.recovery.marked += a.out.flying
	a.timers.reorder, a.timers.probe = time.Time{}, time.Time{}
	a.out.markAllLost()
	// A SACK alone does not bring this about: it would cost the remote 20 bytes
	// to have everything in flight sent again.
	if a.out.reneged() && !a.out.renege() {
		a.violation("acknowledged data was dropped twice")
		return
	}
	a.skip.looked = a.skip.point // what was reneged is not acknowledged any more
	a.abandonLost(now)
	a.skip.due = a.skip.pending(&a.out)
	a.timers.t3 = now.Add(a.rto.timeout(rtoMin))
}

// countError counts a timeout of the path, and ends the association after too
// many (RFC 9260 §8.1).
func (a *Association) countError() (ended bool) {
	if a.errorCount++; a.errorCount > maxRetransmissions {
		a.abort(CauseUserAbort, "too many retransmissions")
		a.err = ErrTimeout
		return true
	}
	return false
}

// heartbeatInterval is that of RFC 9260 §16, HB.interval.
const heartbeatInterval = 30 * time.Second

// restAfter is how long an association hears nothing before it gives back what
// it does not need at rest: longer than a game or a chat is silent in between.
const restAfter = 2 * time.Second

// heartbeatErrors is how many timeouts a HEARTBEAT without an answer counts
// for: as many as there would have been with data, whose timer runs out every
// second.
const heartbeatErrors = int(heartbeatInterval / rtoMax)

// A heartbeatState is the one HEARTBEAT under way.
type heartbeatState struct {
	lastReceived time.Time // when the far end was last heard
	nonce        uint64
	sentAt       time.Time // zero: none under way
	send         bool
	asked        uint8         // how often askRTT had one sent in vain
	rtt          time.Duration // for the next acknowledgement; 0: none
}

// askRTT has a HEARTBEAT tell the round trip where nothing else does: which
// packet its answer is to is clear (RFC 9260 §8.3).
func (a *Association) askRTT(now time.Time) {
	h := &a.heartbeat
	if h.send || !h.sentAt.IsZero() && now.Sub(h.sentAt) < a.rto.timeout(rtoMinHandshake)<<h.asked {
		return
	}
	h.send = true
	h.asked = min(h.asked+1, 6)
}

// heartbeatTimeout sends a HEARTBEAT on an idle path (RFC 9260 §8.3), and gives
// back what an idle association does not need.
func (a *Association) heartbeatTimeout(now time.Time) {
	h := &a.heartbeat
	if !a.transferring() {
		return
	}
	if rest := h.lastReceived.Add(restAfter); rest.After(now) {
		a.timers.heartbeat = rest
		return
	}
	a.trim()
	if next := h.lastReceived.Add(heartbeatInterval); next.After(now) {
		a.timers.heartbeat = next
		return
	}
	if !h.sentAt.IsZero() {
		a.errorCount += int32(heartbeatErrors - 1)
		if a.countError() {
			return
		}
	}
	h.send = true
	a.timers.heartbeat = now.Add(heartbeatInterval)
}

// trim gives memory back.
func (a *Association) trim() {
	a.in.trim()
	a.out.trim()
	a.reassembly.trim()
	a.events.trim()
	a.queue.pool = messagePool{}
	if a.queue.messages == 0 {
		a.queue.heap = nil
	}
}

// appendHeartbeat appends the HEARTBEAT that is due.
func (a *Association) appendHeartbeat(now time.Time, w *packetWriter) {
	h := &a.heartbeat
	if !h.send || w.room() < 16 {
		return
	}
	h.send = false
	var nonce [8]byte
	if !a.random(nonce[:]) {
		return // the next interval tries again
	}
	h.nonce, h.sentAt = binary.BigEndian.Uint64(nonce[:]), now
	b, start := beginChunk(w.b, chunkHeartbeat, 0)
	w.b = endChunk(appendParam(b, paramHeartbeatInfo, nonce[:]), start)
}

// handleHeartbeat sends the information back (RFC 9260 §8.3).
func (a *Association) handleHeartbeat(body []byte) {
	if !a.peerKnown() {
		return
	}
	b, start := beginChunk(make([]byte, 0, chunkHeaderSize+padded(len(body))), chunkHeartbeatAck, 0)
	a.pushControl(endChunk(append(b, body...), start))
}

// handleHeartbeatAck takes the answer to our HEARTBEAT.
func (a *Association) handleHeartbeatAck(now time.Time, body []byte) {
	h := &a.heartbeat
	p, _, ok := nextParam(body)
	if ok && p.typ == paramHeartbeatInfo && len(p.body) == 8 && a.probeAnswered(a.clock(now), binary.BigEndian.Uint64(p.body)) {
		return
	}
	if !ok || p.typ != paramHeartbeatInfo || len(p.body) != 8 || h.sentAt.IsZero() || binary.BigEndian.Uint64(p.body) != h.nonce {
		return
	}
	h.rtt = max(now.Sub(h.sentAt), 1)
	if r := &a.recovery; int64(h.rtt) < r.soonest(0) {
		// What was measured is of a path that is no more (RFC 6298 §5 has such
		// estimates cleared).
		r.minRTT, a.rto.measured = int64(h.rtt), false
	}
	if !a.tuner.waiting {
		a.rto.sample(h.rtt)
	} else if h.rtt > windowLonger*a.rto.srtt {
		a.rto.measured = false
		a.rto.sample(h.rtt)
	}
	a.tuner.waiting = false
	a.errorCount = 0
	h.sentAt, h.asked = time.Time{}, 0
}
