package rtcpeer

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/sctp"
)

// A hostile is the remote of a Host's connection that has all keys and sends what
// it likes. Its own stack stands still.
type hostile struct {
	p        *peer // its lock is held
	header   []byte
	tsn      uint32 // the next
	cum      uint32 // what it has received
	resetSeq uint32

	interleaved bool // RFC 8260
}

// newHostile takes over the end of a connection, until the test ends.
func newHostile(t *testing.T, c *Conn, x *DataChannel) *hostile {
	t.Helper()
	h := &hostile{p: c.ext.(*stack).peer}
	p, stream := h.p, uint16(x.ID())
	p.mu.Lock()
	t.Cleanup(p.mu.Unlock)
	now := time.Now()
	a := p.core.assoc
	a.Send(now, sctp.Message{Stream: stream, PPID: 53, Data: []byte("x")}, sctp.SendOptions{})
	a.ResetStreams(now, 1001)
	for range 1000 {
		pkt, ok := a.AppendPacket(now, nil, 1200)
		if !ok && h.tsn > 0 && h.resetSeq > 0 {
			break
		}
		if !ok {
			now = now.Add(time.Millisecond) // as the pacer wants
			continue
		}
		h.header = pkt[:8]
		for b := pkt[12:]; len(b) >= 4; {
			n := int(binary.BigEndian.Uint16(b[2:]))
			switch b[0] {
			case 0, 64:
				h.interleaved = b[0] == 64
				h.tsn = binary.BigEndian.Uint32(b[4:]) + 1
			case 3:
				h.cum = binary.BigEndian.Uint32(b[4:])
			case 130:
				h.resetSeq = binary.BigEndian.Uint32(b[8:]) + 1
			}
			b = b[min((n+3)&^3, len(b)):]
		}
		h.send(h.record(pkt))
	}
	if h.tsn == 0 || h.resetSeq == 0 {
		t.Fatal("the numbers of the association did not show")
	}
	return h
}

// record is one DTLS record.
func (h *hostile) record(b []byte) []byte {
	d := h.p.core.dtls
	start := d.BeginRecord(nil)
	return d.FinishRecord(append(start, b...), 0)
}

// send sends a datagram on the selected pair.
func (h *hostile) send(b []byte) int {
	out, _ := h.p.core.agent.BeginData(nil)
	out, r := h.p.core.agent.FinishData(append(out, b...), 0)
	h.p.write(r, out, len(out))
	return len(out)
}

// packet is an SCTP packet of chunks.
func (h *hostile) packet(chunks ...[]byte) []byte {
	b := append(slices.Clone(h.header), 0, 0, 0, 0)
	for _, c := range chunks {
		b = append(b, c...)
	}
	binary.LittleEndian.PutUint32(b[8:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func hostileChunk(typ, flags byte, words ...uint32) []byte {
	b := []byte{typ, flags, 0, byte(0)}
	for _, w := range words {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// attacks return a datagram each time.
var attacks = []struct {
	name string
	next func(h *hostile, n int) []byte
}{
	{"nothing", nil}, // what the others are compared to
	{"resets of all streams", func(h *hostile, n int) []byte {
		var chunks [][]byte
		for range 35 {
			chunks = append(chunks, hostileChunk(130, 0, 13<<16|16, h.resetSeq, 0, h.tsn-1))
			h.resetSeq++
		}
		return h.record(h.packet(chunks...))
	}},
	{"contradictory SACKs", func(h *hostile, n int) []byte {
		var chunks [][]byte
		for i := range 40 {
			if i%2 == 0 {
				chunks = append(chunks, hostileChunk(3, 0, h.cum, 1<<20, 1<<16, 1<<16|1))
			} else {
				chunks = append(chunks, hostileChunk(3, 0, h.cum, 1<<20, 0))
			}
		}
		return h.record(h.packet(chunks...))
	}},
	{"FORWARD TSN of many streams", func(h *hostile, n int) []byte {
		words := []uint32{h.tsn}
		h.tsn++
		if h.interleaved {
			for i := range 140 {
				words = append(words, uint32(n*140+i)%65535<<16, 1)
			}
			return h.record(h.packet(hostileChunk(194, 0, words...)))
		}
		for i := range 280 {
			words = append(words, uint32(n*280+i)%65535<<16|1)
		}
		return h.record(h.packet(hostileChunk(192, 0, words...)))
	}},
	{"empty records", func(h *hostile, n int) (b []byte) {
		for len(b) < 60_000 {
			b = append(b, h.record(nil)...)
		}
		return b
	}},
	{"garbage", func(h *hostile, n int) []byte { return append([]byte{23, 254, 253}, make([]byte, 1000)...) }},
}

// An authenticated remote that sends what is meant to be expensive costs the Host
// memory and answers within bounds, and the connection beside it goes on.
func TestHostileNeighbour(t *testing.T) {
	for _, attack := range attacks {
		t.Run(strings.ReplaceAll(attack.name, " ", "_"), func(t *testing.T) {
			h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { h.Close() })
			_, _, x, y := realPairOf(t, Config{}, Config{Host: h})
			c, d, cx, cy := realPairOf(t, Config{}, Config{Host: h})
			transfer(t, cx, cy)
			for i := range 2000 {
				ch, err := d.OpenDataChannel(fmt.Sprint(i), ChannelOptions{})
				if err != nil {
					t.Fatal(err)
				}
				defer ch.Close()
			}
			<-time.After(200 * time.Millisecond)
			hostile := newHostile(t, c, cx)
			for range 64 {
				cy.PutPacket(make([]byte, 16384)) // which is never acknowledged
			}
			<-time.After(100 * time.Millisecond)

			victim := d.ext.(*stack).peer
			traffic := func() (in, out uint64) {
				victim.mu.Lock()
				defer victim.mu.Unlock()
				return victim.traffic.bytesReceived, victim.traffic.bytesSent
			}
			heap := func() int {
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				return int(m.HeapAlloc)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			go func() {
				for {
					p, _, err := y.Receive(ctx)
					if err != nil || y.Send(ctx, p, false) != nil {
						return
					}
				}
			}()
			in0, out0 := traffic()
			heap0, busy0 := heap(), busy()
			const datagrams = 300
			stop := make(chan bool)
			go func() {
				defer close(stop)
				tick := time.NewTicker(5 * time.Millisecond)
				defer tick.Stop()
				for n := range datagrams {
					if attack.next != nil {
						hostile.send(attack.next(hostile, n))
					}
					<-tick.C
				}
			}()
			var pings []time.Duration
			for going := true; going; {
				select {
				case <-stop:
					going = false
				case <-time.After(2 * time.Millisecond):
				}
				begin := time.Now()
				if err := x.Send(ctx, []byte("ping"), false); err != nil {
					t.Fatal(err)
				}
				if _, _, err := x.Receive(ctx); err != nil {
					t.Fatal("the connection beside it stands still: ", err)
				}
				pings = append(pings, time.Since(begin))
			}
			in, out := traffic()
			in, out = in-in0, out-out0
			kept := heap() - heap0
			cpu := busy() - busy0
			slices.Sort(pings)
			t.Logf("%-30s ping p50 %6.2f p99 %7.2f max %7.2f ms; %6.0f µs CPU a datagram; heap %+6d KB; %d bytes in, %d out",
				attack.name, ms(pings[len(pings)/2]), ms(pings[len(pings)*99/100]), ms(pings[len(pings)-1]),
				float64(cpu.Microseconds())/datagrams, kept/1000, in, out)
			const slack = 2 << 20 // the data that is never acknowledged, sent again when timers fire
			if out > in+slack {
				t.Errorf("%d bytes of answers to %d", out, in)
			}
			if kept > sctp.DefaultReserve {
				t.Errorf("%d bytes are kept", kept)
			}
		})
	}
}

// busy is the processor time of all goroutines that ran until the last garbage
// collection.
func busy() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/user:cpu-seconds"}}
	metrics.Read(s)
	return time.Duration(s[0].Value.Float64() * float64(time.Second))
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
