package sctp

import "encoding/binary"

// This file is the sending half of partial reliability (RFC 3758; with I-DATA, RFC
// 8260 §2.3). A message is always abandoned as a whole. A FORWARD TSN chunk makes the
// remote skip the chunks of abandoned messages.

// maxSkipWalk bounds how many TSNs appendSkips examines for one FORWARD TSN, because
// each received SACK may cause a FORWARD TSN.
const maxSkipWalk = 4096

// A skipState is the Advanced.Peer.Ack.Point of RFC 3758 §3.5.
type skipState struct {
	point  chunkTSN // Advanced.Peer.Ack.Point; it has no meaning while it is before out.first
	looked chunkTSN // every chunk after point up to looked is acknowledged by gap blocks or abandoned
	told   chunkTSN // new cumulative TSN in the last FORWARD TSN sent; may be before point
	valid  bool
	due    bool    // a FORWARD TSN is to be sent
	sentAt instant // when the last FORWARD TSN was sent
	build  uint32  // number of the FORWARD TSN being built, for outStream.skipMark
}

// pending reports whether the remote still has to skip chunks.
func (s *skipState) pending(o *outstanding) bool { return s.valid && !s.point.before(o.first) }

// acknowledged moves the Advanced.Peer.Ack.Point over abandoned chunks (RFC 3758 §3.5
// C2).
//
// It also passes chunks that gap ack blocks have acknowledged, if their messages are
// partially reliable.
// Otherwise each gap would take a round trip of its own, and an ordered channel that
// loses more than one message in a round trip would fall behind for ever. The remote
// may still drop what it has not acknowledged cumulatively, so the point does not pass
// chunks of reliable messages.
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
	case s.told.before(o.first): // some skipped messages did not fit into the last FORWARD TSN
		s.due = true
	}
}

// repeat is called for each SACK. It sends the FORWARD TSN again if the remote has had
// time to acknowledge the last one and has not done so (RFC 3758 §3.5 C3). Until the
// FORWARD TSN arrives, the remote cannot deliver ordered messages sent after the
// skipped ones.
func (s *skipState) repeat(o *outstanding, now instant, srtt int64) {
	if s.pending(o) && now-s.sentAt > srtt+srtt/4 {
		s.due = true
	}
}

// abandon gives up a message of which at least one chunk was sent.
func (s *sender) abandon(now instant, m *outMessage) {
	s.counters.MessagesAbandoned++
	if m.queued {
		// The end of the message was never sent, but the remote may have received all
		// chunks that were sent. So abandon assigns one more TSN, to a last chunk that
		// is never sent. The remote has to skip that TSN too.
		s.queue.pop(m.stream)
		if s.queue.current == m.stream {
			s.queue.current = nil
		}
		if !s.out.full() {
			s.out.push(m, m.sent, 0, flagEnd, sendStamp{at: now, order: s.order})
		}
	}
	s.out.abandon(m)
	s.skip.acknowledged(&s.out)
}

// abandonLost gives up partially reliable messages that have reached a limit (RFC 3758
// §3.5 A1, RFC 7496 §3.3). It examines the messages of which chunks were declared
// lost since the last call.
func (s *sender) abandonLost(now instant) {
	for i, m := range s.out.limited {
		s.out.limited[i] = nil
		m.limitedLost = false
		switch {
		case m.chunks == 0 && !m.queued:
			s.queue.release(m) // its lost chunks have arrived after all
		case m.abandoned:
		case m.expired(now) || m.limitRetransmits && m.mostLost >= m.maxRetransmits:
			s.abandon(now, m)
		}
	}
	s.out.limited = s.out.limited[:0]
}

// appendForwardTSN appends the FORWARD TSN or I-FORWARD-TSN that is due.
func (s *sender) appendForwardTSN(now instant, w *packetWriter) {
	if !s.skip.due || !s.skip.pending(&s.out) || w.room() < 16 {
		return
	}
	s.skip.due = false
	s.skip.sentAt = now
	if s.queue.interleaving {
		w.b = s.appendSkips(w.b, chunkIForwardTSN, 8, w.room())
	} else {
		w.b = s.appendSkips(w.b, chunkForwardTSN, 4, w.room())
	}
	if s.t3 == 0 {
		s.t3 = now + int64(s.rto.timeout(rtoMin)) // RFC 3758 §3.5 C5: a FORWARD TSN starts T3-rtx
	}
}

// appendSkips appends a chunk that lists the last skipped message of each stream. If
// not all entries fit, the new cumulative TSN of the chunk is lower (RFC 3758 §3.5
// C4). The other entries follow when the remote has acknowledged this chunk.
func (s *sender) appendSkips(b []byte, t chunkType, entry, room int) []byte {
	b, start := beginChunk(b, t, 0)
	b = append(b, 0, 0, 0, 0)
	cum := s.skip.point
	s.skip.build++
	order := messageOrder{s.queue.interleaving}
	for tsn := s.out.first; !tsn.after(s.skip.point); tsn++ {
		if tsn.minus(s.out.first) == maxSkipWalk {
			cum = tsn - 1
			break
		}
		c := s.out.at(tsn)
		m := c.msg
		if c.state != chunkAbandoned || m.unordered && !order.interleaving {
			continue
		}
		st, kind := m.stream, kindOf(m.unordered)
		if st.skipMark[kind] != s.skip.build {
			if len(b)-start+entry > room {
				cum = tsn - 1
				break
			}
			st.skipMark[kind], st.skipAt[kind] = s.skip.build, len(b)-start
			b = binary.BigEndian.AppendUint16(b, st.id)
			if order.interleaving {
				b = append(b, 0, byte(kind))
				b = binary.BigEndian.AppendUint32(b, uint32(m.seq))
			} else {
				b = binary.BigEndian.AppendUint16(b, uint16(m.seq))
			}
			continue
		}
		at := start + st.skipAt[kind]
		if order.interleaving {
			if order.before(messageSeq(binary.BigEndian.Uint32(b[at+4:])), m.seq) {
				binary.BigEndian.PutUint32(b[at+4:], uint32(m.seq))
			}
		} else if order.before(messageSeq(binary.BigEndian.Uint16(b[at+2:])), m.seq) {
			binary.BigEndian.PutUint16(b[at+2:], uint16(m.seq))
		}
	}
	s.skip.told = cum
	binary.BigEndian.PutUint32(b[start+4:], uint32(cum))
	return endChunk(b, start)
}
