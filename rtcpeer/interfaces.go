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
func (t *transport) addressChoice() addressChoice {
	c := t.cfg.addressChoice()
	c.left = func(a netip.Addr, reason error) {
		t.dropLocal(a, reason)
		if notAvailable(reason) && len(t.cfg.LocalAddresses) == 0 {
			t.retryAddress(a, 1)
		}
	}
	return c
}

// dropLocal adds an address to Report that is no candidate.
func (t *transport) dropLocal(a netip.Addr, reason error) {
	t.log.Info("no candidate from address", "address", a, "error", reason)
	t.core.agent.Drop(ice.Dropped{Candidate: a.String(), Local: true, Reason: reason})
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
func (t *transport) retryAddress(a netip.Addr, attempt int) {
	if attempt == 1 {
		t.gatherer.tentative++
	}
	time.AfterFunc(addressRetry, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		g := &t.gatherer
		if t.closed {
			return
		}
		now := t.now()
		known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a })
		if !known && t.addresses() < maxLocalAddresses && !t.addLocal(now, a) && attempt < addressRetries {
			t.retryAddress(a, attempt+1)
			return
		}
		g.tentative--
		t.endOfLocal(now)
		t.run(now)
	})
}

// endOfLocal tells the agent that all addresses and servers are known, if they are.
func (t *transport) endOfLocal(now time.Time) {
	if g := &t.gatherer; len(g.underway) == 0 && (g.tentative == 0 || len(g.locals) > 0) {
		t.core.agent.EndOfLocal(now)
	}
}

// addressesChanged takes all addresses of the machine after a change. New ones get
// sockets and candidates, and those that are gone lose them. The agent decides which
// pair carries data.
func (t *transport) addressesChanged(all []netip.Addr) {
	if !t.enter(true, true) {
		t.post(func(in *input) { in.addresses = all })
		return
	}
	defer t.mu.Unlock()
	if !t.closed {
		now := t.now()
		t.newAddresses(now, all)
		t.run(now)
	}
}

// newAddresses does the work of addressesChanged. The lock is held; run follows.
func (t *transport) newAddresses(now time.Time, all []netip.Addr) {
	if t.ports == nil {
		return
	}
	g := &t.gatherer
	// An address that still exists stays, even if the choice would leave it out now:
	// the connection may use it.
	for _, l := range slices.Clone(g.locals) {
		if !slices.Contains(all, l.addr.Addr()) {
			t.removeLocal(now, l)
		}
	}
	added := false
	chosen := t.addressChoice().from(all)
	for _, a := range chosen {
		known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a })
		if !known && t.roomForAddress(now, chosen) {
			added = t.addLocal(now, a) || added
		}
	}
	if added {
		t.endOfLocal(now)
	}
}

// roomForAddress reports whether one more address may be used. An address that the
// choice leaves out now, and that carries no data, makes room.
func (t *transport) roomForAddress(now time.Time, chosen []netip.Addr) bool {
	if t.addresses() < maxLocalAddresses {
		return true
	}
	selected, _ := t.core.agent.Selected()
	for _, l := range slices.Clone(t.gatherer.locals) {
		if a := l.addr.Addr(); !slices.Contains(chosen, a) && a != selected.Local {
			for _, o := range slices.Clone(t.gatherer.locals) {
				if o.addr.Addr() == a {
					t.removeLocal(now, o)
				}
			}
			t.dropLocal(a, errTooManyAddresses)
			return true
		}
	}
	return false
}

// addresses counts the addresses in use, each of which may have several sockets.
func (t *transport) addresses() int {
	seen := map[netip.Addr]bool{}
	for _, l := range t.gatherer.locals {
		seen[l.addr.Addr()] = true
	}
	return len(seen)
}

// addLocal adds an address that has come.
func (t *transport) addLocal(now time.Time, a netip.Addr) bool {
	g := &t.gatherer
	sock := t.freeSock()
	q, locals, err := t.network.appeared(t, sock, a)
	if err == nil && q != nil {
		err = q.AddUfrag(g.ufrag)
	}
	if err != nil {
		t.dropLocal(a, err)
		if q != nil {
			q.Close()
		}
		return false
	}
	if q != nil {
		t.setPort(sock, q)
	}
	t.log.Info("address appeared", "address", a)
	t.setGathering(GatheringStateGathering)
	t.core.agent.GatherUntil(now, now.Add(t.cfg.gatherTimeout()))
	g.locals = append(g.locals, locals...)
	if l, ok := t.addDialer(a); ok {
		locals = append(locals, l)
	}
	for _, l := range locals {
		t.offerLocal(now, l)
	}
	return true
}

// removeLocal removes an address that has gone.
func (t *transport) removeLocal(now time.Time, l local) {
	g := &t.gatherer
	t.log.Info("address disappeared", "address", l.addr)
	before := t.core.agent.Report().Local
	t.core.agent.RemoveLocal(now, l.sock, l.addr)
	g.locals = slices.DeleteFunc(g.locals, func(o local) bool { return o == l })
	g.forget(before, t.core.agent.Report().Local)
	if q := t.port(l.sock); q != nil && t.network.vanished(q) {
		t.ports[l.sock] = nil
	}
}
