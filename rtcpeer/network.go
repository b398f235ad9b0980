package rtcpeer

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"slices"
	"syscall"

	"purertc/ice"
	"purertc/rtcpeer/internal/tcpmux"
	"purertc/rtcpeer/internal/udpmux"
)

// A network opens a transport's sockets: on the machine, on a Host, or in a test's
// memory.
type network interface {
	// open opens sockets for a transport at the chosen addresses, and returns the
	// addresses that they serve. Their routes have the index in ports as Sock.
	open(h handler, choice addressChoice) (ports []port, locals []local, err error)
	// watch calls changed, until stop is called, with all the machine's addresses when
	// they have changed. stop does not wait for calls.
	watch(changed func(all []netip.Addr)) (stop func())
	// appeared opens a socket for an address that has appeared, with sock in its
	// routes. The port is nil if an open socket serves the address.
	appeared(h handler, sock ice.Sock, addr netip.Addr) (port, []local, error)
	// dial returns a port for connections from an address to remote TCP candidates,
	// with sock in its routes; nil if there are none.
	dial(h handler, sock ice.Sock, addr netip.Addr) port
	// vanished closes the port of an address that has gone, unless it serves other
	// addresses.
	vanished(q port) (closed bool)
}

// A handler is a transport as its sockets see it.
type handler interface {
	udpmux.Handler
	// RouteClosed says that a TCP connection could not be opened, or is closed.
	RouteClosed(r ice.Route, err error)
}

// A local is a local address for a host candidate.
type local struct {
	sock ice.Sock
	addr netip.AddrPort
	tcp  ice.TCPType
}

// A port is a transport's attachment to a socket, such as *udpmux.Port.
type port interface {
	AddUfrag(ufrag string) error
	RemoveUfrag(ufrag string)
	Bind(remote netip.AddrPort) error
	Unbind(remote netip.AddrPort)
	Write(r ice.Route, b []byte, segment int) (ok bool)
	Close()
}

// maxLocalAddresses bounds the addresses of one connection, each of which has a
// socket: some machines have hundreds of virtual interfaces.
const maxLocalAddresses = 16

// privateNetwork opens sockets that only this transport uses, one for each address, as
// browsers do.
type privateNetwork struct {
	logger *slog.Logger
	cfg    *Config
	only   []netip.Addr // Config.LocalAddresses; nil: those of the machine
	first  uint16       // Config.MinPort and MaxPort; 0: any
	last   uint16
	noUDP  bool // Config.DisableUDP
}

func (n privateNetwork) open(h handler, choice addressChoice) (ports []port, locals []local, err error) {
	addrs := slices.DeleteFunc(slices.Clone(n.only), func(a netip.Addr) bool { return !choice.allows(a) })
	if n.only == nil {
		if addrs, err = choice.ofMachine(); err != nil {
			return nil, nil, err
		}
	}
	for _, addr := range addrs {
		if n.noUDP {
			locals = append(locals, local{addr: netip.AddrPortFrom(addr, 0)})
			continue
		}
		p, l, lerr := n.appeared(h, ice.Sock(len(ports)), addr)
		if lerr != nil {
			choice.leave(addr, lerr)
			if n.only != nil || !notAvailable(lerr) {
				err = lerr
			}
			continue
		}
		ports, locals = append(ports, p), append(locals, l...)
	}
	if len(ports) > 0 || err == nil {
		// Other addresses may work where one has just gone. A tentative one (RFC 4862
		// §5.4) can be used later.
		return append([]port{}, ports...), locals, nil
	}
	return nil, nil, err
}

// watch implements network. Addresses that the program chose are not watched.
func (n privateNetwork) watch(changed func(all []netip.Addr)) (stop func()) {
	if n.only != nil {
		return func() {}
	}
	return interfaceWatch.add(changed)
}

func (n privateNetwork) appeared(h handler, sock ice.Sock, addr netip.Addr) (port, []local, error) {
	if n.noUDP {
		return nil, nil, nil
	}
	s, err := n.listen(addr)
	if err != nil {
		return nil, nil, err
	}
	p, err := s.Attach(h, sock, true)
	if err != nil {
		s.Close()
		return nil, nil, err
	}
	at := netip.AddrPortFrom(addr, s.LocalAddr().Port())
	if own := s.LocalAddr(); n.cfg.ListenPacket != nil && !own.Addr().IsUnspecified() {
		at = own
	}
	return privatePort{p, s}, []local{{sock: sock, addr: at}}, nil
}

// notAvailable reports whether an address could not be bound because the machine does
// not have it, or not yet.
func notAvailable(err error) bool {
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, wsaAddressNotAvailable)
}

const wsaAddressNotAvailable = syscall.Errno(10049) // Windows' EADDRNOTAVAIL

// wsaAddressInUse is Windows' EADDRINUSE.
const wsaAddressInUse = syscall.Errno(10048)

// listen opens a socket on a port of the range, beginning with a random one, so that a
// connection does not get datagrams meant for the previous one.
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
		s, err = n.cfg.listenUDP(netip.AddrPortFrom(addr, port), n.logger)
		if err == nil || !errors.Is(err, syscall.EADDRINUSE) && !errors.Is(err, wsaAddressInUse) {
			return s, err
		}
	}
	return nil, fmt.Errorf("rtcpeer: no port of %d to %d is free at %v: %w", n.first, n.last, addr, err)
}

func (n privateNetwork) dial(h handler, sock ice.Sock, addr netip.Addr) port {
	return tcpmux.NewDialer(h, sock, addr, n.cfg.DialContext)
}

func (n privateNetwork) vanished(q port) bool {
	q.Close()
	return true
}

// A privatePort closes its socket with itself.
type privatePort struct {
	*udpmux.Port
	socket *udpmux.Socket
}

func (p privatePort) Close() {
	p.Port.Close()
	p.socket.Close()
}

// An addressChoice chooses the addresses of the machine that become candidates.
type addressChoice struct {
	loopback  bool
	family    IPFamily
	wanted    func(name string) bool  // interfaces; nil: all
	allowed   func(a netip.Addr) bool // addresses; nil: all
	addresses func() map[netip.Addr]string
	routed    func() []netip.Addr              // the source addresses of the default routes; nil: not known
	left      func(a netip.Addr, reason error) // is called with each address that is left out; may be nil
}

func (cfg *Config) addressChoice() addressChoice {
	c := addressChoice{
		loopback: cfg.IncludeLoopback, family: cfg.IPFamily, wanted: cfg.InterfaceFilter, allowed: cfg.LocalAddressFilter,
		addresses: interfaceNames, routed: routedAddresses,
	}
	if cfg.ListenPacket != nil {
		c.routed = nil // it opens sockets of its own
	}
	return c
}

// allows reports whether the program's filter allows an address.
func (c addressChoice) allows(a netip.Addr) bool { return c.allowed == nil || c.allowed(a) }

// leave reports an address that is left out.
func (c addressChoice) leave(a netip.Addr, reason error) {
	if c.left != nil {
		c.left(a, reason)
	}
}

// ofMachine lists the machine's addresses. Loopback addresses are included if the
// configuration says so, or if there are no others.
func (c addressChoice) ofMachine() ([]netip.Addr, error) {
	all, err := machineAddresses()
	if err != nil {
		return nil, err
	}
	return c.from(all), nil
}

var errTooManyAddresses = errors.New("rtcpeer: the machine has more addresses than a connection uses, and others are more useful")

// from chooses among all addresses. The most useful ones come first, at most
// maxLocalAddresses.
func (c addressChoice) from(all []netip.Addr) []netip.Addr {
	names := map[netip.Addr]string{}
	if c.addresses != nil && (c.wanted != nil || len(all) > 1) {
		names = c.addresses()
	}
	if c.wanted != nil {
		all = slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool {
			name, ok := names[a]
			return !ok || !c.wanted(name)
		})
	}
	all = slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return !c.allows(a) })
	if c.family != IPFamilyAny {
		all = slices.DeleteFunc(slices.Clone(all), func(a netip.Addr) bool { return a.Is4() != (c.family == IPFamily4) })
	}
	chosen := c.rank(usableAddresses(all, c.loopback), names)
	if len(chosen) > maxLocalAddresses {
		for _, a := range chosen[maxLocalAddresses:] {
			c.leave(a, errTooManyAddresses)
		}
		chosen = chosen[:maxLocalAddresses]
	}
	return chosen
}

// rank sorts addresses by their use: source addresses of the default routes, others of
// the same interfaces, those of other interfaces, link-local ones. The first address
// of every interface precedes all second ones.
func (c addressChoice) rank(addrs []netip.Addr, names map[netip.Addr]string) []netip.Addr {
	if len(addrs) < 2 {
		return addrs
	}
	var routed []netip.Addr
	if c.routed != nil {
		routed = c.routed()
	}
	onRoute := map[string]bool{}
	for _, a := range routed {
		if name, ok := names[a]; ok {
			onRoute[name] = true
		}
	}
	type place struct {
		name string
		is4  bool
	}
	seen := map[place]int{}
	type ranked struct {
		addr       netip.Addr
		class, nth int
	}
	list := make([]ranked, len(addrs))
	for i, a := range addrs {
		at := place{names[a], a.Is4()}
		r := ranked{addr: a, class: 2, nth: seen[at]}
		switch {
		case slices.Contains(routed, a):
			r.class = 0
		case a.IsLinkLocalUnicast():
			r.class = 3
		case onRoute[at.name]:
			r.class = 1
		}
		if at.name != "" {
			seen[at]++
		}
		list[i] = r
	}
	slices.SortStableFunc(list, func(x, y ranked) int { return cmp.Or(x.class-y.class, x.nth-y.nth) })
	out := make([]netip.Addr, len(list))
	for i, r := range list {
		out[i] = r.addr
	}
	return out
}

// usableAddresses leaves out addresses that are not usually candidates.
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
			// RFC 8445 §5.1.1.1 has link-local addresses only for hosts without
			// better ones; browsers never signal them.
		default:
			out = append(out, a)
		}
	}
	return out
}
