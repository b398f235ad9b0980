package ice

import (
	"time"

	"purertc/ice/internal/turn"
	"purertc/stun"
)

// HandleDatagram processes a datagram that arrived on r. The agent handles STUN, TURN
// and multicast DNS itself. Payload that arrives on an authenticated route is returned
// with ok; it is a part of b. Payload that is returned without ok comes from an
// address that has not been validated; see Authenticated. With EnableSPED, a DTLS
// datagram that an authenticated STUN message carries is returned with ok, too.
func (a *Agent) HandleDatagram(now time.Time, r Route, b []byte) (payload []byte, ok bool) {
	if len(b) == 0 || a.state == StateClosed {
		return nil, false
	}
	if r.Sock == SockMDNS {
		found := a.lookups.handlePacket(now, b)
		asked := a.gather.names.HandlePacket(now, r.Remote.Addr().Unmap().Is4(), b)
		if found || asked {
			a.update(now)
		}
		return nil, false
	}
	if !r.Local.IsValid() {
		r = a.withLocal(r, b)
	}
	// RFC 7983 §7 distinguishes protocols by the first byte: 0 to 3 is STUN, 20 to 63
	// is DTLS, 64 to 79 is a TURN channel.
	if turn.IsChannelData(b) {
		if r, b, ok = a.gather.unwrapChannel(r, b); !ok {
			return nil, false
		}
	}
	return a.handleRemote(now, r, b)
}

// withLocal adds the local address to the route of datagram b if the socket does not
// report it, as a wildcard socket on some systems. If b answers the check
// of a pair, the address is that of the pair; otherwise that of the selected pair;
// otherwise that of another pair or base that fits the remote address.
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
	for _, base := range a.gather.bases {
		if base.sock == r.Sock && base.reaches(r.Remote.Addr()) {
			return base.route(r.Remote)
		}
	}
	return r
}

// handleRemote processes a datagram of the remote agent, or of a STUN server.
func (a *Agent) handleRemote(now time.Time, r Route, b []byte) (payload []byte, ok bool) {
	switch {
	case len(b) > 0 && b[0] < 4:
		return a.handleSTUN(now, r, b)
	case len(b) == 0 || b[0] < 20 || b[0] > 63:
		return nil, false
	}
	if p := a.selected; p != nil && r == p.route {
		p.markReceived(now)
		p.carried = true
		return b, true
	}
	if !a.permitted(r) {
		return a.unvalidated(r, b), false
	}
	if a.follow(now, r) {
		a.update(now)
	}
	return b, true
}

// handleSTUN processes a STUN message. payload is the contents of a Data indication, or
// the DTLS datagram that an authenticated check or response carries.
func (a *Agent) handleSTUN(now time.Time, r Route, raw []byte) (payload []byte, ok bool) {
	m, err := stun.Parse(raw)
	if err != nil {
		return nil, false
	}
	if present, valid := m.CheckFingerprint(); present && !valid {
		return nil, false // RFC 8489 §7.3: the datagram is not STUN
	}
	if m.Type().Method() != stun.MethodBinding {
		return a.handleTURN(now, r, m)
	}
	b := a.gather.baseOf(r)
	if b == nil {
		return nil, false
	}
	switch m.Type() {
	case stun.BindingRequest:
		payload = a.handleRequest(now, r, b, m)
	case stun.BindingSuccess, stun.BindingError:
		if !a.gather.handleResponse(now, r, m) {
			payload = a.handleResponse(now, r, b, m)
		}
	default:
		// A Binding indication only keeps the binding of a NAT (RFC 8445 §11).
		return nil, false
	}
	a.update(now)
	return payload, payload != nil
}

// handleTURN processes a message with another method than Binding. Only the agent's
// servers send such messages.
func (a *Agent) handleTURN(now time.Time, r Route, m stun.Message) (payload []byte, ok bool) {
	switch m.Type().Class() {
	case stun.ClassIndication:
		if from, b, ok := a.gather.unwrapIndication(r, m); ok {
			return a.handleRemote(now, from, b)
		}
	case stun.ClassSuccess, stun.ClassError:
		if a.gather.handleTURN(now, r, m) {
			a.update(now)
		}
	}
	return nil, false
}
