package rtcpeer

import "context"

// A leader is a socket that the goroutine of a blocked Send or Receive may
// read in place of its reader, so that what it waits for need not be handed
// from one goroutine to another.
type leader interface {
	// Lead reads until ready has something to receive, or ctx is done, or
	// little comes. It returns false if it did not read at all.
	Lead(ctx context.Context, ready <-chan struct{}) (led bool)
}

// setLeader sets the socket of the selected pair. The lock is held.
func (p *peer) setLeader(q port) {
	if l, ok := q.(leader); ok {
		p.leader.Store(&l)
	} else {
		p.leader.Store(nil)
	}
}

// wait waits for s, which a blocked call of this channel waits for: by reading
// the socket, where that can be, else asleep.
func (c *stackChannel) wait(ctx context.Context, s *signal) error {
	if l, ready := c.peer.leader.Load(), s.channel(); l != nil && len(ready) == 0 {
		(*l).Lead(ctx, ready)
	}
	return s.wait(ctx)
}
