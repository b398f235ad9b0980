package rtcpeer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
)

// Eight container bridges, each with an IPv4 and a link-local IPv6 address, come
// before the interface with the useful address. That address is chosen, and Report
// names the addresses that are left out.
func TestAddressesByUse(t *testing.T) {
	names := map[netip.Addr]string{}
	var all []netip.Addr
	add := func(name, addr string) netip.Addr {
		a := netip.MustParseAddr(addr)
		names[a], all = name, append(all, a)
		return a
	}
	for i := range 8 {
		add(fmt.Sprintf("br%d", i), fmt.Sprintf("172.%d.0.1", 17+i))
		add(fmt.Sprintf("br%d", i), fmt.Sprintf("fe80::%d%%br%d", i+1, i))
	}
	for i := range 20 {
		add("many", fmt.Sprintf("10.66.0.%d", i+1))
	}
	real := add("wg0", "10.77.0.1")
	second := add("wg0", "10.77.0.2")
	var left []netip.Addr
	choice := addressChoice{
		addresses: func() map[netip.Addr]string { return names },
		left: func(a netip.Addr, reason error) {
			if !errors.Is(reason, errTooManyAddresses) {
				t.Errorf("%v: %v", a, reason)
			}
			left = append(left, a)
		},
	}
	got := choice.from(all)
	if len(got) != maxLocalAddresses || !slices.Contains(got, real) || slices.ContainsFunc(got, netip.Addr.IsLinkLocalUnicast) {
		t.Errorf("without a default route: %v", got)
	}
	if len(got)+len(left) != len(all) {
		t.Errorf("%d chosen and %d left out of %d", len(got), len(left), len(all))
	}
	choice.routed = func() []netip.Addr { return []netip.Addr{real} }
	if got := choice.from(all); got[0] != real || got[1] != second {
		t.Errorf("with a default route: %v", got)
	}
}

// If an address appears when there are too many, and is more useful than another
// address, it replaces that address.
func TestUsefulAddressAppears(t *testing.T) {
	w := simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	var addrs []string
	for i := range maxLocalAddresses {
		addrs = append(addrs, fmt.Sprintf("169.254.0.%d", i+1))
	}
	a, b := newSimPeer(t, w, Config{}, addrs...), newSimPeer(t, w, Config{}, "10.0.0.2")
	a.other, b.other = b, a
	if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, time.Second, "gathered", func() bool { return a.GatheringState() == GatheringStateComplete })
	a.move(append(addrs, "10.0.0.1")...)
	until(t, w, time.Second, "the candidate", func() bool {
		return a.told[netip.MustParseAddrPort("10.0.0.1:5000")] == ice.Host && a.GatheringState() == GatheringStateComplete
	})
	r := a.Report()
	if len(r.ICE.Local) != maxLocalAddresses {
		t.Errorf("%d local candidates", len(r.ICE.Local))
	}
	if len(r.ICE.Dropped) != 1 || !r.ICE.Dropped[0].Local {
		t.Fatalf("dropped %v", r.ICE.Dropped)
	}
	// There is room again, and the address still exists: it is used, and Report does
	// not name it as left out any more.
	back := r.ICE.Dropped[0].Candidate
	a.move(append(slices.Clone(addrs[len(addrs)-2:]), back, "10.0.0.1")...)
	until(t, w, time.Second, "the address is back", func() bool {
		return slices.ContainsFunc(a.Report().ICE.Local, func(c ice.Candidate) bool { return c.Addr.Addr().String() == back })
	})
	if r := a.Report(); r.ICE.DropCount != 0 || len(r.ICE.Dropped) != 0 {
		t.Errorf("dropped %v", r.ICE.Dropped)
	}
}

// Report names the candidates of a description that are not used, with the reason.
// This includes candidates that cannot be parsed.
func TestReportNamesDroppedCandidates(t *testing.T) {
	w := simnet.New(1)
	a, b := newSimPair(t, w, Config{})
	var lines []string
	const bad = "a=candidate:1 1 udp 1 not/an/address 4000 typ host\r\n" +
		"a=candidate:1 1 udp 2130706431 turn.example.com 4000 typ host\r\n" +
		"a=candidate:0c9b4f00-7e1f-4cde-9a55-b94f9b6fd1ab 1 udp 2130706431 192.0.2.7 4000 typ host\r\n"
	a.OnSessionDescriptionCreated(func(typ, sdp string) {
		if err := errors.Join(a.SetLocalDescription(typ, sdp), b.SetRemoteDescription(typ, sdp+bad)); err != nil {
			t.Error(err)
		}
	})
	ch, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "open", func() bool { return ch.ReadyState() == ChannelStateOpen })
	r := b.Report()
	for _, d := range r.ICE.Dropped {
		lines = append(lines, d.Candidate)
	}
	if r.ICE.DropCount != 2 || !strings.Contains(lines[0], "not/an/address") || !strings.Contains(lines[1], "turn.example.com") {
		t.Errorf("dropped %q", lines)
	}
	if !slices.ContainsFunc(r.ICE.Remote, func(c ice.Candidate) bool { return c.Addr == netip.MustParseAddrPort("192.0.2.7:4000") }) {
		t.Errorf("a foundation of 36 characters is refused: %v", r.ICE.Remote)
	}
	for _, want := range []string{"2 candidates are not used", `remote "candidate:1 1 udp 2130706431 turn.example.com 4000 typ host": ice: candidate cannot be used: its name`} {
		if !strings.Contains(r.String(), want) {
			t.Errorf("no %q in\n%v", want, r)
		}
	}
}

// Gathering waits for a server that does not answer only for the configured time.
// Report names the server, and a late answer still leads to a candidate.
func TestGatherTimeout(t *testing.T) {
	for _, c := range []struct{ configured, want time.Duration }{{0, 10 * time.Second}, {3 * time.Second, 3 * time.Second}} {
		w := newNATWorld(1)
		n := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, netip.MustParseAddr("192.0.2.1"))
		cfg := withSTUN
		cfg.GatherTimeout = c.configured
		a := newSimPeerIn(t, w, n, cfg, "192.168.0.2")
		b := newSimPeer(t, w, Config{}, "198.51.100.7")
		a.other, b.other = b, a
		public := netip.MustParseAddr("192.0.2.1")
		w.Both(public, stunServer.Addr(), simnet.Path{Down: true})
		if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
			t.Fatal(err)
		}
		start := w.Now()
		if err := a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		until(t, w, time.Minute, "gathered", func() bool { return a.GatheringState() == GatheringStateComplete })
		if took := w.Now().Sub(start); took != c.want {
			t.Errorf("gathering took %v, want %v", took, c.want)
		}
		if s := a.Report().String(); !strings.Contains(s, "server stun:203.0.113.1: the server does not answer") {
			t.Error(s)
		}
		w.Both(public, stunServer.Addr(), simnet.Path{Delay: 10 * time.Millisecond})
		until(t, w, time.Minute, "the late candidate", func() bool {
			return slices.Contains(slices.Collect(func(yield func(ice.CandidateType) bool) {
				for _, typ := range a.told {
					if !yield(typ) {
						return
					}
				}
			}), ice.ServerReflexive)
		})
		until(t, w, time.Second, "complete again", func() bool { return a.GatheringState() == GatheringStateComplete })
		if s := a.Report().String(); strings.Contains(s, "server stun:203.0.113.1: the server does not answer") {
			t.Error(s)
		}
	}
}

func TestWhatConfigRefuses(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		says string
	}{
		{Config{LocalAddresses: []netip.Addr{netip.IPv4Unspecified()}}, "leave them empty for all"},
		{Config{LocalAddresses: []netip.Addr{netip.IPv6Unspecified()}}, "leave them empty for all"},
		{Config{LocalAddresses: []netip.Addr{{}}}, "not an address to bind to"},
		{Config{LocalAddresses: []netip.Addr{netip.MustParseAddr("224.0.0.1")}}, "not an address to bind to"},
		{Config{GatherTimeout: -1}, "negative"},
		{Config{BusyPoll: -1}, "BusyPoll"},
		{Config{BusyPoll: 2 * time.Second}, "BusyPoll"},
		{Config{ICEServers: []ICEServer{{URLs: []string{"turn:2001:db8::1"}, Username: "u", Credential: "p"}}}, "in brackets: [2001:db8::1]"},
		{Config{ICEServers: []ICEServer{{URLs: []string{"stun:2001:db8::1:3478"}}}}, "in brackets"},
	} {
		if err := New().Initialize(c.cfg); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v, want %q", err, c.says)
		}
	}
}

// A Host for all addresses serves peers even if the system does not report the local
// address of a datagram.
func TestHostWithoutLocalAddresses(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: ":0", hideLocal: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	_, _, x, y := realPairOf(t, Config{}, Config{Host: h})
	transfer(t, x, y)
	transfer(t, y, x)
}

// The cost of a trickled candidate does not depend on the length of the description,
// because the description is not parsed again.
func TestCandidateDoesNotReadTheDescription(t *testing.T) {
	w := simnet.New(1)
	a, b := newSimPair(t, w, Config{})
	ch, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "open", func() bool { return ch.ReadyState() == ChannelStateOpen })
	d := b.transport().neg.remote()
	d.text, d.parsed = "", nil // if the code parsed either of these, it would find no section
	if err := b.AddICECandidate("0", 0, "candidate:1 1 udp 1 192.0.2.7 4000 typ host"); err != nil {
		t.Error(err)
	}
	if err := b.AddICECandidate("1", 0, "candidate:1 1 udp 1 192.0.2.7 4000 typ host"); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("of a section that there is not: %v", err)
	}
}
