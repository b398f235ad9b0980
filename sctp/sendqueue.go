package sctp

import (
	"math/bits"
	"slices"
	"time"
)

// An outMessage is a message of ours, from Send until every chunk of it was
// acknowledged or given up. Chunks are views of its data.
type outMessage struct {
	next     *outMessage // in its stream's queue, or in the pool
	stream   *outStream
	data     []byte
	ppid     uint32
	deadline instant       // of sending it again; 0: none
	grace    time.Duration // how long after deadline its first chunk may still be sent

	sent           int      // bytes that were made into chunks
	chunks         int      // chunks in the outstanding queue
	lastTSN        chunkTSN // of those, the last
	nextFSN        uint32   // of the next chunk
	seq            messageSeq
	maxRetransmits uint16
	mostLost       uint16 // the most times that a chunk was sent again which was lost then

	unordered        bool
	limitRetransmits bool
	started          bool // has a number in its stream
	abandoned        bool
	limitedLost      bool // in outstanding.limited
	queued           bool
	uncounted        bool
	inBudget         bool // counted in sendQueue.started
}

// count adds n bytes to the buffered amount of the message's stream.
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

// partiallyReliable reports whether the message may be given up.
func (m *outMessage) partiallyReliable() bool {
	return m.limitRetransmits || m.deadline != 0
}

// expired reports whether the message's lifetime is over, so that no chunk of it
// is sent again (RFC 3758 §4.1 TR4).
func (m *outMessage) expired(now instant) bool {
	return m.deadline != 0 && now >= m.deadline
}

// late reports whether it is too late to begin the message (RFC 3758 §4.1 TR3).
// A message that has begun is never late.
func (m *outMessage) late(now instant) bool {
	return !m.started && m.deadline != 0 && now >= m.deadline+int64(m.grace)
}

const (
	// graceRTTs is how many round trips a message may wait for its turn, whatever
	// its lifetime. Within one round trip congestion control lets a window of data
	// go. In three it lets seven initial windows go while the window opens.
	graceRTTs = 3

	// minGrace is the least of that time: a tick of a program that sends 20 times a
	// second. On a short path, too, a program may send more in one moment than the
	// path carries in a few round trips.
	minGrace = 50 * time.Millisecond
)

// limitLifetime sets the deadlines of a message that is queued now. rtt is the
// path's, without a queue.
//
// A lifetime says until when lost data is sent again. To wait for congestion control
// is no reason to be dropped: a message may wait for its turn for three round trips,
// 50 ms at least, even if its lifetime is shorter. A message that has begun is
// finished, unless one of its chunks is lost and its lifetime is over. Where messages
// wait for longer, the program sends more than the path carries: those that have
// waited for longest are dropped, and the queue does not grow.
func (m *outMessage) limitLifetime(now instant, lifetime, rtt time.Duration) {
	m.deadline = now + int64(lifetime)
	m.grace = max(graceRTTs*rtt, minGrace, lifetime) - lifetime
}

// An outStream is an outgoing stream that was used since the last reset.
type outStream struct {
	id         uint16
	weight     uint16
	paused     bool // being reset: nothing more may be queued
	charged    bool // by resetOverhead
	settled    bool // a message was acknowledged or given up
	pending    int  // messages queued or in flight
	lowered    bool // buffered has fallen: it is in sendQueue.lowered
	head, tail *outMessage
	buffered   int
	nextSeq    messageSeq // of ordered messages, and with DATA chunks of all
	nextUnseq  messageSeq // of unordered I-DATA messages, RFC 8260 §2.1

	finish uint64 // virtual time at which its last service ended
	start  uint64 // virtual time at which its next service may begin
	heapAt int    // index in scheduler.heap; -1: nothing to send

	blocked bool // in scheduler.blocked

	skipMark [2]uint32 // of FORWARD TSN entries: build number and index, ordered and unordered
	skipAt   [2]int
}

// A scheduler chooses whose turn it is: start-time fair queueing, a kind of
// the weighted fair queueing of RFC 8260 §3.6. Streams of equal weight take
// turns, and one that was idle goes first, since its virtual time lags.
type scheduler struct {
	interleaving bool
	heap         []*outStream
	vtime        uint64
	current      *outStream // in the middle of a message, without interleaving

	// With interleaving, messages of several chunks that are under way at once
	// must not fill the far end's window before one of them is complete, or
	// none ever would be.
	budget  int // bytes of such messages, unless there is only one
	started int
	blocked []*outStream // wait for the budget, first come first served
}

const normalWeight = 256 // RFC 8831 §6.4: "normal"

// next is the stream to serve, or nil.
func (s *scheduler) next() *outStream {
	if s.current != nil {
		return s.current
	}
	if len(s.heap) == 0 {
		return nil
	}
	return s.heap[0]
}

// activate notes that a stream has something to send.
func (s *scheduler) activate(st *outStream) {
	if st.heapAt >= 0 || st.blocked {
		return
	}
	st.start = max(s.vtime, st.finish)
	st.heapAt = len(s.heap)
	s.heap = append(s.heap, st)
	s.up(st.heapAt)
}

// deactivate notes that a stream has nothing more to send.
func (s *scheduler) deactivate(st *outStream) {
	if s.current == st {
		s.current = nil
	}
	i := st.heapAt
	if i < 0 {
		return
	}
	last := len(s.heap) - 1
	s.swap(i, last)
	s.heap[last] = nil
	s.heap = s.heap[:last]
	st.heapAt = -1
	if i < last {
		s.down(i)
		s.up(i)
	}
}

// mayStart reports whether the message at the head of a stream, which does not
// fit into one chunk, may begin. If not, the stream waits in blocked.
func (s *scheduler) mayStart(st *outStream) bool {
	if !s.interleaving || s.started == 0 || s.started+len(st.head.data) <= s.budget {
		return true
	}
	s.deactivate(st)
	st.blocked = true
	s.blocked = append(s.blocked, st)
	return false
}

// begin counts a message that will be under way.
func (s *scheduler) begin(m *outMessage) {
	m.inBudget = true
	s.started += len(m.data)
}

// over stops counting it, and lets others begin. So does the end of a message
// that was not counted, where none is under way: it may have been let begin, and
// was given up before it did.
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

// served notes that a stream sent n bytes; messageDone tells that they ended
// a message.
func (s *scheduler) served(st *outStream, n int, messageDone bool) {
	s.vtime = max(s.vtime, st.start)
	st.start += uint64(n) << 16 / uint64(st.weight)
	st.finish = st.start
	if st.heapAt >= 0 {
		s.down(st.heapAt)
	}
	if messageDone || s.interleaving {
		s.current = nil
	} else {
		s.current = st // RFC 9260 §6.9: the TSNs of a message are consecutive
	}
}

func (s *scheduler) less(i, j int) bool {
	a, b := s.heap[i], s.heap[j]
	return a.start < b.start || a.start == b.start && a.id < b.id
}

func (s *scheduler) swap(i, j int) {
	s.heap[i], s.heap[j] = s.heap[j], s.heap[i]
	s.heap[i].heapAt, s.heap[j].heapAt = i, j
}

func (s *scheduler) up(i int) {
	for i > 0 && s.less(i, (i-1)/2) {
		s.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (s *scheduler) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(s.heap) {
			return
		}
		if child+1 < len(s.heap) && s.less(child+1, child) {
			child++
		}
		if !s.less(child, i) {
			return
		}
		s.swap(i, child)
		i = child
	}
}

// A sendQueue holds what Send was given and is not yet a chunk.
type sendQueue struct {
	scheduler
	memory   *Memory // is charged for streams that are only reset
	streams  streamTable[outStream]
	messages int      // queued
	bytes    int      // of them, not yet made into chunks
	drained  []uint16 // streams to be reset whose messages are all acknowledged or given up
	pool     messagePool
	lowered  []*outStream // whose buffered amount has fallen since NextLowered told

	nextExpiry instant // when the head of a queue may be late
}

// stream returns the stream's state, made if need be.
func (q *sendQueue) stream(id uint16) *outStream {
	s := q.streams.get(id)
	if s == nil {
		s = &outStream{id: id, weight: normalWeight, heapAt: -1}
		q.streams.add(id, s)
	}
	return s
}

// pause takes no more messages on a stream, which is reset once it is drained. It reports
// false if the stream was not used and there is no memory for it: resets answer those of
// the remote, which may cause any number of them.
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

// dropDrained removes the first n drained streams.
func (q *sendQueue) dropDrained(n int) {
	if q.drained = q.drained[n:]; len(q.drained) == 0 {
		q.drained = nil
	}
}

// resume lets streams be used that were not reset. Their numbering goes on.
func (q *sendQueue) resume(streams []uint16) {
	for _, id := range streams {
		q.stream(id).paused = false
	}
}

// forgetStreams begins the numbering of streams again.
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

// dropStreams drops what was queued on the streams from limit on, which the peer does
// not have.
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

// nextLowered removes and returns a stream whose buffered amount has fallen.
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

// awaitExpiry has expire called when the head of a queue is late.
func (q *sendQueue) awaitExpiry(m *outMessage) {
	if m.started || m.deadline == 0 {
		return
	}
	if at := m.deadline + int64(m.grace); q.nextExpiry == 0 || at < q.nextExpiry {
		q.nextExpiry = at
	}
}

// pop takes the head off a stream's queue, whether sent or given up.
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

// release gives a message back that was acknowledged or given up. A stream
// that is to be reset is drained when its last one is: RFC 6525 §5.1.2 would
// let the request go with data in flight, but Chromium's channels forget what
// came just before it.
func (q *sendQueue) release(m *outMessage) {
	s := m.stream
	q.pool.put(m)
	s.settled = true
	if s.pending--; s.pending == 0 && s.paused {
		q.drained = append(q.drained, s.id)
	}
}

// number gives a message its place in its stream, when its first chunk is made.
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

// expiryPause keeps sweeps of many streams apart.
const expiryPause = 10 * time.Millisecond

// expire drops the messages at the heads of the queues that are late.
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
	// Taking a stream off the heap moves others, perhaps past i unseen.
	if next := now + int64(expiryPause); removed && len(q.heap) > 0 || q.nextExpiry != 0 && q.nextExpiry < next {
		q.nextExpiry = next
	}
}

const (
	minPoolClass = 5       // 32 bytes
	maxPoolClass = 18      // 256 KiB
	maxPoolBytes = 4 << 20 // with poolOverhead for each message
	poolOverhead = 112     // what an outMessage takes beside its data
)

// A messagePool keeps messages that were sent, with their buffers, for the
// next ones.
type messagePool struct {
	free  *[maxPoolClass - minPoolClass + 1]*outMessage // nil: there are none
	bytes int
}

// poolClass is the class of messages of n bytes.
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

// put takes a message back.
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
