package rtcpeer

import (
	"log/slog"
	"net/netip"

	"purertc/ice"
	"purertc/ice/udpmux"
)

// A network is where a peer's sockets come from: the machine's, those of a
// Host, or a test's in memory.
type network interface {
	// open opens sockets for a peer, whose routes carry their index in ports
	// as Sock, and tells the addresses that they serve.
	open(h udpmux.Handler, loopback bool) (ports []port, locals []local, err error)
	// watch has changed called, until stop is, with all the machine's
	// addresses when they have changed. stop does not wait for calls.
	watch(changed func(all []netip.Addr)) (stop func())
	// appeared opens what an address that has appeared needs: a socket, whose
	// routes carry sock; or nothing, and a nil port, where one that is open
	// serves it.
	appeared(h udpmux.Handler, sock int16, addr netip.Addr) (port, local, error)
	// vanished closes the port of an address that has gone, unless it serves
	// others too.
	vanished(q port) (closed bool)
}

// A local is an address that a peer can be reached at.
type local struct {
	sock int16
	addr netip.AddrPort
}

// A port is a peer's way to a socket; *udpmux.Port is one.
type port interface {
	AddUfrag(ufrag string) error
	RemoveUfrag(ufrag string)
	Bind(remote netip.AddrPort) error
	Unbind(remote netip.AddrPort)
	Write(r ice.Route, b []byte, segment int) (ok bool)
	Close()
}

// maxLocalAddresses bounds the sockets of one peer: machines with virtual
// interfaces by the hundred exist.
const maxLocalAddresses = 16

// privateNetwork opens sockets of the peer's own, one for each address, as
// browsers do.
type privateNetwork struct {
	logger *slog.Logger
	only   []netip.Addr // Config.LocalAddresses
}

func (n privateNetwork) open(h udpmux.Handler, loopback bool) (ports []port, locals []local, err error) {
	addrs := n.only
	if len(addrs) == 0 {
		if addrs, err = interfaceAddresses(loopback); err != nil {
			return nil, nil, err
		}
	}
	for _, addr := range addrs {
		p, l, lerr := n.appeared(h, int16(len(ports)), addr)
		if lerr != nil {
			err = lerr // an address that has just gone, or is still tentative; others may do
			continue
		}
		ports, locals = append(ports, p), append(locals, l)
	}
	if len(ports) > 0 {
		err = nil
	}
	return ports, locals, err
}

// watch is of network. Addresses that the program chose are its own business.
func (n privateNetwork) watch(changed func(all []netip.Addr)) (stop func()) {
	if len(n.only) > 0 {
		return func() {}
	}
	return interfaceWatch.add(changed)
}

func (n privateNetwork) appeared(h udpmux.Handler, sock int16, addr netip.Addr) (port, local, error) {
	s, err := udpmux.Listen(udpmux.Config{Addr: netip.AddrPortFrom(addr, 0), Logger: n.logger})
	if err != nil {
		return nil, local{}, err
	}
	p, err := s.Attach(h, sock, true)
	if err != nil {
		s.Close()
		return nil, local{}, err
	}
	return privatePort{p, s}, local{sock, netip.AddrPortFrom(addr, s.LocalAddr().Port())}, nil
}

func (n privateNetwork) vanished(q port) bool {
	q.Close()
	return true
}

// privatePort closes its socket with itself.
type privatePort struct {
	*udpmux.Port
	socket *udpmux.Socket
}

func (p privatePort) Close() {
	p.Port.Close()
	p.socket.Close()
}

// interfaceAddresses lists the machine's addresses. Loopback ones are in it
// where asked for, or where there is no other.
func interfaceAddresses(loopback bool) ([]netip.Addr, error) {
	all, err := machineAddresses()
	if err != nil {
		return nil, err
	}
	return chooseAddresses(all, loopback), nil
}

// chooseAddresses leaves out what is not to be a candidate.
func chooseAddresses(all []netip.Addr, loopback bool) []netip.Addr {
	other, global6 := false, false
	for _, a := range all {
		other = other || !a.IsLoopback()
		global6 = global6 || a.Is6() && a.IsGlobalUnicast()
	}
	var out []netip.Addr
	for _, a := range all {
		switch {
		case a.IsUnspecified(), a.IsMulticast():
		case a.IsLoopback() && other && !loopback:
		case a.Is6() && a.IsLinkLocalUnicast() && global6:
			// RFC 8445 §5.1.1.1 leaves link-local addresses to hosts that
			// have nothing better; browsers never list them.
		case len(out) < maxLocalAddresses:
			out = append(out, a)
		}
	}
	return out
}
