package sctp

import (
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
)

// iData returns an I-DATA chunk of the remote.
func (s *script) iData(stream uint16, mid, fsn uint32, flags byte, data []byte) []byte {
	b, start := beginChunk(nil, chunkIData, flags)
	b = appendInts(b, uint32(s.tsn), uint32(stream)<<16, mid, fsn)
	s.tsn++
	return endChunk(append(b, data...), start)
}

// writeAll hands packets of these chunks to the association, and discards what it sends.
func (s *script) writeAll(chunks [][]byte) {
	var pkt [][]byte
	size := 0
	for i, c := range chunks {
		if pkt, size = append(pkt, c), size+len(c); size > 1100 || i == len(chunks)-1 {
			s.write(pkt...)
			s.drop()
			pkt, size = nil, 0
		}
	}
}

// drop discards what the association sends, and returns its length.
func (s *script) drop() (n int) {
	buf := make([]byte, 0, 2048)
	for {
		pkt, ok := s.a.AppendPacket(s.now, buf, 1200)
		if !ok {
			return n
		}
		n += len(pkt)
	}
}

// heap returns the size of the live objects in bytes.
func heap() int {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Everything that a remote makes an association store is charged. The stored data
// takes no more memory than the limit, and about as much as is charged.
func TestMemoryIsCharged(t *testing.T) {
	interleaving := []byte{byte(chunkIData), byte(chunkIForwardTSN)}
	for _, test := range []struct {
		name   string
		ext    []byte
		attack func(s *script)
	}{
		{"messages that are begun, after a long one", interleaving, func(s *script) {
			const size = defaultMaxMessageSize
			var long [][]byte
			for off, fsn := 0, uint32(0); off < size; off, fsn = off+1024, fsn+1 {
				flags := byte(flagUnordered)
				if off == 0 {
					flags |= flagBegin
				}
				if off+1024 == size {
					flags |= flagEnd
				}
				long = append(long, s.iData(1, 0, fsn, flags, make([]byte, 1024)))
			}
			s.writeAll(long)
			m, ok := s.a.Receive()
			if !ok {
				s.t.Fatal("the long message did not come")
			}
			s.a.Release(s.now, len(m.Data))
			for k := range 1020 {
				s.writeAll([][]byte{s.iData(uint16(3+k), 0, 53, flagUnordered|flagBegin, []byte{1})})
			}
		}},
		{"a fragment on each stream", interleaving, func(s *script) {
			for k := 0; k < maxStreams && s.a.Memory().Used() < s.a.Memory().Limit()*9/10; k++ {
				s.writeAll([][]byte{s.iData(uint16(k), 0, 53, flagBegin, []byte{1})})
			}
		}},
		{"fragments of one message with gaps", nil, func(s *script) {
			for range 40000 {
				s.tsn++
				s.writeAll([][]byte{s.data(1, 0, 0)})
			}
		}},
		{"a FORWARD TSN of each stream", []byte{byte(chunkForwardTSN)}, func(s *script) {
			for first := 0; first < maxStreams; first += 15000 {
				b, start := beginChunk(nil, chunkForwardTSN, 0)
				b = appendInts(b, uint32(s.tsn))
				s.tsn++
				for id := first; id < min(first+15000, maxStreams); id++ {
					b = appendInts(b, uint32(id)<<16|1)
				}
				s.write(endChunk(b, start))
				s.drop()
			}
		}},
		{"messages of one byte", nil, func(s *script) {
			for n := range 60000 {
				c := s.data(1, uint16(n), flagBegin|flagEnd)
				s.writeAll([][]byte{c})
			}
		}},
		{"messages that wait for another, and leave one behind", interleaving, func(s *script) {
			for stream := range uint16(100) {
				chunks := [][]byte{s.iData(stream, 10000, 53, flagBegin|flagEnd, []byte{1})}
				for mid := range uint32(2000) {
					chunks = append(chunks, s.iData(stream, mid+1, 53, flagBegin|flagEnd, []byte{1}))
				}
				s.writeAll(chunks)
				b, start := beginChunk(nil, chunkIForwardTSN, 0)
				s.tsn++
				s.write(endChunk(appendInts(b, uint32(s.tsn-1), uint32(stream)<<16, 5000), start))
				s.drop()
				for {
					m, ok := s.a.Receive()
					if !ok {
						break
					}
					s.a.Release(s.now, len(m.Data))
				}
			}
		}},
		{"resets whose events are not taken", []byte{byte(chunkReconfig)}, func(s *script) {
			for seq := range uint32(20000) {
				b, start := beginChunk(nil, chunkReconfig, 0)
				s.write(endChunk(appendParam(b, paramOutgoingReset, appendInts(nil, 100+seq, 0, uint32(s.tsn)-1, 1<<16|2)), start))
				s.drop()
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScriptWith(t, Config{}, maxStreams, test.ext...)
			before := heap()
			test.attack(s)
			grown := heap() - before
			used, limit := s.a.Memory().Used(), s.a.Memory().Limit()
			t.Logf("%d bytes came, %d are kept, %d are charged, at most %d: %v", s.in, grown, used, limit, s.a.Err())
			if used > limit || grown > limit+1<<20 || grown > used+used/4+1<<20 {
				t.Errorf("%d bytes are kept, %d are charged, at most %d", grown, used, limit)
			}
			runtime.KeepAlive(s)
		})
	}
}

// sendMany makes the association send n chunks. The last ones stay in flight.
func (s *script) sendMany(n int) {
	s.t.Helper()
	for range n {
		if err := s.a.Send(s.now, Message{Data: make([]byte, 1170)}, SendOptions{}); err != nil {
			s.t.Fatal(err)
		}
	}
	for range 100 * n {
		s.drop()
		if s.a.sender.queue.messages == 0 {
			return
		}
		s.now = s.now.Add(50 * time.Millisecond)
		s.write(sack(s.a.sender.out.end-1, 1<<30))
	}
	s.t.Fatal("not all was sent")
}

// SACKs cause no retransmission of chunks that are not lost, even if they contradict
// each other (RFC 9260 §6.2.1 on reneging).
func TestSacksCauseNoRetransmission(t *testing.T) {
	for name, attack := range map[string]func(s *script, next, end chunkTSN) (out int){
		"a gap block of the next TSN": func(s *script, next, end chunkTSN) (out int) {
			for range 200 {
				s.write(sack(next-1, 1<<30, 1<<16|uint32(end-next)))
				out += s.drop()
			}
			return out
		},
		"acknowledged, and then not": func(s *script, next, end chunkTSN) (out int) {
			for n := next; n+4 < end; n++ {
				s.write(sack(n-1, 1<<30, 2<<16|uint32(end-n)))
				s.write(sack(n, 1<<30))
				out += s.drop()
			}
			return out
		},
	} {
		s := newScript(t)
		s.sendMany(2000)
		next, inFlight := s.a.sender.out.first, s.a.sender.out.len()
		before := s.a.sender.counters.ChunksRetransmitted
		s.in = 0
		out := attack(s, next, s.a.sender.out.end)
		t.Logf("%s: %d chunks are in flight, %d bytes came, %d were sent", name, inFlight, s.in, out)
		if n := s.a.sender.counters.ChunksRetransmitted - before; n > 2 || inFlight < 20 {
			t.Errorf("%s: %d chunks were sent again", name, n)
		}
	}
}

// If a remote drops data that it has acknowledged, the data is sent again once, after a
// timeout. The second time ends the association.
func TestRenegingIsBounded(t *testing.T) {
	s := newScript(t)
	s.sendMany(40)
	next, sent := s.a.sender.out.first, uint64(s.a.sender.out.len())
	before := s.a.sender.counters.ChunksRetransmitted
	for range 20 {
		if s.a.ended {
			break
		}
		s.write(sack(next-1, 1<<30, 2<<16|uint32(s.a.sender.out.end-next)))
		next++
		s.write(sack(next-1, 1<<30))
		for timeouts := s.a.sender.counters.Timeouts; s.a.sender.counters.Timeouts == timeouts && !s.a.ended; {
			s.advanceToTimer()
			if s.a.sender.counters.Timeouts == timeouts {
				s.drop()
			}
		}
		for s.drop() > 0 {
			s.write(sack(next-1, 1<<30, 2<<16|2))
		}
	}
	n := s.a.sender.counters.ChunksRetransmitted - before
	if !s.a.ended || n < sent/2 || n > 3*sent {
		t.Errorf("%d chunks of %d were sent again; %v", n, sent, s.a.Err())
	}
}

// resetAll returns a request to reset all streams of the remote.
func (s *script) resetAll(seq uint32) []byte {
	b, start := beginChunk(nil, chunkReconfig, 0)
	return endChunk(appendParam(b, paramOutgoingReset, appendInts(nil, seq, 0, uint32(s.tsn)-1)), start)
}

// One request to reset streams is performed for each packet, however many requests the
// packet contains.
func TestOneResetAPacket(t *testing.T) {
	s := newScript(t, byte(chunkReconfig))
	var chunks [][]byte
	for n := range uint32(35) {
		chunks = append(chunks, s.resetAll(100+n))
	}
	s.write(chunks...)
	resets := 0
	for {
		ev, ok := s.a.NextEvent()
		if !ok {
			break
		}
		if ev.Kind == EventStreamsReset {
			resets++
		}
	}
	body := s.want("the response", chunkReconfig)
	if seq := appendInts(nil, 100, uint32(resetPerformed)); resets != 1 || string(body[4:12]) != string(seq) {
		t.Errorf("%d resets, response %x", resets, body)
	}
	s.wantIdle("one response")
	s.write(s.resetAll(101))
	s.want("the next request", chunkReconfig)
}

// A chunk with a malformed part has no effect.
func TestMalformedChunksHaveNoEffect(t *testing.T) {
	request := func(params ...[]byte) []byte {
		b, start := beginChunk(nil, chunkReconfig, 0)
		for _, p := range params {
			b = append(b, p...)
		}
		return endChunk(b, start)
	}
	reset := appendParam(nil, paramOutgoingReset, appendInts(nil, 100, 0, 99))
	forward := func(words ...uint32) []byte {
		b, start := beginChunk(nil, chunkForwardTSN, 0)
		return endChunk(appendInts(b, words...), start)
	}
	short := forward(105, 1<<16)
	short[3] -= 2
	for name, c := range map[string][]byte{
		"a reset and an unknown parameter":                  request(reset, appendParam(nil, 99, nil)),
		"a reset and half a parameter":                      request(reset, []byte{0, 13, 0, 40, 0, 0, 0, 101}),
		"a reset and a short one":                           request(reset, appendParam(nil, paramOutgoingReset, appendInts(nil, 101, 0))),
		"three requests":                                    request(reset, appendParam(nil, paramIncomingReset, appendInts(nil, 101)), appendParam(nil, paramIncomingReset, appendInts(nil, 102))),
		"a FORWARD TSN with half an entry":                  short,
		"a FORWARD TSN without a TSN":                       forward(),
		"a FORWARD TSN of a stream that the remote has not": forward(105, 1<<16|1, 200<<16|1),
	} {
		s := newScript(t, byte(chunkReconfig), byte(chunkForwardTSN))
		s.write(c)
		if s.a.dropped != 1 {
			t.Errorf("%s: not dropped", name)
		}
		if _, ok := s.a.NextEvent(); !ok || s.a.events.queue.n > 0 { // EventEstablished
			t.Errorf("%s: an event", name)
		}
		if s.a.receiver.in.cum != 99 || s.a.reset.peerSeq != 100 || s.a.receiver.reassembly.streams.len() != 0 || s.a.Memory().Used() != 0 {
			t.Errorf("%s: it was applied", name)
		}
		s.wantIdle(name)
	}
}

// A remote may add streams on which it sends, up to the maximum.
func TestAddOutgoingStreams(t *testing.T) {
	s := newScript(t, byte(chunkReconfig))
	add := func(seq, n uint32) []byte {
		b, start := beginChunk(nil, chunkReconfig, 0)
		return endChunk(appendParam(b, paramAddOutgoing, appendInts(nil, seq, n<<16)), start)
	}
	for _, want := range []struct {
		seq, n  uint32
		result  resetResult
		streams int
	}{{100, 28, resetPerformed, 128}, {100, 28, resetPerformed, 128}, {101, 65535, resetDenied, 128}, {102, 65407, resetPerformed, maxStreams}, {103, 1, resetDenied, maxStreams}} {
		s.write(add(want.seq, want.n))
		body := s.want("the response", chunkReconfig)
		if string(body[4:12]) != string(appendInts(nil, want.seq, uint32(want.result))) || s.a.handshake.incomingStreams() != want.streams {
			t.Errorf("request %d for %d: %x, %d streams", want.seq, want.n, body[4:12], s.a.handshake.incomingStreams())
		}
	}
	s.write(s.data(1000, 0, flagBegin|flagEnd))
	if _, ok := s.a.Receive(); !ok {
		t.Error("a message on an added stream was not received")
	}
}

// A remote that always answers "in progress" does not delay a reset for ever, unless it
// lacks data of another stream that was sent before.
func TestResetPatienceIsBounded(t *testing.T) {
	for _, lacks := range []bool{false, true} {
		testResetPatience(t, lacks)
	}
}

func testResetPatience(t *testing.T, lacks bool) {
	s := newScript(t, byte(chunkReconfig))
	s.a.NextEvent() // EventEstablished
	if lacks {
		s.a.Send(s.now, Message{Stream: 1, PPID: 51, Data: []byte("x")}, SendOptions{})
		s.a.AppendPacket(s.now, nil, 1200)
	}
	s.a.ResetStreams(s.now, 3)
	asked := 0
	for range 200 {
		if lacks && asked > 2*maxPatience {
			return
		}
		pkt, ok := s.a.AppendPacket(s.now, nil, 1200)
		if !ok {
			if s.a.events.queue.n > 0 {
				break
			}
			s.advanceToTimer()
			continue
		}
		if c, _, _ := nextChunk(pkt[commonHeaderSize:]); c.typ == chunkReconfig {
			asked++
			b, start := beginChunk(nil, chunkReconfig, 0)
			s.write(endChunk(appendParam(b, paramReconfigResponse, appendInts(append([]byte(nil), c.body[4:8]...), uint32(resetInProgress))), start))
		}
	}
	if lacks {
		t.Fatalf("the reset failed after %d answers, without the data", asked)
	}
	if ev, _ := s.a.NextEvent(); ev.Kind != EventResetFailed || ev.Err != ErrResetRefused || asked != maxPatience+1 {
		t.Errorf("asked %d times: %+v", asked, ev)
	}
}

// Incomplete messages fill the account. No further data of the remote could be stored,
// so the association ends.
func TestIncompleteMessagesOutOfMemory(t *testing.T) {
	s := newScriptWith(t, Config{MemoryLimit: MinMemoryLimit(100000), MaxMessageSize: 100000}, maxStreams, byte(chunkIData), byte(chunkIForwardTSN))
	limit := s.a.Memory().Limit()
	for n := 0; n < 1000 && !s.a.ended; n++ {
		s.write(s.iData(uint16(n), 0, 53, flagBegin, make([]byte, 1000)))
		if used := s.a.Memory().Used(); used > limit+2000 {
			t.Fatalf("%d bytes are charged, at most %d", used, limit)
		}
	}
	if err, ok := s.a.Err().(*AbortError); !ok || err.Causes[0] != CauseOutOfResource {
		t.Errorf("ended with %v", s.a.Err())
	}
}

// While the program has messages to read, the association does not end: the remote
// waits.
func TestUnreadMessagesDoNotEndTheAssociation(t *testing.T) {
	s := newScriptWith(t, Config{MemoryLimit: MinMemoryLimit(100000), MaxMessageSize: 100000}, maxStreams, byte(chunkIData), byte(chunkIForwardTSN))
	for n := range 2000 {
		s.write(s.iData(uint16(n), 0, 53, flagBegin|flagEnd, make([]byte, 1000)))
		s.drop()
	}
	if m := s.a.Memory(); s.a.ended || m.receiveWindow() != 0 || m.Used() > m.Limit() {
		t.Errorf("%d bytes of %d are charged, the window is %d: %v", m.Used(), m.Limit(), m.receiveWindow(), s.a.Err())
	}
}

// After forward, a tracker still has the received TSNs beyond the new cumulative TSN.
func TestTrackerForward(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var tr tracker
		tr.reset(0xffffff00)
		got := map[chunkTSN]bool{}
		for range 300 {
			tsn := tr.cum + 1 + chunkTSN(rng.IntN(700))
			if !tr.has(tsn) {
				tr.add(tsn)
				got[tsn] = true
			}
		}
		cum := tr.cum + chunkTSN(rng.IntN(900))
		highest := tr.highest
		tr.forward(cum)
		for tsn := cum + 1; got[tsn]; tsn++ {
			cum = tsn
		}
		if tr.cum != cum {
			t.Fatalf("seed %d: at %d, want %d", seed, tr.cum, cum)
		}
		for tsn := cum + 1; !tsn.after(highest + 300); tsn++ {
			if tr.has(tsn) != got[tsn] {
				t.Fatalf("seed %d: TSN %d is %v", seed, tsn, tr.has(tsn))
			}
		}
	}
}

// If more streams are skipped than fit into one FORWARD TSN, several are sent, each
// after the previous one was acknowledged, in a bounded number of packets.
func TestSkipsInParts(t *testing.T) {
	for _, plain := range []bool{true, false} {
		for _, messages := range []int{600, 3 * maxSkipWalk} {
			p := newPair(t, 1, Config{DisableInterleaving: plain, CongestionControl: CongestionReno}, Config{})
			p.connect()
			a := p.ends[0]
			for i := range messages {
				p.send(0, uint16(i%600), []byte("x"), SendOptions{Lifetime: 30 * time.Second})
			}
			p.loss = 1
			for a.sender.out.len() < messages/2 && a.sender.counters.Timeouts == 0 {
				p.run(100 * time.Millisecond)
			}
			p.run(31 * time.Second)
			for a.sender.skip.pending(&a.sender.out) && !a.sender.skip.due {
				p.now = a.NextTimeout()
				a.Advance(p.now)
				if a.sender.skip.due {
					break
				}
				for _, ok := a.AppendPacket(p.now, nil, 1200); ok; _, ok = a.AppendPacket(p.now, nil, 1200) {
				}
			}
			n := 0
			for ; n < 100; n++ {
				if _, ok := a.AppendPacket(p.now, nil, 1200); !ok {
					break
				}
			}
			if n > 3 || !a.sender.skip.pending(&a.sender.out) {
				t.Errorf("plain %v: %d packets at once; %d of %d messages were abandoned", plain, n, a.sender.counters.MessagesAbandoned, messages)
			}
			p.loss = 0
			p.run(20 * time.Second)
			if !a.sender.out.empty() || a.ended {
				t.Errorf("plain %v: %d chunks of %d messages are outstanding: %v", plain, a.sender.out.len(), messages, a.Err())
			}
		}
	}
}

// failingRand is a random source that fails after a number of bytes.
type failingRand struct{ left int }

func (r *failingRand) Read(b []byte) (int, error) {
	n := min(len(b), r.left)
	r.left -= n
	for i := range b[:n] {
		b[i] = 7
	}
	if n == 0 {
		return 0, errors.New("no random bytes")
	}
	return n, nil
}

// Without random bytes no tag, cookie or nonce is created, whatever the remote sends.
func TestRandomSourceFails(t *testing.T) {
	now := time.Unix(1e9, 0)
	for left := range 60 {
		a, b := NewAssociation(Config{Rand: &failingRand{left}}), NewAssociation(Config{})
		a.Connect(now)
		if a.handshake.localTag == 1 || left < 8 && (a.Err() != ErrRand || a.State() != StateClosed) {
			t.Errorf("after %d bytes: tag %d, %v", left, a.handshake.localTag, a.Err())
		}
		b.Connect(now)
		for range 4 {
			if p, ok := b.AppendPacket(now, nil, 1200); ok {
				a.HandlePacket(now, p)
			}
			if p, ok := a.AppendPacket(now, nil, 1200); ok {
				b.HandlePacket(now, p)
			}
		}
		if left < 8 && b.State() != StateCookieWait {
			t.Errorf("after %d bytes: the remote is in state %v", left, b.State())
		}
		a.heartbeat.send, a.pmtud.send = true, true
		for range 4 {
			a.AppendPacket(now, nil, 1200)
		}
		passive := NewAssociation(Config{Rand: &failingRand{left}})
		c := NewAssociation(Config{})
		c.Connect(now)
		p, _ := c.AppendPacket(now, nil, 1200)
		passive.HandlePacket(now, p)
		if _, ok := passive.AppendPacket(now, nil, 1200); ok != (left >= 8+32) {
			t.Errorf("after %d bytes: an INIT is answered: %v", left, ok)
		}
	}
	if a := NewAssociation(Config{Rand: zeroReader{}}); a.handshake.localTag == 0 {
		a.Connect(now)
		if a.Err() != ErrRand {
			t.Errorf("a source of zeros: %v", a.Err())
		}
	}
}

// A zeroReader is a broken random source.
type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// Each benchmark measures one datagram of an attack.

func BenchmarkResetAll(b *testing.B) {
	s := newScript(b, byte(chunkReconfig))
	seq := uint32(100)
	for b.Loop() {
		var chunks [][]byte
		for n := range uint32(35) {
			chunks = append(chunks, s.resetAll(seq+n))
		}
		s.write(chunks...)
		seq = uint32(s.a.reset.peerSeq)
		for _, ok := s.a.NextEvent(); ok; _, ok = s.a.NextEvent() {
		}
		s.drop()
	}
}

func BenchmarkContradictingSacks(b *testing.B) {
	s := newScript(b)
	s.sendMany(1000)
	in, out := 0, 0
	for b.Loop() {
		next := s.a.sender.out.first
		if s.a.sender.out.len() < 10 {
			b.StopTimer()
			s.sendMany(1000)
			b.StartTimer()
			continue
		}
		s.in = 0
		s.write(sack(next-1, 1<<30, 2<<16|uint32(s.a.sender.out.end-next)), sack(next, 1<<30))
		in += s.in
		out += s.drop()
	}
	b.ReportMetric(float64(out)/float64(max(in, 1)), "out/in")
}

func BenchmarkFarForwardTSN(b *testing.B) {
	s := newScript(b, byte(chunkForwardTSN))
	for b.Loop() {
		s.tsn = s.a.receiver.in.cum + maxTSNWindow - 1
		d := s.data(1, 0, flagBegin|flagEnd|flagUnordered)
		f, start := beginChunk(nil, chunkForwardTSN, 0)
		f = appendInts(f, uint32(s.tsn-2))
		s.write(d, endChunk(f, start))
		for m, ok := s.a.Receive(); ok; m, ok = s.a.Receive() {
			s.a.Release(s.now, len(m.Data))
		}
		s.drop()
	}
}

// A lost chunk that all other chunks wait for is accepted beyond the quota if the
// program has nothing to read. Otherwise the program would never get anything to read.
// Other data is not accepted.
func TestQuotaFillsGaps(t *testing.T) {
	const quota, size = 50_000, 1000
	s := newScriptWith(t, Config{}, maxStreams, byte(chunkIData), byte(chunkIForwardTSN))
	m := s.a.Memory()
	var chunks [][]byte
	for n := range 220 {
		chunks = append(chunks, s.iData(1, uint32(n), 53, flagBegin|flagEnd, make([]byte, size)))
	}
	read := func() int {
		n := 0
		for ; ; n++ {
			msg, ok := s.a.Receive()
			if !ok {
				return n
			}
			s.a.Release(s.now, len(msg.Data))
		}
	}
	s.write(chunks[0])
	for _, c := range chunks[50:150] {
		s.write(c) // there is no quota yet
	}
	read()
	m.SetQuota(quota)
	used := m.Used()
	for _, c := range chunks[2:50] {
		s.write(c)
	}
	if n := m.Used(); n != used || n < 2*quota {
		t.Errorf("%d bytes are charged, and were %d before", n, used)
	}
	for _, c := range chunks[1:50] {
		s.write(c)
	}
	if n := read(); n != 1 {
		t.Errorf("%d messages are taken that the program does not read", n)
	}
	for _, c := range chunks[2:50] {
		s.write(c)
		read()
	}
	for _, c := range chunks[150:] {
		s.write(c)
	}
	if n := m.Used(); n > quota+2*size || s.a.ended {
		t.Errorf("%d bytes are charged after all was read, %v", n, s.a.Err())
	}
}

// A quota bounds the stored data, whatever the remote sends, and does not end the
// association. After the quota is lifted, retransmissions of dropped data are
// accepted.
func TestQuota(t *testing.T) {
	const quota = 50_000
	for name, flags := range map[string]byte{"messages": flagBegin | flagEnd, "fragments": flagBegin} {
		s := newScriptWith(t, Config{}, maxStreams, byte(chunkIData), byte(chunkIForwardTSN))
		m := s.a.Memory()
		m.SetQuota(quota)
		if n := m.receiveWindow(); n > quota {
			t.Errorf("%s: the window is %d", name, n)
		}
		var dropped [][]byte
		for n := range 500 {
			c := s.iData(uint16(n), 0, 53, flags, make([]byte, 1000))
			before := m.data()
			if s.write(c); m.data() == before {
				dropped = append(dropped, c)
			}
			s.drop()
		}
		if m.Charge(1000) || m.chargeStreams(1000) {
			t.Errorf("%s: others are charged beyond the quota", name)
		}
		if n := m.Used(); s.a.ended || n > quota+2000 || n < quota || m.receiveWindow() != 0 {
			t.Errorf("%s: %d bytes are charged, the window is %d: %v", name, n, m.receiveWindow(), s.a.Err())
		}
		m.SetQuota(math.MaxInt)
		s.write(dropped[:50]...)
		if n := m.Used(); n < 2*quota {
			t.Errorf("%s: %d bytes are charged without the quota", name, n)
		}
	}
}
