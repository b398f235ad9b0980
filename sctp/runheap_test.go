package sctp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// newOpenRuns returns an association that has received the first fragment of as many
// messages as its window takes, with I-DATA.
func newOpenRuns(t testing.TB) *script {
	s := newScript(t, byte(chunkIData), byte(chunkIForwardTSN))
	for mid := uint32(0); s.a.memory.receiveWindow() > 40*(runOverhead+8); {
		var chunks [][]byte
		for range 40 {
			b, start := beginChunk(nil, chunkIData, flagBegin)
			b = appendInts(b, uint32(s.tsn), 1<<16, mid, 53)
			chunks = append(chunks, endChunk(append(b, 'x'), start))
			s.tsn++
			mid++
		}
		s.write(chunks...)
	}
	return s
}

// skip sends an I-FORWARD-TSN of one message of stream 1.
func (s *script) skip(mid uint32) {
	b, start := beginChunk(nil, chunkIForwardTSN, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(s.a.receiver.in.cum)+1)
	s.write(endChunk(appendInts(b, 1<<16, mid), start))
}

// Incomplete messages take no more memory than announced, and are skipped one by one.
func TestManyOpenMessages(t *testing.T) {
	s := newOpenRuns(t)
	r := &s.a.receiver.reassembly
	before := int(r.runs)
	if most := s.a.memory.Limit() / runOverhead; before > most || before < most/2 {
		t.Errorf("%d messages, at most %d", before, most)
	}
	for mid := range uint32(100) {
		s.skip(mid)
		if got := before - int(r.runs); got != int(mid)+1 {
			t.Fatalf("%d messages were dropped, not %d", got, mid+1)
		}
	}
	s.skip(1<<31 - 1)
	if r.runs != 0 || r.memory.partial != 0 {
		t.Errorf("%d messages are left, with a charge of %d", r.runs, r.memory.partial)
	}
}

// BenchmarkSkip measures what a hostile remote can cause with 28 bytes.
func BenchmarkSkip(b *testing.B) {
	s := newOpenRuns(b)
	mid := uint32(0)
	for b.Loop() {
		if s.skip(mid); s.a.receiver.reassembly.runs == 0 {
			b.StopTimer()
			s, mid = newOpenRuns(b), 0
			b.StartTimer()
		}
		mid++
	}
}

// The dropped messages are those that a walk over all of them finds.
func TestRunsAreDroppedAsNamed(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var r reassembly
		r.reset(newMemory(&Config{MaxMessageSize: 1 << 20}), seed%2 == 0, 1<<20)
		tsn := chunkTSN(0xffffff00)
		var live []*run
		for range 300 {
			tsn += chunkTSN(rng.IntN(3) + 1)
			f := fragment{stream: uint16(rng.IntN(3)), unordered: rng.IntN(3) == 0, seq: messageSeq(rng.IntN(40)), begin: rng.IntN(2) == 0, data: []byte{1}, interleaving: seed%2 == 0, pos: uint32(tsn)}
			r.mayKeep(f.stream)
			r.add(f)
			if r.hot.tail == &r.hot.segment && len(r.hot.segment.buf) == 1 {
				live = append(live, r.hot)
			}
			if rng.IntN(10) > 0 {
				continue
			}
			stream, unordered, seq, cum := uint16(rng.IntN(3)), rng.IntN(2) == 0, messageSeq(rng.IntN(40)), tsn-chunkTSN(rng.IntN(60))
			var want []*run
			for _, u := range live {
				named := u.first.stream == stream && u.first.unordered == unordered && !r.order.before(seq, u.first.seq)
				past := !r.order.interleaving && (chunkTSN(u.last.pos).before(cum) || !u.begin && !chunkTSN(u.first.pos).after(cum))
				if !named && !past {
					want = append(want, u)
				}
			}
			if !r.order.interleaving {
				r.skipTSN(cum)
			}
			r.dropRuns(stream, unordered, seq)
			charge := 0
			for _, u := range want {
				if charge += u.charge; u.charge == 0 {
					t.Fatalf("seed %d: a message was dropped that was not named", seed)
				}
			}
			if int(r.runs) != len(want) || r.memory.partial != charge {
				t.Fatalf("seed %d: %d runs of %d, charge %d of %d", seed, r.runs, len(want), r.memory.partial, charge)
			}
			live = want
		}
	}
}
