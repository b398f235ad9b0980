package sctp

import (
	"bytes"
	"testing"
)

// A program that recycles received messages causes no garbage.
func TestRecycle(t *testing.T) {
	for _, size := range []int{100, 1000, 16384, 100000} {
		x, y, now := connectedPair(t, Config{})
		msg := bytes.Repeat([]byte{7}, size)
		buf := make([]byte, 0, 2048)
		send := func() {
			x.Send(now, Message{Data: msg}, SendOptions{})
			for moved := true; moved; {
				moved = false
				for _, from := range []*Association{x, y} {
					to := y
					if from == y {
						to = x
					}
					for {
						pkt, ok := from.AppendPacket(now, buf, 1200)
						if !ok {
							break
						}
						moved = true
						to.HandlePacket(now, pkt)
					}
				}
			}
			m, ok := y.Receive()
			if !ok || !bytes.Equal(m.Data, msg) {
				t.Fatalf("received %d bytes, %v", len(m.Data), ok)
			}
			y.Release(now, len(m.Data))
			clear(m.Data) // as a program may before it recycles
			y.Recycle(m.Data)
		}
		for range 200 {
			send()
		}
		if n := testing.AllocsPerRun(200, send); n != 0 {
			t.Errorf("%v allocations for a message of %d bytes", n, size)
		}
	}
}

// The kept buffers are bounded, and only a buffer that fits is used.
func TestSpares(t *testing.T) {
	var s spares
	for range 1000 {
		s.put(make([]byte, 10000))
	}
	if len(s.free) > maxSpares || s.bytes > maxSpareBytes {
		t.Errorf("%d buffers, %d bytes", len(s.free), s.bytes)
	}
	if b := s.get(1000); cap(b) > 2000 {
		t.Errorf("%d bytes for 1000", cap(b))
	}
	n := len(s.free)
	if b := s.get(9000); cap(b) != 10000 || len(b) != 0 || len(s.free) != n-1 {
		t.Errorf("cap %d, %d left of %d", cap(b), len(s.free), n)
	}
	s.put(nil)
	s.put(make([]byte, 2*maxSpareBytes))
	if len(s.free) != n-1 {
		t.Error("a useless buffer is kept")
	}
}
