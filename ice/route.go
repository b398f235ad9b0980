package ice

import "net/netip"

// A Sock names a local socket. The owner of the agent numbers its sockets from 0
// upwards. Negative numbers have a meaning of their own.
type Sock int16

const (
	// SockMDNS is the Sock of datagrams to and from the multicast DNS group
	// (RFC 6762 §3). The owner opens the socket when AppendDatagram first returns a
	// Route with it, or when it gives the agent a Local with a Name. If Local of such
	// a route is valid, the datagram is for the link of that address only.
	SockMDNS Sock = -1

	// SockAny lets AddServer choose every socket of the server's address family.
	SockAny Sock = -2

	// firstRelaySock and lower numbers are the agent's: each relayed address is a
	// base with a Sock of its own, so that only the edges of the agent treat it
	// differently. A datagram is unwrapped as it arrives and wrapped as it leaves.
	firstRelaySock Sock = -16
)

// A Route is the local socket that a datagram uses, and the remote address.
// Routes are comparable.
type Route struct {
	Sock   Sock
	Local  netip.Addr     // the local address on that socket; HandleDatagram takes an invalid one for unknown
	Remote netip.AddrPort // the remote address
}
