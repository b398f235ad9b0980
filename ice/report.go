package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Report describes the agent in detail: why it is not connected, or how it is. It
// is a copy.
type Report struct {
	State       State
	Err         error // the cause of StateFailed
	Controlling bool
	Gathered    bool        // local candidates are complete
	Pending     bool        // the local end has answered, and no check shows yet that the answer has arrived
	RemoteEnded bool        // remote candidates are complete
	Local       []Candidate // as signalled
	Remote      []Candidate // those without an address are looked up
	Dropped     []Dropped   // the candidates that were dropped last, of both agents
	DropCount   int         // how many were dropped in all
	Pairs       []PairReport
	Servers     []ServerReport
}

// A PairState is the state of a candidate pair (RFC 8445 §6.1.2.6), without Frozen
// (see the package's comment), in the words of the W3C's
// RTCStatsIceCandidatePairState.
type PairState uint8

const (
	PairWaiting PairState = iota
	PairInProgress
	PairSucceeded
	PairFailed
)

// String is the W3C's word.
func (s PairState) String() string {
	switch s {
	case PairWaiting:
		return "waiting"
	case PairInProgress:
		return "in-progress"
	case PairSucceeded:
		return "succeeded"
	case PairFailed:
		return "failed"
	}
	return fmt.Sprintf("PairState(%d)", uint8(s))
}

// A PairReport is about one candidate pair.
type PairReport struct {
	Local, Remote     Candidate
	State             PairState
	Priority          uint64
	Nominated         bool
	Selected          bool          // it carries data
	Replaced          bool          // it is of a generation before a restart
	RTT               time.Duration // smoothed; 0: unknown
	RequestsSent      int           // checks and consent requests, each retransmission counted
	RequestsReceived  int
	ResponsesReceived int
	LastResponse      time.Time // zero: never
	Err               error     // the last error; nil: none
}

// A ServerReport is about one STUN or TURN server.
type ServerReport struct {
	URL       string
	Addr      netip.AddrPort // invalid: it could not be asked
	TURN      bool
	Transport Transport
	Answered  bool
	Mapped    []netip.AddrPort // local addresses as it sees them
	Relayed   []netip.AddrPort // addresses that it relays
	Err       error            // why it failed; nil: it has not
}

// Errors of pairs.
var (
	errNoResponse = errors.New("no answer to its checks")
	errSymmetry   = errors.New("answered from another address than was asked")
)

// Report describes the agent's state.
func (a *Agent) Report() Report {
	r := Report{
		State: a.state, Err: a.err, Pending: a.Pending(), Controlling: a.controlling,
		Gathered: a.gather.complete, RemoteEnded: a.cur.remoteEnded, Local: a.gather.candidates(),
	}
	for _, c := range a.cur.remotes {
		r.Remote = append(r.Remote, c.candidate(a.cur))
	}
	for _, w := range a.lookups.waiting {
		if w.gen == a.cur {
			r.Remote = append(r.Remote, w.candidate)
		}
	}
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			r.Pairs = append(r.Pairs, a.reportPair(p))
		}
	}
	if a.drops != nil {
		r.Dropped, r.DropCount = slices.Clone(a.drops.list), a.drops.count
	}
	for _, s := range a.gather.servers {
		r.Servers = append(r.Servers, a.gather.report(s))
	}
	return r
}

// candidate is a remote candidate as far as it is known.
func (r *remote) candidate(g *generation) Candidate {
	return Candidate{
		Component: 1, Transport: r.tcp.transport(), TCPType: r.tcp, Priority: r.priority, Addr: r.addr, Type: r.typ, Ufrag: g.remoteUfrag,
	}
}

func (k *checks) reportPair(p *pair) PairReport {
	return PairReport{
		Local: p.local.reported(p.gen.ufrag), Remote: p.remote.candidate(p.gen),
		State: p.state, Priority: p.priority, RTT: p.rtt,
		Nominated: p.gen.nominated == p, Selected: k.selected == p, Replaced: p.gen != k.cur,
		RequestsSent: int(p.sent), RequestsReceived: int(p.received), ResponsesReceived: int(p.answers),
		LastResponse: p.lastAnswer, Err: p.err,
	}
}
