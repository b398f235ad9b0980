package sctp

import (
	"encoding/binary"
	"time"
)

// This file ends an association: by SHUTDOWN, SHUTDOWN ACK and SHUTDOWN COMPLETE (RFC
// 9260 §9.2), or immediately by ABORT (§9.1).

// Shutdown ends the association once everything queued is delivered (RFC 9260
// §9.2). EventClosed follows.
func (a *Association) Shutdown(now time.Time) {
	t := a.clock.tick(now)
	switch a.state {
	case StateClosed, StateCookieWait, StateCookieEchoed:
		if a.renewal >= renewalBegun {
			a.renewal = renewalLast
		} else if !a.ended {
			a.end(Event{Kind: EventClosed})
		}
	case StateEstablished:
		a.trace.enter(&a.state, StateShutdownPending)
		a.proceed(t)
	}
}

// handleShutdown takes a SHUTDOWN.
func (a *Association) handleShutdown(now instant, body []byte) {
	if len(body) < 4 {
		return
	}
	if cum := chunkTSN(binary.BigEndian.Uint32(body)); a.sender.validCum(cum) {
		delivered := a.sender.rate.delivered
		a.acknowledged(now, a.sender.acknowledge(now, cum, nil, a.heartbeat.rtt), delivered)
	}
	switch a.state {
	case StateEstablished, StateShutdownPending:
		// RFC 9260 §9.2: Send takes no more messages; queued ones are still sent.
		a.trace.enter(&a.state, StateShutdownReceived)
	case StateShutdownSent:
		// RFC 9260 §9.2: both ends have begun a shutdown.
		a.trace.enter(&a.state, StateShutdownAckSent)
		a.shutdown.resend(now, a.sender.rto.timeout(rtoMin))
	case StateShutdownAckSent:
		a.shutdown.repeat()
	}
}

// Abort ends the association immediately (RFC 9260 §9.1). AppendPacket then returns
// one more packet, with the ABORT.
func (a *Association) Abort(now time.Time, reason string) {
	a.clock.tick(now)
	a.abort(faultOf(CauseUserAbort, reason))
}

// abort ends the association because of f, and tells the remote.
func (a *Association) abort(f *fault) {
	if a.ended {
		return
	}
	if tag := a.handshake.peerTag; tag != 0 {
		a.outbox.replyOnly(tag, appendAbort(nil, 0, f.code, f.info))
	}
	a.end(Event{Kind: EventFailed, Err: &AbortError{Causes: []CauseCode{f.code}, Reason: f.reason}})
}

// end closes the association for good. Complete messages can still be received.
func (a *Association) end(ev Event) {
	a.trace.enter(&a.state, StateClosed)
	a.ended, a.delivered, a.err = true, a.sender.drained(), ev.Err
	if a.err == nil {
		a.err = ErrClosed
	}
	a.handshake.stop()
	a.sender.end()
	a.receiver.end(a.cfg.MaxMessageSize)
	a.reset, a.shutdown = streamReset{}, shutdown{}
	a.heartbeat.timer, a.pmtud.timer = 0, 0
	a.outbox.dropControl()
	a.events.add(ev, a.receiver.received())
}
