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
	maxRequests = 64 // requests: one for each server and base

	// keepalive is how often a server is asked again until a pair is nominated, so
	// that NATs keep the binding (RFC 8445 §5.1.1.4).
	keepalive = 15 * time.Second
)

// Errors of servers.
var (
	ErrTooManyServers = errors.New("ice: too many servers")

	// Reasons why a server failed. A ServerError wraps them.
	ErrServerTimeout     = turn.ErrTimeout
	ErrServerAnswer      = turn.ErrAnswer
	ErrServerPassword    = turn.ErrPassword      // the username or the password is wrong
	ErrServerCredentials = turn.ErrNoCredentials // the server requires credentials
	ErrServerUnreachable = errors.New("no local address reaches the server")
)

// A ServerError says which server failed and why. Err is one of the errors above,
// a *stun.Error with the server's code, or the error of a connection.
type ServerError struct {
	URL string
	Err error
}

// Error returns the server's URL and the cause.
func (e *ServerError) Error() string { return "ice: server " + e.URL + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ServerError) Unwrap() error { return e.Err }

// A Transport says how a server is reached.
type Transport uint8

const (
	OverUDP Transport = iota
	OverDTLS
	OverTCP
	OverTLS
)

// String returns "udp", "dtls", "tcp" or "tls".
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

// penalty returns by how much the local preference of a relay over t is lower than
// that of a relay over UDP. TCP delays datagrams behind a lost one, and encryption
// costs time and adds nothing to data that is already encrypted.
func (t Transport) penalty() uint16 { return uint16(t) * 0x1000 }

// A Server is a STUN or TURN server at a known address.
type Server struct {
	URL                string         // URL as it was configured, for events
	Addr               netip.AddrPort // address of the server
	TURN               bool
	Sock               Sock      // SockAny: every socket of the address family; otherwise this socket or, except over UDP, the connection opened for the server
	Transport          Transport // how it is reached
	Username, Password string
}

// A server is a configured server and its state.
type server struct {
	Server
	pending  int  // how many requests are not answered yet
	answered bool // a request was answered
	err      error
	reported bool // EventServerError was reported
	late     bool // gathering was completed without the server's answer, which may still arrive
}

// A serverRequest asks one server from one base (RFC 8445 §5.1.1.2).
type serverRequest struct {
	server         *server
	base           *base
	id             stun.TransactionID
	retransmission stun.Retransmission
	state          requestState
	mapped         netip.AddrPort
	refreshAt      time.Time // when to send the next keepalive
	queued         bool      // the request is in the outbox
}

type requestState uint8

const (
	requestWaiting requestState = iota // waits for its turn
	requestSent
	requestDone
)

// AddServer adds a server, and asks it for candidates.
func (a *Agent) AddServer(now time.Time, s Server) error {
	if a.state == StateClosed {
		return ErrClosed
	}
	err := a.gather.addServer(s)
	a.update(now)
	return err
}

// ClearServers removes all servers, so that others can be added. Gathering is open
// again until EndOfLocal.
func (a *Agent) ClearServers(now time.Time) {
	if a.state == StateClosed {
		return
	}
	a.gather.clearServers()
	a.update(now)
}

// ServerFailed reports that a server could not be asked: its name is unknown, or it
// refuses connections. An EventServerError reports this in turn.
func (a *Agent) ServerFailed(now time.Time, url string, err error) {
	if a.state == StateClosed {
		return
	}
	a.gather.serverFailed(url, err)
	a.update(now)
}

func (g *gatherer) addServer(s Server) error {
	s.Addr = netip.AddrPortFrom(s.Addr.Addr().Unmap(), s.Addr.Port())
	if s.Sock != SockAny {
		g.servers = slices.DeleteFunc(g.servers, func(old *server) bool {
			return old.URL == s.URL && old.reported // old is the entry for the server's previous connection
		})
	}
	switch {
	case !usableRemote(s.Addr):
		return fmt.Errorf("%w: %v", ErrAddress, s.Addr)
	case len(g.servers) >= maxServers:
		return ErrTooManyServers
	case slices.ContainsFunc(g.servers, func(old *server) bool { return old.Server == s }):
		return nil // the server is already asked
	}
	srv := &server{Server: s}
	g.servers = append(g.servers, srv)
	g.reopen()
	g.askFromAll(srv)
	return nil
}

func (g *gatherer) clearServers() {
	g.servers, g.requests = nil, nil
	for _, l := range g.relays {
		l.server = nil // the relay waits for the same server to be added again
	}
	g.reopen()
}

func (g *gatherer) serverFailed(url string, err error) {
	g.servers = slices.DeleteFunc(g.servers, func(s *server) bool { return s.URL == url && !s.Addr.IsValid() }) // s is the entry for the server's previous failure
	if len(g.servers) < maxServers {
		g.servers = append(g.servers, &server{Server: Server{URL: url}, err: err, reported: true})
	}
	g.serverError(url, err)
}

func (g *gatherer) serverError(url string, err error) {
	g.events.push(Event{Kind: EventServerError, URL: url, Err: &ServerError{URL: url, Err: err}})
}

// askFromAll asks a server over the connection that was opened for it, or from every
// base that can reach it.
func (g *gatherer) askFromAll(s *server) {
	if s.TURN && s.Sock != SockAny && !slices.ContainsFunc(g.bases, func(b *base) bool { return b.sock == s.Sock }) {
		g.askRelay(s, nil)
		return
	}
	for _, b := range slices.Clone(g.bases) {
		g.askServer(s, b)
	}
}

// askServer creates a request from b, if b can reach the server.
func (g *gatherer) askServer(s *server, b *base) {
	fits := b.typ == Host && b.tcp == NotTCP && (s.Sock == SockAny || s.Sock == b.sock) && b.reaches(s.Addr.Addr()) &&
		!b.addr.Addr().IsLinkLocalUnicast()
	if fits && s.TURN {
		g.askRelay(s, b)
		return
	}
	asked := slices.ContainsFunc(g.requests, func(q *serverRequest) bool { return q.server == s && q.base == b })
	if !fits || asked || g.relayOnly || len(g.requests) >= maxRequests {
		return
	}
	s.pending++
	g.requests = append(g.requests, &serverRequest{server: s, base: b})
}

// reportUnreachable reports the servers of which no base reaches any address.
func (g *gatherer) reportUnreachable() {
	for _, s := range g.servers {
		asked := g.relayOnly && !s.TURN || slices.ContainsFunc(g.servers, func(o *server) bool {
			return o.URL == s.URL && (o.answered || o.reported || o.late || o.err != nil)
		})
		if !asked {
			s.reported = true
			g.serverError(s.URL, ErrServerUnreachable)
		}
	}
}

// runServers sends requests that are due. It starts new ones at the pace of checks.
func (g *gatherer) runServers(now time.Time, need gathererNeed) {
	for _, q := range g.requests {
		switch q.state {
		case requestWaiting:
			if now.Before(g.nextRequest) {
				continue
			}
			g.nextRequest = now.Add(pace)
			q.state, q.id = requestSent, g.random.transactionID()
			q.retransmission.Start(now, stun.DefaultRTO)
			q.retransmission.Due(now) // the first transmission is queued below
			g.enqueue(q)
		case requestSent:
			send, failed := q.retransmission.Due(now)
			if send {
				g.enqueue(q)
			}
			if failed {
				g.requestDone(q, ErrServerTimeout)
			}
		case requestDone:
			if !q.refreshAt.IsZero() && !now.Before(q.refreshAt) {
				g.refresh(now, q, need)
			}
		}
	}
}

// refresh keeps the binding of the NAT, until data keeps its own binding.
func (g *gatherer) refresh(now time.Time, q *serverRequest, need gathererNeed) {
	if need.nominated || need.failed {
		q.refreshAt = time.Time{}
		return
	}
	q.refreshAt = now.Add(keepalive)
	q.id = g.random.transactionID()
	g.enqueue(q)
}

func (g *gatherer) enqueue(q *serverRequest) {
	if !q.queued {
		q.queued = true
		g.out.push(item{kind: itemServer, request: q})
	}
}

func (q *serverRequest) append(dst []byte) (b []byte, r Route, ok bool) {
	q.queued = false
	w := stun.Build(dst, stun.BindingRequest, q.id)
	w.Fingerprint()
	return w.Finish(), q.base.route(q.server.Addr), true
}

func (g *gatherer) serverAlarms(e *alarm) {
	for _, q := range g.requests {
		switch q.state {
		case requestWaiting:
			e.add(g.nextRequest)
		case requestSent:
			e.add(q.retransmission.Next())
		case requestDone:
			e.add(q.refreshAt)
		}
	}
}

// handleResponse processes a response from a STUN server. It reports whether the
// transaction id is that of a request. The response is not authenticated, but it must
// come from the address to which the request was sent.
func (g *gatherer) handleResponse(now time.Time, r Route, m stun.Message) bool {
	i := slices.IndexFunc(g.requests, func(q *serverRequest) bool {
		return q.state != requestWaiting && q.id == m.TransactionID()
	})
	if i < 0 {
		return false
	}
	q := g.requests[i]
	if q.base.route(r.Remote) != q.base.route(q.server.Addr) || len(m.AppendUnknown(nil, nil)) > 0 {
		return true
	}
	if m.Type() == stun.BindingError {
		if err := m.Err(); err != nil && q.state == requestSent {
			g.requestDone(q, err)
		}
		return true
	}
	mapped, ok := m.MappedAddress()
	if !ok || !usableRemote(mapped) || !turn.Reachable(q.server.Addr.Addr(), mapped) || mapped.Addr().Is4() != q.base.addr.Addr().Is4() {
		if q.state == requestSent {
			g.requestDone(q, ErrServerAnswer)
		}
		return true
	}
	if q.state == requestSent {
		q.refreshAt = now.Add(keepalive)
		g.requestDone(q, nil)
	}
	if mapped != q.mapped {
		q.mapped = mapped
		g.addReflexive(q.base, mapped, q.server.Addr.Addr(), q)
	}
	return true
}

// requestDone ends a request. err is nil if there was a usable response.
func (g *gatherer) requestDone(q *serverRequest, err error) {
	q.state = requestDone
	q.retransmission.Stop()
	g.settle(q.server, err)
}

// settle counts a request to a server as ended. A server that has answered no request
// is reported once all its requests have ended.
func (g *gatherer) settle(s *server, err error) {
	s.pending--
	s.late, g.complete = false, false // the deadline may have completed gathering already; this answer completes it once more
	if err == nil {
		s.answered = true
	} else if s.err == nil {
		s.err = err
	}
	if s.pending == 0 && !s.answered && !s.reported {
		s.reported = true
		g.serverError(s.URL, s.err)
	}
}

// report describes a server.
func (g *gatherer) report(s *server) ServerReport {
	r := ServerReport{URL: s.URL, Addr: s.Addr, TURN: s.TURN, Transport: s.Transport, Answered: s.answered, Err: s.err}
	for _, q := range g.requests {
		if q.server == s && q.mapped.IsValid() {
			r.Mapped = append(r.Mapped, q.mapped)
		}
	}
	for _, l := range g.relays {
		if l.server != s {
			continue
		}
		if l.client.Mapped().IsValid() {
			r.Mapped = append(r.Mapped, l.client.Mapped())
		}
		r.Relayed = append(r.Relayed, l.client.Relayed()...)
		if l.client.Silent() {
			r.Err = ErrServerTimeout
		}
		if err := l.client.Err(); err != nil && r.Err == nil {
			r.Err = err
		}
	}
	if s.late && !s.answered && r.Err == nil {
		r.Err = ErrServerTimeout
	}
	if s.reported && r.Err == nil {
		r.Err = ErrServerUnreachable
	}
	if s.answered && !s.TURN {
		r.Err = nil // only another local address cannot reach the server
	}
	return r
}
