package rtcpeer

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"purertc/ice"
)

// A gatherer is the state of the search for local candidates.
type gatherer struct {
	state      GatheringState
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
	unwatch     func() // ends the watch over the machine's addresses; nil: there is none
}

// resolveTimeout bounds the look-up of a server's name.
const resolveTimeout = 10 * time.Second

// forget removes the candidates of an address that has gone: those in before and not
// in after. The generation is ignored.
func (g *gatherer) forget(before, after []ice.Candidate) {
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

func (g *gatherer) stop() {
	if g.cancel != nil {
		g.cancel()
	}
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
func (t *transport) gather(now time.Time, ufrag string) error {
	g := &t.gatherer
	if t.ports == nil {
		unwatch := t.network.watch(t.addressesChanged) // first, so that no change is missed
		ports, locals, err := t.network.open(t, t.addressChoice())
		if err != nil {
			unwatch()
			return err
		}
		g.unwatch = unwatch
		t.ports, g.locals = ports, locals
		for _, l := range locals {
			t.addDialer(l.addr.Addr())
		}
	}
	if err := t.setUfrag(ufrag); err != nil {
		return err
	}
	g.ufrag, g.replaced, g.candidates, g.unsignalled = ufrag, g.candidates, nil, nil
	t.setGathering(GatheringStateGathering)
	t.core.agent.GatherUntil(now, now.Add(t.cfg.gatherTimeout()))
	g.forgetRetries()
	if t.cfg.MDNSCandidates {
		t.useMDNS()
	}
	for _, l := range g.locals {
		t.offerLocal(now, l)
	}
	t.askServers(now)
	return nil
}

// setUfrag makes the sockets hand checks that name a new ufrag to this transport, and
// removes ufrags that are not in use any more.
func (t *transport) setUfrag(ufrag string) error {
	g := &t.gatherer
	live := t.core.agent.Ufrags()
	for _, q := range t.ports {
		if q == nil {
			continue // its address has gone
		}
		for _, u := range g.ufrags {
			if !slices.Contains(live, u) {
				q.RemoveUfrag(u)
			}
		}
		if err := q.AddUfrag(ufrag); err != nil {
			return err
		}
	}
	g.ufrags = append(slices.DeleteFunc(g.ufrags, func(u string) bool { return !slices.Contains(live, u) }), ufrag)
	return nil
}

// addDialer adds the active TCP candidate of an address, once.
func (t *transport) addDialer(a netip.Addr) (l local, ok bool) {
	g := &t.gatherer
	known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a && l.tcp == ice.TCPActive })
	if known || t.cfg.DisableTCP || t.cfg.PlainCandidates || t.cfg.ICELite || t.cfg.ICETransportPolicy == ICETransportPolicyRelay {
		return local{}, false
	}
	sock := t.freeSock()
	q := t.network.dial(t, sock, a)
	if q == nil {
		return local{}, false
	}
	t.setPort(sock, q)
	l = local{sock: sock, addr: netip.AddrPortFrom(a, 0), tcp: ice.TCPActive}
	g.locals = append(g.locals, l)
	return l, true
}

// freeSock returns the number of the next socket: that of an address that has gone, if
// there is one.
func (t *transport) freeSock() ice.Sock {
	if sock := slices.Index(t.ports, nil); sock >= 0 {
		return ice.Sock(sock)
	}
	return ice.Sock(len(t.ports))
}

func (t *transport) setPort(sock ice.Sock, q port) {
	if int(sock) == len(t.ports) {
		t.ports = append(t.ports, nil)
	}
	t.ports[sock] = q
}

// offerLocal adds a local address to the agent.
func (t *transport) offerLocal(now time.Time, l local) {
	i := ice.Local{Sock: l.sock, Addr: l.addr, TCP: l.tcp}
	for _, a := range t.cfg.PublicAddresses {
		if a.matches(l.addr.Addr()) {
			i.Public, i.KeepLocal = a.Public, a.KeepLocal
			break
		}
	}
	if t.cfg.MDNSCandidates {
		i.Name = t.nameOf(l.addr.Addr())
	}
	if err := t.core.agent.AddLocal(now, i); err != nil {
		t.dropLocal(l.addr.Addr(), err)
	}
}

// askServers makes the agent ask the servers, once their names are resolved. Look-ups
// and connections that are under way go on: ICE restarts may follow each other faster
// than they end.
func (t *transport) askServers(now time.Time) {
	var tasks []serverTask
	for _, s := range t.cfg.ICEServers {
		urls, _ := s.parse() // Initialize has checked them
		for _, u := range urls {
			addr, err := netip.ParseAddr(u.host)
			switch {
			case !u.turn && u.secure:
				t.core.agent.ServerFailed(now, u.text, errNoSTUN)
			case t.needsConnection(u) && t.reuseConnection(now, u, s):
			case t.needsConnection(u) || err != nil:
				tasks = append(tasks, serverTask{url: u, server: s})
			default:
				t.askServer(now, u, s, []netip.Addr{addr})
			}
		}
	}
	for _, task := range tasks {
		t.begin(task)
	}
	t.endOfLocal(now)
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

// begin begins a task, unless it is under way. asked ends it.
func (t *transport) begin(task serverTask) {
	g := &t.gatherer
	if slices.ContainsFunc(g.underway, task.same) {
		return
	}
	if len(g.underway) == 0 {
		g.ctx, g.cancel = context.WithCancel(context.Background())
	}
	g.underway = append(g.underway, task)
	if t.needsConnection(task.url) {
		go t.connect(g.ctx, g.round, task)
	} else {
		go t.resolve(g.ctx, g.round, task)
	}
}

// same reports whether two tasks have the same server and credentials.
func (task serverTask) same(o serverTask) bool {
	return task.url == o.url && task.server.Username == o.server.Username && task.server.Credential == o.server.Credential
}

// resolve looks up a server's name and asks it.
func (t *transport) resolve(ctx context.Context, round int, task serverTask) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", task.url.host)
	t.resolved(round, task, addrs, err)
}

// resolved takes the result of a look-up.
func (t *transport) resolved(round int, task serverTask, addrs []netip.Addr, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := &t.gatherer
	if t.closed || round != g.round {
		return
	}
	now := t.now()
	if err != nil {
		t.core.agent.ServerFailed(now, task.url.text, err)
	} else {
		t.askServer(now, task.url, task.server, addrs)
	}
	t.asked(now, task)
}

// asked ends a task: the agent asks its server, or the task has failed.
func (t *transport) asked(now time.Time, task serverTask) {
	g := &t.gatherer
	if i := slices.IndexFunc(g.underway, task.same); i >= 0 {
		g.underway = slices.Delete(g.underway, i, i+1)
	}
	if len(g.underway) == 0 {
		g.stop()
	}
	t.endOfLocal(now)
	t.run(now)
}

// askServer gives the agent one address of each family of a server.
func (t *transport) askServer(now time.Time, u serverURL, s ICEServer, addrs []netip.Addr) {
	var have4, have6 bool
	for _, a := range addrs {
		a = a.Unmap()
		if a.Is4() && have4 || a.Is6() && have6 {
			continue
		}
		have4, have6 = have4 || a.Is4(), have6 || a.Is6()
		t.addServer(now, ice.Server{
			URL: u.text, Addr: netip.AddrPortFrom(a, u.port), TURN: u.turn, Sock: ice.SockAny,
			Username: s.Username, Password: s.Credential,
		})
	}
}

// gathered takes a candidate from the agent.
func (t *transport) gathered(c ice.Candidate) {
	if t.gatherer.state == GatheringStateComplete {
		t.setGathering(GatheringStateGathering) // a lost allocation has been made again
	}
	switch c.Ufrag {
	case "":
		c.Ufrag = t.gatherer.ufrag
	case t.gatherer.ufrag:
	default:
		return // of a restart that was rolled back
	}
	if c.Transport == "tcp" && t.cfg.PlainCandidates {
		return
	}
	name := c.String()
	t.gatherer.candidates = append(t.gatherer.candidates, name)
	t.emitCandidate(name)
}

func (t *transport) gatheringComplete() {
	if t.gatherer.state != GatheringStateGathering {
		return
	}
	if !t.cfg.PlainCandidates {
		t.emitCandidate("") // RFC 8838 §13: the end of candidates
	}
	t.setGathering(GatheringStateComplete)
}

func (t *transport) emitCandidate(name string) {
	d := t.neg.localApplied()
	if d == nil || d.credentials().ufrag != t.gatherer.ufrag {
		t.gatherer.unsignalled = append(t.gatherer.unsignalled, name)
		return
	}
	data := d.data()
	t.gatherer.undelivered = append(t.gatherer.undelivered, name)
	t.emit(Event{Kind: EventICECandidate, Media: data.TransportMid, Index: data.Transport, Name: name})
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
func (t *transport) candidateDelivered(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := &t.gatherer
	if i := slices.Index(g.undelivered, name); i >= 0 {
		g.undelivered = slices.Delete(g.undelivered, i, i+1)
	}
	if len(g.undelivered) == 0 {
		g.undelivered = nil
	}
}

// emitUnsignalled emits the candidates that were gathered without a local description.
func (t *transport) emitUnsignalled() {
	names := t.gatherer.unsignalled
	t.gatherer.unsignalled = nil
	for _, name := range names {
		t.emitCandidate(name)
	}
}

func (t *transport) setGathering(s GatheringState) {
	if t.gatherer.state != s {
		t.gatherer.state = s
		t.emit(Event{Kind: EventGatheringState, State: int(s)})
	}
}

// setICEServers sets the servers, and asks them if gathering has begun.
func (t *transport) setICEServers(servers []ICEServer) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return t.cause
	}
	if t.cfg.ICELite && len(servers) > 0 {
		return invalid("ICELite has host candidates only: no ICEServers")
	}
	t.cfg.ICEServers = slices.Clone(servers)
	if t.gatherer.state == GatheringStateNew {
		return nil
	}
	now := t.now()
	t.setGathering(GatheringStateGathering)
	t.gatherer.stop()
	t.gatherer.underway = nil
	t.gatherer.round++
	t.gatherer.forgetRetries()
	t.core.agent.ClearServers(now)
	t.core.agent.GatherUntil(now, now.Add(t.cfg.gatherTimeout()))
	t.askServers(now)
	t.run(now)
	return nil
}
