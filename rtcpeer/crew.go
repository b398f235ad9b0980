package rtcpeer

import (
	"runtime"
	"slices"
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
	work    sync.Cond // waiting or members has changed
	waiting []*peer   // each once: inbox.queued
	members int       // who may have work; at 0 the goroutines end
	running int       // goroutines
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
	c.waiting = append(c.waiting, p)
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
	for len(c.waiting) == 0 {
		c.waiting = nil
		if c.members == 0 {
			c.running--
			return nil
		}
		c.work.Wait()
	}
	p := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	return p
}

// An inbox is what a peer's crew has to do.
type inbox struct {
	crew   *crew       // nil: nothing is postponed
	direct atomic.Bool // the connection is up: nothing is postponed any more

	mu     sync.Mutex
	mail   []mail
	bytes  int
	start  bool // of DTLS
	queued bool // in the crew's list, or being run
	member bool // has joined the crew, and not left it
}

// mail is the arguments of a call of HandleDatagrams.
type mail struct {
	at      time.Time
	route   ice.Route
	b       []byte
	segment int
}

// maxInbox bounds the bytes that wait for the crew: several flights. Those
// beyond are lost, as they would be in a full socket. Whatever its size, a
// datagram counts mailOverhead besides.
const (
	maxInbox     = 32 << 10
	mailOverhead = 256
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
	i.post(p, mail{now, r, b, segment})
	return false
}

// post keeps a copy of m for the crew; mu is held.
func (i *inbox) post(p *peer, m mail) {
	if n := len(m.b) + mailOverhead; i.bytes+n <= maxInbox {
		m.b = slices.Clone(m.b)
		i.bytes += n
		i.mail = append(i.mail, m)
		i.call(p)
	}
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
	i.mail, i.bytes, i.start = nil, 0, false
	i.mu.Unlock()

	up := p.catchUp(waiting, start)

	i.mu.Lock()
	if len(i.mail) > 0 || i.start {
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
func (p *peer) catchUp(waiting []mail, start bool) (up bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return true
	}
	if start {
		p.core.beginDTLS(p.now())
	}
	for _, m := range waiting {
		p.take(m.at, m.route, m.b, m.segment)
	}
	p.run(p.now())
	return p.closed || p.core.ended || p.state == StateConnected
}
