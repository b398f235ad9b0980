package sctp

import (
	"encoding/binary"
	"time"
)

// An ackState says whether a SACK is to be sent.
type ackState uint8

const (
	ackNone    ackState = iota
	ackDelayed          // when the timer expires, or with other chunks
	ackNow
)

// ackDelay is how long the SACK of a single packet may be delayed. RFC 9260 §6.2
// allows 200 ms. A fifth of that time is enough for an answer of the program to carry
// the SACK, and adds little to the round-trip time that the remote measures.
const ackDelay = 40 * time.Millisecond

// A receiver is the receiving half of an association: which TSNs arrived (tracker.go),
// messages from fragments (reassembly.go), when to send a SACK, and the receive window
// (window.go).
type receiver struct {
	in         tracker
	reassembly reassembly
	memory     *Memory
	tuner      windowTuner

	ack        ackState
	ackTimer   instant
	advertised int // a_rwnd in the last SACK
	packets    int // packets with data received since the last SACK

	gotData, gotForward bool // the packet being read contains DATA, or a FORWARD TSN
}

// init prepares an association that has no peer yet.
func (r *receiver) init(m *Memory, maxMessage int) {
	r.memory, r.advertised = m, m.window
	r.reassembly.reset(m, false, maxMessage)
}

// begin starts to receive from a peer. initial is the peer's first TSN.
func (r *receiver) begin(initial chunkTSN, interleaving bool, maxMessage int) {
	r.in.reset(initial)
	r.reassembly.reset(r.memory, interleaving, maxMessage)
}

// end drops incomplete messages. Complete ones can still be read.
func (r *receiver) end(maxMessage int) {
	r.stopTimers()
	r.reassembly.reset(r.memory, false, maxMessage)
}

// stopTimers cancels the SACK that is due.
func (r *receiver) stopTimers() { r.ack, r.ackTimer = ackNone, 0 }

// received returns how many messages were received completely.
func (r *receiver) received() uint64 { return r.reassembly.readyN }

// interleaving reports whether I-DATA is used (RFC 8260 §2.2.1).
func (r *receiver) interleaving() bool { return r.reassembly.order.interleaving }

// A fault is an error of the remote that ends the association with an ABORT.
type fault struct {
	code   CauseCode
	info   []byte // information of the error cause
	reason string
}

func faultOf(code CauseCode, reason string) *fault {
	return &fault{code, []byte(reason), reason}
}

// violation is a fault of the protocol (RFC 9260 §3.3.10.13).
func violation(reason string) *fault { return faultOf(CauseProtocolViolation, reason) }

// outOfMemory returns the fault of a remote that has filled Memory although the
// program has no message to read, so that nothing can free memory.
func outOfMemory() *fault {
	return faultOf(CauseOutOfResource, "the memory for this association is used up")
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
			f.ppid = v // the FSN of the first fragment is 0
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

// handleData takes the contents of a DATA or I-DATA chunk (RFC 9260 §6.2). streams is
// how many streams the remote may send on. errorChunk, if any, answers the chunk.
func (r *receiver) handleData(tsn chunkTSN, f fragment, immediate bool, streams int) (errorChunk []byte, err *fault) {
	r.gotData = true
	if len(f.data) == 0 {
		return nil, &fault{CauseNoUserData, binary.BigEndian.AppendUint32(nil, uint32(tsn)), "no user data"} // RFC 9260 §6.2: DATA without user data
	}
	if immediate {
		r.ack = ackNow
	}
	if r.in.has(tsn) {
		r.in.duplicate(tsn)
		r.ack = ackNow
		return nil, nil
	}
	if !r.in.inWindow(tsn) || !r.room(tsn, f.stream) {
		if tsn == r.in.cum+1 && r.memory.held == 0 && !r.memory.squeezed() {
			return nil, outOfMemory() // the program cannot free memory: it has no message to read
		}
		r.ack = ackNow // the SACK announces the present window
		return nil, nil
	}
	r.in.add(tsn)
	if int(f.stream) >= streams {
		return appendErrorChunk(nil, CauseInvalidStream, streamInfo(f.stream)), nil // RFC 9260 §6.5: no such stream
	}
	if whole := f.begin && f.end; !(whole && f.unordered) && !r.reassembly.mayKeep(f.stream) {
		return nil, outOfMemory()
	}
	if v := r.reassembly.add(f); v != "" {
		return nil, violation(v)
	}
	return nil, nil
}

// room reports whether a chunk may be kept. A chunk that fills a gap is kept beyond the
// window, because only such chunks can empty the window.
func (r *receiver) room(tsn chunkTSN, stream uint16) bool {
	if r.memory.squeezed() {
		// If the program has no message to read, the chunk at the next TSN is taken.
		// Otherwise an association beyond its quota could never deliver a message. The
		// exception ends with the first complete message.
		return tsn == r.in.cum+1 && tsn != r.in.highest+1 && r.memory.held == 0 && r.reassembly.streams.get(stream) != nil
	}
	if tsn.after(r.in.highest) {
		return r.memory.data() < r.memory.windowLimit()
	}
	return r.memory.Used() < r.memory.Limit()
}

// handleForwardTSN takes the body of a FORWARD TSN or I-FORWARD-TSN (RFC 3758 §3.6,
// RFC 8260 §2.3.1). ok is false if the body is malformed. A malformed body has no
// effect.
func (r *receiver) handleForwardTSN(body []byte, streams int) (ok bool, err *fault) {
	if r.gotForward {
		return true, nil // only the first FORWARD TSN of a packet is processed
	}
	if !r.validSkips(body, streams) {
		return false, nil
	}
	r.gotForward, r.gotData = true, true
	cum := chunkTSN(binary.BigEndian.Uint32(body))
	r.ack = ackNow
	if !cum.after(r.in.cum) {
		return true, nil // RFC 3758 §3.6: the FORWARD TSN is out of date; perhaps the last SACK was lost
	}
	r.in.forward(cum)
	entries := body[4:]
	if r.interleaving() {
		for ; len(entries) >= 8; entries = entries[8:] {
			if !r.skipTo(binary.BigEndian.Uint16(entries), entries[3]&1 != 0, messageSeq(binary.BigEndian.Uint32(entries[4:]))) {
				return true, outOfMemory()
			}
		}
		return true, nil
	}
	r.reassembly.skipTSN(cum)
	for ; len(entries) >= 4; entries = entries[4:] {
		if !r.skipTo(binary.BigEndian.Uint16(entries), false, messageSeq(binary.BigEndian.Uint16(entries[2:]))) {
			return true, outOfMemory()
		}
	}
	return true, nil
}

// validSkips checks the whole chunk (RFC 3758 §3.2, RFC 8260 §2.3.1) before any of it
// is applied.
func (r *receiver) validSkips(body []byte, streams int) bool {
	entry := 4
	if r.interleaving() {
		entry = 8
	}
	if len(body) < 4 || (len(body)-4)%entry != 0 {
		return false
	}
	for body = body[4:]; len(body) > 0; body = body[entry:] {
		if int(binary.BigEndian.Uint16(body)) >= streams {
			return false
		}
	}
	return true
}

// skipTo skips the messages of a stream up to number seq. It reports false if there is
// no memory for the stream's next number, without which the stream would stand still.
func (r *receiver) skipTo(stream uint16, unordered bool, seq messageSeq) bool {
	r.reassembly.dropRuns(stream, unordered, seq)
	if unordered {
		return true
	}
	if !r.reassembly.mayKeep(stream) {
		return false
	}
	r.reassembly.skipMessages(stream, seq)
	return true
}

// beginPacket prepares for the chunks of a packet.
func (r *receiver) beginPacket() { r.gotData, r.gotForward = false, false }

// endPacket decides on the SACK for a packet that contained data (RFC 9260 §6.2). The
// SACK is sent immediately for every second packet, and if any TSN is missing. If
// several packets arrive before the next AppendPacket, one SACK answers all of them.
func (r *receiver) endPacket(now instant, atOnce bool) {
	r.packets++
	switch {
	case atOnce || r.packets >= 2 || r.in.gaps():
		r.ack = ackNow
	case r.ack == ackNone:
		r.ack = ackDelayed
		r.ackTimer = now + int64(ackDelay)
	}
}

// ackTimeout sends the delayed SACK.
func (r *receiver) ackTimeout() {
	if r.ack == ackDelayed {
		r.ack = ackNow
	}
}

// appendSack appends a SACK if its header fits.
func (r *receiver) appendSack(w *packetWriter) {
	room := w.room()
	if room < sackHeaderSize {
		return
	}
	r.advertised = r.memory.receiveWindow()
	r.packets = 0
	r.stopTimers()
	w.b = r.in.appendSack(w.b, uint32(r.advertised), room)
}

// windowOpened sends a SACK if the program has read enough that the remote should know:
// an eighth of the window, or everything.
func (r *receiver) windowOpened() {
	if r.advertised > r.memory.window/2 {
		return
	}
	w := r.memory.receiveWindow()
	if w-r.advertised >= r.memory.window/8 || r.memory.held == 0 && w > r.advertised {
		r.ack = ackNow
	}
}

// trim releases memory that an idle association does not need.
func (r *receiver) trim() {
	r.in.trim()
	r.reassembly.trim()
}
