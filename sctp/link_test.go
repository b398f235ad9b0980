package sctp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A testRand is a seeded io.Reader.
type testRand struct{ *rand.Rand }

func (r testRand) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// A pair is two associations and a bad link between them, in virtual time.
type pair struct {
	t       testing.TB
	rng     *rand.Rand
	now     time.Time
	ends    [2]*Association
	flight  []flying
	order   int
	delay   time.Duration
	jitter  time.Duration
	loss    float64
	dup     float64
	mtu     int
	got     [2][]Message
	events  [2][]Event
	hold    [2]bool // the program at the end does not read
	packets int
	large   bool                                                   // packets may be longer than mtu
	inspect func(to int, pkt []byte) bool                          // false: dropped
	path    func(to int, pkt []byte) (wait time.Duration, ok bool) // wait is added to delay; !ok: dropped
	arrived func(to int, m Message)
}

type flying struct {
	at    time.Time
	order int
	to    int
	pkt   []byte
}

func newPair(t testing.TB, seed uint64, a, b Config) *pair {
	rng := rand.New(rand.NewPCG(seed, 1))
	p := &pair{t: t, rng: rng, now: time.Unix(1e9, 0), delay: 10 * time.Millisecond, mtu: 1200}
	a.Rand, b.Rand = testRand{rng}, testRand{rng}
	p.ends = [2]*Association{NewAssociation(a), NewAssociation(b)}
	return p
}

func (p *pair) flush(i int) {
	a := p.ends[i]
	for n := 0; ; n++ {
		if n > 100000 {
			p.t.Fatal("endless output")
		}
		pkt, ok := a.AppendPacket(p.now, nil, p.mtu)
		if !ok {
			break
		}
		if len(pkt) > p.mtu && !p.large {
			p.t.Fatalf("packet of %d bytes over the limit %d", len(pkt), p.mtu)
		}
		p.packets++
		if p.inspect != nil && !p.inspect(1-i, pkt) {
			continue
		}
		copies := 1
		if p.rng.Float64() < p.dup {
			copies = 2
		}
		for range copies {
			if p.rng.Float64() < p.loss {
				continue
			}
			at := p.now.Add(p.delay)
			if p.path != nil {
				wait, ok := p.path(1-i, pkt)
				if !ok {
					continue
				}
				at = at.Add(wait)
			}
			if p.jitter > 0 {
				at = at.Add(time.Duration(p.rng.Int64N(int64(p.jitter))))
			}
			p.order++
			p.flight = append(p.flight, flying{at, p.order, 1 - i, pkt})
		}
	}
	p.check(a)
}

// check checks the invariants that hold after every step.
func (p *pair) check(a *Association) {
	bytes, gap, lost, listed := 0, 0, 0, 0
	for tsn := a.sender.out.first; tsn != a.sender.out.end; tsn++ {
		c := a.sender.out.at(tsn)
		switch c.state {
		case chunkInFlight:
			bytes += int(c.size)
			listed++
		case chunkLost:
			lost++
			listed++
		case chunkGapAcked:
			gap++
		}
	}
	if bytes != a.sender.out.bytes || gap != a.sender.out.gapAcked || lost != a.sender.out.lost || listed != a.sender.out.listed() {
		p.t.Fatalf("outstanding: bytes %d/%d gap %d/%d lost %d/%d listed %d/%d", bytes, a.sender.out.bytes, gap, a.sender.out.gapAcked, lost, a.sender.out.lost, listed, a.sender.out.listed())
	}
	tsn, moved := a.sender.out.head, a.sender.out.change.active
	for range a.sender.out.flying {
		c := a.sender.out.at(tsn)
		if a.sender.out.change.old(c.order) != moved {
			p.t.Fatalf("TSN %d is out of place between the paths: %+v", tsn, a.sender.out.change)
		}
		moved = moved && tsn != a.sender.out.change.last
		tsn = c.next
	}
	if a.memory.partial < 0 || a.memory.held < 0 {
		p.t.Fatal("negative charge")
	}
	if next := a.NextTimeout(); !next.IsZero() && next.Before(p.now) {
		a.Advance(p.now)
		if next := a.NextTimeout(); !next.IsZero() && next.Before(p.now) {
			p.t.Fatalf("a deadline in the past after Advance: %v", p.now.Sub(next))
		}
	}
}

func (p *pair) collect(i int) {
	a := p.ends[i]
	for {
		for !p.hold[i] {
			m, ok := a.Receive()
			if !ok {
				break
			}
			p.got[i] = append(p.got[i], m)
			if p.arrived != nil {
				p.arrived(i, m)
			}
			a.Release(p.now, len(m.Data))
		}
		ev, ok := a.NextEvent()
		if !ok {
			return
		}
		p.events[i] = append(p.events[i], ev)
	}
}

// run runs the pair until the time d is over or there is nothing more to do.
func (p *pair) run(d time.Duration) {
	end := p.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 3000000 {
			p.t.Fatal("too many steps")
		}
		for i := range p.ends {
			p.flush(i)
			p.collect(i)
			p.flush(i)
		}
		next := end
		for _, f := range p.flight {
			if f.at.Before(next) {
				next = f.at
			}
		}
		for _, a := range p.ends {
			if t := a.NextTimeout(); !t.IsZero() && t.Before(next) {
				next = t
			}
		}
		if !next.Before(end) {
			p.now = end
			return
		}
		if next.After(p.now) {
			p.now = next
		}
		slices.SortFunc(p.flight, func(a, b flying) int {
			if c := a.at.Compare(b.at); c != 0 {
				return c
			}
			return a.order - b.order
		})
		n := 0
		for n < len(p.flight) && !p.flight[n].at.After(p.now) {
			f := p.flight[n]
			p.ends[f.to].HandlePacket(p.now, f.pkt)
			n++
		}
		p.flight = append([]flying(nil), p.flight[n:]...)
		for _, a := range p.ends {
			a.Advance(p.now)
		}
	}
}

func (p *pair) connect() {
	p.t.Helper()
	for _, a := range p.ends {
		a.Connect(p.now)
	}
	p.run(time.Second)
	for i, a := range p.ends {
		if a.State() != StateEstablished {
			p.t.Fatalf("end %d is %v: %v", i, a.State(), a.Err())
		}
	}
}

func (p *pair) send(i int, stream uint16, data []byte, o SendOptions) {
	p.t.Helper()
	if err := p.ends[i].Send(p.now, Message{Stream: stream, PPID: 53, Data: data}, o); err != nil {
		p.t.Fatal(err)
	}
}

func (p *pair) wantEvent(i int, kind EventKind) Event {
	p.t.Helper()
	for n, ev := range p.events[i] {
		if ev.Kind == kind {
			p.events[i] = slices.Delete(p.events[i], n, n+1)
			return ev
		}
	}
	p.t.Fatalf("end %d: no event %d in %v", i, kind, p.events[i])
	return Event{}
}

// testMessage returns the n-th message of a stream: its number, then noise.
func testMessage(stream uint16, n, size int) []byte {
	b := make([]byte, max(size, 8))
	binary.BigEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)))
	for i := 8; i < len(b); i++ {
		b[i] = byte(i*7 + n + int(stream))
	}
	return b
}

func TestReliableOverBadLinks(t *testing.T) {
	for seed := range uint64(24) {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d plain=%v", seed, plain), func(t *testing.T) {
				cfg := Config{DisableInterleaving: plain, DisableZeroChecksum: seed%2 == 0}
				p := newPair(t, seed, cfg, Config{})
				p.loss, p.dup, p.jitter = float64(seed%4)*0.05, 0.02, time.Duration(seed%3)*8*time.Millisecond
				p.ends[0].Connect(p.now)
				if seed%2 == 0 {
					p.ends[1].Connect(p.now)
				}
				const streams, count = 5, 40
				want := map[uint16]int{}
				for n := range count {
					for s := range uint16(streams) {
						size := p.rng.IntN(200)
						if p.rng.IntN(8) == 0 {
							size = p.rng.IntN(40000)
						}
						p.send(0, s, testMessage(s, n, size), SendOptions{Unordered: s == 4})
						want[s]++
					}
				}
				p.run(60 * time.Second)
				next := map[uint16]int{}
				seen := map[int]bool{}
				for _, m := range p.got[1] {
					n := int(binary.BigEndian.Uint32(m.Data))
					if !bytes.Equal(m.Data, testMessage(m.Stream, n, len(m.Data))) || len(m.Data) != int(binary.BigEndian.Uint32(m.Data[4:])) {
						t.Fatalf("stream %d message %d altered", m.Stream, n)
					}
					if m.Stream == 4 {
						if seen[n] || m.Ordered {
							t.Fatalf("unordered %d twice, or marked ordered", n)
						}
						seen[n] = true
						continue
					}
					if n != next[m.Stream] {
						t.Fatalf("stream %d: message %d where %d was due", m.Stream, n, next[m.Stream])
					}
					next[m.Stream]++
				}
				if len(p.got[1]) != streams*count {
					t.Fatalf("%d messages of %d; %+v", len(p.got[1]), streams*count, p.ends[0].Stats())
				}
				if got := p.ends[0].receiver.interleaving(); got == plain {
					t.Errorf("interleaving = %v", got)
				}
				r := &p.ends[1].receiver.reassembly
				if r.memory.held != 0 || r.memory.partial != 0 || len(r.byFirst) != 0 || len(r.byLast) != 0 {
					t.Errorf("receiver keeps held %d partial %d maps %d %d", r.memory.held, r.memory.partial, len(r.byFirst), len(r.byLast))
				}
				if p.ends[0].sender.out.bytes != 0 || !p.ends[0].sender.drained() {
					t.Error("sender keeps data")
				}
			})
		}
	}
}

func TestPartialReliabilityOverBadLinks(t *testing.T) {
	for seed := range uint64(24) {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("seed=%d plain=%v", seed, plain), func(t *testing.T) {
				p := newPair(t, seed, Config{DisableInterleaving: plain}, Config{})
				p.connect()
				p.loss, p.jitter = 0.15, time.Duration(seed%3)*5*time.Millisecond
				options := []SendOptions{
					{LimitRetransmits: true},
					{LimitRetransmits: true, MaxRetransmits: 1, Unordered: true},
					{Lifetime: 60 * time.Millisecond},
					{Lifetime: 60 * time.Millisecond, Unordered: true},
					{},
				}
				for n := range 60 {
					for s, o := range options {
						p.send(0, uint16(s), testMessage(uint16(s), n, p.rng.IntN(6000)), o)
					}
					p.run(20 * time.Millisecond)
				}
				p.run(30 * time.Second)
				last := map[uint16]int{0: -1, 2: -1, 4: -1}
				reliable := 0
				for _, m := range p.got[1] {
					n := int(binary.BigEndian.Uint32(m.Data))
					if !bytes.Equal(m.Data, testMessage(m.Stream, n, len(m.Data))) {
						t.Fatalf("stream %d message %d altered", m.Stream, n)
					}
					if prev, ordered := last[m.Stream]; ordered {
						if n <= prev {
							t.Fatalf("stream %d: message %d after %d", m.Stream, n, prev)
						}
						last[m.Stream] = n
					}
					if m.Stream == 4 {
						reliable++
					}
				}
				if reliable != 60 {
					t.Errorf("%d reliable messages of 60", reliable)
				}
				if p.ends[0].sender.counters.MessagesAbandoned == 0 {
					t.Error("nothing was abandoned: the test tests nothing")
				}
				if !p.ends[0].sender.drained() {
					t.Errorf("sender keeps %d chunks, %d messages", p.ends[0].sender.out.len(), p.ends[0].sender.queue.messages)
				}
				if r := &p.ends[1].receiver.reassembly; r.memory.partial != 0 {
					t.Errorf("receiver keeps %d bytes", r.memory.partial)
				}
			})
		}
	}
}

func TestShutdownDeliversEverything(t *testing.T) {
	p := newPair(t, 3, Config{}, Config{})
	p.connect()
	p.loss = 0.1
	for n := range 50 {
		p.send(0, 1, testMessage(1, n, 5000), SendOptions{})
	}
	p.ends[0].Shutdown(p.now)
	if err := p.ends[0].Send(p.now, Message{Data: []byte{1}}, SendOptions{}); err != ErrClosed {
		t.Errorf("Send after Shutdown: %v", err)
	}
	p.run(30 * time.Second)
	if len(p.got[1]) != 50 {
		t.Errorf("%d messages of 50", len(p.got[1]))
	}
	p.wantEvent(0, EventClosed)
	p.wantEvent(1, EventClosed)
}

func TestAbortReachesTheRemote(t *testing.T) {
	p := newPair(t, 3, Config{}, Config{})
	p.connect()
	p.ends[0].Abort(p.now, "enough")
	p.run(time.Second)
	ev := p.wantEvent(1, EventFailed)
	if e, ok := ev.Err.(*AbortError); !ok || !e.Remote || e.Reason != "enough" {
		t.Errorf("err = %v", ev.Err)
	}
}

func TestStreamResetAndReuse(t *testing.T) {
	for seed := range uint64(20) {
		p := newPair(t, seed, Config{DisableInterleaving: seed%2 == 0}, Config{})
		p.connect()
		p.loss = 0.2
		for round := range 3 {
			for n := range 10 {
				p.send(0, 7, testMessage(7, n, 3000), SendOptions{})
			}
			if err := p.ends[0].ResetStreams(p.now, 7); err != nil {
				t.Fatal(err)
			}
			if err := p.ends[0].Send(p.now, Message{Stream: 7, Data: []byte{1}}, SendOptions{}); err != ErrStreamClosed {
				t.Fatalf("Send on a stream being reset: %v", err)
			}
			p.run(30 * time.Second)
			if len(p.got[1]) != 10 {
				t.Fatalf("seed %d round %d: %d messages of 10", seed, round, len(p.got[1]))
			}
			p.got[1] = nil
			p.wantEvent(1, EventStreamsReset)
			p.wantEvent(0, EventResetDone)
		}
	}
}

func TestWindowHoldsAndOpens(t *testing.T) {
	p := newPair(t, 5, Config{}, Config{ReceiveBuffer: 1, MaxMessageSize: 40000})
	p.connect()
	p.hold[1] = true
	for n := range 200 {
		p.send(0, 1, testMessage(1, n, 1000), SendOptions{})
	}
	p.run(60 * time.Second)
	if p.ends[0].State() != StateEstablished {
		t.Fatal("a closed window ended the association")
	}
	if n := p.ends[1].receiver.reassembly.ready.n; n == 0 || n > 50 {
		t.Fatalf("%d messages wait", n)
	}
	p.hold[1] = false
	p.run(10 * time.Second)
	if len(p.got[1]) != 200 {
		t.Fatalf("%d messages of 200", len(p.got[1]))
	}
}

func TestRestart(t *testing.T) {
	p := newPair(t, 6, Config{}, Config{})
	p.connect()
	p.send(0, 1, []byte("before"), SendOptions{})
	p.run(time.Second)
	p.ends[0] = NewAssociation(Config{Rand: testRand{p.rng}})
	p.ends[0].Connect(p.now)
	p.run(time.Second)
	p.wantEvent(1, EventRestarted)
	p.got[1] = nil
	p.send(0, 1, []byte("after"), SendOptions{})
	p.send(1, 1, []byte("back"), SendOptions{})
	p.run(time.Second)
	if len(p.got[1]) != 1 || string(p.got[1][0].Data) != "after" || len(p.got[0]) != 1 {
		t.Errorf("got %v and %v", p.got[1], p.got[0])
	}
}

// A restart revives an association that was being shut down. Nothing of the shutdown is
// sent.
func TestRestartWhileShuttingDown(t *testing.T) {
	p := newPair(t, 6, Config{}, Config{})
	p.connect()
	p.ends[0] = NewAssociation(Config{Rand: testRand{p.rng}})
	p.ends[0].Connect(p.now)
	old := p.ends[1]
	echo := func() []byte { // carries packets until the new end sends its COOKIE ECHO
		for {
			p.flush(0)
			p.flush(1)
			for _, f := range p.flight {
				if f.to == 1 && chunkType(f.pkt[commonHeaderSize]) == chunkCookieEcho {
					return f.pkt
				}
			}
			p.run(time.Millisecond)
		}
	}()
	old.Shutdown(p.now) // SHUTDOWN is to be sent
	old.HandlePacket(p.now, echo)
	if old.State() != StateEstablished {
		t.Fatalf("state %v", old.State())
	}
	for {
		pkt, ok := old.AppendPacket(p.now, nil, 1200)
		if !ok {
			break
		}
		for rest := pkt[commonHeaderSize:]; len(rest) > 0; {
			c, r, _ := nextChunk(rest)
			if c.typ == chunkShutdown {
				t.Error("SHUTDOWN in the new association")
			}
			rest = r
		}
	}
}

func TestTimeoutEndsTheAssociation(t *testing.T) {
	p := newPair(t, 7, Config{}, Config{})
	p.connect()
	p.loss = 1
	p.send(0, 1, []byte("lost"), SendOptions{})
	p.run(2 * time.Hour)
	if ev := p.wantEvent(0, EventFailed); ev.Err == nil || p.ends[0].Err() != ErrTimeout {
		t.Errorf("err = %v, %v", ev.Err, p.ends[0].Err())
	}
	p.wantEvent(1, EventFailed) // the HEARTBEATs were not answered
}

func TestOutageIsSurvived(t *testing.T) {
	p := newPair(t, 8, Config{}, Config{})
	p.connect()
	p.loss = 1
	p.send(0, 1, []byte("x"), SendOptions{})
	p.run(time.Minute)
	p.loss = 0
	p.run(rtoMax + time.Second)
	if len(p.got[1]) != 1 {
		t.Error("not delivered within the longest backoff")
	}
}

// A small message is sent before the rest of a long one (RFC 8260 §1).
func TestInterleavingLetsSmallMessagesPass(t *testing.T) {
	p := newPair(t, 9, Config{}, Config{})
	p.connect()
	p.send(0, 1, testMessage(1, 0, 200000), SendOptions{})
	p.run(30 * time.Millisecond)
	p.send(0, 2, []byte("small"), SendOptions{})
	p.run(5 * time.Second)
	if len(p.got[1]) != 2 || p.got[1][0].Stream != 2 {
		t.Errorf("%d messages, first on stream %d", len(p.got[1]), p.got[1][0].Stream)
	}
}

func TestWeights(t *testing.T) {
	p := newPair(t, 10, Config{}, Config{})
	p.connect()
	p.ends[0].SetPriority(1, 1024)
	p.ends[0].SetPriority(2, 256)
	for n := range 400 {
		p.send(0, 1, testMessage(1, n, 1000), SendOptions{})
		p.send(0, 2, testMessage(2, n, 1000), SendOptions{})
	}
	p.run(5 * time.Second)
	count := [3]int{}
	for _, m := range p.got[1][:400] {
		count[m.Stream]++
	}
	if ratio := float64(count[1]) / float64(count[2]); ratio < 3.5 || ratio > 4.5 {
		t.Errorf("shares %d : %d of weights 4 : 1", count[1], count[2])
	}
}

// The first of several blocked messages is abandoned when it may begin. The next one
// begins in its place.
func TestBlockedMessageIsAbandoned(t *testing.T) {
	p := newPair(t, 1, Config{MaxMessageSize: 1 << 20}, Config{MaxMessageSize: 1 << 20})
	p.connect()
	const size = 1_000_000 // only one fits into the budget
	p.send(0, 1, testMessage(1, 0, size), SendOptions{})
	p.send(0, 2, testMessage(2, 0, size), SendOptions{Lifetime: 30 * time.Millisecond})
	p.send(0, 3, testMessage(3, 0, size), SendOptions{})
	p.run(5 * time.Second)
	if got := p.got[1]; len(got) != 2 || got[0].Stream != 1 || got[1].Stream != 3 {
		t.Errorf("%d messages of 2; %d bytes wait", len(got), p.ends[0].Pending())
	}
}

func TestZeroChecksum(t *testing.T) {
	for _, on := range []bool{true, false} {
		p := newPair(t, 11, Config{}, Config{DisableZeroChecksum: !on})
		acks := 0
		p.inspect = func(_ int, pkt []byte) bool {
			zero := binary.LittleEndian.Uint32(pkt[8:]) == 0
			typ := chunkType(pkt[12])
			must := typ == chunkInit || typ == chunkCookieEcho || typ == chunkInitAck
			if zero && (must || !on) {
				t.Errorf("%v without checksum", typ)
			}
			if !zero && !must && on {
				t.Errorf("chunk %d with a checksum", typ)
			}
			if typ == chunkInitAck {
				// A remote that does not know the parameter may drop the chunk that
				// contains it.
				ic, err := parseInit(pkt[16 : 12+int(binary.BigEndian.Uint16(pkt[14:]))])
				if err != nil || ic.zeroChecksum != on {
					t.Errorf("INIT ACK offers it: %t, %v; the other end: %t", ic.zeroChecksum, err, on)
				}
				acks++
			}
			return true
		}
		p.connect()
		p.send(0, 1, []byte("x"), SendOptions{})
		p.run(time.Second)
		if len(p.got[1]) != 1 || acks == 0 {
			t.Errorf("%d delivered, %d INIT ACK seen", len(p.got[1]), acks)
		}
	}
}

// If there are more long messages at once than the peer's window holds, they do not all
// begin, because then none could be completed.
func TestManyLargeMessagesAtOnce(t *testing.T) {
	p := newPair(t, 12, Config{}, Config{})
	p.connect()
	for s := range uint16(80) {
		p.send(0, s, testMessage(s, 0, 250000), SendOptions{})
	}
	p.run(time.Second)
	p.send(0, 100, []byte("small"), SendOptions{})
	p.run(30 * time.Millisecond)
	if n := len(p.got[1]); n == 0 || p.got[1][n-1].Stream != 100 {
		t.Error("the small message waits")
	}
	p.run(time.Minute)
	if len(p.got[1]) != 81 {
		t.Errorf("%d messages of 81", len(p.got[1]))
	}
}
