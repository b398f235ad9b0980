package ice

import (
	"net/netip"
	"time"
)

// A TraceKind says which fields of a TraceEvent are set.
type TraceKind uint8

// The kinds of trace events. State changes, local candidates and the selected pair are
// not among them: NextEvent returns these.
const (
	TraceRemoteCandidate TraceKind = iota + 1 // Remote, of RemoteType, is a new candidate of the remote agent
	TraceRemoteDropped                        // Text is a candidate of the remote agent that is not used, because of Err
	TraceLocalDropped                         // Text is a local address that is no candidate, because of Err
	TraceCheckSent                            // a check or consent request was sent from Local to Remote
	TraceCheckReceived                        // a check of the remote agent arrived
	TraceCheckAnswered                        // a check or consent request was answered, after RTT
	TraceCheckFailed                          // the check of the pair has failed because of Err
)

// A TraceEvent describes one step of an agent, for a log. It has no credentials. It is
// flat, like crypto/tls.QUICEvent.
type TraceEvent struct {
	Kind       TraceKind
	Local      netip.AddrPort // of the pair; invalid: the event is not about a pair
	Remote     netip.AddrPort
	LocalType  CandidateType
	RemoteType CandidateType
	TCP        bool // the pair or candidate uses TCP

	Nominates bool          // the check nominates the pair
	Consent   bool          // the request only keeps the consent to a pair that works (RFC 7675)
	Again     bool          // the request was sent before; the RTT of its answer is unknown
	RTT       time.Duration // 0: unknown
	Text      string        // a candidate, as it is signalled, or an address
	Err       error
}

// A tracer calls Config.Trace. All methods of a tracer without hook do nothing.
type tracer struct {
	hook func(now time.Time, e TraceEvent) // nil: Config.Trace is not set
}

// ofPair returns an event about a pair.
func ofPair(kind TraceKind, p *pair) TraceEvent {
	return TraceEvent{
		Kind: kind, Local: p.local.addr, LocalType: p.local.typ, Remote: p.remote.addr, RemoteType: p.remote.typ, TCP: p.local.tcp != NotTCP,
	}
}

func (t tracer) remote(now time.Time, r *remote) {
	if t.hook != nil {
		t.hook(now, TraceEvent{Kind: TraceRemoteCandidate, Remote: r.addr, RemoteType: r.typ, TCP: r.tcp != NotTCP})
	}
}

func (t tracer) dropped(now time.Time, d Dropped) {
	if t.hook == nil {
		return
	}
	e := TraceEvent{Kind: TraceRemoteDropped, Text: d.Candidate, Err: d.Reason}
	if d.Local {
		e.Kind = TraceLocalDropped
	}
	t.hook(now, e)
}

// sent reports the newest request of a pair, which was just built.
func (t tracer) sent(now time.Time, p *pair) {
	if t.hook == nil {
		return
	}
	e, x := ofPair(TraceCheckSent, p), p.transactions.newest()
	e.Nominates, e.Again, e.Consent = x.nominates, x.again, p.state == PairSucceeded && !p.nominating
	t.hook(now, e)
}

func (t tracer) received(now time.Time, p *pair, nominates bool) {
	if t.hook != nil {
		e := ofPair(TraceCheckReceived, p)
		e.Nominates = nominates
		t.hook(now, e)
	}
}

func (t tracer) answered(now time.Time, p *pair, x transaction) {
	if t.hook == nil {
		return
	}
	e := ofPair(TraceCheckAnswered, p)
	if e.Nominates, e.Again = x.nominates, x.again; !x.again {
		e.RTT = now.Sub(x.sentAt)
	}
	t.hook(now, e)
}

// failed reports that the state of a pair has become PairFailed, for the reason in its
// field err.
func (t tracer) failed(now time.Time, p *pair) {
	if t.hook != nil {
		e := ofPair(TraceCheckFailed, p)
		e.Err = p.err
		t.hook(now, e)
	}
}
