package simnet_test

import (
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
	"purertc/sctp"
)

// These tests check the requirements on congestion control, in virtual time. The nodes
// are associations, on a path of 100 Mbit/s.

// recordSize is the number of bytes that DTLS 1.2 adds to a packet: 13 bytes of
// header, 8 of explicit nonce, 16 of tag. The simulated datagrams are longer by this
// number, so that SCTP gets the same share of the path as in a whole stack.
const recordSize = 37

const datagramSize = 1200

// An end is one end of an association.
type end struct {
	*sctp.Association
	world         *simnet.World
	local, remote netip.AddrPort

	bulk    bool // the end sends messages of 16 KiB all the time
	echo    bool // the end sends every message on stream 1 back
	got     int  // received bytes of bulk data
	next    uint32
	bad     bool // a message was out of order
	pings   []time.Duration
	pingAt  time.Time
	message []byte
}

const (
	bulkStream = 0
	pingStream = 1
)

// A host is a node with any number of ends. The ends share its address, and so the
// path to another host.
type host struct {
	addr netip.Addr
	ends []*end
	turn int
	late time.Duration // how late its timers fire
}

func (h *host) end(port uint16) *end {
	for _, e := range h.ends {
		if e.local.Port() == port {
			return e
		}
	}
	return nil
}

func (h *host) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	if e := h.end(local.Port()); e != nil {
		e.handle(now, b)
	}
}

func (h *host) AppendDatagram(now time.Time, dst []byte) ([]byte, netip.AddrPort, netip.AddrPort, bool) {
	for range h.ends {
		e := h.ends[h.turn]
		h.turn = (h.turn + 1) % len(h.ends)
		if b, ok := e.appendDatagram(now, dst); ok {
			return b, e.local, e.remote, true
		}
	}
	return dst, netip.AddrPort{}, netip.AddrPort{}, false
}

func (h *host) Advance(now time.Time) {
	for _, e := range h.ends {
		e.Advance(now)
	}
}

func (h *host) NextTimeout() (next time.Time) {
	for _, e := range h.ends {
		if t := e.NextTimeout(); !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if !next.IsZero() {
		next = next.Add(h.late)
	}
	return next
}

// A network contains two hosts and the path between them.
type network struct {
	*simnet.World
	t    *testing.T
	a, b *host
	path *simnet.Path // the path from a to b
}

func newNetwork(t *testing.T, seed uint64, p simnet.Path) *network {
	w := simnet.New(seed)
	n := &network{World: w, t: t, a: &host{addr: netip.MustParseAddr("10.0.0.1")}, b: &host{addr: netip.MustParseAddr("10.0.0.2")}}
	w.Both(n.a.addr, n.b.addr, p)
	n.path = w.Path(n.a.addr, n.b.addr)
	w.Attach(n.a, n.a.addr)
	w.Attach(n.b, n.b.addr)
	return n
}

// connect adds an association between the two hosts.
func (n *network) connect(cfg sctp.Config) (x, y *end) {
	n.t.Helper()
	port := uint16(5000 + len(n.a.ends))
	hosts := [2]*host{n.a, n.b}
	ends := [2]*end{}
	for i, h := range hosts {
		cfg.Rand = n.Reader()
		ends[i] = &end{
			Association: sctp.NewAssociation(cfg), world: n.World, message: make([]byte, 16384),
			local: netip.AddrPortFrom(h.addr, port), remote: netip.AddrPortFrom(hosts[1-i].addr, port),
		}
		h.ends = append(h.ends, ends[i])
		ends[i].Connect(n.Now())
	}
	n.run(2*time.Second, func() bool {
		return ends[0].State() == sctp.StateEstablished && ends[1].State() == sctp.StateEstablished
	})
	return ends[0], ends[1]
}

// run lets virtual time pass until done returns true. It fails the test if this does
// not happen within d, unless done is nil.
func (n *network) run(d time.Duration, done func() bool) {
	n.t.Helper()
	ok, err := n.Run(d, done)
	if err != nil {
		n.t.Fatal(err)
	}
	if done != nil && !ok {
		n.t.Fatalf("seed %d: not within %v", n.Seed(), d)
	}
}

func (e *end) handle(now time.Time, b []byte) {
	e.HandlePacket(now, b[:len(b)-recordSize])
	for {
		m, ok := e.Receive()
		if !ok {
			break
		}
		e.Release(now, len(m.Data))
		e.take(now, m)
	}
	for {
		if _, ok := e.NextEvent(); !ok {
			break
		}
	}
}

func (e *end) take(now time.Time, m sctp.Message) {
	switch {
	case m.Stream == bulkStream:
		e.got += len(m.Data)
		n := uint32(m.Data[0])<<24 | uint32(m.Data[1])<<16 | uint32(m.Data[2])<<8 | uint32(m.Data[3])
		e.bad = e.bad || n != e.next
		e.next++
	case e.echo:
		e.Send(now, sctp.Message{Stream: pingStream, Data: m.Data}, sctp.SendOptions{})
	default:
		e.pings = append(e.pings, now.Sub(e.pingAt))
		e.ping()
	}
}

// ping sends a small message, and another one each time that it has come back.
func (e *end) ping() {
	e.pingAt = e.world.Now()
	e.Send(e.pingAt, sctp.Message{Stream: pingStream, Data: make([]byte, 64)}, sctp.SendOptions{})
}

// fill keeps a megabyte in the send queue.
func (e *end) fill(now time.Time) {
	for e.bulk && e.BufferedAmount(bulkStream) < 1<<20 {
		n := e.next
		e.next++
		e.message[0], e.message[1], e.message[2], e.message[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		e.Send(now, sctp.Message{Stream: bulkStream, Data: e.message}, sctp.SendOptions{})
	}
}

func (e *end) appendDatagram(now time.Time, dst []byte) ([]byte, bool) {
	e.fill(now)
	b, ok := e.AppendPacket(now, dst, datagramSize-recordSize)
	if !ok {
		return dst, false
	}
	var record [recordSize]byte
	return append(b, record[:]...), true
}

// link returns a path of 100 Mbit/s. queue is the size of its queue in bandwidth-delay
// products.
func link(rtt time.Duration, loss, queue float64) simnet.Path {
	const rate = 100e6
	return simnet.Path{Delay: rtt / 2, Loss: loss, Rate: rate, Queue: int(queue * rate / 8 * rtt.Seconds())}
}

func mbps(bytes int, d time.Duration) float64 { return float64(bytes) * 8 / d.Seconds() / 1e6 }

var controls = []sctp.CongestionControl{sctp.CongestionBBR, sctp.CongestionCubic, sctp.CongestionReno}

// goodput returns the goodput of a transfer in the 15 s after its first message.
func goodput(t *testing.T, p simnet.Path, late time.Duration, cfg sctp.Config, seed uint64) float64 {
	n := newNetwork(t, seed, p)
	n.a.late, n.b.late = late, late
	x, y := n.connect(cfg)
	x.bulk = true
	n.run(5*time.Second, func() bool { return y.got > 0 })
	start := y.got
	n.run(15*time.Second, nil)
	if y.bad {
		t.Errorf("seed %d: messages out of order", seed)
	}
	s := x.Stats()
	t.Logf("%v seed %d: %.1f Mbit/s, %d chunks sent again, %d lost, %d dropped by the queue, longest queue %v, timeouts %d, probes %d",
		cfg.CongestionControl, seed, mbps(y.got-start, 15*time.Second), s.ChunksRetransmitted, n.path.Stats.Lost, n.path.Stats.QueueFull,
		n.path.Stats.MaxQueue, s.Timeouts, s.TailProbes)
	return mbps(y.got-start, 15*time.Second)
}

// TestGoodput checks the goodput of the default congestion control on paths that lose
// packets at random. 92 Mbit/s is the maximum that headers leave.
func TestGoodput(t *testing.T) {
	for _, test := range []struct {
		name string
		path simnet.Path
		late time.Duration
		want float64
	}{
		{"50ms", link(50*time.Millisecond, 0, 1), 0, 90},
		{"50ms 1%", link(50*time.Millisecond, 0.01, 1), 0, 75},
		{"100ms 0.1%", link(100*time.Millisecond, 0.001, 1), 0, 84},
		{"20ms 5%", link(20*time.Millisecond, 0.05, 1), 0, 60},
		{"50ms, late timers", link(50*time.Millisecond, 0, 1), 6 * time.Millisecond, 84},
		{"20ms 5%, late timers", link(20*time.Millisecond, 0.05, 1), 3 * time.Millisecond, 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := goodput(t, test.path, test.late, sctp.Config{}, 1); got < test.want {
				t.Errorf("%.1f Mbit/s, want %.0f", got, test.want)
			}
		})
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d[len(d)/2]
}

// jain returns Jain's index of fairness: 1 if all values are equal.
func jain(x ...float64) float64 {
	sum, squares := 0.0, 0.0
	for _, v := range x {
		sum += v
		squares += v * v
	}
	return sum * sum / (float64(len(x)) * squares)
}

// A sharing is a test of two flows on a path of 100 Mbit/s.
type sharing struct {
	one, two sctp.CongestionControl
	late     bool // the second one begins 30 s after the first
	rtt      time.Duration
	queue    float64 // size of the queue in bandwidth-delay products
	jain     float64 // lowest accepted value of Jain's index over the last minute; 0: any value
}

func (s sharing) String() string {
	late := ""
	if s.late {
		late = " 30 s later"
	}
	return fmt.Sprintf("%v and %v%s, %v, queue %v", s.one, s.two, late, s.rtt, s.queue)
}

// run returns the share of each flow in the last minute.
func (s sharing) run(t *testing.T, seed uint64) {
	t.Helper()
	n := newNetwork(t, seed, link(s.rtt, 0, s.queue))
	x1, y1 := n.connect(sctp.Config{CongestionControl: s.one})
	x2, y2 := n.connect(sctp.Config{CongestionControl: s.two})
	x1.bulk = true
	if s.late {
		n.run(30*time.Second, nil)
	}
	x2.bulk = true
	before1, before2 := y1.got, y2.got
	n.run(time.Minute, nil)
	one, two := mbps(y1.got-before1, time.Minute), mbps(y2.got-before2, time.Minute)
	t.Logf("seed %d: %.1f and %.1f Mbit/s, Jain %.3f; longest queue %v, dropped %d", seed, one, two, jain(one, two), n.path.Stats.MaxQueue, n.path.Stats.QueueFull)
	if j := jain(one, two); j < s.jain {
		t.Errorf("seed %d: Jain index %.3f, want %.2f", seed, j, s.jain)
	}
	// Each flow gets at least a fifth. The exception is Reno, which takes very long to
	// fill a path of 100 ms.
	least := 0.2
	if s.late || s.two == sctp.CongestionReno && s.rtt > 50*time.Millisecond && s.queue < 0.5 {
		least = 0.12
	}
	if least *= one + two; one < least || two < least {
		t.Errorf("seed %d: one has %.1f Mbit/s, the other %.1f", seed, one, two)
	}
	if one+two < 80 {
		t.Errorf("seed %d: together %.1f Mbit/s of 92", seed, one+two)
	}
}

var sharingSeeds = flag.Int("sharing", 0, "how many seeds TestSharing runs on all its paths, for minutes; 0: one on some")

// TestSharing checks that flows with equal algorithms share the path equally, that a
// flow that begins late gets its share, and that beside Reno neither flow starves. The
// paths have 10 to 100 ms, and queues of a quarter to four bandwidth-delay products.
//
// The command "go test ./rtcpeer/internal/simnet -run Sharing -sharing 3 -timeout 1h"
// runs all combinations.
func TestSharing(t *testing.T) {
	if testing.Short() {
		t.Skip("a minute of a path of 100 Mbit/s takes seconds to simulate")
	}
	const model, cubic, reno, ms = sctp.CongestionBBR, sctp.CongestionCubic, sctp.CongestionReno, time.Millisecond
	if *sharingSeeds == 0 {
		for _, s := range []sharing{
			{model, model, false, 50 * ms, 1, 0.9},
			{model, model, true, 50 * ms, 0.5, 0.9},
			{model, reno, false, 20 * ms, 0.25, 0},
			{model, reno, false, 50 * ms, 0.25, 0},
			{model, reno, false, 50 * ms, 4, 0},
			{cubic, reno, false, 50 * ms, 1, 0},
		} {
			t.Run(s.String(), func(t *testing.T) { s.run(t, 1) })
		}
		return
	}
	for _, rtt := range []time.Duration{10 * ms, 20 * ms, 50 * ms, 100 * ms} {
		for _, queue := range []float64{0.25, 0.5, 1, 2, 4} {
			// A flow that begins late has to find its share by losses if the queue is
			// short, and without losses if the queue is long. If round trips are long,
			// it has few of them.
			equal, late := 0.9, 0.9
			if rtt > 50*ms {
				equal, late = 0.85, 0.68
			} else if rtt > 20*ms && queue < 0.5 {
				late = 0.68
			} else if rtt > 20*ms && queue > 1 {
				late = 0.87
			}
			for _, s := range []sharing{{model, model, false, rtt, queue, equal}, {model, model, true, rtt, queue, late}, {model, reno, false, rtt, queue, 0}} {
				t.Run(s.String(), func(t *testing.T) {
					for seed := range uint64(*sharingSeeds) {
						s.run(t, seed+1)
					}
				})
			}
		}
	}
}

// TestStandingQueue checks that a transfer keeps the queue of the bottleneck short,
// even if there is room for four bandwidth-delay products, so that small messages pass
// quickly.
func TestStandingQueue(t *testing.T) {
	const rtt = 50 * time.Millisecond
	n := newNetwork(t, 1, link(rtt, 0, 4))
	x, y := n.connect(sctp.Config{})
	x.bulk, y.echo = true, true
	n.run(time.Second, nil)
	x.ping()
	n.run(20*time.Second, nil)
	if len(x.pings) < 200 {
		t.Fatalf("%d pings", len(x.pings))
	}
	p50 := median(x.pings)
	queue := p50 - rtt // the queue is the only delay of a ping besides the round trip
	t.Logf("ping beside a transfer: p50 %v, of %d; longest queue %v; %.1f Mbit/s", p50, len(x.pings), n.path.Stats.MaxQueue, mbps(y.got, 21*time.Second))
	if p50 > rtt*3/2 {
		t.Errorf("ping p50 %v, want at most %v", p50, rtt*3/2)
	}
	if queue > rtt/2 {
		t.Errorf("standing queue %v, want at most %v", queue, rtt/2)
	}
}

// In TestOutage there is no path for five seconds. Three seconds after that, the
// goodput is as before.
func TestOutage(t *testing.T) {
	for _, c := range []sctp.CongestionControl{sctp.CongestionBBR, sctp.CongestionCubic} {
		t.Run(c.String(), func(t *testing.T) {
			n := newNetwork(t, 1, link(50*time.Millisecond, 0, 1))
			back := n.Path(n.b.addr, n.a.addr)
			x, y := n.connect(sctp.Config{CongestionControl: c})
			x.bulk = true
			n.run(5*time.Second, nil)
			start := y.got
			n.run(time.Second, nil)
			before := y.got - start
			n.path.Down, back.Down = true, true
			n.run(5*time.Second, nil)
			n.path.Down, back.Down = false, false
			up := n.Now()
			var after int
			for after < before*9/10 {
				if n.Now().Sub(up) > 4*time.Second {
					t.Fatalf("not back to %.1f Mbit/s within 4 s: %.1f", mbps(before, time.Second), mbps(after, time.Second))
				}
				start = y.got
				n.run(100*time.Millisecond, nil)
				after = 10 * (y.got - start)
			}
			t.Logf("%.1f Mbit/s before, %.1f after %v", mbps(before, time.Second), mbps(after, time.Second), n.Now().Sub(up))
			if d := n.Now().Sub(up); d > 3*time.Second {
				t.Errorf("back after %v, want 3s", d)
			}
		})
	}
}

// In TestRateDrop the rate of the path falls to half and rises again. No reliable
// message is lost, and the path is in use all the time.
func TestRateDrop(t *testing.T) {
	for _, c := range controls {
		t.Run(c.String(), func(t *testing.T) {
			n := newNetwork(t, 1, link(50*time.Millisecond, 0, 1))
			x, y := n.connect(sctp.Config{CongestionControl: c})
			x.bulk = true
			n.run(5*time.Second, nil)
			n.path.Rate /= 2
			n.run(2*time.Second, nil) // time to adapt to the new rate
			start := y.got
			n.run(5*time.Second, nil)
			half := mbps(y.got-start, 5*time.Second)
			n.path.Rate *= 2
			n.run(5*time.Second, nil)
			start = y.got
			n.run(2*time.Second, nil)
			full := mbps(y.got-start, 2*time.Second)
			t.Logf("%.1f Mbit/s at half the rate, %.1f afterwards; dropped %d", half, full, n.path.Stats.QueueFull)
			if half < 40 || full < 70 {
				t.Errorf("%.1f Mbit/s of 46, %.1f of 92 afterwards", half, full)
			}
			x.bulk = false
			n.run(5*time.Second, func() bool { return x.BufferedAmount(bulkStream) == 0 && y.next == x.next })
			if y.bad {
				t.Error("messages out of order")
			}
		})
	}
}

// In TestPathGetsLonger round trips suddenly take several times as long, as at a
// handover between satellites, and no other layer reports that. A window that depends
// on the shortest round trip would fall again and again.
func TestPathGetsLonger(t *testing.T) {
	for _, from := range []time.Duration{5 * time.Millisecond, 12 * time.Millisecond, 30 * time.Millisecond} {
		for _, times := range []time.Duration{2, 3, 5} {
			t.Run(fmt.Sprint(from, " by ", int(times)), func(t *testing.T) {
				n := newNetwork(t, 1, link(from, 0, float64(times)))
				back := n.Path(n.b.addr, n.a.addr)
				x, y := n.connect(sctp.Config{})
				x.bulk = true
				n.run(5*time.Second, nil)
				n.path.Delay *= times
				back.Delay *= times
				began := n.Now()
				for after := 0.0; after < 80; {
					if n.Now().Sub(began) > 15*time.Second {
						t.Fatalf("%.1f Mbit/s after 15 s", after)
					}
					start := y.got
					n.run(250*time.Millisecond, nil)
					after = mbps(y.got-start, 250*time.Millisecond)
				}
				took := n.Now().Sub(began)
				start := y.got
				n.run(5*time.Second, nil)
				t.Logf("80 Mbit/s after %v, then %.1f", took, mbps(y.got-start, 5*time.Second))
				if took > 3*time.Second || mbps(y.got-start, 5*time.Second) < 85 {
					t.Errorf("80 Mbit/s after %v, then %.1f", took, mbps(y.got-start, 5*time.Second))
				}
			})
		}
	}
}
