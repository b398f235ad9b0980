package datachannel

import (
	"testing"
	"time"

	"purertc/sctp"
)

// FuzzSession makes one end send data that no session sends, while both ends open, use
// and close channels. At the end nothing is charged to the memory.
func FuzzSession(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 5, 2, 2, 9, 3, 4, 1, 4, 1, 0, 5, 0, 0, 6, 3, 7, 7, 2, 0, 8, 0, 0})
	f.Add([]byte{2, 4, 4, 2, 4, 1, 3, 4, 7, 6, 4, 0, 9, 200, 0, 4, 0, 0, 1, 1, 1, 7, 4, 0, 9, 255, 0})
	ppids := []uint32{ppidString, ppidBinary, ppidStringPartial, ppidBinaryPartial, ppidStringEmpty, ppidBinaryEmpty, 99, ppidDCEP}
	f.Fuzz(func(t *testing.T, cmds []byte) {
		if len(cmds) > 600 {
			return
		}
		w := newWorld(t, 1)
		w.assoc[1] = sctp.NewAssociation(sctp.Config{Rand: testRand{w.rng}, MemoryLimit: sctp.MinMemoryLimit(MaxOpenSize), MaxMessageSize: MaxOpenSize})
		w.ends[1] = NewSession(w.assoc[1], Config{MaxMessageSize: 3000, MaxChannels: 20})
		w.start()
		var cs []*Channel
		for ; len(cmds) >= 3; cmds = cmds[3:] {
			x, y := cmds[1], cmds[2]
			p := reliable(string(make([]byte, int(y)*20)))
			if y&1 != 0 {
				p.MaxRetransmits = 1
			}
			raw := func(ppid uint32, data []byte) {
				w.assoc[0].Send(w.now, sctp.Message{Stream: uint16(x % 40), PPID: ppid, Data: data}, sctp.SendOptions{Unordered: y&2 != 0})
			}
			switch cmds[0] % 10 {
			case 0, 1:
				p.Negotiated, p.ID = y&4 != 0, uint16(x%40)
				if c, err := w.ends[cmds[0]%10].Open(w.now, p); err == nil {
					cs = append(cs, c)
				}
			case 2:
				raw(ppidDCEP, appendOpen(nil, &p))
			case 3, 4, 5:
				raw(ppids[y%8], make([]byte, 1+int(x)*int(y)/8))
			case 6:
				w.assoc[0].ResetStreams(w.now, uint16(x%40))
			case 7:
				if len(cs) > 0 {
					cs[int(x)%len(cs)].Close(w.now)
				}
			case 8:
				for _, c := range w.incoming(1) {
					drain(w, c)
				}
			case 9:
				w.run(time.Duration(x) * time.Duration(y) * time.Millisecond)
			}
			w.run(10 * time.Millisecond)
			if m := w.assoc[1].Memory(); m.Used() > m.Limit()+2048 || w.ends[1].channels.len() > 20 {
				t.Fatalf("%d of %d bytes are charged, %d channels", m.Used(), m.Limit(), w.ends[1].channels.len())
			}
		}
		w.ends[1].closeAll(w.now, nil)
		for i := range 2 {
			for _, c := range append(cs, w.incoming(i)...) {
				drain(w, c)
			}
		}
		w.step(1)
		s := w.ends[1]
		if s.unreliableBytes != 0 || s.earlyBytes != 0 || s.earlyMessages != 0 || s.live.first != nil || s.unacked.first != nil || s.unreset.first != nil {
			t.Errorf("%d, %d, %d: something stays counted", s.unreliableBytes, s.earlyBytes, s.earlyMessages)
		}
		if n := w.assoc[1].Memory().Above(); n != 0 {
			t.Errorf("%d bytes stay charged", n)
		}
	})
}
