package ice_test

import (
	"fmt"
	"net/netip"
	"time"

	"purertc/ice"
)

// ExampleAgent connects two agents in one program, without a network. The program
// carries the signalling and the datagrams, and provides the time.
func ExampleAgent() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	type end struct {
		agent  *ice.Agent
		addr   netip.AddrPort
		remote *end
	}
	a := &end{agent: ice.NewAgent(ice.Config{Controlling: true}), addr: netip.MustParseAddrPort("192.0.2.1:1000")}
	b := &end{agent: ice.NewAgent(ice.Config{}), addr: netip.MustParseAddrPort("192.0.2.2:2000")}
	a.remote, b.remote = b, a
	ends := []*end{a, b}

	// deliver passes a datagram that e sends on route r to the remote agent.
	deliver := func(e *end, r ice.Route, datagram []byte) {
		arrival := ice.Route{Sock: 0, Local: r.Remote.Addr(), Remote: e.addr}
		if payload, ok := e.remote.agent.HandleDatagram(now, arrival, datagram); ok {
			fmt.Printf("received %q from %v\n", payload, e.addr)
		}
	}

	for _, e := range ends {
		if err := e.agent.AddLocal(now, ice.Local{Sock: 0, Addr: e.addr}); err != nil {
			panic(err)
		}
		e.agent.EndOfLocal(now) // no other address and no server follows
		ufrag, pwd := e.agent.Credentials()
		e.remote.agent.SetRemote(now, ufrag, pwd, false) // signalling carries ufrag and pwd
	}
	connected := 0
	for connected < len(ends) {
		for _, e := range ends {
			for ev, ok := e.agent.NextEvent(); ok; ev, ok = e.agent.NextEvent() {
				switch {
				case ev.Kind == ice.EventCandidate: // signalling carries the candidate
					if err := e.remote.agent.AddRemote(now, ev.Candidate); err != nil {
						panic(err)
					}
				case ev.Kind == ice.EventState && ev.State == ice.StateConnected:
					connected++
				}
			}
			for d, r, ok := e.agent.AppendDatagram(now, nil); ok; d, r, ok = e.agent.AppendDatagram(now, nil) {
				deliver(e, r, d)
			}
			e.agent.Advance(now)
		}
		now = now.Add(10 * time.Millisecond) // a program waits until NextTimeout
	}

	d, _ := a.agent.BeginData(nil) // the framing of a relay, if the pair has one
	d = append(d, "42"...)         // a DTLS record in WebRTC, whose first byte is 20 to 63 (RFC 7983)
	d, route := a.agent.FinishData(d, 0)
	deliver(a, route, d)
	// Output: received "42" from 192.0.2.1:1000
}
