package sctp

import (
	"encoding/binary"
	"testing"
	"time"
)

// sendChunks sends n chunks, each in a packet of its own, one packet in a millisecond.
// It returns the TSN of the first chunk.
func (s *script) sendChunks(n int) chunkTSN {
	s.t.Helper()
	first := s.a.sender.out.end
	for range n {
		s.a.Send(s.now, Message{Data: make([]byte, 1170)}, SendOptions{})
		s.want("data", chunkData)
		s.now = s.now.Add(time.Millisecond)
	}
	return first
}

// wantTSN takes the next packet, which must begin with the chunk with this TSN.
func (s *script) wantTSN(why string, tsn chunkTSN) {
	s.t.Helper()
	if got := chunkTSN(binary.BigEndian.Uint32(s.want(why, chunkData))); got != tsn {
		s.t.Fatalf("%s: TSN %d, want %d", why, got, tsn)
	}
}

// A chunk that is lost several times is retransmitted each time that something sent
// later is acknowledged, without a timeout.
func TestLostManyTimes(t *testing.T) {
	s := newScript(t)
	first := s.sendChunks(4)
	s.now = s.now.Add(40 * time.Millisecond)
	s.write(sack(first-1, 1<<20, 2<<16|4))
	s.wantTSN("lost once", first)
	for n := range chunkTSN(5) {
		s.now = s.now.Add(time.Millisecond)
		s.a.Send(s.now, Message{Data: make([]byte, 1170)}, SendOptions{})
		s.wantTSN("new data", first+4+n)
		s.now = s.now.Add(50 * time.Millisecond)
		s.write(sack(first-1, 1<<20, 2<<16|uint32(5+n)))
		s.wantTSN("lost again", first)
	}
	if n := s.a.Stats().Timeouts; n != 0 {
		t.Errorf("%d timeouts", n)
	}
	if n := s.a.sender.out.at(first).retransmits; n != 6 {
		t.Errorf("%d retransmissions, want 6", n)
	}
}

// One loss in a window reduces the window once, gradually over a round trip.
func TestProportionalRateReduction(t *testing.T) {
	s := newScript(t)
	first := s.a.sender.out.end
	for range 100 {
		s.a.Send(s.now, Message{Data: make([]byte, 1170)}, SendOptions{})
	}
	drain := func() (n int) {
		for {
			if _, ok := s.a.AppendPacket(s.now, nil, 1200); !ok {
				return n
			}
			n++
		}
	}
	window := uint32(drain())
	s.now = s.now.Add(100 * time.Millisecond)
	s.write(sack(first-1, 1<<20, 2<<16|4))
	r := s.a.sender.cc.(*reno)
	if !r.recovering || r.ssthresh != initialWindow*1200/2 {
		t.Fatalf("recovering %v, ssthresh %d", r.recovering, r.ssthresh)
	}
	total := 0
	for n := uint32(5); n <= window; n++ {
		sent := drain()
		if total += sent; sent > 2 {
			t.Fatalf("%d packets for one acknowledged", sent)
		}
		s.now = s.now.Add(3 * time.Millisecond)
		s.write(sack(first-1, 1<<20, 2<<16|n))
	}
	if total < int(window)/3 || total > int(window)*2/3 {
		t.Errorf("%d packets sent in recovery, want half of %d", total, window)
	}
	s.now = s.now.Add(100 * time.Millisecond)
	s.write(sack(first+chunkTSN(window)-1, 1<<20))
	if s.a.sender.recovery.active || s.a.sender.cc.window() != r.ssthresh {
		t.Errorf("after recovery: window %d, want %d", s.a.sender.cc.window(), r.ssthresh)
	}
}

// If chunks that were declared lost had only arrived late, the window is restored, and
// later losses are declared only after the time that reordering may take.
func TestSpuriousRetransmissionIsUndone(t *testing.T) {
	for _, c := range []CongestionControl{CongestionReno, CongestionCubic, CongestionBBR} {
		s := newScript(t)
		s.a.sender.cc = c.newController(1200, 1)
		first := s.sendChunks(8)
		s.now = s.now.Add(100 * time.Millisecond)
		s.write(sack(first-1, 1<<20, 2<<16|3))
		cwnd := s.a.sender.cc.window()
		s.write(sack(first-1, 1<<20, 2<<16|6))
		s.wantTSN("declared lost", first)
		if c != CongestionBBR && s.a.sender.cc.window() >= cwnd {
			t.Errorf("%v: window %d, was %d", c, s.a.sender.cc.window(), cwnd)
		}
		s.now = s.now.Add(5 * time.Millisecond) // too soon for the retransmission
		s.write(sack(first+5, 1<<20))
		if got := s.a.sender.cc.window(); got < cwnd {
			t.Errorf("%v: window %d after undo, want %d", c, got, cwnd)
		}
		if s.a.Stats().SpuriousRecoveries != 1 || s.a.sender.recovery.active || !s.a.sender.recovery.reordering {
			t.Errorf("%v: %+v", c, s.a.sender.recovery)
		}
		// The same sequence follows once more: now the sender allows for reordering.
		s.want("the path may be shorter", chunkHeartbeat)
		first = s.a.sender.out.first
		s.write(sack(first, 1<<20))
		first = s.sendChunks(6)
		s.now = s.now.Add(94 * time.Millisecond)
		s.write(sack(first-1, 1<<20, 2<<16|6))
		s.wantIdle("reordering is waited for")
		if s.a.sender.reorder == 0 {
			t.Fatalf("%v: no timer", c)
		}
		s.advanceToTimer()
		s.wantTSN("waited long enough", first)
	}
}

// The last packets are lost. A tail loss probe shows the loss before the timer
// expires.
func TestTailLossProbe(t *testing.T) {
	s := newScript(t)
	first := s.sendChunks(1)
	s.now = s.now.Add(20 * time.Millisecond)
	s.write(sack(first, 1<<20))
	first = s.sendChunks(3)
	sent := s.now
	s.advanceToTimer()
	s.wantTSN("the last, as a probe", first+2)
	if d := s.now.Sub(sent); d > 60*time.Millisecond {
		t.Errorf("probe after %v", d)
	}
	s.wantIdle("one")
	s.now = s.now.Add(25 * time.Millisecond)
	s.write(sack(first-1, 1<<20, 3<<16|3))
	for s.a.sender.out.lost < 2 {
		s.advanceToTimer()
	}
	s.wantTSN("found by the probe", first)
	s.wantTSN("found by the probe", first+1)
	if st := s.a.Stats(); st.Timeouts != 0 || st.TailProbes != 1 {
		t.Errorf("%+v", st)
	}
}

// The path becomes shorter and loses everything in flight. The acknowledgement of a
// probe then arrives so soon that it is not taken for one of the last transmission. A
// HEARTBEAT measures the round trip, so that one probe is enough to find the other
// losses.
func TestProbeOnShorterPath(t *testing.T) {
	s := newScript(t)
	first := s.sendChunks(1)
	s.now = s.now.Add(100 * time.Millisecond)
	s.write(sack(first, 1<<20))
	first = s.sendChunks(6)
	s.advanceToTimer()
	s.wantTSN("the last, as a probe", first+5)
	s.now = s.now.Add(40 * time.Millisecond)
	s.write(sack(first-1, 1<<20, 6<<16|6))
	info := s.want("the round trip is measured", chunkHeartbeat)
	s.now = s.now.Add(40 * time.Millisecond)
	b, start := beginChunk(nil, chunkHeartbeatAck, 0)
	s.write(endChunk(append(b, info...), start))
	for probes := 1; s.a.sender.out.lost == 0; s.advanceToTimer() {
		pkt, ok := s.a.AppendPacket(s.now, nil, 1200)
		if !ok {
			continue
		}
		if probes++; probes > 2 {
			t.Fatal("the rest is not found lost")
		}
		c, _, _ := nextChunk(pkt[commonHeaderSize:])
		n := uint32(chunkTSN(binary.BigEndian.Uint32(c.body)) - first + 1)
		s.now = s.now.Add(40 * time.Millisecond)
		s.write(sack(first-1, 1<<20, n<<16|n, 6<<16|6))
	}
}

// However short the path, the probe after a single packet leaves the remote time for a
// delayed SACK and for its scheduler.
func TestProbeAwaitsDelayedSack(t *testing.T) {
	s := newScript(t)
	first := s.sendChunks(1)
	s.now = s.now.Add(100 * time.Microsecond)
	s.write(sack(first, 1<<20))
	s.a.Send(s.now, Message{Data: []byte("lone")}, SendOptions{})
	s.want("data", chunkData)
	sent := s.now
	s.advanceToTimer()
	s.want("the probe", chunkData)
	if d := s.now.Sub(sent); d < ackDelay+minProbeTimeout {
		t.Errorf("probe after %v", d)
	}
}

// While loss detection is suppressed, nothing is retransmitted until the next timeout.
func TestLossDetectionIsSuppressed(t *testing.T) {
	s := newScript(t)
	first := s.sendChunks(1)
	s.now = s.now.Add(20 * time.Millisecond)
	s.write(sack(first, 1<<20))
	s.sendChunks(1)
	if s.a.LossTimerDue(s.now) {
		t.Error("a timer is due at once")
	}
	for _, timer := range []*instant{&s.a.sender.probe, &s.a.sender.t3} {
		if *timer == 0 {
			t.Fatal("a timer is not set")
		}
		s.now = s.a.clock.time(*timer)
		if !s.a.LossTimerDue(s.now) {
			t.Error("no timer is due")
		}
		s.a.SuppressLossDetection(s.now)
		if s.a.LossTimerDue(s.now) {
			t.Error("a timer is due although loss detection is suppressed")
		}
		s.a.Advance(s.now)
		s.wantIdle("suppressed")
	}
	if d := s.a.clock.time(s.a.sender.t3).Sub(s.now); d != s.a.sender.rto.timeout(rtoMin) || s.a.sender.probe != 0 {
		t.Errorf("T3 in %v, probe at %v", d, s.a.sender.probe)
	}
	s.advanceToTimer()
	s.wantTSN("another timeout", first+1)
}

// A message that may not be retransmitted is not used as a probe.
func TestNoProbeOfLimitedMessages(t *testing.T) {
	s := newScript(t, byte(chunkForwardTSN))
	first := s.sendChunks(1)
	s.now = s.now.Add(20 * time.Millisecond)
	s.write(sack(first, 1<<20))
	s.a.Send(s.now, Message{Data: make([]byte, 100)}, SendOptions{LimitRetransmits: true})
	s.want("data", chunkData)
	s.advanceToTimer()
	s.wantIdle("nothing that may be sent")
	if s.a.sender.counters.MessagesAbandoned != 0 {
		t.Error("abandoned by a probe")
	}
}

// When a window of partially reliable messages is declared lost, the cost is in
// proportion to the number of messages.
func TestLimitedMessagesAreAbandonedOnce(t *testing.T) {
	s := newScript(t, byte(chunkForwardTSN))
	first := s.a.sender.out.end
	for range 20 {
		s.a.Send(s.now, Message{Data: make([]byte, 1170)}, SendOptions{LimitRetransmits: true})
		s.want("data", chunkData)
	}
	s.now = s.now.Add(30 * time.Millisecond)
	s.write(sack(first-1, 1<<20, 20<<16|20))
	s.advanceToTimer() // the last two packets may be reordered
	if s.a.sender.counters.MessagesAbandoned != 19 || len(s.a.sender.out.limited) != 0 {
		t.Errorf("%d abandoned, %d left to look at", s.a.sender.counters.MessagesAbandoned, len(s.a.sender.out.limited))
	}
	s.want("the remote is told to skip", chunkForwardTSN)
}

// A path becomes shorter during an outage, when everything was sent already.
// Acknowledgements arrive sooner than ever before, which must not keep the window at
// one packet.
func TestOutageShortensPath(t *testing.T) {
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		t.Run(c.String(), func(t *testing.T) {
			p := newPair(t, 1, Config{CongestionControl: c}, Config{})
			p.delay = 100 * time.Millisecond
			p.connect()
			p.run(time.Second)
			const count = 400
			for n := range count {
				p.send(0, 1, testMessage(1, n, 1000), SendOptions{})
			}
			p.run(450 * time.Millisecond)
			p.loss, p.delay = 1, 10*time.Millisecond
			p.run(3 * time.Second)
			left := count - len(p.got[1])
			p.loss = 0
			p.run(2 * time.Second)
			if left < 100 || len(p.got[1]) != count {
				t.Errorf("%d messages of the %d that were left are missing after 2 s, window %d", count-len(p.got[1]), left, p.ends[0].Stats().CongestionWindow)
			}
		})
	}
}
