package sctp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"
)

// A tickerRun records the messages of a program that sends some in each tick.
type tickerRun struct {
	pair *pair
	sent int
	ages []time.Duration // ages of messages at their arrival
	late *lateness
}

const gameTick = time.Second / 60

// runTicks makes end 0 send for a number of ticks over a path that carries rate bytes a
// second (0: any rate) behind a queue, and records what end 1 receives.
func runTicks(t *testing.T, cfg Config, delay time.Duration, rate float64, loss float64, ticks, count, size int, o SendOptions) *tickerRun {
	p := newPair(t, 1, cfg, cfg)
	p.delay = delay
	p.connect()
	p.loss = loss
	r := &tickerRun{pair: p}
	var free time.Time // when the bottleneck is free
	p.path = func(to int, pkt []byte) (wait time.Duration, ok bool) {
		if rate == 0 || to == 0 {
			return 0, true
		}
		if free.Before(p.now) {
			free = p.now
		}
		wait = free.Sub(p.now)
		if wait > 2*delay { // the queue is full
			return 0, false
		}
		free = free.Add(time.Duration(float64(len(pkt)+50) / rate * 1e9))
		return free.Sub(p.now), true
	}
	sentAt := map[int]time.Time{}
	r.late = watchLateness(p, sentAt)
	p.arrived = func(i int, m Message) {
		n := int(binary.BigEndian.Uint32(m.Data))
		r.ages = append(r.ages, p.now.Sub(sentAt[n]))
	}
	for range ticks {
		for range count {
			sentAt[r.sent] = p.now
			p.send(0, 1, testMessage(1, r.sent, size), o)
			p.flush(0)
			r.sent++
		}
		p.run(gameTick)
	}
	p.run(5 * time.Second)
	slices.Sort(r.ages)
	return r
}

// A lifetime of a millisecond loses nothing on a path that loses nothing and carries
// everything that the program sends.
func TestShortLifetimeLosesNothing(t *testing.T) {
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		for _, delay := range []time.Duration{25 * time.Millisecond, 100 * time.Millisecond} {
			for _, row := range []struct{ count, size int }{{1, 1000}, {1, 4000}, {1, 16000}, {4, 4000}, {20, 1000}} {
				for _, unordered := range []bool{false, true} {
					t.Run(fmt.Sprintf("%v/%v/%dx%d/unordered=%v", c, delay, row.count, row.size, unordered), func(t *testing.T) {
						cfg := Config{CongestionControl: c, DisableInterleaving: unordered}
						r := runTicks(t, cfg, delay, 12.5e6, 0, 120, row.count, row.size, SendOptions{Unordered: unordered, Lifetime: time.Millisecond})
						if 100*len(r.ages) < 99*r.sent {
							t.Errorf("%d of %d messages arrive", len(r.ages), r.sent)
						}
					})
				}
			}
		}
	}
}

// A lateness records how late messages began, and how late chunks were retransmitted.
type lateness struct{ begin, again time.Duration }

// watchLateness examines the DATA or I-DATA chunks that end 0 sends on a single stream,
// of messages queued at the times in sentAt.
func watchLateness(p *pair, sentAt map[int]time.Time) *lateness {
	l := &lateness{}
	message := map[chunkTSN]int{} // by TSN; the TSNs of a message are consecutive
	p.inspect = func(to int, pkt []byte) bool {
		for rest := pkt[commonHeaderSize:]; to == 1 && len(rest) > 0; {
			c, r, ok := nextChunk(rest)
			if !ok {
				break
			}
			rest = r
			if c.typ != chunkData && c.typ != chunkIData {
				continue
			}
			tsn, f, _ := parseData(c)
			if n, again := message[tsn]; again {
				l.again = max(l.again, p.now.Sub(sentAt[n]))
			} else if f.begin {
				message[tsn] = int(binary.BigEndian.Uint32(f.data))
				l.begin = max(l.begin, p.now.Sub(sentAt[message[tsn]]))
			} else {
				message[tsn] = message[tsn-1]
			}
		}
		return true
	}
	return l
}

// Nothing is sent or arrives late, whether packets are lost or the program sends more
// than the path carries. No message begins after the time for which it may wait,
// nothing is retransmitted after its lifetime, and a message on an ordered channel
// does not wait for abandoned messages.
func TestNothingLateIsSent(t *testing.T) {
	paths := map[string]struct {
		rate, loss float64
		rtt        time.Duration // with two packets and a SACK added to the delay
	}{
		"loss": {rate: 12.5e6, loss: 0.05, rtt: time.Millisecond},
		"slow": {rate: 125e3, rtt: 30 * time.Millisecond},
	}
	for _, c := range []CongestionControl{CongestionBBR, CongestionCubic, CongestionReno} {
		for _, delay := range []time.Duration{25 * time.Millisecond, 100 * time.Millisecond} {
			for _, lifetime := range []time.Duration{time.Millisecond, 100 * time.Millisecond} {
				for name, path := range paths {
					for _, row := range []struct{ count, size int }{{1, 16000}, {20, 1000}} {
						for _, unordered := range []bool{false, true} {
							t.Run(fmt.Sprintf("%v/%v/%v/%s/%dx%d/unordered=%v", c, delay, lifetime, name, row.count, row.size, unordered), func(t *testing.T) {
								cfg := Config{CongestionControl: c, DisableInterleaving: row.count == 1}
								r := runTicks(t, cfg, delay, path.rate, path.loss, 120, row.count, row.size, SendOptions{Unordered: unordered, Lifetime: lifetime})
								rtt := 2*delay + path.rtt
								wait := max(lifetime, minGrace, graceRTTs*rtt)
								if r.late.begin > wait || r.late.again > lifetime {
									t.Errorf("messages begin after up to %v, of %v; are sent again after %v, of %v", r.late.begin, wait, r.late.again, lifetime)
								}
								if len(r.ages) == 0 {
									t.Fatal("nothing arrives")
								}
								if oldest := r.ages[len(r.ages)-1]; path.loss > 0 && oldest > wait+lifetime+4*rtt {
									t.Errorf("a message arrives after %v", oldest)
								}
								carried := int(path.rate * (120 * gameTick).Seconds())
								if got := len(r.ages) * row.size; path.loss == 0 && got < carried/2 {
									t.Errorf("%d bytes arrive where the path carries %d", got, carried)
								}
								if a := r.pair.ends[0]; !a.sender.drained() {
									t.Errorf("%d messages and %d chunks are left", a.sender.queue.messages, a.sender.out.len())
								}
							})
						}
					}
				}
			}
		}
	}
}
