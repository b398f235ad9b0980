package udpmux

import (
	"net/netip"
	"time"

	"purertc/ice"
)

// A readBuffer holds the datagrams of one read. It belongs to the goroutine that
// reads, not to a socket. Otherwise the buffers of ten thousand idle sockets would
// take 640 MB.
type readBuffer struct {
	b   [maxDatagram]byte
	oob [oobSize]byte
}

// spareBuffers holds buffers that no reader uses. It is not a sync.Pool, because a
// sync.Pool drops its buffers at garbage collections, and clearing 64 KiB of new
// memory costs more than the rest of a read.
var spareBuffers = make(chan *readBuffer, 8)

func borrowBuffer() *readBuffer {
	select {
	case b := <-spareBuffers:
		return b
	default:
		return new(readBuffer)
	}
}

func returnBuffer(b *readBuffer) {
	select {
	case spareBuffers <- b:
	default: // the garbage collector frees the buffer
	}
}

// maxReadErrors is how many consecutive errors end the reader. ICMP errors, which some
// systems report in a read, concern one remote address each, so they do not end the
// reader.
const maxReadErrors = 1000

// read is the reader goroutine.
func (s *Socket) read() {
	defer func() {
		if s.kept {
			s.released()
		}
		close(s.done)
	}()
	for failures := 0; ; {
		err := s.readOnce()
		if err == nil {
			failures = 0
			continue
		}
		if failures++; s.endsReader(err) || failures > maxReadErrors {
			s.failed(err)
			return
		}
	}
}

// readOnce waits for a datagram, or several that the kernel has joined, and hands them
// to their transports.
func (s *Socket) readOnce() error {
	if s.packets != nil {
		return s.readPacket()
	}
	if err := s.waiter.wait(); err != nil {
		return err
	}
	buffer := borrowBuffer()
	defer returnBuffer(buffer)
	n, oobn, _, from, err := s.conn.ReadMsgUDPAddrPort(buffer.b[:], buffer.oob[:])
	if err != nil {
		return err
	}
	s.take(time.Now(), from, buffer.b[:n], buffer.oob[:oobn])
	return nil
}

// take hands the datagrams of one read to their transports.
func (s *Socket) take(now time.Time, from netip.AddrPort, b, oob []byte) {
	if len(b) == 0 || !from.IsValid() {
		return
	}
	segment, local := parseControl(oob)
	if !s.wildcard {
		local = s.local.Addr()
	}
	if segment <= 0 || segment > len(b) {
		segment = len(b)
	}
	r := ice.Route{Local: local, Remote: netip.AddrPortFrom(from.Addr().Unmap(), from.Port())}
	s.dispatch(now, r, b, segment)
}
