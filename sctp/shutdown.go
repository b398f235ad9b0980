package sctp

import (
	"encoding/binary"
	"time"
)

// Shutdown ends the association once all is delivered (RFC 9260 §9.2).
// EventClosed follows.
func (a *Association) Shutdown(now time.Time) {
	a.tick(now)
	switch a.state {
	case StateClosed, StateCookieWait, StateCookieEchoed:
		if !a.ended {
			a.end(Event{Kind: EventClosed})
		}
	case StateEstablished:
		a.state = StateShutdownPending
		a.continueShutdown(now)
	}
}

// Abort ends the association at once (RFC 9260 §9.1): one last packet can be
// had from AppendPacket.
func (a *Association) Abort(now time.Time, reason string) {
	a.tick(now)
	a.abort(CauseUserAbort, reason)
}

func (a *Association) abort(code CauseCode, reason string) {
	a.abortWith(code, []byte(reason), reason)
}

func (a *Association) abortWith(code CauseCode, info []byte, reason string) {
	if a.ended {
		return
	}
	if a.peerTag != 0 {
		a.replies = nil
		a.reply(a.peerTag, appendAbort(nil, 0, code, info))
	}
	a.end(Event{Kind: EventFailed, Err: &AbortError{Causes: []CauseCode{code}, Reason: reason}})
}

// drained reports whether nothing of ours is left to deliver.
func (a *Association) drained() bool { return a.queue.messages == 0 && a.out.empty() }

// shutdownGuard replaces T5-shutdown-guard (RFC 9260 §9.2), which is five
// times RTO.Max: five minutes, when nobody waits any more.
const shutdownGuard = 15 * time.Second

// continueShutdown takes the next step if all is delivered.
func (a *Association) continueShutdown(now time.Time) {
	if !a.drained() {
		return
	}
	switch a.state {
	case StateShutdownPending:
		a.state = StateShutdownSent
		a.sendShutdown = true
	case StateShutdownReceived:
		a.state = StateShutdownAckSent
		a.sendShutdownAck = true
	default:
		return
	}
	a.timers.t3 = time.Time{}
	a.timers.shutdown = now.Add(a.rto.timeout(rtoMin))
	if a.timers.guard.IsZero() {
		a.timers.guard = now.Add(shutdownGuard)
	}
}

// handleShutdown takes the far end's SHUTDOWN.
func (a *Association) handleShutdown(now time.Time, body []byte) {
	if len(body) < 4 {
		return
	}
	cum := chunkTSN(binary.BigEndian.Uint32(body))
	if !cum.before(a.out.first-1) && cum.before(a.out.end) {
		a.acknowledge(now, cum, nil)
	}
	switch a.state {
	case StateEstablished, StateShutdownPending:
		// RFC 9260 §9.2: no new data from the program; what is queued goes.
		a.state = StateShutdownReceived
	case StateShutdownSent:
		// Both began at once: RFC 9260 §9.2.
		a.state = StateShutdownAckSent
		a.sendShutdown, a.sendShutdownAck = false, true
		a.timers.shutdown = now.Add(a.rto.timeout(rtoMin))
	case StateShutdownAckSent:
		a.sendShutdownAck = true
	}
}

// handleShutdownAck ends the association.
func (a *Association) handleShutdownAck() {
	if a.state != StateShutdownSent && a.state != StateShutdownAckSent {
		return
	}
	a.reply(a.peerTag, []byte{byte(chunkShutdownComplete), 0, 0, 4})
	a.end(Event{Kind: EventClosed})
}

// appendShutdown appends SHUTDOWN or SHUTDOWN ACK.
func (a *Association) appendShutdown(w *packetWriter) {
	if a.sendShutdown && w.room() >= 8 {
		a.sendShutdown = false
		b, start := beginChunk(w.b, chunkShutdown, 0)
		w.b = endChunk(binary.BigEndian.AppendUint32(b, uint32(a.in.cum)), start)
	}
	if a.sendShutdownAck && w.room() >= chunkHeaderSize {
		a.sendShutdownAck = false
		b, start := beginChunk(w.b, chunkShutdownAck, 0)
		w.b = endChunk(b, start)
	}
}

// shutdownTimeout sends SHUTDOWN or SHUTDOWN ACK again.
func (a *Association) shutdownTimeout(now time.Time) {
	a.rto.expired()
	if a.countError() {
		return
	}
	a.sendShutdown = a.state == StateShutdownSent
	a.sendShutdownAck = a.state == StateShutdownAckSent
	a.timers.shutdown = now.Add(a.rto.timeout(rtoMin))
}
