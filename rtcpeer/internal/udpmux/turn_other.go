//go:build !linux || 386

package udpmux

import (
	"context"
	"net/netip"
	"syscall"
)

// An intake is nothing here: sockets stay with the runtime's poller.
type intake struct{}

func (i *intake) init(syscall.RawConn) {}

func (s *Socket) detach() {}

func (s *Socket) closeSocket() error { return s.conn.Close() }

// receive waits for a datagram, with a buffer: b or, if that is nil, a
// borrowed one.
func (s *Socket) receive(b *readBuffer) (filled *readBuffer, n, oobn int, from netip.AddrPort, err error) {
	if b == nil {
		b = borrowBuffer()
	}
	n, oobn, _, from, err = s.conn.ReadMsgUDPAddrPort(b.b[:], b.oob[:])
	return b, n, oobn, from, err
}

// A turn is the reader's always: nobody lingers here.
type turn struct{}

func (t *turn) init(syscall.RawConn) {}

func (t *turn) linger() (lent bool) { return false }

func (t *turn) wakeReader() {}

// Lead returns false: the reader is the only one that reads.
func (p *Port) Lead(context.Context, <-chan struct{}) (led bool) { return false }
