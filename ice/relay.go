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

// A relay is an allocation at a TURN server (RFC 8656), asked for from one
// host base or over a connection opened for it.
type relay struct {
	client  *turn.Client
	server  *server // nil: ClearServers forgot it
	config  Server  // what it was made from
	from    *base   // nil: a connection
	route   Route   // of the datagrams between the server and us
	bases   []*base // one for each relayed address
	order   int     // among the relays, for preference
	started bool
	settled bool
	pokeAt  time.Time // keepalive
	readyAt time.Time // when it was made last; zero: never
	retries int       // since it was lost
	retryAt time.Time // when it is asked for again; zero: it is not
	cut     bool      // its connection is gone: that is for the owner to make again
}

// An allocation that was lost is asked for again, after retryFirst and then
// ever longer. One that lasted for retryMost counts as a success.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = time.Minute
)

// askRelay asks a TURN server for an allocation, unless there is one of an
// earlier gathering.
func (a *Agent) askRelay(now time.Time, s *server, from *base) {
	for _, l := range a.relays {
		if l.from != from || l.config != s.Server {
			continue
		}
		if l.client.Err() == nil {
			if l.server == nil {
				l.server = s
				a.tellRelay(l)
			}
			if l.server = s; l.settled {
				s.answered = true
			} else {
				s.pending++
			}
			return
		}
	}
	a.relays = slices.DeleteFunc(a.relays, func(l *relay) bool { return l.client.Err() != nil })
	if len(a.relays) >= maxRelays {
		return
	}
	// A server holds one allocation for a pair of addresses (RFC 8656 §2.2),
	// so one that was configured twice is asked once.
	shared := false
	for _, l := range a.relays {
		if l.from != from || l.config.Addr != s.Addr || l.config.Sock != s.Sock || l.server == nil {
			continue
		}
		if shared = true; l.config.Username == s.Username && l.config.Password == s.Password {
			s.answered = true
			return
		}
	}
	l := &relay{server: s, config: s.Server, from: from, order: int(a.nextRelay)}
	a.nextRelay++
	a.newClient(l, shared)
	a.relays = append(a.relays, l)
	s.pending++
}

func (a *Agent) newClient(l *relay, shared bool) {
	s := l.config
	l.client = turn.NewClient(turn.Config{
		Server: s.Addr, Username: s.Username, Password: s.Password, NewID: a.random.transactionID,
		Reliable: s.Transport.reliable(), Connected: s.Transport != OverUDP, Shared: shared,
	})
	l.setRoute()
}

// setRoute notes where the server is: an alternate may have taken over.
func (l *relay) setRoute() {
	if l.from != nil {
		l.route = l.from.route(l.client.Server())
	} else {
		l.route = Route{Sock: l.config.Sock, Remote: l.client.Server()}
	}
}

// runRelays starts allocations at the pace of checks, and runs their timers.
func (a *Agent) runRelays(now time.Time) {
	for _, l := range slices.Clone(a.relays) { // one that fails takes its bases away
		if !l.retryAt.IsZero() && !now.Before(l.retryAt) {
			a.retry(l)
		}
		if !l.started {
			if now.Before(a.nextRequest) {
				continue
			}
			a.nextRequest = now.Add(pace)
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
			var alternate *turn.AlternateError
			switch {
			case e.Kind == turn.EventAllocated:
				a.relayReady(now, l)
			case l.from == nil && l.server != nil && errors.As(e.Err, &alternate):
				a.sentOn(l, alternate)
			default:
				a.relayFailed(l, e.Err)
				a.cutSilent(l, e.Err)
				l.scheduleRetry(now)
			}
		}
		if !l.pokeAt.IsZero() && !now.Before(l.pokeAt) {
			a.pokeRelay(now, l)
		}
	}
}

// cutSilent tells the owner that a server that was there does not answer over
// its connection any more. A datagram server that began anew knows nothing of
// an old DTLS connection, and one that lost its power does not end its TCP
// connections: to ask once more over the same one is in vain.
func (a *Agent) cutSilent(l *relay, err error) {
	if l.from == nil && l.config.Transport != OverUDP && !l.cut && !l.readyAt.IsZero() && errors.Is(err, turn.ErrTimeout) {
		l.cut = true
		a.events.push(Event{Kind: EventConnectionGone, Sock: l.config.Sock, Err: err})
	}
}

// scheduleRetry has an allocation that there was asked for again.
func (l *relay) scheduleRetry(now time.Time) {
	if l.readyAt.IsZero() || l.server == nil || l.cut {
		return
	}
	l.retryAt = now.Add(min(retryFirst<<min(l.retries, 6), retryMost))
	l.retries++
}

// retry asks for a lost allocation again. Gathering is open until it is
// decided.
func (a *Agent) retry(l *relay) {
	l.retryAt = time.Time{}
	if l.server == nil {
		return
	}
	a.newClient(l, false)
	l.started, l.settled = false, false
	l.server.pending++
	l.server.err, l.server.told = nil, false
	a.gatheringEnd = false
}

// sentOn tells the owner to connect to another server in place of this one
// (RFC 8489 §10). Gathering is open until EndOfLocal says that this is done.
func (a *Agent) sentOn(l *relay, to *turn.AlternateError) {
	gone := l.server
	a.relays = slices.DeleteFunc(a.relays, func(o *relay) bool { return o == l })
	a.servers = slices.DeleteFunc(a.servers, func(s *server) bool { return s == gone })
	a.localEnded, a.gatheringEnd = false, false
	a.events.push(Event{Kind: EventAlternate, URL: l.config.URL, Sock: l.config.Sock, Addr: to.Server, Domain: to.Domain})
}

// pokeRelay keeps a NAT's binding to the server until a pair is nominated, as
// those to STUN servers are.
func (a *Agent) pokeRelay(now time.Time, l *relay) {
	if a.cur.nominated != nil && a.selected != nil && a.selected.local.relay != l || a.cur.failed {
		l.pokeAt = time.Time{}
		return
	}
	l.pokeAt = now.Add(keepalive)
	l.client.KeepAlive()
}

func (a *Agent) relayAlarms(e *alarm) {
	for _, l := range a.relays {
		if !l.started {
			e.add(a.nextRequest)
			continue
		}
		e.add(l.client.NextTimeout())
		e.add(l.pokeAt)
		e.add(l.retryAt)
	}
}

// relayReady makes bases of the relayed addresses, and a server-reflexive
// candidate of what the server saw (RFC 8445 §5.1.1.2).
func (a *Agent) relayReady(now time.Time, l *relay) {
	if now.Sub(l.readyAt) > retryMost {
		l.retries = 0
	}
	l.readyAt = now
	if l.config.Transport == OverUDP {
		l.pokeAt = now.Add(keepalive)
	}
	a.events.push(Event{Kind: EventRouteAdded, Route: l.route})
	mapped := l.client.Mapped()
	for _, addr := range l.client.Relayed() {
		if len(a.bases) >= maxBases {
			break
		}
		b := &base{
			sock: firstRelaySock - Sock(a.nextRelaySock%0x4000), addr: addr, typ: Relay, relay: l,
			preference: localPreference(addr.Addr(), min(l.order, 1000)) - l.config.Transport.penalty(),
			foundation: a.foundation(foundationKey{typ: Relay, base: addr.Addr(), server: l.client.Server().Addr()}),
			related:    mapped,
		}
		if a.relayOnly || !mapped.IsValid() {
			// RFC 8839 §5.1 wants an address here; RFC 8828 not to tell it.
			b.related = netip.AddrPortFrom(zeroOf(addr.Addr()), 0)
		}
		a.nextRelaySock++
		l.bases = append(l.bases, b)
		a.addBase(now, b)
	}
	if l.from != nil && !a.relayOnly && usableRemote(mapped) && mapped.Addr().Is4() == l.from.addr.Addr().Is4() {
		a.addReflexive(l.from, mapped, l.client.Server().Addr(), nil)
	}
	a.relaySettled(l, nil)
}

func zeroOf(ip netip.Addr) netip.Addr {
	if ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// tellRelay tells the candidates of an allocation that is there already.
func (a *Agent) tellRelay(l *relay) {
	for _, b := range l.bases {
		a.events.push(Event{Kind: EventCandidate, Candidate: b.candidate(a.cur.ufrag)})
	}
}

// relayFailed takes the end of an allocation, before or after it was made.
func (a *Agent) relayFailed(l *relay, err error) {
	l.pokeAt = time.Time{}
	if len(l.bases) > 0 {
		a.events.push(Event{Kind: EventRouteRemoved, Route: l.route})
	}
	bases := l.bases
	l.bases = nil
	for _, b := range bases {
		a.removeBase(b)
	}
	if l.settled && l.server != nil {
		l.server.err, l.server.told = err, true
		l.server.answered = slices.ContainsFunc(a.relays, func(o *relay) bool { return o.server == l.server && o.client.Ready() })
		a.events.push(Event{Kind: EventServerError, URL: l.config.URL, Err: &ServerError{URL: l.config.URL, Err: err}})
		return
	}
	a.relaySettled(l, err)
}

func (a *Agent) relaySettled(l *relay, err error) {
	if !l.settled && l.server != nil {
		a.serverSettled(l.server, err)
	}
	l.settled = true
}

// ConnectionFailed tells that the connection that was opened for a server
// could not be made, or is lost: its URL and why come back as an
// EventServerError, and what was relayed over it is gone.
func (a *Agent) ConnectionFailed(now time.Time, sock Sock, err error) {
	for _, l := range a.relays {
		if l.from == nil && l.config.Sock == sock {
			l.cut, l.retryAt = true, time.Time{}
			l.client.Abandon(err)
		}
	}
	a.update(now)
}

// ServerFailed tells that a server could not even be asked, such as one whose
// name is unknown or that refuses connections. It comes back as an
// EventServerError.
func (a *Agent) ServerFailed(now time.Time, url string, err error) {
	if a.state == StateClosed {
		return
	}
	a.servers = slices.DeleteFunc(a.servers, func(s *server) bool { return s.URL == url && !s.Addr.IsValid() }) // it failed before
	if len(a.servers) < maxServers {
		a.servers = append(a.servers, &server{Server: Server{URL: url}, err: err, told: true})
	}
	a.events.push(Event{Kind: EventServerError, URL: url, Err: &ServerError{URL: url, Err: err}})
	a.update(now)
}

// dropRelaysOf gives up what a base that is gone was used for.
func (a *Agent) dropRelaysOf(gone *base) {
	for _, l := range slices.Clone(a.relays) {
		if l.from == gone && l.client.Err() == nil {
			l.client.Abandon(errBaseGone)
			l.client.NextEvent()
			a.relayFailed(l, errBaseGone)
		}
	}
	a.relays = slices.DeleteFunc(a.relays, func(l *relay) bool { return l.from == gone })
}

var errBaseGone = errors.New("the local address that it was asked from is gone")

// closeForgotten releases the allocations of servers that ClearServers
// forgot and that were not added again, but for the one that carries data.
func (a *Agent) closeForgotten(now time.Time) {
	for _, l := range slices.Clone(a.relays) {
		if l.server != nil || a.selected != nil && a.selected.local.relay == l {
			continue
		}
		bases := l.bases
		l.bases, l.pokeAt = nil, time.Time{}
		for _, b := range bases {
			a.removeBase(b)
		}
		l.client.Close(now)
	}
}

// relayOf finds the relay that a datagram on r came from.
func (a *Agent) relayOf(r Route) *relay {
	for _, l := range a.relays {
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

// handleRelayed takes what a server relayed from peer.
func (a *Agent) handleRelayed(now time.Time, l *relay, peer netip.AddrPort, b []byte) (data []byte, ok bool) {
	for _, base := range l.bases {
		if base.addr.Addr().Is4() == peer.Addr().Is4() {
			return a.handlePeer(now, base.route(peer), b)
		}
	}
	return nil, false
}

// handleTURN takes a message of a method other than Binding: only our own
// servers have anything to say.
func (a *Agent) handleTURN(now time.Time, r Route, m stun.Message) (data []byte, ok bool) {
	switch m.Type().Class() {
	case stun.ClassIndication:
		l := a.relayOf(r)
		if l == nil {
			break
		}
		if peer, b, ok := l.client.Indication(m); ok {
			return a.handleRelayed(now, l, peer, b)
		}
	case stun.ClassSuccess, stun.ClassError:
		// One server may be asked under several names from one socket.
		for _, l := range a.relays {
			if l.sameRoute(r) && l.client.HandleResponse(now, m) {
				a.update(now)
				break
			}
		}
	}
	return nil, false
}

// wire is how the datagrams of a route leave: those from a relayed address go
// to the server.
func (b *base) wire(r Route) Route {
	if b.relay != nil {
		return b.relay.route
	}
	return r
}

// begin appends what goes before a datagram from b to remote, and finish
// completes it. Only what is relayed needs any.
func (b *base) begin(dst []byte, remote netip.AddrPort) []byte {
	if b.relay != nil {
		return b.relay.client.Begin(dst, remote)
	}
	return dst
}

func (b *base) finish(dgram []byte, start int, remote netip.AddrPort) ([]byte, Route) {
	if b.relay != nil {
		return b.relay.client.Finish(dgram, start), b.relay.route
	}
	return dgram, b.route(remote)
}

// permitted tells whether p may be checked: a relay's server has to let
// datagrams through first (RFC 8656 §9). It asks for that if nobody did.
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

// retainPermissions lets lapse what no pair needs any more.
func (a *Agent) retainPermissions() {
	for _, l := range a.relays {
		l.client.Retain(func(ip netip.Addr) bool {
			for g := a.cur; g != nil; g = g.older {
				if slices.ContainsFunc(g.pairs, func(p *pair) bool {
					return p.local.relay == l && p.route.Remote.Addr() == ip
				}) {
					return true
				}
			}
			return false
		})
	}
}
