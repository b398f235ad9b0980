package rtcpeer

import (
	"errors"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
	"purertc/sctp"
)

// gatherAll returns the candidates that a connection with this configuration gathers,
// and its description.
func gatherAll(t *testing.T, cfg Config) (candidates []ice.Candidate, sdp string) {
	t.Helper()
	c := New()
	t.Cleanup(func() { c.Close() })
	if err := c.Initialize(cfg); err != nil {
		t.Fatal(err)
	}
	c.OnSessionDescriptionCreated(func(typ, text string) {
		if err := c.SetLocalDescription(typ, text); err != nil {
			t.Error(err)
		}
	})
	done := false
	c.OnICECandidateCreated(func(_ string, _ int, name string) {
		if name == "" {
			done = true
			return
		}
		p, err := ice.ParseCandidate(name)
		if err != nil {
			t.Errorf("%q: %v", name, err)
		}
		candidates = append(candidates, p)
	})
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	for start := time.Now(); !done; c.Poll() {
		if time.Since(start) > 10*time.Second {
			t.Fatal("gathering does not end")
		}
	}
	_, sdp = c.LocalDescription()
	return candidates, sdp
}

var loopback4 = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}

// Active TCP candidates are gathered in addition to UDP candidates, unless TCP is
// disabled.
func TestDisableTCP(t *testing.T) {
	got, _ := gatherAll(t, Config{LocalAddresses: loopback4})
	if len(got) != 2 || got[0].Transport != "udp" || got[1].TCPType != ice.TCPActive || got[1].Addr.Port() != 9 || got[1].Priority >= got[0].Priority {
		t.Errorf("%v", got)
	}
	got, _ = gatherAll(t, Config{LocalAddresses: loopback4, DisableTCP: true})
	if len(got) != 1 || got[0].Transport != "udp" {
		t.Errorf("%v", got)
	}
}

func TestPortRange(t *testing.T) {
	// The range consists of a free port and the next one. The first peer takes one of
	// the ports and the second peer the other. There is no port for a third peer.
	var first uint16
	for first = 20000; ; first += 2 { // below the range from which systems assign ports
		a, errA := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(first)})
		b, errB := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(first) + 1})
		if errA == nil {
			a.Close()
		}
		if errB == nil {
			b.Close()
		}
		if errA == nil && errB == nil {
			break
		}
	}
	cfg := Config{LocalAddresses: loopback4, MinPort: first, MaxPort: first + 1, DisableTCP: true}
	var ports []uint16
	for range 2 {
		got, _ := gatherAll(t, cfg)
		ports = append(ports, got[0].Addr.Port())
	}
	slices.Sort(ports)
	if !slices.Equal(ports, []uint16{first, first + 1}) {
		t.Errorf("ports %v, want %d and the next", ports, first)
	}
	n := privateNetwork{cfg: &Config{}, only: loopback4, first: first, last: first + 1}
	if _, _, err := n.open(nil, addressChoice{}); err == nil || !strings.Contains(err.Error(), "no port of") {
		t.Errorf("a third socket: %v", err)
	}
	for _, bad := range []Config{{MinPort: 2, MaxPort: 1}, {MinPort: 1}, {MaxPort: 1}, {IPFamily: 7}, {IPFamily: -1}} {
		if err := New().Initialize(bad); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestAddressChoice(t *testing.T) {
	names := map[netip.Addr]string{}
	var all []netip.Addr
	for _, s := range []string{"lo 127.0.0.1", "lo ::1", "eth0 10.0.0.1", "eth0 2001:db8::1", "docker0 172.17.0.1", "wlan0 192.168.1.2"} {
		name, addr, _ := strings.Cut(s, " ")
		a := netip.MustParseAddr(addr)
		names[a], all = name, append(all, a)
	}
	not := func(bad string) func(string) bool { return func(name string) bool { return name != bad } }
	for _, tt := range []struct {
		choice addressChoice
		want   string
	}{
		{addressChoice{}, "10.0.0.1 2001:db8::1 172.17.0.1 192.168.1.2"},
		{addressChoice{loopback: true}, "127.0.0.1 ::1 10.0.0.1 2001:db8::1 172.17.0.1 192.168.1.2"},
		{addressChoice{family: IPFamily4}, "10.0.0.1 172.17.0.1 192.168.1.2"},
		{addressChoice{family: IPFamily6}, "2001:db8::1"},
		{addressChoice{family: IPFamily6, wanted: not("eth0")}, "::1"}, // the only address on a machine without another interface
		{addressChoice{wanted: not("docker0")}, "10.0.0.1 2001:db8::1 192.168.1.2"},
		{addressChoice{family: IPFamily4, wanted: not("eth0"), loopback: true}, "127.0.0.1 172.17.0.1 192.168.1.2"},
	} {
		tt.choice.addresses = func() map[netip.Addr]string { return names }
		var got []string
		for _, a := range tt.choice.from(all) {
			got = append(got, a.String())
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %v, want %s", tt.choice, got, tt.want)
		}
	}
	// The addresses of this machine.
	seen := map[string]bool{}
	cfg := Config{IncludeLoopback: true, InterfaceFilter: func(name string) bool { seen[name] = true; return false }}
	if got, err := cfg.addressChoice().ofMachine(); err != nil || len(got) != 0 || len(seen) == 0 {
		t.Errorf("%v, %v; asked about %v", got, err, seen)
	}
}

// The public address of a 1:1 NAT is signalled in place of the local address, or in
// addition to it.
func TestPublicAddresses(t *testing.T) {
	public := netip.MustParseAddr("203.0.113.5")
	own := PublicAddress{Local: loopback4[0], Public: public}
	got, sdp := gatherAll(t, Config{LocalAddresses: loopback4, DisableTCP: true, PublicAddresses: []PublicAddress{own}})
	if len(got) != 1 || got[0].Addr.Addr() != public || got[0].Type != ice.Host || got[0].Related.IsValid() || strings.Contains(sdp, "candidate:1 1 udp 2130706431 127.0.0.1") {
		t.Errorf("in place: %v\n%s", got, sdp)
	}
	own.KeepLocal = true
	got, _ = gatherAll(t, Config{LocalAddresses: loopback4, DisableTCP: true, PublicAddresses: []PublicAddress{own}})
	if len(got) != 2 || got[0].Addr.Addr() != loopback4[0] || got[1].Type != ice.ServerReflexive || got[1].Addr != netip.AddrPortFrom(public, got[0].Addr.Port()) || got[1].Related != got[0].Addr {
		t.Errorf("beside: %v", got)
	}
	every := PublicAddress{Public: public}
	for local, want := range map[string]bool{"10.0.0.1": true, "127.0.0.1": false, "2001:db8::1": false, "169.254.1.1": false} {
		if every.matches(netip.MustParseAddr(local)) != want {
			t.Errorf("%s: %v", local, !want)
		}
	}
	for _, bad := range []PublicAddress{{}, {Public: netip.IPv4Unspecified()}, {Local: netip.MustParseAddr("::1"), Public: public}} {
		if err := New().Initialize(Config{PublicAddresses: []PublicAddress{bad}}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	// The ends connect by the private address nevertheless, because checks from it
	// make it known.
	realPairOf(t, Config{PublicAddresses: []PublicAddress{{Local: loopback4[0], Public: netip.MustParseAddr("192.0.2.77")}}, LocalAddresses: loopback4}, Config{LocalAddresses: loopback4})
}

// An ICE-lite answerer is the DTLS server, unless the offer demands the other role.
func TestICELiteRole(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		for _, test := range []struct{ offer, answer string }{{"actpass", "passive"}, {"active", "passive"}, {"passive", "active"}} {
			a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{ICELite: true})
			defer a.Close()
			defer b.Close()
			if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
				t.Fatal(err)
			}
			offer, err := a.Offer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			offer.SDP = strings.Replace(offer.SDP, "a=setup:actpass", "a=setup:"+test.offer, 1)
			answer, err := b.Answer(t.Context(), offer)
			if err != nil {
				t.Fatal(err)
			}
			if want := "a=setup:" + test.answer + "\r\n"; !strings.Contains(answer.SDP, want) {
				t.Errorf("the answer to %s has no %q:\n%s", test.offer, want, answer.SDP)
			}
		}
	})
}

// Either end may be ICE-lite, whichever end offers. If both ends are ICE-lite, an
// error says so.
func TestICELite(t *testing.T) {
	for i, cfg := range [][2]Config{{{ICELite: true}, {}}, {{}, {ICELite: true}}} {
		a, b, _, _ := realPairOf(t, cfg[0], cfg[1])
		lite, full := a, b
		if i == 1 {
			lite, full = b, a
		}
		if _, sdp := lite.LocalDescription(); !strings.Contains(sdp, "a=ice-lite\r\n") || strings.Contains(sdp, " tcp ") || strings.Contains(sdp, "srflx") {
			t.Errorf("a lite end's description:\n%s", sdp)
		}
		if r := full.Report(); !r.ICE.Controlling || lite.Report().ICE.Controlling {
			t.Errorf("the lite end controls")
		}
		sent, received := 0, 0
		for _, p := range lite.Report().ICE.Pairs {
			sent, received = sent+p.RequestsSent, received+p.RequestsReceived
		}
		if sent != 0 || received == 0 {
			t.Errorf("the lite end has sent %d checks, received %d", sent, received)
		}
		if err := lite.SetICEServers([]ICEServer{{URLs: []string{"stun:127.0.0.1"}}}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("a server for a lite end: %v", err)
		}
	}
	for _, bad := range []Config{
		{ICELite: true, ICEServers: []ICEServer{{URLs: []string{"stun:127.0.0.1"}}}}, {ICELite: true, ICETransportPolicy: ICETransportPolicyRelay},
	} {
		if err := New().Initialize(bad); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}

func TestBothICELite(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newMemConn(t, n, "10.0.0.1", Config{ICELite: true}), newMemConn(t, n, "10.0.0.2", Config{ICELite: true})
		signalTo(t, a, b)
		signalTo(t, b, a)
		a.CreateDataChannel("x", ChannelOptions{})
		a.CreateOffer()
		waitFor(t, "it fails", func() bool {
			a.Poll()
			b.Poll()
			return a.ConnectionState() == StateFailed
		})
		if r := a.Report(); !errors.Is(r.Err, ice.ErrBothLite) || !strings.Contains(r.String(), "both agents are ICE-lite") {
			t.Errorf("%v", r)
		}
		a.Close()
		b.Close()
	})
}

var mdnsName = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.local$`)

// A name replaces each address, for all transports. Nothing else in the descriptions
// reveals the address.
func TestMDNSCandidates(t *testing.T) {
	got, sdp := gatherAll(t, Config{LocalAddresses: loopback4, MDNSCandidates: true})
	if len(got) != 2 || !mdnsName.MatchString(got[0].Name) || got[0].Name != got[1].Name || got[0].Addr.Port() == 0 {
		t.Errorf("%v", got)
	}
	if again, _ := gatherAll(t, Config{LocalAddresses: loopback4, MDNSCandidates: true}); again[0].Name == got[0].Name {
		t.Error("two connections have one name")
	}
	for line := range strings.Lines(sdp) {
		if strings.Contains(line, "127.0.0.1") && !strings.HasPrefix(line, "o=") {
			t.Errorf("the description tells the address: %s", line)
		}
	}
}

// Two connections that signal only names connect.
func TestMDNSBothWays(t *testing.T) {
	u, err := acquireMDNS(&transport{closed: true})
	if err != nil {
		t.Skipf("no multicast here: %v", err)
	}
	u.release()
	for range 2 {
		hidden := Config{MDNSCandidates: true, DisableTCP: true}
		a, b, _, _ := realPairWithout(t, hidden, hidden, func(name string) bool { return name != "" && !strings.Contains(name, ".local ") })
		for _, c := range []*Conn{a, b} {
			if p := selectedPair(t, c); p.Local.Name == "" || !p.Local.Addr.Addr().IsValid() || p.Remote.Addr.Port() == 0 {
				t.Errorf("%v with %v", p.Local, p.Remote)
			}
		}
	}
}

// The configured congestion control is in use: on a path that loses packets at random,
// Reno transfers little.
func TestCongestionControl(t *testing.T) {
	received := map[sctp.CongestionControl]int{}
	for _, control := range []sctp.CongestionControl{sctp.CongestionBBR, sctp.CongestionCubic, sctp.CongestionReno} {
		w := newNATWorld(1)
		w.Default = simnet.Path{Delay: 25 * time.Millisecond, Loss: 0.02, Rate: 20e6, Queue: 125_000, MTU: 1472}
		a, b := newSimPair(t, w, Config{CongestionControl: control})
		l := newSimLoad(t, w, a, b)
		var fill func()
		fill = func() {
			for s := l.streams[0]; s.from.BufferedAmount() < 512<<10 && s.from.PutPacket(simMessage(s.sent)) == nil; {
				s.sent++
			}
			w.After(10*time.Millisecond, fill)
		}
		fill()
		until(t, w, time.Second, "some", func() bool { return l.streams[0].receive() == nil && l.streams[0].last > 0 })
		end := w.Now().Add(5 * time.Second)
		w.After(5*time.Second, func() {})
		l.until(6*time.Second, "five seconds", func() bool { return !w.Now().Before(end) })
		received[control] = int(l.streams[0].last)
		a.Close()
		b.Close()
	}
	t.Logf("messages by control: %v", received)
	if received[sctp.CongestionBBR] < 3*received[sctp.CongestionReno] || received[sctp.CongestionBBR] < 3*received[sctp.CongestionCubic] {
		t.Errorf("messages by control: %v", received)
	}
}
