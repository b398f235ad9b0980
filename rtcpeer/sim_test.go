package rtcpeer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net/netip"
	"sync"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
	"purertc/rtcpeer/internal/udpmux"
)

// A simPeer is a whole Conn on a simulated network, in virtual time.
type simPeer struct {
	*Conn
	kept    []*DataChannel
	t       testing.TB
	world   *simnet.World
	addrs   []netip.Addr
	h       udpmux.Handler
	ports   map[ice.Sock]*simPort
	changed func([]netip.Addr)
	in      simNetwork
	out     []simDatagram
	other   *simPeer
	trickle bool
	lazy    bool                                 // the program calls Poll itself
	heard   []string                             // descriptions and candidates received by signalling
	told    map[netip.AddrPort]ice.CandidateType // types of the candidates received by signalling
}

// A simNetwork is the network of an end: the world, or the network behind a NAT.
type simNetwork interface {
	Attach(n simnet.Node, addrs ...netip.Addr)
	Detach(addr netip.Addr)
}

type simDatagram struct {
	r ice.Route
	b []byte
}

// newSimPeer creates a Conn on the network with these addresses.
func newSimPeer(t testing.TB, w *simnet.World, cfg Config, addrs ...string) *simPeer {
	return newSimPeerIn(t, w, w, cfg, addrs...)
}

// simCertificate is the certificate of all simulated ends. It is fixed, because the
// length of a signature changes the packets, which must depend only on the seed.
var simCertificate = sync.OnceValue(func() *tls.Certificate {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(i + 1)
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw)
	if err != nil {
		panic(err)
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Unix(1.5e9, 0), NotAfter: time.Unix(3e9, 0)}
	der, err := x509.CreateCertificate(nil, t, t, &key.PublicKey, key) // nil: the signature is deterministic
	if err != nil {
		panic(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// newSimPeerIn creates a Conn on a network other than the world's.
func newSimPeerIn(t testing.TB, w *simnet.World, in simNetwork, cfg Config, addrs ...string) *simPeer {
	p := &simPeer{t: t, world: w, in: in, trickle: true, told: map[netip.AddrPort]ice.CandidateType{}}
	for _, a := range addrs {
		p.addrs = append(p.addrs, netip.MustParseAddr(a))
	}
	s := newStack()
	s.random, s.network, s.now = w.Reader(), p, w.Now
	if cfg.Certificate == nil {
		cfg.Certificate = simCertificate()
	}
	p.Conn = connOf(s)
	if err := p.Initialize(cfg); err != nil {
		t.Fatal(err)
	}
	in.Attach(p, p.addrs...)
	p.OnDataChannelReceived(nil)
	p.OnSessionDescriptionCreated(func(typ, sdp string) {
		p.heard = append(p.heard, typ)
		if err := p.SetLocalDescription(typ, sdp); err != nil {
			t.Errorf("SetLocalDescription(%s): %v", typ, err)
		}
		if err := p.other.SetRemoteDescription(typ, sdp); err != nil {
			t.Errorf("SetRemoteDescription(%s): %v", typ, err)
		}
	})
	p.OnICECandidateCreated(func(media string, index int, name string) {
		p.heard = append(p.heard, "candidate")
		if c, err := ice.ParseCandidate(name); err == nil {
			p.told[c.Addr] = c.Type
		}
		if err := p.other.AddICECandidate(media, index, name); err != nil {
			t.Errorf("AddICECandidate(%q): %v", name, err)
		}
	})
	return p
}

// CreateDataChannel keeps the handle of the channel. The garbage collector would close
// a channel without a handle from another goroutine.
func (p *simPeer) CreateDataChannel(label string, o ChannelOptions) (*DataChannel, error) {
	d, err := p.Conn.CreateDataChannel(label, o)
	p.kept = append(p.kept, d)
	return d, err
}

// OpenDataChannel keeps the handle of the channel, like CreateDataChannel.
func (p *simPeer) OpenDataChannel(label string, o ChannelOptions) (*DataChannel, error) {
	d, err := p.Conn.OpenDataChannel(label, o)
	p.kept = append(p.kept, d)
	return d, err
}

// OnDataChannelReceived keeps the handles of received channels, like
// CreateDataChannel.
func (p *simPeer) OnDataChannelReceived(f func(*DataChannel)) {
	p.Conn.OnDataChannelReceived(func(d *DataChannel) {
		p.kept = append(p.kept, d)
		if f != nil {
			f(d)
		}
	})
}

// newSimPair creates two ends that signal to each other without delay.
func newSimPair(t testing.TB, w *simnet.World, cfg Config) (a, b *simPeer) {
	a = newSimPeer(t, w, cfg, "10.0.0.1")
	b = newSimPeer(t, w, cfg, "10.0.0.2")
	a.other, b.other = b, a
	return a, b
}

// transport returns the connection's transport, and creates it if there is none.
func (p *simPeer) transport() *transport { q, _ := p.ext.(*stack).made(); return q }

// The following methods implement network.

func (p *simPeer) open(h handler, _ addressChoice) (ports []port, locals []local, err error) {
	p.h = h
	p.ports = map[ice.Sock]*simPort{}
	for i, a := range p.addrs {
		q, l, _ := p.appeared(h, ice.Sock(i), a)
		ports, locals = append(ports, q), append(locals, l...)
	}
	return ports, locals, nil
}

func (p *simPeer) watch(changed func([]netip.Addr)) (stop func()) {
	p.changed = changed
	return func() { p.changed = nil }
}

func (p *simPeer) dial(handler, ice.Sock, netip.Addr) port { return nil }

func (p *simPeer) appeared(h handler, sock ice.Sock, addr netip.Addr) (port, []local, error) {
	q := &simPort{p: p, sock: sock, addr: netip.AddrPortFrom(addr, 5000)}
	p.ports[sock] = q
	return q, []local{{sock: sock, addr: q.addr}}, nil
}

func (p *simPeer) vanished(q port) bool {
	delete(p.ports, q.(*simPort).sock)
	return true
}

// move gives the end other addresses on the same network.
func (p *simPeer) move(addrs ...string) {
	for _, a := range p.addrs {
		p.in.Detach(a)
	}
	p.addrs = nil
	for _, a := range addrs {
		p.addrs = append(p.addrs, netip.MustParseAddr(a))
	}
	p.in.Attach(p, p.addrs...)
	if p.changed != nil {
		p.changed(p.addrs)
	}
}

type simPort struct {
	p    *simPeer
	sock ice.Sock
	addr netip.AddrPort
	deaf bool // the socket is closed for reading, but accepts writes
}

func (q *simPort) AddUfrag(string) error     { return nil }
func (q *simPort) RemoveUfrag(string)        {}
func (q *simPort) Bind(netip.AddrPort) error { return nil }
func (q *simPort) Unbind(netip.AddrPort)     {}
func (q *simPort) Close()                    {}
func (q *simPort) Write(r ice.Route, b []byte, segment int) bool {
	for len(b) > 0 {
		n := min(segment, len(b))
		q.p.out = append(q.p.out, simDatagram{r, append([]byte(nil), b[:n]...)})
		b = b[n:]
	}
	return true
}

// The following methods implement simnet.Node.

func (p *simPeer) HandleDatagram(now time.Time, to, from netip.AddrPort, b []byte) {
	for sock := range ice.Sock(len(p.addrs)) + 1 {
		if q := p.ports[sock]; q != nil && q.addr == to && !q.deaf {
			p.h.HandleDatagrams(now, ice.Route{Sock: sock, Local: to.Addr(), Remote: from}, b, len(b))
			return
		}
	}
}

func (p *simPeer) AppendDatagram(now time.Time, dst []byte) (b []byte, from, to netip.AddrPort, ok bool) {
	for {
		if len(p.out) == 0 {
			if !p.lazy {
				p.Poll()
			}
			if len(p.out) == 0 {
				return dst, from, to, false
			}
		}
		d := p.out[0]
		p.out = p.out[1:]
		if q := p.ports[d.r.Sock]; q != nil {
			return append(dst, d.b...), q.addr, d.r.Remote, true
		}
	}
}

func (p *simPeer) Advance(now time.Time) { p.transport().fire() }

func (p *simPeer) NextTimeout() time.Time {
	q := p.transport()
	p.Conn.mu.Lock()
	queued := p.queue.len()
	p.Conn.mu.Unlock()
	q.mu.Lock()
	defer q.mu.Unlock()
	if !p.lazy && (queued > 0 || q.events.len() > 0) || len(p.out) > 0 {
		return p.world.Now() // the program polls all the time
	}
	if q.closed {
		return time.Time{}
	}
	return q.core.nextTimeout()
}

// until runs the world until f is true, for at most limit.
func until(t testing.TB, w *simnet.World, limit time.Duration, what string, f func() bool) {
	t.Helper()
	ok, err := w.Run(limit, f)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		t.Fatalf("seed %d: not within %v: %s", w.Seed(), limit, what)
	}
}

// TestOneMessage sends one message between two ends.
func TestOneMessage(t *testing.T) {
	w := simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	a, b := newSimPair(t, w, Config{})
	ch, err := a.CreateDataChannel("greetings", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got *DataChannel
	b.OnDataChannelReceived(func(d *DataChannel) { got = d })
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "both channels are open", func() bool {
		return ch.ReadyState() == ChannelStateOpen && got != nil
	})
	if err := ch.PutPacket([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	until(t, w, time.Second, "the packet arrives", func() bool { return got.AvailablePacketCount() == 1 })
	if p, err := got.GetPacket(); err != nil || string(p) != "hello" {
		t.Fatalf("GetPacket: %q, %v", p, err)
	}
	if a.ConnectionState() != StateConnected || b.ConnectionState() != StateConnected {
		t.Errorf("states %v and %v", a.ConnectionState(), b.ConnectionState())
	}
	t.Logf("open after %v of virtual time", w.Now().Sub(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	b.Close()
	until(t, w, time.Second, "the close is seen", func() bool { return a.ConnectionState() == StateClosed && ch.ReadyState() == ChannelStateClosed })
}
