package sctp

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"
)

// A golden is a packet that a browser or another implementation sent.
type golden struct {
	connection, sender, kind string
	packet                   []byte
}

func goldenPackets(t testing.TB) (gs []golden) {
	t.Helper()
	f, err := os.Open("testdata/packets.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) != 4 || fields[0] == "#" {
			continue
		}
		b, err := hex.DecodeString(fields[3])
		if err != nil {
			t.Fatal(err)
		}
		gs = append(gs, golden{fields[0], fields[1], fields[2], b})
	}
	if len(gs) < 12 {
		t.Fatalf("only %d packets", len(gs))
	}
	return gs
}

// Every golden packet has the checksum that this package computes, or zero if that was
// negotiated, and is split into chunks completely.
func TestGoldenPacketsParse(t *testing.T) {
	for _, g := range goldenPackets(t) {
		if sum := binary.LittleEndian.Uint32(g.packet[8:]); sum != 0 && sum != checksum(g.packet) {
			t.Errorf("%s %s: checksum %08x, computed %08x", g.connection, g.kind, sum, checksum(g.packet))
		}
		rest := g.packet[commonHeaderSize:]
		for len(rest) > 0 {
			c, r, ok := nextChunk(rest)
			if !ok {
				t.Fatalf("%s %s: rest %x", g.connection, g.kind, rest)
			}
			rest = r
			if c.typ == chunkInit || c.typ == chunkInitAck {
				ic, err := parseInit(c.body)
				if err != nil || ic.tag == 0 || ic.aRwnd < 1500 || !ic.forwardTSN || !ic.reconfig || len(ic.unrecognized) > 0 {
					t.Errorf("%s %s: %+v, %v", g.connection, g.kind, ic, err)
				}
			}
		}
	}
}

// An INIT of each browser is answered so that a remote with the tag can finish the
// handshake.
func TestGoldenInitsAreAnswered(t *testing.T) {
	for _, g := range goldenPackets(t) {
		if g.kind != "INIT" {
			continue
		}
		now := time.Unix(1e9, 0)
		a := NewAssociation(Config{})
		a.HandlePacket(now, g.packet)
		pkt, ok := a.AppendPacket(now, nil, 1200)
		if !ok || chunkType(pkt[12]) != chunkInitAck || binary.BigEndian.Uint32(pkt[4:]) != binary.BigEndian.Uint32(g.packet[16:]) {
			t.Fatalf("%s: %x", g.connection, pkt)
		}
		c, _, _ := nextChunk(pkt[12:])
		ic, err := parseInit(c.body)
		if err != nil {
			t.Fatal(err)
		}
		b, start := beginChunk(appendCommonHeader(nil, 5000, 5000, ic.tag), chunkCookieEcho, 0)
		b = endChunk(append(b, ic.cookie...), start)
		setChecksum(b)
		a.HandlePacket(now, b)
		if a.State() != StateEstablished {
			t.Errorf("%s: %v", g.connection, a.State())
		}
	}
}

// associationsInEveryState returns an association in each state, with and without
// interleaving.
func associationsInEveryState(t testing.TB) (as []*Association, now time.Time) {
	now = time.Unix(1e9, 0)
	for state := StateClosed; state <= StateShutdownAckSent; state++ {
		for _, plain := range []bool{false, true} {
			p := newPair(t, 1, Config{DisableInterleaving: plain}, Config{})
			p.now = now
			a := p.ends[0]
			if state == StateCookieWait || state == StateCookieEchoed {
				a.Connect(now)
				if state == StateCookieEchoed {
					a.takePeer(p.ends[1].cfg.announce(1, 1, p.ends[1].memory.receiveWindow()))
				}
			} else if state > StateCookieEchoed {
				p.connect()
				p.send(0, 1, testMessage(1, 0, 3000), SendOptions{LimitRetransmits: true})
				p.send(0, 2, testMessage(1, 0, 3000), SendOptions{Unordered: true})
				p.ends[0].ResetStreams(p.now, 1)
				p.flush(0)
			}
			a.state = state
			as = append(as, a)
		}
	}
	return as, now.Add(2 * time.Second)
}

// feed hands chunks to an association as if the remote had sent them, and lets it answer
// and run its timers.
func feed(a *Association, now time.Time, chunks []byte) {
	tag := a.handshake.localTag
	if len(chunks) > 0 && chunkType(chunks[0]) == chunkInit {
		tag = 0
	}
	pkt := append(appendCommonHeader(nil, 5000, 5000, tag), chunks...)
	a.HandlePacket(now, pkt)
	for range 50 {
		if _, ok := a.AppendPacket(now, nil, 1200); !ok {
			break
		}
	}
	for {
		m, ok := a.Receive()
		if !ok {
			break
		}
		a.Release(now, len(m.Data))
	}
	for {
		if _, ok := a.NextEvent(); !ok {
			break
		}
	}
	a.Advance(now)
}

func TestTruncatedGoldenPacketsInEveryState(t *testing.T) {
	for _, g := range goldenPackets(t) {
		chunks := g.packet[commonHeaderSize:]
		for n := 0; n <= len(chunks); n += 1 + n/64 {
			as, now := associationsInEveryState(t)
			for _, a := range as {
				feed(a, now, chunks[:n])
			}
		}
	}
}

func FuzzAssociation(f *testing.F) {
	for _, g := range goldenPackets(f) {
		f.Add(g.packet[commonHeaderSize:], uint8(5))
	}
	f.Add(appendInts(nil, 3<<24|16, 0, 100000, 1<<16, 2<<16|3), uint8(6))
	f.Add(appendInts(nil, 0xC0<<24|12, 1, 1<<16|5), uint8(7))
	f.Fuzz(func(t *testing.T, chunks []byte, which uint8) {
		as, now := associationsInEveryState(t)
		a := as[int(which)%len(as)]
		feed(a, now, chunks)
		if a.sender.out.bytes < 0 || a.memory.partial < 0 || a.memory.held < 0 || a.memory.streams < 0 {
			t.Fatal("negative count")
		}
	})
}

// appendInts appends words.
func appendInts(b []byte, words ...uint32) []byte {
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	return b
}

// FuzzReassembly cuts messages into fragments, delivers them in any order, some twice,
// and expects each message once and complete.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{5, 1, 9, 200, 3, 3, 7}, uint64(1), true)
	f.Add([]byte{1, 1, 1, 90}, uint64(2), false)
	f.Fuzz(func(t *testing.T, sizes []byte, seed uint64, interleaving bool) {
		if len(sizes) > 60 {
			return
		}
		p := newPair(t, seed, Config{}, Config{})
		var r reassembly
		r.reset(newMemory(&Config{MaxMessageSize: 1 << 20}), interleaving, 1<<20)
		var tr tracker
		tr.reset(1000)
		var frags []fragment
		var tsns []chunkTSN
		tsn := chunkTSN(1000)
		for n, size := range sizes {
			stream := uint16(size % 3)
			seq := messageSeq(0)
			for _, prev := range sizes[:n] {
				if prev%3 == size%3 {
					seq++
				}
			}
			data := testMessage(stream, n, int(size))
			for off, fsn := 0, uint32(0); off < len(data); fsn++ {
				end := min(len(data), off+40)
				fr := fragment{stream: stream, seq: seq, begin: off == 0, end: end == len(data), unordered: stream == 2, data: data[off:end], interleaving: interleaving, pos: uint32(tsn)}
				if interleaving {
					fr.pos = fsn
				}
				frags, tsns = append(frags, fr), append(tsns, tsn)
				tsn++
				off = end
			}
		}
		for _, i := range append(p.rng.Perm(len(frags)), p.rng.Perm(len(frags))...) {
			if tr.has(tsns[i]) {
				continue
			}
			tr.add(tsns[i])
			r.mayKeep(frags[i].stream)
			if v := r.add(frags[i]); v != "" {
				t.Fatal(v)
			}
		}
		if tr.gaps() || tr.cum != tsn-1 {
			t.Fatalf("tracker at %d..%d, want %d", tr.cum, tr.highest, tsn-1)
		}
		if r.ready.n != len(sizes) || r.memory.partial != 0 || r.runs != 0 {
			t.Fatalf("%d messages of %d, %d bytes left", r.ready.n, len(sizes), r.memory.partial)
		}
		last := map[uint16]int{}
		for range sizes {
			m, _ := r.ready.pop()
			n := int(binary.BigEndian.Uint32(m.Data))
			if string(m.Data) != string(testMessage(m.Stream, n, int(sizes[n]))) {
				t.Fatalf("message %d altered", n)
			}
			if prev, ok := last[m.Stream]; ok && m.Ordered && n <= prev {
				t.Fatalf("message %d after %d", n, prev)
			}
			last[m.Stream] = n
		}
	})
}

// FuzzOutstanding gives random SACKs to the queue of outstanding chunks and compares it
// with a simple model.
func FuzzOutstanding(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 1, 1, 0, 2, 3, 9})
	f.Fuzz(func(t *testing.T, cmds []byte) {
		if len(cmds) > 600 {
			return
		}
		var o outstanding
		var q sendQueue
		o.reset(0xfffffff0)
		bbr, reneged := map[chunkTSN]chunkState{}, map[chunkTSN]bool{}
		first, end := o.first, o.end
		for i := 0; i+2 < len(cmds); i += 3 {
			x, y := int(cmds[i+1]), int(cmds[i+2])
			switch cmds[i] % 4 {
			case 0:
				for range x%8 + 1 {
					m := &outMessage{stream: &outStream{}}
					bbr[o.push(m, 0, 10, 0, sendStamp{})] = chunkInFlight
					end++
				}
			case 1, 2:
				cum := first - 1
				if n := end.minus(first); n > 0 && cmds[i]%4 == 1 {
					cum += chunkTSN(x % (n + 1))
				}
				start := 2 + y%8
				gap := []byte{0, byte(start), 0, byte(start + x%5)}
				if !o.validGaps(cum, gap) {
					gap = nil
				}
				o.ack(cum, gap, 0, &q)
				for ; !first.after(cum); first++ {
					delete(bbr, first)
				}
				if (cum + chunkTSN(start+x%5)).before(end) {
					for tsn := cum + chunkTSN(start); !tsn.after(cum+chunkTSN(start+x%5)) && tsn != end; tsn++ {
						if s, ok := bbr[tsn]; ok && s != chunkAbandoned {
							bbr[tsn] = chunkGapAcked
						}
					}
				}
			case 3:
				o.markAllLost()
				again, renege := false, bbr[first] == chunkGapAcked
				for tsn, s := range bbr {
					if s == chunkInFlight || renege && s == chunkGapAcked {
						bbr[tsn] = chunkLost
					}
					if renege && s == chunkGapAcked {
						again = again || reneged[tsn]
						reneged[tsn] = true
					}
				}
				if o.reneged() != renege {
					t.Fatalf("step %d: reneged is %v", i, o.reneged())
				}
				if renege && o.renege() == again {
					t.Fatalf("step %d: reneging for the second time is %v", i, again)
				}
				if again {
					return // the association ended
				}
				if o.lost > 0 && x%2 == 0 {
					tsn, c := o.firstLost()
					if bbr[tsn] != chunkLost || c != o.at(tsn) {
						t.Fatalf("step %d: firstLost = %d", i, tsn)
					}
					o.resent(tsn, c, sendStamp{})
					bbr[tsn] = chunkInFlight
				}
			}
			bytes := 0
			for tsn, s := range bbr {
				if got := o.at(tsn).state; got != s {
					t.Fatalf("step %d: TSN %d is %d, want %d", i, tsn, got, s)
				}
				if s == chunkInFlight {
					bytes += 10
				}
			}
			if o.first != first || o.end != end || o.bytes != bytes {
				t.Fatalf("step %d: %d..%d %d bytes, want %d..%d %d", i, o.first, o.end, o.bytes, first, end, bytes)
			}
		}
	})
}
