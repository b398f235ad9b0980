// Package tcpmux opens the connections of ICE over TCP (RFC 6544). To an ICE agent
// each connection is a route that carries datagrams, framed by RFC 4571; package
// streammux carries them.
//
// A [Dialer] is the active end: it connects when the agent first writes to a route. A
// [Listener] is the passive end, for any number of transports.
//
// # Half-open connections
//
// The first datagram of a connection to a Listener must be a check, whose USERNAME
// names the transport. Until then, and until the transport has authenticated the check
// ([Port.Bind]), a connection is half-open. Half-open connections are limited in all,
// by source and by transport; beyond a limit the oldest is closed. The time and the
// bytes that they may take are limited, too.
package tcpmux

import (
	"errors"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
)

// A Handler is a transport, one connection's engine.
type Handler interface {
	streammux.Handler
	// RouteClosed says that the connection of a route could not be opened, or is
	// closed, other than by Unbind or Close.
	RouteClosed(r ice.Route, err error)
}

// Errors of this package.
var (
	ErrClosed = errors.New("tcpmux: closed")
	ErrTaken  = errors.New("tcpmux: held by another peer")
	ErrLimit  = errors.New("tcpmux: too many connections")
	ErrNoConn = errors.New("tcpmux: there is no such connection")
)

// limits are the limits on half-open connections.
type limits struct {
	halfOpen   int           // of a listener
	fromSource int           // of an IPv4 address, or of an IPv6 network of 64 bits
	first      time.Duration // time for the first datagram
	proof      time.Duration // time from then for the transport to authenticate a check: its description may arrive later
}

var defaultLimits = limits{halfOpen: 1024, fromSource: 64, first: 5 * time.Second, proof: 30 * time.Second}

const (
	// maxFirst is the longest first datagram: a check, to which browsers may add a
	// DTLS flight.
	maxFirst = 2048

	// Connections of a port, and those that are not authenticated.
	maxConns    = 32
	maxUnproven = 8

	maxUfrags = 8 // of a port

	// dialTimeout is the time for a connection: two SYNs are repeated.
	dialTimeout = 10 * time.Second

	// maxWaiting is how many bytes are queued for a connection that is being opened.
	maxWaiting = 16 << 10

	// idleDial is how long a Dialer keeps a connection on which the agent has no
	// success: as long as a check can take (RFC 8489 §6.2.2).
	idleDial = 40 * time.Second
)
