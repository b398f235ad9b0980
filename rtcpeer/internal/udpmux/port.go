package udpmux

import (
	"net/netip"
	"sync/atomic"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// A Port is one transport's attachment to a Socket.
type Port struct {
	socket  *Socket
	handler Handler
	sock    ice.Sock
	sole    bool
	closed  atomic.Bool

	// Guarded by socket.demux.mu.
	ufrags []string
	binds  []netip.AddrPort
	asked  []stun.TransactionID // in demux.waiting now or before

	// Guarded by socket.writer.mu.
	pending      []burst
	pendingBytes int
}

// Attach attaches a transport to the socket, with sock in its routes. If sole is set,
// everything that arrives is the transport's. Else datagrams go to the transport that
// their remote address is bound to; requests from other addresses to the transport
// that their USERNAME names; responses to the transport that sent the request; and
// other datagrams, at a limited rate, to transports bound to another port of the same
// host.
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

// Socket is the port's socket.
func (p *Port) Socket() *Socket { return p.socket }

// AddUfrag hands requests whose USERNAME begins with this local ufrag to the
// transport. If another transport has the ufrag, the error is ErrTaken. A sole
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
// authenticated itself. If another live transport has the address, the error is
// ErrTaken.
func (p *Port) Bind(remote netip.AddrPort) error {
	if p.sole {
		return p.open()
	}
	return p.socket.demux.bind(p, remote, false)
}

// Claim is Bind for an address that has been validated: a check sent there was
// answered. It takes the address from another transport, which still gets a copy of
// encrypted datagrams: its remote may be gone without its knowledge, or the two may be
// two connections to one remote.
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

// Close detaches the transport; no call of its Handler begins afterwards. It does not
// wait for a call that is under way, so that Handlers can call it, with a lock held
// that they take.
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
