// Package udpmux connects UDP sockets with transports. A transport is the engine of one
// connection, in package rtcpeer. No other package uses UDP sockets. Each socket has one
// reader goroutine, which reads datagrams in batches and hands them to their transports.
//
// # Batches
//
// On Linux the kernel splits sent datagrams (UDP_SEGMENT) and joins received ones
// (UDP_GRO), which makes a datagram several times cheaper than one system call each.
// Where the kernel cannot do that, datagrams are sent and received one by one, with the
// same interface. Config.DisableOffload, or PURERTC_DISABLE_OFFLOAD=1 in the environment,
// turns offload off.
//
// # The reader
//
// The reader sleeps in the runtime's poller. With Config.BusyPoll it checks the socket
// again and again for some time before it sleeps.
//
// # Demultiplexing
//
// A [Socket] with a sole transport hands everything to it. On a shared socket a
// datagram belongs to the transport that its source address is bound to ([Port.Bind],
// after the source has authenticated itself). STUN is examined first, because an
// address gets another owner by STUN: a request belongs to the transport with the ufrag
// at the beginning of its USERNAME, and a response belongs to the transport that sent
// the request. When the source has answered a check of another transport
// ([Port.Claim]), both transports have the address: the remote may have restarted, or
// may have two connections. Other datagrams from unknown addresses are offered to a few
// transports at most. All tables are bounded.
//
// # Full sockets
//
// [Port.Write] never waits. When the kernel accepts no more, the remaining datagrams are
// kept. A goroutine, which exists only during that time, sends them when there is room,
// and reports that to the transport ([Handler.Writable]).
package udpmux

import (
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"purertc/ice"
)

// A Handler is a transport: the engine of one connection. Different goroutines call
// it, perhaps at the same time.
type Handler interface {
	// HandleDatagrams processes the datagrams of one read on r. Each datagram in b has
	// segment bytes; the last one may be shorter. The call runs on the reader
	// goroutine. b is valid only during the call, and may be written to.
	HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int)

	// Writable says that a socket that was full accepts datagrams again.
	Writable(sock ice.Sock)

	// SocketClosed says that a socket failed for good.
	SocketClosed(sock ice.Sock, err error)
}

// A Config configures a Socket.
type Config struct {
	// Addr is the address to bind to. Port 0 means any port. An unspecified address
	// stands for all addresses of the machine: 0.0.0.0 for those of IPv4, :: for those
	// of both families. The zero Addr stands for both families on a system with IPv6,
	// otherwise for IPv4.
	Addr           netip.AddrPort
	HideLocal      bool          // do not determine local addresses, as on systems other than Linux; for tests
	DisableOffload bool          // turns off GSO and GRO
	ReusePort      bool          // allows several sockets on one port, among which the kernel distributes flows
	BufferSize     int           // size of each of the two kernel buffers in bytes; 0: 4 MiB
	BusyPoll       time.Duration // how long the reader checks the socket repeatedly before it sleeps; Linux only
	DSCP           int           // differentiated services code point of sent datagrams; 0: the system's default
	Unclaimed      Unclaimed     // is called with checks for unknown ufrags; nil: they are dropped
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

	// Limits of one send. Linux accepts up to 64 segments (UDP_MAX_SEGMENTS), and the
	// 65,535 bytes of an IP packet with its headers.
	maxSegments = 64
	maxBurst    = 65000

	// maxDatagram is how many bytes one read returns at most.
	maxDatagram = 65535

	maxBinds  = 64 // addresses bound to a port; an agent uses at most 32 routes
	maxUfrags = 8  // ufrags of a port

	// maxPending is how many bytes of one transport may wait for a full socket.
	maxPending = 256 << 10

	// maxAllPending is how many bytes of all transports of a socket may wait. A Host
	// requests as much from the kernel for the socket itself.
	maxAllPending = 16 << 20
)
