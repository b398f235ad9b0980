package rtcpeer

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"purertc/ice"
)

// A crew is a few goroutines that run peers while they connect. A handshake
// takes a third of a millisecond of public-key work: done by the reader of a
// shared socket, thousands that connect would stall those that are connected,
// and done by as many goroutines as there are peers, too. Those would also each
// have to grow a stack for it. The peers of a Host have a crew of their own, all
// others share one.
type crew struct {
	mu      sync.Mutex
	work    sync.Cond   // waiting or members has changed
	waiting fifo[*peer] // each once: inbox.queued
	members int         // who may have work; at 0 the goroutines end
	running int         // goroutines
	spare   []*letters  // that no inbox has
}

// commonCrew is that of the peers that have sockets of their own. It has
// goroutines only while one of them connects.
var commonCrew crew

// join keeps the crew at work until leave.
func (c *crew) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work.L = &c.mu
	c.members++
	// One processor is left to those that are connected.
	for c.running < max(1, runtime.GOMAXPROCS(0)-1) {
		c.running++
		go c.run()
	}
}

// leave undoes join. What waits is done yet.
func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.members--; c.members == 0 {
		c.work.Broadcast()
	}
}

// add has a peer run by one of the crew.
func (c *crew) add(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting.push(p)
	c.work.Signal()
}

func (c *crew) run() {
	for {
		p := c.next()
		if p == nil {
			return
		}
		if p.takePostponed() {
			c.add(p) // behind the others
		}
	}
}

// next waits for a peer; nil: the goroutine is to end.
func (c *crew) next() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.waiting.len() == 0 {
		if c.members == 0 {
			c.running--
			return nil
		}
		c.work.Wait()
	}
	p, _ := c.waiting.pop()
	return p
}

// An inbox is what a peer's crew has to do.
type inbox struct {
	crew   *crew       // nil: nothing is postponed
	direct atomic.Bool // the connection is up: nothing is postponed any more

	mu     sync.Mutex
	mail   *letters // nil: none
	start  bool     // of DTLS
	queued bool     // in the crew's list, or being run
	member bool     // has joined the crew, and not left it
}

// letters are what came for a peer while it waited for its crew. They are the
// crew's, and go from one inbox to the next.
type letters struct {
	all   []letter
	bytes []byte // of all of them
	cost  int    // towards maxInbox
}

// A letter is the arguments of a call of HandleDatagrams.
type letter struct {
	at         time.Time
	route      ice.Route
	start, end int // in bytes
	segment    int
}

// A crew keeps spareLetters for use again, with room for a flight or two each.
const (
	spareLetters = 16
	lettersSize  = 4 << 10
)

func (c *crew) newLetters() *letters {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.spare) - 1; last >= 0 {
		l := c.spare[last]
		c.spare[last], c.spare = nil, c.spare[:last]
		return l
	}
	return &letters{all: make([]letter, 0, 4), bytes: make([]byte, 0, lettersSize)}
}

// recycle takes letters that have been read.
func (c *crew) recycle(l *letters) {
	clear(l.all)
	l.all, l.bytes, l.cost = l.all[:0], l.bytes[:0], 0
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spare) < spareLetters && cap(l.bytes) <= 2*lettersSize {
		c.spare = append(c.spare, l)
	}
}

// add copies a datagram; it returns false if there are too many.
func (l *letters) add(now time.Time, r ice.Route, b []byte, segment int) bool {
	if l.cost += len(b) + letterOverhead; l.cost > maxInbox {
		l.cost -= len(b) + letterOverhead
		return false
	}
	start := len(l.bytes)
	l.bytes = append(l.bytes, b...)
	l.all = append(l.all, letter{now, r, start, len(l.bytes), segment})
	return true
}

// maxInbox bounds the bytes that wait for the crew: several flights. Those
// beyond are lost, as they would be in a full socket. Whatever its size, a
// datagram counts letterOverhead besides.
const (
	maxInbox       = 32 << 10
	letterOverhead = 256
)

// lockOrPostpone takes the peer's lock for datagrams, or returns false: they are
// kept for the crew. A reader does not wait for a peer that connects.
func (p *peer) lockOrPostpone(now time.Time, r ice.Route, b []byte, segment int) bool {
	i := &p.inbox
	if i.crew == nil || i.direct.Load() {
		p.mu.Lock()
		return true
	}
	i.mu.Lock()
	if i.direct.Load() {
		i.mu.Unlock()
		p.mu.Lock()
		return true
	}
	defer i.mu.Unlock()
	// STUN alone is cheap, and not worth a change of goroutines.
	cheap := len(b) > 0 && len(b) <= segment && b[0] < 4
	if cheap && !i.queued && p.mu.TryLock() {
		return true
	}
	if i.mail == nil {
		i.mail = i.crew.newLetters()
	}
	if i.mail.add(now, r, b, segment) {
		i.call(p)
	}
	return false
}

// postponeStart has the crew start DTLS. It returns false if that is to be
// done at once.
func (p *peer) postponeStart() bool {
	i := &p.inbox
	if i.crew == nil {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.start = true
	i.call(p)
	return true
}

// call queues the peer; mu is held.
func (i *inbox) call(p *peer) {
	if !i.member {
		i.member = true
		i.crew.join()
	}
	if !i.queued {
		i.queued = true
		i.crew.add(p)
	}
}

// leave has the crew no longer wait for this peer: nothing is postponed any
// more.
func (i *inbox) leave() {
	if i.crew == nil {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.direct.Store(true)
	if i.member {
		i.member = false
		i.crew.leave()
	}
}

// takePostponed does what waits in the inbox. It returns true if more has come
// meanwhile.
func (p *peer) takePostponed() (again bool) {
	i := &p.inbox
	i.mu.Lock()
	waiting, start := i.mail, i.start
	i.mail, i.start = nil, false
	i.mu.Unlock()

	up := p.catchUp(waiting, start)

	i.mu.Lock()
	if i.mail != nil || i.start {
		i.mu.Unlock()
		return true
	}
	i.queued = false
	i.mu.Unlock()
	if up {
		i.leave()
	}
	return false
}

// catchUp does what was postponed, and tells whether the connection is up, or
// over.
func (p *peer) catchUp(waiting *letters, start bool) (up bool) {
	if waiting != nil {
		defer p.inbox.crew.recycle(waiting)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return true
	}
	if start {
		p.core.beginDTLS(p.now())
	}
	if waiting != nil {
		for _, l := range waiting.all {
			p.take(l.at, l.route, waiting.bytes[l.start:l.end:l.end], l.segment)
		}
	}
	p.run(p.now())
	return p.closed || p.core.ended || p.state == StateConnected
}
