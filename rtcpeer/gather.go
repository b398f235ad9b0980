package rtcpeer

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/tcpmux"
	"purertc/rtcpeer/internal/udpmux"
)

// A gatherer searches for local candidates. It opens the transport's sockets and its
// connections to servers, adds local addresses and servers to the ICE agent, and keeps
// the candidates that the agent returns. Its methods are called with the transport's lock
// held, except connect and resolve, which run on goroutines of their own. The caller
// runs the transport afterwards, which sends the agent's output and emits the events.
type gatherer struct {
	owner     owner
	cfg       *Config // the transport's; the gatherer sets ICEServers
	log       *slog.Logger
	random    io.Reader
	network   network
	multicast bool // names can be asked for with multicast DNS; false in simulations
	agent     *ice.Agent
	now       func() time.Time // the transport's clock

	state      GatheringState
	sockets    sockets
	locals     []local
	ufrag      string   // of the present generation; empty before the first search
	ufrags     []string // known to the sockets: ufrag, and earlier ones in use
	candidates []string // of the present generation
	replaced   []string // of the generation before it, for a rollback
	// unsignalled are candidates that were gathered while no local description was
	// applied, after a rollback. They are emitted with the next one.
	unsignalled []string
	// undelivered are the candidates, "" for their end, whose events the program has
	// not taken yet. Created descriptions leave them out: a program that trickles
	// would signal them twice.
	undelivered []string
	names       map[netip.Addr]string // signalled in place of addresses
	connections []connection
	underway    []serverTask    // servers whose names are looked up, or that are connected to
	tentative   int             // addresses that will be tried again
	round       int             // counts changes of the servers, to recognise late look-ups
	ctx         context.Context // of the tasks
	cancel      context.CancelFunc
	unwatch     func()    // ends the watch over the machine's addresses; nil: there is none
	mdns        *mdnsUser // nil: the sockets of multicast DNS are not open
}

// An owner is the transport of a gatherer.
type owner interface {
	handler // of the sockets
	// locked takes the transport's lock, calls f and runs the transport. If the
	// transport is closed it does nothing and returns false.
	locked(f func(now time.Time)) bool
	// addressesChanged takes all addresses of the machine after a change.
	addressesChanged(all []netip.Addr)
}

// sockets are a transport's ports, by the Sock of their routes. A nil one is free.
type sockets []port

// port returns the port of a route; nil: there is none.
func (s sockets) port(sock ice.Sock) port {
	if sock < 0 || int(sock) >= len(s) {
		return nil
	}
	return s[sock]
}

// free returns the number of the next socket: that of an address that has gone, if
// there is one.
func (s sockets) free() ice.Sock {
	if sock := slices.Index(s, nil); sock >= 0 {
		return ice.Sock(sock)
	}
	return ice.Sock(len(s))
}

func (s *sockets) set(sock ice.Sock, q port) {
	if int(sock) == len(*s) {
		*s = append(*s, nil)
	}
	(*s)[sock] = q
}

// A claimer is a port on a socket that several transports share.
type claimer interface {
	Claim(remote netip.AddrPort) error
}

// claim makes sure that the datagrams of the selected pair come to this transport. A
// check sent to the remote address was answered, so no other transport may have it.
func (s sockets) claim(r ice.Route) error {
	if q, ok := s.port(r.Sock).(claimer); ok {
		return q.Claim(r.Remote)
	}
	return nil
}

// close closes a port and frees its number.
func (s sockets) close(sock ice.Sock) {
	s[sock].Close()
	s[sock] = nil
}

// resolveTimeout bounds the look-up of a server's name.
const resolveTimeout = 10 * time.Second

// forgetCandidates removes the candidates of an address that has gone: those in before and not
// in after. The generation is ignored.
func (g *gatherer) forgetCandidates(before, after []ice.Candidate) {
	key := func(c ice.Candidate) string {
		c.Ufrag = ""
		return c.String()
	}
	lost := map[string]bool{}
	for _, c := range before {
		lost[key(c)] = true
	}
	for _, c := range after {
		delete(lost, key(c))
	}
	gone := func(name string) bool {
		c, err := ice.ParseCandidate(name)
		return err == nil && lost[key(c)]
	}
	g.candidates = slices.DeleteFunc(g.candidates, gone)
	g.replaced = slices.DeleteFunc(g.replaced, gone)
	g.unsignalled = slices.DeleteFunc(g.unsignalled, gone)
}

// stop cancels the tasks.
func (g *gatherer) stop() {
	if g.cancel != nil {
		g.cancel()
	}
}

// close ends all tasks and closes the sockets.
func (g *gatherer) close() {
	g.stop()
	g.forgetRetries()
	if g.unwatch != nil {
		g.unwatch()
	}
	g.multicast = false
	g.releaseMDNS()
	for _, q := range g.sockets {
		if q != nil {
			q.Close()
		}
	}
	g.sockets = nil
}

// forgetRetries cancels the retries of lost connections. The next search opens them
// again.
func (g *gatherer) forgetRetries() {
	for _, c := range g.connections {
		if c.retry != nil {
			c.retry.Stop()
		}
	}
}

// gather begins to gather for a generation. The first time it opens the sockets.
func (g *gatherer) gather(now time.Time, ufrag string) error {
	if g.sockets == nil {
		if err := g.openSockets(); err != nil {
			return err
		}
	}
	if err := g.setUfrag(ufrag); err != nil {
		return err
	}
	if g.cfg.Host != nil {
		g.cfg.Host.claim(g.cfg.incoming.username(g.cfg, ufrag), g.owner)
	}
	g.ufrag, g.replaced, g.candidates, g.unsignalled = ufrag, g.candidates, nil, nil
	g.state = GatheringStateGathering
	g.agent.GatherUntil(now, now.Add(g.cfg.gatherTimeout()))
	g.forgetRetries()
	if g.cfg.MDNSCandidates {
		g.useMDNS()
	}
	for _, l := range g.locals {
		g.offerLocal(now, l)
	}
	g.askServers(now)
	return nil
}

// openSockets opens the sockets of all local addresses.
func (g *gatherer) openSockets() error {
	unwatch := g.network.watch(g.owner.addressesChanged) // first, so that no change is missed
	ports, locals, err := g.network.open(g.owner, g.addressChoice())
	if err != nil {
		unwatch()
		return err
	}
	g.unwatch = unwatch
	g.sockets = append([]port{}, ports...) // not nil
	for _, l := range locals {
		if l.tcp == ice.NotTCP && g.cfg.DisableUDP {
			g.log.Debug("UDP is disabled", "address", l.addr)
		} else {
			g.locals = append(g.locals, l)
		}
		g.addDialer(l.addr.Addr())
	}
	return nil
}

// setUfrag makes the sockets hand checks that name a new ufrag to this transport, and
// removes ufrags that are not in use any more.
func (g *gatherer) setUfrag(ufrag string) error {
	live := g.agent.Ufrags()
	for _, q := range g.sockets {
		if q == nil {
			continue // its address has gone
		}
		for _, u := range g.ufrags {
			if !slices.Contains(live, u) {
				q.RemoveUfrag(g.cfg.incoming.username(g.cfg, u))
			}
		}
		err := q.AddUfrag(g.cfg.incoming.username(g.cfg, ufrag))
		if errors.Is(err, udpmux.ErrTaken) || errors.Is(err, tcpmux.ErrTaken) {
			return invalid("another connection of the Host has the ICE ufrag %q: close it first, or choose another ICEUfrag", ufrag)
		}
		if err != nil {
			return err
		}
	}
	g.ufrags = append(slices.DeleteFunc(g.ufrags, func(u string) bool { return !slices.Contains(live, u) }), ufrag)
	return nil
}

// addDialer adds the active TCP candidate of an address, once.
func (g *gatherer) addDialer(a netip.Addr) (l local, ok bool) {
	known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a && l.tcp == ice.TCPActive })
	if known || g.cfg.DisableTCP || g.cfg.PlainCandidates || g.cfg.ICELite || g.cfg.ICETransportPolicy == ICETransportPolicyRelay {
		return local{}, false
	}
	sock := g.sockets.free()
	q := g.network.dial(g.owner, sock, a)
	if q == nil {
		return local{}, false
	}
	g.sockets.set(sock, q)
	l = local{sock: sock, addr: netip.AddrPortFrom(a, 0), tcp: ice.TCPActive}
	g.locals = append(g.locals, l)
	return l, true
}

// offerLocal adds a local address to the agent.
func (g *gatherer) offerLocal(now time.Time, l local) {
	i := ice.Local{Sock: l.sock, Addr: l.addr, TCP: l.tcp}
	for _, a := range g.cfg.PublicAddresses {
		if a.matches(l.addr.Addr()) {
			i.Public, i.KeepLocal = a.Public, a.KeepLocal
			break
		}
	}
	if g.cfg.MDNSCandidates {
		i.Name = g.nameOf(l.addr.Addr())
	}
	if err := g.agent.AddLocal(now, i); err != nil {
		g.dropLocal(l.addr.Addr(), err)
	}
}

// askServers makes the agent ask the servers, once their names are resolved. Look-ups
// and connections that are under way go on: ICE restarts may follow each other faster
// than they end.
func (g *gatherer) askServers(now time.Time) {
	var tasks []serverTask
	for _, s := range g.cfg.ICEServers {
		urls, _ := s.parse() // Initialize has checked them
		for _, u := range urls {
			addr, err := netip.ParseAddr(u.host)
			switch {
			case !u.turn && u.secure:
				g.agent.ServerFailed(now, u.text, errNoSTUN)
			case g.cfg.DisableUDP && (!u.turn || u.over() == ice.OverUDP):
				g.agent.ServerFailed(now, u.text, errUDPDisabled)
			case g.needsConnection(u) && g.reuseConnection(now, u, s):
			case g.needsConnection(u) || err != nil:
				tasks = append(tasks, serverTask{url: u, server: s})
			default:
				g.askServer(now, u, s, []netip.Addr{addr})
			}
		}
	}
	for _, task := range tasks {
		g.beginTask(task)
	}
	g.endOfLocal(now)
}

// A task is a server whose name has to be looked up, or that has to be connected to,
// before the agent can ask it.
type serverTask struct {
	url    serverURL
	server ICEServer
	// Where another server has referred to, and the name on its certificate; invalid
	// and empty: the URL has both.
	alternate netip.AddrPort
	domain    string
	hops      int // number of referrals
	lost      int // how often the connection was lost since it last lasted
}

// beginTask begins a task, unless it is under way. endTask ends it.
func (g *gatherer) beginTask(task serverTask) {
	if slices.ContainsFunc(g.underway, task.same) {
		return
	}
	if len(g.underway) == 0 {
		g.ctx, g.cancel = context.WithCancel(context.Background())
	}
	g.underway = append(g.underway, task)
	if g.needsConnection(task.url) {
		go g.connect(g.ctx, g.round, task)
	} else {
		go g.resolve(g.ctx, g.round, task)
	}
}

// same reports whether two tasks have the same server and credentials.
func (task serverTask) same(o serverTask) bool {
	return task.url == o.url && task.server.Username == o.server.Username && task.server.Credential == o.server.Credential
}

// resolve looks up a server's name and asks it.
func (g *gatherer) resolve(ctx context.Context, round int, task serverTask) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := g.cfg.resolve(ctx, task.url.host)
	g.owner.locked(func(now time.Time) {
		switch {
		case round != g.round:
			return
		case err != nil:
			g.agent.ServerFailed(now, task.url.text, err)
		default:
			g.askServer(now, task.url, task.server, addrs)
		}
		g.endTask(now, task)
	})
}

// endTask ends a task: the agent asks its server, or the task has failed.
func (g *gatherer) endTask(now time.Time, task serverTask) {
	if i := slices.IndexFunc(g.underway, task.same); i >= 0 {
		g.underway = slices.Delete(g.underway, i, i+1)
	}
	if len(g.underway) == 0 {
		g.stop()
	}
	g.endOfLocal(now)
}

// askServer gives the agent one address of each family of a server.
func (g *gatherer) askServer(now time.Time, u serverURL, s ICEServer, addrs []netip.Addr) {
	var have4, have6 bool
	for _, a := range addrs {
		a = a.Unmap()
		if a.Is4() && have4 || a.Is6() && have6 {
			continue
		}
		have4, have6 = have4 || a.Is4(), have6 || a.Is6()
		g.addServer(now, ice.Server{
			URL: u.text, Addr: netip.AddrPortFrom(a, u.port), TURN: u.turn, Sock: ice.SockAny,
			Username: s.Username, Password: s.Credential,
		})
	}
}

// gathered takes a candidate from the agent. It returns the candidate as it is
// signalled; "" if it is not signalled.
func (g *gatherer) gathered(c ice.Candidate) (name string) {
	g.state = GatheringStateGathering // again, if a lost allocation has been made anew
	switch c.Ufrag {
	case "":
		c.Ufrag = g.ufrag
	case g.ufrag:
	default:
		return "" // of a restart that was rolled back
	}
	if c.Transport == "tcp" && g.cfg.PlainCandidates {
		return ""
	}
	name = c.String()
	g.candidates = append(g.candidates, name)
	return name
}

// signal reports whether a candidate ("": their end) can be signalled now: the local
// description that is applied has the generation's ufrag. If not, the next
// description takes the candidate. If it can, it counts as undelivered.
func (g *gatherer) signal(name, ufrag string) bool {
	if ufrag != g.ufrag {
		g.unsignalled = append(g.unsignalled, name)
		return false
	}
	g.undelivered = append(g.undelivered, name)
	return true
}

// takeUnsignalled returns the candidates that were gathered without a local
// description.
func (g *gatherer) takeUnsignalled() (names []string) {
	names, g.unsignalled = g.unsignalled, nil
	return names
}

// delivered returns the candidates that the program has taken, and whether it has
// taken the end of candidates.
func (g *gatherer) delivered() (candidates []string, end bool) {
	waiting := func(name string) bool {
		return slices.Contains(g.undelivered, name) || slices.Contains(g.unsignalled, name)
	}
	return slices.DeleteFunc(slices.Clone(g.candidates), waiting), g.state == GatheringStateComplete && !waiting("")
}

// candidateDelivered notes that the program has taken a candidate.
func (g *gatherer) candidateDelivered(name string) {
	if i := slices.Index(g.undelivered, name); i >= 0 {
		g.undelivered = slices.Delete(g.undelivered, i, i+1)
	}
	if len(g.undelivered) == 0 {
		g.undelivered = nil
	}
}

// rollback returns to the generation before this one, which has that ufrag.
func (g *gatherer) rollback(ufrag string) {
	g.ufrag, g.candidates, g.unsignalled = ufrag, g.replaced, nil
}

// setServers sets the servers, and asks them if gathering has begun.
func (g *gatherer) setServers(now time.Time, servers []ICEServer) {
	g.cfg.ICEServers = slices.Clone(servers)
	if g.state == GatheringStateNew {
		return
	}
	g.state = GatheringStateGathering
	g.stop()
	g.underway = nil
	g.round++
	g.forgetRetries()
	g.agent.ClearServers(now)
	g.agent.GatherUntil(now, now.Add(g.cfg.gatherTimeout()))
	g.askServers(now)
}
