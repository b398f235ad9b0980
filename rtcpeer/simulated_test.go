package rtcpeer

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "run TestSim with this seed only")
	seedsFlag = flag.Int("seeds", 24, "how many seeds TestSim runs")
)

// TestSim runs two whole ends over bad networks, one network for each seed.
func TestSim(t *testing.T) {
	if *seedFlag != 0 {
		simulate(t, *seedFlag)
		return
	}
	for seed := range uint64(*seedsFlag) {
		simulate(t, seed+1)
	}
}

// A simStream is one direction of one channel, with the messages sent and received.
type simStream struct {
	name     string
	from, to *DataChannel
	ordered  bool
	reliable bool
	sent     uint32
	seen     map[uint32]bool
	last     int64
}

// simMessage returns message i: the number i, and bytes that are derived from it.
func simMessage(i uint32) []byte {
	b := make([]byte, 4+int(i*7919%5000))
	for j := range b {
		b[j] = byte(i*31 + uint32(j))
	}
	binary.BigEndian.PutUint32(b, i)
	return b
}

// receive receives messages, and compares them with the sent ones.
func (s *simStream) receive() error {
	for {
		p, err := s.to.GetPacket()
		if err != nil {
			return nil
		}
		if len(p) < 4 {
			return fmt.Errorf("%s: %d bytes", s.name, len(p))
		}
		i := binary.BigEndian.Uint32(p)
		switch {
		case string(p) != string(simMessage(i)) || i >= s.sent:
			return fmt.Errorf("%s: message %d of %d was altered", s.name, i, s.sent)
		case s.seen[i]:
			return fmt.Errorf("%s: message %d came twice", s.name, i)
		case s.ordered && int64(i) < s.last:
			return fmt.Errorf("%s: message %d came after %d", s.name, i, s.last)
		case s.ordered && s.reliable && int64(i) != s.last+1:
			return fmt.Errorf("%s: message %d came after %d", s.name, i, s.last)
		}
		s.seen[i], s.last = true, int64(i)
	}
}

// badPath returns a path with some random faults, which depend on the seed.
func badPath(w *simnet.World) simnet.Path {
	r := w.Rand()
	p := simnet.Path{Delay: time.Duration(1+r.IntN(80)) * time.Millisecond}
	some := func() bool { return r.IntN(2) == 0 }
	if some() {
		p.Jitter = p.Delay / 2
	}
	if some() {
		p.Loss = 0.1 * r.Float64()
	}
	if some() {
		p.LossBurst = 0.5
	}
	if some() {
		p.Duplicate = 0.05
	}
	if some() {
		p.Reorder = 0.05
	}
	if some() {
		p.Rate, p.Queue = 2e6+2e7*r.Float64(), 100_000
	}
	return p
}

func simulate(t *testing.T, seed uint64) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s\nreplay: go test ./rtcpeer -run '^TestSim$' -seed=%d", fmt.Sprintf(format, args...), seed)
	}
	w := simnet.New(seed)
	w.Default = badPath(w)
	mtu := 1200
	if w.Rand().IntN(2) == 0 {
		mtu = 600
	}
	a, b := newSimPair(t, w, Config{MaxDatagramSize: mtu})
	var problem error
	w.Observe = func(now time.Time, from, to netip.AddrPort, p []byte) bool {
		if len(p) > mtu {
			problem = fmt.Errorf("a datagram of %d bytes", len(p))
		}
		return true
	}

	kinds := []ChannelOptions{{}, {Ordered: new(false)}, {MaxRetransmits: new(0)}, {Ordered: new(false), MaxPacketLifeTime: new(100)}}
	var streams []*simStream
	for i, o := range kinds {
		o.Negotiated, o.ID = true, new(i)
		x, err := a.CreateDataChannel("x", o)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.CreateDataChannel("x", o)
		if err != nil {
			t.Fatal(err)
		}
		for j, d := range [][2]*DataChannel{{x, y}, {y, x}} {
			streams = append(streams, &simStream{
				name: fmt.Sprint("channel ", i, " direction ", j), from: d[0], to: d[1],
				ordered: o.ordered(), reliable: o.MaxRetransmits == nil && o.MaxPacketLifeTime == nil,
				seen: map[uint32]bool{}, last: -1,
			})
		}
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	// The first flights of DTLS are not protected against a flipped bit, so the
	// handshake may fail. Corruption therefore begins later.
	corrupt := 0.04 * w.Rand().Float64()
	w.After(5*time.Second, func() {
		if a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected {
			w.Path(a.addrs[0], b.addrs[0]).Corrupt, w.Path(b.addrs[0], a.addrs[0]).Corrupt = corrupt, corrupt
		}
	})
	// The streams send for a while. During this time the network is partitioned once,
	// and then one of the ends restarts ICE.
	const count = 60
	down := func(down bool) func() {
		return func() {
			for _, p := range [][2]*simPeer{{a, b}, {b, a}} {
				w.Path(p[0].addrs[0], p[1].addrs[0]).Down = down
			}
		}
	}
	w.After(6*time.Second, down(true))
	w.After(time.Duration(7+w.Rand().IntN(12))*time.Second, down(false))
	restarter := []*simPeer{a, b}[w.Rand().IntN(2)]
	w.After(25*time.Second, func() {
		if err := restarter.RestartICE(); err != nil {
			problem = err
		}
		if err := restarter.CreateOffer(); err != nil {
			problem = err
		}
	})
	var tick func()
	tick = func() {
		for _, s := range streams {
			if s.sent < count && s.from.ReadyState() == ChannelStateOpen && s.from.PutPacket(simMessage(s.sent)) == nil {
				s.sent++
			}
		}
		w.After(500*time.Millisecond, tick)
	}
	tick()
	step := func() bool {
		for _, s := range streams {
			if err := s.receive(); err != nil {
				problem = err
			}
		}
		if q := a.transport(); q.core.dtls != nil && !q.core.dtls.Established() && streams[0].from.ReadyState() == ChannelStateOpen {
			problem = fmt.Errorf("open before the fingerprint matched")
		}
		return problem != nil
	}
	complete := func() bool {
		if step() {
			return true
		}
		for _, s := range streams {
			if s.sent < count || s.reliable && len(s.seen) < count {
				return false
			}
		}
		return true
	}
	if _, err := w.Run(28*time.Second, step); err != nil {
		fail("%v", err)
	}
	// The faults end.
	w.Both(a.addrs[0], b.addrs[0], simnet.Path{Delay: 20 * time.Millisecond})
	ok, err := w.Run(90*time.Second, complete)
	switch {
	case err != nil:
		fail("%v", err)
	case problem != nil:
		fail("%v", problem)
	case !ok:
		for _, s := range streams {
			t.Logf("%s: %d sent, %d seen, %v", s.name, s.sent, len(s.seen), s.from.ReadyState())
		}
		fail("not everything arrived; %v: %v and %v: %v", a.ConnectionState(), a.Poll(), b.ConnectionState(), b.Poll())
	}
	for _, s := range streams {
		if len(s.seen) == 0 {
			fail("%s: none of %d came", s.name, count)
		}
	}
	w.After(0, func() { a.Close() })
	if ok, _ := w.Run(60*time.Second, func() bool { return b.ConnectionState() == StateClosed }); !ok {
		fail("the close was not seen: %v", b.ConnectionState())
	}
}

// The same seed causes the same datagrams.
func TestSimRepeats(t *testing.T) {
	run := func() (trace []string) {
		w := simnet.New(7)
		w.Default = simnet.Path{Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond, Loss: 0.1}
		a, b := newSimPair(t, w, Config{})
		if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
			t.Fatal(err)
		}
		w.Observe = func(now time.Time, from, to netip.AddrPort, p []byte) bool {
			trace = append(trace, fmt.Sprint(now, from, to, len(p)))
			return true
		}
		var got *DataChannel
		b.OnDataChannelReceived(func(ch *DataChannel) { got = ch })
		a.CreateOffer()
		until(t, w, 20*time.Second, "the channel", func() bool { return got != nil })
		return trace
	}
	one, two := run(), run()
	for i := range min(len(one), len(two), 8) {
		if one[i] != two[i] { // the comparison ends at the certificates' signatures, which vary in length
			t.Fatalf("datagram %d: %s, then %s", i, one[i], two[i])
		}
	}
}

// openSimPair returns a pair with an open channel, on a path with a delay of 10 ms.
func openSimPair(t *testing.T) (w *simnet.World, a, b *simPeer) {
	t.Helper()
	w = simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	a, b = newSimPair(t, w, Config{})
	ch, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "open", func() bool { return ch.ReadyState() == ChannelStateOpen })
	return w, a, b
}

// Setting up a connection takes 20 datagrams: two checks, another check of the
// controlled end, the nomination, and their responses; five of DTLS; five of SCTP with
// the channel's messages; two delayed SACKs. Closing takes one.
func TestSetUpIsShort(t *testing.T) {
	w, a, b := openSimPair(t)
	sent := func() uint64 { return a.Stats().Transport.PacketsSent + b.Stats().Transport.PacketsSent }
	opened := sent()
	if opened > 20 {
		t.Errorf("%d datagrams to set up", opened)
	}
	a.Close()
	if n := sent() - opened; n != 1 {
		t.Errorf("%d datagrams to close, not one with ABORT and close_notify", n)
	}
	until(t, w, time.Second, "the close is seen", func() bool { return b.ConnectionState() == StateClosed })
}

// An idle connection sends a consent request every five seconds, and SCTP's
// heartbeats.
func TestIdleIsQuiet(t *testing.T) {
	w, a, b := openSimPair(t)
	settled := w.Now().Add(5 * time.Second)
	w.After(5*time.Second, func() {})
	until(t, w, time.Minute, "a while", func() bool { return !w.Now().Before(settled) })
	before, end := a.Stats().Transport.PacketsSent, w.Now().Add(time.Minute)
	w.After(time.Minute, func() {})
	until(t, w, 2*time.Minute, "a minute", func() bool { return !w.Now().Before(end) })
	// The limit: the local consent requests, at least 4 s apart; as many responses to
	// the remote's requests; and two heartbeats and two heartbeat acknowledgements.
	if n := a.Stats().Transport.PacketsSent - before; n > 15+15+4 {
		t.Errorf("%d datagrams in an idle minute", n)
	}
	a.Close()
	b.Close()
}
