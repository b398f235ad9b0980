//go:build !386

package udpmux

import (
	"context"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"
)

// A turn is whose it is to read a busy socket.
//
// First of all the reader's, which looks at the socket for a while before it
// goes to sleep (lingers): to be put to sleep and woken is taken to cost the
// processor sleepCost at both ends together; to look for a shorter time than
// that is cheaper. What lingering saves and what it costs is accounted for, and
// where it does not pay, as with datagrams far apart, the reader sleeps at once
// for the next lingerPause times.
//
// While the reader lingers, a goroutine that has nothing to do until something
// arrives may take its turn ([Port.Lead]), so that what arrives need not be
// handed from one goroutine to the other, which costs more than to decrypt it.
// When it has what it waited for, it leaves, and is expected back soon: the
// reader looks after the socket at intervals of watchMin to watchMax, and
// takes its turn again if nobody has read since the last. Who stays away for long is better
// served by a reader beside it, and does not get the turn for the next
// leadPause times.
type turn struct {
	raw   syscall.RawConn // nil: nobody lingers
	state atomic.Int32
	taken atomic.Uint32 // how often who leads has taken it
	back  chan struct{} // the reader is to go on

	// Whose turn it is may change these.
	credit time.Duration
	pause  int // times not to linger

	look  func(fd uintptr) // the reader's
	watch *time.Timer      // the reader's

	receiver                  // of who leads, as are those below
	lead     func(fd uintptr) // tries for lingerTime at most
	leftAt   time.Time
	away     time.Duration // how long who leads is away, on average
	unfit    atomic.Int32  // times not to lend
	sought   atomic.Int32  // turns for which several goroutines count as wanting it
}

// States of a turn. The reader moves it from reading to lingering and back,
// and from left and returned to reading; who leads, from lingering and left to
// lent, and from there to left or returned.
const (
	turnReading   int32 = iota // or asleep: the reader's, not to be taken
	turnLingering              // the reader's, who lingers: may be taken
	turnLent                   // somebody leads
	turnLeft                   // who led is expected back
	turnReturned               // the reader is to go on
)

const (
	lingerTime  = 100 * time.Microsecond // what two ends that sleep take to answer
	lingerPause = 64                     // waits

	// sleepCost was not measured but chosen: of 50, 80 and 100 µs, with two
	// processes on two processors, the last served bulk data best.
	sleepCost = 100 * time.Microsecond

	startCredit = 2 * lingerTime
	maxCredit   = 4 * lingerTime

	// yieldLooks looks are about 30 µs. Less has two processes that speak to each
	// other share one processor and leave the other one idle; more, pings
	// beside bulk data wait longer. It was chosen from 1, 4, 16, 24, 32, 36, 48, 64 and
	// 128, with two processes on two processors.
	yieldLooks = 48

	// soughtLooks is yieldLooks for soughtTurns turns after one goroutine waited
	// while another led: a process with several that wait has work for its other
	// thread. Of 1, 2, 3 and 4, it served bulk data beside pings best.
	soughtLooks = 2
	soughtTurns = 64

	// How long datagrams may wait where who led does not come back, at first
	// and later. Each look wakes a goroutine, beside one that does well.
	watchMin = time.Millisecond
	watchMax = 4 * time.Millisecond

	maxAway   = 50 * time.Microsecond // about what a batch of the longest size takes
	leadPause = 64

	soMemInfo = 55 // SO_MEMINFO: as a number, the bytes that wait to be read
)

func (t *turn) init(raw syscall.RawConn) {
	if runtime.GOMAXPROCS(0) == 1 {
		return // nobody else could make something arrive
	}
	t.raw, t.credit = raw, startCredit
	t.back = make(chan struct{}, 1)
	t.receiver.init()
	t.lead = func(fd uintptr) {
		begin := time.Now()
		for looks := 1; !t.try(fd) && time.Since(begin) < lingerTime; looks++ {
			t.yield(looks)
		}
	}
	t.look = func(fd uintptr) {
		begin := time.Now()
		for looks := 1; ; looks++ {
			n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, soMemInfo)
			elapsed := time.Since(begin)
			if n != 0 || err != nil || elapsed >= lingerTime {
				if !t.state.CompareAndSwap(turnLingering, turnReading) {
					return // lent
				}
				t.account(elapsed, elapsed < lingerTime)
				return
			}
			t.yield(looks)
			if t.state.Load() != turnLingering {
				return
			}
		}
	}
}

// yield lets others run between two looks at the socket: goroutines of this
// process, which may be those that are to answer or to lead, and now and then
// other threads of this processor. The kernel would have those wait for
// milliseconds, since it cannot know that nothing is done here.
func (t *turn) yield(looks int) {
	if looks%t.yieldAfter() == 0 {
		syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0)
	}
	runtime.Gosched()
}

// yieldAfter is how many looks there are from one yield to other threads to the
// next.
func (t *turn) yieldAfter() int {
	if t.sought.Load() > 0 {
		return soughtLooks
	}
	return yieldLooks
}

// account notes what it cost to look at the socket, and whether that paid.
func (t *turn) account(elapsed time.Duration, found bool) {
	if t.credit -= elapsed; found {
		t.credit = min(t.credit+sleepCost, maxCredit)
	}
	if t.credit < 0 {
		t.credit, t.pause = startCredit, lingerPause
	}
}

// linger returns when there is something to read, or it is time to sleep, or
// the socket is closed. It is the reader's. It tells whether somebody else led
// meanwhile.
func (t *turn) linger() (lent bool) {
	t.unseek()
	switch {
	case t.raw == nil:
		return false
	case t.pause > 0:
		t.pause--
		return false
	}
	for {
		t.state.Store(turnLingering)
		if t.raw.Control(t.look) != nil || t.state.Load() == turnReading {
			return lent // if closed, the read that follows fails like Control
		}
		if lent = true; !t.stand() {
			return lent
		}
	}
}

// stand waits while somebody else leads. It returns true where who led has not
// come back.
func (t *turn) stand() (deserted bool) {
	wait, seen := watchMin, t.taken.Load()-1
	if t.watch == nil {
		t.watch = time.NewTimer(wait)
	} else {
		t.watch.Reset(wait)
	}
	for {
		select {
		case <-t.back:
			t.watch.Stop()
			t.state.Store(turnReading)
			return false
		case <-t.watch.C:
			taken := t.taken.Load()
			switch {
			case t.state.Load() != turnLeft:
				wait = min(2*wait, watchMax)
			case taken != seen:
				wait = watchMin // it has just left, maybe
			case t.state.CompareAndSwap(turnLeft, turnReading):
				t.unfit.Store(leadPause)
				return true
			}
			seen = taken
			t.watch.Reset(wait)
		}
	}
}

// take takes the turn from the reader that lingers, or again where it was left.
func (t *turn) take() bool {
	switch t.state.Load() {
	case turnLingering:
		if t.unfit.Load() > 0 {
			t.unfit.Add(-1)
			return false
		}
		if !t.state.CompareAndSwap(turnLingering, turnLent) {
			return false
		}
		t.away = 0
		t.lend()
		return true
	case turnLeft:
		if !t.state.CompareAndSwap(turnLeft, turnLent) {
			return false
		}
		if t.away += (time.Since(t.leftAt) - t.away) / 8; t.away > maxAway {
			t.unfit.Store(leadPause)
			t.giveBack()
			return false
		}
		t.lend()
		return true
	case turnLent:
		t.sought.Store(soughtTurns)
	}
	return false
}

// lend counts a turn of who has taken it.
func (t *turn) lend() {
	t.taken.Add(1)
	t.unseek()
}

// unseek counts a turn, of the reader's or of who leads, since it was sought.
func (t *turn) unseek() {
	if n := t.sought.Load(); n > 0 {
		t.sought.CompareAndSwap(n, n-1)
	}
}

// leave is for who leads and has what it waited for.
func (t *turn) leave() {
	t.leftAt = time.Now()
	t.state.Store(turnLeft)
}

// giveBack is for who leads, and is not coming back.
func (t *turn) giveBack() {
	t.state.Store(turnReturned)
	t.wakeReader()
}

// wakeReader has the reader go on, if it does not do so already.
func (t *turn) wakeReader() {
	select {
	case t.back <- struct{}{}:
	default:
	}
}

// Lead has the caller, who waits for something that only a datagram can bring,
// read the socket in its reader's place, and deliver to the handler. It returns
// when ready has something to receive or ctx is done, after a datagram at the
// latest, or nothing has come for a while. It returns at once, and false, where
// there is nothing to be gained: where the socket is not the port's alone or
// not busy, somebody else leads already, or the caller has turned out to do so
// much between its calls that a reader beside it does better.
func (p *Port) Lead(ctx context.Context, ready <-chan struct{}) (led bool) {
	s := p.socket
	t := &s.turn
	if !p.sole || !t.take() {
		return false
	}
	buffer := borrowBuffer()
	defer returnBuffer(buffer)
	for begin := time.Now(); ; {
		n, oobn, from, err := t.receive(t.raw, t.lead, buffer)
		now := time.Now()
		t.account(now.Sub(begin), err == nil)
		if err != nil { // or nothing has come: the reader is to see to it
			t.giveBack()
			return true
		}
		s.take(now, from, buffer.b[:n], buffer.oob[:oobn])
		if len(ready) > 0 || ctx.Err() != nil {
			t.leave()
			return true
		}
		begin = time.Now()
	}
}
