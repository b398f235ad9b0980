package sctp

import (
	"encoding/binary"
	"time"
)

// Partial reliability (RFC 3758; with I-DATA, RFC 8260 §2.3). A message is
// given up as a whole. The far end is told by a FORWARD TSN to no longer wait
// for its chunks.

// A skipState is the sender's half: the Advanced.Peer.Ack.Point.
type skipState struct {
	point  chunkTSN // valid while after out.first-1
	looked chunkTSN // from the point to here everything is acknowledged by gap blocks
	valid  bool
	due    bool  // a FORWARD TSN is to be sent
	sentAt int64 // when the last went
	build  uint32
	told   chunkTSN // the new cumulative TSN in the last one, which may be before point
}

// maxSkipWalk bounds the TSNs that one FORWARD TSN looks at: each SACK may call
// for one.
const maxSkipWalk = 4096

// pending reports whether the far end has yet to skip something.
func (s *skipState) pending(o *outstanding) bool { return s.valid && !s.point.before(o.first) }

// acknowledged moves the point on over what was abandoned (RFC 3758 §3.5 C2). It
// also passes what the remote has acknowledged in gap blocks, or else each gap would
// take a round trip of its own, and where more are lost than one in a round trip, an
// ordered channel would fall behind for good. The remote may still drop what it has
// not acknowledged cumulatively, so the point does not pass a reliable message.
func (s *skipState) acknowledged(o *outstanding) {
	if !s.valid {
		s.looked = o.first - 1
	}
	if !s.valid || s.point.before(o.first-1) {
		s.point, s.told, s.valid = o.first-1, o.first-1, true
	}
	if s.looked.before(s.point) {
		s.looked = s.point
	}
	from := s.point
	for s.looked+1 != o.end {
		c := o.at(s.looked + 1)
		if c.state != chunkAbandoned && (c.state != chunkGapAcked || !c.msg.partiallyReliable()) {
			break
		}
		if s.looked++; c.state == chunkAbandoned {
			s.point = s.looked
		}
	}
	if s.point != from {
		s.due = true
	}
	switch {
	case !s.pending(o):
		s.due = false
	case s.told.before(o.first): // the next part of what did not fit into the last one
		s.due = true
	}
}

// repeat is for a SACK that shows that the last FORWARD TSN is lost: there was
// time enough for an answer to it (RFC 3758 §3.5 C3). In order, nothing sent
// since can be handed up before it arrives.
func (s *skipState) repeat(o *outstanding, now int64, srtt time.Duration) {
	if s.pending(o) && now-s.sentAt > int64(srtt+srtt/4) {
		s.due = true
	}
}

// abandon gives a message up, of which something was sent.
func (a *Association) abandon(m *outMessage) {
	a.stats.MessagesAbandoned++
	if m.queued {
		// Some was not sent. The far end may have everything up to here: it
		// must be told to skip a TSN more, the one of the end that will never
		// be sent.
		a.queue.pop(m.stream)
		a.queue.deactivateMessage(m)
		if !a.out.full() {
			a.out.push(m, m.sent, 0, flagEnd, a.lastStamp())
		}
	}
	a.out.abandon(m)
	a.skip.acknowledged(&a.out)
}

// deactivateMessage lets the scheduler leave a message that was given up.
func (q *sendQueue) deactivateMessage(m *outMessage) {
	if q.current == m.stream {
		q.current = nil
	}
}

// lastStamp is for chunks that are never sent.
func (a *Association) lastStamp() sendStamp { return sendStamp{at: a.clock(a.lastNow), order: a.order} }

// abandonLost gives up the messages whose limit is reached, among those of
// which chunks were lost since the last time (RFC 3758 §3.5 A1, RFC 7496 §3.3).
func (a *Association) abandonLost(now time.Time) {
	for i, m := range a.out.limited {
		a.out.limited[i] = nil
		m.limitedLost = false
		switch {
		case m.chunks == 0 && !m.queued:
			a.queue.release(m) // all of it has arrived after all
		case m.abandoned:
		case m.expired(now) || m.limitRetransmits && m.mostLost >= m.maxRetransmits:
			a.abandon(m)
		}
	}
	a.out.limited = a.out.limited[:0]
}

// appendForwardTSN appends the FORWARD TSN or I-FORWARD TSN that is due.
func (a *Association) appendForwardTSN(now time.Time, w *packetWriter) {
	if !a.skip.due || !a.skip.pending(&a.out) || w.room() < 16 {
		return
	}
	a.skip.due = false
	a.skip.sentAt = a.clock(now)
	if a.queue.interleaving {
		w.b = a.appendSkips(w.b, chunkIForwardTSN, 8, w.room())
	} else {
		w.b = a.appendSkips(w.b, chunkForwardTSN, 4, w.room())
	}
	if a.timers.t3.IsZero() {
		a.timers.t3 = now.Add(a.rto.timeout(rtoMin)) // RFC 3758 §3.5 C5
	}
}

// appendSkips lists, of each stream, the last message that is skipped. If not
// all fit, the new cumulative TSN is lowered to what does (RFC 3758 §3.5 C4), and
// the rest follows when the remote has acknowledged that.
func (a *Association) appendSkips(b []byte, t chunkType, entry, room int) []byte {
	b, start := beginChunk(b, t, 0)
	b = append(b, 0, 0, 0, 0)
	cum := a.skip.point
	a.skip.build++
	order := messageOrder{a.queue.interleaving}
	for tsn := a.out.first; !tsn.after(a.skip.point); tsn++ {
		if tsn.minus(a.out.first) == maxSkipWalk {
			cum = tsn - 1
			break
		}
		c := a.out.at(tsn)
		m := c.msg
		if c.state != chunkAbandoned || m.unordered && !order.interleaving {
			continue
		}
		s, kind := m.stream, 0
		if m.unordered {
			kind = 1
		}
		if s.skipMark[kind] != a.skip.build {
			if len(b)-start+entry > room {
				cum = tsn - 1
				break
			}
			s.skipMark[kind], s.skipAt[kind] = a.skip.build, len(b)-start
			b = binary.BigEndian.AppendUint16(b, s.id)
			if order.interleaving {
				b = append(b, 0, byte(kind))
				b = binary.BigEndian.AppendUint32(b, uint32(m.seq))
			} else {
				b = binary.BigEndian.AppendUint16(b, uint16(m.seq))
			}
			continue
		}
		at := start + s.skipAt[kind]
		if order.interleaving {
			if order.before(messageSeq(binary.BigEndian.Uint32(b[at+4:])), m.seq) {
				binary.BigEndian.PutUint32(b[at+4:], uint32(m.seq))
			}
		} else if order.before(messageSeq(binary.BigEndian.Uint16(b[at+2:])), m.seq) {
			binary.BigEndian.PutUint16(b[at+2:], uint16(m.seq))
		}
	}
	a.skip.told = cum
	binary.BigEndian.PutUint32(b[start+4:], uint32(cum))
	return endChunk(b, start)
}

// handleForwardTSN is the receiver's half (RFC 3758 §3.6).
func (a *Association) handleForwardTSN(now time.Time, c chunk) bool {
	if (c.typ == chunkIForwardTSN) != a.interleaving() {
		a.violation("FORWARD TSN of the wrong kind") // RFC 8260 §2.3.1
		return false
	}
	if a.gotForward {
		return true // a second in one packet says nothing the last does not
	}
	if !a.validSkips(c.body) {
		a.stats.PacketsDropped++
		return true
	}
	a.gotForward, a.gotData = true, true
	cum := chunkTSN(binary.BigEndian.Uint32(c.body))
	a.ack = ackNow
	if !cum.after(a.in.cum) {
		return true // RFC 3758 §3.6: out of date, perhaps for a lost SACK
	}
	a.in.forward(cum)
	entries := c.body[4:]
	if a.interleaving() {
		for ; len(entries) >= 8; entries = entries[8:] {
			if !a.skipTo(binary.BigEndian.Uint16(entries), entries[3]&1 != 0, messageSeq(binary.BigEndian.Uint32(entries[4:]))) {
				return false
			}
		}
		return true
	}
	a.reassembly.skipTSN(cum)
	for ; len(entries) >= 4; entries = entries[4:] {
		if !a.skipTo(binary.BigEndian.Uint16(entries), false, messageSeq(binary.BigEndian.Uint16(entries[2:]))) {
			return false
		}
	}
	return true
}

// validSkips checks the whole of a FORWARD TSN or I-FORWARD-TSN (RFC 3758 §3.2,
// RFC 8260 §2.3.1) before any of it is applied.
func (a *Association) validSkips(body []byte) bool {
	entry := 4
	if a.interleaving() {
		entry = 8
	}
	if len(body) < 4 || (len(body)-4)%entry != 0 {
		return false
	}
	for body = body[4:]; len(body) > 0; body = body[entry:] {
		if !a.incoming(binary.BigEndian.Uint16(body)) {
			return false
		}
	}
	return true
}

// incoming reports whether the remote may send on a stream.
func (a *Association) incoming(stream uint16) bool { return int(stream) < a.IncomingStreams() }

// skipTo moves a stream on, of which no message up to seq will be completed. It
// returns false where that ended the association.
func (a *Association) skipTo(stream uint16, unordered bool, seq messageSeq) bool {
	a.reassembly.dropRuns(stream, unordered, seq)
	if unordered {
		return true
	}
	if !a.reassembly.mayKeep(stream) {
		a.outOfResource() // without its number the stream would stand still
		return false
	}
	a.reassembly.skipMessages(stream, seq)
	return true
}
