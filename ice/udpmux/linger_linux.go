package udpmux

import (
	"runtime"
	"syscall"
	"time"
)

// A lingerer looks at a busy socket for a while before its reader goes to
// sleep. To be put to sleep and woken is taken to cost the processor sleepCost
// at both ends together; to look for a shorter time than that is cheaper, and a
// ping that is answered at once comes back in a fifth of the time. What
// lingering saves and what it costs is accounted for, and where it does not
// pay, as with datagrams far apart, the reader sleeps at once for the next
// lingerPause times.
type lingerer struct {
	raw    syscall.RawConn
	look   func(fd uintptr) bool
	credit time.Duration
	pause  int
}

const (
	lingerTime  = 100 * time.Microsecond // what two ends that sleep take to answer
	lingerPause = 64                     // waits

	// sleepCost was not measured but chosen: of 50, 80 and 100 µs, with two
	// processes on two processors, the last served bulk data best.
	sleepCost = 100 * time.Microsecond

	startCredit = 2 * lingerTime
	maxCredit   = 4 * lingerTime

	soMemInfo = 55 // SO_MEMINFO: as a number, the bytes that wait to be read
)

func (l *lingerer) init(raw syscall.RawConn) {
	l.raw, l.credit = raw, startCredit
	if runtime.GOMAXPROCS(0) == 1 {
		return // nobody else could make something arrive
	}
	l.look = func(fd uintptr) bool {
		for begin := time.Now(); ; {
			n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, soMemInfo)
			elapsed := time.Since(begin)
			if n != 0 || err != nil {
				l.credit = min(l.credit+sleepCost-elapsed, maxCredit)
				break
			}
			if elapsed >= lingerTime {
				l.credit -= elapsed
				break
			}
			runtime.Gosched() // to whom it may be that is to answer
		}
		if l.credit < 0 {
			l.credit, l.pause = startCredit, lingerPause
		}
		return true
	}
}

// linger returns when there is something to read, or it is time to sleep.
func (l *lingerer) linger() {
	switch {
	case l.pause > 0:
		l.pause--
	case l.look != nil:
		l.raw.Read(l.look) // the read that follows fails like this one
	}
}
