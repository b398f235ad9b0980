package sctp

import (
	"encoding/binary"
	"slices"
	"time"
)

// A resetResult is the result of a RE-CONFIG request (RFC 6525 §4.4).
type resetResult uint32

const (
	resetNothingToDo   resetResult = 0
	resetPerformed     resetResult = 1
	resetDenied        resetResult = 2
	resetWrongSSN      resetResult = 3
	resetOtherInFlight resetResult = 4
	resetBadSequence   resetResult = 5
	resetInProgress    resetResult = 6
)

// maxResetStreams bounds the streams of one request, so that it fits into the
// packets of any usual path.
const maxResetStreams = 400

// maxPatience is how often the remote may answer a request with "in progress"
// once it has acknowledged all data up to the request's last TSN: it then has no
// reason to wait any more (RFC 6525 §5.2.2). Each time takes an RTO.
const maxPatience = 10

// maxPendingResets bounds the resets of the remote that the owner of the
// association has not taken by NextEvent. Further requests are dropped, as if
// they were lost.
const maxPendingResets = 64

// A resetState is stream reconfiguration (RFC 6525), both halves.
type resetState struct {
	// Ours: one request is in flight at a time (RFC 6525 §5.1.1).
	nextSeq requestSeq
	request []uint16 // of the request in flight
	lastTSN chunkTSN // its Sender's Last Assigned TSN
	send    bool
	waits   bool  // the remote has it, and is not ready to perform it
	patient uint8 // how often it said so

	// The far end's.
	peerSeq    requestSeq // expected next
	lastResult resetResult
	deferred   *deferredReset // the request of peerSeq-1, if it had to wait
}

// A deferredReset is a request that came before the data that it covers. It is
// performed when the data is there, but answered again only when the remote asks
// again. Some remotes then repeat the request under a new number. Such a repetition
// looks like a further request to reset the same streams, on which nothing was sent
// in between. The two differ only in what the remote was told before: it repeats a
// request under a new number only while its last answer was "in progress".
type deferredReset struct {
	lastTSN chunkTSN
	streams []uint16 // empty: all
	done    bool
}

func (r *resetState) begin(localTSN, peerTSN chunkTSN) {
	*r = resetState{nextSeq: requestSeq(localTSN), peerSeq: requestSeq(peerTSN)}
}

// ResetStreams closes our outgoing side of streams (RFC 6525 §5.1) once what
// is queued on them was acknowledged; EventResetDone or EventResetFailed follows.
// Until then Send on them is ErrStreamClosed.
func (a *Association) ResetStreams(now time.Time, streams ...uint16) error {
	a.tick(now)
	if a.ended {
		return ErrClosed
	}
	for _, id := range streams {
		if int(id) >= a.OutgoingStreams() {
			return ErrInvalidStream
		}
	}
	for _, id := range streams {
		s := a.queue.streams.get(id)
		if s == nil {
			// Such resets answer the remote, which may have any number of them.
			if !a.memory.chargeStreams(resetOverhead) {
				return ErrMemory
			}
			s = a.queue.stream(id)
			s.charged = true
		}
		if s.paused {
			continue
		}
		s.paused = true
		if s.pending == 0 {
			a.queue.drained = append(a.queue.drained, id)
		}
	}
	return nil
}

// prepareReset makes a request of the streams that nothing is in flight on.
func (a *Association) prepareReset() {
	r := &a.reset
	if len(a.queue.drained) == 0 || r.request != nil {
		return
	}
	n := min(len(a.queue.drained), maxResetStreams)
	request := slices.Clone(a.queue.drained[:n])
	if a.queue.drained = a.queue.drained[n:]; len(a.queue.drained) == 0 {
		a.queue.drained = nil
	}
	if !a.peer.reconfig {
		a.resume(request)
		a.event(Event{Kind: EventResetFailed, Streams: request, Err: ErrNoStreamReset})
		return
	}
	r.request, r.lastTSN, r.send = request, a.out.end-1, true
}

// appendReconfig appends the request that is to be sent.
func (a *Association) appendReconfig(now time.Time, w *packetWriter) {
	r := &a.reset
	a.prepareReset()
	size := chunkHeaderSize + 16 + padded(2*len(r.request))
	if !r.send || size > w.room() && !w.empty() {
		return // in the next packet, larger than its limit if need be, as AppendPacket says of data
	}
	r.send = false
	a.timers.reconfig = now.Add(a.rto.timeout(rtoMin))
	b, start := beginChunk(w.b, chunkReconfig, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(paramOutgoingReset))
	b = binary.BigEndian.AppendUint16(b, uint16(16+2*len(r.request)))
	b = binary.BigEndian.AppendUint32(b, uint32(r.nextSeq))
	b = binary.BigEndian.AppendUint32(b, uint32(r.peerSeq-1))
	b = binary.BigEndian.AppendUint32(b, uint32(r.lastTSN))
	for _, id := range r.request {
		b = binary.BigEndian.AppendUint16(b, id)
	}
	w.b = endChunk(b, start)
}

// reconfigTimeout sends the request again, with the same number.
func (a *Association) reconfigTimeout(now time.Time) {
	if a.reset.request == nil {
		return
	}
	a.reset.send = true
	if a.reset.waits {
		a.reset.waits = false // from here on an answer is due
		return                // RFC 6525 §5.2.7 H2: this is no error
	}
	a.rto.expired()
	a.countError()
}

// askAgain sends a request that the remote answered with "in progress" again as
// soon as the remote acknowledges all data up to the request's last TSN. The first
// outstanding TSN moves from before to first.
func (r *resetState) askAgain(before, first chunkTSN) {
	if r.waits && !before.after(r.lastTSN) && first.after(r.lastTSN) {
		r.waits, r.send = false, true
	}
}

// handleReconfig takes a RE-CONFIG chunk: one or two parameters (RFC 6525 §3.1),
// which are all checked first. A sender has one request in flight at a time
// (§5.1.1), except for two in one chunk. So further chunks with requests in one
// packet are dropped, as if they were lost.
func (a *Association) handleReconfig(now time.Time, body []byte) {
	var params [2]param
	n, requests := 0, false
	for ; len(body) >= paramHeaderSize; n++ {
		p, rest, ok := nextParam(body)
		if !ok || n == len(params) || !validReconfig(p) {
			a.stats.PacketsDropped++
			return
		}
		params[n], body = p, rest
		requests = requests || p.typ != paramReconfigResponse
	}
	if requests && (a.gotRequest || a.pendingResets >= maxPendingResets) {
		a.stats.PacketsDropped++
		return
	}
	a.gotRequest = a.gotRequest || requests
	for _, p := range params[:n] {
		switch p.typ {
		case paramReconfigResponse:
			a.handleResetResponse(now, p.body)
		case paramOutgoingReset:
			a.handleOutgoingReset(p.body)
		case paramAddOutgoing:
			a.handleAddOutgoing(p.body)
		default:
			a.refuse(p.body)
		}
	}
}

// validReconfig checks the form of a parameter (RFC 6525 §4).
func validReconfig(p param) bool {
	switch n := len(p.body); p.typ {
	case paramReconfigResponse:
		return n >= 8
	case paramOutgoingReset:
		return n >= 12 && n%2 == 0
	case paramIncomingReset:
		return n >= 4 && n%2 == 0
	case paramTSNReset:
		return n >= 4
	case paramAddOutgoing, paramAddIncoming:
		return n >= 8
	}
	return false
}

// requestNumber checks a request's number (RFC 6525 §5.2.1). fresh is true
// for the expected one, which is then taken; again for the last one.
func (a *Association) requestNumber(body []byte) (seq requestSeq, fresh, again bool) {
	seq = requestSeq(binary.BigEndian.Uint32(body))
	switch seq {
	case a.reset.peerSeq:
		a.reset.peerSeq++
		return seq, true, false
	case a.reset.peerSeq - 1:
		return seq, false, true
	}
	a.respond(seq, resetBadSequence)
	return seq, false, false
}

// refuse denies a request that data channels have no use for (RFC 8831 §6.2).
func (a *Association) refuse(body []byte) {
	seq, fresh, again := a.requestNumber(body)
	if fresh {
		a.reset.lastResult, a.reset.deferred = resetDenied, nil
	}
	if fresh || again {
		a.respond(seq, a.reset.lastResult)
	}
}

// handleAddOutgoing takes a request to add streams on which the remote sends
// (RFC 6525 §5.2.5). Nothing is kept of them until they are used.
func (a *Association) handleAddOutgoing(body []byte) {
	seq, fresh, again := a.requestNumber(body)
	if fresh {
		a.reset.lastResult, a.reset.deferred = resetDenied, nil
		if n := int(a.peer.outStreams) + int(binary.BigEndian.Uint16(body[4:])); n <= maxStreams {
			a.peer.outStreams = uint16(n)
			a.reset.lastResult = resetPerformed
		}
	}
	if fresh || again {
		a.respond(seq, a.reset.lastResult)
	}
}

// respond queues a response.
func (a *Association) respond(seq requestSeq, result resetResult) {
	var body [8]byte
	binary.BigEndian.PutUint32(body[:], uint32(seq))
	binary.BigEndian.PutUint32(body[4:], uint32(result))
	b, start := beginChunk(nil, chunkReconfig, 0)
	a.pushControl(endChunk(appendParam(b, paramReconfigResponse, body[:]), start))
}

// handleOutgoingReset takes a request to reset the far end's outgoing streams
// (RFC 6525 §5.2.2).
func (a *Association) handleOutgoingReset(body []byte) {
	seq, fresh, again := a.requestNumber(body)
	if again {
		if a.reset.lastResult == resetPerformed {
			a.reset.deferred = nil
		}
		a.respond(seq, a.reset.lastResult)
	}
	if !fresh {
		return
	}
	d := &deferredReset{lastTSN: chunkTSN(binary.BigEndian.Uint32(body[8:]))}
	for b := body[12:]; len(b) >= 2; b = b[2:] {
		id := binary.BigEndian.Uint16(b)
		if !a.incoming(id) {
			a.reset.lastResult, a.reset.deferred = resetWrongSSN, nil
			a.respond(seq, resetWrongSSN)
			return
		}
		d.streams = append(d.streams, id)
	}
	if old := a.reset.deferred; old != nil && old.done && old.lastTSN == d.lastTSN && slices.Equal(old.streams, d.streams) {
		a.reset.lastResult, a.reset.deferred = resetPerformed, nil
		a.respond(seq, resetPerformed)
		return
	}
	if d.lastTSN.after(a.in.cum) {
		a.reset.lastResult, a.reset.deferred = resetInProgress, d
		a.respond(seq, resetInProgress)
		return
	}
	a.reset.deferred = nil
	a.performReset(d)
	a.respond(seq, resetPerformed)
}

// performDeferredReset performs a deferred request once its data is there.
func (a *Association) performDeferredReset() {
	d := a.reset.deferred
	if d == nil || d.done || d.lastTSN.after(a.in.cum) {
		return
	}
	a.performReset(d)
	d.done = true
}

// performReset begins the numbering of incoming streams anew.
func (a *Association) performReset(d *deferredReset) {
	streams := d.streams
	if len(streams) == 0 { // RFC 6525 §4.1: all
		streams = a.reassembly.streams.ids()
	}
	for _, id := range streams {
		a.reassembly.resetStream(id)
	}
	a.reset.lastResult = resetPerformed
	a.event(Event{Kind: EventStreamsReset, Streams: d.streams})
}

// handleResetResponse takes the answer to our request (RFC 6525 §5.2.7).
func (a *Association) handleResetResponse(now time.Time, body []byte) {
	r := &a.reset
	if r.request == nil || requestSeq(binary.BigEndian.Uint32(body)) != r.nextSeq {
		return
	}
	result := resetResult(binary.BigEndian.Uint32(body[4:]))
	a.errorCount = 0
	if a.out.first.after(r.lastTSN) {
		r.patient++
	}
	if (result == resetInProgress || result == resetOtherInFlight) && r.patient <= maxPatience {
		// Asked again, with the same number, when the timer runs out.
		r.waits = true
		a.timers.reconfig = now.Add(a.rto.timeout(rtoMin))
		return
	}
	streams := r.request
	r.request, r.send, r.waits, r.patient = nil, false, false, 0
	r.nextSeq++
	a.timers.reconfig = time.Time{}
	if result != resetPerformed && result != resetNothingToDo {
		a.resume(streams)
		a.event(Event{Kind: EventResetFailed, Streams: streams, Err: ErrResetRefused})
		return
	}
	for _, id := range streams {
		a.forgetStream(id)
	}
	a.event(Event{Kind: EventResetDone, Streams: streams})
}

// resume lets streams be used again that were not reset: their numbers go on.
func (a *Association) resume(streams []uint16) {
	for _, id := range streams {
		a.queue.stream(id).paused = false
	}
}

// forgetStream begins an outgoing stream anew: its numbers at zero.
func (a *Association) forgetStream(id uint16) {
	if s := a.queue.streams.get(id); s != nil && s.charged {
		a.memory.unchargeStreams(resetOverhead)
	}
	a.queue.streams.remove(id)
}

// dropQueue forgets what was queued, and all outgoing streams.
func (a *Association) dropQueue() {
	a.queue.streams.each(func(s *outStream) {
		if s.charged {
			a.memory.unchargeStreams(resetOverhead)
		}
	})
	a.queue = sendQueue{}
}
