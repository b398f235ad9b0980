package sctp

import "time"

const (
	// maxReplies bounds the queued packets that answer an INIT, an ABORT and the
	// like. Further ones are dropped, as if they were lost.
	maxReplies = 4

	// maxControl bounds the bytes of queued control chunks. Further ones are
	// dropped.
	maxControl = 4096

	// minPacketLimit is the smallest limit that AppendPacket works with. A state
	// cookie and the largest SACK header fit into it.
	minPacketLimit = 256
)

// A reply is a packet with one chunk. Its verification tag may differ from the
// peer's.
type reply struct {
	tag   uint32
	chunk []byte
}

// An outbox holds finished chunks that wait to be sent.
type outbox struct {
	replies []reply // each a packet of its own
	control []byte  // chunks that are sent before data
	sent    uint64  // packets
}

// reply queues a chunk that is sent alone.
func (o *outbox) reply(tag uint32, chunk []byte) {
	if len(o.replies) < maxReplies {
		o.replies = append(o.replies, reply{tag, chunk})
	}
}

// nextReply removes the first reply and returns it.
func (o *outbox) nextReply() (r reply, ok bool) {
	if len(o.replies) == 0 {
		return r, false
	}
	r = o.replies[0]
	if o.replies = append(o.replies[:0], o.replies[1:]...); len(o.replies) == 0 {
		o.replies = nil
	}
	return r, true
}

// push queues a control chunk.
func (o *outbox) push(chunk []byte) {
	if len(o.control)+len(chunk) <= maxControl {
		o.control = append(o.control, chunk...)
	}
}

// appendControl appends the queued control chunks that fit. A chunk that fits into
// no packet is dropped.
func (o *outbox) appendControl(w *packetWriter) {
	control := o.control
	for len(control) > 0 {
		c, rest, ok := nextChunk(control)
		size := padded(len(c.whole))
		if ok && size > w.room() && !w.empty() {
			break
		}
		if ok && size <= w.room() {
			w.b = append(w.b, control[:size]...)
		}
		control = rest
	}
	o.control = o.control[:copy(o.control, control)]
	if len(o.control) == 0 && cap(o.control) > 512 {
		o.control = nil
	}
}

// reportUnknown does what the upper two bits of an unknown chunk's type demand (RFC 9260
// §3.2). It reports whether the rest of the packet is to be processed.
func (o *outbox) reportUnknown(c chunk, report bool) bool {
	switch c.typ {
	case chunkData, chunkIData, chunkSack, chunkForwardTSN, chunkIForwardTSN, chunkReconfig, chunkShutdown, chunkShutdownAck:
		return true // known, but without a meaning in this state
	}
	if report && c.typ&0x40 != 0 {
		o.push(appendErrorChunk(nil, CauseUnrecognizedChunk, c.whole[:min(len(c.whole), maxReasonLength)]))
	}
	return c.typ&0x80 != 0
}

// finish completes a packet, with a checksum if sum is set.
func (o *outbox) finish(b []byte, start int, sum bool) []byte {
	o.sent++
	if sum {
		setChecksum(b[start:])
	}
	return b
}

// A packetWriter builds one packet.
type packetWriter struct {
	b     []byte
	start int // of the packet in b
	limit int // its longest length
	chunk int // the longest chunk of data
}

// room returns how many bytes are left.
func (w *packetWriter) room() int { return w.limit - (len(w.b) - w.start) }

// spare returns by how many bytes the packet is shorter than it could be without
// path MTU discovery.
func (w *packetWriter) spare() int { return w.chunk + commonHeaderSize - (len(w.b) - w.start) }

// empty reports whether the packet has no chunk.
func (w *packetWriter) empty() bool { return len(w.b)-w.start == commonHeaderSize }

// AppendPacket appends the next packet of at most limit bytes to dst. ok is false
// if there is none that may be sent now.
//
// After DiscoverPacketSize the packet may be longer than limit by its argument.
// limit may change from call to call. Below 256 nothing is sent. A chunk that was
// cut for a larger limit cannot be cut again when it is retransmitted, because its
// TSN is fixed (RFC 9260 §6.9). It is sent alone, in a packet longer than limit,
// which the layer below has to fragment.
func (a *Association) AppendPacket(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	t := a.tick(now)
	a.sender.beginPacket()
	limit = min(limit, maxPacketSize)
	if limit < minPacketLimit {
		return dst, false
	}
	base := limit
	limit = a.pmtud.packetLimit(t, base)
	a.sender.setMTU(limit)
	if r, ok := a.outbox.nextReply(); ok {
		// RFC 9653 §5.3 allows an INIT ACK without a checksum, but its receiver may
		// not know the extension. So replies have one.
		return a.outbox.finish(append(a.cfg.appendHeader(dst, r.tag), r.chunk...), len(dst), true), true
	}
	if a.handshake.step == stepInit {
		a.handshake.initSent(t)
		p := a.cfg.announce(a.handshake.localTag, a.handshake.localTSN, a.memory.receiveWindow())
		return a.outbox.finish(p.appendInitChunk(a.cfg.appendHeader(dst, 0)), len(dst), true), true
	}
	if a.state < StateCookieEchoed || a.state == StateCookieEchoed && a.handshake.step != stepCookieEcho {
		return dst, false
	}
	if b, ok := a.appendProbe(t, dst, base); ok {
		return b, true
	}
	w := packetWriter{b: a.cfg.appendHeader(dst, a.handshake.peerTag), start: len(dst), limit: limit, chunk: min(base, limit) - commonHeaderSize}
	sum := !a.handshake.peer.zeroChecksum
	if a.handshake.step == stepCookieEcho {
		// RFC 9260 §5.1 C: COOKIE ECHO is the first chunk; data may follow it.
		a.handshake.step, sum = stepWait, true
		w.b = append(w.b, a.handshake.echo...)
	}
	a.outbox.appendControl(&w)
	if a.state.handshakeDone() {
		a.appendControl(t, &w)
	}
	a.sender.appendPayload(t, &w, a.state)
	a.shutdown.appendChunk(&w, a.state, a.receiver.in.cum)
	if w.empty() {
		return dst, false
	}
	return a.outbox.finish(w.b, w.start, sum), true
}

// appendControl appends the control chunks of an established association.
func (a *Association) appendControl(now instant, w *packetWriter) {
	// A delayed SACK is sent early if a packet is sent anyway.
	switch a.receiver.ack {
	case ackNow:
		a.receiver.appendSack(w)
	case ackDelayed:
		if !w.empty() || a.sender.dataReady(now, w) {
			a.receiver.appendSack(w)
		}
	}
	if a.heartbeat.wanted(w) {
		var nonce [8]byte
		if readRandom(a.cfg.Rand, nonce[:]) { // or else the next interval tries again
			a.heartbeat.appendChunk(now, w, nonce)
		}
	}
	a.sender.appendForwardTSN(now, w)
	if a.reset.idle() {
		streams := a.sender.queue.takeDrained(maxResetStreams)
		switch {
		case streams == nil:
		case a.handshake.peer.reconfig:
			a.reset.start(streams, a.sender.out.end-1)
		default:
			a.sender.queue.resume(streams)
			a.event(Event{Kind: EventResetFailed, Streams: streams, Err: ErrNoStreamReset})
		}
	}
	a.reset.appendRequest(now, w, a.sender.rto.timeout(rtoMin))
}

// appendProbe appends the packet of the path MTU probe that is due.
func (a *Association) appendProbe(now instant, dst []byte, limit int) (b []byte, ok bool) {
	if !a.pmtud.send || !a.state.handshakeDone() {
		return dst, false
	}
	var nonce [8]byte
	if !readRandom(a.cfg.Rand, nonce[:]) {
		a.pmtud.postpone(now)
		return dst, false
	}
	b = a.pmtud.appendProbe(now, a.cfg.appendHeader(dst, a.handshake.peerTag), len(dst), limit, nonce, a.sender.rto.timeout(rtoMin))
	return a.outbox.finish(b, len(dst), !a.handshake.peer.zeroChecksum), true
}
