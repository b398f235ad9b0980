package sctp

import (
	"encoding/binary"
	"time"
)

// shutdownGuard is T5-shutdown-guard. RFC 9260 §9.2 recommends five times RTO.Max,
// which is five minutes; no program waits that long.
const shutdownGuard = 15 * time.Second

// A shutdown is the exchange of SHUTDOWN, SHUTDOWN ACK and SHUTDOWN COMPLETE (RFC 9260
// §9.2). The association's state says which of them this end sends.
type shutdown struct {
	send  bool    // the state's chunk is to be sent
	timer instant // T2-shutdown
	guard instant // T5-shutdown-guard
}

// start sends the chunk of a new state.
func (s *shutdown) start(now instant, timeout time.Duration) {
	s.resend(now, timeout)
	if s.guard == 0 {
		s.guard = now + int64(shutdownGuard)
	}
}

// resend sends the state's chunk, again after the timeout.
func (s *shutdown) resend(now instant, timeout time.Duration) {
	s.send, s.timer = true, now+int64(timeout)
}

// appendChunk appends the SHUTDOWN or SHUTDOWN ACK that is due.
func (s *shutdown) appendChunk(w *packetWriter, state State, cum chunkTSN) {
	if !s.send || w.room() < 8 {
		return
	}
	switch state {
	case StateShutdownSent:
		b, start := beginChunk(w.b, chunkShutdown, 0)
		w.b = endChunk(binary.BigEndian.AppendUint32(b, uint32(cum)), start)
	case StateShutdownAckSent:
		b, start := beginChunk(w.b, chunkShutdownAck, 0)
		w.b = endChunk(b, start)
	}
	s.send = false
}

// continueShutdown takes the next step of a shutdown if everything is delivered.
func (a *Association) continueShutdown(now instant) {
	if !a.sender.drained() {
		return
	}
	switch a.state {
	case StateShutdownPending:
		a.state = StateShutdownSent
	case StateShutdownReceived:
		a.state = StateShutdownAckSent
	default:
		return
	}
	a.sender.t3 = 0
	a.shutdown.start(now, a.sender.rto.timeout(rtoMin))
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
		// RFC 9260 §9.2: Send takes no more; what is queued is still sent.
		a.state = StateShutdownReceived
	case StateShutdownSent:
		// RFC 9260 §9.2: both ends began.
		a.state = StateShutdownAckSent
		a.shutdown.resend(now, a.sender.rto.timeout(rtoMin))
	case StateShutdownAckSent:
		a.shutdown.send = true
	}
}

// handleShutdownAck ends the association.
func (a *Association) handleShutdownAck() {
	if a.state != StateShutdownSent && a.state != StateShutdownAckSent {
		return
	}
	a.outbox.reply(a.handshake.peerTag, []byte{byte(chunkShutdownComplete), 0, 0, 4})
	a.end(Event{Kind: EventClosed})
}
