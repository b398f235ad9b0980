package rtcpeer

import (
	"net/netip"
	"time"

	"purertc/ice"
)

// filteredNetwork is a network whose datagrams have to pass Config.Filter.
type filteredNetwork struct {
	network
	filter func(outgoing bool, datagram []byte) bool
}

func (n filteredNetwork) open(h handler, choice addressChoice) ([]port, []local, error) {
	ports, locals, err := n.network.open(filteredHandler{h, n.filter}, choice)
	for i := range ports {
		ports[i] = filteredPort{ports[i], n.filter}
	}
	return ports, locals, err
}

func (n filteredNetwork) appeared(h handler, sock int16, addr netip.Addr) (port, []local, error) {
	q, l, err := n.network.appeared(filteredHandler{h, n.filter}, sock, addr)
	if q != nil {
		q = filteredPort{q, n.filter}
	}
	return q, l, err
}

func (n filteredNetwork) dial(h handler, sock int16, addr netip.Addr) port {
	if q := n.network.dial(filteredHandler{h, n.filter}, sock, addr); q != nil {
		return filteredPort{q, n.filter}
	}
	return nil
}

func (n filteredNetwork) vanished(q port) bool {
	f, ok := q.(filteredPort)
	return ok && n.network.vanished(f.port)
}

type filteredHandler struct {
	handler
	filter func(outgoing bool, datagram []byte) bool
}

func (h filteredHandler) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	for len(b) > 0 {
		n := min(segment, len(b))
		if h.filter(false, b[:n]) {
			h.handler.HandleDatagrams(now, r, b[:n], n)
		}
		b = b[n:]
	}
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
