package sctp

import (
	"encoding/binary"
	"time"
)

const (
	// maxReplies bounds the packets that wait to be sent as answers to INITs
	// and the like. They answer datagrams: one that finds no place is one
	// that was lost.
	maxReplies = 4

	// maxControl bounds the chunks that wait to go before data.
	maxControl = 4096

	// minFragment: a fragment smaller than this is not worth the header it
	// costs; the message begins in the next packet.
	minFragment = 128

	// minPacketLimit is the least that AppendPacket works with: a cookie and
	// the largest SACK header fit.
	minPacketLimit = 256
)

// A reply is a packet for a tag, which may not be the peer's.
type reply struct {
	tag   uint32
	chunk []byte
}

// reply queues an answer.
func (a *Association) reply(tag uint32, chunk []byte) {
	if len(a.replies) < maxReplies {
		a.replies = append(a.replies, reply{tag, chunk})
	}
}

// pushControl queues a finished chunk.
func (a *Association) pushControl(chunk []byte) {
	if len(a.control)+len(chunk) <= maxControl {
		a.control = append(a.control, chunk...)
	}
}

// A packetWriter is a packet in the making.
type packetWriter struct {
	b     []byte
	start int
	limit int
	chunk int // the longest chunk of data
}

// room is how many bytes are left.
func (w *packetWriter) room() int { return w.limit - (len(w.b) - w.start) }

// spare is by how many bytes the packet is shorter than one without path MTU
// discovery could be.
func (w *packetWriter) spare() int { return w.chunk + commonHeaderSize - (len(w.b) - w.start) }

// empty reports whether there is no chunk yet.
func (w *packetWriter) empty() bool { return len(w.b)-w.start == commonHeaderSize }

// AppendPacket appends the next packet of at most limit bytes to dst. ok is
// false when there is none that may be sent now.
//
// With DiscoverPacketSize it may be longer than limit by as much. limit may
// change from call to call; under 256 nothing is sent. A chunk that
// was cut for a larger limit and must be sent again cannot be cut anew, since
// its TSN is fixed (RFC 9260 §6.9): it goes out alone, in a packet larger than
// limit, for the layer below to fragment.
func (a *Association) AppendPacket(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	a.tick(now)
	a.pacedUntil = time.Time{}
	if a.out.packets() <= 1 {
		a.pacer.restart()
	}
	limit = min(limit, maxPacketSize)
	if limit < minPacketLimit {
		return dst, false
	}
	base := limit
	if limit = a.packetLimit(base); limit != a.mtu {
		a.mtu = limit
		if a.cc != nil {
			a.cc.setMTU(limit)
		}
	}
	if len(a.replies) > 0 {
		return a.appendReply(dst), true
	}
	if a.sendInit {
		a.sendInit, a.initSent = false, a.clock(now)
		return a.finish(a.appendInit(appendCommonHeader(dst, a.cfg.LocalPort, a.cfg.RemotePort, 0)), len(dst), true), true
	}
	if a.state < StateCookieEchoed || a.state == StateCookieEchoed && !a.sendEcho {
		return dst, false
	}
	if b, ok := a.appendProbe(now, dst, base); ok {
		return b, true
	}
	w := packetWriter{b: appendCommonHeader(dst, a.cfg.LocalPort, a.cfg.RemotePort, a.peerTag), start: len(dst), limit: limit, chunk: min(base, limit) - commonHeaderSize}
	sum := !a.zeroChecksum()
	if a.sendEcho {
		// RFC 9260 §5.1 C: COOKIE ECHO comes first, and data may go with it.
		a.sendEcho, sum = false, true
		w.b = append(w.b, a.echo...)
	}
	a.appendControl(now, &w)
	a.appendPayload(now, &w)
	a.appendShutdown(&w)
	if w.empty() {
		return dst, false
	}
	return a.finish(w.b, w.start, sum), true
}

// appendReply appends the packet of the first reply, always with a checksum
// (RFC 9653: INIT ACK may go without, but who answers may not know that yet).
func (a *Association) appendReply(dst []byte) []byte {
	r := a.replies[0]
	a.replies = append(a.replies[:0], a.replies[1:]...)
	if len(a.replies) == 0 {
		a.replies = nil
	}
	b := appendCommonHeader(dst, a.cfg.LocalPort, a.cfg.RemotePort, r.tag)
	return a.finish(append(b, r.chunk...), len(dst), true)
}

// finish completes a packet.
func (a *Association) finish(b []byte, start int, sum bool) []byte {
	a.stats.PacketsSent++
	if sum {
		setChecksum(b[start:])
	}
	return b
}

// appendControl appends everything that is not data.
func (a *Association) appendControl(now time.Time, w *packetWriter) {
	control := a.control
	for len(control) > 0 {
		c, rest, ok := nextChunk(control)
		size := padded(len(c.whole))
		if ok && size > w.room() && !w.empty() {
			break
		}
		if ok && size <= w.room() {
			w.b = append(w.b, control[:size]...)
		}
		control = rest // one too large for any packet is dropped
	}
	a.control = a.control[:copy(a.control, control)]
	if len(a.control) == 0 && cap(a.control) > 512 {
		a.control = nil
	}
	if !a.transferring() {
		return
	}
	// A SACK that is owed later goes along when anything else goes.
	if a.ack == ackNow || a.ack == ackDelayed && (!w.empty() || a.dataReady(now, w)) {
		if w.room() >= sackHeaderSize {
			w.b = a.appendSack(w.b, w.room())
		}
	}
	a.appendHeartbeat(now, w)
	a.appendForwardTSN(now, w)
	a.appendReconfig(now, w)
}

// dataReady reports whether a chunk of data may be sent now.
func (a *Association) dataReady(now time.Time, w *packetWriter) bool {
	return (a.out.lost > 0 || a.queue.messages > 0 && a.windowAllows(1)) && !a.collects(now, w) && a.mayTransmit(now)
}

// collects reports whether the packet of what is queued waits for more: it would be
// a small one, and the pacer lets none go. A packet that goes anyway takes along what
// is queued.
func (a *Association) collects(now time.Time, w *packetWriter) bool {
	if !w.empty() || a.out.lost > 0 || a.recovery.allowance || a.queue.bytes+a.queue.messages*a.dataHeader() >= w.chunk {
		return false
	}
	when, ok := a.pacer.readySmall(a.clock(now))
	if !ok {
		a.pacedUntil = a.base.Add(time.Duration(when))
	}
	return !ok
}

// Flush lets what is queued go at once that else would wait for more to share its
// packet, for a quarter of a millisecond at most. It is for the last data before
// Abort. AppendPacket follows.
func (a *Association) Flush() { a.pacer.restart() }

// short reports whether the path is too short to be paced.
func (a *Association) short() bool {
	return a.recovery.minRTT > 0 && a.recovery.minRTT < int64(minPacedRTT)
}

// pacingRate is in bytes a second; 0: not paced.
func (a *Association) pacingRate() float64 {
	if a.short() {
		return 0
	}
	return a.cc.pacingRate(a.rto.srtt)
}

// mayTransmit reports whether congestion control lets a packet with data go:
// there is room in the window, and it is time.
func (a *Association) mayTransmit(now time.Time) bool {
	if a.recovery.allowance {
		return true
	}
	if room := a.sendWindow(now) - a.out.bytes; room > 0 && !a.gathers(now, room) {
		a.filling = true
	} else if room < -urgentRoom || !a.urgent() {
		a.recovery.limited = a.order
		a.filling = false
		return false
	}
	if when, ok := a.pacer.ready(a.clock(now), a.pacingRate(), a.mtu); !ok {
		a.pacedUntil = a.base.Add(time.Duration(when))
		return false
	}
	return true
}

const (
	// sharedWindow bounds what is in flight on a short path while more than
	// one stream sends: what is in flight is what a small message waits behind
	// at the far end. It was chosen from 96, 112, 120, 128, 160 and 192 KB, with
	// two processes on two processors, for the bulk data beside pings: six or
	// seven datagrams of the longest size.
	sharedWindow = 112 << 10

	// sharedTime is how long a stream counts as sending.
	sharedTime = int64(200 * time.Millisecond)

	// urgentRoom is how far beyond the window urgent messages may go.
	urgentRoom = 8 << 10
)

// sendWindow is how much may be in flight.
func (a *Association) sendWindow(now time.Time) int {
	w := a.cc.window()
	if a.short() && a.turnAt != 0 && a.clock(now)-a.turnAt < sharedTime {
		w = min(w, sharedWindow)
	}
	return w
}

// urgent reports whether next comes a message that need not wait for the
// window: a small one, whose turn it is before that of another stream, on a
// path so short that the window bounds nothing but the wait at the far end.
func (a *Association) urgent() bool {
	if !a.short() || a.out.lost > 0 || len(a.queue.heap) < 2 {
		return false
	}
	m := a.queue.next().head
	return !m.started && len(m.data) <= urgentRoom/8
}

// maxGathered is the room in the window that is always worth a burst: about
// what segmentation offload takes at once.
const maxGathered = 48 << 10

// gathers reports whether data waits for more room in the window. On a path
// that is not paced each acknowledgement would else let go just what it
// acknowledges, and bursts would stay as short as they once happened to be,
// with a system call and a wake-up at either end for each. So once the window
// was full, half of it has to be free. What is in flight is acknowledged
// without a timer of ours, and if not, the probe for a lost tail goes anyway.
func (a *Association) gathers(now time.Time, room int) bool {
	return !a.filling && a.short() && a.out.lost == 0 && a.queue.bytes > room &&
		room < min(a.sendWindow(now)/2, maxGathered)
}

// windowAllows reports whether the far end has room for n bytes more. With
// nothing in flight a chunk may always go, to probe a closed window (RFC 9260
// §6.1 A).
func (a *Association) windowAllows(n int) bool {
	return a.out.bytes+n <= a.peerRwnd || a.out.bytes == 0
}

// appendPayload appends chunks to be sent again, then new ones.
func (a *Association) appendPayload(now time.Time, w *packetWriter) {
	if a.out.lost == 0 && a.queue.messages == 0 {
		a.noteStarved()
		return
	}
	if a.collects(now, w) {
		a.noteStarved()
		return
	}
	if !a.mayTransmit(now) {
		return
	}
	clock, start, inFlight := a.clock(now), len(w.b), a.out.bytes
	a.order++
	stamp := a.rate.stamp(clock, a.order, a.out.bytes)
	a.appendLost(now, w, stamp)
	for !a.out.full() && a.appendNew(now, w, stamp) {
	}
	a.recovery.allowance = false
	if len(w.b) == start {
		a.noteStarved() // by the far end's window
		return
	}
	// Rates are of payload, as measured.
	a.pacer.sent(max(a.out.bytes-inFlight, 0))
	if w.spare() >= a.chunkSize(minFragment) {
		a.pacer.sentSmall(clock)
	}
	if !a.transferring() {
		return
	}
	if a.timers.t3.IsZero() {
		a.timers.t3 = now.Add(a.rto.timeout(rtoMin)) // RFC 9260 §6.3.2 R1
	}
	a.armProbe(now)
}

// noteStarved tells the measurement of the rate that it is not the path which
// limits.
func (a *Association) noteStarved() {
	if a.out.lost == 0 && a.out.bytes < a.cc.window() {
		a.rate.starved(a.out.bytes)
	}
}

// appendLost sends lost chunks again, lowest TSN first (RFC 9260 §6.1 C).
func (a *Association) appendLost(now time.Time, w *packetWriter, stamp sendStamp) {
	for a.out.lost > 0 {
		tsn, c := a.out.firstLost()
		if c.msg.expired(now) {
			a.abandon(c.msg)
			continue
		}
		if size := a.chunkSize(int(c.size)); size > w.room() && !w.empty() {
			return
		}
		if !a.windowAllows(int(c.size)) {
			return
		}
		a.out.resent(tsn, c, stamp)
		a.stats.ChunksRetransmitted++
		a.cc.sent(stamp.at, int(c.size), a.out.bytes)
		w.b = a.appendChunk(w.b, tsn, c)
	}
}

// dataHeader is the size of the header of a chunk of data.
func (a *Association) dataHeader() int {
	if a.queue.interleaving {
		return iDataHeaderSize
	}
	return dataHeaderSize
}

// chunkSize is the size on the wire of a chunk with n bytes of data.
func (a *Association) chunkSize(n int) int { return a.dataHeader() + padded(n) }

// appendNew makes the next chunk of the queue. It returns false when none may
// be sent or none fits.
func (a *Association) appendNew(now time.Time, w *packetWriter, stamp sendStamp) bool {
	s := a.queue.next()
	if s == nil {
		return false
	}
	m := s.head
	if m.late(now) {
		a.stats.MessagesAbandoned++
		a.queue.release(a.queue.pop(s))
		return true // the next one's turn
	}
	size := len(m.data) - m.sent
	room := min(w.room(), w.chunk) - a.dataHeader()
	if padded(size) > room {
		if room < minFragment {
			return false
		}
		size = room &^ 3
		if !m.started && !a.queue.mayStart(s) {
			return true // another stream's turn
		}
	}
	if !a.windowAllows(size) {
		return false
	}
	a.sendNew(w, m, size, stamp)
	return true
}

// sendNew makes a chunk of the next size bytes of a message.
func (a *Association) sendNew(w *packetWriter, m *outMessage, size int, stamp sendStamp) {
	flags := uint8(0)
	if !m.started {
		a.queue.number(m)
		flags |= flagBegin
		if size < len(m.data) {
			a.queue.begin(m)
		}
	}
	if m.unordered {
		flags |= flagUnordered
	}
	last := m.sent+size == len(m.data)
	if last {
		flags |= flagEnd
	}
	tsn := a.out.push(m, m.sent, size, flags, stamp)
	m.sent += size
	a.queue.count(m, -size)
	a.cc.sent(stamp.at, size, a.out.bytes)
	if m.stream.id != a.turn {
		a.turn, a.turnAt = m.stream.id, stamp.at
	}
	a.queue.served(m.stream, size, last)
	w.b = a.appendChunk(w.b, tsn, a.out.at(tsn))
	if last {
		a.queue.pop(m.stream)
	}
}

// appendChunk appends a chunk of data (RFC 9260 §3.3.1, RFC 8260 §2.1).
func (a *Association) appendChunk(b []byte, tsn chunkTSN, c *sentChunk) []byte {
	m := c.msg
	data := m.data[c.offset : int(c.offset)+int(c.size)]
	typ, n := chunkData, dataHeaderSize+len(data)
	if a.queue.interleaving {
		typ, n = chunkIData, iDataHeaderSize+len(data)
	}
	flags := c.flags
	if c.retransmits > 0 || a.state == StateShutdownPending {
		flags |= flagImmediate // RFC 7053 §4: the sender waits for it
	}
	b = append(b, byte(typ), flags, byte(n>>8), byte(n))
	b = binary.BigEndian.AppendUint32(b, uint32(tsn))
	b = binary.BigEndian.AppendUint16(b, m.stream.id)
	if a.queue.interleaving {
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
	b = append(b, data...)
	return appendPadding(b, n)
}
