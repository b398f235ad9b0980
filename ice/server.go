package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"purertc/ice/internal/turn"
	"purertc/stun"
)

// Limits on gathering.
const (
	maxServers  = 16
	maxRequests = 64 // servers times bases

	// keepalive is how often a server is asked again until a pair is valid,
	// so that NATs keep the binding (RFC 8445 §5.1.1.4).
	keepalive = 15 * time.Second
)

// Errors of servers.
var (
	ErrTooManyServers = errors.New("ice: too many servers")

	// Why a server failed, wrapped in a ServerError.
	ErrServerTimeout     = turn.ErrTimeout
	ErrServerAnswer      = turn.ErrAnswer
	ErrServerPassword    = turn.ErrPassword      // wrong username or password
	ErrServerCredentials = turn.ErrNoCredentials // it wants some
	ErrServerUnreachable = errors.New("no local address reaches the server")
)

// A ServerError says which server failed and why, in plain words. It wraps
// one of the errors above, a *stun.Error with the server's own code, or the
// error of a connection.
type ServerError struct {
	URL string
	Err error
}

func (e *ServerError) Error() string { return "ice: server " + e.URL + ": " + e.Err.Error() }

func (e *ServerError) Unwrap() error { return e.Err }

// A Transport is how a server is reached.
type Transport uint8

const (
	OverUDP Transport = iota
	OverDTLS
	OverTCP
	OverTLS
)

// String is "udp", "dtls", "tcp" or "tls".
func (t Transport) String() string {
	switch t {
	case OverUDP:
		return "udp"
	case OverDTLS:
		return "dtls"
	case OverTCP:
		return "tcp"
	case OverTLS:
		return "tls"
	}
	return fmt.Sprintf("Transport(%d)", uint8(t))
}

func (t Transport) reliable() bool { return t == OverTCP || t == OverTLS }

// penalty is what a relay over t is worth less than one over UDP, in local
// preference: TCP holds up a datagram behind one that was lost, and encryption
// costs time and brings nothing to what is encrypted already.
func (t Transport) penalty() uint16 { return uint16(t) * 0x1000 }

// Server is a STUN or TURN server whose name is resolved already.
type Server struct {
	URL                string         // as configured, for events
	Addr               netip.AddrPort // where it is
	TURN               bool
	Sock               Sock      // the socket to use: SockAny any of the address family; but over UDP the connection opened for it
	Transport          Transport // how it is reached
	Username, Password string
}

// A server is one that was configured, and what became of it.
type server struct {
	Server
	pending  int  // requests that are not decided yet
	answered bool // one was
	err      error
	told     bool // EventServerError was given
	late     bool // gathering did not wait for it any longer; it may still answer
}

// A serverRequest asks one server from one base (RFC 8445 §5.1.1.2).
type serverRequest struct {
	server         *server
	base           *base
	id             stun.TransactionID
	retransmission stun.Retransmission
	state          requestState
	mapped         netip.AddrPort
	refreshAt      time.Time // keepalive
	queued         bool
}

type requestState uint8

const (
	requestWaiting requestState = iota
	requestSent
	requestDone
)

// AddServer asks a server for candidates.
func (a *Agent) AddServer(now time.Time, s Server) error {
	s.Addr = netip.AddrPortFrom(s.Addr.Addr().Unmap(), s.Addr.Port())
	if s.Sock != SockAny {
		a.servers = slices.DeleteFunc(a.servers, func(old *server) bool {
			return old.URL == s.URL && old.told // the connection that there was before this one
		})
	}
	switch {
	case a.state == StateClosed:
		return ErrClosed
	case !usableRemote(s.Addr):
		return fmt.Errorf("%w: %v", ErrAddress, s.Addr)
	case len(a.servers) >= maxServers:
		return ErrTooManyServers
	}
	if slices.ContainsFunc(a.servers, func(old *server) bool { return old.Server == s }) {
		return nil // it is asked already
	}
	srv := &server{Server: s}
	a.servers = append(a.servers, srv)
	a.localEnded, a.gatheringEnd = false, false
	a.askFromAll(now, srv)
	a.update(now)
	return nil
}

// ClearServers forgets all servers, for others to be added: gathering is open
// again until EndOfLocal.
func (a *Agent) ClearServers(now time.Time) {
	if a.state == StateClosed {
		return
	}
	a.servers, a.requests = nil, nil
	for _, l := range a.relays {
		l.server = nil // until the same server is added again
	}
	a.localEnded, a.gatheringEnd = false, false
	a.update(now)
}

// askFromAll asks a server over the connection opened for it, or from every
// base that reaches it.
func (a *Agent) askFromAll(now time.Time, s *server) {
	if s.TURN && s.Sock != SockAny && !slices.ContainsFunc(a.bases, func(b *base) bool { return b.sock == s.Sock }) {
		a.askRelay(now, s, nil)
		return
	}
	for _, b := range slices.Clone(a.bases) {
		a.askServer(now, s, b)
	}
}

// askServer begins a request from b, if b can reach the server.
func (a *Agent) askServer(now time.Time, s *server, b *base) {
	fits := b.typ == Host && b.tcp == NotTCP && (s.Sock == SockAny || s.Sock == b.sock) && b.reaches(s.Addr.Addr()) &&
		!b.addr.Addr().IsLinkLocalUnicast()
	if fits && s.TURN {
		a.askRelay(now, s, b)
		return
	}
	asked := slices.ContainsFunc(a.requests, func(q *serverRequest) bool { return q.server == s && q.base == b })
	if !fits || asked || a.relayOnly || len(a.requests) >= maxRequests {
		return
	}
	s.pending++
	a.requests = append(a.requests, &serverRequest{server: s, base: b})
}

// EndOfLocal tells that no AddLocal and no AddServer follow in this
// gathering: once all servers have answered or failed it is complete.
func (a *Agent) EndOfLocal(now time.Time) {
	a.localEnded = true
	a.closeForgotten(now)
	a.update(now)
}

// GatherUntil bounds this gathering: at that time it is complete even if servers have
// not answered, or EndOfLocal was not called. An answer that comes later still brings
// its candidate, after which gathering is complete once more.
func (a *Agent) GatherUntil(now, end time.Time) {
	a.cur.gatherBy = end
	a.update(now)
}

// gatheringLate reports whether the time of GatherUntil has come.
func (a *Agent) gatheringLate(now time.Time) bool {
	end := a.cur.gatherBy
	return !end.IsZero() && !now.Before(end)
}

// updateGathering tells the end of gathering.
func (a *Agent) updateGathering(now time.Time) {
	late := a.gatheringLate(now)
	if a.gatheringEnd || !a.localEnded && !late {
		return
	}
	for _, s := range a.servers {
		switch {
		case s.pending > 0 && !late:
			return
		case s.pending > 0:
			s.late = true
		}
	}
	a.reportUnreachable()
	a.gatheringEnd = true
	a.events.push(Event{Kind: EventGatheringComplete})
}

// reportUnreachable tells of the servers that nobody could be asked from, at
// none of their addresses.
func (a *Agent) reportUnreachable() {
	for _, s := range a.servers {
		asked := a.relayOnly && !s.TURN || slices.ContainsFunc(a.servers, func(o *server) bool {
			return o.URL == s.URL && (o.answered || o.told || o.err != nil)
		})
		if !asked {
			s.told = true
			a.events.push(Event{Kind: EventServerError, URL: s.URL, Err: &ServerError{URL: s.URL, Err: ErrServerUnreachable}})
		}
	}
}

// regather asks all servers again, for a restart (RFC 8445 §9). A request that is
// not decided stays the same one, and the address that a server saw last is told at once:
// restarts may follow each other faster than servers answer.
func (a *Agent) regather(now time.Time) {
	// Those that could not be asked are tried anew by the owner.
	a.servers = slices.DeleteFunc(a.servers, func(s *server) bool { return !s.Addr.IsValid() })
	for _, s := range a.servers {
		*s = server{Server: s.Server}
	}
	for _, q := range a.requests {
		q.server.pending++
		switch {
		case q.state == requestDone:
			q.state, q.refreshAt = requestWaiting, time.Time{}
		case q.retransmission.Sent() > 1:
			q.retransmission.Start(now, stun.DefaultRTO) // the next of its schedule may be half a minute away
		}
		if q.mapped.IsValid() {
			a.addReflexive(q.base, q.mapped, q.server.Addr.Addr(), q)
		}
	}
	for _, s := range a.servers {
		a.askFromAll(now, s)
	}
}

// runServers sends due requests: new ones at the pace of checks.
func (a *Agent) runServers(now time.Time) {
	for _, q := range a.requests {
		switch q.state {
		case requestWaiting:
			if now.Before(a.nextRequest) {
				continue
			}
			a.nextRequest = now.Add(pace)
			q.start(a, now)
		case requestSent:
			send, failed := q.retransmission.Due(now)
			if send {
				q.enqueue(a)
			}
			if failed {
				a.requestDone(q, ErrServerTimeout)
			}
		case requestDone:
			if !q.refreshAt.IsZero() && !now.Before(q.refreshAt) {
				q.refresh(a, now)
			}
		}
	}
}

func (q *serverRequest) start(a *Agent, now time.Time) {
	q.state = requestSent
	q.id = a.random.transactionID()
	q.retransmission.Start(now, stun.DefaultRTO)
	q.retransmission.Due(now)
	q.enqueue(a)
}

// refresh keeps the NAT's binding until data keeps that of its own.
func (q *serverRequest) refresh(a *Agent, now time.Time) {
	if a.cur.nominated != nil || a.cur.failed {
		q.refreshAt = time.Time{}
		return
	}
	q.refreshAt = now.Add(keepalive)
	q.id = a.random.transactionID()
	q.enqueue(a)
}

func (q *serverRequest) enqueue(a *Agent) {
	if !q.queued {
		q.queued = true
		a.out.push(item{kind: itemServer, request: q})
	}
}

func (q *serverRequest) append(dst []byte) (b []byte, r Route, ok bool) {
	q.queued = false
	w := stun.Build(dst, stun.BindingRequest, q.id)
	w.Fingerprint()
	return w.Finish(), q.base.route(q.server.Addr), true
}

func (a *Agent) serverAlarms(e *alarm) {
	for _, q := range a.requests {
		switch q.state {
		case requestWaiting:
			e.add(a.nextRequest)
		case requestSent:
			e.add(q.retransmission.Next())
		case requestDone:
			e.add(q.refreshAt)
		}
	}
}

// requestOf finds the request that a response belongs to.
func (a *Agent) requestOf(id stun.TransactionID) *serverRequest {
	for _, q := range a.requests {
		if q.state != requestWaiting && q.id == id {
			return q
		}
	}
	return nil
}

// handleServerResponse takes a STUN server's answer. It is not authenticated,
// but from where the request went, and with its transaction id.
func (a *Agent) handleServerResponse(now time.Time, r Route, q *serverRequest, m stun.Message) {
	if q.base.route(r.Remote) != q.base.route(q.server.Addr) || len(m.AppendUnknown(nil, nil)) > 0 {
		return
	}
	if m.Type() == stun.BindingError {
		if err := m.Err(); err != nil && q.state == requestSent {
			a.requestDone(q, err)
		}
		return
	}
	mapped, ok := m.MappedAddress()
	if !ok || !usableRemote(mapped) || !turn.Reachable(q.server.Addr.Addr(), mapped) || mapped.Addr().Is4() != q.base.addr.Addr().Is4() {
		if q.state == requestSent {
			a.requestDone(q, ErrServerAnswer)
		}
		return
	}
	if q.state == requestSent {
		q.refreshAt = now.Add(keepalive)
		a.requestDone(q, nil)
	}
	if mapped != q.mapped {
		q.mapped = mapped
		a.addReflexive(q.base, mapped, q.server.Addr.Addr(), q)
	}
}

// requestDone settles a request. A server that answered nobody is reported,
// once all requests to it are settled.
func (a *Agent) requestDone(q *serverRequest, err error) {
	q.state = requestDone
	q.retransmission.Stop()
	a.serverSettled(q.server, err)
}

// serverSettled counts an answer, or what came instead of one.
func (a *Agent) serverSettled(s *server, err error) {
	s.pending--
	s.late, a.gatheringEnd = false, false // GatherUntil may have ended gathering already
	if err == nil {
		s.answered = true
	} else if s.err == nil {
		s.err = err
	}
	if s.pending == 0 && !s.answered && !s.told {
		s.told = true
		a.events.push(Event{Kind: EventServerError, URL: s.URL, Err: &ServerError{URL: s.URL, Err: s.err}})
	}
}

// addReflexive tells a server-reflexive candidate that the request q learnt,
// or an allocation where q is nil, unless it is redundant (RFC 8445 §5.1.3).
func (a *Agent) addReflexive(b *base, mapped netip.AddrPort, server netip.Addr, q *serverRequest) {
	if mapped == b.addr || mapped == b.publicAddr() {
		return // no NAT in between, or one that was known
	}
	for _, o := range a.requests {
		if o != q && o.base == b && o.mapped == mapped {
			return
		}
	}
	if q != nil {
		for _, l := range a.relays {
			if l.from == b && l.client.Mapped() == mapped {
				return
			}
		}
	}
	a.events.push(Event{Kind: EventCandidate, Candidate: a.reflexive(b, mapped, server)})
}

// reflexive is the candidate of what a server sees of a base.
func (a *Agent) reflexive(b *base, mapped netip.AddrPort, server netip.Addr) Candidate {
	return Candidate{
		Foundation: a.foundation(foundationKey{ServerReflexive, b.addr.Addr(), server, b.tcp}),
		Component:  1, Transport: b.tcp.transport(), TCPType: b.tcp,
		Priority: candidatePriority(ServerReflexive.preferenceOver(b.tcp), b.preference),
		Addr:     mapped, Type: ServerReflexive, Related: b.relatedTo(), Ufrag: a.cur.ufrag,
	}
}
