package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func udpCandidate(addr string, priority uint32) Candidate {
	return Candidate{Foundation: "1", Component: 1, Transport: "udp", Addr: netip.MustParseAddrPort(addr), Priority: priority}
}

// Candidates that cannot work do not keep out a candidate that works, whatever kind
// they are and whenever the good candidate arrives.
func TestRoomForUsefulCandidates(t *testing.T) {
	const good = 2113937151
	for _, c := range []struct {
		name  string
		bad   func(n int) Candidate
		after time.Duration // when the good candidate arrives
	}{
		{"of a transport without bases", func(n int) Candidate {
			return Candidate{Foundation: "1", Component: 1, Transport: "tcp", TCPType: TCPPassive, Priority: good + 1,
				Addr: netip.MustParseAddrPort(fmt.Sprintf("172.17.0.%d:9", n))}
		}, 0},
		{"of a family without bases", func(n int) Candidate { return udpCandidate(fmt.Sprintf("[2001:db8::%d]:9", n), good+1) }, 0},
		{"of a lower priority", func(n int) Candidate { return udpCandidate(fmt.Sprintf("172.17.0.%d:9", n), good-1) }, 0},
		{"checked in vain for a while", func(n int) Candidate { return udpCandidate(fmt.Sprintf("172.17.0.%d:9", n), good+1) }, 8 * time.Second},
		{"checked in vain for long", func(n int) Candidate { return udpCandidate(fmt.Sprintf("172.17.0.%d:9", n), good+1) }, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 1)
			a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
			b := w.peer("b", Config{}, "192.0.2.2:2000")
			w.signal(a, b)
			w.signal(b, a)
			for n := range 4 * maxRemotes {
				a.AddRemote(w.now, c.bad(n%250+1))
			}
			w.run(c.after, nil)
			if err := a.AddRemote(w.now, udpCandidate("192.0.2.2:2000", good)); err != nil {
				t.Error(err)
			}
			if !w.run(5*time.Second, func() bool { return a.selected != nil }) {
				t.Errorf("a is %v", a.State())
			}
			r := a.Report()
			if len(r.Remote) > maxRemotes || len(r.Dropped) != maxDropped || r.DropCount < maxRemotes {
				t.Errorf("%d remote candidates, %d named as dropped of %d", len(r.Remote), len(r.Dropped), r.DropCount)
			}
			for _, d := range r.Dropped {
				if !errors.Is(d.Reason, ErrTooManyCandidates) || !strings.HasPrefix(d.Candidate, "candidate:") {
					t.Fatalf("%+v", d)
				}
			}
		})
	}
}

// A check from an unknown address also gets room: it shows that there is an agent at
// that address.
func TestRoomForReflexiveCandidate(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	for n := range maxRemotes {
		a.AddRemote(w.now, udpCandidate(fmt.Sprintf("[2001:db8::%d]:9", n), 1<<30))
	}
	b.AddRemote(w.now, a.Report().Local[0])
	w.signal(a, b)
	w.signal(b, a)
	if !w.run(5*time.Second, func() bool { return a.selected != nil }) {
		t.Errorf("a is %v", a.State())
	}
}

// The report contains every dropped candidate, with the reason.
func TestDroppedCandidatesAreReported(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.signal(b, a)
	want := map[string]error{
		"1 1 udp 1 turn.example.com 4000 typ host":        errName,
		"1 1 udp 1 name.local 0 typ host":                 errPort,
		"1 1 udp 1 name.local 7 typ host":                 errUnresolved,
		"1 2 udp 1 192.0.2.7 4000 typ host":               errComponent,
		"1 1 sctp 1 192.0.2.7 4000 typ host":              errTransport,
		"1 1 tcp 1 192.0.2.7 4000 typ host tcptype so":    errTransport,
		"1 1 udp 1 0.0.0.0 4000 typ host":                 errPort,
		"1 1 udp 1 192.0.2.7 4000 typ host ufrag unknown": errGeneration,
		"1 1 tcp 1 name.local 9 typ host tcptype active":  errActiveName,
	}
	for range 3 { // each candidate is listed once
		for line := range want {
			c, err := ParseCandidate(line)
			if err != nil {
				t.Fatal(err)
			}
			a.AddRemote(w.now, c)
		}
	}
	w.run(30*time.Second, nil)
	r := a.Report()
	if len(r.Dropped) != len(want) || r.DropCount != len(want) {
		t.Errorf("%d dropped of %d, want %d", len(r.Dropped), r.DropCount, len(want))
	}
	for line, reason := range want {
		if !slices.ContainsFunc(r.Dropped, func(d Dropped) bool { return d.Candidate == "candidate:"+line && d.Reason == reason }) {
			t.Errorf("%s is not reported as %v: %v", line, reason, r.Dropped)
		}
	}
}

// A peer with only loopback candidates is on this machine. It is reached from an
// address that is not a loopback address.
func TestLoopbackOnlyPeer(t *testing.T) {
	w := newWorld(t, 1)
	a := w.peer("a", Config{Controlling: true}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "127.0.0.1:2000")
	w.connect(a, b)
	if !w.run(5*time.Second, both(a, b, StateCompleted)) {
		t.Errorf("a %v, b %v", a.State(), b.State())
	}
}
