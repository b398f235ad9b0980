// Package tcpmux opens the connections of ICE over TCP (RFC 6544). For an ICE agent
// each connection is a route that carries datagrams, framed by RFC 4571. Package
// streammux reads and writes them.
//
// A [Dialer] is the active end: it connects when the agent first writes to a route. A
// [Listener] is the passive end, for any number of transports.
//
// # Half-open connections
//
// The first datagram of a connection to a Listener must be a check with the USERNAME of
// the transport. A connection is half-open until the transport has authenticated the
// check ([Port.Bind]). The number of half-open connections is limited in total, for
// each source and for each transport. If a limit is exceeded, the oldest is closed. The
// time and the bytes that they may take are limited, too.
package tcpmux

import (
	"errors"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
)

// A Handler is a transport: the engine of one connection.
type Handler interface {
	streammux.Handler
	// RouteClosed says that the connection of a route could not be opened, or is
	// closed for another reason than Unbind or Close.
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
	halfOpen   int           // half-open connections of a listener
	fromSource int           // half-open connections from one IPv4 address, or from one IPv6 network with a prefix of 64 bits
	first      time.Duration // time that the first datagram may take
	proof      time.Duration // time after the first datagram within which the transport must have authenticated a check; long, since the remote description may arrive after the connection
}

var defaultLimits = limits{halfOpen: 1024, fromSource: 64, first: 5 * time.Second, proof: 30 * time.Second}

const (
	// maxFirst is the longest first datagram in bytes: a check, to which browsers may
	// add a DTLS flight.
	maxFirst = 2048

	// maxConns bounds the connections of a port. maxUnproven bounds the connections of
	// a port that are not authenticated.
	maxConns    = 32
	maxUnproven = 8

	maxUfrags = 8 // ufrags of a port

	// dialTimeout is how long the opening of a connection may take: the SYN is
	// retransmitted twice in that time.
	dialTimeout = 10 * time.Second

	// maxWaiting is how many bytes are queued for a connection that is being opened.
	maxWaiting = 16 << 10

	// idleDial is how long a Dialer keeps a connection on which no check of the agent
	// has succeeded. A STUN transaction can take this time (RFC 8489 §6.2.2).
	idleDial = 40 * time.Second
)
