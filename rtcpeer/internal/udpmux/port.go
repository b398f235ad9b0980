package udpmux

import (
	"net/netip"
	"sync/atomic"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// A Port is one peer's attachment to a Socket.
type Port struct {
	socket  *Socket
	handler Handler
	sock    ice.Sock
	sole    bool
	closed  atomic.Bool

	// Under socket.demux.mu.
	ufrags []string
	binds  []netip.AddrPort
	asked  []stun.TransactionID // that demux.waiting has, or had

	// Under socket.writer.mu.
	pending      []burst
	pendingBytes int
}

// Attach connects a peer to the socket, under the number that its routes
// will carry. With sole, everything that arrives is the peer's; else
// datagrams go to the peer that their remote address is bound to, requests
// from other addresses to the peer that their USERNAME names, responses to the
// peer that sent the request, and other datagrams, now and then, to the peers
// bound to another port of their host.
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

// AddUfrag has requests whose USERNAME begins with this local ufrag given to
// the peer. One that another peer has is ErrTaken. To a sole peer, all are
// given in any case, and nothing is kept.
func (p *Port) AddUfrag(ufrag string) error {
	if p.sole {
		return p.open()
	}
	return p.socket.demux.addUfrag(p, ufrag)
}

// RemoveUfrag undoes AddUfrag.
func (p *Port) RemoveUfrag(ufrag string) { p.socket.demux.removeUfrag(p, ufrag) }

// Bind has datagrams from remote given to the peer. It must have been
// authenticated. An address that another live peer holds is refused with
// ErrTaken. A sole peer has them all.
func (p *Port) Bind(remote netip.AddrPort) error {
	if p.sole {
		return p.open()
	}
	return p.socket.demux.bind(p, remote, false)
}

// Claim is Bind of an address at which the peer is known to be reached, because
// a check sent there was answered: not only the source of something that came,
// which may be forged. It is given also if another peer holds it, which goes on
// getting what comes encrypted: it may be one that is no more, and does not know
// it yet, or a second connection to the same far end.
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

// Close detaches the peer; no call of its Handler begins afterwards. One that
// is under way may not have returned yet, so that Close may be called from
// within, and under a lock that the Handler takes.
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
