package udpmux

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// setDSCP sets the differentiated services code point of the datagrams that a socket
// sends (RFC 2474 §3): the upper six bits of IPv4's TOS and IPv6's traffic class. A
// dual-stack socket has both fields.
func setDSCP(conn *net.UDPConn, local netip.Addr, dscp int) error {
	if local.Is4() {
		return ipv4.NewConn(conn).SetTOS(dscp << 2)
	}
	err := ipv6.NewConn(conn).SetTrafficClass(dscp << 2)
	if !local.IsUnspecified() {
		return err
	}
	// A socket for IPv6 only has no TOS, so this call fails there.
	if err4 := ipv4.NewConn(conn).SetTOS(dscp << 2); err != nil && err4 != nil {
		return errors.Join(err, err4)
	}
	return nil
}
