package sctp

import (
	"testing"
	"time"
)

// Data in flight on a path that died is retransmitted at once on the next path, whatever
// the timer. Nothing else is sent again.
func TestPathLost(t *testing.T) {
	s := newScript(t)
	s.a.PathLost(s.now)
	s.wantIdle("nothing was on its way")
	if s.a.Awaiting() {
		t.Error("nothing was sent, and an answer is awaited")
	}
	first := s.sendChunks(3)
	if !s.a.Awaiting() {
		t.Error("no answer is awaited")
	}
	for range 6 { // the timer backs off
		s.advanceToTimer()
		for {
			if _, ok := s.a.AppendPacket(s.now, nil, 1200); !ok {
				break
			}
		}
	}
	s.now = s.now.Add(time.Millisecond)
	s.wantIdle("it is the timer's turn")
	s.a.PathLost(s.now)
	s.wantTSN("at once", first)
	if wait := s.a.NextTimeout().Sub(s.now); wait > rtoInitial {
		t.Errorf("the next one waits %v", wait)
	}
	// The round-trip time is that of the new path.
	s.a.SetRTT(123 * time.Millisecond)
	if s.a.sender.rto.srtt != 123*time.Millisecond {
		t.Errorf("srtt %v", s.a.sender.rto.srtt)
	}
	s.write(sack(first+2, 1<<20))
	s.wantIdle("all there")
	if s.a.Awaiting() {
		t.Error("an answer is still awaited")
	}
}
