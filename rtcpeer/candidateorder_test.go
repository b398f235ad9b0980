package rtcpeer

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// A description that is created contains only the candidates that Poll has delivered
// to the program. The other candidates are delivered later, one by one.
func TestCandidatesOnce(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		b.remote(t, "offer", a.offered(t))
		b.local(t, "answer", b.next(t, "answer"))
		if err := b.CreateOffer(); err != nil { // the candidates still wait for Poll
			t.Fatal(err)
		}
		offer := b.next(t, "offer")
		if strings.Contains(offer, "a=candidate") || strings.Contains(offer, "end-of-candidates") || len(b.candidates) < 2 {
			t.Errorf("candidates %q are also in\n%s", b.candidates, offer)
		}
		if later := b.offered(t); strings.Count(later, "a=candidate") != len(b.candidates)-1 || !strings.Contains(later, "end-of-candidates") {
			t.Errorf("candidates %q are not in\n%s", b.candidates, later)
		}
	})
}

// TestCandidates adds candidates in all forms, candidates that come early, and
// candidates that belong to no description.
func TestCandidates(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		a, b := newDeaf(t, n, "10.0.0.1"), newDeaf(t, n, "10.0.0.2")
		for _, bad := range []string{"x", "candidate:x", "candidate:1 1 udp 1 10.0.0.1 99999 typ host", "candidate:1 1 udp 1 10.0.0.1 1 type host"} {
			if err := a.AddICECandidate("0", 0, bad); !errors.Is(err, ErrInvalidParameter) {
				t.Errorf("%q: %v", bad, err)
			}
		}
		// Candidates that cannot be used are dropped without an error.
		for _, name := range []string{
			"candidate:1 1 tcp 1 10.0.0.9 9 typ host tcptype active", "a=candidate:1 2 udp 1 10.0.0.9 9 typ host",
			"candidate:1 1 udp 1 nowhere.invalid 9 typ host", "1 1 udp 1 10.0.0.9 9 typ host",
		} {
			if err := a.AddICECandidate("0", 0, name); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if _, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
			t.Fatal(err)
		}
		offer := a.offered(t)
		a.local(t, "offer", offer)
		if a.GatheringState() != GatheringStateNew {
			t.Error("the gathering state shows before Poll")
		}
		a.Poll()
		if a.GatheringState() != GatheringStateComplete {
			t.Errorf("gathering state %v", a.GatheringState())
		}
		if len(a.candidates) != 2 || !strings.HasPrefix(a.candidates[0], "0 0 candidate:") || a.candidates[1] != "0 0 " ||
			!strings.Contains(a.candidates[0], " ufrag "+ufragOf(offer)) {
			t.Fatalf("candidates %q", a.candidates)
		}
		name := strings.SplitN(a.candidates[0], " ", 3)[2]
		// The candidates arrive before the offer, after candidates of another
		// generation.
		for i := range 3 * maxEarlyCandidates {
			if err := b.AddICECandidate("0", 0, fmt.Sprintf("candidate:1 1 udp 1 10.9.9.9 %d typ host ufrag other", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		if got := len(b.ext.(*stack).transport.remoteCandidates.early); got != maxEarlyCandidates {
			t.Errorf("%d candidates are kept", got)
		}
		if err := errors.Join(b.AddICECandidate("0", 0, "a="+name), b.AddICECandidate("0", 0, "")); err != nil {
			t.Fatal(err)
		}
		b.remote(t, "offer", offer)
		if err := b.AddICECandidate("nine", 0, name); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("candidate of a media section that is not there: %v", err)
		}
		answer := b.next(t, "answer")
		b.local(t, "answer", answer)
		a.remote(t, "answer", answer) // the answer contains no candidates
		waitFor(t, "connected by early candidates", func() bool {
			a.Poll()
			b.Poll()
			return a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
		})
		// Candidates may still be added, and the description is not parsed again for
		// them.
		if d := b.ext.(*stack).transport.neg.remote(); d.parsed != nil {
			t.Error("the description is kept parsed")
		} else if err := b.AddICECandidate("0", 0, name); err != nil || d.parsed != nil {
			t.Errorf("a late candidate: %v", err)
		}
		if err := b.AddICECandidate("nine", 0, name); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("late candidate of a media section that is not there: %v", err)
		}
		for _, end := range []string{"", "candidate:", "a=end-of-candidates"} {
			if err := a.AddICECandidate("0", 0, end); err != nil {
				t.Errorf("end of candidates %q: %v", end, err)
			}
		}
		// With other servers, gathering begins and ends again.
		var states []GatheringState
		a.OnStateChanged(func() { states = append(states, a.GatheringState()) })
		a.candidates = nil
		if err := a.SetICEServers([]ICEServer{{URLs: []string{"ftp:x"}}}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("SetICEServers: %v", err)
		}
		if err := a.SetICEServers(nil); err != nil {
			t.Fatal(err)
		}
		a.Poll()
		if len(states) != 2 || states[0] != GatheringStateGathering || states[1] != GatheringStateComplete || len(a.candidates) != 1 {
			t.Errorf("states %v, candidates %q", states, a.candidates)
		}
	})
}
