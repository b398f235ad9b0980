package sctp

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// kinds counts the kinds of trace events.
func kinds(events []TraceEvent) map[TraceKind]int {
	count := map[TraceKind]int{}
	for _, e := range events {
		count[e.Kind]++
	}
	return count
}

// TestTraceTransfer sends data over a path that loses every 50th packet, and compares the
// trace of the sender with the packets on the wire and with the counters.
func TestTraceTransfer(t *testing.T) {
	var events []TraceEvent
	var last time.Time
	cfg := Config{Trace: func(now time.Time, e TraceEvent) {
		if now.Before(last) {
			t.Errorf("event %v at %v follows one at %v", e.Kind, now, last)
		}
		last = now
		events = append(events, e)
	}}
	p := newPair(t, 1, cfg, Config{})
	p.connect()
	wire, wireBytes, lostOnWire := 0, 0, 0
	p.inspect = func(to int, pkt []byte) bool {
		if to != 1 {
			return true
		}
		wire++
		wireBytes += len(pkt)
		if wire%50 == 0 {
			lostOnWire++
			return false
		}
		return true
	}
	events = nil
	first := uint32(p.ends[0].sender.out.end)
	data := bytes.Repeat([]byte("x"), 500_000)
	for range 2 {
		p.send(0, 1, data[:250_000], SendOptions{})
	}
	p.run(10 * time.Second)
	if len(p.got[1]) != 2 {
		t.Fatalf("%d messages arrived", len(p.got[1]))
	}
	n := kinds(events)
	sent, sentBytes, fresh, again, lost := 0, 0, 0, 0, 0
	var metrics Metrics
	for _, e := range events {
		switch e.Kind {
		case TracePacketSent:
			sent++
			sentBytes += e.Size
			again += e.Retransmitted
			if e.Retransmitted == 0 {
				fresh += e.DataBytes
			}
			if e.DataChunks > 0 && (chunkTSN(e.FirstTSN).before(chunkTSN(first)) || chunkTSN(e.LastTSN).before(chunkTSN(e.FirstTSN))) {
				t.Errorf("packet with TSN %d to %d, the first is %d", e.FirstTSN, e.LastTSN, first)
			}
		case TracePacketReceived:
			if e.Chunks.HasSack() && (e.ReceiveWindow == 0 || chunkTSN(e.CumulativeTSN).before(chunkTSN(first-1))) {
				t.Errorf("SACK of TSN %d with window %d", e.CumulativeTSN, e.ReceiveWindow)
			}
		case TraceChunkLost:
			lost++
		case TraceMetrics:
			if e.Metrics == metrics {
				t.Error("metrics were reported without a change")
			}
			metrics = e.Metrics
		}
	}
	if sent != wire || sentBytes != wireBytes {
		t.Errorf("%d packets of %d bytes were reported, want %d of %d", sent, sentBytes, wire, wireBytes)
	}
	if c := p.ends[0].Stats(); again != int(c.ChunksRetransmitted) || n[TraceTimeout] != int(c.Timeouts+c.TailProbes) {
		t.Errorf("%d retransmissions and %d timeouts were reported, want %d and %d", again, n[TraceTimeout], c.ChunksRetransmitted, c.Timeouts+c.TailProbes)
	}
	if lost == 0 || lost > 2*lostOnWire || fresh > len(data) || n[TraceMetrics] == 0 || n[TraceMetrics] > n[TracePacketReceived] {
		t.Errorf("%d losses of %d, %d bytes sent for the first time of %d, %d metrics for %d packets", lost, lostOnWire, fresh, len(data), n[TraceMetrics], n[TracePacketReceived])
	}
	if metrics.BytesInFlight != 0 || metrics.SmoothedRTT != p.ends[0].Stats().SmoothedRTT {
		t.Errorf("the last metrics are %+v", metrics)
	}
}

// TestTraceStates checks the states and timers of an association that loses its first
// packet, and whose remote disappears.
func TestTraceStates(t *testing.T) {
	var states []State
	var timers []Timer
	cfg := Config{Trace: func(_ time.Time, e TraceEvent) {
		switch e.Kind {
		case TraceState:
			states = append(states, e.State)
		case TraceTimeout:
			timers = append(timers, e.Timer)
		}
	}}
	p := newPair(t, 1, cfg, Config{})
	lost := false
	p.inspect = func(to int, pkt []byte) bool {
		ok := lost || to != 1
		lost = true
		return ok
	}
	p.ends[0].Connect(p.now)
	p.run(5 * time.Second)
	p.inspect = func(int, []byte) bool { return false }
	p.send(0, 1, []byte("data"), SendOptions{})
	p.run(10 * time.Minute)
	if want := []State{StateCookieWait, StateCookieEchoed, StateEstablished, StateClosed}; !slices.Equal(states, want) {
		t.Errorf("states %v, want %v", states, want)
	}
	// Without a measured round trip there is no tail loss probe.
	if len(timers) < 3 || timers[0] != TimerHandshake || timers[1] != TimerRetransmission || timers[len(timers)-1] != TimerHeartbeat {
		t.Errorf("timers %v", timers)
	}
}

// TestTraceProbes checks that each path MTU probe has an outcome.
func TestTraceProbes(t *testing.T) {
	var outcomes []ProbeOutcome
	var sizes []int
	cfg := Config{Trace: func(_ time.Time, e TraceEvent) {
		if e.Kind == TraceProbe {
			outcomes, sizes = append(outcomes, e.Probe), append(sizes, e.Size)
		}
	}}
	p := newPair(t, 1, cfg, Config{})
	p.large = true
	p.inspect = func(to int, pkt []byte) bool { return len(pkt) <= 1460 }
	p.connect()
	p.ends[0].DiscoverPacketSize(300)
	for range 8 {
		p.send(0, 1, make([]byte, 200_000), SendOptions{})
	}
	p.run(30 * time.Second)
	want := []ProbeOutcome{ProbeSent, ProbeAnswered, ProbeSent, ProbeLost, ProbeSent, ProbeLost, ProbeSent, ProbeLost}
	if !slices.Equal(outcomes, want) {
		t.Fatalf("outcomes %v, want %v", outcomes, want)
	}
	if !slices.Equal(sizes[:2], []int{1452, 1452}) || !slices.Equal(sizes[2:], slices.Repeat([]int{1472}, 6)) {
		t.Errorf("sizes %v", sizes)
	}
}

// TestDescribeAnything checks that a trace of malformed packets does not fail, and that
// names of chunk types are complete.
func TestDescribeAnything(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		pkt := make([]byte, commonHeaderSize+rng.IntN(60))
		for i := range pkt {
			pkt[i] = byte(rng.Uint32())
		}
		if len(pkt) > 16 && rng.IntN(2) == 0 {
			pkt[12], pkt[14], pkt[15] = byte(rng.IntN(16)), 0, byte(4+rng.IntN(len(pkt)-16))
		}
		if e := describe(TracePacketReceived, pkt); e.Size != len(pkt) {
			t.Fatalf("size %d, want %d", e.Size, len(pkt))
		}
	}
	var names []string
	set := chunkBit(chunkSack) | chunkBit(chunkData) | chunkBit(99)
	set.Names(func(name string) { names = append(names, name) })
	if want := []string{"DATA", "SACK", "OTHER"}; !slices.Equal(names, want) {
		t.Errorf("names %v, want %v", names, want)
	}
	if Timer(99).String() != "invalid" || ProbeOutcome(99).String() != "invalid" {
		t.Error("unknown values have names")
	}
}

// TestTraceRenew checks that an association that begins again is still traced.
func TestTraceRenew(t *testing.T) {
	var states []State
	sent := 0
	cfg := Config{Trace: func(_ time.Time, e TraceEvent) {
		switch e.Kind {
		case TraceState:
			states = append(states, e.State)
		case TracePacketSent:
			sent++
		}
	}}
	p := newPair(t, 1, cfg, Config{})
	p.connect()
	states, sent = nil, 0
	for _, a := range p.ends {
		if !a.Renew(p.now) {
			t.Fatal("Renew has no effect")
		}
	}
	p.connect()
	if want := []State{StateClosed, StateCookieWait, StateCookieEchoed, StateEstablished}; !slices.Equal(states, want) || sent == 0 {
		t.Errorf("states %v and %d packets, want %v", states, sent, want)
	}
}
