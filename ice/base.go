package ice

import (
	"errors"
	"net/netip"
)

// Errors of AddLocal and AddRemote.
var (
	ErrTooManyCandidates = errors.New("ice: too many candidates")
	ErrAddress           = errors.New("ice: address cannot be used")
	ErrClosed            = errors.New("ice: agent is closed")
)

// A Local is a local address that datagrams can be sent from.
type Local struct {
	Sock Sock           // the socket of the address; it may have other addresses too
	Addr netip.AddrPort // the address; with TCPActive its port is ignored
	TCP  TCPType        // NotTCP, TCPActive or TCPPassive
	// Public, if valid, is the public address to which a 1:1 NAT maps Addr without
	// changing the port. It is signalled in place of Addr. With KeepLocal both are
	// signalled, and Public is a server-reflexive candidate.
	Public    netip.Addr
	KeepLocal bool
	// Name, if not empty, is signalled in place of Addr. It is a multicast DNS name,
	// and the agent answers queries for it. Related addresses do not reveal Addr
	// either.
	Name string
}

// A base is a local address that datagrams are sent from: a host candidate or a
// relayed one (RFC 8445 §4). Server-reflexive candidates are other names of their
// base, and no pairs are formed with them (RFC 8445 §6.1.2.4).
type base struct {
	sock       Sock
	addr       netip.AddrPort
	typ        CandidateType // Host or Relay
	tcp        TCPType
	preference uint16
	foundation string
	relay      *relay         // relay of a relayed address; otherwise nil
	related    netip.AddrPort // for a relayed address: the related address of its candidate
	public     netip.Addr     // Local.Public
	keep       bool           // Local.KeepLocal
	name       string         // Local.Name
}

func (b *base) priority() uint32 { return candidatePriority(b.typ.preferenceOver(b.tcp), b.preference) }

// signalled returns the address in b's candidate.
func (b *base) signalled() netip.AddrPort {
	if b.public.IsValid() && !b.keep {
		return netip.AddrPortFrom(b.public, b.addr.Port())
	}
	return netip.AddrPortFrom(b.addr.Addr().WithZone(""), b.addr.Port())
}

// publicAddr returns the public address to which a 1:1 NAT maps b. It is invalid if
// there is none.
func (b *base) publicAddr() netip.AddrPort { return netip.AddrPortFrom(b.public, b.addr.Port()) }

// relatedAddr returns the related address of the candidates with base b. If b has a
// name, its address is not revealed: RFC 8839 §5.1 replaces it by 0.0.0.0 and the
// discard port.
func (b *base) relatedAddr() netip.AddrPort {
	if b.name != "" {
		return netip.AddrPortFrom(zeroOf(b.addr.Addr()), discardPort)
	}
	return b.signalled()
}

// zeroOf returns the unspecified address of ip's family.
func zeroOf(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// route returns the route of datagrams from b to remote.
func (b *base) route(remote netip.AddrPort) Route {
	if zone := b.addr.Addr().Zone(); zone != "" && remote.Addr().IsLinkLocalUnicast() {
		remote = netip.AddrPortFrom(remote.Addr().WithZone(zone), remote.Port())
	}
	return Route{Sock: b.sock, Local: b.addr.Addr(), Remote: remote}
}

// wire returns the route on which datagrams of route r leave the host. Datagrams from
// a relayed address go to the relay's server.
func (b *base) wire(r Route) Route {
	if b.relay != nil {
		return b.relay.route
	}
	return r
}

// begin appends the framing that precedes a datagram from b to remote. finish
// completes the datagram. Only relayed datagrams need these two steps.
func (b *base) begin(dst []byte, remote netip.AddrPort) []byte {
	if b.relay != nil {
		return b.relay.client.Begin(dst, remote)
	}
	return dst
}

func (b *base) finish(datagram []byte, start int, remote netip.AddrPort) ([]byte, Route) {
	if b.relay != nil {
		return b.relay.client.Finish(datagram, start), b.relay.route
	}
	return datagram, b.route(remote)
}

// reaches reports whether addresses with the scopes of b and remote can reach each
// other.
func (b *base) reaches(remote netip.Addr) bool {
	local := b.addr.Addr()
	return local.Is4() == remote.Is4() &&
		// RFC 8445 §6.1.2.2: link-local IPv6 addresses are paired only with
		// link-local ones.
		(local.Is4() || local.IsLinkLocalUnicast() == remote.IsLinkLocalUnicast()) &&
		// A host reaches its own addresses from its loopback address, and its loopback
		// address from its own addresses. A loopback address does not reach other
		// hosts, and kernels refuse to send there.
		local.IsLoopback() == remote.IsLoopback()
}

// candidate returns the candidate of b as it is signalled.
func (b *base) candidate(ufrag string) Candidate {
	c := Candidate{
		Foundation: b.foundation, Component: 1, Transport: b.tcp.transport(), TCPType: b.tcp, Priority: b.priority(),
		Addr: b.signalled(), Type: b.typ, Related: b.related, Ufrag: ufrag,
	}
	if b.name != "" && c.Addr.Addr() == b.addr.Addr() {
		c.Name, c.Addr = b.name, netip.AddrPortFrom(netip.Addr{}, c.Addr.Port())
	}
	return c
}

// reported returns the candidate of b for the owner, with the address that a name
// hides.
func (b *base) reported(ufrag string) Candidate {
	c := b.candidate(ufrag)
	if c.Name != "" {
		c.Addr = netip.AddrPortFrom(b.addr.Addr().WithZone(""), c.Addr.Port())
	}
	return c
}
