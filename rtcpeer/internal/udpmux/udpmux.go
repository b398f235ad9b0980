// Package udpmux is between UDP sockets and transports (one connection's engine, in
// package rtcpeer): no other package touches UDP sockets. One reader goroutine a
// socket takes datagrams in batches and hands them to their transports.
//
// # Batches
//
// On Linux the kernel splits sent datagrams (UDP_SEGMENT) and joins received ones
// (UDP_GRO), which makes a datagram several times cheaper than one system call each.
// Where it cannot, datagrams are sent and received one by one, with the same
// interface. Config.DisableOffload, or PURERTC_DISABLE_OFFLOAD=1 in the environment,
// turns it off.
//
// # The reader
//
// The reader sleeps in the runtime's poller. With Config.BusyPoll it looks at the
// socket for some time before it sleeps.
//
// # Demultiplexing
//
// A [Socket] with a sole transport hands everything to it. On a shared one a datagram
// belongs to the transport that its source address is bound to ([Port.Bind], after the
// source has authenticated itself). STUN is looked at first, since it is how an
// address gets another owner: a request belongs to the transport whose ufrag its
// USERNAME begins with, and a response to the transport that sent the request. When
// the source has answered a check of another transport ([Port.Claim]), both have the
// address: the remote may have begun again, or have two connections. Other datagrams
// are dropped. All tables are bounded.
//
// # Full sockets
//
// [Port.Write] never waits. When the kernel accepts no more, the rest is kept. A
// goroutine, which exists only then, sends it when there is room and reports that to
// the transport ([Handler.Writable]).
package udpmux

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"purertc/ice"
)

// A Handler is a transport, one connection's engine. Different goroutines call it,
// perhaps at the same time.
type Handler interface {
	// HandleDatagrams takes the datagrams of one read on r: segment bytes each, of
	// which the last may be shorter. It runs on the reader goroutine; b is valid
	// during the call only and may be written to.
	HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int)

	// Writable says that a socket that was full accepts datagrams again.
	Writable(sock ice.Sock)

	// SocketClosed says that a socket failed for good.
	SocketClosed(sock ice.Sock, err error)
}

// A Config configures a Socket.
type Config struct {
	// Addr is the address to bind to; port 0: any. An unspecified address serves all
	// addresses of the machine: 0.0.0.0 those of IPv4, :: both families, and the zero
	// Addr both families on a system with IPv6, else IPv4.
	Addr           netip.AddrPort
	HideLocal      bool          // do not ask for local addresses, as on systems other than Linux: for tests
	DisableOffload bool          // no GSO and no GRO
	ReusePort      bool          // several sockets on one port, among which the kernel distributes flows
	BufferSize     int           // requested from the kernel, each way; 0: 4 MiB
	BusyPoll       time.Duration // how long the reader looks for a datagram before it sleeps; Linux only
	Logger         *slog.Logger
}

// Errors of this package.
var (
	ErrClosed      = errors.New("udpmux: closed")
	ErrNotSole     = errors.New("udpmux: the socket has a peer already")
	ErrTaken       = errors.New("udpmux: held by another peer")
	ErrLimit       = errors.New("udpmux: too many for one peer")
	ErrUnsupported = errors.New("udpmux: not supported on this system")
)

const (
	defaultBufferSize = 4 << 20

	// Limits of one send. Linux takes up to 64 segments (UDP_MAX_SEGMENTS) and an IP
	// packet's 65,535 bytes with headers.
	maxSegments = 64
	maxBurst    = 65000

	// maxDatagram is the most that one read returns.
	maxDatagram = 65535

	maxBinds  = 64 // of a port; an agent uses at most 32 routes
	maxUfrags = 8  // of a port

	// maxPending is how many bytes of a transport wait for a full socket.
	maxPending = 256 << 10

	// maxAllPending is the same for all transports of a socket: as much as a Host asks
	// of the kernel for the socket itself.
	maxAllPending = 16 << 20
)
