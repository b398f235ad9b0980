package sctp

import (
	"encoding/binary"
	"math"
	"time"
)

// HandlePacket takes a packet from the far end. What is wrong with it is
// dropped and counted.
func (a *Association) HandlePacket(now time.Time, pkt []byte) {
	a.tick(now)
	a.stats.PacketsReceived++
	if !a.acceptable(pkt) {
		a.stats.PacketsDropped++
		return
	}
	tag := binary.BigEndian.Uint32(pkt[4:])
	rest := pkt[commonHeaderSize:]
	a.gotData, a.gotForward, a.gotRequest = false, false, false
	for first := true; len(rest) > 0; first = false {
		c, r, ok := nextChunk(rest)
		if !ok {
			a.stats.PacketsDropped++
			break
		}
		rest = r
		if !a.handleChunk(now, tag, c, first, len(rest) == 0) || a.ended {
			break
		}
	}
	if a.gotData && !a.ended {
		a.dataArrived(now)
	}
	if a.transferring() {
		a.afterInput(now)
	}
}

// acceptable checks the length, ports and checksum of a packet.
func (a *Association) acceptable(pkt []byte) bool {
	if len(pkt) < commonHeaderSize+chunkHeaderSize || len(pkt) > maxPacketSize {
		return false
	}
	if binary.BigEndian.Uint16(pkt) != a.cfg.RemotePort || binary.BigEndian.Uint16(pkt[2:]) != a.cfg.LocalPort {
		return false
	}
	sum := binary.LittleEndian.Uint32(pkt[8:])
	if sum == 0 && !a.cfg.DisableZeroChecksum {
		return true // RFC 9653: zero, as announced in every INIT and INIT ACK of ours
	}
	return sum == checksum(pkt)
}

// handleChunk takes one chunk. It returns false when the rest of the packet is
// to be dropped. First come the chunks whose verification tag is not simply
// ours (RFC 9260 §8.5.1).
func (a *Association) handleChunk(now time.Time, tag uint32, c chunk, first, last bool) bool {
	switch c.typ {
	case chunkInit:
		if tag != 0 || !first || !last || a.ended { // RFC 9260 §8.5.1 A, §6.10
			a.stats.PacketsDropped++
			return false
		}
		a.handleInit(now, c.body)
		return false
	case chunkCookieEcho:
		return first && a.handleCookieEcho(now, tag, c.body)
	case chunkAbort:
		if a.reflectedTagOK(tag, c.flags) {
			a.end(Event{Kind: EventFailed, Err: parseAbort(c.body)})
		}
		return false
	case chunkShutdownComplete:
		if a.reflectedTagOK(tag, c.flags) && a.state == StateShutdownAckSent {
			a.end(Event{Kind: EventClosed})
		}
		return false
	case chunkShutdownAck:
		if a.state < StateEstablished { // RFC 9260 §8.4 (5), §8.5.1 E
			a.reply(tag, []byte{byte(chunkShutdownComplete), flagReflected, 0, 4})
			return false
		}
	}
	// RFC 9260 §8.4 has an ABORT as the answer to a packet that belongs to no
	// association. Over DTLS there is no other association that it could be
	// for: it came early or late, and is dropped.
	if a.state == StateClosed || tag != a.localTag {
		a.stats.PacketsDropped++
		return false
	}
	a.heartbeat.lastReceived = now
	return a.handleTagged(now, c)
}

// reflectedTagOK checks the tag of an ABORT or SHUTDOWN COMPLETE.
func (a *Association) reflectedTagOK(tag uint32, flags uint8) bool {
	if a.state == StateClosed {
		return false
	}
	if flags&flagReflected != 0 {
		return a.peerTag != 0 && tag == a.peerTag || a.state == StateCookieWait && tag == 0
	}
	return tag == a.localTag
}

// handleTagged takes a chunk of a packet with our verification tag.
func (a *Association) handleTagged(now time.Time, c chunk) bool {
	switch c.typ {
	case chunkInitAck:
		a.handleInitAck(now, c.body)
		return false // RFC 9260 §6.10: never bundled
	case chunkCookieAck:
		a.handleCookieAck(now)
	case chunkError:
		causeCodes(c.body, func(code CauseCode, _ []byte) {
			if code == CauseStaleCookie {
				a.handleStaleCookie(now)
			}
		})
	case chunkHeartbeat:
		a.handleHeartbeat(c.body)
	case chunkHeartbeatAck:
		a.handleHeartbeatAck(now, c.body)
	case chunkPad, chunkECNE, chunkCWR:
	default:
		return a.handleEstablished(now, c)
	}
	return true
}

// handleEstablished takes a chunk that means something only once the
// association is up. Before, it is dropped (RFC 9260 §6).
func (a *Association) handleEstablished(now time.Time, c chunk) bool {
	if !a.transferring() {
		return a.unknownChunkPolicy(c, false)
	}
	switch c.typ {
	case chunkData, chunkIData:
		if (c.typ == chunkIData) != a.interleaving() {
			// RFC 8260 §2.2.1: the other kind is a violation.
			a.violation("DATA and I-DATA mixed")
			return false
		}
		return a.handleData(now, c)
	case chunkSack:
		a.handleSack(now, c.body)
	case chunkForwardTSN, chunkIForwardTSN:
		return a.handleForwardTSN(now, c)
	case chunkReconfig:
		a.handleReconfig(now, c.body)
	case chunkShutdown:
		a.handleShutdown(now, c.body)
	case chunkShutdownAck:
		a.handleShutdownAck()
	default:
		return a.unknownChunkPolicy(c, true)
	}
	return true
}

// unknownChunkPolicy does what the upper two bits of a chunk's type say of one
// that is not known (RFC 9260 §3.2).
func (a *Association) unknownChunkPolicy(c chunk, report bool) bool {
	switch c.typ {
	case chunkData, chunkIData, chunkSack, chunkForwardTSN, chunkIForwardTSN, chunkReconfig, chunkShutdown, chunkShutdownAck:
		return true // known, and of no use in this state
	}
	if report && c.typ&0x40 != 0 {
		a.pushControl(appendErrorChunk(nil, CauseUnrecognizedChunk, c.whole[:min(len(c.whole), maxReasonLength)]))
	}
	return c.typ&0x80 != 0
}

// violation aborts the association.
func (a *Association) violation(reason string) {
	a.abort(CauseProtocolViolation, reason)
}

// parseData reads a DATA or I-DATA chunk (RFC 9260 §3.3.1, RFC 8260 §2.1).
func parseData(c chunk) (tsn chunkTSN, f fragment, ok bool) {
	f.interleaving = c.typ == chunkIData
	header := dataHeaderSize - chunkHeaderSize
	if f.interleaving {
		header = iDataHeaderSize - chunkHeaderSize
	}
	if len(c.body) < header {
		return 0, f, false
	}
	tsn = chunkTSN(binary.BigEndian.Uint32(c.body))
	f.stream = binary.BigEndian.Uint16(c.body[4:])
	f.begin, f.end = c.flags&flagBegin != 0, c.flags&flagEnd != 0
	f.unordered = c.flags&flagUnordered != 0
	f.data = c.body[header:]
	if f.interleaving {
		f.seq = messageSeq(binary.BigEndian.Uint32(c.body[8:]))
		if v := binary.BigEndian.Uint32(c.body[12:]); f.begin {
			f.ppid = v // and the FSN is 0
		} else {
			f.pos = v
		}
	} else {
		f.seq = messageSeq(binary.BigEndian.Uint16(c.body[6:]))
		f.ppid = binary.BigEndian.Uint32(c.body[8:])
		f.pos = uint32(tsn)
	}
	return tsn, f, true
}

// handleData takes a DATA or I-DATA chunk (RFC 9260 §6.2).
func (a *Association) handleData(now time.Time, c chunk) bool {
	tsn, f, ok := parseData(c)
	if !ok {
		a.stats.PacketsDropped++
		return false
	}
	switch a.state {
	case StateEstablished, StateShutdownPending, StateShutdownSent:
	default:
		return true // RFC 9260 §6: after its SHUTDOWN the far end sends none
	}
	a.gotData = true
	if len(f.data) == 0 {
		info := binary.BigEndian.AppendUint32(nil, uint32(tsn))
		a.abortWith(CauseNoUserData, info, "no user data") // RFC 9260 §6.2
		return false
	}
	if c.flags&flagImmediate != 0 {
		a.ack = ackNow
	}
	if a.in.has(tsn) {
		a.in.duplicate(tsn)
		a.ack = ackNow
		return true
	}
	if !a.in.inWindow(tsn) || !a.room(tsn, f.stream) {
		if tsn == a.in.cum+1 && a.memory.held == 0 && !a.memory.squeezed() {
			a.outOfResource() // there is not even a message that the program could read
			return false
		}
		a.ack = ackNow // it tells the window
		return true
	}
	a.in.add(tsn)
	if !a.incoming(f.stream) {
		a.pushControl(appendErrorChunk(nil, CauseInvalidStream, streamInfo(f.stream))) // RFC 9260 §6.5
		return true
	}
	if whole := f.begin && f.end; !(whole && f.unordered) && !a.reassembly.mayKeep(f.stream) {
		a.outOfResource()
		return false
	}
	if v := a.reassembly.add(f); v != "" {
		a.violation(v)
		return false
	}
	return true
}

// outOfResource aborts the association, as the remote has used all that Memory
// allows and nothing that it may still send can change that.
func (a *Association) outOfResource() {
	a.abort(CauseOutOfResource, "the memory for this association is used up")
}

// room reports whether a chunk may be kept. Those that fill gaps are kept
// beyond the window, since only they can empty it.
func (a *Association) room(tsn chunkTSN, stream uint16) bool {
	if a.memory.squeezed() {
		// Where the program has nothing to read, the chunk that all others wait
		// for is taken, or else an association beyond its quota could never be
		// emptied. That ends with the first message that is complete.
		return tsn == a.in.cum+1 && tsn != a.in.highest+1 && a.memory.held == 0 && a.reassembly.streams.get(stream) != nil
	}
	if tsn.after(a.in.highest) {
		return a.memory.data() < a.memory.windowLimit()
	}
	return a.memory.Used() < a.memory.Limit()
}

// windowOf is a window that the far end announces. An int may have 32 bits, and
// nobody has so much under way.
func windowOf(rwnd uint32) int { return int(min(rwnd, math.MaxInt32)) }

// handleSack takes a SACK (RFC 9260 §6.2.1), after it has checked all of it.
func (a *Association) handleSack(now time.Time, body []byte) {
	if len(body) < sackHeaderSize-chunkHeaderSize {
		a.stats.PacketsDropped++
		return
	}
	cum := chunkTSN(binary.BigEndian.Uint32(body))
	gaps := body[sackHeaderSize-chunkHeaderSize:]
	blocks, dups := int(binary.BigEndian.Uint16(body[8:])), int(binary.BigEndian.Uint16(body[10:]))
	if cum.before(a.out.first-1) || !cum.before(a.out.end) || 4*(blocks+dups) > len(gaps) || !a.out.validGaps(cum, gaps[:4*blocks]) {
		// An old one, which came late; or one of data that was never sent.
		a.stats.PacketsDropped++
		return
	}
	a.peerRwnd = windowOf(binary.BigEndian.Uint32(body[4:]))
	a.queue.budget = max(a.queue.budget, a.peerRwnd/2)
	a.acknowledge(now, cum, gaps[:4*blocks])
}

// acknowledge does what a SACK or the TSN in a SHUTDOWN calls for.
func (a *Association) acknowledge(now time.Time, cum chunkTSN, gaps []byte) {
	clock, first, before, l := a.clock(now), a.out.first, a.out.bytes, &a.recovery
	r := a.out.ack(cum, gaps, clock-l.soonest(a.rto.srtt), &a.queue)
	l.observe(clock, &r)
	ev := ackEvent{now: clock, acked: r.acked - r.moved, before: before, limited: r.valid && !l.limited.before(r.newest.order)}
	switch {
	case r.valid && r.retransmits == 0: // RFC 9260 §6.3.1: Karn's algorithm
		ev.rtt = max(clock-r.newest.at, 1)
		a.rto.sample(time.Duration(ev.rtt))
	case a.heartbeat.rtt > 0:
		ev.rtt = int64(a.heartbeat.rtt)
	case (!a.rto.measured || r.tooSoon && !r.valid) && !a.out.empty():
		// Where all that is in flight was sent before, acknowledgements do not
		// measure the round trip. And where the path has become shorter, they come
		// too soon to be taken for those of the last sending.
		if r.any {
			a.askRTT(now)
		}
	}
	a.heartbeat.rtt = 0
	if r.any || r.cumAdvanced || a.peerRwnd == 0 {
		a.errorCount = 0 // RFC 9260 §6.1 A: a closed window is no failure
	}
	a.reset.askAgain(first, a.out.first)
	if r.any || r.cumAdvanced {
		a.pmtud.silent = 0
		a.measurePace(clock)
		a.considerProbe(clock)
		a.rto.progress() // over what was given up too
	}
	if l.allSpurious() {
		a.stats.SpuriousRecoveries++
		a.cc.undo()
		l.end()
	}
	if l.active && !cum.before(l.until) {
		l.end()
	}
	if r.any {
		ev.lost = a.detectLosses(now)
		if ev.acked > 0 {
			ev.rate = a.rate.acked(clock, ev.acked, &r)
		}
		ev.inFlight, ev.recovering = a.out.bytes, l.active && !l.timedOut
		a.cc.acked(ev)
	}
	a.skip.acknowledged(&a.out)
	a.skip.repeat(&a.out, clock, a.rto.srtt)
	a.abandonLost(now)
	a.armTimers(now, r.any || r.cumAdvanced)
}

// armTimers sets the timers of retransmission after an acknowledgement.
func (a *Association) armTimers(now time.Time, progress bool) {
	switch {
	case a.out.listed() == 0 && !a.skip.pending(&a.out) && !a.out.reneged():
		a.timers.t3 = time.Time{} // RFC 9260 §6.3.2 R2
	case progress:
		// R3 has it for the lowest TSN only. But loss among what is
		// acknowledged is found without this timer: it waits for silence.
		a.timers.t3 = now.Add(a.rto.timeout(rtoMin))
	}
	a.armProbe(now)
}

// afterInput does what may have become possible.
func (a *Association) afterInput(now time.Time) {
	a.performDeferredReset()
	a.continueShutdown(now)
}
