package rtcpeer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// interfaceWatch is the one watch over the machine's addresses of the
// process. It is open while a peer has sockets, and has one goroutine, that
// sleeps until the system tells of a change.
var interfaceWatch addressWatch

// An addressWatch tells those who asked of each change.
type addressWatch struct {
	mu      sync.Mutex
	source  changeSource // nil: nobody asks, or there is none
	users   map[int]func(all []netip.Addr)
	counter int
}

// A changeSource is how the system tells that an address has come or gone.
type changeSource interface {
	// wait returns after a change, with the error of Close when that was
	// called. What changed is not told: it is looked up.
	wait() error
	Close() error
}

// add has changed called with all addresses of the machine after each change.
func (w *addressWatch) add(changed func(all []netip.Addr)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.users) == 0 {
		w.users = map[int]func([]netip.Addr){}
		// A system that cannot be watched leaves connections as they began;
		// a restart of ICE finds their new addresses.
		if s, err := openChangeSource(); err == nil {
			w.source = s
			go w.run(s)
		}
	}
	w.counter++
	id := w.counter
	w.users[id] = changed
	return func() { w.remove(id) }
}

func (w *addressWatch) remove(id int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.users, id)
	if len(w.users) == 0 && w.source != nil {
		w.source.Close()
		w.source = nil
	}
}

func (w *addressWatch) run(s changeSource) {
	for s.wait() == nil {
		all, err := machineAddresses()
		if err != nil {
			continue
		}
		for _, changed := range w.snapshot(s) {
			changed(all)
		}
	}
}

// snapshot is whom to tell. They are called without our lock: theirs are
// held when they stop.
func (w *addressWatch) snapshot(s changeSource) []func([]netip.Addr) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.source != s {
		return nil
	}
	users := make([]func([]netip.Addr), 0, len(w.users))
	for _, f := range w.users {
		users = append(users, f)
	}
	return users
}

// A routeSocket is a socket that the kernel writes to when something changes.
type routeSocket struct{ *os.File }

// settle is how long the system has to be quiet: an interface that comes up
// is told of by several messages within a moment. settleLimit bounds it.
const (
	settle      = 50 * time.Millisecond
	settleLimit = time.Second
)

func (s routeSocket) wait() error {
	var b [4096]byte
	s.SetReadDeadline(time.Time{})
	if _, err := s.Read(b[:]); errors.Is(err, os.ErrClosed) {
		return err
	}
	// Any other error is that messages were lost (ENOBUFS): that is a change.
	for limit := time.Now().Add(settleLimit); time.Now().Before(limit); {
		s.SetReadDeadline(time.Now().Add(settle))
		switch _, err := s.Read(b[:]); {
		case errors.Is(err, os.ErrClosed):
			return err
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		}
	}
	return nil
}

// interfaceNames tells which interface each address is of.
func interfaceNames() map[netip.Addr]string {
	names := map[netip.Addr]string{}
	eachAddress(func(name string, a netip.Addr) { names[a] = name })
	return names
}

// machineAddresses lists all addresses of the interfaces that are up.
func machineAddresses() (all []netip.Addr, err error) {
	err = eachAddress(func(_ string, a netip.Addr) { all = append(all, a) })
	return all, err
}

// eachAddress calls f with each address and the interface that it is of.
func eachAddress(f func(name string, a netip.Addr)) error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return err
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // it has just gone
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				addr := p.Addr().Unmap()
				if addr.Is6() && addr.IsLinkLocalUnicast() {
					addr = addr.WithZone(i.Name)
				}
				f(i.Name, addr)
			}
		}
	}
	return nil
}

// addressesChanged takes the addresses that the machine has now. Those that
// have come get sockets and candidates, those that are gone lose them; which
// pair is used then is the agent's business.
func (p *peer) addressesChanged(all []netip.Addr) {
	if !p.enter(true, true) {
		p.post(func(in *input) { in.addresses = all })
		return
	}
	defer p.mu.Unlock()
	if !p.closed {
		now := p.now()
		p.newAddresses(now, all)
		p.run(now)
	}
}

// newAddresses takes what addressesChanged gives. The lock is held; run follows.
func (p *peer) newAddresses(now time.Time, all []netip.Addr) {
	if p.ports == nil {
		return
	}
	g := &p.gatherer
	// One that is still there stays, even if it would not be chosen beside
	// what has come: a connection may be using it.
	for _, l := range slices.Clone(g.locals) {
		if !slices.Contains(all, l.addr.Addr()) {
			p.removeLocal(now, l)
		}
	}
	added := false
	for _, a := range p.cfg.addressChoice().from(all) {
		known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a })
		if !known && p.addresses() < maxLocalAddresses {
			added = p.addLocal(now, a) || added
		}
	}
	if added && g.asking == 0 {
		p.core.agent.EndOfLocal(now)
	}
}

// addresses counts the addresses in use, each of which may have several
// sockets.
func (p *peer) addresses() int {
	seen := map[netip.Addr]bool{}
	for _, l := range p.gatherer.locals {
		seen[l.addr.Addr()] = true
	}
	return len(seen)
}

// addLocal takes up an address that has appeared.
func (p *peer) addLocal(now time.Time, a netip.Addr) bool {
	g := &p.gatherer
	sock := p.freeSock()
	q, locals, err := p.network.appeared(p, sock, a)
	if err == nil && q != nil {
		err = q.AddUfrag(g.ufrag)
	}
	if err != nil {
		// An IPv6 address can be tentative yet; there is another change when
		// it is not any more.
		p.log.Info("no socket on the address", "address", a, "error", err)
		if q != nil {
			q.Close()
		}
		return false
	}
	if q != nil {
		p.setPort(sock, q)
	}
	p.log.Info("address appeared", "address", a)
	p.setGathering(GatheringStateGathering)
	g.locals = append(g.locals, locals...)
	if l, ok := p.addDialer(a); ok {
		locals = append(locals, l)
	}
	for _, l := range locals {
		p.offerLocal(now, l)
	}
	return true
}

// removeLocal gives up an address that has disappeared.
func (p *peer) removeLocal(now time.Time, l local) {
	g := &p.gatherer
	p.log.Info("address disappeared", "address", l.addr)
	before := p.core.agent.Report().Local
	p.core.agent.RemoveLocal(now, l.sock, l.addr)
	g.locals = slices.DeleteFunc(g.locals, func(o local) bool { return o == l })
	g.forget(before, p.core.agent.Report().Local)
	if q := p.port(l.sock); q != nil && p.network.vanished(q) {
		p.ports[l.sock] = nil
	}
}
