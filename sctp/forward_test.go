package sctp

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// A lost FORWARD TSN is sent again when a SACK shows its loss, not only when the
// retransmission timer expires: later messages on the stream wait for it.
func TestLostForwardTSN(t *testing.T) {
	for _, cfg := range []Config{{}, {DisableInterleaving: true}} {
		p := newPair(t, 1, cfg, cfg)
		p.connect()
		data, forwards := 0, 0
		p.inspect = func(to int, pkt []byte) bool {
			for rest := pkt[commonHeaderSize:]; len(rest) > 0; {
				c, r, ok := nextChunk(rest)
				if !ok {
					break
				}
				rest = r
				switch c.typ {
				case chunkData, chunkIData:
					if data++; data == 1 {
						return false
					}
				case chunkForwardTSN, chunkIForwardTSN:
					if forwards++; forwards <= 3 {
						return false
					}
				}
			}
			return true
		}
		p.send(0, 1, []byte("given up"), SendOptions{LimitRetransmits: true})
		begin := p.now
		for n := 0; len(p.got[1]) == 0; n++ {
			if n == 100 {
				t.Fatal("nothing arrives")
			}
			p.send(0, 1, []byte("later"), SendOptions{})
			p.run(10 * time.Millisecond)
		}
		if took := p.now.Sub(begin); forwards <= 3 || took > 200*time.Millisecond {
			t.Errorf("%v with %d FORWARD TSNs", took, forwards)
		}
	}
}

// One FORWARD TSN skips several gaps, and the chunks between them that the remote has
// acknowledged. It does not skip a reliable message, which the remote may still drop
// (RFC 9260 §6.2.1). It lists only abandoned messages.
func TestForwardTSNSkipsSeveralGaps(t *testing.T) {
	for _, reliable := range []bool{false, true} {
		s := newScript(t, byte(chunkForwardTSN))
		first := s.a.sender.out.end
		for n := range uint16(8) {
			o := SendOptions{LimitRetransmits: true}
			if n == 3 && reliable {
				o = SendOptions{}
			}
			s.a.Send(s.now, Message{Stream: n, Data: make([]byte, 1170)}, o)
			s.want("data", chunkData)
			s.now = s.now.Add(time.Millisecond)
		}
		s.now = s.now.Add(40 * time.Millisecond)
		s.write(sack(first+1, 100000, 2<<16|2, 4<<16|6)) // the third and the fifth are missing
		wantTSN, wantStreams := first+4, []uint16{2, 4}
		if reliable {
			wantTSN, wantStreams = first+2, []uint16{2}
		}
		body := s.want("abandoned", chunkForwardTSN)
		var streams []uint16
		for e := body[4:]; len(e) >= 4; e = e[4:] {
			streams = append(streams, binary.BigEndian.Uint16(e))
		}
		if got := chunkTSN(binary.BigEndian.Uint32(body)); got != wantTSN || !slices.Equal(streams, wantStreams) {
			t.Errorf("reliable %v: up to TSN %d, streams %v; want %d, %v", reliable, got-first, streams, wantTSN-first, wantStreams)
		}
		if !reliable {
			continue
		}
		s.now = s.now.Add(40 * time.Millisecond)
		s.write(sack(first+3, 100000, 2<<16|4))
		if got := chunkTSN(binary.BigEndian.Uint32(s.want("the rest", chunkForwardTSN))); got != first+4 {
			t.Errorf("then up to TSN %d", got-first)
		}
	}
}
