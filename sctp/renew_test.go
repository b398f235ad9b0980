package sctp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// remoteAbort returns an ABORT of the remote.
func remoteAbort(code CauseCode) []byte { return appendAbort(nil, 0, code, []byte("Close called")) }

// handshakeAgain establishes an association that was renewed, and returns the data that
// it sends, see sentNext.
func (s *script) handshakeAgain() [][3]int {
	s.t.Helper()
	old := s.tag
	s.a.Connect(s.now)
	ic, err := parseInit(s.want("INIT", chunkInit))
	if err != nil || ic.tag == old {
		s.t.Fatalf("tag %x, before %x: %v", ic.tag, old, err)
	}
	s.tag, s.tsn = ic.tag, 100
	s.write(initAck(scriptTag+1, 100000))
	sent := s.sentNext()
	s.write([]byte{byte(chunkCookieAck), 0, 0, 4})
	return append(sent, s.sentNext()...)
}

// sentNext returns, for each chunk of data in the next packets, the stream, the stream
// sequence number, and the first byte of the message.
func (s *script) sentNext() (all [][3]int) {
	for {
		pkt, ok := s.a.AppendPacket(s.now, nil, 1200)
		if !ok {
			return all
		}
		for rest := pkt[12:]; len(rest) > 0; {
			c, r, _ := nextChunk(rest)
			if rest = r; c.typ == chunkData {
				all = append(all, [3]int{int(binary.BigEndian.Uint16(c.body[4:])), int(binary.BigEndian.Uint16(c.body[6:])), int(c.body[12])})
			}
		}
	}
}

// The remote replaces its association. Received messages stay, and exactly those
// messages are sent again that the remote cannot have delivered.
func TestRenew(t *testing.T) {
	s := newScript(t, byte(chunkForwardTSN))
	s.a.ExpectRenewal()
	send := func(stream uint16, name byte, size int, o SendOptions) {
		t.Helper()
		if err := s.a.Send(s.now, Message{Stream: stream, Data: bytes.Repeat([]byte{name}, size)}, o); err != nil {
			t.Fatal(err)
		}
	}
	limited := SendOptions{LimitRetransmits: true, MaxRetransmits: 3}
	first := s.a.sender.out.end
	send(1, 'a', 10, SendOptions{})
	s.sentNext()
	s.write(sack(first, 100000))
	for _, m := range []struct {
		stream uint16
		name   byte
		o      SendOptions
	}{
		{1, 'b', SendOptions{}},                // lost
		{1, 'c', SendOptions{}},                // has arrived, but waits for b
		{2, 'd', SendOptions{}},                // has arrived
		{3, 'e', SendOptions{Unordered: true}}, // has arrived
		{3, 'f', SendOptions{Unordered: true}}, // lost
		{4, 'g', limited},                      // lost, and not reliable
	} {
		s.now = s.now.Add(time.Millisecond)
		send(m.stream, m.name, 10, m.o)
		if len(s.sentNext()) == 0 {
			t.Fatal("nothing was sent")
		}
	}
	s.write(sack(first, 100000, 2<<16|4))
	s.a.sender.rwnd = 2000
	send(5, 'h', 5000, limited) // begins, but does not end
	if len(s.sentNext()) == 0 || s.a.sender.queue.messages == 0 {
		t.Fatal("the long message is sent whole")
	}
	send(1, 'i', 10, SendOptions{})
	s.a.ResetStreams(s.now, 2)
	s.write(s.data(7, 0, 3))
	for {
		if _, ok := s.a.NextEvent(); !ok {
			break
		}
	}

	s.write(remoteAbort(CauseUserAbort))
	if ev, _ := s.a.NextEvent(); ev.Kind != EventReplaced || ev.Err == nil {
		t.Fatalf("event %+v", ev)
	}
	if m, ok := s.a.Receive(); !ok || m.Stream != 7 {
		t.Error("a received message is lost")
	}
	if n := s.a.BufferedAmount(5); n != 5000 {
		t.Errorf("%d bytes are buffered of the long message", n)
	}
	send(2, 'j', 10, SendOptions{}) // the reset of its stream was dropped
	s.wantIdle("no association")
	got := s.handshakeAgain()
	if ev, _ := s.a.NextEvent(); ev.Kind != EventEstablished {
		t.Errorf("event %+v", ev)
	}
	slices.SortFunc(got, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) })
	want := [][3]int{{1, 0, 'b'}, {1, 1, 'c'}, {1, 2, 'i'}, {2, 0, 'j'}, {3, 0, 'f'}}
	if len(got) < 6 || !slices.Equal(got[:5], want) || got[5] != [3]int{5, 0, 'h'} {
		t.Errorf("sent again:\n%v, want\n%v and the long message", got, want)
	}
	s.write(s.data(7, 0, 3))
	if m, ok := s.a.Receive(); !ok || m.Stream != 7 {
		t.Error("streams of the remote do not begin at 0")
	}
	s.write(remoteAbort(CauseUserAbort))
	if ev, _ := s.a.NextEvent(); ev.Kind != EventFailed {
		t.Errorf("event %+v after an ABORT without ExpectRenewal", ev)
	}
}

// Only an ABORT by the remote's user begins a renewal.
func TestRenewalByOtherAborts(t *testing.T) {
	s := newScript(t)
	s.a.NextEvent()
	s.a.ExpectRenewal()
	s.write(remoteAbort(CauseProtocolViolation))
	if ev, _ := s.a.NextEvent(); ev.Kind != EventFailed {
		t.Errorf("event %+v", ev)
	}
	if ok := s.a.Renew(s.now); ok {
		t.Error("an association that has ended is renewed")
	}
}

// A Shutdown during a renewal waits for the association, so that queued messages are
// delivered. During a Shutdown there is no renewal.
func TestShutdownDuringRenewal(t *testing.T) {
	s := newScript(t)
	s.a.Send(s.now, Message{Data: []byte("x")}, SendOptions{})
	s.want("data", chunkData)
	s.a.Renew(s.now)
	s.a.Shutdown(s.now)
	if err := s.a.Send(s.now, Message{Data: []byte("late")}, SendOptions{}); err != ErrClosed {
		t.Errorf("Send after Shutdown: %v", err)
	}
	if got := s.handshakeAgain(); len(got) != 1 || got[0][2] != 'x' {
		t.Errorf("sent %v", got)
	}
	if s.a.Renew(s.now) {
		t.Error("it is renewed during a Shutdown")
	}
	s.wantIdle("the data is not acknowledged")
	s.write(sack(s.a.sender.out.first, 100000))
	s.want("all is delivered", chunkShutdown)
}

func TestSuspend(t *testing.T) {
	s := newScript(t)
	first := s.a.sender.out.end
	s.a.Send(s.now, Message{Data: make([]byte, 1000)}, SendOptions{})
	s.want("data", chunkData)
	s.a.Suspend(true)
	s.a.Send(s.now, Message{Data: make([]byte, 1000)}, SendOptions{})
	s.wantIdle("suspended")
	if s.a.Settled() {
		t.Error("settled before the SACK")
	}
	s.advanceToTimer()
	for s.a.sender.out.lost == 0 {
		s.advanceToTimer()
	}
	if body := s.want("the lost chunk", chunkData); chunkTSN(binary.BigEndian.Uint32(body)) != first {
		t.Errorf("TSN %x", body[:4])
	}
	s.wantIdle("still suspended")
	s.write(sack(first, 100000))
	s.wantIdle("still suspended")
	if !s.a.Settled() {
		t.Error("not settled after the SACK")
	}
	s.a.Suspend(false)
	s.want("data again", chunkData)
}

// One end is replaced several times, over a bad link, while all kinds of messages are
// in flight. If the other end has no unacknowledged data at that time, every reliable
// message arrives once and in order. Otherwise no message is missing.
func TestRenewOverBadLinks(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 7))
		p := newPair(t, seed, Config{DisableInterleaving: seed%3 == 0}, Config{})
		p.loss, p.dup, p.jitter = 0.05, 0.02, 5*time.Millisecond
		p.connect()
		settles := seed%2 == 0
		sent := [4]int{}
		send := func() {
			for range 20 {
				stream := uint16(rng.IntN(4))
				size := []int{20, 900, 9000, 60000}[rng.IntN(4)]
				p.send(0, stream, testMessage(stream, sent[stream], size), SendOptions{})
				sent[stream]++
				p.send(0, 10, testMessage(10, 0, size), SendOptions{Unordered: true, LimitRetransmits: true})
			}
		}
		for range 3 {
			send()
			p.run(time.Duration(rng.IntN(300)) * time.Millisecond)
			if settles {
				p.ends[0].Suspend(true)
				send()
				for !p.ends[0].Settled() {
					p.run(10 * time.Millisecond)
				}
			}
			// Packets in flight are lost.
			p.flight = nil
			cfg := Config{Rand: testRand{p.rng}}
			p.ends[0].Renew(p.now)
			p.ends[1] = NewAssociation(cfg)
			p.ends[0].Connect(p.now)
			p.ends[1].Connect(p.now)
		}
		p.run(20 * time.Second)
		next := [4]int{}
		for _, m := range p.got[1] {
			if m.Stream > 3 {
				continue
			}
			n := int(binary.BigEndian.Uint32(m.Data))
			if !bytes.Equal(m.Data, testMessage(m.Stream, n, len(m.Data))) {
				t.Fatalf("seed %d: message %d of stream %d was altered", seed, n, m.Stream)
			}
			if settles && n != next[m.Stream] || n > next[m.Stream] {
				t.Fatalf("seed %d: message %d of stream %d arrived, want %d", seed, n, m.Stream, next[m.Stream])
			}
			next[m.Stream] = n + 1
		}
		if next != sent {
			t.Errorf("seed %d: %v sent, %v arrived", seed, sent, next)
		}
		a := p.ends[0]
		if !a.Settled() || a.sender.queue.messages != 0 || a.sender.queue.bytes != 0 {
			t.Errorf("seed %d: %d messages of %d bytes are left over", seed, a.sender.queue.messages, a.sender.queue.bytes)
		}
		for stream := range uint16(11) {
			if n := a.BufferedAmount(stream); n != 0 {
				t.Errorf("seed %d: %d bytes buffered", seed, n)
			}
			if s := a.sender.queue.streams.get(stream); s != nil && s.pending != 0 {
				t.Errorf("seed %d: %d messages pending", seed, s.pending)
			}
		}
	}
}
