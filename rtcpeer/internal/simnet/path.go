package simnet

import (
	"bytes"
	"net/netip"
	"time"
)

// A Path delays, drops and changes the datagrams from one address to another. The zero
// Path delivers without delay.
type Path struct {
	Delay  time.Duration // one way
	Jitter time.Duration // upper limit of an additional delay, random for each datagram; it may change the order of datagrams

	Loss      float64 // probability that a datagram is lost
	LossBurst float64 // probability that the datagram after a lost one is lost too; 0: Loss
	Duplicate float64 // probability that a datagram arrives twice
	Reorder   float64 // probability that a datagram is delayed by a second Delay and a millisecond
	Corrupt   float64 // probability that one bit of a datagram is flipped

	Rate  float64 // rate of the bottleneck, bits a second; 0: no limit
	Queue int     // bytes queued at the bottleneck; a datagram that finds the queue full is lost. 0: no limit
	MTU   int     // longest UDP payload in bytes; longer datagrams are lost silently. 0: no limit
	Down  bool    // the path drops every datagram

	Stats Stats // counters of the path's datagrams

	lastLost bool
	free     time.Time // when the queue of the bottleneck will be empty
}

// Stats has the counters of a path's datagrams.
type Stats struct {
	Sent, SentBytes, Delivered        int
	Lost, TooLong, QueueFull, Blocked int
	MaxQueue                          time.Duration // the longest delay at the bottleneck
}

// overhead is the size in bytes of the IPv4 and UDP headers.
const overhead = 28

// send sends a datagram of a host. It passes the NATs up to the network that has the
// remote address, and then takes the path to that address.
func (w *World) send(h *host, from, to netip.AddrPort, b []byte) {
	if w.Observe != nil && !w.Observe(w.now, from, to, b) {
		return
	}
	in := h.homes[from.Addr()]
	if in == nil || in.hosts[from.Addr()] != h {
		return // the host has lost the address
	}
	for !in.has(to.Addr()) && in.edge != nil {
		n := in.edge
		var ok bool
		if from, ok = n.outbound(w.now, from, to); !ok {
			return
		}
		if in = n.outside; in.nats[to.Addr()] == n && !n.Hairpin {
			n.Stats.Blocked++
			return
		}
	}
	p := w.Path(from.Addr(), to.Addr())
	p.Stats.Sent++
	p.Stats.SentBytes += len(b)
	at, ok := p.pass(w, len(b))
	if !ok {
		return
	}
	payload := bytes.Clone(b)
	if p.Corrupt > 0 && w.rng.Float64() < p.Corrupt && len(payload) > 0 {
		payload[w.rng.IntN(len(payload))] ^= 1 << w.rng.IntN(8)
	}
	p.Stats.Delivered++
	w.schedule(event{at: at, in: in, from: from, to: to, payload: payload})
	if p.Duplicate > 0 && w.rng.Float64() < p.Duplicate {
		w.schedule(event{at: at.Add(p.Delay / 4), in: in, from: from, to: to, payload: bytes.Clone(payload)})
	}
}

// deliver delivers a datagram to a host. If the address is that of a NAT, a binding of
// the NAT leads to the host behind it.
func (w *World) deliver(e event) {
	for {
		n := e.in.nats[e.to.Addr()]
		if n == nil {
			break
		}
		var ok bool
		if e.to, ok = n.inbound(w.now, e.from, e.to); !ok {
			return
		}
		e.in = &n.inside
	}
	if h := e.in.hosts[e.to.Addr()]; h != nil {
		h.node.HandleDatagram(w.now, e.to, e.from, e.payload)
		h.dirty = true
	}
}

// pass decides whether a datagram passes, and when it arrives. n is the datagram's
// length in bytes.
func (p *Path) pass(w *World, n int) (at time.Time, ok bool) {
	switch {
	case p.Down:
		p.Stats.Blocked++
		return at, false
	case p.MTU > 0 && n > p.MTU:
		p.Stats.TooLong++
		return at, false
	}
	loss := p.Loss
	if p.lastLost && p.LossBurst > 0 {
		loss = p.LossBurst
	}
	p.lastLost = loss > 0 && w.rng.Float64() < loss
	if p.lastLost {
		p.Stats.Lost++
		return at, false
	}
	at = w.now
	if p.Rate > 0 {
		if p.free.Before(at) {
			p.free = at
		}
		wait := p.free.Sub(at)
		if p.Queue > 0 && wait.Seconds()*p.Rate/8 > float64(p.Queue) {
			p.Stats.QueueFull++
			return at, false
		}
		p.Stats.MaxQueue = max(p.Stats.MaxQueue, wait)
		p.free = p.free.Add(time.Duration(float64(8*(n+overhead)) / p.Rate * float64(time.Second)))
		at = p.free
	}
	at = at.Add(p.Delay)
	if p.Jitter > 0 {
		at = at.Add(time.Duration(w.rng.Int64N(int64(p.Jitter))))
	}
	if p.Reorder > 0 && w.rng.Float64() < p.Reorder {
		at = at.Add(p.Delay + time.Millisecond)
	}
	return at, true
}
