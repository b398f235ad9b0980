package turn

import (
	"net/netip"
	"slices"
	"time"

	"purertc/stun"
)

const (
	// defaultLifetime is the lifetime of RFC 8656 §3.2, in seconds.
	defaultLifetime = 600

	// refreshBefore is how long before its end an allocation is refreshed. RFC 8656
	// §8.1 recommends about a minute, which is enough for all retransmissions of a
	// request.
	refreshBefore = time.Minute

	// letGo is how long the client waits for a server to remove a released allocation.
	letGo = 1500 * time.Millisecond

	maxLifetime = 3600 // in seconds; servers grant no longer lifetime (RFC 8656 §7.2)
)

// allocated processes the success response to Allocate (RFC 8656 §7.3).
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

// Reachable reports whether this client can use an address that a server has named as
// its alternate, or as a relayed or mapped address. Loopback and link-local addresses
// have a meaning only if the server is on the same machine or link. Without this
// check, a server could make the client send to the client's own machine.
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

// refreshed processes the success response to Refresh (RFC 8656 §8.3).
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

// maxAlternates bounds how many times servers may refer to another server.
const maxAlternates = 4

// allocateRefused processes an error response to Allocate. It reports whether the
// client sends another request, so that the failure is not final.
func (c *Client) allocateRefused(now time.Time, q *request, m stun.Message, code stun.ErrorCode) bool {
	switch code {
	case stun.CodeTryAlternate:
		return c.redirected(now, q, m)
	case stun.CodeFamilyNotSupported:
		// RFC 8656 §7.4: the same request must not be repeated. The first request
		// asks for an IPv4 address; the server may have IPv6 addresses.
		if q.family != 0 {
			return false
		}
		c.forget(q)
		c.ask(now, &request{method: stun.MethodAllocate, family: stun.IPv6})
		return true
	case stun.CodeAllocationMismatch:
		// An earlier program may have left its allocation on the same socket address.
		// The client releases that allocation and repeats the request, and repeats it
		// once more after a while. coturn keeps a released allocation for another
		// second, and reports the mismatch before it asks for credentials.
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

// redirected continues with the alternate server (RFC 8489 §10). That server may have
// another realm, so the request is sent without credentials, like the first one.
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
		return false // RFC 8489 §10: the servers refer to each other in a loop
	}
	c.tried = append(c.tried, to)
	c.server, c.auth = to, auth{}
	c.forget(q)
	c.ask(now, &request{method: stun.MethodAllocate})
	return true
}
