package sctp

import "encoding/binary"

// minFragment is the smallest fragment worth its header. If less room is left, the
// message begins in the next packet.
const minFragment = 128

// beginPacket prepares for the next packet.
func (s *sender) beginPacket() {
	s.paced = 0
	if s.out.packets() <= 1 {
		s.pacer.restart()
	}
}

// setMTU sets the longest packet.
func (s *sender) setMTU(n int) {
	if n == s.mtu {
		return
	}
	s.mtu = n
	if s.cc != nil {
		s.cc.setMTU(n)
	}
}

// dataReady reports whether a chunk of data may be sent now.
func (s *sender) dataReady(now instant, w *packetWriter) bool {
	return (s.out.lost > 0 || s.hasNew() && s.windowAllows(1)) && !s.collects(now, w) && s.mayTransmit(now)
}

// collects reports whether queued data waits for more data to share its packet,
// because the packet would be small and the pacer lets no small packet go. If a packet
// is sent for another reason, queued data is sent with it.
func (s *sender) collects(now instant, w *packetWriter) bool {
	if !w.empty() || s.out.lost > 0 || s.recovery.allowance || s.queue.bytes+s.queue.messages*s.dataHeader() >= w.chunk {
		return false
	}
	when, ok := s.pacer.readySmall(now)
	if !ok {
		s.paced = when
	}
	return !ok
}

// pacingRate returns the pacing rate in bytes a second; 0: not paced.
func (s *sender) pacingRate() float64 {
	if s.onShortPath() {
		return 0
	}
	return s.cc.pacingRate(s.rto.srtt)
}

// mayTransmit reports whether congestion control allows a packet with data now.
func (s *sender) mayTransmit(now instant) bool {
	if s.recovery.allowance {
		return true
	}
	if !s.windowOpen(now) {
		s.recovery.limited = s.order
		return false
	}
	if when, ok := s.pacer.ready(now, s.pacingRate(), s.mtu); !ok {
		s.paced = when
		return false
	}
	return true
}

// windowOpen reports whether the congestion window has room. For short paths,
// shortPath decides.
func (s *sender) windowOpen(now instant) bool {
	if s.onShortPath() {
		return s.short.windowOpen(now, s.cc.window(), s.out.bytes, s.queue.bytes, s.out.lost > 0, s.smallMessageNext())
	}
	s.short.filling = s.cc.window() > s.out.bytes
	return s.short.filling
}

// windowAllows reports whether the peer's receive window has room for n more bytes.
// If nothing is in flight a chunk may always be sent, to probe a closed window (RFC
// 9260 §6.1 A).
func (s *sender) windowAllows(n int) bool {
	return s.out.bytes+n <= s.rwnd || s.out.bytes == 0
}

// appendPayload appends lost chunks and then new ones, while congestion control, the
// pacer and the peer's window allow it.
func (s *sender) appendPayload(now instant, w *packetWriter, state State) {
	if s.out.lost == 0 && !s.hasNew() || s.collects(now, w) {
		s.noteStarved()
		return
	}
	if !s.mayTransmit(now) {
		return
	}
	start, inFlight := len(w.b), s.out.bytes
	s.order++
	stamp := s.rate.stamp(now, s.order, s.out.bytes)
	immediate := state == StateShutdownPending
	s.appendLost(now, w, stamp, immediate)
	for s.hasNew() && !s.out.full() && s.appendNew(now, w, stamp, immediate) {
	}
	s.recovery.allowance = false
	if len(w.b) == start {
		s.noteStarved() // the peer's window, not the path, limits the rate
		return
	}
	s.pacer.sent(max(s.out.bytes-inFlight, 0)) // payload only, as the rate is measured
	if w.spare() >= s.chunkSize(minFragment) {
		s.pacer.sentSmall(now)
	}
	if !state.handshakeDone() {
		return // RFC 9260 §5.1 C: until the cookie is acknowledged, T1-cookie is the only timer
	}
	if s.t3 == 0 {
		s.t3 = now + int64(s.rto.timeout(rtoMin)) // RFC 9260 §6.3.2 R1: data was sent
	}
	s.armProbe(now)
}

// noteStarved tells the rate sampler that the rate is not limited by the path.
func (s *sender) noteStarved() {
	if s.out.lost == 0 && s.out.bytes < s.cc.window() {
		s.rate.starved(s.out.bytes)
	}
}

// appendLost retransmits lost chunks, lowest TSN first (RFC 9260 §6.1 C).
func (s *sender) appendLost(now instant, w *packetWriter, stamp sendStamp, immediate bool) {
	for s.out.lost > 0 {
		tsn, c := s.out.firstLost()
		if c.msg.expired(now) {
			s.abandon(now, c.msg)
			continue
		}
		if size := s.chunkSize(int(c.size)); size > w.room() && !w.empty() {
			return
		}
		if !s.windowAllows(int(c.size)) {
			return
		}
		s.out.resent(tsn, c, stamp)
		s.counters.ChunksRetransmitted++
		if s.trace != nil {
			s.trace.again++
		}
		s.cc.sent(stamp.at, int(c.size), s.out.bytes)
		s.appendChunk(w, tsn, c, immediate)
	}
}

// dataHeader returns the size of the header of a chunk of data.
func (s *sender) dataHeader() int {
	if s.queue.interleaving {
		return iDataHeaderSize
	}
	return dataHeaderSize
}

// chunkSize returns the size on the wire of a chunk with n bytes of data.
func (s *sender) chunkSize(n int) int { return s.dataHeader() + padded(n) }

// appendNew puts the next data of the queue into a chunk. It reports false if no chunk
// may be sent or none fits.
func (s *sender) appendNew(now instant, w *packetWriter, stamp sendStamp, immediate bool) bool {
	st := s.queue.next()
	if st == nil {
		return false
	}
	m := st.head
	if m.late(now) {
		s.counters.MessagesAbandoned++
		s.queue.release(s.queue.pop(st))
		return true // go on with the next message
	}
	size := len(m.data) - m.sent
	room := min(w.room(), w.chunk) - s.dataHeader()
	if padded(size) > room {
		if room < minFragment {
			return false
		}
		size = room &^ 3
		if !m.started && !s.queue.mayStart(st) {
			return true // go on with another stream
		}
	}
	if !s.windowAllows(size) {
		return false
	}
	s.sendNew(w, m, size, stamp, immediate)
	return true
}

// sendNew creates the next chunk of message m. size is how many bytes of its data the
// chunk has.
func (s *sender) sendNew(w *packetWriter, m *outMessage, size int, stamp sendStamp, immediate bool) {
	flags := uint8(0)
	if !m.started {
		s.queue.number(m)
		flags |= flagBegin
		if size < len(m.data) {
			s.queue.begin(m)
		}
	}
	if m.unordered {
		flags |= flagUnordered
	}
	last := m.sent+size == len(m.data)
	if last {
		flags |= flagEnd
	}
	tsn := s.out.push(m, m.sent, size, flags, stamp)
	m.sent += size
	s.queue.count(m, -size)
	s.cc.sent(stamp.at, size, s.out.bytes)
	s.short.sent(stamp.at, m.stream.id)
	s.queue.served(m.stream, size, last)
	s.appendChunk(w, tsn, s.out.at(tsn), immediate)
	if last {
		s.queue.pop(m.stream)
	}
}

// appendChunk appends a chunk of data (RFC 9260 §3.3.1, RFC 8260 §2.1).
func (s *sender) appendChunk(w *packetWriter, tsn chunkTSN, c *sentChunk, immediate bool) {
	m := c.msg
	data := m.data[c.offset : int(c.offset)+int(c.size)]
	typ, n := chunkData, dataHeaderSize+len(data)
	if s.queue.interleaving {
		typ, n = chunkIData, iDataHeaderSize+len(data)
	}
	flags := c.flags
	if c.retransmits > 0 || immediate {
		flags |= flagImmediate // RFC 7053 §4: this end waits for the SACK, so it asks for one without delay
	}
	b := append(w.b, byte(typ), flags, byte(n>>8), byte(n))
	b = binary.BigEndian.AppendUint32(b, uint32(tsn))
	b = binary.BigEndian.AppendUint16(b, m.stream.id)
	if s.queue.interleaving {
		b = binary.BigEndian.AppendUint16(b, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(m.seq))
		if c.flags&flagBegin != 0 {
			b = binary.BigEndian.AppendUint32(b, m.ppid)
		} else {
			b = binary.BigEndian.AppendUint32(b, c.fsn)
		}
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(m.seq))
		b = binary.BigEndian.AppendUint32(b, m.ppid)
	}
	w.b = appendPadding(append(b, data...), n)
}

// probeTimeout sends one packet. Its acknowledgement will show whether the last
// packets are lost (RFC 8985 §7.3). The packet has new data, or else the last chunk
// again.
func (s *sender) probeTimeout(now instant) {
	r := &s.recovery
	if r.active || s.out.flying == 0 {
		return
	}
	r.probed, r.allowance = true, true
	s.counters.TailProbes++
	s.trace.timeout(now, TimerTailProbe, s.out.bytes)
	if s.hasNew() && s.windowAllows(defaultMTU) {
		return
	}
	tsn := s.out.tail
	c := s.out.at(tsn)
	if c.msg.partiallyReliable() {
		return // the chunk may have arrived, and its message may allow only few retransmissions
	}
	s.out.markLost(tsn, c)
}
