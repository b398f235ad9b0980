package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Report describes the agent in detail: how it is connected, or why it is not. It is
// a copy.
type Report struct {
	State       State
	Err         error // the cause of StateFailed
	Controlling bool
	Gathered    bool        // all local candidates were gathered
	Pending     bool        // the local end has answered, and no check has shown yet that the answer has arrived
	RemoteEnded bool        // the remote agent has no more candidates
	Local       []Candidate // local candidates as they are signalled
	Remote      []Candidate // remote candidates; those without an address are being looked up
	Dropped     []Dropped   // the most recently dropped candidates of both agents
	DropCount   int         // number of candidates dropped in total
	Pairs       []PairReport
	Servers     []ServerReport
}

// A PairState is the state of a candidate pair (RFC 8445 §6.1.2.6), without Frozen
// (see the package's comment). The names come from the W3C's
// RTCStatsIceCandidatePairState.
type PairState uint8

const (
	PairWaiting PairState = iota
	PairInProgress
	PairSucceeded
	PairFailed
)

// String returns the W3C's name of the state.
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

// A PairReport describes one candidate pair.
type PairReport struct {
	Local, Remote     Candidate
	State             PairState
	Priority          uint64
	Nominated         bool
	Selected          bool          // the pair carries data
	Replaced          bool          // the pair belongs to a generation before a restart
	RTT               time.Duration // smoothed round-trip time; 0: unknown
	RequestsSent      int           // checks and consent requests, including retransmissions
	RequestsReceived  int
	ResponsesReceived int
	LastResponse      time.Time // when the last response arrived; zero: never
	Err               error     // the last error; nil: none
}

// A ServerReport describes one STUN or TURN server.
type ServerReport struct {
	URL       string
	Addr      netip.AddrPort // invalid: the server could not be asked
	TURN      bool
	Transport Transport
	Answered  bool
	Mapped    []netip.AddrPort // local addresses as the server sees them
	Relayed   []netip.AddrPort // addresses that the server relays
	Err       error            // why the server failed; nil: it has not failed
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

// Checked reports whether the agent has sent a check, and whether the remote agent has
// answered one.
func (a *Agent) Checked() (sent, answered bool) {
	for g := a.cur; g != nil; g = g.older {
		for _, p := range g.pairs {
			sent, answered = sent || p.sent > 0, answered || p.answers > 0
		}
	}
	return sent, answered
}

// candidate returns what is known of a remote candidate.
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
