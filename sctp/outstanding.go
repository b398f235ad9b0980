package sctp

import "encoding/binary"

// A sentChunk is a chunk that was sent and not yet acknowledged cumulatively.
type sentChunk struct {
	msg         *outMessage // nil: nothing is at this TSN
	offset      uint32
	size        uint16
	retransmits uint16
	fsn         uint32
	sentAt      int64 // nanoseconds of the association's clock
	prev, next  TSN   // neighbours in the list of chunks that are missing
	msgPrev     TSN   // the chunk of the same message before this one
	flags       uint8 // of the chunk on the wire
	missing     uint8 // miss indications, RFC 9260 §7.2.4
	state       chunkState
	fast        bool // was retransmitted by fast retransmit
}

type chunkState uint8

const (
	chunkInFlight  chunkState = iota
	chunkLost                 // to be sent again
	chunkGapAcked             // acknowledged, but the far end may renege
	chunkAbandoned            // RFC 3758 §3.5
)

const minOutstandingRing = 16

// outstanding is the queue of chunks that await acknowledgement: a ring by
// TSN, and through it a list of those that are missing, so that a SACK costs
// in proportion to what it says that is new, and to the holes.
type outstanding struct {
	first, end TSN // chunks first ≤ TSN < end
	ring       []sentChunk
	head, tail TSN // of the list
	listed     int // chunks in the list: in flight or lost
	lost       int // of those, lost
	lostFrom   TSN // no chunk before it is lost
	bytes      int // in flight
	gapAcked   int

	limitedLost bool // a message that may be given up has a lost chunk
}

func (o *outstanding) reset(initial TSN) { *o = outstanding{first: initial, end: initial} }

func (o *outstanding) empty() bool { return o.first == o.end }

func (o *outstanding) len() int { return o.end.minus(o.first) }

func (o *outstanding) full() bool { return o.len() >= maxTSNWindow-1 }

func (o *outstanding) at(tsn TSN) *sentChunk { return &o.ring[uint(tsn)&uint(len(o.ring)-1)] }

// push adds a chunk, in flight, and returns its TSN.
func (o *outstanding) push(m *outMessage, offset, size int, flags uint8, now int64) TSN {
	if o.len() == len(o.ring) {
		o.grow()
	}
	tsn := o.end
	o.end++
	c := o.at(tsn)
	*c = sentChunk{msg: m, offset: uint32(offset), size: uint16(size), fsn: m.nextFSN, sentAt: now, flags: flags, msgPrev: m.lastTSN}
	m.nextFSN++
	m.lastTSN = tsn
	m.chunks++
	if o.listed == 0 {
		o.head = tsn
	} else {
		c.prev = o.tail
		o.at(o.tail).next = tsn
	}
	o.tail = tsn
	o.listed++
	o.bytes += size
	return tsn
}

func (o *outstanding) grow() {
	old := *o
	o.ring = make([]sentChunk, max(minOutstandingRing, 2*len(old.ring)))
	for tsn := o.first; tsn != o.end; tsn++ {
		*o.at(tsn) = *old.at(tsn)
	}
}

// trim gives the memory of an empty queue back.
func (o *outstanding) trim() {
	if o.empty() {
		o.ring = nil
	}
}

// unlist takes a chunk out of the list of the missing, into another state.
func (o *outstanding) unlist(tsn TSN, c *sentChunk, s chunkState) {
	if c.state == chunkLost {
		o.lost--
	} else {
		o.bytes -= int(c.size)
	}
	c.state = s
	if tsn == o.head {
		o.head = c.next
	} else {
		o.at(c.prev).next = c.next
	}
	if tsn == o.tail {
		o.tail = c.prev
	} else {
		o.at(c.next).prev = c.prev
	}
	o.listed--
}

// relist puts every gap-acknowledged chunk back among the missing, as lost:
// the far end reneged.
func (o *outstanding) relist() {
	o.listed = 0
	for tsn := o.first; tsn != o.end; tsn++ {
		c := o.at(tsn)
		switch c.state {
		case chunkAbandoned:
			continue
		case chunkGapAcked:
			c.state = chunkInFlight
			o.bytes += int(c.size)
		}
		if o.listed == 0 {
			o.head = tsn
		} else {
			c.prev = o.tail
			o.at(o.tail).next = tsn
		}
		o.tail = tsn
		o.listed++
		if c.state == chunkInFlight {
			o.markLost(tsn, c)
		}
	}
	o.gapAcked = 0
}

// markLost takes a chunk out of flight.
func (o *outstanding) markLost(tsn TSN, c *sentChunk) {
	c.state = chunkLost
	c.missing = 0
	o.bytes -= int(c.size)
	if o.lost == 0 || tsn.before(o.lostFrom) {
		o.lostFrom = tsn
	}
	o.lost++
	o.limitedLost = o.limitedLost || c.msg.partiallyReliable()
}

// markAllLost takes every chunk out of flight (RFC 9260 §6.3.3).
func (o *outstanding) markAllLost() {
	tsn := o.head
	for range o.listed {
		c := o.at(tsn)
		if c.state == chunkInFlight {
			o.markLost(tsn, c)
		}
		c.fast = false
		tsn = c.next
	}
}

// firstLost is the lowest TSN that is to be sent again.
func (o *outstanding) firstLost() (TSN, *sentChunk) {
	if o.lostFrom.before(o.first) {
		o.lostFrom = o.first
	}
	for tsn := o.lostFrom; tsn != o.end; tsn++ {
		if c := o.at(tsn); c.state == chunkLost {
			o.lostFrom = tsn
			return tsn, c
		}
	}
	return 0, nil // not reached while lost > 0
}

// resent puts a lost chunk in flight again.
func (o *outstanding) resent(c *sentChunk, now int64) {
	c.state = chunkInFlight
	c.sentAt = now
	if c.retransmits < 1<<16-1 {
		c.retransmits++
	}
	o.lost--
	o.bytes += int(c.size)
}

// An ackResult is what a SACK told that is new.
type ackResult struct {
	acked       int   // bytes
	rttSentAt   int64 // when the chunk sent last was sent
	rttValid    bool  // … and it was sent only once
	cumAdvanced bool
	newest      TSN // the highest TSN newly acknowledged (RFC 9260 §7.2.4: HTNA)
	any         bool
	reneged     bool
}

func (r *ackResult) note(tsn TSN, c *sentChunk) {
	r.acked += int(c.size)
	r.any = true
	r.newest = tsn
	// RFC 9260 §6.3.1: Karn's algorithm. The chunk sent last is what the SACK
	// answers; those before may have been acknowledged by one that was lost.
	if c.sentAt >= r.rttSentAt {
		r.rttSentAt, r.rttValid = c.sentAt, c.retransmits == 0 && c.state == chunkInFlight
	}
}

// ack takes the cumulative TSN and the gap blocks of a SACK. done is called
// for each message of which no chunk is left here.
func (o *outstanding) ack(cum TSN, blocks []byte, done func(*outMessage)) (r ackResult) {
	for !o.empty() && !o.first.after(cum) {
		tsn, c := o.first, o.at(o.first)
		switch c.state {
		case chunkInFlight, chunkLost:
			r.note(tsn, c)
			o.unlist(tsn, c, chunkAbandoned)
		case chunkGapAcked:
			o.gapAcked--
		}
		m := c.msg
		*c = sentChunk{}
		o.first++
		r.cumAdvanced = true
		if m.chunks--; m.chunks == 0 && !m.queued {
			done(m)
		}
	}
	o.ackBlocks(cum, blocks, &r)
	if !o.empty() && o.at(o.first).state == chunkGapAcked {
		// A chunk that was received would have moved the cumulative TSN.
		r.reneged = true
		o.relist()
	}
	return r
}

// ackBlocks takes the gap blocks, in step with the list of the missing. From
// one on that is out of order or beyond what was sent, they are ignored.
func (o *outstanding) ackBlocks(cum TSN, blocks []byte, r *ackResult) {
	tsn, left, prevEnd := o.head, o.listed, 0
	for ; len(blocks) >= 4 && left > 0; blocks = blocks[4:] {
		start, end := int(binary.BigEndian.Uint16(blocks)), int(binary.BigEndian.Uint16(blocks[2:]))
		if start <= prevEnd || end < start || !(cum + TSN(end)).before(o.end) {
			return
		}
		prevEnd = end
		for left > 0 && tsn.before(cum+TSN(start)) {
			tsn, left = o.at(tsn).next, left-1
		}
		for left > 0 && !tsn.after(cum+TSN(end)) {
			c := o.at(tsn)
			next := c.next
			r.note(tsn, c)
			o.unlist(tsn, c, chunkGapAcked)
			o.gapAcked++
			tsn, left = next, left-1
		}
	}
}

// missIndications counts one for each chunk in flight before limit, and calls
// lost for the third of each (RFC 9260 §7.2.4). It returns how many became
// lost.
func (o *outstanding) missIndications(limit TSN) (lost int) {
	tsn := o.head
	for range o.listed {
		if !tsn.before(limit) {
			break
		}
		c := o.at(tsn)
		if c.state == chunkInFlight && !c.fast {
			if c.missing++; c.missing >= 3 {
				c.fast = true
				o.markLost(tsn, c)
				lost++
			}
		}
		tsn = c.next
	}
	return lost
}

// abandon gives up every chunk of a message (RFC 3758 §3.5 A3).
func (o *outstanding) abandon(m *outMessage) {
	m.abandoned = true
	tsn := m.lastTSN
	for range m.chunks {
		c := o.at(tsn)
		switch c.state {
		case chunkInFlight, chunkLost:
			o.unlist(tsn, c, chunkAbandoned)
		case chunkGapAcked:
			o.gapAcked--
			c.state = chunkAbandoned
		}
		tsn = c.msgPrev
	}
}
