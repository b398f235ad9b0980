package udpmux

import (
	"net/netip"
	"sync/atomic"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// A Port attaches one transport to a Socket.
type Port struct {
	socket  *Socket
	handler Handler
	sock    ice.Sock
	sole    bool
	closed  atomic.Bool

	// The following fields are guarded by socket.demux.mu.
	ufrags []string
	binds  []netip.AddrPort
	asked  []stun.TransactionID // requests that are or were in demux.waiting

	// The following fields are guarded by socket.writer.mu.
	pending      []burst
	pendingBytes int
}

// Attach attaches a transport to the socket. The transport's routes have the Sock
// sock. If sole is set, everything that arrives belongs to this transport. Otherwise:
//
//   - A datagram belongs to the transport that its remote address is bound to.
//   - A request from another address belongs to the transport that its USERNAME names.
//   - A response belongs to the transport that sent the request.
//   - Other datagrams are given, at a limited rate, to transports that are bound to
//     another port of the same host.
func (s *Socket) Attach(h Handler, sock ice.Sock, sole bool) (*Port, error) {
	if s.closed.Load() {
		return nil, ErrClosed
	}
	p := &Port{socket: s, handler: h, sock: sock, sole: sole}
	if err := s.demux.attach(p); err != nil {
		return nil, err
	}
	if sole {
		s.sole.Store(p)
	}
	return p, nil
}

func (p *Port) deliver(now time.Time, r ice.Route, b []byte, segment int) {
	if p.closed.Load() {
		return
	}
	r.Sock = p.sock
	p.handler.HandleDatagrams(now, r, b, segment)
}

// Socket returns the port's socket.
func (p *Port) Socket() *Socket { return p.socket }

// AddUfrag hands requests to the transport if their USERNAME begins with this local
// ufrag. A ufrag that is a whole USERNAME (local ufrag, colon, remote ufrag) stands for
// the requests with exactly that USERNAME, so that several transports can share a local
// ufrag. The error is ErrTaken if the ufrag belongs to another transport. A sole
// transport gets all requests anyway.
func (p *Port) AddUfrag(ufrag string) error {
	if p.sole {
		return p.open()
	}
	return p.socket.demux.addUfrag(p, ufrag)
}

// RemoveUfrag undoes AddUfrag.
func (p *Port) RemoveUfrag(ufrag string) { p.socket.demux.removeUfrag(p, ufrag) }

// Bind hands datagrams from remote to the transport. The remote must have
// authenticated itself. The error is ErrTaken if the address belongs to another
// transport that is not closed.
func (p *Port) Bind(remote netip.AddrPort) error {
	if p.sole {
		return p.open()
	}
	return p.socket.demux.bind(p, remote, false)
}

// Claim is like Bind, for an address that has been validated because a check sent
// there was answered. It takes the address from another transport. That transport
// still gets a copy of encrypted datagrams. Perhaps its remote has ended without
// telling it, or both transports have connections to the same remote.
func (p *Port) Claim(remote netip.AddrPort) error {
	if p.sole {
		return p.open()
	}
	return p.socket.demux.bind(p, remote, true)
}

// Unbind undoes Bind.
func (p *Port) Unbind(remote netip.AddrPort) { p.socket.demux.unbind(p, remote) }

func (p *Port) open() error {
	if p.closed.Load() {
		return ErrClosed
	}
	return nil
}

// Close detaches the transport. No call of its Handler begins after Close. Close does
// not wait for a call that is running, so a Handler may call it, even with a lock held
// that the Handler takes.
func (p *Port) Close() {
	if p.closed.Swap(true) {
		return
	}
	if p.sole {
		p.socket.sole.CompareAndSwap(p, nil)
	}
	p.socket.demux.detach(p)
	p.socket.writer.forget(p)
}
