package rtcpeer

import "purertc/ice"

// writeMDNS sends a query for one of the peer's names (RFC 6762).
func (p *peer) writeMDNS(r ice.Route, b []byte) {}
