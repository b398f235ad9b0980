package ice

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"purertc/ice/internal/turn"
	"purertc/stun"
)

const maxRelays = 16

// A relay is an allocation at a TURN server (RFC 8656). It is requested from one host
// base, or over a connection that was opened for the server.
type relay struct {
	client  *turn.Client
	server  *server // nil: clearServers has removed the server
	config  Server  // the server with which the client was created
	from    *base   // base that the allocation is requested from; nil: a connection is used
	route   Route   // route of the datagrams to and from the server
	bases   []*base // one for each relayed address
	order   int     // number among the relays, for the preference
	started bool
	settled bool      // the request to the server has ended
	pokeAt  time.Time // when to send the next keepalive
	readyAt time.Time // when the allocation was last made; zero: never
	retries int       // number of retries since the allocation was lost
	retryAt time.Time // when a lost allocation is requested again; zero: never
	cut     bool      // the connection is lost: the owner opens another one
}

// A lost allocation is requested again after retryFirst, then at intervals that double
// up to retryMost. If an allocation lasted for retryMost, the next interval is
// retryFirst again.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = time.Minute
)

// ConnectionFailed reports that the connection opened for a server could not be
// established, or is lost. An EventServerError returns the server's URL and the error,
// and the addresses that were relayed over the connection are removed.
func (a *Agent) ConnectionFailed(now time.Time, sock Sock, err error) {
	for _, l := range a.gather.relays {
		if l.from == nil && l.config.Sock == sock {
			l.cut, l.retryAt = true, time.Time{}
			l.client.Abandon(err)
		}
	}
	a.update(now)
}

// askRelay requests an allocation at a TURN server, unless there is one from an
// earlier gathering.
func (g *gatherer) askRelay(s *server, from *base) {
	for _, l := range g.relays {
		if l.from != from || l.config != s.Server || l.client.Err() != nil {
			continue
		}
		if l.server == nil {
			for _, b := range l.bases {
				g.events.push(Event{Kind: EventCandidate, Candidate: b.candidate(g.ufrag)})
			}
		}
		if l.server = s; l.settled {
			s.answered = true
		} else {
			s.pending++
		}
		return
	}
	g.relays = slices.DeleteFunc(g.relays, func(l *relay) bool { return l.client.Err() != nil })
	if len(g.relays) >= maxRelays {
		return
	}
	// A server has only one allocation for a pair of addresses (RFC 8656 §2.2), so a
	// server that was configured twice is asked only once.
	shared := false
	for _, l := range g.relays {
		if l.from != from || l.config.Addr != s.Addr || l.config.Sock != s.Sock || l.server == nil {
			continue
		}
		if shared = true; l.config.Username == s.Username && l.config.Password == s.Password {
			s.answered = true
			return
		}
	}
	l := &relay{server: s, config: s.Server, from: from, order: int(g.nextRelay)}
	g.nextRelay++
	g.newClient(l, shared)
	g.relays = append(g.relays, l)
	s.pending++
}

func (g *gatherer) newClient(l *relay, shared bool) {
	s := l.config
	l.client = turn.NewClient(turn.Config{
		Server: s.Addr, Username: s.Username, Password: s.Password, NewID: g.random.transactionID,
		Reliable: s.Transport.reliable(), Connected: s.Transport != OverUDP, Shared: shared,
	})
	l.setRoute()
}

// setRoute sets the route to the server. An alternate server may have replaced the
// first one.
func (l *relay) setRoute() {
	if l.from != nil {
		l.route = l.from.route(l.client.Server())
	} else {
		l.route = Route{Sock: l.config.Sock, Remote: l.client.Server()}
	}
}

// runRelays requests allocations at the pace of checks, and runs their timers.
func (g *gatherer) runRelays(now time.Time, need gathererNeed) {
	for _, l := range slices.Clone(g.relays) { // a copy, because a relay that fails is removed
		if !l.retryAt.IsZero() && !now.Before(l.retryAt) {
			g.retry(l)
		}
		if !l.started {
			if now.Before(g.nextRequest) {
				continue
			}
			g.nextRequest = now.Add(pace)
			l.started = true
			l.client.Start(now)
		}
		l.client.Advance(now)
		if l.config.Transport == OverDTLS && l.client.Ready() && l.client.Gone() {
			l.client.Abandon(turn.ErrTimeout)
		}
		if l.route.Remote != l.client.Server() {
			l.setRoute()
		}
		for {
			e, ok := l.client.NextEvent()
			if !ok {
				break
			}
			g.handleRelayEvent(now, l, e)
		}
		if !l.pokeAt.IsZero() && !now.Before(l.pokeAt) {
			g.poke(now, l, need)
		}
	}
}

func (g *gatherer) handleRelayEvent(now time.Time, l *relay, e turn.Event) {
	var alternate *turn.AlternateError
	switch {
	case e.Kind == turn.EventAllocated:
		g.relayReady(now, l)
	case l.from == nil && l.server != nil && errors.As(e.Err, &alternate):
		g.redirect(l, alternate)
	default:
		g.relayFailed(l, e.Err)
		g.reportCut(l, e.Err)
		l.scheduleRetry(now)
	}
}

// reportCut reports that a server, which had answered before, does not answer over its
// connection any more. A server over DTLS that was restarted does not know the old
// DTLS connection, and a server that lost power does not end its TCP connections. So
// requests over the same connection would never be answered.
func (g *gatherer) reportCut(l *relay, err error) {
	if l.from == nil && l.config.Transport != OverUDP && !l.cut && !l.readyAt.IsZero() && errors.Is(err, turn.ErrTimeout) {
		l.cut = true
		g.events.push(Event{Kind: EventConnectionGone, Sock: l.config.Sock, Err: err})
	}
}

// scheduleRetry sets the time when a lost allocation is requested again.
func (l *relay) scheduleRetry(now time.Time) {
	if l.readyAt.IsZero() || l.server == nil || l.cut {
		return
	}
	l.retryAt = now.Add(min(retryFirst<<min(l.retries, 6), retryMost))
	l.retries++
}

// retry requests a lost allocation again. Gathering is open until the request ends.
func (g *gatherer) retry(l *relay) {
	l.retryAt = time.Time{}
	if l.server == nil {
		return
	}
	g.newClient(l, false)
	l.started, l.settled = false, false
	l.server.pending++
	l.server.err, l.server.reported = nil, false
	g.complete = false
}

// redirect asks the owner to connect to another server in place of l's server (RFC
// 8489 §10). Gathering is open until the owner has done so and calls EndOfLocal.
func (g *gatherer) redirect(l *relay, to *turn.AlternateError) {
	gone := l.server
	g.relays = slices.DeleteFunc(g.relays, func(o *relay) bool { return o == l })
	g.servers = slices.DeleteFunc(g.servers, func(s *server) bool { return s == gone })
	g.reopen()
	g.events.push(Event{Kind: EventAlternate, URL: l.config.URL, Sock: l.config.Sock, Addr: to.Server, Domain: to.Domain})
}

// poke keeps the binding of a NAT to the server, until a pair is nominated or for as
// long as the relay carries data. refresh does the same for STUN servers.
func (g *gatherer) poke(now time.Time, l *relay, need gathererNeed) {
	if need.nominated && need.selected != nil && need.selected.local.relay != l || need.failed {
		l.pokeAt = time.Time{}
		return
	}
	l.pokeAt = now.Add(keepalive)
	l.client.KeepAlive()
}

func (g *gatherer) relayAlarms(e *alarm) {
	for _, l := range g.relays {
		if !l.started {
			e.add(g.nextRequest)
			continue
		}
		e.add(l.client.NextTimeout())
		e.add(l.pokeAt)
		e.add(l.retryAt)
	}
}

// relayReady adds a base for each relayed address, and a server-reflexive
// candidate for the address that the server saw (RFC 8445 §5.1.1.2).
func (g *gatherer) relayReady(now time.Time, l *relay) {
	if now.Sub(l.readyAt) > retryMost {
		l.retries = 0
	}
	l.readyAt = now
	if l.config.Transport == OverUDP {
		l.pokeAt = now.Add(keepalive)
	}
	g.events.push(Event{Kind: EventRouteAdded, Route: l.route})
	mapped := l.client.Mapped()
	for _, addr := range l.client.Relayed() {
		if len(g.bases) >= maxBases {
			break
		}
		b := &base{
			sock: g.relaySock(), addr: addr, typ: Relay, relay: l,
			preference: localPreference(addr.Addr(), min(l.order, 1000)) - l.config.Transport.penalty(),
			foundation: g.foundation(foundationKey{typ: Relay, base: addr.Addr(), server: l.client.Server().Addr()}),
			related:    mapped,
		}
		if g.relayOnly || !mapped.IsValid() {
			// RFC 8839 §5.1 requires a related address; RFC 8828 forbids the true
			// one.
			b.related = netip.AddrPortFrom(zeroOf(addr.Addr()), 0)
		}
		l.bases = append(l.bases, b)
		g.addBase(b)
	}
	if l.from != nil && !g.relayOnly && usableRemote(mapped) && mapped.Addr().Is4() == l.from.addr.Addr().Is4() {
		g.addReflexive(l.from, mapped, l.client.Server().Addr(), nil)
	}
	g.relaySettled(l, nil)
}

// relaySock returns the Sock of the next relayed base.
func (g *gatherer) relaySock() Sock {
	if g.lastSock--; g.lastSock > firstRelaySock || g.lastSock < firstRelaySock-0x4000 {
		g.lastSock = firstRelaySock
	}
	return g.lastSock
}

// relayFailed handles the failure of an allocation, before or after it was made.
func (g *gatherer) relayFailed(l *relay, err error) {
	if len(l.bases) > 0 {
		g.events.push(Event{Kind: EventRouteRemoved, Route: l.route})
	}
	g.removeRelayed(l)
	if l.settled && l.server != nil {
		l.server.err, l.server.reported = err, true
		l.server.answered = slices.ContainsFunc(g.relays, func(o *relay) bool { return o.server == l.server && o.client.Ready() })
		g.serverError(l.config.URL, err)
		return
	}
	g.relaySettled(l, err)
}

// removeRelayed removes the bases of a relay.
func (g *gatherer) removeRelayed(l *relay) {
	bases := l.bases
	l.bases, l.pokeAt = nil, time.Time{}
	for _, b := range bases {
		g.removeBase(b)
	}
}

func (g *gatherer) relaySettled(l *relay, err error) {
	if !l.settled && l.server != nil {
		g.settle(l.server, err)
	}
	l.settled = true
}

// dropRelaysOf removes the relays that were requested from a removed base.
func (g *gatherer) dropRelaysOf(gone *base) {
	for _, l := range slices.Clone(g.relays) {
		if l.from == gone && l.client.Err() == nil {
			l.client.Abandon(errBaseGone)
			l.client.NextEvent()
			g.relayFailed(l, errBaseGone)
		}
	}
	g.relays = slices.DeleteFunc(g.relays, func(l *relay) bool { return l.from == gone })
}

var errBaseGone = errors.New("the local address that it was asked from is gone")

// closeForgotten releases the allocations of servers that clearServers removed and
// that were not added again, except an allocation that carries data.
func (g *gatherer) closeForgotten(now time.Time, selected *pair) {
	for _, l := range slices.Clone(g.relays) {
		if l.server == nil && (selected == nil || selected.local.relay != l) {
			g.removeRelayed(l)
			l.client.Close(now)
		}
	}
}

// relayOf returns the relay with the server that sent a datagram on r, or nil if there
// is none.
func (g *gatherer) relayOf(r Route) *relay {
	for _, l := range g.relays {
		if l.client.Ready() && l.sameRoute(r) {
			return l
		}
	}
	return nil
}

func (l *relay) sameRoute(r Route) bool {
	return r.Sock == l.route.Sock && r.Remote == l.route.Remote &&
		(!r.Local.IsValid() || !l.route.Local.IsValid() || r.Local == l.route.Local)
}

// routeFrom returns the route of a datagram that peer has sent to a relayed address.
func (l *relay) routeFrom(peer netip.AddrPort) (r Route, ok bool) {
	for _, b := range l.bases {
		if b.addr.Addr().Is4() == peer.Addr().Is4() {
			return b.route(peer), true
		}
	}
	return Route{}, false
}

// unwrapChannel processes ChannelData (RFC 8656 §12). It returns the datagram in it,
// and the route from the datagram's sender to the relayed address.
func (g *gatherer) unwrapChannel(r Route, b []byte) (from Route, data []byte, ok bool) {
	l := g.relayOf(r)
	if l == nil {
		return Route{}, nil, false
	}
	peer, data, ok := l.client.ChannelData(b)
	if ok {
		from, ok = l.routeFrom(peer)
	}
	return from, data, ok
}

// unwrapIndication processes a Data indication (RFC 8656 §11.4), and returns the same
// as unwrapChannel.
func (g *gatherer) unwrapIndication(r Route, m stun.Message) (from Route, data []byte, ok bool) {
	l := g.relayOf(r)
	if l == nil {
		return Route{}, nil, false
	}
	peer, data, ok := l.client.Indication(m)
	if ok {
		from, ok = l.routeFrom(peer)
	}
	return from, data, ok
}

// handleTURN processes a response from a TURN server. It reports whether a relay had
// sent the request. It asks all relays, because one server may be asked under several
// names from one socket.
func (g *gatherer) handleTURN(now time.Time, r Route, m stun.Message) bool {
	return slices.ContainsFunc(g.relays, func(l *relay) bool { return l.sameRoute(r) && l.client.HandleResponse(now, m) })
}

// retainPermissions releases the permissions for which needed returns false.
func (g *gatherer) retainPermissions(needed func(*relay, netip.Addr) bool) {
	for _, l := range g.relays {
		l.client.Retain(func(ip netip.Addr) bool { return needed(l, ip) })
	}
}

// permitted reports whether p may be checked: the server of a relay must have a
// permission for the remote address (RFC 8656 §9). If the permission is missing,
// permitted requests it.
func (p *pair) permitted(now time.Time) bool {
	l := p.local.relay
	if l == nil {
		return true
	}
	ip := p.route.Remote.Addr()
	switch state, err := l.client.Permission(ip); {
	case state == turn.Granted:
		return true
	case state == turn.Refused:
		p.state, p.triggered, p.err = PairFailed, false, err
	default:
		if err := l.client.Permit(now, ip); err != nil {
			p.state, p.triggered, p.err = PairFailed, false, err
		}
	}
	return false
}
