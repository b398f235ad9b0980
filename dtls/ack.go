package dtls

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"
)

// Acknowledgements of DTLS 1.3 (RFC 9147 §7). An ACK names records, not
// messages, so a flight remembers what went in which record.
//
// Before the version is known there are no ACKs: they would tell a far end of
// DTLS 1.2 nothing.

// Limits of what is remembered: the newest records that came, and more sent
// ones than a flight has, even of small datagrams, sent a few times over.
const (
	maxAcks        = 32
	maxSentRecords = 128
)

// A recordNumber names a record (RFC 9147 §4).
type recordNumber struct {
	epoch uint64
	seq   uint64
}

const recordNumberLen = 16

func (a recordNumber) compare(b recordNumber) int {
	return cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.seq, b.seq))
}

// A sentRecord is what a record of our flight held.
type sentRecord struct {
	number recordNumber
	parts  []sentPart
}

// A sentPart is the bytes [from, to) of the message at index in the flight.
type sentPart struct{ index, from, to int }

// noteSent remembers what a record held, until it is acknowledged.
func (f *flight) noteSent(n recordNumber, parts []sentPart) {
	if len(f.sent) == maxSentRecords {
		f.sent = slices.Delete(f.sent, 0, 1)
	}
	f.sent = append(f.sent, sentRecord{n, parts})
}

// acknowledge takes a number of an ACK. It tells whether it was news.
func (f *flight) acknowledge(n recordNumber) bool {
	i := slices.IndexFunc(f.sent, func(s sentRecord) bool { return s.number == n })
	if i < 0 {
		return false
	}
	for _, p := range f.sent[i].parts {
		f.messages[p.index].acknowledge(p.from, p.to)
	}
	f.sent = slices.Delete(f.sent, i, i+1)
	return true
}

// acknowledge notes that the far end has the bytes [from, to).
func (m *outMessage) acknowledge(from, to int) {
	m.acked = addSpan(m.acked, span{from, to})
	m.done = m.done || len(m.body) == 0 || len(m.acked) == 1 && m.acked[0] == span{0, len(m.body)}
}

// A span is the half-open range of bytes [from, to).
type span struct{ from, to int }

// addSpan merges s into list, which is sorted and whose spans do not touch.
func addSpan(list []span, s span) []span {
	i := 0
	for i < len(list) && list[i].to < s.from {
		i++
	}
	j := i
	for j < len(list) && list[j].from <= s.to {
		s.from = min(s.from, list[j].from)
		s.to = max(s.to, list[j].to)
		j++
	}
	return slices.Replace(list, i, j, s)
}

// missing returns the first range at or after offset that is not acknowledged.
func (m *outMessage) missing(offset int) (from, to int, ok bool) {
	if m.done {
		return 0, 0, false
	}
	for _, s := range m.acked {
		if offset < s.from {
			return offset, s.from, true
		}
		offset = max(offset, s.to)
	}
	return offset, len(m.body), offset < len(m.body) || len(m.body) == 0
}

// acknowledged tells whether the far end has the whole flight.
func (f *flight) acknowledged() bool {
	return !slices.ContainsFunc(f.messages, func(m outMessage) bool { return !m.done })
}

// doubt forgets what an ACK in plaintext said, which spared a repetition at
// once. When the timer runs out all that it can have meant goes again: it may
// have been forged, and the record lost.
func (f *flight) doubt() {
	for i := range f.messages {
		if m := &f.messages[i]; f.hearsay && m.epoch == 0 {
			m.acked, m.done = nil, false
		}
	}
	f.hearsay = false
}

// handleAck takes the payload of an ACK record.
func (c *Conn) handleAck(now time.Time, epoch uint16, payload []byte) {
	if len(payload) < 2 || int(binary.BigEndian.Uint16(payload)) != len(payload)-2 || (len(payload)-2)%recordNumberLen != 0 {
		c.mistake(epoch, errDecode)
		return
	}
	news := false
	for b := payload[2:]; len(b) > 0; b = b[recordNumberLen:] {
		n := recordNumber{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])}
		// RFC 9147 §7: in a handshake an ACK has at least the epoch of what it
		// acknowledges. What anybody could have sent thus acknowledges nothing
		// but hellos.
		if n.epoch > uint64(epoch) && epoch < epochData {
			c.mistake(epoch, fatal(AlertDecodeError, "ACK in epoch %d of a record in epoch %d", epoch, n.epoch))
			return
		}
		news = c.out.acknowledge(n) || news
	}
	hearsay := epoch == 0 && !c.strict
	c.out.hearsay = c.out.hearsay || news && hearsay
	switch {
	case len(c.out.messages) == 0 || c.out.sending():
	case c.out.acknowledged() && hearsay:
		// Anybody could have sent this: the timer goes on.
	case c.out.acknowledged():
		c.flightAcknowledged()
	case c.patient:
	case news, now.Sub(c.out.sentAt) >= repeatPause && len(payload) == 2:
		// RFC 9147 §7.2: what is missing SHOULD go again. An empty ACK is
		// from a far end that could open nothing yet.
		c.stats.Retransmissions++
		c.out.restart()
	}
}

// flightAcknowledged lets go of a flight that the far end has.
func (c *Conn) flightAcknowledged() {
	c.flightArrived()
	if c.updating {
		c.switchWriteKeys()
	} else if c.state == stateEstablished && c.client {
		c.forgetHandshake() // it was our Finished
	}
}

// acknowledges tells whether a record of handshake messages may be due an ACK.
// A client that finished, and hears the server's flight again, answers with
// its own, which says more.
func (c *Conn) acknowledges(h recordHeader) bool {
	repeated := c.client && c.hs == nil && h.epoch == epochHandshake
	return c.version != VersionDTLS12 && !repeated
}

// noteReceived remembers a record of handshake messages for the next ACK.
func (c *Conn) noteReceived(h recordHeader) {
	n := recordNumber{uint64(h.epoch), h.seq}
	if slices.Contains(c.acks, n) {
		return // of epoch 0, which has no replay window
	}
	if len(c.acks) == maxAcks {
		c.acks = slices.Delete(c.acks, 0, 1)
	}
	c.acks = append(c.acks, n)
	c.ackDue = true
}

// dropAcks forgets what was to be acknowledged: our next flight does it.
func (c *Conn) dropAcks() {
	c.acks, c.ackAt, c.ackPending, c.ackDue = nil, time.Time{}, false, false
}

// armAck decides when to acknowledge what came; finished tells that with it
// the handshake was.
func (c *Conn) armAck(now time.Time, finished bool) {
	switch {
	case c.version != VersionDTLS13:
	case !c.ackDue:
	case finished:
		// RFC 9147 §7.1: a final flight, which nothing answers, is
		// acknowledged at once. What comes of it again may be in several
		// datagrams, and the far end is not waiting.
		c.ackPending, c.ackAt = true, time.Time{}
	case c.ackAt.IsZero():
		// The rest of the flight, or another message after the handshake, may
		// be on its way. RFC 9147 §7.1: a quarter of the retransmission timer.
		c.ackAt = now.Add(c.currentTimeout() / 4)
	}
}

// appendAck appends an ACK to a datagram that has room for limit more bytes.
func (c *Conn) appendAck(dst []byte, limit int) []byte {
	w := c.current
	room := min(limit-w.overhead(), w.maxPayload(c.sizeLimit))
	n := min(len(c.acks), (room-2)/recordNumberLen)
	if n <= 0 {
		return dst
	}
	start := len(dst)
	b := w.begin(dst)
	b = binary.BigEndian.AppendUint16(b, uint16(n*recordNumberLen))
	// RFC 9147 §7: in numerically increasing order.
	newest := slices.Clone(c.acks[len(c.acks)-n:])
	slices.SortFunc(newest, recordNumber.compare)
	for _, a := range newest {
		b = binary.BigEndian.AppendUint64(b, a.epoch)
		b = binary.BigEndian.AppendUint64(b, a.seq)
	}
	// After the handshake no flight of ours acknowledges these, and this ACK
	// may be lost: they are repeated with the next.
	c.ackPending, c.ackDue = false, false
	return c.sealOrFail(w, typeACK, b, start)
}
