package sctp

import (
	"encoding/binary"
	"time"
)

const (
	// heartbeatInterval is HB.interval of RFC 9260 §16.
	heartbeatInterval = 30 * time.Second

	// restAfter is how long an association must receive nothing until it is at rest.
	// An association at rest releases memory that only active associations need.
	// Pauses in games and chats are shorter than restAfter.
	restAfter = 2 * time.Second

	// heartbeatErrors is how many timeouts an unanswered HEARTBEAT is counted as. The
	// retransmission timer expires every second, so it would count as many in the same
	// time.
	heartbeatErrors = int(heartbeatInterval / rtoMax)
)

// A heartbeat holds the state of the last HEARTBEAT (RFC 9260 §8.3), and when the
// last packet arrived. HEARTBEATs supervise an idle path. They also measure the
// round-trip time where acknowledgements of data cannot: the nonce in a HEARTBEAT ACK
// shows which HEARTBEAT it answers.
type heartbeat struct {
	received instant // when the last packet arrived
	sentAt   instant // when the last HEARTBEAT was sent; 0: never
	timer    instant
	nonce    uint64
	rtt      time.Duration // round trip measured by a HEARTBEAT since the last SACK; 0: none
	send     bool
	awaiting bool  // the last HEARTBEAT is not answered yet
	asked    uint8 // consecutive calls of ask that were not answered
}

// start begins to supervise the path of an established association.
func (h *heartbeat) start(now instant) { h.timer = now + int64(restAfter) }

// rttUsed forgets the round trip that a HEARTBEAT measured, after a SACK has used it.
func (h *heartbeat) rttUsed() { h.rtt = 0 }

// ask requests a HEARTBEAT that measures the round-trip time. At most one is sent
// within timeout. This interval doubles with each request that is not answered.
func (h *heartbeat) ask(now instant, timeout time.Duration) {
	if h.send || h.sentAt != 0 && now-h.sentAt < int64(timeout)<<h.asked {
		return
	}
	h.send = true
	h.asked = min(h.asked+1, 6)
}

// forget makes answered ignore the HEARTBEAT ACK that is outstanding.
func (h *heartbeat) forget() { h.sentAt, h.awaiting, h.asked, h.rtt = 0, false, 0, 0 }

// timeout processes the expiry of the timer and sets it again. idle says that the
// association is at rest. unanswered says that the last HEARTBEAT was not answered
// within the interval.
func (h *heartbeat) timeout(now instant) (idle, unanswered bool) {
	if h.received != 0 {
		if rest := h.received + int64(restAfter); rest > now {
			h.timer = rest
			return false, false
		}
		if next := h.received + int64(heartbeatInterval); next > now {
			h.timer = next
			return true, false
		}
	}
	unanswered = h.awaiting
	h.send = true
	h.timer = now + int64(heartbeatInterval)
	return true, unanswered
}

// wanted reports whether a HEARTBEAT is due and fits into the packet. If so, the
// caller has to send the HEARTBEAT.
func (h *heartbeat) wanted(w *packetWriter) bool {
	if !h.send || w.room() < 16 {
		return false
	}
	h.send = false
	return true
}

// appendChunk appends a HEARTBEAT.
func (h *heartbeat) appendChunk(now instant, w *packetWriter, nonce [8]byte) {
	h.nonce, h.sentAt, h.awaiting = binary.BigEndian.Uint64(nonce[:]), now, true
	b, start := beginChunk(w.b, chunkHeartbeat, 0)
	w.b = endChunk(appendParam(b, paramHeartbeatInfo, nonce[:]), start)
}

// answered takes the nonce of a HEARTBEAT ACK. ok is false if the nonce is not that of
// the last HEARTBEAT, or if the last HEARTBEAT was answered before.
func (h *heartbeat) answered(now instant, nonce uint64) (rtt time.Duration, ok bool) {
	if !h.awaiting || nonce != h.nonce {
		return 0, false
	}
	h.rtt = time.Duration(max(now-h.sentAt, 1))
	h.awaiting, h.asked = false, 0
	return h.rtt, true
}

// heartbeatNonce returns the nonce in the body of a HEARTBEAT ACK.
func heartbeatNonce(body []byte) (nonce uint64, ok bool) {
	p, _, ok := nextParam(body)
	if !ok || p.typ != paramHeartbeatInfo || len(p.body) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(p.body), true
}

// heartbeatAck returns the answer to a HEARTBEAT, which repeats its body (RFC
// 9260 §8.3).
func heartbeatAck(body []byte) []byte {
	b, start := beginChunk(make([]byte, 0, chunkHeaderSize+padded(len(body))), chunkHeartbeatAck, 0)
	return endChunk(append(b, body...), start)
}
