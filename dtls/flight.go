package dtls

import "time"

// A flight is a group of messages that travel together and are sent again
// together until they are answered (RFC 6347 §4.2.4). It keeps messages, not
// records: each sending cuts them to the size of the day and seals them under
// new record numbers.
type flight struct {
	messages []outMessage
	next     int          // the message to be sent next
	offset   int          // how much of it went already
	final    bool         // nothing answers it, so no timer runs
	sentAt   time.Time    // when the last of it went
	longest  int          // bytes of the longest datagram with any of it, since they became shorter
	timeouts int          // how often it went again since it was not answered
	sent     []sentRecord // what may be acknowledged (DTLS 1.3)
	hearsay  bool         // an ACK in plaintext acknowledged some of it (DTLS 1.3)
}

// An outMessage is a handshake message, or a ChangeCipherSpec, in a flight.
type outMessage struct {
	content contentType
	epoch   uint16
	typ     handshakeType
	seq     uint16
	body    []byte
	acked   []span // of body (DTLS 1.3)
	done    bool   // all of it is acknowledged
}

// sending tells whether some of the flight waits to go.
func (f *flight) sending() bool {
	_, _, _, ok := f.head()
	return ok
}

// head returns the message that goes next, and which bytes of it, passing
// over what was acknowledged.
func (f *flight) head() (m *outMessage, from, to int, ok bool) {
	for ; f.next < len(f.messages); f.next++ {
		m = &f.messages[f.next]
		if from, to, ok = m.missing(f.offset); ok {
			return m, from, to, true
		}
		f.offset = 0
	}
	return nil, 0, 0, false
}

// advance notes that the head went up to byte to.
func (f *flight) advance(to int) {
	f.offset = to
	if to == len(f.messages[f.next].body) {
		f.next++
		f.offset = 0
	}
}

// restart makes the whole flight go again.
func (f *flight) restart() { f.next, f.offset = 0, 0 }

// beginFlight drops our last flight, which the far end answered. The next one
// has n messages, more or less.
func (c *Conn) beginFlight(n int) {
	c.flightArrived()
	c.out.messages = make([]outMessage, 0, n)
	c.dropAcks()
	if !c.strict {
		c.in.dropPlaintext() // no answer to a flight comes before it
	}
}

// flightArrived drops the last local flight: the peer has all of it.
func (c *Conn) flightArrived() {
	c.carried = max(c.carried, c.out.longest)
	c.out = flight{}
	c.retransmitAt = time.Time{}
}

// addMessage appends a handshake message to the flight and the transcript.
func (c *Conn) addMessage(typ handshakeType, body []byte) {
	m := message{typ: typ, seq: c.nextSend, body: body}
	c.nextSend++
	switch {
	case c.hs == nil:
	case c.version == 0:
		c.hs.sent = m // a ClientHello
	default:
		c.hs.transcript.add(m)
	}
	c.out.messages = append(c.out.messages, outMessage{content: typeHandshake, epoch: c.current.epoch, typ: typ, seq: m.seq, body: body})
}

// addChangeCipherSpec appends that message, after which the flight is of the
// epoch of w.
func (c *Conn) addChangeCipherSpec(w *writeEpoch) {
	c.out.messages = append(c.out.messages, outMessage{content: typeChangeCipherSpec, epoch: c.current.epoch, body: []byte{1}})
	c.write = append(c.write, w)
	c.current = w
}

// endFlight lets the flight go.
func (c *Conn) endFlight(final bool) {
	c.out.final = final
	c.timeout = c.initialTimeout()
	c.lastSeq = int32(c.in.next) - 1
}

// repeat sends our flight again because the far end repeated the end of its
// own, which it would not have done had ours arrived (RFC 6347 §4.2.4). The
// timer goes on as it is: this is no timeout of ours.
func (c *Conn) repeat(now time.Time) {
	if now.Sub(c.out.sentAt) >= repeatPause {
		c.repeatLast()
	}
}

// repeatLast sends our flight again, unless it is on its way.
func (c *Conn) repeatLast() {
	if len(c.out.messages) == 0 || c.out.sending() {
		return
	}
	c.stats.Retransmissions++
	c.out.restart()
}

// appendFlight appends the next datagram of the flight: as many records, and
// in them as many messages, as limit allows.
func (c *Conn) appendFlight(now time.Time, dst []byte, limit int) []byte {
	b := dst
	if c.datagramLimit > 0 {
		limit = min(limit, c.datagramLimit)
	}
	for c.out.sending() {
		n := len(b)
		b = c.appendFlightRecord(b, limit-(n-len(dst)))
		if len(b) == n {
			break
		}
	}
	if len(b) == len(dst) {
		return b
	}
	c.out.longest = max(c.out.longest, len(b)-len(dst))
	c.out.sentAt = now
	if !c.out.final {
		c.retransmitAt = now.Add(c.timeout)
	}
	return b
}

// appendFlightRecord appends one record of the flight, of at most limit
// bytes.
func (c *Conn) appendFlightRecord(dst []byte, limit int) []byte {
	first, _, _, ok := c.out.head()
	if !ok {
		return dst
	}
	w := c.writeEpoch(first.epoch)
	room := min(limit-w.overhead(), w.maxPayload(c.sizeLimit))
	if first.content == typeChangeCipherSpec {
		if room < len(first.body) {
			return dst
		}
		b := append(w.begin(dst), first.body...)
		c.out.advance(len(first.body))
		return c.sealOrFail(w, typeChangeCipherSpec, b, len(dst))
	}
	b := w.begin(dst)
	begun := len(b)
	parts := make([]sentPart, 0, len(c.out.messages)-c.out.next)
	for {
		m, from, to, ok := c.out.head()
		if !ok || m.content != typeHandshake || m.epoch != w.epoch {
			break
		}
		n := min(to-from, room-(len(b)-begun)-fragmentHeaderLen)
		if n < min(to-from, 1) {
			break
		}
		b = appendFragmentHeader(b, m.typ, len(m.body), m.seq, from, n)
		b = append(b, m.body[from:from+n]...)
		parts = append(parts, sentPart{c.out.next, from, from + n})
		c.out.advance(from + n)
		if n < to-from {
			break
		}
	}
	if len(b) == begun {
		return dst
	}
	if c.version == VersionDTLS13 {
		c.out.noteSent(recordNumber{uint64(w.epoch), w.next}, parts)
	}
	return c.sealOrFail(w, typeHandshake, b, len(dst))
}

// sealOrFail seals a record; a connection whose numbers are used up ends.
func (c *Conn) sealOrFail(w *writeEpoch, typ contentType, b []byte, start int) []byte {
	b, ok := c.seal(w, typ, b, start)
	if !ok {
		c.fail(errExhausted)
	}
	return b
}
