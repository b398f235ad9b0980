package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ICE over TCP (RFC 6544). For the agent a connection is a Route like any other. If
// the local candidate is active, the socket of the Route opens the connection at the
// first write. It frames datagrams by RFC 4571. This file has the differences from
// UDP: which candidates are paired, that checks are sent only once, and that
// connections can close.
//
// Simultaneous-open candidates are left out on purpose. No browser has them. They need a
// listening and a connecting socket on one port, which not every system allows. They
// help only if both agents are behind NATs that drop UDP but let a SYN answer a SYN. A
// relay over TCP works in that case, too.

// A TCPType says which agent opens the connection of a TCP candidate (RFC 6544
// §4.5).
type TCPType uint8

const (
	NotTCP          TCPType = iota // a UDP candidate, or a TCP candidate without tcptype
	TCPActive                      // the candidate's agent connects; the candidate's port has no meaning
	TCPPassive                     // the candidate's agent listens
	TCPSimultaneous                // both agents connect
)

const (
	// discardPort is the port of active candidates (RFC 6544 §4.5).
	discardPort = 9

	// tcpRetryInterval is the least time between two attempts to connect a pair again
	// that worked before.
	tcpRetryInterval = time.Second
)

// String returns the value of the attribute tcptype, or "" for UDP.
func (t TCPType) String() string {
	switch t {
	case NotTCP:
		return ""
	case TCPActive:
		return "active"
	case TCPPassive:
		return "passive"
	case TCPSimultaneous:
		return "so"
	}
	return fmt.Sprintf("TCPType(%d)", uint8(t))
}

func parseTCPType(s string) TCPType {
	for t := TCPActive; t <= TCPSimultaneous; t++ {
		if t.String() == s {
			return t
		}
	}
	return NotTCP
}

// transport returns the value of a candidate's transport field.
func (t TCPType) transport() string {
	if t == NotTCP {
		return "udp"
	}
	return "tcp"
}

// opposite returns the type of the other end of a connection.
func (t TCPType) opposite() TCPType {
	switch t {
	case TCPActive:
		return TCPPassive
	case TCPPassive:
		return TCPActive
	}
	return t
}

// checks reports whether a pair of a local and a remote candidate of these types is
// formed before a check of the remote agent arrives. Pairs of a passive local
// candidate are pruned (RFC 6544 §6.2), because there is no connection to send a
// check on.
func (t TCPType) checks(remote TCPType) bool {
	return t == NotTCP && remote == NotTCP || t == TCPActive && remote == TCPPassive
}

// errSuperseded is the error of a pair over TCP after its connection was closed
// because another pair is nominated.
var errSuperseded = errors.New("its connection was closed, as another pair is in use")

// RouteClosed reports that the connection of a route over TCP could not be opened, or
// is closed. An active pair that has worked is tried again immediately and then every
// second, until consent expires or another pair is nominated. Other pairs are tried
// again when they are needed.
func (a *Agent) RouteClosed(now time.Time, r Route, err error) {
	b := a.gather.baseOf(r)
	if a.state == StateClosed || b == nil || b.tcp == NotTCP {
		return
	}
	for g := a.cur; g != nil; g = g.older {
		for _, p := range slices.Clone(g.pairs) {
			if p.local == b && p.route.Remote == r.Remote {
				a.pairClosed(now, g, p, err)
			}
		}
	}
	a.pruneRoutes()
	a.update(now)
}

func (k *checks) pairClosed(now time.Time, g *generation, p *pair, err error) {
	last := p.closedAt
	p.state, p.nominating, p.triggered, p.err, p.closedAt = PairFailed, false, false, err, now
	p.retransmission.Stop()
	p.transactions = transactions{}
	if p.local.tcp == TCPPassive {
		// A passive pair cannot be connected again: the remote agent's next connection
		// comes from another port.
		g.removePairs(func(q *pair) bool { return q == p })
		if p.remote.typ == PeerReflexive {
			g.removeRemote(p.remote)
		}
	} else if p.answers > 0 {
		p.retryAt = now
		if next := last.Add(tcpRetryInterval); now.Before(next) {
			p.retryAt = next
		}
	}
	if k.selected == p {
		k.selected = nil
		g.recheck(p)
	}
}

// runReconnects checks pairs again after their connection was lost.
func (g *generation) runReconnects(now time.Time) {
	for _, p := range g.pairs {
		if p.retryAt.IsZero() || now.Before(p.retryAt) {
			continue
		}
		p.retryAt = time.Time{}
		if p.state == PairFailed && !g.outranks(p) {
			p.state, p.triggered = PairWaiting, true
		}
	}
}

// closeSuperseded closes the connections of other pairs when the nominated pair is
// selected (RFC 6544 §8). They are opened again when that pair is doubtful.
func (k *checks) closeSuperseded() {
	g := k.cur
	n := g.nominated
	if n == nil || n != k.selected || n == g.closedFor {
		return
	}
	g.closedFor = n
	closed := false
	for _, p := range g.pairs {
		if p.local.tcp == NotTCP || p == n || p.priority > n.priority || p.state == PairWaiting || p.state == PairFailed {
			continue
		}
		// pruneRoutes would not find a pair that is still being checked, because its
		// connection has no authenticated route.
		p.state, p.nominating, p.triggered, p.err = PairFailed, false, false, errSuperseded
		p.retransmission.Stop()
		p.transactions = transactions{}
		k.routes.remove(p.route)
		k.events.push(Event{Kind: EventRouteRemoved, Route: p.route})
		closed = true
	}
	if !closed {
		return
	}
	for _, p := range slices.Clone(g.pairs) {
		if p.err != errSuperseded || p.local.tcp != TCPPassive {
			continue
		}
		g.removePairs(func(q *pair) bool { return q == p })
		if p.remote.typ == PeerReflexive {
			g.removeRemote(p.remote)
		}
	}
}

// Type preferences of TCP candidates. Except for relayed candidates, they are below
// those of UDP, because one lost segment delays the data that follows (RFC 6544
// §4.2).
const (
	typePreferenceHostTCP  = 90
	typePreferencePrflxTCP = 80
)

// tcpPreference returns the local preference of a TCP address (RFC 6544 §4.2). n is
// its number in its family, from 0. The direction comes first, then the order of
// localPreference.
func tcpPreference(t TCPType, addr netip.Addr, n int) uint16 {
	direction := 4 // passive
	if t == TCPActive {
		direction = 6
	}
	other := 8191 - 2*n
	if addr.Is4() {
		other--
	}
	switch {
	case addr.IsLoopback():
		other -= 0x1000
	case addr.IsLinkLocalUnicast():
		other -= 0x0800
	}
	return uint16(direction<<13 + other)
}
