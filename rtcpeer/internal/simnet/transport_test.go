package simnet_test

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
	"purertc/sctp"
)

// What congestion control must do, in virtual time: associations as nodes, on
// a path of 100 Mbit/s.

// recordSize is what DTLS 1.2 adds to a packet: 13 bytes of header, 8 of
// explicit nonce, 16 of tag. The simulated datagrams are longer by as much, so
// that the same share of the path is left as in a whole stack.
const recordSize = 37

const datagramSize = 1200

// An end is one end of an association.
type end struct {
	*sctp.Association
	world         *simnet.World
	local, remote netip.AddrPort

	bulk    bool // send messages of 16 KiB without end
	echo    bool // send every message on stream 1 back
	got     int  // bytes of bulk
	next    uint32
	bad     bool // a message out of order
	pings   []time.Duration
	pingAt  time.Time
	message []byte
}

const (
	bulkStream = 0
	pingStream = 1
)

// newEnds makes an association between two addresses and establishes it.
func newEnds(t *testing.T, w *simnet.World, a, b string, cfg sctp.Config) (x, y *end) {
	t.Helper()
	ends := [2]*end{}
	addrs := [2]netip.AddrPort{netip.AddrPortFrom(netip.MustParseAddr(a), 5000), netip.AddrPortFrom(netip.MustParseAddr(b), 5000)}
	for i := range ends {
		cfg.Rand = w.Reader()
		ends[i] = &end{Association: sctp.NewAssociation(cfg), world: w, local: addrs[i], remote: addrs[1-i], message: make([]byte, 16384)}
		w.Attach(ends[i], addrs[i].Addr())
		ends[i].Connect(w.Now())
	}
	run(t, w, 2*time.Second, func() bool {
		return ends[0].State() == sctp.StateEstablished && ends[1].State() == sctp.StateEstablished
	})
	return ends[0], ends[1]
}

// run lets time pass until done, which must be, unless it is nil.
func run(t *testing.T, w *simnet.World, d time.Duration, done func() bool) {
	t.Helper()
	ok, err := w.Run(d, done)
	if err != nil {
		t.Fatal(err)
	}
	if done != nil && !ok {
		t.Fatalf("seed %d: not within %v", w.Seed(), d)
	}
}

func (e *end) HandleDatagram(now time.Time, _, _ netip.AddrPort, b []byte) {
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

// ping sends a small message, and another when it has come back.
func (e *end) ping() {
	e.pingAt = e.world.Now()
	e.Send(e.pingAt, sctp.Message{Stream: pingStream, Data: make([]byte, 64)}, sctp.SendOptions{})
}

// fill keeps a megabyte queued.
func (e *end) fill(now time.Time) {
	for e.bulk && e.BufferedAmount(bulkStream) < 1<<20 {
		n := e.next
		e.next++
		e.message[0], e.message[1], e.message[2], e.message[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
		e.Send(now, sctp.Message{Stream: bulkStream, Data: e.message}, sctp.SendOptions{})
	}
}

func (e *end) AppendDatagram(now time.Time, dst []byte) ([]byte, netip.AddrPort, netip.AddrPort, bool) {
	e.fill(now)
	b, ok := e.AppendPacket(now, dst, datagramSize-recordSize)
	if !ok {
		return dst, e.local, e.remote, false
	}
	var record [recordSize]byte
	return append(b, record[:]...), e.local, e.remote, true
}

// link is a path of 100 Mbit/s with a queue of so many bandwidth-delay
// products.
func link(rtt time.Duration, loss, queue float64) simnet.Path {
	const rate = 100e6
	return simnet.Path{Delay: rtt / 2, Loss: loss, Rate: rate, Queue: int(queue * rate / 8 * rtt.Seconds())}
}

func mbps(bytes int, d time.Duration) float64 { return float64(bytes) * 8 / d.Seconds() / 1e6 }

var controls = []sctp.CongestionControl{sctp.CongestionModel, sctp.CongestionCubic, sctp.CongestionReno}

// goodput is what a transfer reaches in 15 s from its first message on.
func goodput(t *testing.T, p simnet.Path, cfg sctp.Config, seed uint64) float64 {
	w := simnet.New(seed)
	w.Default = p
	x, y := newEnds(t, w, "10.0.0.1", "10.0.0.2", cfg)
	x.bulk = true
	x.fill(w.Now())
	run(t, w, 5*time.Second, func() bool { return y.got > 0 })
	start := y.got
	run(t, w, 15*time.Second, nil)
	if y.bad {
		t.Errorf("seed %d: messages out of order", seed)
	}
	s := x.Stats()
	path := w.Path(x.local.Addr(), y.local.Addr())
	t.Logf("%v seed %d: %.1f Mbit/s, %d chunks sent again, %d lost, %d dropped by the queue, longest queue %v, timeouts %d, probes %d",
		cfg.CongestionControl, seed, mbps(y.got-start, 15*time.Second), s.ChunksRetransmitted, path.Stats.Lost, path.Stats.QueueFull,
		path.Stats.MaxQueue, s.Timeouts, s.TailProbes)
	return mbps(y.got-start, 15*time.Second)
}

// TestGoodput holds the default to what it must reach where packets are lost
// by chance; 92 is all that headers leave.
func TestGoodput(t *testing.T) {
	for _, test := range []struct {
		name string
		path simnet.Path
		want float64
	}{
		{"50ms", link(50*time.Millisecond, 0, 1), 90},
		{"50ms 1%", link(50*time.Millisecond, 0.01, 1), 75},
		{"100ms 0.1%", link(100*time.Millisecond, 0.001, 1), 84},
		{"20ms 5%", link(20*time.Millisecond, 0.05, 1), 60},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := goodput(t, test.path, sctp.Config{}, 1); got < test.want {
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
