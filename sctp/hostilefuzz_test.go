package sctp

import (
	"testing"
	"time"
)

// account computes the charge by examining all stored objects.
func (a *Association) account() (partial, streams int) {
	r := &a.receiver.reassembly
	for _, u := range r.allRuns() {
		partial += u.charge
		streams += u.room
	}
	r.streams.each(func(s *inStream) {
		streams += streamOverhead
		for _, w := range s.waiting {
			partial += len(w.m.Data) + messageOverhead
		}
	})
	a.sender.queue.streams.each(func(s *outStream) {
		if s.charged {
			streams += resetOverhead
		}
	})
	return partial, streams
}

// hostileChunk returns a chunk of the remote for a command of four bytes.
func (s *script) hostileChunk(cmd []byte) []byte {
	x, y, z := cmd[1], cmd[2], cmd[3]
	switch cmd[0] % 16 {
	case 0, 1, 2:
		tsn := s.a.receiver.in.cum + 1 + chunkTSN(y%32)
		if y%32 == 31 {
			tsn += chunkTSN(x) << 7
		}
		s.tsn = tsn
		if s.a.receiver.interleaving() {
			return s.iData(uint16(x%40), uint32(y%4), uint32(z>>4), z&15, make([]byte, 1+int(y)*4))
		}
		return s.data(uint16(x%40), uint16(y%4), z&15)
	case 3, 4:
		next := uint32(s.a.sender.out.end - s.a.sender.out.first)
		first := uint32(x%8) + uint32(z&1)
		return sack(s.a.sender.out.first-1+chunkTSN(z%4), uint32(y)<<10, first<<16|(first+uint32(y)%(next+2)), uint32(x)<<16|uint32(x)+uint32(z%3))
	case 5, 6:
		t := chunkForwardTSN
		if s.a.receiver.interleaving() {
			t = chunkIForwardTSN
		}
		b, start := beginChunk(nil, t, 0)
		b = appendInts(b, uint32(s.a.receiver.in.cum)+uint32(x%64))
		for n := range uint32(y % 4) {
			b = appendInts(b, uint32(z)%50+n<<16)
			if s.a.receiver.interleaving() {
				b = appendInts(b, uint32(y%8))
			}
		}
		return endChunk(b, start)
	case 7, 8:
		b, start := beginChunk(nil, chunkReconfig, 0)
		body := appendInts(nil, uint32(s.a.reset.peerSeq)+uint32(x%3)-1)
		t := paramOutgoingReset + paramType(y%6)
		switch t {
		case paramOutgoingReset:
			body = appendInts(body, 0, uint32(s.a.receiver.in.cum)+uint32(z%4))
			body = append(body, make([]byte, z%6)...)
		case paramReconfigResponse:
			body = appendInts(nil, uint32(s.a.reset.nextSeq), uint32(z%7))
		default:
			body = appendInts(body, uint32(z)<<16)
		}
		return endChunk(appendParam(b, t, body), start)
	}
	b, start := beginChunk(nil, chunkType(x), z)
	return endChunk(append(b, make([]byte, y)...), start)
}

// FuzzHostileRemote makes a remote send any sequence of chunks while data flows in both
// directions. Everything that is kept is charged.
func FuzzHostileRemote(f *testing.F) {
	f.Add([]byte{0, 1, 0, 1, 0, 1, 2, 3, 3, 1, 9, 0, 3, 2, 9, 1, 9, 0, 0, 0, 5, 9, 3, 2, 7, 1, 0, 4, 10, 30, 0, 0, 11, 0, 0, 0, 3, 0, 4, 3}, true)
	f.Add([]byte{2, 1, 31, 2, 2, 9, 5, 5, 6, 40, 3, 7, 8, 1, 4, 200, 12, 3, 3, 3, 7, 1, 0, 0, 10, 255, 0, 0, 15, 192, 6, 0, 15, 10, 200, 3}, false)
	f.Fuzz(func(t *testing.T, cmds []byte, interleaving bool) {
		if len(cmds) > 1600 {
			return
		}
		ext := []byte{byte(chunkForwardTSN), byte(chunkReconfig)}
		if interleaving {
			ext = append(ext, byte(chunkIData), byte(chunkIForwardTSN))
		}
		s := newScriptWith(t, Config{MaxMessageSize: 20000, MemoryLimit: MinMemoryLimit(20000)}, 30, ext...)
		for ; len(cmds) >= 4; cmds = cmds[4:] {
			switch x := cmds[1]; cmds[0] % 16 {
			case 9:
				s.a.Send(s.now, Message{Stream: uint16(x % 8), Data: make([]byte, 1+int(cmds[2])*20)}, SendOptions{LimitRetransmits: x&1 != 0, Unordered: x&2 != 0})
			case 10:
				s.now = s.now.Add(time.Duration(x) * 10 * time.Millisecond)
				s.a.Advance(s.now)
			case 11:
				for m, ok := s.a.Receive(); ok; m, ok = s.a.Receive() {
					s.a.Release(s.now, len(m.Data))
				}
			case 12:
				s.a.NextEvent()
			case 13:
				s.a.ResetStreams(s.now, uint16(x%50))
			default:
				before, sent := s.a.sender.counters.ChunksRetransmitted, s.a.sender.out.len()
				s.write(s.hostileChunk(cmds))
				s.drop()
				if n := s.a.sender.counters.ChunksRetransmitted - before; n > uint64(sent) {
					t.Fatalf("%d chunks of %d were sent again for one", n, sent)
				}
			}
			m := s.a.memory
			if partial, streams := s.a.account(); partial != m.partial || streams != m.streams {
				t.Fatalf("charged %d and %d, kept %d and %d", m.partial, m.streams, partial, streams)
			}
			if m.held < 0 || m.Used() > m.Limit()+2048 || s.a.sender.out.bytes < 0 || s.a.events.queue.n > 1000 {
				t.Fatalf("%d bytes held, %d of %d charged, %d in flight, %d events", m.held, m.Used(), m.Limit(), s.a.sender.out.bytes, s.a.events.queue.n)
			}
		}
	})
}
