package ice

import "net/netip"

// A Sock names a local socket. The owner of the agent numbers its sockets from 0
// upwards. Negative numbers have special meanings.
type Sock int16

const (
	// SockMDNS is the Sock of datagrams to and from the multicast DNS group (RFC 6762
	// §3). The owner opens the socket when AppendDatagram first returns a Route with
	// SockMDNS, or when the owner gives the agent a Local with a Name. If the Route's
	// Local is valid, the datagram is only for the link with that address.
	SockMDNS Sock = -1

	// SockAny lets the server of AddServer be asked from every socket of the server's
	// address family.
	SockAny Sock = -2

	// firstRelaySock and lower numbers are used by the agent itself. Each relayed
	// address is a base with its own Sock, so that most of the agent treats it like
	// any other base. Datagrams are unwrapped when they arrive and wrapped when they
	// are sent.
	firstRelaySock Sock = -16
)

// A Route is the local socket that a datagram uses, and the remote address. Routes can
// be compared with ==.
type Route struct {
	Sock   Sock
	Local  netip.Addr     // local address on that socket; for HandleDatagram, invalid means unknown
	Remote netip.AddrPort // the remote address
}
