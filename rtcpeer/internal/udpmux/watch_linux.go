//go:build !386

package udpmux

import (
	"os"
	"syscall"
)

// A watch waits for one kind of event of a descriptor. While nobody waits, the
// event wakes nobody.
type watch struct {
	fd     int      // of what is watched
	file   *os.File // the epoll instance, which the runtime's poller watches
	raw    syscall.RawConn
	event  syscall.EpollEvent
	armed  bool
	err    error
	happen func(ep uintptr) bool
	events [1]syscall.EpollEvent
}

// epollOneShot is EPOLLONESHOT, which package syscall has with a type that
// differs from one architecture to another.
const epollOneShot = 1 << 30

func newWatch(fd int, event uint32) (*watch, error) {
	ep, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	// Nothing but errors until wait arms it.
	err = syscall.EpollCtl(ep, syscall.EPOLL_CTL_ADD, fd, &syscall.EpollEvent{Events: epollOneShot, Fd: int32(fd)})
	if err == nil {
		err = syscall.SetNonblock(ep, true) // else it would not be given to the runtime's poller
	}
	if err != nil {
		syscall.Close(ep)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	w := &watch{fd: fd, file: os.NewFile(uintptr(ep), "epoll"), event: syscall.EpollEvent{Events: event | epollOneShot, Fd: int32(fd)}}
	if w.raw, err = w.file.SyscallConn(); err != nil {
		w.file.Close()
		return nil, err
	}
	w.happen = w.happened
	return w, nil
}

// wait returns when the event holds, or with an error if the watch is closed.
// Only one goroutine may wait.
func (w *watch) wait() error {
	w.armed = false
	if err := w.raw.Read(w.happen); err != nil {
		return err
	}
	return w.err
}

// happened arms the watch when it is called first. From then on it is called
// each time something may have happened.
func (w *watch) happened(ep uintptr) bool {
	if !w.armed {
		w.armed = true
		w.err = syscall.EpollCtl(int(ep), syscall.EPOLL_CTL_MOD, w.fd, &w.event)
		return w.err != nil
	}
	for {
		n, err := syscall.EpollWait(int(ep), w.events[:], 0)
		if err != syscall.EINTR {
			w.err = err
			return n != 0
		}
	}
}

func (w *watch) close() { w.file.Close() }
