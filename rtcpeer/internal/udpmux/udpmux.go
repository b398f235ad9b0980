// Package udpmux is the edge between the sockets and the peers: it alone
// touches UDP sockets. One reader a socket takes datagrams in batches and
// hands them to the peer that they belong to.
//
// # Batches
//
// On Linux the kernel splits what is sent (UDP_SEGMENT) and joins what
// arrives (UDP_GRO), which makes a datagram several times cheaper than a
// system call each. Where it cannot, one by one is what happens, with the
// same interface. Config.DisableOffload, or PURERTC_DISABLE_OFFLOAD=1 in the
// environment, turns it off.
//
// # Who reads
//
// One goroutine a socket, the reader, waits in the runtime's poller. With
// Config.BusyPoll it looks at the socket for some time before it sleeps.
//
// # Whose datagram is it
//
// A [Socket] that one peer has alone gives everything to it. On a shared one
// a datagram belongs to the peer that its source address is bound to
// ([Port.Bind], after the source authenticated itself). STUN is looked at
// first, since it is how an address changes hands: a request belongs to the
// peer whose ufrag its USERNAME begins with, and a response to the peer that
// sent the request. When the source has answered a check of another peer
// ([Port.Claim]), both have the address: the far end may have begun anew, or
// have two connections. What belongs to nobody is dropped. All tables are
// bounded.
//
// # Full sockets
//
// [Port.Write] never waits. When the kernel takes no more, the rest is kept,
// and a goroutine, which exists only then, sends it when there is room and
// tells the peer ([Handler.Writable]).
package udpmux

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"purertc/ice"
)

// A Handler is a peer that takes datagrams. It is called by different
// goroutines, maybe at the same time.
type Handler interface {
	// HandleDatagrams takes what arrived on r in one read: datagrams of
	// segment bytes each, the last one maybe shorter. It runs on the goroutine
	// that reads; b is valid during the call only and may be written to.
	HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int)

	// Writable tells that a socket that was full takes datagrams again.
	Writable(sock ice.Sock)

	// SocketClosed tells that a socket failed for good.
	SocketClosed(sock ice.Sock, err error)
}

// Config says how a socket is opened.
type Config struct {
	// Addr is the address to bind to; port 0: any. An unspecified address serves
	// all of the machine's: 0.0.0.0 IPv4, :: both families, and the zero Addr both
	// families on a system that has IPv6, else IPv4.
	Addr           netip.AddrPort
	HideLocal      bool          // the local address of a datagram is not asked for, as on systems other than Linux: for tests
	DisableOffload bool          // no GSO and no GRO
	ReusePort      bool          // several sockets on one port, which the kernel spreads flows over
	BufferSize     int           // asked of the kernel, each way; 0: 4 MiB
	BusyPoll       time.Duration // for how long the reader looks for a datagram before it sleeps; Linux only
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

	// Bursts given to the kernel at once. Linux takes up to 64 segments
	// (UDP_MAX_SEGMENTS) and an IP packet's 65,535 bytes with headers.
	maxSegments = 64
	maxBurst    = 65000

	// maxDatagram is the most that one read can bring.
	maxDatagram = 65535

	maxBinds  = 64 // of a port; an agent has 32 routes in use at most
	maxUfrags = 8  // of a port

	// maxPending is how many bytes of a peer wait for a full socket.
	maxPending = 256 << 10

	// maxAllPending bounds it for all peers of a socket together: as much as a
	// Host asks of the kernel for the socket itself.
	maxAllPending = 16 << 20
)
