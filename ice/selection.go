package ice

import (
	"net/netip"
	"time"
)

// A selection is the pair that carries data.
type selection struct {
	selected        *pair     // nil: there is none
	path            path      // of the last selected pair; zero: there was none
	lastAnswer      time.Time // the remote agent's last, on any pair
	unvalidatedFrom Route     // of the payload that HandleDatagram returned last without ok

	renominates bool   // the remote agent obeys numbered nominations
	nomination  uint32 // the last number used
}

// A path is what distinguishes the ways of datagrams through the network. Another
// port is no other path, nor is a pair with the same addresses of another
// generation.
type path struct {
	local, remote netip.Addr
	server        netip.Addr // of a relay
	stream        bool       // over TCP
}

func (p *pair) path() path {
	w := path{local: p.local.addr.Addr(), remote: p.route.Remote.Addr(), stream: p.local.tcp != NotTCP}
	if l := p.local.relay; l != nil {
		w.server, w.stream = l.route.Remote.Addr(), l.from == nil
	}
	return w
}

// Selected returns the route of data; ok is false if there is none.
func (a *Agent) Selected() (r Route, ok bool) {
	if a.selected == nil {
		return Route{}, false
	}
	return a.selected.local.wire(a.selected.route), true
}

// RTT is the smoothed round-trip time of the selected pair; 0: unknown.
func (a *Agent) RTT() time.Duration {
	if a.selected == nil {
		return 0
	}
	return a.selected.rtt
}

// Direct reports whether the selected pair is UDP all the way, as far as the
// candidates show. A datagram that is too long for a stream, such as the remote
// agent's to its relay, is not lost: it ends the stream.
func (a *Agent) Direct() bool {
	p := a.selected
	return p != nil && p.local.relay == nil && p.local.tcp == NotTCP && p.remote.typ != Relay
}

// BeginData appends the relay framing that the selected pair needs, if any. ok is
// false without a valid pair that has consent.
func (a *Agent) BeginData(dst []byte) (b []byte, ok bool) {
	p := a.selected
	if p == nil {
		return dst, false
	}
	return p.local.begin(dst, p.route.Remote), true
}

// FinishData completes the datagram that BeginData began at b[start:], and returns
// its route.
func (a *Agent) FinishData(b []byte, start int) ([]byte, Route) {
	p := a.selected
	if p == nil {
		return b[:start], Route{} // nothing was begun
	}
	if l := p.local.relay; l != nil {
		return l.client.Finish(b, start), l.route
	}
	return b, p.route
}

// DataOverhead is the most that BeginData and FinishData add, in bytes.
func (a *Agent) DataOverhead() int {
	if p := a.selected; p != nil && p.local.relay != nil {
		return p.local.relay.client.Overhead(p.route.Remote)
	}
	return 0
}

// choose selects the pair that carries data: the nominated one, else the best valid
// one, of the newest generation that has any. A doubtful pair gives way to any that
// answers.
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
		// It is checked like a pair that never worked, and may come back.
		old.state, old.consent, old.unansweredSince = PairWaiting, consent{}, time.Time{}
	}
	if l := p.local.relay; l != nil {
		l.client.Bind(now, p.route.Remote)
	}
	if !k.lite {
		p.consent.start(k.random, now)
	}
	k.events.push(Event{Kind: EventSelected, Route: p.local.wire(p.route), Lost: lost, Moved: before != path{} && before != k.path})
}

// choice is the generation's pair to send on; nil: there is none.
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
