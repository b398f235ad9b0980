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
	underway    []task          // servers whose names are looked up, or that are connected to
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
func (p *peer) gather(now time.Time, ufrag string) error {
	g := &p.gatherer
	if p.ports == nil {
		unwatch := p.network.watch(p.addressesChanged) // first, so that no change is missed
		ports, locals, err := p.network.open(p, p.addressChoice())
		if err != nil {
			unwatch()
			return err
		}
		g.unwatch = unwatch
		p.ports, g.locals = ports, locals
		for _, l := range locals {
			p.addDialer(l.addr.Addr())
		}
	}
	if err := p.setUfrag(ufrag); err != nil {
		return err
	}
	g.ufrag, g.replaced, g.candidates, g.unsignalled = ufrag, g.candidates, nil, nil
	p.setGathering(GatheringStateGathering)
	p.core.agent.GatherUntil(now, now.Add(p.cfg.gatherTimeout()))
	g.forgetRetries()
	if p.cfg.MDNSCandidates {
		p.useMDNS()
	}
	for _, l := range g.locals {
		p.offerLocal(now, l)
	}
	p.askServers(now)
	return nil
}

// setUfrag makes the sockets hand checks that name a new ufrag to this transport, and
// removes ufrags that are not in use any more.
func (p *peer) setUfrag(ufrag string) error {
	g := &p.gatherer
	live := p.core.agent.Ufrags()
	for _, q := range p.ports {
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
func (p *peer) addDialer(a netip.Addr) (l local, ok bool) {
	g := &p.gatherer
	known := slices.ContainsFunc(g.locals, func(l local) bool { return l.addr.Addr() == a && l.tcp == ice.TCPActive })
	if known || p.cfg.DisableTCP || p.cfg.PlainCandidates || p.cfg.ICELite || p.cfg.ICETransportPolicy == ICETransportPolicyRelay {
		return local{}, false
	}
	sock := p.freeSock()
	q := p.network.dial(p, sock, a)
	if q == nil {
		return local{}, false
	}
	p.setPort(sock, q)
	l = local{sock: sock, addr: netip.AddrPortFrom(a, 0), tcp: ice.TCPActive}
	g.locals = append(g.locals, l)
	return l, true
}

// freeSock returns the number of the next socket: that of an address that has gone, if
// there is one.
func (p *peer) freeSock() ice.Sock {
	if sock := slices.Index(p.ports, nil); sock >= 0 {
		return ice.Sock(sock)
	}
	return ice.Sock(len(p.ports))
}

func (p *peer) setPort(sock ice.Sock, q port) {
	if int(sock) == len(p.ports) {
		p.ports = append(p.ports, nil)
	}
	p.ports[sock] = q
}

// offerLocal adds a local address to the agent.
func (p *peer) offerLocal(now time.Time, l local) {
	i := ice.Local{Sock: l.sock, Addr: l.addr, TCP: l.tcp}
	for _, a := range p.cfg.PublicAddresses {
		if a.matches(l.addr.Addr()) {
			i.Public, i.KeepLocal = a.Public, a.KeepLocal
			break
		}
	}
	if p.cfg.MDNSCandidates {
		i.Name = p.nameOf(l.addr.Addr())
	}
	if err := p.core.agent.AddLocal(now, i); err != nil {
		p.dropLocal(l.addr.Addr(), err)
	}
}

// askServers makes the agent ask the servers, once their names are resolved. Look-ups
// and connections that are under way go on: ICE restarts may follow each other faster
// than they end.
func (p *peer) askServers(now time.Time) {
	var tasks []task
	for _, s := range p.cfg.ICEServers {
		urls, _ := s.parse() // Initialize has checked them
		for _, u := range urls {
			addr, err := netip.ParseAddr(u.host)
			switch {
			case !u.turn && u.secure:
				p.core.agent.ServerFailed(now, u.text, errNoSTUN)
			case p.needsConnection(u) && p.reuseConnection(now, u, s):
			case p.needsConnection(u) || err != nil:
				tasks = append(tasks, task{url: u, server: s})
			default:
				p.askServer(now, u, s, []netip.Addr{addr})
			}
		}
	}
	for _, t := range tasks {
		p.begin(t)
	}
	p.endOfLocal(now)
}

// A task is a server whose name has to be looked up, or that has to be connected to,
// before the agent can ask it.
type task struct {
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
func (p *peer) begin(t task) {
	g := &p.gatherer
	if slices.ContainsFunc(g.underway, t.same) {
		return
	}
	if len(g.underway) == 0 {
		g.ctx, g.cancel = context.WithCancel(context.Background())
	}
	g.underway = append(g.underway, t)
	if p.needsConnection(t.url) {
		go p.connect(g.ctx, g.round, t)
	} else {
		go p.resolve(g.ctx, g.round, t)
	}
}

// same reports whether two tasks have the same server and credentials.
func (t task) same(o task) bool {
	return t.url == o.url && t.server.Username == o.server.Username && t.server.Credential == o.server.Credential
}

// resolve looks up a server's name and asks it.
func (p *peer) resolve(ctx context.Context, round int, t task) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.url.host)
	p.resolved(round, t, addrs, err)
}

// resolved takes the result of a look-up.
func (p *peer) resolved(round int, t task, addrs []netip.Addr, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &p.gatherer
	if p.closed || round != g.round {
		return
	}
	now := p.now()
	if err != nil {
		p.core.agent.ServerFailed(now, t.url.text, err)
	} else {
		p.askServer(now, t.url, t.server, addrs)
	}
	p.asked(now, t)
}

// asked ends a task: the agent asks its server, or the task has failed.
func (p *peer) asked(now time.Time, t task) {
	g := &p.gatherer
	if i := slices.IndexFunc(g.underway, t.same); i >= 0 {
		g.underway = slices.Delete(g.underway, i, i+1)
	}
	if len(g.underway) == 0 {
		g.stop()
	}
	p.endOfLocal(now)
	p.run(now)
}

// askServer gives the agent one address of each family of a server.
func (p *peer) askServer(now time.Time, u serverURL, s ICEServer, addrs []netip.Addr) {
	var have4, have6 bool
	for _, a := range addrs {
		a = a.Unmap()
		if a.Is4() && have4 || a.Is6() && have6 {
			continue
		}
		have4, have6 = have4 || a.Is4(), have6 || a.Is6()
		p.addServer(now, ice.Server{
			URL: u.text, Addr: netip.AddrPortFrom(a, u.port), TURN: u.turn, Sock: ice.SockAny,
			Username: s.Username, Password: s.Credential,
		})
	}
}

// gathered takes a candidate from the agent.
func (p *peer) gathered(c ice.Candidate) {
	if p.gatherer.state == GatheringStateComplete {
		p.setGathering(GatheringStateGathering) // a lost allocation has been made again
	}
	switch c.Ufrag {
	case "":
		c.Ufrag = p.gatherer.ufrag
	case p.gatherer.ufrag:
	default:
		return // of a restart that was rolled back
	}
	if c.Transport == "tcp" && p.cfg.PlainCandidates {
		return
	}
	name := c.String()
	p.gatherer.candidates = append(p.gatherer.candidates, name)
	p.emitCandidate(name)
}

func (p *peer) gatheringComplete() {
	if p.gatherer.state != GatheringStateGathering {
		return
	}
	if !p.cfg.PlainCandidates {
		p.emitCandidate("") // RFC 8838 §13: the end of candidates
	}
	p.setGathering(GatheringStateComplete)
}

func (p *peer) emitCandidate(name string) {
	d := p.neg.localApplied()
	if d == nil || d.credentials().ufrag != p.gatherer.ufrag {
		p.gatherer.unsignalled = append(p.gatherer.unsignalled, name)
		return
	}
	data := d.data()
	p.gatherer.undelivered = append(p.gatherer.undelivered, name)
	p.emit(Event{Kind: EventICECandidate, Media: data.TransportMid, Index: data.Transport, Name: name})
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
func (p *peer) candidateDelivered(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := &p.gatherer
	if i := slices.Index(g.undelivered, name); i >= 0 {
		g.undelivered = slices.Delete(g.undelivered, i, i+1)
	}
	if len(g.undelivered) == 0 {
		g.undelivered = nil
	}
}

// emitUnsignalled emits the candidates that were gathered without a local description.
func (p *peer) emitUnsignalled() {
	names := p.gatherer.unsignalled
	p.gatherer.unsignalled = nil
	for _, name := range names {
		p.emitCandidate(name)
	}
}

func (p *peer) setGathering(s GatheringState) {
	if p.gatherer.state != s {
		p.gatherer.state = s
		p.emit(Event{Kind: EventGatheringState, State: int(s)})
	}
}

// setICEServers sets the servers, and asks them if gathering has begun.
func (p *peer) setICEServers(servers []ICEServer) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cause
	}
	if p.cfg.ICELite && len(servers) > 0 {
		return invalid("ICELite has host candidates only: no ICEServers")
	}
	p.cfg.ICEServers = slices.Clone(servers)
	if p.gatherer.state == GatheringStateNew {
		return nil
	}
	now := p.now()
	p.setGathering(GatheringStateGathering)
	p.gatherer.stop()
	p.gatherer.underway = nil
	p.gatherer.round++
	p.gatherer.forgetRetries()
	p.core.agent.ClearServers(now)
	p.core.agent.GatherUntil(now, now.Add(p.cfg.gatherTimeout()))
	p.askServers(now)
	p.run(now)
	return nil
}
