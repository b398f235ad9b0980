//go:build !386

package udpmux

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
)

// A descriptor is that of a busy socket, taken from the runtime's poller, as
// a syscall.RawConn whose Read and Write wait by a watch.
//
// The poller is told of every datagram that comes, and also each time when the
// kernel is done with one that was sent, though nobody waits for either: the
// reader lingers, or somebody else leads. If a thread of the process has nothing
// to do but to wait for the poller, it is woken for each, in vain, on the
// processor that has work. That was more than a third of the time of bulk
// transfers over the loopback interface, and nine tenths of the longest pings
// beside them.
type descriptor struct {
	file     *os.File        // in blocking mode, or it would be given to the poller
	raw      syscall.RawConn // of file
	readable *watch          // the reader's
	writable *watch          // of the one goroutine that waits for room

	try  func(fd uintptr) bool // of the Read under way
	done bool
	once func(fd uintptr)

	closing sync.Once
}

// newDescriptor takes the socket of conn, which is closed.
func newDescriptor(conn *net.UDPConn) (*descriptor, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	fd := -1
	cerr := raw.Control(func(old uintptr) {
		syscall.ForkLock.RLock() // until it is closed at exec
		defer syscall.ForkLock.RUnlock()
		if fd, err = syscall.Dup(int(old)); err == nil {
			syscall.CloseOnExec(fd)
		}
	})
	if cerr != nil {
		return nil, cerr
	} else if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	d := &descriptor{}
	if d.readable, err = newWatch(fd, syscall.EPOLLIN); err != nil {
		syscall.Close(fd)
		return nil, err
	}
	if d.writable, err = newWatch(fd, syscall.EPOLLOUT); err != nil {
		d.readable.close()
		syscall.Close(fd)
		return nil, err
	}
	conn.Close()
	syscall.SetNonblock(fd, false)
	d.file = os.NewFile(uintptr(fd), "udp")
	d.raw, _ = d.file.SyscallConn() // of an open file
	d.once = func(fd uintptr) { d.done = d.try(fd) }
	return d, nil
}

// Control is of syscall.RawConn.
func (d *descriptor) Control(f func(fd uintptr)) error { return d.raw.Control(f) }

// Read is of syscall.RawConn, for one goroutine at a time. f must not block.
func (d *descriptor) Read(f func(fd uintptr) bool) error {
	for d.try = f; ; {
		if err := d.raw.Control(d.once); err != nil || d.done {
			return err
		}
		if err := d.readable.wait(); err != nil {
			return err
		}
	}
}

// Write is of syscall.RawConn. f must not block. Of several goroutines one at a
// time may wait.
func (d *descriptor) Write(f func(fd uintptr) bool) error {
	for done := false; ; {
		if err := d.raw.Control(func(fd uintptr) { done = f(fd) }); err != nil || done {
			return err
		}
		if err := d.writable.wait(); err != nil {
			return err
		}
	}
}

// close closes the socket, and ends what waits for it.
func (d *descriptor) close() (err error) {
	d.closing.Do(func() {
		err = d.file.Close()
		d.readable.close()
		d.writable.close()
	})
	return err
}

// An intake is how the reader gets what arrives: from the runtime's poller or,
// once the socket is busy, from a descriptor.
type intake struct {
	own   atomic.Pointer[descriptor] // nil: the socket is still conn's
	tried bool                       // the reader's, as are those below
	raw   syscall.RawConn            // conn's or own
	in    receiver
}

func (i *intake) init(raw syscall.RawConn) {
	i.raw = raw
	i.in.init()
}

// detach takes the socket from the runtime's poller. It is the reader's, when
// nobody else leads.
func (s *Socket) detach() {
	if s.tried || s.turn.raw == nil { // nobody lingers or leads
		return
	}
	if err := s.detachWriter(); err != nil { // there may be no descriptors left; it works as it is
		s.log.Debug("udp socket stays with the poller", "addr", s.local, "err", err)
	}
	if d := s.own.Load(); d != nil {
		s.intake.raw, s.turn.raw = d, d
		if s.closed.Load() {
			d.close()
		}
	}
}

// detachWriter does so for who sends.
func (s *Socket) detachWriter() error {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	if s.writer.full {
		return nil // a goroutine waits in the poller: another time
	}
	s.tried = true
	d, err := newDescriptor(s.conn)
	if err != nil {
		return err
	}
	s.own.Store(d)
	s.sender.raw = d
	return nil
}

// closeSocket closes the socket, whosever it is.
func (s *Socket) closeSocket() error {
	err := s.conn.Close()
	if d := s.own.Load(); d != nil {
		err = d.close()
	}
	return err
}

// receive waits for a datagram, or for several that the kernel joined. If b is
// nil it waits without a buffer: a borrowed one is filled, if any.
func (s *Socket) receive(b *readBuffer) (filled *readBuffer, n, oobn int, from netip.AddrPort, err error) {
	return s.in.await(s.intake.raw, b)
}
