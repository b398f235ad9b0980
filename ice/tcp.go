package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// ICE over TCP (RFC 6544). To the agent a connection is a Route like any
// other, whose socket opens it when it is first written to, if the local end
// is active, and keeps datagrams apart by the framing of RFC 4571. What is
// different is here: who is paired with whom, that checks are sent once, and
// that a connection can close.
//
// Simultaneous-open candidates are left out, theirs and ours. No browser has
// them; they need a listening and a connecting socket on one port, which
// not every system allows; and they serve only where both ends are behind
// NATs that drop UDP but know what to do with a SYN for a SYN. A relay over
// TCP gets through there.

// A TCPType is who opens the connection of a TCP candidate (RFC 6544 §4.5).
type TCPType uint8

const (
	NotTCP          TCPType = iota // a UDP candidate, or a TCP one that does not say
	TCPActive                      // its owner connects; its port says nothing
	TCPPassive                     // its owner listens
	TCPSimultaneous                // both connect at once
)

const (
	// discardPort is that of an active candidate (RFC 6544 §4.5).
	discardPort = 9

	// tcpRetryInterval is the least time between two attempts to connect a
	// pair again that has worked.
	tcpRetryInterval = time.Second
)

// String is the word of the attribute tcptype; "" for UDP.
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

// transport is the word of a candidate's transport.
func (t TCPType) transport() string {
	if t == NotTCP {
		return "udp"
	}
	return "tcp"
}

// opposite is what the other end of a connection is.
func (t TCPType) opposite() TCPType {
	switch t {
	case TCPActive:
		return TCPPassive
	case TCPPassive:
		return TCPActive
	}
	return t
}

// checks tells whether pairs of a local and a remote candidate of these types
// are formed before the far end's check arrives. Those of a passive one are
// pruned (RFC 6544 §6.2): there is nothing to send a check on.
func (t TCPType) checks(remote TCPType) bool {
	return t == NotTCP && remote == NotTCP || t == TCPActive && remote == TCPPassive
}

// errSuperseded is why a pair over TCP has no connection any more.
var errSuperseded = errors.New("its connection was closed, as another pair is in use")

// RouteClosed tells that the connection behind a route over TCP could not be
// opened, or is closed. An active pair that has worked is tried again at once,
// and then every second, until consent has expired or another pair is
// nominated; any other when there is need of it.
func (a *Agent) RouteClosed(now time.Time, r Route, err error) {
	b := a.findBase(r)
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

func (a *Agent) pairClosed(now time.Time, g *generation, p *pair, err error) {
	last := p.closedAt
	p.state, p.nominating, p.triggered, p.err, p.closedAt = PairFailed, false, false, err, now
	p.retransmission.Stop()
	p.transactions = transactions{}
	if p.local.tcp == TCPPassive {
		// The next connection comes from another port: nothing is left of
		// this one.
		g.removePairs(func(q *pair) bool { return q == p })
		g.forgetReflexive(p.remote)
	} else if p.answers > 0 {
		p.retryAt = now
		if next := last.Add(tcpRetryInterval); now.Before(next) {
			p.retryAt = next
		}
	}
	if a.selected == p {
		a.selected = nil
		g.recheck(p)
	}
}

// runReconnects has pairs checked again that lost their connection.
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

// forgetReflexive makes room for another peer-reflexive candidate.
func (g *generation) forgetReflexive(r *remote) {
	if r.typ == PeerReflexive {
		g.remotes = slices.DeleteFunc(g.remotes, func(o *remote) bool { return o == r })
		g.prflx--
	}
}

// closeSuperseded closes the connections of other pairs when the one that is
// nominated has come into use (RFC 6544 §8). They are opened again when it is
// in doubt.
func (a *Agent) closeSuperseded() {
	g := a.cur
	n := g.nominated
	if n == nil || n != a.selected || n == g.closedFor {
		return
	}
	g.closedFor = n
	closed := false
	for _, p := range g.pairs {
		if p.local.tcp == NotTCP || p == n || p.priority > n.priority || p.state == PairWaiting || p.state == PairFailed {
			continue
		}
		// The route is given up by name: a pair that is only being checked
		// has a connection, but no route yet.
		p.state, p.nominating, p.triggered, p.err = PairFailed, false, false, errSuperseded
		p.retransmission.Stop()
		p.transactions = transactions{}
		a.routes.remove(p.route)
		a.events.push(Event{Kind: EventRouteRemoved, Route: p.route})
		closed = true
	}
	if closed {
		g.removePairs(func(p *pair) bool {
			gone := p.err == errSuperseded && p.local.tcp == TCPPassive
			if gone {
				g.forgetReflexive(p.remote)
			}
			return gone
		})
	}
}

// Type preferences of TCP candidates: any that is not relayed comes after all
// of UDP's, since one lost segment holds up what follows it (RFC 6544 §4.2).
const (
	typePreferenceHostTCP  = 90
	typePreferencePrflxTCP = 80
)

// tcpPreference is the local preference of the n-th address of its family
// (RFC 6544 §4.2): the direction, then what localPreference goes by.
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
