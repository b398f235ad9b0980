package ice

import (
	"net/netip"
	"time"
)

type relay struct{}

func (r *relay) beginData(dst []byte) []byte { return dst }
func (r *relay) finishData(b []byte, start int, to netip.AddrPort) ([]byte, Route) {
	return b, Route{}
}
func (r *relay) overhead() int                 { return 0 }
func (r *relay) route(to netip.AddrPort) Route { return Route{} }
func (a *Agent) releaseRelays(now time.Time)   {}
func (p *pair) wire() Route                    { return p.route }
