// Package simnet is a network simulated in one goroutine under virtual time, for the
// tests of every layer. Everything that happens depends on the seed alone, so that a
// failure can be replayed.
//
// A [World] holds nodes, each with the verbs of a core (HandleDatagram,
// AppendDatagram, Advance, NextTimeout), and a [Path] from each address to each other,
// which delays, drops, repeats, reorders, corrupts and limits datagrams. A [NAT] has a
// network of its own behind it.
package simnet

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// A Node is a host with a pure state machine.
type Node interface {
	HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte)
	AppendDatagram(now time.Time, dst []byte) (b []byte, local, remote netip.AddrPort, ok bool)
	Advance(now time.Time)
	NextTimeout() time.Time // zero: never
}

// epoch is the start of every world.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// maxStepsPerSecond bounds the work of one virtual second: a core that asks for the
// same deadline again and again fails instead of hanging.
const maxStepsPerSecond = 2_000_000

// A World is a network and its clock.
type World struct {
	Default Path // of addresses without a path of their own; copied at first use

	// Observe, if set, sees every datagram as it is sent, before the path takes it.
	// False drops it.
	Observe func(now time.Time, from, to netip.AddrPort, b []byte) bool

	now    time.Time
	rng    *rand.Rand
	seed   uint64
	nodes  []*host
	public network
	paths  map[[2]netip.Addr]*Path
	events eventHeap
	serial uint64
	buf    []byte
	second time.Time
	steps  int
}

type host struct {
	node  Node
	dirty bool                    // it may have output
	homes map[netip.Addr]*network // the networks of its addresses, attached or not
}

// New returns a world without nodes.
func New(seed uint64) *World {
	return &World{
		now: epoch, second: epoch, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x73696d6e6574)),
		public: newNetwork(nil), paths: map[[2]netip.Addr]*Path{}, buf: make([]byte, 0, 65536),
	}
}

// Now is the virtual time.
func (w *World) Now() time.Time { return w.now }

// Seed is the seed of the world.
func (w *World) Seed() uint64 { return w.seed }

// Rand is the world's source of randomness, for the test's own decisions.
func (w *World) Rand() *rand.Rand { return w.rng }

// Reader returns a generator of its own, for a node's Config.Rand: how much the node
// reads does not change the network's randomness.
func (w *World) Reader() *rand.ChaCha8 {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.rng.Uint32())
	}
	return rand.NewChaCha8(seed)
}

// Attach attaches a node to the network under these addresses, in addition to those
// that it has.
func (w *World) Attach(n Node, addrs ...netip.Addr) { w.attach(&w.public, n, addrs) }

func (w *World) attach(in *network, n Node, addrs []netip.Addr) {
	i := slices.IndexFunc(w.nodes, func(h *host) bool { return h.node == n })
	if i < 0 {
		i = len(w.nodes)
		w.nodes = append(w.nodes, &host{node: n, homes: map[netip.Addr]*network{}})
	}
	for _, a := range addrs {
		in.hosts[a] = w.nodes[i]
		w.nodes[i].homes[a] = in
	}
}

// Detach removes an address from the network: datagrams to it and from it are lost.
func (w *World) Detach(addr netip.Addr) { delete(w.public.hosts, addr) }

// Move gives a node one more address.
func (w *World) Move(n Node, addr netip.Addr) { w.Attach(n, addr) }

// Path is the directed path between two addresses; it may be changed at any
// time.
func (w *World) Path(from, to netip.Addr) *Path {
	k := [2]netip.Addr{from, to}
	p := w.paths[k]
	if p == nil {
		c := w.Default
		p = &c
		w.paths[k] = p
	}
	return p
}

// Both sets the path between two addresses, both ways.
func (w *World) Both(a, b netip.Addr, p Path) {
	*w.Path(a, b), *w.Path(b, a) = p, p
}

// After calls f at a later time.
func (w *World) After(d time.Duration, f func()) {
	w.schedule(event{at: w.now.Add(d), run: f})
}

// Jump advances the clock at once, like a machine that slept: timers are late.
func (w *World) Jump(d time.Duration) { w.now = w.now.Add(d) }

// Run lets time pass until done, called after every step, returns true, but no longer
// than limit. It returns the last result of done. A nil done is never true. The error
// is that of a world that makes steps without time passing.
func (w *World) Run(limit time.Duration, done func() bool) (bool, error) {
	end := w.now.Add(limit)
	for _, h := range w.nodes {
		h.dirty = true // the test may have called anything since the last run
	}
	for {
		w.drain()
		if done != nil && done() {
			return true, nil
		}
		at, ok := w.next()
		if !ok || at.After(end) {
			w.now = end
			return false, nil
		}
		if at.After(w.now) {
			w.now = at
		}
		w.fire()
		if err := w.count(); err != nil {
			return false, err
		}
	}
}

func (w *World) count() error {
	if w.now.Sub(w.second) >= time.Second {
		w.second, w.steps = w.now, 0
	}
	if w.steps++; w.steps > maxStepsPerSecond {
		return fmt.Errorf("simnet: seed %d: %d steps within a virtual second at %v", w.seed, w.steps, w.now.Sub(epoch))
	}
	return nil
}

// next returns when something happens next.
func (w *World) next() (at time.Time, ok bool) {
	if len(w.events) > 0 {
		at, ok = w.events[0].at, true
	}
	for _, h := range w.nodes {
		if t := h.node.NextTimeout(); !t.IsZero() && (!ok || t.Before(at)) {
			at, ok = t, true
		}
	}
	return at, ok
}

// fire runs the event or the timers that are due.
func (w *World) fire() {
	if len(w.events) > 0 && !w.events[0].at.After(w.now) {
		e := heap.Pop(&w.events).(event)
		if e.run != nil {
			e.run()
			for _, h := range w.nodes {
				h.dirty = true
			}
			return
		}
		w.deliver(e)
		return
	}
	for _, h := range w.nodes {
		if t := h.node.NextTimeout(); !t.IsZero() && !t.After(w.now) {
			h.node.Advance(w.now)
			h.dirty = true
		}
	}
}

// drain takes the output of all nodes.
func (w *World) drain() {
	for _, h := range w.nodes {
		for h.dirty {
			b, from, to, ok := h.node.AppendDatagram(w.now, w.buf[:0])
			if !ok {
				h.dirty = false
				break
			}
			w.send(h, from, to, b)
		}
	}
}

type event struct {
	at       time.Time
	serial   uint64   // keeps events of one time in order
	in       *network // the network of the remote address
	from, to netip.AddrPort
	payload  []byte
	run      func()
}

func (w *World) schedule(e event) {
	w.serial++
	e.serial = w.serial
	heap.Push(&w.events, e)
}

type eventHeap []event

func (h eventHeap) Len() int      { return len(h) }
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h eventHeap) Less(i, j int) bool {
	if !h[i].at.Equal(h[j].at) {
		return h[i].at.Before(h[j].at)
	}
	return h[i].serial < h[j].serial
}
func (h *eventHeap) Push(x any) { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	e := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return e
}
