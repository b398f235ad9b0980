package sctp

import "time"

// minPacketLimit is the smallest limit that AppendPacket accepts. A state cookie and
// the largest SACK header fit into it.
const minPacketLimit = 256

// AppendPacket appends the next packet of at most limit bytes to dst. ok is false if
// there is no packet that may be sent now.
//
// After DiscoverPacketSize the packet may be longer than limit, by at most the
// argument of DiscoverPacketSize. limit may change from call to call. If it is below
// 256, nothing is sent. A chunk that was cut for a larger limit cannot be cut again
// when it is retransmitted, because its TSN is fixed (RFC 9260 §6.9). It is sent
// alone, in a packet longer than limit, which the layer below has to fragment.
func (a *Association) AppendPacket(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	t := a.clock.tick(now)
	a.sender.beginPacket()
	limit = min(limit, maxPacketSize)
	if limit < minPacketLimit {
		return dst, false
	}
	base := limit
	limit = a.pmtud.packetLimit(t, base)
	a.sender.setMTU(limit)
	if r, ok := a.outbox.nextReply(); ok {
		// RFC 9653 allows an INIT ACK without a checksum, but perhaps its receiver
		// does not know the extension. So all replies have a checksum.
		return a.outbox.finish(append(a.cfg.appendHeader(dst, r.tag), r.chunk...), len(dst), true), true
	}
	if a.handshake.step == stepInit {
		a.handshake.initSent(t)
		p := a.cfg.announce(a.handshake.localTag, a.handshake.localTSN, a.memory.receiveWindow())
		return a.outbox.finish(p.appendInitChunk(a.cfg.appendHeader(dst, 0)), len(dst), true), true
	}
	echo, echoes := a.handshake.takeEcho()
	if !echoes && !a.state.handshakeDone() {
		return dst, false
	}
	sum := echoes || !a.handshake.peer.zeroChecksum
	if a.pmtud.send && a.state.handshakeDone() {
		if nonce, ok := a.cfg.nonce(); ok {
			b = a.pmtud.appendProbe(t, a.cfg.appendHeader(dst, a.handshake.peerTag), len(dst), base, nonce, a.sender.rto.timeout(rtoMin))
			a.trace.probe(t, ProbeSent, len(b)-len(dst))
			return a.outbox.finish(b, len(dst), sum), true
		}
		a.pmtud.postpone(t)
	}
	w := packetWriter{b: a.cfg.appendHeader(dst, a.handshake.peerTag), start: len(dst), limit: limit, chunk: min(base, limit) - commonHeaderSize}
	w.b = append(w.b, echo...) // RFC 9260 §5.1 C: COOKIE ECHO is the first chunk; data may follow it
	a.outbox.appendControl(&w)
	if a.state.handshakeDone() {
		a.appendControl(t, &w)
	}
	a.sender.appendPayload(t, &w, a.state)
	a.shutdown.appendChunk(&w, a.state, a.receiver.in.cum)
	if w.empty() {
		if a.trace != nil && a.trace.due {
			a.trace.update(a.sender.metrics(a.memory.receiveWindow()))
		}
		return dst, false
	}
	return a.outbox.finish(w.b, w.start, sum), true
}

// appendControl appends the control chunks of an established association.
func (a *Association) appendControl(now instant, w *packetWriter) {
	if a.receiver.ack == ackNow {
		a.receiver.appendSack(w)
	}
	if a.heartbeat.wanted(w) {
		if nonce, ok := a.cfg.nonce(); ok { // if this fails, the next interval tries again
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
			a.events.add(Event{Kind: EventResetFailed, Streams: streams, Err: ErrNoStreamReset}, a.receiver.received())
		}
	}
	a.reset.appendRequest(now, w, a.sender.rto.timeout(rtoMin))
	// If a packet is sent anyway, a delayed SACK is sent with it. The remote needs it to
	// answer the reset of a stream on which it has just sent: it resets its own
	// direction when all data is acknowledged.
	if a.receiver.ack == ackDelayed && (!w.empty() || a.sender.dataReady(now, w)) {
		a.receiver.appendSack(w)
	}
}
