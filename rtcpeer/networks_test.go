package rtcpeer

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
	"purertc/stun"
)

// A simSTUN is a STUN server on a simulated network.
type simSTUN struct{ out []simLetter }

type simLetter struct {
	from, to netip.AddrPort
	b        []byte
}

var (
	stunServer  = netip.MustParseAddrPort("203.0.113.1:3478")
	stunServer6 = netip.MustParseAddrPort("[2001:db8:53::1]:3478")
	withSTUN    = Config{ICEServers: []ICEServer{{URLs: []string{"stun:203.0.113.1", "stun:[2001:db8:53::1]"}}}}
)

func (s *simSTUN) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	m, err := stun.Parse(b)
	if err != nil || m.Type() != stun.BindingRequest {
		return
	}
	w := stun.Build(nil, stun.BindingSuccess, m.TransactionID())
	w.XORAddr(stun.AttrXORMappedAddress, remote)
	w.Fingerprint()
	s.out = append(s.out, simLetter{local, remote, w.Finish()})
}

func (s *simSTUN) AppendDatagram(now time.Time, dst []byte) (b []byte, local, remote netip.AddrPort, ok bool) {
	if len(s.out) == 0 {
		return dst, local, remote, false
	}
	l := s.out[0]
	s.out = s.out[1:]
	return append(dst, l.b...), l.from, l.to, true
}

func (s *simSTUN) Advance(now time.Time)  {}
func (s *simSTUN) NextTimeout() time.Time { return time.Time{} }

// newNATWorld returns a world with a delay of 20 ms and a STUN server.
func newNATWorld(seed uint64) *simnet.World {
	w := simnet.New(seed)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	w.Attach(&simSTUN{}, stunServer.Addr(), stunServer6.Addr())
	return w
}

// remoteType returns the type of the remote candidate that p sends data to.
func (p *simPeer) remoteType() ice.CandidateType {
	r, ok := p.transport().core.agent.Selected()
	if !ok {
		p.t.Fatal("no pair is selected")
	}
	if t, ok := p.other.told[r.Remote]; ok {
		return t
	}
	return ice.PeerReflexive // it was not signalled
}

// converse connects a to b and sends a message in each direction. how contains the
// types of the candidates by which each end sends to the other after nomination; "":
// the ends did not connect.
func converse(t testing.TB, w *simnet.World, a, b *simPeer) (how string, took time.Duration) {
	t.Helper()
	a.other, b.other = b, a
	start := w.Now()
	x, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var y *DataChannel
	b.OnDataChannelReceived(func(d *DataChannel) { y = d })
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	open := func() bool { return x.ReadyState() == ChannelStateOpen && y != nil }
	// The answerer receives nothing, and does not know whether the answer has arrived.
	// So its state need not be StateFailed.
	failed := func() bool { return a.ConnectionState() == StateFailed && b.ConnectionState() != StateConnected }
	until(t, w, 70*time.Second, "a channel, or failure", func() bool { return open() || failed() })
	took = w.Now().Sub(start)
	if failed() {
		return "", took
	}
	for _, d := range [][2]*DataChannel{{x, y}, {y, x}} {
		if err := d[0].PutPacket([]byte("over there")); err != nil {
			t.Fatal(err)
		}
		until(t, w, 2*time.Second, "a message", func() bool { return d[1].AvailablePacketCount() == 1 })
	}
	if _, err := w.Run(time.Second, nil); err != nil { // after this time nominations are complete
		t.Fatal(err)
	}
	return fmt.Sprintf("%v–%v", b.remoteType(), a.remoteType()), took
}

var natKinds = []simnet.NATKind{simnet.FullCone, simnet.Restricted, simnet.PortRestricted, simnet.Symmetric}

// connects reports whether RFC 8445 and the kinds of the NATs let two ends connect
// with a STUN server. Only a relay helps if neither end can predict the address that
// its datagrams come from, and the other end's NAT drops datagrams from unknown
// addresses.
func connects(a, b simnet.NATKind) bool {
	return !(a == simnet.Symmetric && b >= simnet.PortRestricted || b == simnet.Symmetric && a >= simnet.PortRestricted)
}

// TestNATs runs all combinations of NATs, with a STUN server and no relay.
func TestNATs(t *testing.T) {
	table := &strings.Builder{}
	fmt.Fprint(table, "| |")
	for _, k := range natKinds {
		fmt.Fprintf(table, " %v |", k)
	}
	fmt.Fprint(table, "\n| --- | --- | --- | --- | --- |\n")
	for i, ka := range natKinds {
		fmt.Fprintf(table, "| %v |", ka)
		for j, kb := range natKinds {
			w := newNATWorld(uint64(1 + 4*i + j))
			na := w.NAT(simnet.NATConfig{Kind: ka}, netip.MustParseAddr("198.51.100.1"))
			nb := w.NAT(simnet.NATConfig{Kind: kb}, netip.MustParseAddr("198.51.100.2"))
			a := newSimPeerIn(t, w, na, withSTUN, "192.168.0.2")
			b := newSimPeerIn(t, w, nb, withSTUN, "192.168.0.2")
			how, took := converse(t, w, a, b)
			if connects(ka, kb) != (how != "") {
				t.Errorf("%v with %v: %q", ka, kb, how)
			}
			switch {
			case how == "":
				how = "relay only"
				if took > 60*time.Second {
					t.Errorf("%v with %v: failed after %v only", ka, kb, took)
				}
			case took > 1500*time.Millisecond:
				t.Errorf("%v with %v: took %v", ka, kb, took)
			}
			fmt.Fprintf(table, " %s |", how)
			a.Close()
			b.Close()
		}
		fmt.Fprintln(table)
	}
	t.Logf("rows: the end that offers; in a cell its candidate, then the other's\n%s", table)
	if doc, err := os.ReadFile("NETWORKS.md"); err != nil || !strings.Contains(string(doc), table.String()) {
		t.Errorf("NETWORKS.md does not have this table (%v)", err)
	}
}

// Networks with other structures than one NAT for each end.
func TestNetworks(t *testing.T) {
	carrierAddr, outer1, outer2 := netip.MustParseAddr("198.51.100.1"), netip.MustParseAddr("100.64.0.1"), netip.MustParseAddr("100.64.0.2")
	tests := []struct {
		name  string
		place func(w *simnet.World) (a, b simNetwork)
		addrs [2]string
		how   string
	}{
		{
			name: "no NAT", addrs: [2]string{"198.51.100.7", "198.51.100.8"}, how: "host–host",
			place: func(w *simnet.World) (a, b simNetwork) { return w, w },
		},
		{
			name: "a public server and a symmetric NAT", addrs: [2]string{"198.51.100.7", "192.168.0.2"}, how: "host–prflx",
			place: func(w *simnet.World) (a, b simNetwork) {
				return w, w.NAT(simnet.NATConfig{Kind: simnet.Symmetric}, carrierAddr)
			},
		},
		{
			name: "both behind one NAT", addrs: [2]string{"192.168.0.2", "192.168.0.3"}, how: "host–host",
			place: func(w *simnet.World) (a, b simNetwork) {
				n := w.NAT(simnet.NATConfig{Kind: simnet.Symmetric}, carrierAddr)
				return n, n
			},
		},
		{
			name: "double NAT with hairpin", addrs: [2]string{"192.168.0.2", "192.168.0.2"}, how: "srflx–srflx",
			place: func(w *simnet.World) (a, b simNetwork) {
				n := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted, Hairpin: true}, carrierAddr)
				return n.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, outer1), n.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, outer2)
			},
		},
		{
			name: "double NAT without hairpin", addrs: [2]string{"192.168.0.2", "192.168.0.2"}, how: "",
			place: func(w *simnet.World) (a, b simNetwork) {
				n := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, carrierAddr)
				return n.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, outer1), n.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, outer2)
			},
		},
		{
			name: "double NAT and a port-restricted one", addrs: [2]string{"192.168.0.2", "192.168.0.2"}, how: "srflx–srflx",
			place: func(w *simnet.World) (a, b simNetwork) {
				n := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, carrierAddr)
				return n.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, outer1), w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, netip.MustParseAddr("198.51.100.2"))
			},
		},
		{
			name: "UDP blocked", addrs: [2]string{"192.168.0.2", "198.51.100.8"}, how: "",
			place: func(w *simnet.World) (a, b simNetwork) {
				return w.NAT(simnet.NATConfig{Kind: simnet.Blocked}, carrierAddr), w
			},
		},
		{
			name: "IPv6 only, firewalls at both ends", addrs: [2]string{"2001:db8:1::2", "2001:db8:2::2"}, how: "host–host",
			place: func(w *simnet.World) (a, b simNetwork) {
				fa := w.NAT(simnet.NATConfig{Kind: simnet.Firewall}, netip.MustParseAddr("2001:db8:1::1"))
				return fa, w.NAT(simnet.NATConfig{Kind: simnet.Firewall}, netip.MustParseAddr("2001:db8:2::1"))
			},
		},
		{
			name: "IPv6 and IPv4 have no way to each other", addrs: [2]string{"2001:db8:1::2", "198.51.100.8"}, how: "",
			place: func(w *simnet.World) (a, b simNetwork) { return w, w },
		},
	}
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newNATWorld(uint64(100 + i))
			inA, inB := tt.place(w)
			a, b := newSimPeerIn(t, w, inA, withSTUN, tt.addrs[0]), newSimPeerIn(t, w, inB, withSTUN, tt.addrs[1])
			if how, took := converse(t, w, a, b); how != tt.how {
				t.Errorf("connected by %q after %v, want %q", how, took, tt.how)
			}
			a.Close()
			b.Close()
		})
	}
}

// A path with an MTU of 1280 bytes, the minimum of IPv6, loses no packet because of
// its length.
func TestMTU1280(t *testing.T) {
	w := newNATWorld(1)
	w.Default.MTU = 1280 - 40 - 8
	a, b := newSimPeer(t, w, withSTUN, "2001:db8:1::2"), newSimPeer(t, w, withSTUN, "2001:db8:2::2")
	a.other, b.other = b, a
	const size = 200_000
	x, err := a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "the channel", func() bool {
		return x.ReadyState() == ChannelStateOpen && y.ReadyState() == ChannelStateOpen
	})
	for _, d := range [][2]*DataChannel{{x, y}, {y, x}} {
		if err := d[0].PutPacket(make([]byte, size)); err != nil {
			t.Fatal(err)
		}
		until(t, w, 10*time.Second, "a long message", func() bool { return d[1].AvailablePacketCount() == 1 })
	}
	for _, p := range [][2]*simPeer{{a, b}, {b, a}} {
		if s := w.Path(p[0].addrs[0], p[1].addrs[0]).Stats; s.TooLong > 0 || s.Delivered < size/1280 {
			t.Errorf("%d of %d datagrams were too long", s.TooLong, s.Sent)
		}
	}
}

// A NAT that loses its bindings, for example by a reboot, gives the end another
// address, and the connection continues with it. The same happens if bindings expire
// sooner than RFC 4787 requires.
func TestNATReboot(t *testing.T) {
	for _, kind := range natKinds {
		t.Run(kind.String(), func(t *testing.T) {
			w := newNATWorld(uint64(kind))
			n := w.NAT(simnet.NATConfig{Kind: kind, Timeout: 20 * time.Second}, netip.MustParseAddr("198.51.100.1"))
			a := newSimPeerIn(t, w, n, withSTUN, "192.168.0.2")
			b := newSimPeer(t, w, withSTUN, "198.51.100.8")
			if how, _ := converse(t, w, a, b); how == "" {
				t.Fatal("no connection")
			}
			if _, err := w.Run(5*time.Minute, nil); err != nil { // the connection is idle: consent requests keep the binding
				t.Fatal(err)
			}
			if n.Stats.Expired > 4 || b.ConnectionState() != StateConnected {
				t.Errorf("%d bindings expired; %v", n.Stats.Expired, b.ConnectionState())
			}
			n.Reboot()
			x, err := b.OpenDataChannel("after", ChannelOptions{})
			if err != nil {
				t.Fatal(err)
			}
			until(t, w, 20*time.Second, "a channel after the reboot", func() bool { return x.ReadyState() == ChannelStateOpen })
			a.Close()
			b.Close()
		})
	}
}

// In TestNewAddressIsFollowed a NAT loses its mappings while data flows. The remote's new
// address is checked at its first authenticated data, not at its next check, 400 ms
// later in virtual time.
func TestNewAddressIsFollowed(t *testing.T) {
	w := newNATWorld(1)
	n := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, netip.MustParseAddr("198.51.100.1"))
	a := newSimPeerIn(t, w, n, withSTUN, "192.168.0.2")
	b := newSimPeer(t, w, withSTUN, "198.51.100.8")
	defer a.Close()
	defer b.Close()
	if how, _ := converse(t, w, a, b); how == "" {
		t.Fatal("no connection")
	}
	x, err := a.OpenDataChannel("after", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	until(t, w, 2*time.Second, "a channel", func() bool { return x.ReadyState() == ChannelStateOpen })
	if _, err := w.Run(time.Second, nil); err != nil {
		t.Fatal(err)
	}
	before, _ := b.transport().core.agent.Selected()
	n.Reboot()
	var tick func()
	tick = func() {
		x.PutPacket([]byte("here"))
		w.After(10*time.Millisecond, tick)
	}
	tick()
	until(t, w, 200*time.Millisecond, "the other address", func() bool {
		r, _ := b.transport().core.agent.Selected()
		return r != before
	})
}
