// Package tcpmux is where the connections of ICE over TCP (RFC 6544) come
// from. To an ICE agent each is a route, and what goes over it are datagrams,
// framed by RFC 4571; package streammux carries them.
//
// A [Dialer] is the active end: a route is connected when the agent first
// writes to it. A [Listener] is the passive end, one for any number of peers.
//
// # Strangers
//
// Who connects to a Listener is told apart by the first datagram, which has to
// be a check: its USERNAME names the peer. Until then, and until the peer has
// found the check authentic ([Port.Bind]), a connection counts as half-open:
// there is a limit on those, in all, of one source and of one peer, beyond which the
// oldest is closed, on how long they may take and on how much they may send.
package tcpmux

import (
	"errors"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
)

// A Handler is a peer.
type Handler interface {
	streammux.Handler
	// RouteClosed tells that the connection of a route could not be made, or
	// is closed, other than by Unbind or Close.
	RouteClosed(r ice.Route, err error)
}

// Errors of this package.
var (
	ErrClosed = errors.New("tcpmux: closed")
	ErrTaken  = errors.New("tcpmux: held by another peer")
	ErrLimit  = errors.New("tcpmux: too many connections")
	ErrNoConn = errors.New("tcpmux: there is no such connection")
)

// limits are those on what has not proven itself.
type limits struct {
	halfOpen   int           // connections of a listener
	fromSource int           // those of them from an IPv4 address, or an IPv6 network of 64 bits
	first      time.Duration // how long the first datagram may take
	proof      time.Duration // how long the peer may then take to find one authentic: its description may come later
}

var defaultLimits = limits{halfOpen: 1024, fromSource: 64, first: 5 * time.Second, proof: 30 * time.Second}

const (
	// maxFirst is the longest first datagram: a check, which browsers may load
	// with a DTLS flight.
	maxFirst = 2048

	// Connections of a port, and those of them that are not proven.
	maxConns    = 32
	maxUnproven = 8

	maxUfrags = 8 // of a port

	// dialTimeout is how long a connection may take: two SYNs are repeated.
	dialTimeout = 10 * time.Second

	// maxWaiting is how many bytes wait for a connection that is being made.
	maxWaiting = 16 << 10

	// idleDial is how long a connection of a Dialer is kept that the agent
	// does not find to work: as long as a check is waited for (RFC 8489 §6.2.2).
	idleDial = 40 * time.Second
)
