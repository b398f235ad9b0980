// Package simnet simulates a network in one goroutine with virtual time, for the tests
// of every layer. Everything that happens depends only on the seed, so that a failure
// can be replayed.
//
// A [World] holds nodes, each with the methods of a core (HandleDatagram,
// AppendDatagram, Advance, NextTimeout). It has a [Path] from each address to each
// other address, which delays, drops, repeats, reorders, corrupts and limits
// datagrams. A [NAT] has an inner network behind it.
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

// epoch is the time at which every world starts.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// maxStepsPerSecond bounds the steps in one virtual second. A core that asks for the
// same deadline again and again fails instead of hanging.
const maxStepsPerSecond = 2_000_000

// A World is a network and its clock.
type World struct {
	Default Path // path between addresses for which none was set; copied when it is first used

	// Observe, if set, sees every datagram when it is sent, before the path takes it.
	// If it returns false, the datagram is dropped.
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
	dirty bool                    // the node may have datagrams to send
	homes map[netip.Addr]*network // networks of the node's addresses, including addresses that are detached now
}

// New returns a world without nodes.
func New(seed uint64) *World {
	return &World{
		now: epoch, second: epoch, seed: seed, rng: rand.New(rand.NewPCG(seed, 0x73696d6e6574)),
		public: newNetwork(nil), paths: map[[2]netip.Addr]*Path{}, buf: make([]byte, 0, 65536),
	}
}

// Now returns the virtual time.
func (w *World) Now() time.Time { return w.now }

// Seed returns the seed of the world.
func (w *World) Seed() uint64 { return w.seed }

// Rand returns the world's random generator, for decisions of the test.
func (w *World) Rand() *rand.Rand { return w.rng }

// Reader returns a new random generator for a node's Config.Rand. The number of bytes
// that the node reads from it does not change the random decisions of the network.
func (w *World) Reader() *rand.ChaCha8 {
	var seed [32]byte
	for i := range seed {
		seed[i] = byte(w.rng.Uint32())
	}
	return rand.NewChaCha8(seed)
}

// Attach attaches a node to the public network with these addresses, in addition to
// those that it already has.
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

// Path returns the directed path between two addresses. It may be changed at any time.
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

// Both sets the path between two addresses in both directions.
func (w *World) Both(a, b netip.Addr, p Path) {
	*w.Path(a, b), *w.Path(b, a) = p, p
}

// After schedules a call of f after the virtual time d.
func (w *World) After(d time.Duration, f func()) {
	w.schedule(event{at: w.now.Add(d), run: f})
}

// Jump advances the clock without running timers, so that timers run late, as on a
// machine that slept.
func (w *World) Jump(d time.Duration) { w.now = w.now.Add(d) }

// Run lets time pass until done returns true, but not longer than limit. It calls done
// after every step; a nil done is never true. Run returns the last result of done. The
// error says that the world makes steps without time passing.
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

// next returns when the next event or timer is due.
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

// drain takes the datagrams that all nodes have to send.
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
	serial   uint64   // keeps events at the same time in order
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
