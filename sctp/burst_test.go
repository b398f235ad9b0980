package sctp

import (
	"fmt"
	"testing"
	"time"
)

// A fullSocket is the receiving socket of a busy process. The process reads the packets
// only at the end of each period, and the socket holds a limited number of them.
type fullSocket struct {
	period time.Duration
	holds  int
	counts map[time.Time]int // number of packets that are read at each time
}

// arrive returns how long an arriving packet waits to be read. ok is false if the socket
// is full.
func (s *fullSocket) arrive(at time.Time) (wait time.Duration, ok bool) {
	read := at.Truncate(s.period).Add(s.period)
	if s.counts[read] == s.holds {
		return 0, false
	}
	s.counts[read]++
	return read.Sub(at), true
}

// Small messages that a program sends in a loop do not make the receiver's socket
// overflow, whatever the speed of the loop and the length of the path.
func TestBurstFitsTheSocket(t *testing.T) {
	const count, size = 500, 30
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		for _, delay := range []time.Duration{0, 50 * time.Microsecond, 5 * time.Millisecond, 100 * time.Millisecond} {
			for _, gap := range []time.Duration{0, 5 * time.Microsecond, 50 * time.Microsecond, 150 * time.Microsecond} {
				for name, o := range map[string]SendOptions{
					"reliable":   {},
					"retransmit": {Unordered: true, LimitRetransmits: true},
					"lifetime":   {Lifetime: time.Millisecond},
				} {
					for _, streams := range []int{1, 100} {
						t.Run(fmt.Sprintf("%v/%v/%v/%s/%d", c, delay, gap, name, streams), func(t *testing.T) {
							p := newPair(t, 1, Config{CongestionControl: c, DisableInterleaving: streams == 1}, Config{})
							p.delay = delay
							p.connect()
							p.send(0, 1, testMessage(1, 0, size), SendOptions{}) // this exchange measures the round trip
							p.run(time.Second)
							p.got[1] = nil
							s := &fullSocket{5 * time.Millisecond, 64, map[time.Time]int{}}
							p.path = func(to int, _ []byte) (time.Duration, bool) {
								if to == 0 {
									return 0, true
								}
								return s.arrive(p.now.Add(delay))
							}
							for n := range count {
								p.send(0, uint16(n%streams), testMessage(uint16(n%streams), n, size), o)
								p.flush(0)
								if gap > 0 {
									p.run(gap)
								}
							}
							p.run(2 * time.Second)
							if len(p.got[1]) != count || p.ends[0].Stats().ChunksRetransmitted > 0 {
								t.Errorf("%d of %d arrive, %d of them sent again", len(p.got[1]), count, p.ends[0].Stats().ChunksRetransmitted)
							}
						})
					}
				}
			}
		}
	}
}

// The first packets of a burst are sent at once. Later messages share packets.
func TestBurstSharesPackets(t *testing.T) {
	for _, streams := range []int{1, 100} {
		p := newPair(t, 1, Config{}, Config{})
		p.connect()
		const count = 500
		p.packets = 0
		for n := range count {
			p.send(0, uint16(n%streams), testMessage(0, n, 30), SendOptions{Unordered: true, LimitRetransmits: true})
			p.flush(0)
			if n == 0 && p.packets != 1 {
				t.Fatal("the first message does not go at once")
			}
		}
		for p.ends[0].sender.queue.messages > 0 {
			p.now = p.ends[0].NextTimeout() // no acknowledgement arrives
			p.ends[0].Advance(p.now)
			p.flush(0)
		}
		const each = (1200 - commonHeaderSize) / (iDataHeaderSize + 32)
		if full := (count + each - 1) / each; p.packets > full+smallBurst+1 {
			t.Errorf("%d streams: %d packets, where %d would do", streams, p.packets, full)
		}
	}
}

// A message that follows no others is sent at once, and so is the answer to it, at any
// rate at which the two ends can exchange messages.
func TestLoneMessagesGoAtOnce(t *testing.T) {
	now := func(p *pair, why string, size int) {
		t.Helper()
		p.send(0, 1, testMessage(1, 0, size), SendOptions{})
		p.flush(0)
		if p.ends[0].Pending() == 0 || p.ends[0].sender.queue.messages > 0 {
			t.Fatalf("%s: a message of %d bytes waits", why, size)
		}
	}
	for _, size := range []int{8, 1000, 3000, 16000} {
		p := newPair(t, 1, Config{}, Config{})
		p.delay = 5 * time.Microsecond
		p.connect()
		for range 1000 { // in one direction; every second packet is not acknowledged
			now(p, "the next of those that have arrived", size)
			p.run(25 * time.Microsecond)
		}
		for range 1000 {
			now(p, "there and back", size)
			p.run(10 * time.Microsecond)
			p.send(1, 1, testMessage(1, 0, size), SendOptions{})
			p.flush(1)
			if p.ends[1].sender.queue.messages > 0 {
				t.Fatal("an answer waits")
			}
			p.run(10 * time.Microsecond)
		}
		p = newPair(t, 1, Config{}, Config{})
		p.delay = 50 * time.Millisecond
		p.connect()
		if size > 1000 {
			continue // the pacer spreads these packets
		}
		for range 1000 {
			now(p, "many in flight", size)
			p.run(5 * time.Millisecond)
		}
		for range 100 {
			for range smallBurst {
				now(p, "a few each tick", 8)
			}
			p.run(gameTick)
		}
	}
}

// Flush sends data that is waiting to share a packet.
func TestFlush(t *testing.T) {
	p := newPair(t, 1, Config{}, Config{})
	p.connect()
	for n := range 20 {
		p.send(0, 1, testMessage(1, n, 30), SendOptions{})
		p.flush(0)
	}
	if p.ends[0].sender.queue.messages == 0 {
		t.Fatal("nothing waits")
	}
	p.ends[0].Flush()
	p.flush(0)
	if n := p.ends[0].sender.queue.messages; n > 0 {
		t.Errorf("%d messages wait", n)
	}
}
