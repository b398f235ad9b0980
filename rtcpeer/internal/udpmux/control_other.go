//go:build !linux

package udpmux

import "net/netip"

const oobSize = 0

// parseControl has nothing to read: there is no offload here, and the local
// address of datagrams on a socket bound to all of them is not known.
func parseControl([]byte) (segment int, local netip.Addr) { return 0, netip.Addr{} }
