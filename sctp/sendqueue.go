package sctp

import (
	"math/bits"
	"slices"
	"time"
)

// An outMessage is a message from Send until all its chunks are acknowledged or
// abandoned. Chunks are views of its data.
type outMessage struct {
	next     *outMessage // in its stream's queue, or in the pool
	stream   *outStream
	data     []byte
	ppid     uint32
	deadline instant       // until when lost data is sent again; 0: no limit
	grace    time.Duration // how long after deadline the message's first chunk may still be sent

	sent           int      // bytes already put into chunks
	chunks         int      // how many chunks are in the outstanding queue
	lastTSN        chunkTSN // TSN of the last chunk
	nextFSN        uint32   // FSN of the next chunk
	seq            messageSeq
	maxRetransmits uint16
	mostLost       uint16 // the most retransmissions of a chunk that was declared lost

	unordered        bool
	limitRetransmits bool
	started          bool // the message has a number in its stream
	abandoned        bool
	limitedLost      bool // the message is in outstanding.limited
	queued           bool
	uncounted        bool
	inBudget         bool // the message is counted in sendQueue.started
}

// count adds n bytes, which may be negative, to the buffered amount of the message's
// stream.
func (q *sendQueue) count(m *outMessage, n int) {
	q.bytes += n
	if m.uncounted {
		return
	}
	s := m.stream
	s.buffered += n
	if n < 0 && !s.lowered {
		s.lowered = true
		q.lowered = append(q.lowered, s)
	}
}

// partiallyReliable reports whether the message may be abandoned.
func (m *outMessage) partiallyReliable() bool {
	return m.limitRetransmits || m.deadline != 0
}

// expired reports whether the message's lifetime is over, so that no chunk of it
// is sent again (RFC 3758 §4.1 TR4).
func (m *outMessage) expired(now instant) bool {
	return m.deadline != 0 && now >= m.deadline
}

// late reports whether it is too late to begin the message (RFC 3758 §4.1 TR3). A message
// of which a part was sent is never late.
func (m *outMessage) late(now instant) bool {
	return !m.started && m.deadline != 0 && now >= m.deadline+int64(m.grace)
}

const (
	// graceRTTs is how many round trips a message may wait to be sent, whatever its
	// lifetime. Congestion control allows one window of data in a round trip. In the
	// first three round trips, while the window opens, it allows seven initial
	// windows.
	graceRTTs = 3

	// minGrace is the shortest time that a message may wait to be sent: the period of
	// a program that sends 20 times a second. Even on a short path a program may send
	// more at a time than the path carries in a few round trips.
	minGrace = 50 * time.Millisecond
)

// limitLifetime sets the deadlines of a message that is queued now. rtt is the path's
// round trip without a queue.
//
// A lifetime says until when lost data is sent again. Waiting for congestion control
// is no reason to drop a message. So a message may wait for three round trips, at
// least 50 ms, even if its lifetime is shorter. A message of which a part was sent is
// sent to its end, unless a chunk is lost and the lifetime is over. If messages wait
// longer than allowed, the program sends more than the path carries. Then the oldest
// messages are dropped, so that the queue does not grow.
func (m *outMessage) limitLifetime(now instant, lifetime, rtt time.Duration) {
	m.deadline = now + int64(lifetime)
	m.grace = max(graceRTTs*rtt, minGrace, lifetime) - lifetime
}

// An outStream is an outgoing stream that was used since its last reset.
type outStream struct {
	id         uint16
	weight     uint16
	paused     bool // the stream is to be reset: it takes no more messages
	charged    bool // resetOverhead is charged for the stream
	settled    bool // a message of the stream was acknowledged or abandoned
	pending    int  // messages queued or in flight
	lowered    bool // the stream is in sendQueue.lowered
	head, tail *outMessage
	buffered   int
	nextSeq    messageSeq // number of the next ordered message
	nextUnseq  messageSeq // number of the next unordered message with I-DATA (RFC 8260 §2.1)

	finish uint64 // virtual time at which the stream's last service ended
	start  uint64 // virtual time from which the stream may be served again
	heapAt int    // index in scheduler.heap; -1: nothing to send

	blocked bool // the stream is in scheduler.blocked

	skipMark [2]uint32 // for ordered and unordered messages: the last FORWARD TSN with an entry for this stream, and the entry's position in it
	skipAt   [2]int
}

// A scheduler chooses the stream to serve by start-time fair queueing, a kind of the
// weighted fair queueing of RFC 8260 §3.6. Streams of equal weight alternate. A
// stream that was idle is served first, because its virtual time is behind that of the
// other streams.
type scheduler struct {
	interleaving bool
	heap         []*outStream
	vtime        uint64
	current      *outStream // without interleaving: the stream in the middle of a message

	// With interleaving, several long messages, which need more than one chunk, may be
	// under way together. They must not fill the peer's window while all of them are
	// incomplete, because then none could be completed.
	budget  int          // bytes that long messages under way may have in total, if there are several
	started int          // bytes that long messages under way have in total
	blocked []*outStream // streams that wait for the budget, in order
}

const normalWeight = 256 // RFC 8831 §6.4: "normal"

// next returns the stream to serve, or nil.
func (s *scheduler) next() *outStream {
	if s.current != nil {
		return s.current
	}
	if len(s.heap) == 0 {
		return nil
	}
	return s.heap[0]
}

// activate adds a stream that has something to send.
func (s *scheduler) activate(st *outStream) {
	if st.heapAt >= 0 || st.blocked {
		return
	}
	st.start = max(s.vtime, st.finish)
	st.heapAt = len(s.heap)
	s.heap = append(s.heap, st)
	heapUp(s.heap, st.heapAt, servedBefore, setHeapIndex)
}

// deactivate removes a stream that has nothing more to send.
func (s *scheduler) deactivate(st *outStream) {
	if s.current == st {
		s.current = nil
	}
	if st.heapAt >= 0 {
		s.heap = heapRemove(s.heap, st.heapAt, servedBefore, setHeapIndex)
		st.heapAt = -1
	}
}

// mayStart reports whether the first message of a stream, which does not fit into one
// chunk, fits into the budget. If the message does not fit, the stream is blocked
// until it does.
func (s *scheduler) mayStart(st *outStream) bool {
	if !s.interleaving || s.started == 0 || s.started+len(st.head.data) <= s.budget {
		return true
	}
	s.deactivate(st)
	st.blocked = true
	s.blocked = append(s.blocked, st)
	return false
}

// begin charges a message to the budget when its first chunk is sent.
func (s *scheduler) begin(m *outMessage) {
	m.inBudget = true
	s.started += len(m.data)
}

// over removes m from the budget and unblocks waiting streams. If m is not in the
// budget, streams are unblocked only if the budget is unused. m is not in the budget
// if its stream was unblocked for it, and m was abandoned before its first chunk was
// sent.
func (s *scheduler) over(m *outMessage) {
	if m.inBudget {
		m.inBudget = false
		s.started -= len(m.data)
	} else if s.started > 0 {
		return
	}
	free := s.budget - s.started
	for n := 0; len(s.blocked) > 0; n++ {
		st := s.blocked[0]
		if st.head != nil {
			if free -= len(st.head.data); free < 0 && n > 0 {
				return
			}
		}
		s.blocked[0] = nil
		if s.blocked = s.blocked[1:]; len(s.blocked) == 0 {
			s.blocked = nil
		}
		st.blocked = false
		if st.head != nil {
			s.activate(st)
		}
	}
}

// served charges a stream for n bytes sent. messageDone says that these bytes ended a
// message.
func (s *scheduler) served(st *outStream, n int, messageDone bool) {
	s.vtime = max(s.vtime, st.start)
	st.start += uint64(n) << 16 / uint64(st.weight)
	st.finish = st.start
	if st.heapAt >= 0 {
		heapDown(s.heap, st.heapAt, servedBefore, setHeapIndex)
	}
	if messageDone || s.interleaving {
		s.current = nil
	} else {
		s.current = st // RFC 9260 §6.9: the TSNs of a message are consecutive
	}
}

// servedBefore is the order of the scheduler's heap.
func servedBefore(a, b *outStream) bool {
	return a.start < b.start || a.start == b.start && a.id < b.id
}

func setHeapIndex(s *outStream, i int) { s.heapAt = i }

// A sendQueue holds messages from Send until they are put into chunks.
type sendQueue struct {
	scheduler
	memory   *Memory // charged for the state of streams that were reset without having carried a message
	streams  streamTable[outStream]
	messages int      // messages queued
	bytes    int      // bytes of queued messages that are not in chunks yet
	drained  []uint16 // paused streams with nothing queued or in flight
	pool     messagePool
	lowered  []*outStream // streams with a buffered amount that has fallen since NextLowered returned them

	nextExpiry instant // the earliest time at which the first message of a stream may be too late
}

// stream returns the state of a stream, and creates it if there is none.
func (q *sendQueue) stream(id uint16) *outStream {
	s := q.streams.get(id)
	if s == nil {
		s = &outStream{id: id, weight: normalWeight, heapAt: -1}
		q.streams.add(id, s)
	}
	return s
}

// pause stops the acceptance of messages on a stream, which is reset once it is
// drained. It reports false if the stream was not used and there is no memory for its
// state. This state is charged because a remote can cause any number of local resets:
// each reset of an incoming stream is answered by a reset of the outgoing stream.
func (q *sendQueue) pause(id uint16) bool {
	s := q.streams.get(id)
	if s == nil {
		if !q.memory.chargeStreams(resetOverhead) {
			return false
		}
		s = q.stream(id)
		s.charged = true
	}
	if !s.paused {
		s.paused = true
		if s.pending == 0 {
			q.drained = append(q.drained, id)
		}
	}
	return true
}

// takeDrained removes and returns up to n streams that are to be reset and on which
// nothing is queued or in flight.
func (q *sendQueue) takeDrained(n int) []uint16 {
	if len(q.drained) == 0 {
		return nil
	}
	n = min(n, len(q.drained))
	streams := slices.Clone(q.drained[:n])
	if q.drained = q.drained[n:]; len(q.drained) == 0 {
		q.drained = nil
	}
	return streams
}

// resume accepts messages again on streams after their reset has failed. The numbering
// of messages continues.
func (q *sendQueue) resume(streams []uint16) {
	for _, id := range streams {
		q.stream(id).paused = false
	}
}

// forgetStreams drops the state of streams, so that the numbers of their messages
// restart at 0.
func (q *sendQueue) forgetStreams(streams []uint16) {
	for _, id := range streams {
		q.forget(id)
	}
}

// forget drops the state of a stream.
func (q *sendQueue) forget(id uint16) {
	if s := q.streams.get(id); s != nil && s.charged {
		q.memory.unchargeStreams(resetOverhead)
	}
	q.streams.remove(id)
}

// dropStreams drops the messages on streams with an id of limit or more, which the
// peer does not have.
func (q *sendQueue) dropStreams(limit int) {
	for _, id := range q.streams.ids() {
		if int(id) < limit {
			continue
		}
		s := q.streams.get(id)
		s.paused = false
		for s.head != nil {
			q.pop(s)
		}
		q.forget(id)
	}
	q.drained = slices.DeleteFunc(q.drained, func(id uint16) bool { return int(id) >= limit })
}

// clear drops all messages and streams.
func (q *sendQueue) clear() {
	q.streams.each(func(s *outStream) {
		if s.charged {
			q.memory.unchargeStreams(resetOverhead)
		}
	})
	*q = sendQueue{memory: q.memory}
}

// nextLowered removes and returns a stream with a buffered amount that has fallen.
func (q *sendQueue) nextLowered() (stream uint16, ok bool) {
	if len(q.lowered) == 0 {
		return 0, false
	}
	s := q.lowered[len(q.lowered)-1]
	q.lowered = q.lowered[:len(q.lowered)-1]
	s.lowered = false
	return s.id, true
}

// push queues a message.
func (q *sendQueue) push(m *outMessage) {
	s := m.stream
	m.queued = true
	if s.tail == nil {
		s.head = m
		q.awaitExpiry(m)
	} else {
		s.tail.next = m
	}
	s.tail = m
	s.pending++
	q.count(m, len(m.data))
	q.messages++
	q.activate(s)
}

// awaitExpiry sets nextExpiry for the first message of a stream.
func (q *sendQueue) awaitExpiry(m *outMessage) {
	if m.started || m.deadline == 0 {
		return
	}
	if at := m.deadline + int64(m.grace); q.nextExpiry == 0 || at < q.nextExpiry {
		q.nextExpiry = at
	}
}

// pop removes the first message of a stream, which was sent or abandoned.
func (q *sendQueue) pop(s *outStream) *outMessage {
	m := s.head
	s.head, m.next, m.queued = m.next, nil, false
	q.count(m, m.sent-len(m.data))
	q.messages--
	q.over(m)
	if s.head == nil {
		s.tail = nil
		q.deactivate(s)
	} else {
		q.awaitExpiry(s.head)
	}
	return m
}

// release recycles a message that was acknowledged or abandoned. A stream that is to
// be reset is drained when its last message is released. RFC 6525 §5.1.2 allows the
// request while data is in flight, but Chromium's channels lose what arrives just
// before the request.
func (q *sendQueue) release(m *outMessage) {
	s := m.stream
	q.pool.put(m)
	s.settled = true
	if s.pending--; s.pending == 0 && s.paused {
		q.drained = append(q.drained, s.id)
	}
}

// number assigns a message its number in its stream, for its first chunk.
func (q *sendQueue) number(m *outMessage) {
	s, o := m.stream, messageOrder{q.interleaving}
	m.started = true
	switch {
	case !m.unordered:
		m.seq = s.nextSeq
		s.nextSeq = o.next(s.nextSeq)
	case q.interleaving:
		m.seq = s.nextUnseq
		s.nextUnseq = o.next(s.nextUnseq)
	}
}

// expiryPause is the least time between two searches of many streams for late
// messages.
const expiryPause = 10 * time.Millisecond

// expire drops messages that are too late to begin.
func (q *sendQueue) expire(now instant) {
	if q.nextExpiry == 0 || now < q.nextExpiry {
		return
	}
	q.nextExpiry = 0
	removed := false
	for i := 0; i < len(q.heap); {
		s := q.heap[i]
		for s.head != nil && s.head.late(now) {
			q.release(q.pop(s))
		}
		if s.head == nil {
			removed = true
			continue // another stream is at i now
		}
		q.awaitExpiry(s.head)
		i++
	}
	// Removing a stream from the heap moves other streams, perhaps to places before i,
	// which this loop does not examine. So expire runs again soon.
	if next := now + int64(expiryPause); removed && len(q.heap) > 0 || q.nextExpiry != 0 && q.nextExpiry < next {
		q.nextExpiry = next
	}
}

const (
	minPoolClass = 5       // 32 bytes
	maxPoolClass = 18      // 256 KiB
	maxPoolBytes = 4 << 20 // bytes of the messages in the pool, with poolOverhead for each
	poolOverhead = 112     // what an outMessage takes in addition to its data
)

// A messagePool keeps messages that were sent, with their buffers, for reuse.
type messagePool struct {
	free  *[maxPoolClass - minPoolClass + 1]*outMessage // nil: there are none
	bytes int
}

// poolClass returns the size class of a message. n is its length in bytes.
func poolClass(n int) int { return max(bits.Len(uint(max(n-1, 0))), minPoolClass) }

// get returns a message with room for n bytes.
func (p *messagePool) get(n int) *outMessage {
	class := poolClass(n)
	if class > maxPoolClass {
		return &outMessage{data: make([]byte, 0, n)}
	}
	var m *outMessage
	if p.free != nil {
		m = p.free[class-minPoolClass]
	}
	if m == nil {
		return &outMessage{data: make([]byte, 0, 1<<class)}
	}
	p.free[class-minPoolClass] = m.next
	p.bytes -= cap(m.data) + poolOverhead
	m.next = nil
	return m
}

// put keeps a message for reuse.
func (p *messagePool) put(m *outMessage) {
	size := cap(m.data)
	class := poolClass(size)
	if class > maxPoolClass || size != 1<<class || p.bytes+size+poolOverhead > maxPoolBytes {
		return
	}
	if p.free == nil {
		p.free = new([maxPoolClass - minPoolClass + 1]*outMessage)
	}
	*m = outMessage{data: m.data[:0], next: p.free[class-minPoolClass]}
	p.free[class-minPoolClass] = m
	p.bytes += size + poolOverhead
}
