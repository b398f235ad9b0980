package simnet

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// A node sends datagrams that the test queues, and records received datagrams.
type node struct {
	out   []string
	to    netip.AddrPort
	got   []string
	at    []time.Time
	timer time.Time
	fired int
	spin  bool
}

var (
	addrA = netip.MustParseAddrPort("10.0.0.1:1")
	addrB = netip.MustParseAddrPort("10.0.0.2:2")
)

func (n *node) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	n.got, n.at = append(n.got, string(b)), append(n.at, now)
}

func (n *node) AppendDatagram(now time.Time, dst []byte) (b []byte, local, remote netip.AddrPort, ok bool) {
	if len(n.out) == 0 {
		return dst, local, remote, false
	}
	b = append(dst, n.out[0]...)
	n.out = n.out[1:]
	return b, addrA, n.to, true
}

func (n *node) Advance(now time.Time) {
	n.fired++
	if !n.spin {
		n.timer = time.Time{}
	}
}
func (n *node) NextTimeout() time.Time { return n.timer }

func world(seed uint64, p Path) (w *World, a, b *node) {
	w = New(seed)
	w.Default = p
	a, b = &node{to: addrB}, &node{}
	w.Attach(a, addrA.Addr())
	w.Attach(b, addrB.Addr())
	return w, a, b
}

func run(t *testing.T, w *World, d time.Duration) {
	t.Helper()
	if _, err := w.Run(d, nil); err != nil {
		t.Fatal(err)
	}
}

func TestDelay(t *testing.T) {
	w, a, b := world(1, Path{Delay: 10 * time.Millisecond})
	start := w.Now()
	a.out = []string{"1", "2"}
	run(t, w, time.Second)
	if !slices.Equal(b.got, []string{"1", "2"}) || b.at[0].Sub(start) != 10*time.Millisecond || w.Now().Sub(start) != time.Second {
		t.Errorf("%q at %v, now %v", b.got, b.at, w.Now())
	}
}

// TestFaults checks the effect of each setting, over many datagrams.
func TestFaults(t *testing.T) {
	const n = 4000
	for name, tt := range map[string]struct {
		path        Path
		least, most int // number of delivered datagrams
	}{
		"none":      {Path{}, n, n},
		"loss":      {Path{Loss: 0.25}, n * 70 / 100, n * 80 / 100},
		"bursts":    {Path{Loss: 0.1, LossBurst: 0.9}, n * 35 / 100, n * 65 / 100},
		"duplicate": {Path{Duplicate: 0.5}, n * 145 / 100, n * 155 / 100},
		"down":      {Path{Down: true}, 0, 0},
		"MTU":       {Path{MTU: 3}, 0, 0},
		"queue":     {Path{Rate: 1e6, Queue: 3200}, 95, 110},
	} {
		w, a, b := world(2, tt.path)
		for range n {
			a.out = append(a.out, "data")
		}
		run(t, w, time.Minute)
		if len(b.got) < tt.least || len(b.got) > tt.most {
			t.Errorf("%s: %d of %d, want %d to %d", name, len(b.got), n, tt.least, tt.most)
		}
		s := w.Path(addrA.Addr(), addrB.Addr()).Stats
		if s.Sent != n || s.SentBytes != 4*n || s.Delivered+s.Lost+s.TooLong+s.QueueFull+s.Blocked != n {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestRate(t *testing.T) {
	w, a, b := world(3, Path{Rate: 8000 * (100 + overhead)}) // the rate allows a thousand datagrams a second
	for range 100 {
		a.out = append(a.out, strings.Repeat("x", 100))
	}
	start := w.Now()
	run(t, w, time.Second)
	if len(b.got) != 100 || b.at[99].Sub(start).Round(time.Millisecond) != 100*time.Millisecond {
		t.Errorf("%d after %v", len(b.got), b.at[len(b.at)-1].Sub(start))
	}
	if q := w.Path(addrA.Addr(), addrB.Addr()).Stats.MaxQueue; q.Round(time.Millisecond) != 99*time.Millisecond {
		t.Errorf("the longest wait was %v", q)
	}
}

func TestOrderAndCorruption(t *testing.T) {
	for name, p := range map[string]Path{"jitter": {Delay: time.Millisecond, Jitter: time.Second}, "reorder": {Delay: time.Second, Reorder: 0.5}} {
		w, a, b := world(4, p)
		for i := range 100 {
			a.out = append(a.out, string(rune('0'+i)))
			run(t, w, time.Millisecond)
		}
		run(t, w, time.Minute)
		if len(b.got) != 100 || slices.IsSorted(b.got) {
			t.Errorf("%s: %d, in order: %v", name, len(b.got), slices.IsSorted(b.got))
		}
	}
	w, a, b := world(4, Path{Corrupt: 1})
	a.out = []string{"same"}
	run(t, w, time.Second)
	if len(b.got) != 1 || b.got[0] == "same" || len(b.got[0]) != 4 {
		t.Errorf("%q", b.got)
	}
}

// The same seed causes the same events.
func TestSeed(t *testing.T) {
	fate := func(seed uint64) string {
		w, a, b := world(seed, Path{Loss: 0.5, Jitter: time.Second})
		for i := range 64 {
			a.out = append(a.out, string(rune('0'+i)))
		}
		run(t, w, time.Minute)
		return strings.Join(b.got, "")
	}
	//lint:ignore SA4000 each call is another run
	if fate(1) != fate(1) || fate(1) == fate(2) {
		t.Error("fates do not follow from the seed")
	}
	w := New(9)
	var one, two [8]byte
	w.Reader().Read(one[:])
	New(9).Reader().Read(two[:])
	if w.Seed() != 9 || one != two {
		t.Error("readers do not follow from the seed")
	}
}

func TestTopology(t *testing.T) {
	w, a, b := world(5, Path{})
	send := func() int {
		b.got = nil
		a.out = []string{"x"}
		run(t, w, time.Second)
		return len(b.got)
	}
	a.to = netip.MustParseAddrPort("10.0.0.9:2")
	if send() != 0 {
		t.Error("a datagram to an address without a node arrived")
	}
	if w.Move(b, a.to.Addr()); send() != 1 {
		t.Error("Move")
	}
	if w.Detach(a.to.Addr()); send() != 0 {
		t.Error("Detach")
	}
	a.to = addrB
	if w.Both(addrA.Addr(), addrB.Addr(), Path{Down: true}); send() != 0 {
		t.Error("Both")
	}
	w.Both(addrA.Addr(), addrB.Addr(), Path{})
	w.Observe = func(now time.Time, from, to netip.AddrPort, b []byte) bool { return string(b) != "x" }
	if send() != 0 {
		t.Error("Observe")
	}
}

func TestTime(t *testing.T) {
	w, a, _ := world(6, Path{})
	start := w.Now()
	a.timer = start.Add(time.Minute)
	ran := time.Duration(0)
	w.After(2*time.Minute, func() { ran = w.Now().Sub(start) })
	ok, err := w.Run(time.Hour, func() bool { return a.fired == 1 })
	if !ok || err != nil || w.Now().Sub(start) != time.Minute {
		t.Errorf("%v, %v at %v", ok, err, w.Now().Sub(start))
	}
	if w.Jump(30 * time.Second); w.Now().Sub(start) != 90*time.Second {
		t.Error("Jump")
	}
	if ok, _ := w.Run(time.Minute, nil); ok || ran != 2*time.Minute || w.Now().Sub(start) != 150*time.Second {
		t.Errorf("After ran at %v, now %v", ran, w.Now().Sub(start))
	}
	// The world detects a core that asks for the same deadline for ever.
	a.spin, a.timer = true, w.Now()
	if _, err := w.Run(time.Hour, nil); err == nil || !strings.Contains(err.Error(), "seed 6") {
		t.Errorf("a spinning core: %v", err)
	}
}
