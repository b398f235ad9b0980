package simnet

import (
	"net/netip"
	"time"
)

// A NATKind says how a NAT maps and filters. The names are the common ones of RFC 3489
// §5; the comments have the exact terms of RFC 4787.
type NATKind int

const (
	FullCone       NATKind = iota // mapping and filtering endpoint-independent
	Restricted                    // mapping endpoint-independent, filtering address-dependent
	PortRestricted                // mapping endpoint-independent, filtering address- and port-dependent
	Symmetric                     // mapping and filtering address- and port-dependent
	Firewall                      // no mapping, filtering address- and port-dependent
	Blocked                       // no UDP passes
)

// String returns the name that NETWORKS.md uses.
func (k NATKind) String() string {
	return [...]string{"full cone", "restricted", "port-restricted", "symmetric", "firewall", "UDP blocked"}[k]
}

// A NATConfig configures a NAT.
type NATConfig struct {
	Kind    NATKind
	Hairpin bool          // hosts behind the NAT reach each other by their public addresses (RFC 4787 §6)
	Timeout time.Duration // how long a binding lasts without outbound datagrams; 0: 2 minutes (RFC 4787 REQ-5)
}

// defaultTimeout is the least that RFC 4787 REQ-5 allows.
const defaultTimeout = 2 * time.Minute

// firstPort is the first public port that a NAT assigns.
const firstPort = 40000

// A NAT is between its inner network and the network outside. Attach and NAT attach
// hosts and other NATs to the inner network.
type NAT struct {
	NATConfig
	Stats NATStats

	world    *World
	outside  *network
	inside   network
	public   netip.Addr
	bindings map[bindingKey]*binding
	byPort   map[uint16]*binding
	port     uint16 // the port that is assigned next
}

// NATStats counts a NAT's datagrams.
type NATStats struct {
	Out, In int // datagrams that passed
	Blocked int // datagrams that the filter dropped
	Expired int // bindings that timed out
}

// A bindingKey identifies a binding: an inner address, together with the remote
// address if the NAT is symmetric or a firewall.
type bindingKey struct{ inner, far netip.AddrPort }

type binding struct {
	key   bindingKey
	port  uint16                       // public port
	until time.Time                    // when the binding expires; outbound datagrams renew it (RFC 4787 REQ-6)
	sent  map[netip.AddrPort]time.Time // until when each remote address may answer
}

// A network has hosts and NATs attached to it. It is the public network, or the inner
// network of a NAT.
type network struct {
	edge  *NAT // the NAT that leads out of this network; nil: this is the public network
	hosts map[netip.Addr]*host
	nats  map[netip.Addr]*NAT
}

func newNetwork(edge *NAT) network {
	return network{edge: edge, hosts: map[netip.Addr]*host{}, nats: map[netip.Addr]*NAT{}}
}

func (n *network) has(a netip.Addr) bool { return n.hosts[a] != nil || n.nats[a] != nil }

// NAT attaches a NAT with this address to the public network.
func (w *World) NAT(cfg NATConfig, public netip.Addr) *NAT { return w.nat(&w.public, cfg, public) }

// NAT attaches another NAT behind this one.
func (n *NAT) NAT(cfg NATConfig, outer netip.Addr) *NAT { return n.world.nat(&n.inside, cfg, outer) }

func (w *World) nat(outside *network, cfg NATConfig, public netip.Addr) *NAT {
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	n := &NAT{
		NATConfig: cfg, world: w, outside: outside, public: public, port: firstPort,
		bindings: map[bindingKey]*binding{}, byPort: map[uint16]*binding{},
	}
	n.inside = newNetwork(n)
	outside.nats[public] = n
	return n
}

// Attach attaches a node with these addresses behind the NAT. The same addresses may
// be in use behind another NAT. Addresses behind a firewall can also be reached from
// outside.
func (n *NAT) Attach(node Node, addrs ...netip.Addr) {
	n.world.attach(&n.inside, node, addrs)
	if n.Kind == Firewall {
		for _, a := range addrs {
			n.outside.nats[a] = n
		}
	}
}

// Detach removes an address from the network behind the NAT.
func (n *NAT) Detach(addr netip.Addr) { delete(n.inside.hosts, addr) }

// Reboot forgets all bindings.
func (n *NAT) Reboot() {
	clear(n.bindings)
	clear(n.byPort)
}

func (n *NAT) key(inner, far netip.AddrPort) bindingKey {
	if n.Kind == Symmetric {
		return bindingKey{inner, far}
	}
	return bindingKey{inner: inner}
}

// outbound returns the public source address of a datagram that an inner address
// sends. ok is false if the datagram is dropped.
func (n *NAT) outbound(now time.Time, from, to netip.AddrPort) (outer netip.AddrPort, ok bool) {
	if n.Kind == Blocked {
		n.Stats.Blocked++
		return outer, false
	}
	k := n.key(from, to)
	b := n.live(now, n.bindings[k])
	if b == nil {
		b = &binding{key: k, port: n.takePort(now), sent: map[netip.AddrPort]time.Time{}}
		n.bindings[k], n.byPort[b.port] = b, b
	}
	b.until = now.Add(n.Timeout)
	b.sent[to] = b.until
	n.Stats.Out++
	if n.Kind == Firewall {
		return from, true
	}
	return netip.AddrPortFrom(n.public, b.port), true
}

// live returns the binding, or nil if it has expired.
func (n *NAT) live(now time.Time, b *binding) *binding {
	if b != nil && now.After(b.until) {
		delete(n.bindings, b.key)
		delete(n.byPort, b.port)
		n.Stats.Expired++
		return nil
	}
	return b
}

// takePort returns a free public port, which is random for a symmetric NAT.
func (n *NAT) takePort(now time.Time) uint16 {
	for {
		p := n.port
		n.port++
		if n.Kind == Symmetric {
			p = firstPort + uint16(n.world.rng.IntN(20000))
		}
		if n.live(now, n.byPort[p]) == nil {
			return p
		}
	}
}

// inbound returns the inner address to which a datagram from outside is delivered. ok
// is false if the datagram is dropped.
func (n *NAT) inbound(now time.Time, from, to netip.AddrPort) (inner netip.AddrPort, ok bool) {
	var b *binding
	if n.Kind == Firewall {
		b = n.live(now, n.bindings[n.key(to, from)])
	} else {
		b = n.live(now, n.byPort[to.Port()])
	}
	if b == nil || !n.admits(now, b, from) {
		n.Stats.Blocked++
		return inner, false
	}
	n.Stats.In++
	return b.key.inner, true
}

// admits reports whether the filter lets an inbound datagram pass that belongs to a
// binding.
func (n *NAT) admits(now time.Time, b *binding, from netip.AddrPort) bool {
	switch n.Kind {
	case FullCone:
		return true
	case Restricted:
		for far, until := range b.sent {
			if far.Addr() == from.Addr() && !now.After(until) {
				return true
			}
		}
		return false
	}
	until, ok := b.sent[from]
	return ok && !now.After(until)
}
