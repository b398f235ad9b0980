package turn

import (
	"net/netip"
	"slices"
	"time"

	"purertc/stun"
)

const (
	// A permission lasts 5 minutes and a channel 10 minutes (RFC 8656 §9, §12). Like
	// an allocation, both are refreshed a minute before they end.
	permissionRefresh = 4 * time.Minute
	channelRefresh    = 9 * time.Minute

	// permissionRetry is the time from an unanswered refresh to the next one.
	permissionRetry = 5 * time.Second

	// firstChannel is the lowest channel number (RFC 8656 §12).
	firstChannel = 0x4000

	maxPermissions = 128
	maxChannels    = 64
)

// A Permission is the state of a permission.
type Permission uint8

const (
	Unknown Permission = iota // not requested, or not answered yet
	Granted
	Refused
)

// A permission lets datagrams of one address pass, with any port.
type permission struct {
	ip        netip.Addr
	state     Permission
	err       error
	refreshAt time.Time
}

// A channel is a number that replaces a peer's address in the framing.
type channel struct {
	number    uint16
	peer      netip.AddrPort
	bound     bool
	refreshAt time.Time
}

// Permit requests a permission to exchange datagrams with an address, unless it was
// requested before.
func (c *Client) Permit(now time.Time, ip netip.Addr) error {
	if c.state != ready || c.permission(ip) != nil {
		return nil
	}
	if len(c.permissions) >= maxPermissions {
		return ErrLimit
	}
	p := &permission{ip: ip}
	c.permissions = append(c.permissions, p)
	c.ask(now, &request{method: stun.MethodCreatePermission, permission: p})
	return nil
}

// Permission returns the state of the permission for an address. err says why it was
// refused.
func (c *Client) Permission(ip netip.Addr) (state Permission, err error) {
	if p := c.permission(ip); p != nil {
		return p.state, p.err
	}
	return Unknown, nil
}

func (c *Client) permission(ip netip.Addr) *permission {
	for _, p := range c.permissions {
		if p.ip == ip {
			return p
		}
	}
	return nil
}

// Retain lets permissions expire for addresses that are not in use. Permissions for
// addresses with a channel stay, because the channel renews them.
func (c *Client) Retain(inUse func(netip.Addr) bool) {
	c.permissions = slices.DeleteFunc(c.permissions, func(p *permission) bool {
		if inUse(p.ip) || slices.ContainsFunc(c.channels, func(ch *channel) bool { return ch.peer.Addr() == p.ip }) {
			return false
		}
		c.requests = slices.DeleteFunc(c.requests, func(q *request) bool { return q.permission == p })
		return true
	})
}

// Bind requests a channel to a peer, unless there is one. Until the server grants it,
// and if the server refuses it, Send indications carry the data.
func (c *Client) Bind(now time.Time, peer netip.AddrPort) {
	if c.state != ready || len(c.channels) >= maxChannels || c.channelTo(peer) != nil {
		return
	}
	ch := &channel{number: firstChannel + uint16(len(c.channels)), peer: peer}
	c.channels = append(c.channels, ch)
	c.ask(now, &request{method: stun.MethodChannelBind, channel: ch})
}

func (c *Client) channelTo(peer netip.AddrPort) *channel {
	for _, ch := range c.channels {
		if ch.peer == peer {
			return ch
		}
	}
	return nil
}

// refreshPermissions refreshes permissions and channels that are about to expire.
func (c *Client) refreshPermissions(now time.Time) {
	for _, p := range c.permissions {
		if !p.refreshAt.IsZero() && !now.Before(p.refreshAt) {
			p.refreshAt = time.Time{}
			c.ask(now, &request{method: stun.MethodCreatePermission, permission: p})
		}
	}
	for _, ch := range c.channels {
		if !ch.refreshAt.IsZero() && !now.Before(ch.refreshAt) {
			ch.refreshAt = time.Time{}
			c.ask(now, &request{method: stun.MethodChannelBind, channel: ch})
		}
	}
}
