package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

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
	ErrServerTimeout  = errors.New("ice: the server does not answer")
	ErrNoTURN         = errors.New("ice: TURN is not supported yet")
	ErrServerAnswer   = errors.New("ice: the server's answer makes no sense")
)

// Server is a STUN or TURN server whose name is resolved already.
type Server struct {
	URL                string         // as configured, for events
	Addr               netip.AddrPort // where it is
	TURN               bool
	Sock               int16 // the socket to use: SockAny any of the address family; for TCP and TLS the framed connection opened for it
	Username, Password string
}

// A server is one that was configured, and what became of it.
type server struct {
	Server
	pending  int  // requests that are not decided yet
	answered bool // one was
	err      error
	told     bool // EventServerError was given
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
	if s.TURN {
		a.event(Event{Kind: EventServerError, URL: s.URL, Err: ErrNoTURN})
		return nil
	}
	srv := &server{Server: s}
	a.servers = append(a.servers, srv)
	a.localEnded, a.gatheringEnd = false, false
	for _, b := range a.bases {
		a.askServer(now, srv, b)
	}
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
	a.localEnded, a.gatheringEnd = false, false
	a.update(now)
}

// askServer begins a request from b, if b can reach the server.
func (a *Agent) askServer(now time.Time, s *server, b *base) {
	fits := b.typ == Host && (s.Sock == SockAny || s.Sock == b.sock) && b.reaches(s.Addr.Addr()) &&
		!b.addr.Addr().IsLinkLocalUnicast()
	if !fits || a.relayOnly || len(a.requests) >= maxRequests {
		return
	}
	s.pending++
	a.requests = append(a.requests, &serverRequest{server: s, base: b})
}

// EndOfLocal tells that no AddLocal and no AddServer follow in this
// gathering: once all servers have answered or failed it is complete.
func (a *Agent) EndOfLocal(now time.Time) {
	a.localEnded = true
	a.update(now)
}

// updateGathering tells the end of gathering.
func (a *Agent) updateGathering() {
	if !a.localEnded || a.gatheringEnd {
		return
	}
	for _, s := range a.servers {
		if s.pending > 0 {
			return
		}
	}
	a.gatheringEnd = true
	a.event(Event{Kind: EventGatheringComplete})
}

// regather asks all servers again, for a restart (RFC 8445 §9).
func (a *Agent) regather(now time.Time) {
	a.requests = nil
	for _, s := range a.servers {
		*s = server{Server: s.Server}
		for _, b := range a.bases {
			a.askServer(now, s, b)
		}
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
	q.id = a.newTransactionID()
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
	q.id = a.newTransactionID()
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
	if q.base.route(r.Remote) != q.base.route(q.server.Addr) || len(m.AppendUnknown(a.unknown[:0], nil)) > 0 {
		return
	}
	if m.Type() == stun.BindingError {
		if err := m.Err(); err != nil && q.state == requestSent {
			a.requestDone(q, err)
		}
		return
	}
	mapped, ok := m.MappedAddress()
	if !ok || !usableRemote(mapped) || mapped.Addr().Is4() != q.base.addr.Addr().Is4() {
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
		a.addReflexive(q)
	}
}

// requestDone settles a request. A server that answered nobody is reported,
// once all requests to it are settled.
func (a *Agent) requestDone(q *serverRequest, err error) {
	q.state = requestDone
	q.retransmission.Stop()
	s := q.server
	s.pending--
	if err == nil {
		s.answered = true
	} else if s.err == nil {
		s.err = err
	}
	if s.pending == 0 && !s.answered && !s.told {
		s.told = true
		a.event(Event{Kind: EventServerError, URL: s.URL, Err: s.err})
	}
}

// addReflexive tells a server-reflexive candidate, unless it is redundant
// (RFC 8445 §5.1.3).
func (a *Agent) addReflexive(q *serverRequest) {
	if q.mapped == q.base.addr {
		return // no NAT in between
	}
	for _, o := range a.requests {
		if o != q && o.base == q.base && o.mapped == q.mapped {
			return
		}
	}
	a.event(Event{Kind: EventCandidate, Candidate: Candidate{
		Foundation: a.foundation(ServerReflexive, q.base.addr.Addr(), q.server.Addr.Addr()),
		Component:  1, Transport: "udp",
		Priority: candidatePriority(ServerReflexive, q.base.preference),
		Addr:     q.mapped, Type: ServerReflexive, Related: q.base.addr, Ufrag: a.cur.ufrag,
	}})
}
