//go:build !linux

package udpmux

import "net/netip"

const oobSize = 0

// parseControl returns no values: these systems have no offload, and for a socket that
// is bound to all addresses they do not report the local address of a datagram.
func parseControl([]byte) (segment int, local netip.Addr) { return 0, netip.Addr{} }
