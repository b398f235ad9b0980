//go:build !linux

package udpmux

import "net/netip"

const oobSize = 0

// parseControl has nothing to read. There is no offload here. If a socket is bound to
// all addresses, the local address of a datagram is not known.
func parseControl([]byte) (segment int, local netip.Addr) { return 0, netip.Addr{} }
