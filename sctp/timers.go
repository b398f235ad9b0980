package sctp

import "time"

// NextTimeout returns when to call Advance. The zero time means never.
func (a *Association) NextTimeout() time.Time {
	s := &a.sender
	return a.clock.time(earliest(a.handshake.timer, s.t3, s.reorder, s.probe, s.paced, s.queue.nextExpiry,
		a.receiver.ackTimer, a.pmtud.timer, a.reset.timer, a.heartbeat.timer, a.shutdown.timer, a.shutdown.guard))
}

// Advance runs the timers that have expired. Calling it early is harmless.
func (a *Association) Advance(now time.Time) {
	t := a.clock.tick(now)
	s := &a.sender
	if due(t, &a.handshake.timer) {
		a.handshakeTimeout(t)
	}
	if due(t, &a.receiver.ackTimer) {
		a.receiver.ackTimeout()
	}
	s.queue.expire(t)
	due(t, &s.paced)
	if due(t, &s.reorder) {
		s.reorderTimeout(t)
	}
	if due(t, &a.pmtud.timer) {
		if a.pmtud.out {
			a.trace.probe(t, ProbeLost, a.pmtud.probeSize())
		}
		a.pmtud.timeout(t)
	}
	if due(t, &s.probe) {
		s.probeTimeout(t)
	}
	if due(t, &s.t3) {
		a.retransmissionTimeout(t)
	}
	if due(t, &a.reset.timer) && a.reset.timeout() {
		a.trace.timeout(t, TimerReset, 0)
		s.rto.expired()
		a.countErrors(1)
	}
	if due(t, &a.heartbeat.timer) {
		a.heartbeatTimeout(t)
	}
	if due(t, &a.shutdown.timer) {
		a.trace.timeout(t, TimerShutdown, 0)
		s.rto.expired()
		if !a.countErrors(1) {
			a.shutdown.resend(t, s.rto.timeout(rtoMin))
		}
	}
	if due(t, &a.shutdown.guard) {
		a.abort(faultOf(CauseUserAbort, "shutdown takes too long")) // RFC 9260 §9.2
	}
	a.proceed(t)
}

// retransmissionTimeout processes the expiry of T3-rtx (RFC 9260 §6.3.3).
func (a *Association) retransmissionTimeout(now instant) {
	s := &a.sender
	if !s.awaitsAck() {
		return
	}
	a.trace.timeout(now, TimerRetransmission, s.out.bytes)
	s.counters.Timeouts++
	a.pmtud.checkBlackHole(now)
	s.rto.expired()
	if a.countErrors(1) {
		return
	}
	if err := s.retransmissionTimeout(now); err != nil {
		a.abort(err)
	}
}

// heartbeatTimeout supervises an idle path (RFC 9260 §8.3), and releases memory that an
// idle association does not need.
func (a *Association) heartbeatTimeout(now instant) {
	if !a.state.handshakeDone() {
		return
	}
	idle, unanswered := a.heartbeat.timeout(now)
	if idle {
		a.receiver.trim()
		a.sender.trim()
		a.events.queue.trim()
	}
	if unanswered {
		a.trace.timeout(now, TimerHeartbeat, 0)
		a.countErrors(heartbeatErrors)
	}
}

// countErrors counts timeouts of the path, and ends the association after too many (RFC
// 9260 §8.1). It reports whether the association has ended.
func (a *Association) countErrors(n int) bool {
	if a.errorCount += int32(n); a.errorCount <= maxRetransmissions {
		return false
	}
	a.abort(faultOf(CauseUserAbort, "too many retransmissions"))
	a.err = ErrTimeout
	return true
}

// Awaiting reports whether something was sent that the remote has to answer. The
// answer takes a round trip; for data it may take 200 ms more (RFC 9260 §6.2).
func (a *Association) Awaiting() bool {
	return a.sender.t3 != 0 || a.handshake.timer != 0 || a.reset.timer != 0 || a.shutdown.timer != 0
}

// LossTimerDue reports whether Advance would send data again because the remote has not
// answered.
func (a *Association) LossTimerDue(now time.Time) bool {
	return a.sender.lossTimerDue(a.clock.at(now))
}

// SuppressLossDetection tells the association that the process was late, so that the
// remote's answers may have arrived but were not read yet. It cancels the tail loss
// probe and restarts T3-rtx if they are due. Advance follows.
func (a *Association) SuppressLossDetection(now time.Time) {
	a.sender.suppressLossDetection(a.clock.at(now))
}
