package ice

import (
	"time"

	"purertc/stun"
)

// HandleDatagram takes a datagram. What is STUN, TURN or mDNS is eaten; the
// payload of a permitted route comes back, a part of b.
func (a *Agent) HandleDatagram(now time.Time, r Route, b []byte) (data []byte, ok bool) {
	if len(b) == 0 || a.state == StateClosed {
		return nil, false
	}
	if r.Sock == SockMDNS {
		if a.mdns.HandlePacket(now, b) {
			a.update(now)
		}
		return nil, false
	}
	// RFC 7983 §7 tells protocols apart by the first byte: 20 to 63 is DTLS.
	if b[0] >= 20 && b[0] <= 63 {
		if p := a.selected; p != nil && r == p.route {
			return b, true
		}
		return b, a.permitted(r)
	}
	if b[0] < 4 {
		a.handleSTUN(now, r, b)
	}
	return nil, false
}

// handleSTUN takes a STUN message.
func (a *Agent) handleSTUN(now time.Time, r Route, raw []byte) {
	m, err := stun.Parse(raw)
	if err != nil {
		return
	}
	if present, valid := m.CheckFingerprint(); present && !valid {
		return // RFC 8489 §7.3: not STUN after all
	}
	b := a.findBase(r)
	if b == nil {
		return
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
		return
	}
	a.update(now)
}
