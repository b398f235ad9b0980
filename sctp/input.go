package sctp

import (
	"encoding/binary"
	"time"
)

// HandlePacket processes a packet from the remote. Invalid parts are dropped and
// counted.
func (a *Association) HandlePacket(now time.Time, pkt []byte) {
	t := a.clock.tick(now)
	a.received++
	if !a.cfg.accepts(pkt) {
		a.dropped++
		a.trace.dropped(t, pkt)
		return
	}
	if a.trace != nil {
		a.trace.received(t, pkt)
	}
	tag := binary.BigEndian.Uint32(pkt[4:])
	rest := pkt[commonHeaderSize:]
	a.receiver.beginPacket()
	a.gotRequest = false
	for first := true; len(rest) > 0; first = false {
		c, r, ok := nextChunk(rest)
		if !ok {
			a.dropped++
			break
		}
		rest = r
		if !a.handleChunk(t, tag, c, first, len(rest) == 0) || a.ended {
			break
		}
	}
	if a.receiver.gotData && !a.ended {
		shuttingDown := a.state == StateShutdownSent
		if shuttingDown {
			// RFC 9260 §9.2: data in this state is answered immediately, by a SACK
			// and another SHUTDOWN.
			a.shutdown.resend(t, a.sender.rto.timeout(rtoMin))
		}
		a.receiver.endPacket(t, shuttingDown)
	}
	a.proceed(t)
}

// proceed takes the steps that the received chunks have made possible: a deferred
// stream reset, and the next step of a shutdown.
func (a *Association) proceed(now instant) {
	if !a.state.handshakeDone() {
		return
	}
	if streams, ok := a.reset.performDeferred(a.receiver.in.cum); ok {
		a.receiver.reassembly.resetStreams(streams)
		a.events.add(Event{Kind: EventStreamsReset, Streams: streams}, a.receiver.received())
	}
	if a.sender.drained() {
		if next := a.shutdown.advance(now, a.state, a.sender.rto.timeout(rtoMin)); next != a.state {
			a.state, a.sender.t3 = next, 0
		}
	}
}

// handleChunk processes one chunk. It reports whether the rest of the packet is to be
// processed. The chunks with special rules for the verification tag are first (RFC 9260
// §8.5.1).
func (a *Association) handleChunk(now instant, tag uint32, c chunk, first, last bool) bool {
	switch c.typ {
	case chunkInit:
		if tag != 0 || !first || !last || a.ended { // RFC 9260 §8.5.1 A: the tag is 0; §6.10: INIT is the only chunk
			a.dropped++
			return false
		}
		a.handleInit(now, c.body)
		return false
	case chunkCookieEcho:
		return first && a.handleCookieEcho(now, tag, c.body)
	case chunkAbort:
		if a.handshake.validTag(a.state, tag, c.flags) {
			a.handleAbort(parseAbort(c.body))
		}
		return false
	case chunkShutdownComplete:
		if a.handshake.validTag(a.state, tag, c.flags) && a.state == StateShutdownAckSent {
			a.end(Event{Kind: EventClosed})
		}
		return false
	case chunkShutdownAck:
		if !a.state.handshakeDone() { // RFC 9260 §8.4 (5), §8.5.1 E: SHUTDOWN COMPLETE is the answer
			a.outbox.reply(tag, []byte{byte(chunkShutdownComplete), flagReflected, 0, 4})
			return false
		}
	}
	// RFC 9260 §8.4 answers a packet that belongs to no association with an ABORT.
	// Over DTLS the packet can belong to no other association: it came too early or
	// too late, and is dropped.
	if a.state == StateClosed || tag != a.handshake.localTag {
		a.dropped++
		return false
	}
	a.heartbeat.received = now
	return a.handleTagged(now, c)
}

// handleTagged processes a chunk of a packet with our verification tag.
func (a *Association) handleTagged(now instant, c chunk) bool {
	switch c.typ {
	case chunkInitAck:
		a.handleInitAck(now, c.body)
		return false // RFC 9260 §6.10: INIT ACK is the only chunk of its packet
	case chunkCookieAck: // RFC 9260 §5.1 E
		if a.state == StateCookieEchoed { // in other states it is discarded: RFC 9260 §5.2.5
			a.establish(now)
		}
	case chunkError:
		causeCodes(c.body, func(code CauseCode, _ []byte) {
			if code == CauseStaleCookie {
				a.handleStaleCookie(now)
			}
		})
	case chunkHeartbeat:
		if a.state.peerKnown() {
			a.outbox.push(heartbeatAck(c.body))
		}
	case chunkHeartbeatAck:
		a.handleHeartbeatAck(now, c.body)
	case chunkPad, chunkECNE, chunkCWR:
	default:
		return a.handleEstablished(now, c)
	}
	return true
}

// handleEstablished processes a chunk that has a meaning only once the association is
// established. Until then the chunk is dropped (RFC 9260 §6).
func (a *Association) handleEstablished(now instant, c chunk) bool {
	if !a.state.handshakeDone() {
		return a.outbox.reportUnknown(c, false)
	}
	switch c.typ {
	case chunkData, chunkIData:
		return a.handleData(c)
	case chunkSack:
		a.handleSack(now, c.body)
	case chunkForwardTSN, chunkIForwardTSN:
		return a.handleForwardTSN(c)
	case chunkReconfig:
		a.handleReconfig(now, c.body)
	case chunkShutdown:
		a.handleShutdown(now, c.body)
	case chunkShutdownAck:
		if a.state == StateShutdownSent || a.state == StateShutdownAckSent {
			a.outbox.reply(a.handshake.peerTag, []byte{byte(chunkShutdownComplete), 0, 0, 4})
			a.end(Event{Kind: EventClosed})
		}
	default:
		return a.outbox.reportUnknown(c, true)
	}
	return true
}

// handleData processes a DATA or I-DATA chunk.
func (a *Association) handleData(c chunk) bool {
	if (c.typ == chunkIData) != a.receiver.interleaving() {
		a.abort(violation("DATA and I-DATA mixed")) // RFC 8260 §2.2.1
		return false
	}
	tsn, f, ok := parseData(c)
	if !ok {
		a.dropped++
		return false
	}
	switch a.state {
	case StateEstablished, StateShutdownPending, StateShutdownSent:
	default:
		return true // RFC 9260 §6: the remote sends no data after its SHUTDOWN
	}
	errorChunk, err := a.receiver.handleData(tsn, f, c.flags&flagImmediate != 0, a.handshake.incomingStreams())
	if err != nil {
		a.abort(err)
		return false
	}
	if errorChunk != nil {
		a.outbox.push(errorChunk)
	}
	return true
}

// handleForwardTSN processes a FORWARD TSN or I-FORWARD-TSN.
func (a *Association) handleForwardTSN(c chunk) bool {
	if (c.typ == chunkIForwardTSN) != a.receiver.interleaving() {
		a.abort(violation("FORWARD TSN of the wrong kind")) // RFC 8260 §2.3.1
		return false
	}
	ok, err := a.receiver.handleForwardTSN(c.body, a.handshake.incomingStreams())
	if err != nil {
		a.abort(err)
		return false
	}
	if !ok {
		a.dropped++
	}
	return true
}

// handleSack processes a SACK.
func (a *Association) handleSack(now instant, body []byte) {
	first, delivered := a.sender.out.first, a.sender.rate.delivered
	r, ok := a.sender.handleSack(now, body, a.heartbeat.rtt)
	if !ok {
		a.dropped++
		return
	}
	a.reset.acknowledged(first, a.sender.out.first)
	a.acknowledged(now, r, delivered)
}

// acknowledged tells the other parts that data was acknowledged. delivered is the
// total number of bytes that were acknowledged before.
func (a *Association) acknowledged(now instant, r ackOutcome, delivered int64) {
	a.heartbeat.rttUsed()
	if r.askRTT {
		a.heartbeat.ask(now, a.sender.rto.timeout(rtoMinHandshake))
	}
	if r.progress {
		a.pmtud.progress(now, delivered, a.sender.rto.srtt)
	}
	if r.progress || a.sender.rwnd == 0 {
		a.errorCount = 0 // RFC 9260 §6.1 A: while the peer's window is closed, unanswered probes of the window are not counted as failures
	}
}

// handleHeartbeatAck processes the answer to a HEARTBEAT or to a path MTU probe.
func (a *Association) handleHeartbeatAck(now instant, body []byte) {
	nonce, ok := heartbeatNonce(body)
	if !ok {
		return
	}
	if size := a.pmtud.probeSize(); a.pmtud.answered(now, nonce) {
		a.trace.probe(now, ProbeAnswered, size)
		return
	}
	if rtt, ok := a.heartbeat.answered(now, nonce); ok {
		a.sender.heartbeatRTT(rtt, a.receiver.takeAsking())
		a.errorCount = 0
	}
}

// handleReconfig processes a RE-CONFIG chunk (RFC 6525). A remote has one request in
// flight at a time (§5.1.1), or two in one chunk. So of several chunks with requests
// in a packet, only the first is processed. The others are dropped, as if they were
// lost.
func (a *Association) handleReconfig(now instant, body []byte) {
	c, ok := parseReconfig(body)
	if !ok || c.request && (a.gotRequest || a.events.resets >= maxPendingResets) {
		a.dropped++
		return
	}
	a.gotRequest = a.gotRequest || c.request
	for _, p := range c.params[:c.n] {
		if p.typ != paramReconfigResponse {
			r := a.reset.handle(p, a.receiver.in.cum, &a.handshake.peer.outStreams)
			if r.perform {
				a.receiver.reassembly.resetStreams(r.streams)
				a.events.add(Event{Kind: EventStreamsReset, Streams: r.streams}, a.receiver.received())
			}
			a.outbox.push(r.response)
			continue
		}
		streams, err, answered := a.reset.handleResponse(now, p.body, a.sender.out.first, a.sender.rto.timeout(rtoMin))
		if answered {
			a.errorCount = 0
		}
		switch {
		case streams == nil:
		case err != nil:
			a.sender.queue.resume(streams)
			a.events.add(Event{Kind: EventResetFailed, Streams: streams, Err: err}, a.receiver.received())
		default:
			a.sender.queue.forgetStreams(streams)
			a.events.add(Event{Kind: EventResetDone, Streams: streams}, a.receiver.received())
		}
	}
}
