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
	send  bool    // the chunk of the present state is to be sent
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

// advance takes the next step of a shutdown when everything is delivered. It returns
// the new state of the association.
func (s *shutdown) advance(now instant, state State, timeout time.Duration) State {
	switch state {
	case StateShutdownPending:
		state = StateShutdownSent
	case StateShutdownReceived:
		state = StateShutdownAckSent
	default:
		return state
	}
	s.start(now, timeout)
	return state
}

// resend sends the chunk of the present state now, and again after the timeout.
func (s *shutdown) resend(now instant, timeout time.Duration) {
	s.send, s.timer = true, now+int64(timeout)
}

// repeat sends the chunk of the present state once more, without changing the timer.
func (s *shutdown) repeat() { s.send = true }

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
