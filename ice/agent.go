package ice

import (
	"io"
	"net/netip"
	"time"
)

// A Route is the local socket that a datagram uses and the far address.
// Routes are comparable.
type Route struct {
	Sock   int16          // the local socket, as named by whoever opened it; SockMDNS is special
	Local  netip.Addr     // the local address on that socket; may be invalid where the socket has just one
	Remote netip.AddrPort // the far address
}

// SockMDNS is the Sock of datagrams to and from the multicast DNS group
// (RFC 6762 §3). Whoever runs the Agent opens such a socket when it first
// sees one of these routes in AppendDatagram.
const SockMDNS int16 = -1

// A State is that of the ICE transport, in the words of the W3C's
// RTCIceTransportState.
type State uint8

const (
	StateNew State = iota
	StateChecking
	StateConnected    // a pair is valid: data flows
	StateCompleted    // a pair is nominated and both ends have ended their candidates
	StateDisconnected // no authenticated answer for a while; may recover
	StateFailed
	StateClosed
)

// Config is what an Agent is made from.
type Config struct {
	Controlling bool
	RelayOnly   bool
	Ufrag, Pwd  string    // local credentials; made from Rand where empty (RFC 8445 §5.3)
	Rand        io.Reader // nil: crypto/rand
}

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone              EventKind = iota
	EventCandidate                   // Candidate: a local candidate was gathered
	EventGatheringComplete           // no more local candidates of this gathering
	EventState                       // State
	EventRouteAdded                  // Route: an authenticated check arrived on it, or was answered on it
	EventRouteRemoved                // Route: it is not used any more
	EventSelected                    // Route: data goes out on another route than before
	EventServerError                 // URL, Err: a STUN or TURN server failed; gathering goes on without it
)

// An Event is something the Agent's owner should know. It is flat, like
// crypto/tls.QUICEvent.
type Event struct {
	Kind      EventKind
	Candidate Candidate
	State     State
	Route     Route
	URL       string
	Err       error
}

// An Agent is a full ICE agent (RFC 8445) of one component and one data
// stream: a pure state machine.
type Agent struct{}

// NewAgent returns an agent in StateNew.
func NewAgent(cfg Config) *Agent { return &Agent{} }

// Credentials returns the local ufrag and password (RFC 8839 §5.4).
func (a *Agent) Credentials() (ufrag, pwd string) { return "", "" }

// SetControlling sets the role that offer and answer gave (RFC 8445 §6.1.1).
func (a *Agent) SetControlling(now time.Time, controlling bool) {}

// SetRemote sets the far end's credentials, and whether it is ICE lite.
// Checks begin once they are known.
func (a *Agent) SetRemote(now time.Time, ufrag, pwd string, lite bool) {}

// Restart begins an ICE restart (RFC 8445 §9) with new local credentials.
// Data goes on over the old pair until a new one is valid.
// The remote's new credentials come with SetRemote.
func (a *Agent) Restart(now time.Time, ufrag, pwd string) {}

// AddLocal adds a local address that datagrams can be sent from, and its
// host candidate.
func (a *Agent) AddLocal(now time.Time, sock int16, addr netip.AddrPort) error { return nil }

// RemoveLocal forgets a local address, its candidates and its pairs.
func (a *Agent) RemoveLocal(now time.Time, sock int16, addr netip.AddrPort) {}

// Server is a STUN or TURN server whose name is resolved already.
type Server struct {
	URL                string         // as configured, for events
	Addr               netip.AddrPort // where it is
	TURN               bool
	Sock               int16 // the socket to use: -2 any of the address family; for TCP and TLS the framed connection opened for it
	Username, Password string
}

// AddServer asks a server for candidates.
func (a *Agent) AddServer(now time.Time, s Server) error { return nil }

// EndOfLocal tells that no AddLocal and no AddServer follow in this
// gathering: once all servers have answered or failed it is complete.
func (a *Agent) EndOfLocal(now time.Time) {}

// AddRemote adds a candidate of the far end. One with a name ending in
// .local is resolved by multicast DNS first.
func (a *Agent) AddRemote(now time.Time, c Candidate) error { return nil }

// EndOfRemote tells that the far end has no more candidates (RFC 8838 §14).
func (a *Agent) EndOfRemote(now time.Time) {}

// HandleDatagram takes a datagram. What is STUN, TURN or mDNS is eaten; the
// payload of a permitted route comes back, a part of b.
func (a *Agent) HandleDatagram(now time.Time, r Route, b []byte) (data []byte, ok bool) {
	return nil, false
}

// AppendDatagram appends the agent's next own datagram to dst: checks,
// consent, server transactions, multicast DNS. ok is false when there is none.
func (a *Agent) AppendDatagram(now time.Time, dst []byte) (b []byte, r Route, ok bool) {
	return dst, Route{}, false
}

// BeginData appends room for the relay framing that the selected pair needs,
// if any. ok is false when there is no valid pair with consent to send on.
func (a *Agent) BeginData(dst []byte) (b []byte, ok bool) { return dst, false }

// FinishData completes the datagram that BeginData began at b[start:] and
// tells where to send it.
func (a *Agent) FinishData(b []byte, start int) ([]byte, Route) { return b, Route{} }

// DataOverhead is the number of bytes BeginData and FinishData add.
func (a *Agent) DataOverhead() int { return 0 }

// RTT is the smoothed round-trip time of the selected pair; zero if unknown.
func (a *Agent) RTT() time.Duration { return 0 }

// State returns the present state.
func (a *Agent) State() State { return StateNew }

// Err returns why the agent failed.
func (a *Agent) Err() error { return nil }

// Advance runs the timers that are due.
func (a *Agent) Advance(now time.Time) {}

// NextTimeout is when Advance has something to do; zero: never.
func (a *Agent) NextTimeout() time.Time { return time.Time{} }

// NextEvent returns the next event, in order.
func (a *Agent) NextEvent() (Event, bool) { return Event{}, false }

// Close ends the agent: relays are released by its last datagrams.
func (a *Agent) Close(now time.Time) {}
