package rtcpeer

import (
	"net/netip"

	"purertc/ice"
)

// A filteredNetwork passes outgoing datagrams to Config.Filter. For incoming ones
// peer.take does it, where the lock is held, too.
type filteredNetwork struct {
	network
	filter func(outgoing bool, datagram []byte) bool
}

func (n filteredNetwork) open(h handler, choice addressChoice) ([]port, []local, error) {
	ports, locals, err := n.network.open(h, choice)
	for i := range ports {
		ports[i] = filteredPort{ports[i], n.filter}
	}
	return ports, locals, err
}

func (n filteredNetwork) appeared(h handler, sock ice.Sock, addr netip.Addr) (port, []local, error) {
	q, l, err := n.network.appeared(h, sock, addr)
	if q != nil {
		q = filteredPort{q, n.filter}
	}
	return q, l, err
}

func (n filteredNetwork) dial(h handler, sock ice.Sock, addr netip.Addr) port {
	if q := n.network.dial(h, sock, addr); q != nil {
		return filteredPort{q, n.filter}
	}
	return nil
}

func (n filteredNetwork) vanished(q port) bool {
	f, ok := q.(filteredPort)
	return ok && n.network.vanished(f.port)
}

type filteredPort struct {
	port
	filter func(outgoing bool, datagram []byte) bool
}

func (p filteredPort) Write(r ice.Route, b []byte, segment int) bool {
	ok := true
	for len(b) > 0 {
		n := min(segment, len(b))
		if p.filter(true, b[:n]) {
			ok = p.port.Write(r, b[:n], n) && ok
		}
		b = b[n:]
	}
	return ok
}
