package ice

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

// TestTrace checks what an agent reports of its candidates and checks.
func TestTrace(t *testing.T) {
	w := newWorld(t, 1)
	var events []TraceEvent
	a := w.peer("a", Config{Controlling: true, Trace: func(now time.Time, e TraceEvent) {
		if now != w.now {
			t.Errorf("event %v at %v, want %v", e.Kind, now, w.now)
		}
		events = append(events, e)
	}}, "192.0.2.1:1000")
	b := w.peer("b", Config{}, "192.0.2.2:2000")
	w.connect(a, b)
	if !w.run(time.Second, both(a, b, StateCompleted)) {
		t.Fatalf("a %v, b %v", a.State(), b.State())
	}
	find := func(kind TraceKind) *TraceEvent {
		t.Helper()
		for i := range events {
			if events[i].Kind == kind {
				e := events[i]
				events = append(events[:i:i], events[i+1:]...)
				return &e
			}
		}
		t.Fatalf("no event %d in %+v", kind, events)
		return nil
	}
	local, remote := netip.MustParseAddrPort("192.0.2.1:1000"), netip.MustParseAddrPort("192.0.2.2:2000")
	if e := find(TraceRemoteCandidate); e.Remote != remote || e.RemoteType != Host || e.TCP {
		t.Errorf("remote candidate %+v", e)
	}
	if e := find(TraceCheckSent); e.Local != local || e.Remote != remote || e.LocalType != Host || e.Again || e.Consent || e.Nominates {
		t.Errorf("first check %+v", e)
	}
	if e := find(TraceCheckSent); !e.Nominates {
		t.Errorf("second check %+v does not nominate", e)
	}
	if e := find(TraceCheckReceived); e.Remote != remote || e.Nominates {
		t.Errorf("check of the remote %+v", e)
	}
	if e := find(TraceCheckAnswered); e.RTT != 2*w.delay || e.Nominates {
		t.Errorf("answer %+v", e)
	}
	if err := a.AddRemote(w.now, Candidate{Component: 2, Addr: remote}); !errors.Is(err, ErrUnusable) {
		t.Fatal(err)
	}
	if e := find(TraceRemoteDropped); e.Err != errComponent || e.Text == "" {
		t.Errorf("dropped candidate %+v", e)
	}
	events = nil
	w.run(10*time.Second, nil)
	if e := find(TraceCheckSent); !e.Consent {
		t.Errorf("consent request %+v", e)
	}
	w.loss = 1
	w.run(time.Minute, nil)
	if e := find(TraceCheckFailed); e.Err != ErrConsentExpired || e.Remote != remote {
		t.Errorf("failed check %+v", e)
	}
}
