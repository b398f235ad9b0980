package turn

import (
	"net/netip"
	"slices"
	"time"

	"purertc/stun"
)

const (
	// defaultLifetime is that of RFC 8656 §3.2, in seconds.
	defaultLifetime = 600

	// refreshBefore is how long before an allocation's end it is refreshed
	// (RFC 8656 §8.1: about one minute), in which a request has time to be
	// repeated until it is given up.
	refreshBefore = time.Minute

	// letGo is how long a server may take to let go of an allocation that was
	// given back.
	letGo = 1500 * time.Millisecond

	maxLifetime = 3600 // RFC 8656 §7.2: servers grant no more
)

// allocated takes the answer to Allocate (RFC 8656 §7.3).
func (c *Client) allocated(now time.Time, q *request, m stun.Message) {
	lifetime, ok := m.Uint32(stun.AttrLifetime)
	for t, v := range m.Attributes() {
		if t != stun.AttrXORRelayedAddress || len(c.relayed) == 2 {
			continue
		}
		if a, ok := m.DecodeXORAddr(v); ok && Reachable(c.server.Addr(), a) && !c.hasFamily(a.Addr()) {
			c.relayed = append(c.relayed, a)
		}
	}
	if !ok || lifetime == 0 || len(c.relayed) == 0 {
		c.relayed = nil
		c.end(ErrAnswer)
		return
	}
	if a, ok := m.MappedAddress(); ok && Reachable(c.server.Addr(), a) {
		c.mapped = a
	}
	c.state = ready
	c.setLifetime(now, lifetime)
	c.events = append(c.events, Event{Kind: EventAllocated})
}

// Reachable reports whether a server at an address may name another one to this
// client, as its alternate, as relayed or as mapped: an address of one machine or
// link only means something where the server is on it, too. A server elsewhere
// would have the client send to its own machine.
func Reachable(server netip.Addr, a netip.AddrPort) bool {
	ip := a.Addr().Unmap()
	return ip.IsValid() && a.Port() != 0 && !ip.IsUnspecified() && !ip.IsMulticast() &&
		(!ip.IsLoopback() || server.IsLoopback()) && (!ip.IsLinkLocalUnicast() || server.IsLinkLocalUnicast())
}

func (c *Client) hasFamily(ip netip.Addr) bool {
	return slices.ContainsFunc(c.relayed, func(a netip.AddrPort) bool { return a.Addr().Is4() == ip.Is4() })
}

func (c *Client) setLifetime(now time.Time, seconds uint32) {
	life := time.Duration(min(seconds, maxLifetime)) * time.Second
	c.expires = now.Add(life)
	c.refreshAt = now.Add(max(life-refreshBefore, life/2))
}

// refreshed takes the answer to Refresh (RFC 8656 §8.3).
func (c *Client) refreshed(now time.Time, q *request, m stun.Message) {
	if c.state == released {
		c.state = allocating
		c.ask(now, &request{method: stun.MethodAllocate})
		return
	}
	lifetime, ok := m.Uint32(stun.AttrLifetime)
	if !ok || lifetime == 0 {
		c.end(ErrAnswer)
		return
	}
	c.setLifetime(now, lifetime)
}

// maxAlternates bounds how far one server may send on to the next.
const maxAlternates = 4

// allocateRefused looks for another way after an error answer to Allocate. It
// reports whether there is one.
func (c *Client) allocateRefused(now time.Time, q *request, m stun.Message, code stun.ErrorCode) bool {
	switch code {
	case stun.CodeTryAlternate:
		return c.redirected(now, q, m)
	case stun.CodeFamilyNotSupported:
		// RFC 8656 §7.4: not the same request again. It asked for an IPv4
		// address first of all; there may be IPv6 ones.
		if q.family != 0 {
			return false
		}
		c.forget(q)
		c.ask(now, &request{method: stun.MethodAllocate, family: stun.IPv6})
		return true
	case stun.CodeAllocationMismatch:
		// A program that was here before may have left its allocation on this
		// very socket. It is given back, and the request repeated, once, and
		// once more after a while.
		// coturn keeps what was given back for a second more, and says so
		// before it asks for credentials.
		if c.waited || c.cfg.Shared {
			return false
		}
		if c.gaveBack {
			c.forget(q)
			c.waited, c.againAt = true, now.Add(letGo)
			return true
		}
		c.forget(q)
		c.state, c.gaveBack = released, true
		c.ask(now, &request{method: stun.MethodRefresh})
		return true
	}
	return false
}

// redirected goes to the alternate server (RFC 8489 §10). Another server may
// be of another realm, so it is asked as if for the first time.
func (c *Client) redirected(now time.Time, q *request, m stun.Message) bool {
	to, ok := m.Addr(stun.AttrAlternateServer)
	if !ok || !Reachable(c.server.Addr(), to) {
		return false
	}
	if c.cfg.Connected || to.Addr().Is4() != c.server.Addr().Is4() {
		domain, _ := m.Get(stun.AttrAlternateDomain)
		c.failed(now, q, &AlternateError{to, string(domain)})
		return true
	}
	if slices.Contains(c.tried, to) || len(c.tried) > maxAlternates {
		return false // RFC 8489 §10: a loop
	}
	c.tried = append(c.tried, to)
	c.server, c.auth = to, auth{}
	c.forget(q)
	c.ask(now, &request{method: stun.MethodAllocate})
	return true
}
