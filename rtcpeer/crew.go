package rtcpeer

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"purertc/ice"
)

// A crew is a few goroutines that run the peers of a host while they connect.
// A handshake takes a third of a millisecond of public-key work: done by the
// reader of the shared socket, thousands that connect would stall those that
// are connected, and done by as many goroutines as there are peers, too.
type crew struct {
	mu      sync.Mutex
	work    sync.Cond // waiting or closed has changed
	waiting []*peer   // each once: inbox.queued
	closed  bool
}

// start begins the crew's work, until close.
func (c *crew) start() {
	c.work.L = &c.mu
	// One processor is left to those that are connected.
	for range max(1, runtime.GOMAXPROCS(0)-1) {
		go c.run()
	}
}

// add has a peer run by one of the crew.
func (c *crew) add(p *peer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
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

// next waits for a peer; nil: the crew is closed.
func (c *crew) next() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.waiting) == 0 {
		if c.closed {
			return nil
		}
		c.waiting = nil
		c.work.Wait()
	}
	p := c.waiting[0]
	c.waiting[0] = nil
	c.waiting = c.waiting[1:]
	return p
}

// close ends the crew, once what waits is done.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.work.Broadcast()
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
}

// mail is the arguments of a call of HandleDatagrams.
type mail struct {
	at      time.Time
	route   ice.Route
	b       []byte
	segment int
}

// maxInbox bounds the bytes that wait for the crew: several flights. Those
// beyond are lost, as they would be in a full socket.
const maxInbox = 32 << 10

// postpone keeps datagrams for the crew. It returns false if they are to be
// taken at once.
func (p *peer) postpone(now time.Time, r ice.Route, b []byte, segment int) bool {
	i := &p.inbox
	if i.crew == nil || i.direct.Load() {
		return false
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.direct.Load() {
		return false
	}
	if i.bytes += len(b); i.bytes > maxInbox {
		i.bytes -= len(b)
		return true
	}
	i.mail = append(i.mail, mail{now, r, slices.Clone(b), segment})
	i.call(p)
	return true
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
	if !i.queued {
		i.queued = true
		i.crew.add(p)
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
	defer i.mu.Unlock()
	if len(i.mail) > 0 || i.start {
		return true
	}
	i.queued = false
	i.direct.Store(up)
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
