package rtcpeer

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	"purertc/ice"
)

// interfaceWatch is the process's watch over the machine's addresses. It is open while
// a transport has sockets, and has one goroutine, which sleeps until the system
// reports a change.
var interfaceWatch addressWatch

// An addressWatch reports each change to its users.
type addressWatch struct {
	mu      sync.Mutex
	source  changeSource // nil: there are no users, or the system reports nothing
	users   map[int]func(all []netip.Addr)
	counter int
}

// A changeSource waits for the system's reports that an address has come or gone.
type changeSource interface {
	// wait returns after a change, or with an error after Close. It does not say what
	// has changed.
	wait() error
	Close() error
}

// add makes the watch call changed with all addresses of the machine after each
// change.
func (w *addressWatch) add(changed func(all []netip.Addr)) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.users) == 0 {
		w.users = map[int]func([]netip.Addr){}
		// If the system cannot be watched, connections keep their addresses; an ICE
		// restart finds new ones.
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

// snapshot returns the users' functions. They are called without the watch's lock: the
// transports' locks are held when they stop.
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

// A routeSocket is a socket that the kernel writes to when addresses or routes change.
type routeSocket struct{ *os.File }

// settle is how long the system must be quiet: it reports an interface that comes up
// by several messages. settleLimit bounds the wait.
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
	// Any other error means that messages were lost (ENOBUFS), which counts as a
	// change.
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

// interfaceNames returns the interface of each address.
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

// eachAddress calls f with each address and the name of its interface.
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
			continue // the interface has just gone
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

// routedAddresses returns the source addresses of the default routes, at most one a
// family. The kernel assigns one to a connected UDP socket by the routing table;
// nothing is sent. The remote addresses are those of a root name server.
func routedAddresses() (addrs []netip.Addr) {
	for _, remote := range []string{"198.41.0.4:53", "[2001:503:ba3e::2:30]:53"} {
		conn, err := net.Dial("udp", remote)
		if err != nil {
			continue // there is no such route
		}
		addrs = append(addrs, addrPortOf(conn.LocalAddr()).Addr())
		conn.Close()
	}
	return addrs
}

// addressChoice is the configured choice. Report names the addresses that it leaves
// out.
func (g *gatherer) addressChoice() addressChoice {
	c := g.cfg.addressChoice()
	c.left = func(a netip.Addr, reason error) {
		g.dropLocal(a, reason)
		if notAvailable(reason) && g.cfg.LocalAddresses == nil {
			g.retryAddress(a, 1)
		}
	}
	return c
}

// dropLocal adds an address to Report that is no candidate.
func (g *gatherer) dropLocal(a netip.Addr, reason error) {
	g.log.Info("no candidate from address", "address", a, "error", reason)
	g.agent.Drop(g.now(), ice.Dropped{Candidate: a.String(), Local: true, Reason: reason})
}

// An address that could not be bound is tried again. An IPv6 address may be tentative:
// duplicate address detection takes a second and a random delay of up to another one
// (RFC 4862 §5.4.2), and not every system reports its end.
const (
	addressRetry   = 250 * time.Millisecond
	addressRetries = 12
)

// retryAddress tries an address again later. Gathering is not complete while it is the
// only one.
func (g *gatherer) retryAddress(a netip.Addr, attempt int) {
	if attempt == 1 {
		g.tentative++
	}
	time.AfterFunc(addressRetry, func() {
		g.owner.locked(func(now time.Time) {
			known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a })
			if !known && g.addresses() < maxLocalAddresses && !g.addLocal(now, a) && attempt < addressRetries {
				g.retryAddress(a, attempt+1)
				return
			}
			g.tentative--
			g.endOfLocal(now)
		})
	})
}

// endOfLocal tells the agent that all addresses and servers are known, if they are.
func (g *gatherer) endOfLocal(now time.Time) {
	if len(g.underway) == 0 && (g.tentative == 0 || len(g.locals) > 0) {
		g.agent.EndOfLocal(now)
	}
}

// newAddresses takes all addresses of the machine after a change. New ones get sockets
// and candidates, and those that are gone lose them. The agent decides which pair
// carries data.
func (g *gatherer) newAddresses(now time.Time, all []netip.Addr) {
	if g.sockets == nil {
		return
	}
	// An address that still exists stays, even if the choice would leave it out now:
	// the connection may use it.
	for _, l := range slices.Clone(g.locals) {
		if !slices.Contains(all, l.addr.Addr()) {
			g.removeLocal(now, l)
		}
	}
	added := false
	chosen := g.addressChoice().from(all)
	for _, a := range chosen {
		known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a })
		if !known && g.roomForAddress(now, chosen) {
			added = g.addLocal(now, a) || added
		}
	}
	if added {
		g.endOfLocal(now)
	}
}

// roomForAddress reports whether one more address may be used. An address that the
// choice leaves out now, and that carries no data, makes room.
func (g *gatherer) roomForAddress(now time.Time, chosen []netip.Addr) bool {
	if g.addresses() < maxLocalAddresses {
		return true
	}
	selected, _ := g.agent.Selected()
	for _, l := range slices.Clone(g.locals) {
		if a := l.addr.Addr(); !slices.Contains(chosen, a) && a != selected.Local {
			for _, o := range slices.Clone(g.locals) {
				if o.addr.Addr() == a {
					g.removeLocal(now, o)
				}
			}
			g.dropLocal(a, errTooManyAddresses)
			return true
		}
	}
	return false
}

// addresses counts the addresses in use, each of which may have several sockets.
func (g *gatherer) addresses() int {
	seen := map[netip.Addr]bool{}
	for _, l := range g.locals {
		seen[l.addr.Addr()] = true
	}
	return len(seen)
}

// addLocal adds an address that has come.
func (g *gatherer) addLocal(now time.Time, a netip.Addr) bool {
	sock := g.sockets.free()
	q, locals, err := g.network.appeared(g.owner, sock, a)
	if err == nil && q != nil {
		err = q.AddUfrag(g.cfg.incoming.username(g.cfg, g.ufrag))
	}
	if err != nil {
		g.dropLocal(a, err)
		if q != nil {
			q.Close()
		}
		return false
	}
	if q != nil {
		g.sockets.set(sock, q)
	}
	if g.cfg.DisableUDP {
		locals = slices.DeleteFunc(locals, func(l local) bool { return l.tcp == ice.NotTCP })
	}
	g.log.Info("address appeared", "address", a)
	g.state = GatheringStateGathering
	g.agent.GatherUntil(now, now.Add(g.cfg.gatherTimeout()))
	g.locals = append(g.locals, locals...)
	if l, ok := g.addDialer(a); ok {
		locals = append(locals, l)
	}
	for _, l := range locals {
		g.offerLocal(now, l)
	}
	return true
}

// removeLocal removes an address that has gone.
func (g *gatherer) removeLocal(now time.Time, l local) {
	g.log.Info("address disappeared", "address", l.addr)
	before := g.agent.Report().Local
	g.agent.RemoveLocal(now, l.sock, l.addr)
	g.locals = slices.DeleteFunc(g.locals, func(o local) bool { return o == l })
	g.forgetCandidates(before, g.agent.Report().Local)
	if q := g.sockets.port(l.sock); q != nil && g.network.vanished(q) {
		g.sockets[l.sock] = nil
	}
}
