package ice

import (
	"net/netip"
	"time"
)

// A selection is the pair that carries data.
type selection struct {
	selected        *pair     // the pair that carries data; nil: there is none
	path            path      // path of the last selected pair; zero: there was none
	lastAnswer      time.Time // when the remote agent last answered, on any pair
	unvalidatedFrom Route     // route of the payload that HandleDatagram last returned without ok

	renominates bool   // the remote agent obeys numbered nominations
	nomination  uint32 // the number used in the last nomination
}

// A path identifies the way of datagrams through the network. A change of only the
// port does not change the path, and neither does a pair of another generation with
// the same addresses.
type path struct {
	local, remote netip.Addr
	server        netip.Addr // server of the relay, if one is used
	stream        bool       // the path uses TCP
}

func (p *pair) path() path {
	w := path{local: p.local.addr.Addr(), remote: p.route.Remote.Addr(), stream: p.local.tcp != NotTCP}
	if l := p.local.relay; l != nil {
		w.server, w.stream = l.route.Remote.Addr(), l.from == nil
	}
	return w
}

// Selected returns the route on which data is sent. ok is false if there is none.
func (a *Agent) Selected() (r Route, ok bool) {
	if a.selected == nil {
		return Route{}, false
	}
	return a.selected.local.wire(a.selected.route), true
}

// SelectedPair returns the candidates of the pair on which data is sent. ok is false
// if there is none.
func (a *Agent) SelectedPair() (local, remote Candidate, ok bool) {
	p := a.selected
	if p == nil {
		return Candidate{}, Candidate{}, false
	}
	return p.local.reported(p.gen.ufrag), p.remote.candidate(p.gen), true
}

// RTT returns the smoothed round-trip time of the selected pair. 0 means unknown.
func (a *Agent) RTT() time.Duration {
	if a.selected == nil {
		return 0
	}
	return a.selected.rtt
}

// Direct reports whether the selected pair uses UDP on the whole path, as far as its
// candidates show. On a stream, for example from the remote agent to its relay, a
// datagram that is too long is not just lost: it ends the stream.
func (a *Agent) Direct() bool {
	p := a.selected
	return p != nil && p.local.relay == nil && p.local.tcp == NotTCP && p.remote.typ != Relay
}

// BeginData appends the relay framing that the selected pair needs, if any. ok is
// false if there is no valid pair with consent.
func (a *Agent) BeginData(dst []byte) (b []byte, ok bool) {
	p := a.selected
	if p == nil {
		return dst, false
	}
	return p.local.begin(dst, p.route.Remote), true
}

// FinishData completes the datagram that BeginData began at b[start:], and returns the
// datagram's route.
func (a *Agent) FinishData(b []byte, start int) ([]byte, Route) {
	p := a.selected
	if p == nil {
		return b[:start], Route{} // BeginData has begun nothing
	}
	if l := p.local.relay; l != nil {
		return l.client.Finish(b, start), l.route
	}
	return b, p.route
}

// DataOverhead returns how many bytes BeginData and FinishData add at most.
func (a *Agent) DataOverhead() int {
	if p := a.selected; p != nil && p.local.relay != nil {
		return p.local.relay.client.Overhead(p.route.Remote)
	}
	return 0
}

// choose selects the pair that carries data: the nominated pair, or otherwise the best
// valid pair, of the newest generation that has such a pair. A doubtful pair is
// replaced by any pair that answers.
func (k *checks) choose(now time.Time) {
	var p *pair
	for g := k.cur; g != nil; g = g.older {
		q := g.choice(now)
		if q == nil {
			continue
		}
		if q.fresh(now) {
			p = q
			break
		}
		if p == nil {
			p = q
		}
	}
	if p == k.selected {
		return
	}
	old := k.selected
	k.selected = p
	if p == nil {
		return
	}
	p.carried = false
	before := k.path
	k.path = p.path()
	lost := before != path{} && (old == nil || !old.fresh(now))
	if old != nil && old.state == PairSucceeded && !old.fresh(now) {
		// The old pair is checked like a pair that never worked, and may be selected
		// again later.
		old.state, old.consent, old.unansweredSince = PairWaiting, consent{}, time.Time{}
	}
	if l := p.local.relay; l != nil {
		l.client.Bind(now, p.route.Remote)
	}
	if !k.lite {
		p.consent.start(k.random, &k.consent, now)
	}
	k.events.push(Event{Kind: EventSelected, Route: p.local.wire(p.route), Lost: lost, Moved: before != path{} && before != k.path})
}

// choice returns the pair of the generation to send on, or nil if there is none.
func (g *generation) choice(now time.Time) *pair {
	if n := g.nominated; n != nil && n.fresh(now) {
		return n
	}
	if p := g.bestValid(now); p != nil {
		return p
	}
	if n := g.nominated; n != nil && n.consented(now) {
		return n
	}
	for _, p := range g.pairs {
		if p.consented(now) {
			return p
		}
	}
	return nil
}
