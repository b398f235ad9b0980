package sctp

import (
	"maps"
	"slices"
)

// maxSegment bounds the memory that a run reserves for data that has not arrived.
const maxSegment = 16 << 10

// maxFreeRuns bounds the runs that are kept for reuse.
const maxFreeRuns = 64

// A fragment is the contents of a DATA or I-DATA chunk.
type fragment struct {
	stream       uint16
	seq          messageSeq // SSN or MID
	pos          uint32     // TSN or FSN
	ppid         uint32     // with I-DATA only in the first fragment
	begin, end   bool
	unordered    bool
	data         []byte
	interleaving bool
}

// A fragmentKey identifies a fragment. The pos of consecutive fragments of a message
// differs by one.
type fragmentKey struct {
	stream    uint16
	unordered bool
	seq       messageSeq
	pos       uint32
}

// A run is a sequence of consecutive fragments of one message. Fragments may arrive in
// any order. Adjacent runs are merged, until one has both ends of the message.
type run struct {
	next        *run // next one in reassembly.runFree
	first, last fragmentKey
	begin, end  bool
	ppid        uint32
	head, tail  *segment
	segment     segment // the first segment
	size        int
	charge      int  // bytes charged to Memory.partial
	room        int  // bytes reserved beyond the data, charged to Memory.streams
	hinted      bool // some of room was reserved by sizeHint

	atSeq, atTSN int // index in inStream.open and in reassembly.byTSN
}

// A segment is a piece of a run's data.
type segment struct {
	next *segment
	buf  []byte
}

// reassembly builds messages from fragments and delivers them in order (RFC 9260 §6.5,
// §6.6, §6.9; RFC 8260 §2.2.3). The cost of an operation does not depend on how the remote
// cuts and orders its fragments.
type reassembly struct {
	memory     *Memory
	order      messageOrder
	maxMessage int

	// hot is the run that was extended most recently. Most fragments continue it, so
	// it is not in byLast.
	hot     *run
	byFirst map[fragmentKey]*run // runs that lack their beginning
	byLast  map[fragmentKey]*run // runs that lack their end
	runs    int32                // number of runs
	peak    int32                // highest number of runs since the maps were made
	byTSN   *runHeap             // the runs of DATA chunks; nil until there was one
	runFree *run                 // unused runs
	free    int32                // runs in runFree
	hinted  bool                 // an incomplete message has sizeHint bytes reserved

	streams streamTable[inStream]

	ready  queue[Message]
	readyN uint64 // how many messages were ever put into ready

	sizeHint int // length of the last message that had several fragments
	spares   spares
}

// An inStream is the ordering state of an incoming stream.
type inStream struct {
	next    messageSeq
	waiting []waitingMessage // complete messages that wait for earlier ones, as a heap by seq
	open    *[2]runHeap      // incomplete messages, ordered and unordered; nil until there was one
}

type waitingMessage struct {
	seq messageSeq
	m   Message
}

// reset drops everything except the complete messages in ready.
func (r *reassembly) reset(m *Memory, interleaving bool, maxMessage int) {
	m.unchargeStreams(r.streams.len() * streamOverhead)
	for _, u := range r.allRuns() {
		m.unchargeStreams(u.room)
	}
	m.partial = 0
	*r = reassembly{memory: m, order: messageOrder{interleaving}, maxMessage: maxMessage, ready: r.ready, readyN: r.readyN}
}

// mayKeep charges the state of a stream, unless it is charged already. It reports whether
// there is memory for it.
func (r *reassembly) mayKeep(stream uint16) bool {
	if r.streams.get(stream) != nil {
		return true
	}
	if !r.memory.chargeStreams(streamOverhead) {
		return false
	}
	r.streams.add(stream, new(inStream))
	return true
}

// add takes a fragment that was not received before, of a stream charged by mayKeep.
// violation says how the fragment violates the protocol, or is empty.
func (r *reassembly) add(f fragment) (violation string) {
	if len(f.data) > r.maxMessage {
		return "message too large"
	}
	if f.begin && f.end {
		r.complete(f.stream, f.seq, f.unordered, f.ppid, append(r.spares.get(len(f.data)), f.data...))
		return ""
	}
	key := fragmentKey{stream: f.stream, unordered: f.unordered, seq: f.seq, pos: f.pos}
	if f.unordered && !f.interleaving {
		key.seq = 0 // RFC 9260 §3.3.1: the SSN of unordered data means nothing
	}
	u := r.runEndingAt(key, f)
	if u != nil {
		u.last, u.end = key, f.end
		r.appendData(u, f.data)
	} else {
		u = r.newRun(key, f)
	}
	u.size += len(f.data)
	if !u.end {
		u = r.mergeFollowing(u)
	}
	if u.size > r.maxMessage {
		return "message too large"
	}
	if u.begin && u.end {
		r.finish(u)
		return ""
	}
	r.settle(u)
	return ""
}

// runEndingAt returns the run that the fragment continues, and removes it from byLast.
func (r *reassembly) runEndingAt(key fragmentKey, f fragment) *run {
	if f.begin {
		return nil
	}
	key.pos--
	if u := r.hot; u != nil && !u.end && u.last == key {
		return u
	}
	u := r.byLast[key]
	if u != nil {
		delete(r.byLast, key)
	}
	return u
}

// mergeFollowing appends to u the run that continues it, if there is one.
func (r *reassembly) mergeFollowing(u *run) *run {
	key := u.last
	key.pos++
	v := r.byFirst[key]
	if h := r.hot; v == nil && h != nil && h != u && !h.begin && h.first == key {
		v = h
	}
	if v == nil || v == u {
		return u
	}
	r.unlinkMaps(v)
	u.last, u.end = v.last, v.end
	moved := v.segment // a copy, because v.segment is freed with v
	u.tail.next = &moved
	if v.tail == &v.segment {
		u.tail = &moved
	} else {
		u.tail = v.tail
	}
	u.size += v.size
	u.charge += v.charge
	u.room += v.room
	u.hinted = u.hinted || v.hinted
	v.room, v.hinted = 0, false
	r.freeRun(v)
	r.charge(u, segmentOverhead-runOverhead) // one run less
	return u
}

// settle sets u as the hot run. The former hot run goes into byLast.
func (r *reassembly) settle(u *run) {
	if r.byFirst == nil {
		r.byFirst = make(map[fragmentKey]*run)
		r.byLast = make(map[fragmentKey]*run)
	}
	if h := r.hot; h != nil && h != u {
		r.hot = nil
		if !h.end {
			r.byLast[h.last] = h
		}
	}
	if !u.begin {
		r.byFirst[u.first] = u
	}
	r.hot = u
}

// unlinkMaps removes u from hot and from the maps, so that fragments no longer find
// it.
func (r *reassembly) unlinkMaps(u *run) {
	if r.hot == u {
		r.hot = nil
	}
	if r.byLast[u.last] == u {
		delete(r.byLast, u.last)
	}
	if r.byFirst[u.first] == u {
		delete(r.byFirst, u.first)
	}
}

func (r *reassembly) charge(u *run, n int) {
	u.charge += n
	r.memory.partial += n
}

// takeRoom reserves n bytes in addition to the data of a run, and charges them, if
// there is memory for them. It returns how many it charged.
func (r *reassembly) takeRoom(u *run, n int) int {
	if n <= 0 || !r.memory.chargeStreams(n) {
		return 0
	}
	u.room += n
	return n
}

// giveRoom uncharges n bytes that were reserved in addition to the data of a run.
func (r *reassembly) giveRoom(u *run, n int) {
	u.room -= n
	r.memory.unchargeStreams(n)
}

func (r *reassembly) newRun(key fragmentKey, f fragment) *run {
	u := r.runFree
	if u != nil {
		r.runFree = u.next
		r.free--
	} else {
		u = new(run)
	}
	*u = run{first: key, last: key, begin: f.begin, end: f.end, ppid: f.ppid}
	r.queueRun(u)
	size := len(f.data)
	r.charge(u, runOverhead+size)
	if f.begin && !r.hinted {
		// Most messages of a program have similar lengths, so reserving the length of
		// the last message saves copying. Only one incomplete message at a time has
		// such a reserve.
		n := r.takeRoom(u, r.sizeHint-size)
		u.hinted, r.hinted = n > 0, n > 0
		size += n
	}
	u.segment.buf = append(r.spares.get(size), f.data...)
	u.head = &u.segment
	u.tail = u.head
	return u
}

// freeRun removes a run, and uncharges what it reserved.
func (r *reassembly) freeRun(u *run) {
	r.unqueueRun(u)
	r.giveRoom(u, u.room)
	if u.hinted {
		r.hinted = false
	}
	if r.free >= maxFreeRuns {
		return
	}
	*u = run{next: r.runFree}
	r.runFree = u
	r.free++
}

// allRuns returns all runs.
func (r *reassembly) allRuns() (all []*run) {
	r.streams.each(func(s *inStream) {
		if s.open != nil {
			all = append(append(all, s.open[0].runs...), s.open[1].runs...)
		}
	})
	return all
}

// queueRun adds a run to the heaps in which a FORWARD TSN finds it.
func (r *reassembly) queueRun(u *run) {
	r.runs++
	r.peak = max(r.peak, r.runs)
	s := r.stream(u.first.stream)
	if s.open == nil {
		s.open = new([2]runHeap)
	}
	s.open[kindOf(u.first.unordered)].add(r.order, u)
	if r.order.interleaving {
		return
	}
	if r.byTSN == nil {
		r.byTSN = &runHeap{byTSN: true}
	}
	r.byTSN.add(r.order, u)
}

// unqueueRun undoes queueRun. The stream may have been reset in the meantime.
func (r *reassembly) unqueueRun(u *run) {
	r.runs--
	r.shrinkMaps()
	if s := r.streams.get(u.first.stream); s != nil && s.open != nil {
		s.open[kindOf(u.first.unordered)].remove(r.order, u)
	}
	if r.byTSN != nil {
		r.byTSN.remove(r.order, u)
	}
}

// kindOf returns the index for ordered (0) or unordered (1) messages.
func kindOf(unordered bool) int {
	if unordered {
		return 1
	}
	return 0
}

// shrinkMaps copies the maps when few of their entries are left, because a map keeps the
// memory for as many entries as it ever had.
func (r *reassembly) shrinkMaps() {
	if r.peak < 1024 || r.runs > r.peak/8 {
		return
	}
	r.peak = r.runs
	for _, m := range []*map[fragmentKey]*run{&r.byFirst, &r.byLast} {
		old := *m
		*m = make(map[fragmentKey]*run, len(old))
		maps.Copy(*m, old)
	}
}

// appendData appends data to a run. Segments double in size, so that a long message has
// few.
func (r *reassembly) appendData(u *run, data []byte) {
	r.charge(u, len(data))
	if free := cap(u.tail.buf) - len(u.tail.buf); free < len(data) {
		r.charge(u, segmentOverhead)
		size := len(data) + r.takeRoom(u, min(u.size, maxSegment)-len(data))
		s := &segment{buf: make([]byte, 0, size)}
		u.tail.next, u.tail = s, s
	} else {
		r.giveRoom(u, min(u.room, len(data)))
	}
	u.tail.buf = append(u.tail.buf, data...)
}

// finish creates a message from a complete run.
func (r *reassembly) finish(u *run) {
	r.unlinkMaps(u)
	r.memory.partial -= u.charge
	data := u.head.buf
	if u.head.next != nil || cap(data)-len(data) > len(data)/4 {
		data = r.spares.get(u.size)
		for s := u.head; s != nil; s = s.next {
			data = append(data, s.buf...)
		}
	}
	r.sizeHint = u.size
	key, ppid := u.first, u.ppid
	r.freeRun(u)
	r.complete(key.stream, key.seq, key.unordered, ppid, data)
}

// drop drops an incomplete run.
func (r *reassembly) drop(u *run) {
	r.unlinkMaps(u)
	r.memory.partial -= u.charge
	r.freeRun(u)
}

// complete delivers a complete message, or keeps it until the messages before it are
// delivered.
func (r *reassembly) complete(stream uint16, seq messageSeq, unordered bool, ppid uint32, data []byte) {
	m := Message{Stream: stream, PPID: ppid, Data: data, Ordered: !unordered}
	if unordered {
		r.deliver(m)
		return
	}
	s := r.stream(stream)
	switch {
	case seq == s.next:
		r.deliver(m)
		s.next = r.order.next(seq)
		r.deliverWaiting(s)
	case r.order.before(s.next, seq):
		r.memory.partial += len(data) + messageOverhead
		s.push(r.order, waitingMessage{seq, m})
	}
	// Otherwise seq is before the next number in order: a FORWARD TSN has skipped the
	// message, or the remote has used its number twice. The message is dropped,
	// because it cannot be delivered in order.
}

// stream returns the state of a stream charged by mayKeep.
func (r *reassembly) stream(id uint16) *inStream { return r.streams.get(id) }

// deliverWaiting delivers the waiting messages that are now in order.
func (r *reassembly) deliverWaiting(s *inStream) {
	for len(s.waiting) > 0 && !r.order.before(s.next, s.waiting[0].seq) {
		w := s.pop(r.order)
		r.memory.partial -= len(w.m.Data) + messageOverhead
		if w.seq == s.next {
			r.deliver(w.m)
			s.next = r.order.next(w.seq)
		}
	}
}

func (r *reassembly) deliver(m Message) {
	r.memory.held += len(m.Data) + messageOverhead
	r.readyN++
	r.ready.push(m)
}

// skipTSN drops the runs of DATA chunks that cannot be completed because no TSN up to cum
// will arrive.
func (r *reassembly) skipTSN(cum chunkTSN) {
	if r.byTSN == nil {
		return
	}
	var spans *run
	for u := r.byTSN.top(); u != nil && !chunkTSN(u.first.pos).after(cum); u = r.byTSN.top() {
		if u.begin && !chunkTSN(u.last.pos).before(cum) {
			// A run that includes its beginning and reaches cum may be the received part of a
			// message that is still being sent.
			spans = u
			r.byTSN.remove(r.order, u)
			continue
		}
		r.drop(u)
	}
	if spans != nil { // at most one run spans cum, because each TSN is in one run
		r.byTSN.add(r.order, spans)
	}
}

// skipMessages moves a stream past the message with number seq (RFC 3758 §3.6, RFC
// 8260 §2.3.1). It delivers complete messages that waited. dropRuns drops the
// incomplete ones.
func (r *reassembly) skipMessages(stream uint16, seq messageSeq) {
	s := r.stream(stream)
	if r.order.before(seq, s.next) {
		return
	}
	for len(s.waiting) > 0 && !r.order.before(seq, s.waiting[0].seq) {
		w := s.pop(r.order)
		r.memory.partial -= len(w.m.Data) + messageOverhead
		r.deliver(w.m)
	}
	s.next = r.order.next(seq)
	r.deliverWaiting(s)
}

// dropRuns drops the incomplete messages of a stream up to number seq.
func (r *reassembly) dropRuns(stream uint16, unordered bool, seq messageSeq) {
	s := r.streams.get(stream)
	if s == nil || s.open == nil {
		return
	}
	h := &s.open[kindOf(unordered)]
	for u := h.top(); u != nil && !r.order.before(seq, u.first.seq); u = h.top() {
		r.drop(u)
	}
}

// taken returns how many messages Receive has returned.
func (r *reassembly) taken() uint64 { return r.readyN - uint64(r.ready.n) }

// receiving reports whether a message on a stream is incomplete, or waits for earlier
// ones.
func (r *reassembly) receiving(stream uint16) bool {
	s := r.streams.get(stream)
	return s != nil && (len(s.waiting) > 0 || s.open != nil && len(s.open[0].runs)+len(s.open[1].runs) > 0)
}

// resetStreams restarts the numbering of streams at 0 (RFC 6525 §5.2.2). An empty
// list means all streams (§4.1).
func (r *reassembly) resetStreams(streams []uint16) {
	if len(streams) == 0 {
		streams = r.streams.ids()
	}
	for _, id := range streams {
		r.resetStream(id)
	}
}

// resetStream restarts the numbering of one stream.
func (r *reassembly) resetStream(id uint16) {
	s := r.streams.get(id)
	if s == nil {
		return
	}
	for _, w := range s.waiting {
		r.memory.partial -= len(w.m.Data) + messageOverhead
	}
	if s.open != nil {
		// Everything sent before the reset has arrived (RFC 6525 §5.2.2), so these
		// messages cannot be completed.
		for i := range s.open {
			for u := s.open[i].top(); u != nil; u = s.open[i].top() {
				r.drop(u)
			}
		}
	}
	r.streams.remove(id)
	r.memory.unchargeStreams(streamOverhead)
}

// trim releases memory that is not in use.
func (r *reassembly) trim() {
	r.runFree, r.free = nil, 0
	if r.runs == 0 {
		r.byFirst, r.byLast, r.byTSN, r.peak = nil, nil, nil, 0
		r.streams.each(func(s *inStream) { s.open = nil })
		r.sizeHint = 0
	}
	r.spares = spares{}
	r.ready.trim()
}

// push adds a waiting message.
func (s *inStream) push(o messageOrder, w waitingMessage) {
	s.waiting = append(s.waiting, w)
	heapUp(s.waiting, len(s.waiting)-1, o.waitsBefore, nil)
}

// pop removes the first waiting message.
func (s *inStream) pop(o messageOrder) waitingMessage {
	top := s.waiting[0]
	if s.waiting = shrunk(heapRemove(s.waiting, 0, o.waitsBefore, nil)); len(s.waiting) == 0 {
		s.waiting = nil
	}
	return top
}

// waitsBefore is the order of the heap of waiting messages.
func (o messageOrder) waitsBefore(v, w waitingMessage) bool { return o.before(v.seq, w.seq) }

// shrunk returns s with less capacity if its capacity is much larger than its length,
// because unused capacity is not charged to Memory.
func shrunk[T any](s []T) []T {
	if cap(s) > 16 && len(s) < cap(s)/4 {
		return slices.Clone(s)
	}
	return s
}
