//go:build !linux || 386

package udpmux

import (
	"context"
	"net/netip"
	"syscall"
)

// A detachment is nothing here: sockets stay with the runtime's poller.
type detachment struct{}

func (s *Socket) detach() {}

func (s *Socket) closeSocket() error { return s.conn.Close() }

func (s *Socket) receive(b *readBuffer) (n, oobn int, from netip.AddrPort, err error) {
	n, oobn, _, from, err = s.conn.ReadMsgUDPAddrPort(b.b[:], b.oob[:])
	return n, oobn, from, err
}

// A turn is the reader's always: nobody lingers here.
type turn struct{}

func (t *turn) init(syscall.RawConn) {}

func (t *turn) linger() (lent bool) { return false }

func (t *turn) wakeReader() {}

// Lead returns false: the reader is the only one that reads.
func (p *Port) Lead(context.Context, <-chan struct{}) (led bool) { return false }
