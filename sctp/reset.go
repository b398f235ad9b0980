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

const (
	// maxResetStreams bounds the streams of one request, so that it fits into a packet
	// on any usual path.
	maxResetStreams = 400

	// maxPatience is how often the remote may answer a request with "in progress"
	// after it has acknowledged all data up to the request's last TSN. It then has no
	// reason to wait (RFC 6525 §5.2.2). This end waits one RTO after each such
	// answer.
	maxPatience = 10

	// maxPendingResets bounds the EventStreamsReset that NextEvent has not returned.
	// Further requests are dropped, as if they were lost.
	maxPendingResets = 64
)

// A streamReset is stream reconfiguration (RFC 6525), both directions.
//
// Outgoing: one request is in flight at a time (§5.1.1). It is sent again until the
// remote answers.
//
// Incoming: a request is performed once all data up to its last TSN has arrived. If it
// arrives earlier, the answer is "in progress", and the remote asks again.
type streamReset struct {
	nextSeq requestSeq
	request []uint16 // streams of the request in flight; nil: no request
	lastTSN chunkTSN // Sender's Last Assigned TSN of the request
	timer   instant
	send    bool  // the request is to be sent
	waits   bool  // the remote answered "in progress"
	patient uint8 // number of answers "in progress" for which the remote had no reason

	peerSeq    requestSeq // number of the remote's next request
	lastResult resetResult
	deferred   *deferredReset // the request with number peerSeq-1, if its answer was "in progress"
}

// A deferredReset is a request that arrived before the data that it covers. It is
// performed when the data is there, but answered again only when the remote asks
// again. The remote may repeat the request under a new number. It does so only after
// the answer "in progress", which distinguishes the repetition from a new request.
type deferredReset struct {
	lastTSN chunkTSN
	streams []uint16 // streams to reset; empty: all
	done    bool     // the reset was performed
}

// A resetOutcome says what this end has to do about a request of the remote.
type resetOutcome struct {
	response []byte   // RE-CONFIG chunk to send
	perform  bool     // incoming streams are to be reset
	streams  []uint16 // these incoming streams; empty: all
}

// begin sets the first request numbers, which are the initial TSNs.
func (r *streamReset) begin(localTSN, peerTSN chunkTSN) {
	*r = streamReset{nextSeq: requestSeq(localTSN), peerSeq: requestSeq(peerTSN)}
}

// idle reports whether no request is in flight.
func (r *streamReset) idle() bool { return r.request == nil }

// start begins a request to reset streams. last is the last TSN assigned.
func (r *streamReset) start(streams []uint16, last chunkTSN) {
	r.request, r.lastTSN, r.send = streams, last, true
}

// appendRequest appends the request that is to be sent. If the request does not fit,
// it goes into the next packet, which may be longer than its limit, like a packet with
// data.
func (r *streamReset) appendRequest(now instant, w *packetWriter, timeout time.Duration) {
	size := chunkHeaderSize + 16 + padded(2*len(r.request))
	if !r.send || size > w.room() && !w.empty() {
		return
	}
	r.send = false
	r.timer = now + int64(timeout)
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

// timeout sends the request again, under the same number. It reports whether the
// remote failed to answer. If the answer was "in progress", the wait is no error (RFC
// 6525 §5.2.7 H2).
func (r *streamReset) timeout() (unanswered bool) {
	if r.idle() {
		return false
	}
	unanswered = !r.waits
	r.send, r.waits = true, false
	return unanswered
}

// acknowledged is called when the remote acknowledges data: before and first are the
// first outstanding TSN before and after that. If a request was answered with "in
// progress", it is sent again as soon as all data up to its last TSN is acknowledged.
func (r *streamReset) acknowledged(before, first chunkTSN) {
	if r.waits && !before.after(r.lastTSN) && first.after(r.lastTSN) {
		r.waits, r.send = false, true
	}
}

// A reconfigChunk holds the parameters of a RE-CONFIG chunk: one or two (RFC 6525 §3.1).
type reconfigChunk struct {
	params  [2]param
	n       int
	request bool // one of the parameters is a request
}

// parseReconfig checks the whole chunk before any of it is processed.
func parseReconfig(body []byte) (c reconfigChunk, ok bool) {
	for ; len(body) >= paramHeaderSize; c.n++ {
		p, rest, ok := nextParam(body)
		if !ok || c.n == len(c.params) || !validReconfig(p) {
			return c, false
		}
		c.params[c.n], body = p, rest
		c.request = c.request || p.typ != paramReconfigResponse
	}
	return c, true
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

// handle processes a request of the remote. cum is the cumulative TSN received.
// *streams is how many streams the remote may send on; a request can add some (RFC
// 6525 §5.2.5). No state is kept for added streams until they are used.
func (r *streamReset) handle(p param, cum chunkTSN, streams *uint16) (out resetOutcome) {
	seq := requestSeq(binary.BigEndian.Uint32(p.body))
	switch seq {
	case r.peerSeq - 1: // RFC 6525 §5.2.1: the request was answered before
		if r.lastResult == resetPerformed {
			r.deferred = nil // from now on an equal request is treated as a new one
		}
		return resetOutcome{response: resetResponse(seq, r.lastResult)}
	case r.peerSeq:
		r.peerSeq++
	default:
		return resetOutcome{response: resetResponse(seq, resetBadSequence)}
	}
	switch p.typ {
	case paramOutgoingReset:
		out = r.handleOutgoing(p.body, cum, *streams)
	case paramAddOutgoing:
		r.lastResult, r.deferred = resetDenied, nil
		if n := int(*streams) + int(binary.BigEndian.Uint16(p.body[4:])); n <= maxStreams {
			*streams, r.lastResult = uint16(n), resetPerformed
		}
	default: // the other requests are of no use to data channels (RFC 8831 §6.2)
		r.lastResult, r.deferred = resetDenied, nil
	}
	out.response = resetResponse(seq, r.lastResult)
	return out
}

// handleOutgoing processes a new request to reset the remote's outgoing streams (RFC
// 6525 §5.2.2). It sets lastResult.
func (r *streamReset) handleOutgoing(body []byte, cum chunkTSN, streams uint16) (out resetOutcome) {
	d := &deferredReset{lastTSN: chunkTSN(binary.BigEndian.Uint32(body[8:]))}
	for b := body[12:]; len(b) >= 2; b = b[2:] {
		id := binary.BigEndian.Uint16(b)
		if id >= streams {
			r.lastResult, r.deferred = resetWrongSSN, nil
			return out
		}
		d.streams = append(d.streams, id)
	}
	old := r.deferred
	switch {
	case old != nil && old.done && old.lastTSN == d.lastTSN && slices.Equal(old.streams, d.streams):
		r.lastResult, r.deferred = resetPerformed, nil // the request is repeated under a new number
	case d.lastTSN.after(cum):
		r.lastResult, r.deferred = resetInProgress, d
	default:
		r.lastResult, r.deferred = resetPerformed, nil
		out.perform, out.streams = true, d.streams
	}
	return out
}

// performDeferred returns the deferred request once the data that it covers is there.
func (r *streamReset) performDeferred(cum chunkTSN) (streams []uint16, ok bool) {
	d := r.deferred
	if d == nil || d.done || d.lastTSN.after(cum) {
		return nil, false
	}
	d.done, r.lastResult = true, resetPerformed
	return d.streams, true
}

// handleResponse processes the answer to the local request (RFC 6525 §5.2.7). first
// is the first outstanding TSN. If the request is over, the function returns its
// streams, and an error if they were not reset. answered is also true for "in
// progress".
func (r *streamReset) handleResponse(now instant, body []byte, first chunkTSN, timeout time.Duration) (streams []uint16, err error, answered bool) {
	if r.idle() || requestSeq(binary.BigEndian.Uint32(body)) != r.nextSeq {
		return nil, nil, false
	}
	result := resetResult(binary.BigEndian.Uint32(body[4:]))
	if first.after(r.lastTSN) {
		r.patient++
	}
	if (result == resetInProgress || result == resetOtherInFlight) && r.patient <= maxPatience {
		r.waits = true
		r.timer = now + int64(timeout)
		return nil, nil, true
	}
	if result != resetPerformed && result != resetNothingToDo {
		err = ErrResetRefused
	}
	streams = r.request
	*r = streamReset{nextSeq: r.nextSeq + 1, peerSeq: r.peerSeq, lastResult: r.lastResult, deferred: r.deferred}
	return streams, err, true
}

// resetResponse returns a RE-CONFIG chunk with a response.
func resetResponse(seq requestSeq, result resetResult) []byte {
	var body [8]byte
	binary.BigEndian.PutUint32(body[:], uint32(seq))
	binary.BigEndian.PutUint32(body[4:], uint32(result))
	b, start := beginChunk(nil, chunkReconfig, 0)
	return endChunk(appendParam(b, paramReconfigResponse, body[:]), start)
}
