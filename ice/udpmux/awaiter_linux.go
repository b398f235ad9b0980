package udpmux

import (
	"net"
	"syscall"
)

// An awaiter waits for something to read, without a buffer to read it into.
type awaiter struct {
	ready  func(fd uintptr) bool
	parked bool
	raw    syscall.RawConn
}

func (a *awaiter) init(conn *net.UDPConn) (err error) {
	if a.raw, err = conn.SyscallConn(); err != nil {
		return err
	}
	a.ready = func(fd uintptr) bool {
		if a.parked {
			return true // woken: no need to look
		}
		_, _, _, _, err := syscall.Recvmsg(int(fd), nil, nil, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		a.parked = err == syscall.EAGAIN
		return !a.parked // any other error is for the read to report
	}
	return nil
}

// await returns when there may be something to read, or the socket is closed.
// In the runtime's poller it takes as many system calls as a read that waits.
func (a *awaiter) await() {
	a.parked = false
	a.raw.Read(a.ready) // the read that follows fails like this one
}
