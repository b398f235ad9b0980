package sctp

import (
	"testing"
	"time"
)

// A FORWARD TSN that was lost goes again when a SACK shows that it was, not
// when the retransmission timer runs out: what comes later on the stream waits
// for it.
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
