package sctp

import "encoding/binary"

// A sentChunk is a chunk that was sent and is not acknowledged cumulatively.
type sentChunk struct {
	sendStamp               // the state when the chunk was last sent
	msg         *outMessage // nil: there is no chunk at this TSN
	offset      uint32
	size        uint16
	retransmits uint16
	fsn         uint32
	prev, next  chunkTSN // neighbours in the list of chunks in flight
	msgPrev     chunkTSN // the chunk of the same message with the next lower TSN
	flags       uint8    // flags in the header of the chunk
	state       chunkState
	reneged     bool // the remote has dropped the chunk once, after a gap block had acknowledged it
}

// A sendStamp records the state of the sender when a chunk was sent. delivered and the
// fields after it are for rateSampler.
type sendStamp struct {
	at          instant
	order       sendOrder // number of the chunk's packet
	inFlight    uint32    // bytes in flight, including this chunk
	delivered   int64
	deliveredAt instant
	firstAt     instant
	appLimited  bool
}

// A sendOrder numbers packets with data in the order of sending.
type sendOrder uint32

// before reports whether o was sent before p.
func (o sendOrder) before(p sendOrder) bool { return int32(o-p) < 0 }

// since returns how many packets later than packet p packet o was sent.
func (o sendOrder) since(p sendOrder) int { return int(int32(o - p)) }

type chunkState uint8

const (
	chunkInFlight  chunkState = iota
	chunkLost                 // to be retransmitted
	chunkGapAcked             // acknowledged by a gap block; the remote may renege
	chunkAbandoned            // given up (RFC 3758 §3.5)
)

const minOutstandingRing = 2 // chunks; most connections have one or two at a time

// outstanding is the queue of chunks that await acknowledgement: a ring by TSN, a list
// of the chunks in flight in the order of sending, and sets of the missing and of the
// lost chunks. The work for a SACK is in proportion to what it newly acknowledges. Loss
// detection looks only at the head of the list.
type outstanding struct {
	first, end chunkTSN // the queue has the chunks first ≤ TSN < end
	ring       []sentChunk
	missing    tsnSet   // chunks in flight or lost
	lostSet    tsnSet   // lost chunks, which are to be sent again
	head, tail chunkTSN // ends of the list of chunks in flight
	flying     int      // number of chunks in the list
	lost       int
	lostFrom   chunkTSN // lower bound of the TSNs of lost chunks
	bytes      int      // bytes in flight
	gapAcked   int

	change pathChange

	limited []*outMessage // partially reliable messages with lost chunks
}

func (o *outstanding) reset(initial chunkTSN) { *o = outstanding{first: initial, end: initial} }

func (o *outstanding) empty() bool { return o.first == o.end }

func (o *outstanding) len() int { return o.end.minus(o.first) }

func (o *outstanding) full() bool { return o.len() >= maxTSNWindow-1 }

// listed returns how many chunks are missing: in flight, or lost.
func (o *outstanding) listed() int { return o.flying + o.lost }

// packets returns an upper bound of the packets in flight: how many packets were sent
// since the oldest one in flight.
func (o *outstanding) packets() int {
	if o.flying == 0 {
		return 0
	}
	return o.at(o.tail).order.since(o.at(o.head).order) + 1
}

func (o *outstanding) at(tsn chunkTSN) *sentChunk { return &o.ring[uint(tsn)&uint(len(o.ring)-1)] }

// push adds a chunk, in flight, and returns its TSN.
func (o *outstanding) push(m *outMessage, offset, size int, flags uint8, stamp sendStamp) chunkTSN {
	if o.len() == len(o.ring) {
		o.grow()
	}
	tsn := o.end
	o.end++
	c := o.at(tsn)
	*c = sentChunk{msg: m, offset: uint32(offset), size: uint16(size), fsn: m.nextFSN, flags: flags, msgPrev: m.lastTSN}
	m.nextFSN++
	m.lastTSN = tsn
	m.chunks++
	o.missing.add(tsn)
	o.fly(tsn, c, stamp)
	return tsn
}

// fly appends a chunk to the list of chunks in flight.
func (o *outstanding) fly(tsn chunkTSN, c *sentChunk, stamp sendStamp) {
	c.state = chunkInFlight
	if o.flying == 0 {
		o.head = tsn
	} else {
		c.prev = o.tail
		o.at(o.tail).next = tsn
	}
	o.tail = tsn
	o.flying++
	o.bytes += int(c.size)
	c.sendStamp = stamp
	c.inFlight = uint32(o.bytes)
}

// land removes a chunk from the list of chunks in flight.
func (o *outstanding) land(tsn chunkTSN, c *sentChunk) {
	o.leaveOldPath(tsn, c)
	o.bytes -= int(c.size)
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
	o.flying--
}

func (o *outstanding) grow() {
	old := *o
	o.ring = make([]sentChunk, max(minOutstandingRing, 2*len(old.ring)))
	words := max(len(o.ring)/64, 1)
	sets := make(tsnSet, 2*words)
	o.missing, o.lostSet = sets[:words], sets[words:]
	for tsn := o.first; tsn != o.end; tsn++ {
		c := old.at(tsn)
		*o.at(tsn) = *c
		switch c.state {
		case chunkLost:
			o.lostSet.add(tsn)
			o.missing.add(tsn)
		case chunkInFlight:
			o.missing.add(tsn)
		}
	}
}

// trim releases the memory of an empty queue.
func (o *outstanding) trim() {
	if o.empty() {
		o.ring, o.missing, o.lostSet, o.limited = nil, nil, nil, nil
	}
}

// settle changes a missing chunk to a state in which it is not missing.
func (o *outstanding) settle(tsn chunkTSN, c *sentChunk, s chunkState) {
	if c.state == chunkLost {
		o.lost--
		o.lostSet.remove(tsn)
	} else {
		o.land(tsn, c)
	}
	o.missing.remove(tsn)
	c.state = s
}

// markLost declares a chunk in flight lost.
func (o *outstanding) markLost(tsn chunkTSN, c *sentChunk) {
	o.land(tsn, c)
	o.noteLost(tsn, c)
}

// noteLost adds a chunk that is not in flight to the lost chunks.
func (o *outstanding) noteLost(tsn chunkTSN, c *sentChunk) {
	c.state = chunkLost
	if o.lost == 0 || tsn.before(o.lostFrom) {
		o.lostFrom = tsn
	}
	o.lost++
	o.lostSet.add(tsn)
	if m := c.msg; m.partiallyReliable() {
		m.mostLost = max(m.mostLost, c.retransmits)
		if !m.limitedLost {
			m.limitedLost = true
			o.limited = append(o.limited, m)
		}
	}
}

// markAllLost declares every chunk in flight lost (RFC 9260 §6.3.3).
func (o *outstanding) markAllLost() {
	for o.flying > 0 {
		o.markLost(o.head, o.at(o.head))
	}
}

// reneged reports whether the remote has dropped a chunk that a gap block acknowledged
// (RFC 9260 §6.2.1). If it still had the chunk, the cumulative TSN would include it.
func (o *outstanding) reneged() bool { return !o.empty() && o.at(o.first).state == chunkGapAcked }

// renege declares lost all chunks that gap blocks acknowledged. It reports false if
// the remote had already dropped one of these chunks once, because such a remote could
// cause any number of retransmissions.
func (o *outstanding) renege() bool {
	for tsn := o.first; tsn != o.end; tsn++ {
		c := o.at(tsn)
		if c.state != chunkGapAcked {
			continue
		}
		if c.reneged {
			return false
		}
		c.reneged = true
		o.missing.add(tsn)
		o.noteLost(tsn, c)
	}
	o.gapAcked = 0
	return true
}

// firstLost returns the lost chunk with the lowest TSN. There must be one.
func (o *outstanding) firstLost() (chunkTSN, *sentChunk) {
	if o.lostFrom.before(o.first) {
		o.lostFrom = o.first
	}
	o.lostFrom = o.lostSet.next(o.lostFrom, o.end)
	return o.lostFrom, o.at(o.lostFrom)
}

// resent notes that a lost chunk is sent again.
func (o *outstanding) resent(tsn chunkTSN, c *sentChunk, stamp sendStamp) {
	o.lost--
	o.lostSet.remove(tsn)
	if c.retransmits < 1<<16-1 {
		c.retransmits++
	}
	o.fly(tsn, c, stamp)
}

// An ackResult is what a SACK newly acknowledged.
type ackResult struct {
	acked       int  // bytes acknowledged
	any         bool // a chunk was acknowledged
	cumAdvanced bool
	newest      sendStamp // latest stamp of an acknowledged chunk of which the last transmission certainly arrived
	retransmits uint16    // how often that chunk was retransmitted
	valid       bool      // newest and retransmits are set
	oldest      sendOrder // first packet with an acknowledged chunk that was sent only once
	hasOldest   bool
	spurious    int  // number of chunks that had arrived, although they were sent again or declared lost
	tooSoon     bool // a chunk that was sent again after the time early is acknowledged: either an earlier transmission arrived, or the path has become shorter

	moved  int        // acknowledged bytes that took the old path
	change pathChange // says which chunks took the old path

	early instant // chunks sent after this time cannot be acknowledged yet
}

func (r *ackResult) note(c *sentChunk) {
	r.acked += int(c.size)
	r.any = true
	if r.change.old(c.order) {
		r.moved += int(c.size)
		return
	}
	if c.retransmits == 0 && (!r.hasOldest || c.order.before(r.oldest)) {
		r.oldest, r.hasOldest = c.order, true
	}
	if c.state == chunkLost || c.retransmits > 0 && c.at > r.early {
		r.spurious++ // the acknowledgement is for an earlier transmission
		r.tooSoon = r.tooSoon || c.state != chunkLost
		return
	}
	if !r.valid || r.newest.order.before(c.order) {
		r.newest, r.retransmits, r.valid = c.sendStamp, c.retransmits, true
	}
}

// ack processes the cumulative TSN and the valid gap blocks of a SACK. Messages
// without outstanding chunks are released to q. A chunk that was sent after the time
// early cannot be acknowledged yet: its acknowledgement is for an earlier
// transmission.
func (o *outstanding) ack(cum chunkTSN, blocks []byte, early instant, q *sendQueue) (r ackResult) {
	r.early, r.change = early, o.change
	for !o.empty() && !o.first.after(cum) {
		tsn, c := o.first, o.at(o.first)
		switch c.state {
		case chunkInFlight, chunkLost:
			r.note(c)
			o.settle(tsn, c, chunkAbandoned)
		case chunkGapAcked:
			o.gapAcked--
		}
		m := c.msg
		c.msg = nil
		o.first++
		r.cumAdvanced = true
		if m.chunks--; m.chunks == 0 && !m.queued && !m.limitedLost {
			q.release(m)
		}
	}
	if o.change.known && !cum.before(o.change.until) {
		o.change = pathChange{}
	}
	o.ackBlocks(cum, blocks, &r)
	return r
}

// validGaps reports whether gap blocks are in order, do not touch, and acknowledge
// only chunks that were sent (RFC 9260 §3.3.4). The smallest start is 2, because the
// TSN after the cumulative one was not received. A SACK cannot have more blocks of
// this kind than acknowledged chunks.
func (o *outstanding) validGaps(cum chunkTSN, blocks []byte) bool {
	prevEnd := 1
	for ; len(blocks) >= 4; blocks = blocks[4:] {
		start, end := int(binary.BigEndian.Uint16(blocks)), int(binary.BigEndian.Uint16(blocks[2:]))
		if start <= prevEnd || end < start || !(cum + chunkTSN(end)).before(o.end) {
			return false
		}
		prevEnd = end
	}
	return true
}

// ackBlocks processes valid gap blocks.
func (o *outstanding) ackBlocks(cum chunkTSN, blocks []byte, r *ackResult) {
	for ; len(blocks) >= 4 && o.listed() > 0; blocks = blocks[4:] {
		tsn, stop := cum+chunkTSN(binary.BigEndian.Uint16(blocks)), cum+chunkTSN(binary.BigEndian.Uint16(blocks[2:]))+1
		for tsn = o.missing.next(tsn, stop); tsn != stop; tsn = o.missing.next(tsn+1, stop) {
			c := o.at(tsn)
			r.note(c)
			o.settle(tsn, c, chunkGapAcked)
			o.gapAcked++
		}
	}
}

// abandon abandons every chunk of a message (RFC 3758 §3.5 A3).
func (o *outstanding) abandon(m *outMessage) {
	m.abandoned = true
	tsn := m.lastTSN
	for range m.chunks {
		c := o.at(tsn)
		switch c.state {
		case chunkInFlight, chunkLost:
			o.settle(tsn, c, chunkAbandoned)
		case chunkGapAcked:
			o.gapAcked--
			c.state = chunkAbandoned
		}
		tsn = c.msgPrev
	}
}
