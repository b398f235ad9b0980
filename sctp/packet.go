package sctp

const (
	// maxReplies bounds the queued packets that answer an INIT, an ABORT or a similar
	// chunk. Further replies are dropped, as if they were lost.
	maxReplies = 4

	// maxControl bounds the bytes of queued control chunks. Further chunks are
	// dropped.
	maxControl = 4096
)

// A reply is a packet with one chunk. Its verification tag may differ from the
// peer's.
type reply struct {
	tag   uint32
	chunk []byte
}

// An outbox holds finished chunks that wait to be sent.
type outbox struct {
	replies []reply // each is sent as a packet of its own
	control []byte  // chunks that are sent before data
	sent    uint64  // packets sent
	trace   *tracer // nil: Config.Trace is not set
}

// reply queues a chunk that is sent alone.
func (o *outbox) reply(tag uint32, chunk []byte) {
	if len(o.replies) < maxReplies {
		o.replies = append(o.replies, reply{tag, chunk})
	}
}

// replyOnly drops the other replies and queues a chunk that is sent alone.
func (o *outbox) replyOnly(tag uint32, chunk []byte) { o.replies = []reply{{tag, chunk}} }

// dropControl drops the queued control chunks.
func (o *outbox) dropControl() { o.control = nil }

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
		return true // the type is known, but has no meaning in this state
	}
	if report && c.typ&0x40 != 0 {
		o.push(appendErrorChunk(nil, CauseUnrecognizedChunk, c.whole[:min(len(c.whole), maxReasonLength)]))
	}
	return c.typ&0x80 != 0
}

// finish completes a packet. sum says whether the packet gets a checksum.
func (o *outbox) finish(b []byte, start int, sum bool) []byte {
	o.sent++
	if sum {
		setChecksum(b[start:])
	}
	if o.trace != nil {
		o.trace.sent(b[start:])
	}
	return b
}

// A packetWriter builds one packet.
type packetWriter struct {
	b     []byte
	start int // where the packet begins in b
	limit int // longest length of the packet
	chunk int // longest length of a chunk of data
}

// room returns how many bytes are left.
func (w *packetWriter) room() int { return w.limit - (len(w.b) - w.start) }

// spare returns by how many bytes the packet is shorter than it could be without
// path MTU discovery.
func (w *packetWriter) spare() int { return w.chunk + commonHeaderSize - (len(w.b) - w.start) }

// empty reports whether the packet has no chunk.
func (w *packetWriter) empty() bool { return len(w.b)-w.start == commonHeaderSize }
