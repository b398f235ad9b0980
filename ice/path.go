package ice

import "net/netip"

// A path is what of a pair tells how its datagrams go through the network.
// Another port is no other path, nor is another generation's pair of the same
// addresses.
type path struct {
	local, remote netip.Addr
	server        netip.Addr // of a relay
	stream        bool       // over TCP
}

func (p *pair) path() path {
	w := path{local: p.local.addr.Addr(), remote: p.route.Remote.Addr(), stream: p.local.tcp != 0}
	if l := p.local.relay; l != nil {
		w.server, w.stream = l.route.Remote.Addr(), l.from == nil
	}
	return w
}
