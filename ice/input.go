package ice

import (
	"time"

	"purertc/ice/internal/turn"
	"purertc/stun"
)

// HandleDatagram takes a datagram. What is STUN, TURN or mDNS is eaten; the
// payload of a permitted route comes back, a part of b. With false, it may be
// the far end's from elsewhere: see Proven.
func (a *Agent) HandleDatagram(now time.Time, r Route, b []byte) (data []byte, ok bool) {
	if len(b) == 0 || a.state == StateClosed {
		return nil, false
	}
	if r.Sock == SockMDNS {
		found := a.mdns != nil && a.mdns.HandlePacket(now, b)
		asked := a.names.HandlePacket(now, r.Remote.Addr().Unmap().Is4(), b)
		if found || asked {
			a.update(now)
		}
		return nil, false
	}
	if !r.Local.IsValid() {
		r = a.withLocal(r, b)
	}
	// RFC 7983 §7 tells protocols apart by the first byte: 0 to 3 is STUN, 20
	// to 63 DTLS, 64 to 79 a TURN channel.
	if turn.IsChannelData(b) {
		if l := a.relayOf(r); l != nil {
			if peer, data, ok := l.client.ChannelData(b); ok {
				return a.handleRelayed(now, l, peer, data)
			}
		}
		return nil, false
	}
	return a.handlePeer(now, r, b)
}

// withLocal adds the local address to the route of a datagram b whose own is not
// known, as on a socket bound to all addresses on a system that does not say. It
// is that of the pair that b answers, else of the pair in use, or of another pair or
// base that the remote address goes with.
func (a *Agent) withLocal(r Route, b []byte) Route {
	fits := func(p *pair) bool { return p != nil && p.route.Sock == r.Sock && p.route.Remote == r.Remote }
	if m, err := stun.Parse(b); err == nil && m.Type().Class() >= stun.ClassSuccess {
		if p := a.pairOf(m.TransactionID()); fits(p) {
			return p.route
		}
	}
	if fits(a.selected) {
		return a.selected.route
	}
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			if fits(p) {
				return p.route
			}
		}
	}
	for _, base := range a.bases {
		if base.sock == r.Sock && base.reaches(r.Remote.Addr()) {
			return base.route(r.Remote)
		}
	}
	return r
}

// handlePeer takes a datagram of the far end, relayed or not.
func (a *Agent) handlePeer(now time.Time, r Route, b []byte) (data []byte, ok bool) {
	if len(b) == 0 {
		return nil, false
	}
	if b[0] >= 20 && b[0] <= 63 {
		if p := a.selected; p != nil && r == p.route {
			p.hears(now)
			p.used = true
			return b, true
		}
		if !a.permitted(r) {
			return a.strange(r, b), false
		}
		a.follow(now, r)
		return b, true
	}
	if b[0] < 4 {
		return a.handleSTUN(now, r, b)
	}
	return nil, false
}

// handleSTUN takes a STUN message. One that a server sent may have a peer's
// data in it.
func (a *Agent) handleSTUN(now time.Time, r Route, raw []byte) (data []byte, ok bool) {
	m, err := stun.Parse(raw)
	if err != nil {
		return nil, false
	}
	if present, valid := m.CheckFingerprint(); present && !valid {
		return nil, false // RFC 8489 §7.3: not STUN after all
	}
	if m.Type().Method() != stun.MethodBinding {
		return a.handleTURN(now, r, m)
	}
	b := a.findBase(r)
	if b == nil {
		return nil, false
	}
	switch m.Type() {
	case stun.BindingRequest:
		a.handleRequest(now, r, b, m)
	case stun.BindingSuccess, stun.BindingError:
		if q := a.requestOf(m.TransactionID()); q != nil {
			a.handleServerResponse(now, r, q, m)
		} else {
			a.handleResponse(now, r, b, m)
		}
	default:
		// A Binding indication keeps a NAT's binding alive and asks for
		// nothing (RFC 8445 §11).
		return nil, false
	}
	a.update(now)
	return nil, false
}
