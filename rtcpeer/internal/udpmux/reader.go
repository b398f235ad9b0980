package udpmux

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"purertc/ice"
)

// A readBuffer is what one read fills. It belongs to the reader that has
// something to read, not to a socket: ten thousand sockets that rest would
// keep 640 MB.
type readBuffer struct {
	b   [maxDatagram]byte
	oob [oobSize]byte
}

// spareBuffers are those that no reader needs just now. A sync.Pool would lose
// them with every garbage collection, which come often where many connections
// are set up, and 64 KiB of new memory cost more than all else about a read.
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
	default: // left to the collector
	}
}

const (
	// maxReadErrors is how many errors in a row end the reader. ICMP errors
	// that reads report come one by one and mean nothing for other peers.
	maxReadErrors = 1000

	// A reader is busy from so many reads on that followed one another within
	// busyGap, and keeps its buffer until the first that does not. The reader
	// of a socket that many share keeps it always: there are few of those.
	busyReads = 32
	busyGap   = 10 * time.Millisecond
)

// read is the reader.
func (s *Socket) read() {
	defer close(s.done)
	var (
		buffer   *readBuffer
		last     time.Time
		streak   int // reads in a row without a gap
		failures int // errors in a row
	)
	for {
		if streak >= busyReads {
			s.detach()
			if s.turn.linger() {
				last = time.Now() // who led has read meanwhile
			}
		}
		var n, oobn int
		var from netip.AddrPort
		var err error
		buffer, n, oobn, from, err = s.receive(buffer)
		if err != nil {
			if failures++; s.closed.Load() || errors.Is(err, net.ErrClosed) || failures > maxReadErrors {
				if buffer != nil {
					returnBuffer(buffer)
				}
				s.failed(err)
				return
			}
			continue
		}
		failures = 0
		now := time.Now()
		s.take(now, from, buffer.b[:n], buffer.oob[:oobn])
		if streak++; now.Sub(last) > busyGap {
			streak = 0
		}
		if last = now; streak < busyReads && s.sole.Load() != nil {
			returnBuffer(buffer)
			buffer = nil
		}
	}
}

// take gives what one read brought to whom it belongs.
func (s *Socket) take(now time.Time, from netip.AddrPort, b, oob []byte) {
	if len(b) == 0 {
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
