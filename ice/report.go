package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// A Report is everything that the agent knows which helps to answer why it is
// not connected, or how it is. It is a copy, made when it is asked for.
type Report struct {
	State       State
	Err         error // why it failed
	Controlling bool
	Gathered    bool        // local candidates are complete
	Pending     bool        // the local end answered, and no check shows that the answer has arrived
	RemoteEnded bool        // the far end's are
	Local       []Candidate // as the far end is told them
	Remote      []Candidate // those without an address are being looked up
	Dropped     []Dropped   // the candidates that were dropped last, of both ends
	DropCount   int         // how many were dropped in all
	Pairs       []PairReport
	Servers     []ServerReport
}

// A PairState is that of RFC 8445 §6.1.2.6, without Frozen (see the
// package's comment), in the words of the W3C's RTCStatsIceCandidatePairState.
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
	Replaced          bool          // it is of the generation before a restart
	RTT               time.Duration // smoothed; 0: unknown
	RequestsSent      int           // checks and consent requests, each retransmission counted
	RequestsReceived  int
	ResponsesReceived int
	LastResponse      time.Time // zero: never
	Err               error     // what went wrong last; nil if nothing did
}

// A ServerReport is about one STUN or TURN server.
type ServerReport struct {
	URL       string
	Addr      netip.AddrPort // invalid if it could not even be asked
	TURN      bool
	Transport Transport
	Answered  bool
	Mapped    []netip.AddrPort // where it sees us
	Relayed   []netip.AddrPort // what it relays for us
	Err       error            // why it failed; nil also while it is asked
}

// What goes wrong with a pair.
var (
	errNoResponse = errors.New("no answer to its checks")
	errSymmetry   = errors.New("answered from another address than was asked")
)

// Report tells the agent's state in detail.
func (a *Agent) Report() Report {
	r := Report{
		State: a.state, Err: a.err, Pending: a.Pending(), Controlling: a.controlling,
		Gathered: a.gatheringEnd, RemoteEnded: a.cur.remoteEnded, Local: a.localCandidates(),
	}
	for _, c := range a.cur.remotes {
		r.Remote = append(r.Remote, c.candidate(a.cur))
	}
	for _, u := range a.unresolved {
		if u.gen == a.cur {
			r.Remote = append(r.Remote, u.candidate)
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
	for _, s := range a.servers {
		r.Servers = append(r.Servers, a.reportServer(s))
	}
	return r
}

// localCandidates are those that the far end is told.
func (a *Agent) localCandidates() (list []Candidate) {
	for _, b := range a.bases {
		if !a.relayOnly || b.typ == Relay {
			list = a.appendCandidates(list, b)
		}
	}
	known := map[[2]netip.AddrPort]bool{}
	reflexive := func(b *base, mapped netip.AddrPort, server netip.Addr) {
		key := [2]netip.AddrPort{b.addr, mapped}
		if a.relayOnly || !mapped.IsValid() || mapped == b.addr || mapped == b.publicAddr() || known[key] {
			return
		}
		known[key] = true
		list = append(list, a.reflexive(b, mapped, server))
	}
	for _, q := range a.requests {
		reflexive(q.base, q.mapped, q.server.Addr.Addr())
	}
	for _, l := range a.relays {
		if l.from != nil {
			reflexive(l.from, l.client.Mapped(), l.client.Server().Addr())
		}
	}
	return list
}

// candidate is what is known of a remote candidate.
func (r *remote) candidate(g *generation) Candidate {
	return Candidate{
		Component: 1, Transport: r.tcp.transport(), TCPType: r.tcp, Priority: r.priority, Addr: r.addr, Type: r.typ, Ufrag: g.remoteUfrag,
	}
}

func (a *Agent) reportPair(p *pair) PairReport {
	return PairReport{
		Local: p.local.reported(p.gen.ufrag), Remote: p.remote.candidate(p.gen),
		State: p.state, Priority: p.priority, RTT: p.rtt,
		Nominated: p.gen.nominated == p, Selected: a.selected == p, Replaced: p.gen != a.cur,
		RequestsSent: int(p.sent), RequestsReceived: int(p.received), ResponsesReceived: int(p.answers),
		LastResponse: p.lastAnswer, Err: p.err,
	}
}

func (a *Agent) reportServer(s *server) ServerReport {
	r := ServerReport{URL: s.URL, Addr: s.Addr, TURN: s.TURN, Transport: s.Transport, Answered: s.answered, Err: s.err}
	for _, q := range a.requests {
		if q.server == s && q.mapped.IsValid() {
			r.Mapped = append(r.Mapped, q.mapped)
		}
	}
	for _, l := range a.relays {
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
	if s.told && r.Err == nil {
		r.Err = ErrServerUnreachable
	}
	if s.answered && !s.TURN {
		r.Err = nil // another address of ours did not reach it
	}
	return r
}
