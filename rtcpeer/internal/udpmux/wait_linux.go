package udpmux

import (
	"net"
	"runtime"
	"syscall"
	"time"
)

// soMemInfo is SO_MEMINFO (include/uapi/asm-generic/socket.h), which package syscall
// lacks. Its first number is the memory that the datagrams in the socket's receive
// queue take.
const soMemInfo = 55

// A waiter waits until a datagram is in the socket's receive queue, without needing a
// read buffer. If busyPoll is set, the waiter checks the queue repeatedly for that
// time before it sleeps in the runtime's poller.
type waiter struct {
	raw      syscall.RawConn
	queued   func(fd uintptr) bool
	busyPoll time.Duration
}

func (w *waiter) init(conn *net.UDPConn, busyPoll time.Duration) (err error) {
	w.raw, err = conn.SyscallConn()
	w.busyPoll = busyPoll
	w.queued = func(fd uintptr) bool {
		return queued(fd) || w.poll(fd)
	}
	return err
}

// wait returns when a read is unlikely to block.
func (w *waiter) wait() error { return w.raw.Read(w.queued) }

// queued reports whether a datagram is in the receive queue, or whether a read would
// return an error.
func queued(fd uintptr) bool {
	n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, soMemInfo)
	return n != 0 || err != nil
}

// poll checks the receive queue repeatedly for the time busyPoll. Between two checks
// other goroutines run, for example a goroutine of the program that is about to send.
func (w *waiter) poll(fd uintptr) bool {
	for begin := time.Now(); time.Since(begin) < w.busyPoll; runtime.Gosched() {
		if queued(fd) {
			return true
		}
	}
	return false
}
