package ice

import (
	"net/netip"
	"testing"
	"time"

	"purertc/stun"
)

// alone returns an agent, and a function that passes a datagram of an unknown host to
// the agent and returns the responses.
func alone(t *testing.T) (a *Agent, ask func(b []byte) []stun.Message) {
	now := time.Unix(1000, 0)
	a = NewAgent(Config{Ufrag: "usus", Pwd: "0123456789012345678901", Rand: seeded(1)})
	a.AddLocal(now, Local{Addr: netip.MustParseAddrPort("192.0.2.1:1000")})
	r := Route{Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddrPort("192.0.2.66:666")}
	return a, func(b []byte) (got []stun.Message) {
		a.HandleDatagram(now, r, b)
		for {
			out, to, ok := a.AppendDatagram(now, nil)
			if !ok {
				return got
			}
			m, err := stun.Parse(out)
			if err != nil {
				t.Fatal(err)
			}
			bare := !m.Has(stun.AttrMessageIntegrity)
			if len(out) > len(b)+8 || bare && len(out) > len(b) || to.Remote != r.Remote {
				t.Errorf("%d bytes to %v for %d", len(out), to.Remote, len(b))
			}
			got = append(got, m)
		}
	}
}

func check(username, pwd string, more func(w *stun.Builder)) []byte {
	w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{7})
	w.String(stun.AttrUsername, username)
	w.Uint32(stun.AttrPriority, 12345)
	if more != nil {
		more(&w)
	}
	w.Integrity(stun.NewIntegrity([]byte(pwd)))
	w.Fingerprint()
	return w.Finish()
}

const ourPwd = "0123456789012345678901"

func TestRequests(t *testing.T) {
	for _, tc := range []struct {
		name string
		b    []byte
		want stun.ErrorCode // 0: success; -1: no response
	}{
		{"good", check("usus:them", ourPwd, nil), 0},
		{"browsers' attributes", check("usus:them", ourPwd, func(w *stun.Builder) {
			w.Uint32(stun.AttrGoogNetworkInfo, 1)
			w.Uint32(stun.AttrNomination, 1)
			w.Bytes(stun.AttrDTLSInSTUN, make([]byte, 300))
			w.Flag(stun.AttrUseCandidate)
		}), 0},
		{"wrong password", check("usus:them", "x", nil), stun.CodeUnauthenticated},
		{"no integrity", func() []byte {
			w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{7})
			w.String(stun.AttrUsername, "usus:")
			return w.Finish()
		}(), -1},
		{"no integrity, but as long as an answer", func() []byte {
			w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{7})
			w.String(stun.AttrUsername, "usus:them")
			w.Bytes(stun.AttrSoftware, make([]byte, 12))
			return w.Finish()
		}(), stun.CodeUnauthenticated},
		{"another ufrag", check("none:them", ourPwd, nil), -1},
		{"no colon", check("usus", ourPwd, nil), -1},
		{"unknown attribute", check("usus:them", ourPwd, func(w *stun.Builder) { w.Flag(0x7777) }), stun.CodeUnknownAttribute},
		{"indication", indication(), -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, ask := alone(t)
			got := ask(tc.b)
			if tc.want < 0 {
				if len(got) != 0 {
					t.Errorf("answered %v", got[0].Type())
				}
				return
			}
			if len(got) != 1 {
				t.Fatalf("%d answers", len(got))
			}
			code, _, _ := got[0].ErrorCode()
			if code != tc.want {
				t.Errorf("error %d, want %d", code, tc.want)
			}
			signed := stun.NewIntegrity([]byte(ourPwd)).Verify(got[0])
			if signed != (tc.want != stun.CodeUnauthenticated) {
				t.Errorf("signed: %v", signed)
			}
			if (len(a.routes.permitted) == 1) != (tc.want == 0) {
				t.Errorf("routes %v", a.routes.permitted)
			}
		})
	}
}

func TestBounds(t *testing.T) {
	now := time.Unix(1000, 0)
	a := NewAgent(Config{Ufrag: "usus", Pwd: ourPwd, Rand: seeded(1)})
	a.AddLocal(now, Local{Addr: netip.MustParseAddrPort("192.0.2.1:1000")})
	flood := func() {
		for i := range 500 {
			r := Route{Local: netip.MustParseAddr("192.0.2.1"), Remote: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.66"), uint16(i+1))}
			a.HandleDatagram(now, r, check("usus:them", ourPwd, nil))
		}
	}
	flood()
	if len(a.cur.early) > maxEarly || a.out.responses > maxResponses || len(a.routes.permitted) > maxRoutes {
		t.Errorf("%d early checks, %d responses, %d routes", len(a.cur.early), a.out.responses, len(a.routes.permitted))
	}
	a.SetRemote(now, "them", "abcdefghijklmnopqrstuv", false)
	flood()
	for i := range 500 {
		a.AddRemote(now, Candidate{Component: 1, Transport: "udp", Addr: netip.AddrPortFrom(netip.MustParseAddr("192.0.2.67"), uint16(i+1))})
	}
	if len(a.cur.remotes) > maxRemotes || len(a.cur.pairs) > maxPairs || a.cur.prflx > maxRemotes/2 {
		t.Errorf("%d remotes, %d pairs, %d peer-reflexive", len(a.cur.remotes), len(a.cur.pairs), a.cur.prflx)
	}
	if len(a.events.list) > maxEvents {
		t.Errorf("%d events", len(a.events.list))
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	w.run(5*time.Second, nil)
	route, _ := a.Selected()
	back, _ := b.Selected()
	payload := []byte{22, 1, 2}
	if n := testing.AllocsPerRun(100, func() {
		if _, ok := a.HandleDatagram(w.now, route, payload); !ok {
			t.Fatal("payload is not given up")
		}
		if _, ok := a.BeginData(payload[:0]); !ok {
			t.Fatal("cannot send")
		}
		a.ExpectAnswer(w.now)
	}); n != 0 {
		t.Errorf("%v allocations a datagram of data", n)
	}
	buf := make([]byte, 0, 1500)
	rounds := 0
	if n := testing.AllocsPerRun(100, func() {
		w.now = w.now.Add(6 * time.Second)
		a.Advance(w.now)
		for range 2 {
			if q, _, ok := a.AppendDatagram(w.now, buf); ok {
				b.HandleDatagram(w.now, back, q)
				rounds++
			}
			if q, _, ok := b.AppendDatagram(w.now, buf); ok {
				a.HandleDatagram(w.now, route, q)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations a consent check", n)
	}
	if rounds < 100 || a.State() != StateCompleted {
		t.Errorf("%d rounds, %v", rounds, a.State())
	}
}

func FuzzHandleDatagram(f *testing.F) {
	f.Add(check("usus:them", ourPwd, nil), false)
	f.Add(check("usus:them", ourPwd, func(w *stun.Builder) { w.Flag(stun.AttrUseCandidate); w.Uint32(stun.AttrNomination, 7) }), false)
	f.Add([]byte{22, 254, 253}, true)
	f.Fuzz(func(t *testing.T, b []byte, mdns bool) {
		now := time.Unix(1000, 0)
		local := netip.MustParseAddrPort("192.0.2.1:1000")
		for _, lite := range []bool{false, true} {
			for _, tcp := range []TCPType{NotTCP, TCPPassive} {
				a := NewAgent(Config{Ufrag: "usus", Pwd: ourPwd, Rand: seeded(1), Lite: lite})
				a.AddLocal(now, Local{Addr: local, TCP: tcp, Name: "6c743ee3-d037-42a2-af41-09a905933251.local"})
				a.SetRemote(now, "them", "x", false)
				r := Route{Local: local.Addr(), Remote: netip.MustParseAddrPort("192.0.2.66:666")}
				if mdns {
					r.Sock = SockMDNS
				}
				if _, ok := a.HandleDatagram(now, r, b); ok {
					t.Error("payload without authentication")
				}
				for range 10 {
					a.AppendDatagram(now, nil)
				}
				a.RouteClosed(now, r, errRefused)
				if p := a.selected; p != nil && tcp != NotTCP {
					t.Error("a closed connection is selected")
				}
				a.Advance(now.Add(time.Minute))
			}
		}
	})
}

func indication() []byte {
	w := stun.Build(nil, stun.BindingIndication, stun.TransactionID{})
	return w.Finish()
}
