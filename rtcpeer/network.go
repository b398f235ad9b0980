package rtcpeer

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"

	"purertc/ice"
	"purertc/ice/tcpmux"
	"purertc/ice/udpmux"
)

// A network is where a peer's sockets come from: the machine's, those of a
// Host, or a test's in memory.
type network interface {
	// open opens sockets for a peer at the addresses that choice leaves, whose
	// routes carry their index in ports as Sock, and tells what they serve.
	open(h handler, choice addressChoice) (ports []port, locals []local, err error)
	// watch has changed called, until stop is, with all the machine's
	// addresses when they have changed. stop does not wait for calls.
	watch(changed func(all []netip.Addr)) (stop func())
	// appeared opens what an address that has appeared needs: a socket, whose
	// routes carry sock; or nothing, and a nil port, where one that is open
	// serves it.
	appeared(h handler, sock int16, addr netip.Addr) (port, []local, error)
	// dial is the way to the far end's TCP candidates from an address, whose
	// routes carry sock; nil where there is none.
	dial(h handler, sock int16, addr netip.Addr) port
	// vanished closes the port of an address that has gone, unless it serves
	// others too.
	vanished(q port) (closed bool)
}

// A handler is a peer as its sockets see it.
type handler interface {
	udpmux.Handler
	// RouteClosed tells that a TCP connection could not be made or is closed.
	RouteClosed(r ice.Route, err error)
}

// A local is an address that a peer can be reached at.
type local struct {
	sock int16
	addr netip.AddrPort
	tcp  ice.TCPType
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
	first  uint16       // Config.MinPort and MaxPort; 0: any
	last   uint16
}

func (n privateNetwork) open(h handler, choice addressChoice) (ports []port, locals []local, err error) {
	addrs := n.only
	if len(addrs) == 0 {
		if addrs, err = choice.ofMachine(); err != nil {
			return nil, nil, err
		}
	}
	for _, addr := range addrs {
		p, l, lerr := n.appeared(h, int16(len(ports)), addr)
		if lerr != nil {
			err = lerr // an address that has just gone, or is still tentative; others may do
			continue
		}
		ports, locals = append(ports, p), append(locals, l...)
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

func (n privateNetwork) appeared(h handler, sock int16, addr netip.Addr) (port, []local, error) {
	s, err := n.listen(addr)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.Attach(h, sock, true)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	return privatePort{p, s}, []local{{sock: sock, addr: netip.AddrPortFrom(addr, s.LocalAddr().Port())}}, nil
}

// wsaAddressInUse is what Windows says for EADDRINUSE.
const wsaAddressInUse = syscall.Errno(10048)

// listen opens a socket on a port of the range, beginning with a random one:
// peers that follow each other should not meet what was meant for the last.
func (n privateNetwork) listen(addr netip.Addr) (s *udpmux.Socket, err error) {
	ports := 1
	if n.first != 0 {
		ports = int(n.last-n.first) + 1
	}
	start := rand.IntN(ports)
	for i := range ports {
		port := n.first
		if port != 0 {
			port += uint16((start + i) % ports)
		}
		s, err = udpmux.Listen(udpmux.Config{Addr: netip.AddrPortFrom(addr, port), Logger: n.logger})
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, wsaAddressInUse) {
			return s, err
		}
	}
	return nil, fmt.Errorf("rtcpeer: no port of %d to %d is free at %v: %w", n.first, n.last, addr, err)
}

func (n privateNetwork) dial(h handler, sock int16, addr netip.Addr) port {
	return tcpmux.NewDialer(h, sock, addr)
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

// An addressChoice says which of the machine's addresses become candidates.
type addressChoice struct {
	loopback  bool
	family    IPFamily
	wanted    func(name string) bool // interfaces; nil: all
	addresses func() map[netip.Addr]string
}

func (cfg *Config) addressChoice() addressChoice {
	return addressChoice{loopback: cfg.IncludeLoopback, family: cfg.IPFamily, wanted: cfg.InterfaceFilter, addresses: interfaceNames}
}

// ofMachine lists the machine's addresses. Loopback ones are in it where
// asked for, or where there is no other.
func (c addressChoice) ofMachine() ([]netip.Addr, error) {
	all, err := machineAddresses()
	if err != nil {
		return nil, err
	}
	return c.from(all), nil
}

// from leaves out what is not to be a candidate.
func (c addressChoice) from(all []netip.Addr) []netip.Addr {
	if c.wanted != nil {
		names := c.addresses()
		all = slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
			name, ok := names[a]
			return !ok || !c.wanted(name)
		})
	}
	if c.family != IPFamilyAny {
		all = slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a.Is4() != (c.family == IPFamily4) })
	}
	return usableAddresses(all, c.loopback)
}

// usableAddresses leaves out what candidates are not usually made of.
func usableAddresses(all []netip.Addr, loopback bool) []netip.Addr {
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
