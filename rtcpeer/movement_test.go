package rtcpeer

import (
	"errors"
	"flag"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

var (
	restartsFlag = flag.Int("restarts", 1000, "how many times TestRestartsUnderLoad and TestRealRestarts restart ICE")
	movesFlag    = flag.Int("moves", 100, "how many times TestMovesUnderLoad changes an address")
)

// A simLoad is a pair of ends with an ordered, reliable stream in each direction,
// which is checked at every step.
type simLoad struct {
	t       *testing.T
	w       *simnet.World
	a, b    *simPeer
	streams []*simStream
}

func newSimLoad(t *testing.T, w *simnet.World, a, b *simPeer) *simLoad {
	t.Helper()
	a.other, b.other = b, a
	l := &simLoad{t: t, w: w, a: a, b: b}
	o := ChannelOptions{Negotiated: true, ID: new(1)}
	x, err := a.CreateDataChannel("x", o)
	if err != nil {
		t.Fatal(err)
	}
	y, err := b.CreateDataChannel("x", o)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range [][2]*DataChannel{{x, y}, {y, x}} {
		l.streams = append(l.streams, &simStream{
			name: fmt.Sprint("direction ", i), from: d[0], to: d[1], ordered: true, reliable: true, seen: map[uint32]bool{}, last: -1,
		})
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	l.until(5*time.Second, "the channels", func() bool {
		return x.ReadyState() == ChannelStateOpen && y.ReadyState() == ChannelStateOpen
	})
	var tick func()
	tick = func() {
		for _, s := range l.streams {
			if s.from.PutPacket(simMessage(s.sent)) == nil {
				s.sent++
			}
		}
		w.After(50*time.Millisecond, tick)
	}
	tick()
	return l
}

// until lets virtual time pass until f is true, and checks that no message is lost,
// repeated or out of order.
func (l *simLoad) until(limit time.Duration, what string, f func() bool) {
	l.t.Helper()
	until(l.t, l.w, limit, what, func() bool {
		for _, s := range l.streams {
			if err := s.receive(); err != nil {
				l.t.Fatalf("seed %d: %v", l.w.Seed(), err)
			}
		}
		return f == nil || f()
	})
}

// caughtUp waits until all messages sent so far have arrived.
func (l *simLoad) caughtUp(limit time.Duration, what string) {
	l.t.Helper()
	x, y := l.streams[0], l.streams[1]
	wantX, wantY := int64(x.sent)-1, int64(y.sent)-1
	l.until(limit, what, func() bool { return x.last >= wantX && y.last >= wantY })
}

// fill keeps the path busy: more data is queued than the path carries.
func (l *simLoad) fill() {
	for _, s := range l.streams {
		for s.from.BufferedAmount() < 32<<10 && s.from.PutPacket(simMessage(s.sent)) == nil {
			s.sent++
		}
	}
	l.w.After(10*time.Millisecond, l.fill)
}

// glare signals like a real program: with a delay, and b is the polite end ("perfect
// negotiation").
func (l *simLoad) glare() (collisions *int) {
	collisions = new(int)
	for _, p := range []*simPeer{l.a, l.b} {
		later := func(f func()) { l.w.After(15*time.Millisecond, f) }
		p.OnSessionDescriptionCreated(func(typ, sdp string) {
			if err := p.SetLocalDescription(typ, sdp); err != nil {
				l.t.Errorf("SetLocalDescription(%s): %v", typ, err)
			}
			later(func() {
				if typ == "offer" && p.other.SignalingState() == SignalingStateHaveLocalOffer {
					if *collisions++; p.other == l.a {
						return
					}
				}
				if err := p.other.SetRemoteDescription(typ, sdp); err != nil {
					l.t.Errorf("SetRemoteDescription(%s): %v", typ, err)
				}
			})
		})
		p.OnICECandidateCreated(func(media string, index int, name string) {
			later(func() { p.other.AddICECandidate(media, index, name) })
		})
	}
	return collisions
}

// ICE is restarted by either end, or by both at once, while more data is in flight
// than the path carries, so that some datagrams are lost. No message is lost, repeated
// or out of order.
func TestRestartsUnderLoad(t *testing.T) {
	for _, way := range []string{"in turn", "both at once", "relayed, in turn"} {
		t.Run(way, func(t *testing.T) {
			w := newNATWorld(1)
			w.Default.Loss, w.Default.Jitter = 0.01, 2*time.Millisecond
			w.Default.Rate, w.Default.Queue, w.Default.MTU = 1e6, 10_000, 1472
			cfg := Config{}
			if strings.HasPrefix(way, "relayed") {
				cfg = relayOnly(w)
			}
			a, b := newSimPair(t, w, cfg)
			l := newSimLoad(t, w, a, b)
			l.fill()
			restarts := *restartsFlag
			if testing.Short() {
				restarts /= 10
			}
			collisions := new(int)
			if way == "both at once" {
				collisions = l.glare()
			}
			for i := range restarts {
				restarting := []*simPeer{a, b}[i%2 : i%2+1]
				if way == "both at once" {
					restarting = []*simPeer{a, b}
				}
				var before [2]string
				before[0], _ = a.transport().core.agent.Credentials()
				before[1], _ = b.transport().core.agent.Credentials()
				for _, p := range restarting {
					if err := errors.Join(p.RestartICE(), p.CreateOffer()); err != nil {
						t.Fatalf("restart %d: %v", i, err)
					}
				}
				// Sometimes the next restart begins before this one has finished.
				settled := w.Now().Add(time.Duration(30+w.Rand().IntN(250)) * time.Millisecond)
				l.until(time.Second, "a while", func() bool {
					return a.SignalingState() == SignalingStateStable && b.SignalingState() == SignalingStateStable && !w.Now().Before(settled)
				})
				for j, p := range []*simPeer{a, b} {
					if after, _ := p.transport().core.agent.Credentials(); after == before[j] {
						t.Fatalf("restart %d did not restart", i)
					}
					if s := p.ConnectionState(); s != StateConnected {
						t.Fatalf("restart %d: %v", i, s)
					}
				}
			}
			if way == "both at once" && *collisions < restarts {
				t.Errorf("%d collisions of offers in %d restarts", *collisions, restarts)
			}
			l.caughtUp(10*time.Second, "all messages, in the end")
			if r, ok := a.transport().core.agent.Selected(); !ok || strings.HasPrefix(way, "relayed") != (r.Remote.Addr() == stunServer.Addr()) {
				t.Errorf("%v is selected", r)
			}
			t.Logf("%d restarts, %d and %d messages", restarts, l.streams[0].sent, l.streams[1].sent)
			a.Close()
			b.Close()
		})
	}
}

// perfectly signals over a queue in each direction, and b is the polite end. It counts
// the glares.
func perfectly(t *testing.T, a, b *Conn) *atomic.Int64 {
	collisions := new(atomic.Int64)
	var mu sync.Mutex // held from reading the state until the action that depends on it
	for _, ends := range [][2]*Conn{{a, b}, {b, a}} {
		from, to := ends[0], ends[1]
		queue := make(chan func(), 1000)
		stop, done := make(chan bool), make(chan bool)
		go func() {
			defer close(done)
			for {
				select {
				case f := <-queue:
					mu.Lock()
					f()
					mu.Unlock()
				case <-stop:
					return
				}
			}
		}()
		t.Cleanup(func() { close(stop); <-done })
		put := func(f func()) {
			select {
			case queue <- f:
			case <-stop:
			}
		}
		from.OnSessionDescriptionCreated(func(typ, sdp string) {
			mu.Lock()
			defer mu.Unlock()
			if from.SetLocalDescription(typ, sdp) != nil {
				collisions.Add(1) // a remote offer has overtaken this offer
				return
			}
			put(func() {
				if typ == "offer" && to.SignalingState() != SignalingStateStable {
					if collisions.Add(1); to == a {
						return
					}
				}
				if err := to.SetRemoteDescription(typ, sdp); err != nil {
					t.Errorf("SetRemoteDescription(%s): %v", typ, err)
				}
			})
		})
		from.OnICECandidateCreated(func(media string, index int, name string) {
			put(func() { to.AddICECandidate(media, index, name) })
		})
	}
	return collisions
}

// The same restarts over real sockets, by two programs with a goroutine each.
func TestRealRestarts(t *testing.T) {
	for _, relayed := range []bool{false, true} {
		cfg := Config{}
		if relayed {
			cfg = startCoturn(t, false).config("udp", "p")
		}
		a, b, x, y := besideOthers(t, cfg, cfg, nil)
		forth, back := count(t, x, y), count(t, y, x)
		collisions := perfectly(t, a, b)
		restarts := *restartsFlag / 2
		if testing.Short() {
			restarts /= 10
		}
		agreed := func(c *Conn) string { // agreed returns the ufrags of the descriptions that are in use
			p := c.ext.(*stack).transport
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.neg.local.ufrag
		}
		for i := range restarts {
			restarters := [][]*Conn{{a}, {b}, {a, b}}[i%3]
			var before []string
			for _, p := range restarters {
				before = append(before, agreed(p))
			}
			// An offer cannot be created while the signalling of the last glare is in
			// progress. If an offer with a restart collided with an offer without one,
			// it has to be created again, because the restart was rolled back with the
			// offer.
			var asked time.Time
			waitReal(t, 20*time.Second, "the restart", func() bool {
				ask := time.Since(asked) > 100*time.Millisecond
				if ask {
					asked = time.Now()
				}
				done := a.SignalingState() == SignalingStateStable && b.SignalingState() == SignalingStateStable
				for j, p := range restarters {
					if agreed(p) != before[j] {
						continue
					}
					done = false
					if !ask {
						continue
					}
					if err := errors.Join(p.RestartICE(), p.CreateOffer()); errors.Is(err, ErrInvalidState) {
						asked = time.Time{}
					} else if err != nil {
						t.Fatalf("restart %d: %v", i, err)
					}
				}
				return done
			})
			if i%5 == 0 {
				forth.caughtUp(t, 5*time.Second)
				back.caughtUp(t, 5*time.Second)
			}
		}
		t.Logf("relayed %v: %d restarts, %d collisions, %d and %d messages", relayed, restarts, collisions.Load(), forth.end(t), back.end(t))
	}
}

// A machine's address changes: either the new address is present before the old one is
// removed, or there is a time without an address. The machine has host candidates, or
// only relayed ones.
func TestMovesUnderLoad(t *testing.T) {
	for _, way := range []string{"hosts", "relayed"} {
		t.Run(way, func(t *testing.T) {
			w := newNATWorld(1)
			w.Default.Rate, w.Default.Queue, w.Default.MTU = 2e6, 15_000, 1472
			cfg := Config{}
			if way == "relayed" {
				cfg = relayOnly(w)
			}
			a, b := newSimPair(t, w, cfg)
			l := newSimLoad(t, w, a, b)
			l.fill()
			worst := [3]time.Duration{}
			for i := range *movesFlag {
				p := []*simPeer{a, b}[i/3%2]
				old, next := p.addrs[0].String(), fmt.Sprintf("10.%d.%d.%d", 1+i%2, i/200, 1+i%200)
				way := i % 3
				switch way {
				case 1:
					p.move(old, next)
					l.until(3*time.Second, "both are there", func() bool { return p.GatheringState() == GatheringStateComplete })
				case 2:
					p.move()
					gap := w.Now().Add(2 * time.Second)
					w.After(2*time.Second, func() {})
					l.until(3*time.Second, "nowhere", func() bool { return !w.Now().Before(gap) })
				}
				p.move(next)
				start := w.Now()
				l.caughtUp(4*time.Second, fmt.Sprintf("messages after move %d", i))
				worst[way] = max(worst[way], w.Now().Sub(start))
				for _, p := range []*simPeer{a, b} {
					if s := p.ConnectionState(); s != StateConnected && s != StateDisconnected {
						t.Fatalf("move %d: %v", i, s)
					}
				}
			}
			t.Logf("%d moves, %d and %d messages; until all had arrived at most: at once %v, overlapping %v, after 2 s without %v",
				*movesFlag, l.streams[0].sent, l.streams[1].sent, worst[0], worst[1], worst[2])
			a.Close()
			b.Close()
		})
	}
}

// The path in use fails without notice, several times, while other paths work. Data in
// flight arrives by another path within two seconds.
func TestPathFails(t *testing.T) {
	w := newNATWorld(1)
	a, b := newSimPeer(t, w, Config{}, "10.0.0.1", "10.0.1.1"), newSimPeer(t, w, Config{}, "10.0.0.2", "10.0.1.2")
	l := newSimLoad(t, w, a, b)
	var worst time.Duration
	for i := range 20 {
		r, ok := a.transport().core.agent.Selected()
		if !ok {
			t.Fatalf("death %d: nothing is selected", i)
		}
		w.Both(r.Local, r.Remote.Addr(), simnet.Path{Down: true})
		start := w.Now()
		w.After(200*time.Millisecond, func() {})
		l.until(time.Second, "messages that are lost", func() bool { return w.Now().Sub(start) >= 200*time.Millisecond })
		l.caughtUp(2*time.Second, fmt.Sprintf("messages after death %d", i))
		worst = max(worst, w.Now().Sub(start))
		if now, _ := a.transport().core.agent.Selected(); now == r {
			t.Errorf("death %d: the dead path is still in use", i)
		}
		w.Both(r.Local, r.Remote.Addr(), w.Default)
		again := w.Now().Add(15 * time.Second)
		w.After(15*time.Second, func() {})
		l.until(time.Minute, "a while", func() bool { return !w.Now().Before(again) })
		for _, p := range []*simPeer{a, b} {
			if s := p.ConnectionState(); s != StateConnected {
				t.Fatalf("death %d: %v", i, s)
			}
		}
	}
	t.Logf("until all had arrived at most %v", worst)
	a.Close()
	b.Close()
}

// After a change to a longer path, nothing that was measured on the old path is used.
func TestLongerPath(t *testing.T) {
	w := newNATWorld(1)
	a, b := newSimPeer(t, w, Config{}, "10.0.0.1", "10.0.1.1"), newSimPeer(t, w, Config{}, "10.0.0.2", "10.0.1.2")
	l := newSimLoad(t, w, a, b)
	l.until(time.Minute, "messages", func() bool { return l.streams[0].sent > 10 })
	r, ok := a.transport().core.agent.Selected()
	if !ok {
		t.Fatal("nothing is selected")
	}
	const delay = 150 * time.Millisecond
	for _, x := range []string{"10.0.0.1", "10.0.1.1"} {
		for _, y := range []string{"10.0.0.2", "10.0.1.2"} {
			w.Both(netip.MustParseAddr(x), netip.MustParseAddr(y), simnet.Path{Delay: delay})
		}
	}
	before := a.transport().core.assoc.Stats().MinRTT
	w.Both(r.Local, r.Remote.Addr(), simnet.Path{Down: true})
	end := w.Now().Add(8 * time.Second)
	w.After(8*time.Second, func() {})
	l.until(time.Minute, "a while", func() bool { return !w.Now().Before(end) })
	if s := a.transport().core.assoc.Stats(); before >= 2*delay || s.MinRTT < 2*delay {
		t.Errorf("lowest round trip %v before, %v afterwards, on a path of %v", before, s.MinRTT, 2*delay)
	}
	a.Close()
	b.Close()
}

// An address that appears is gathered and trickled. If an address disappears, its
// candidates are removed from the description. The connection survives both changes.
func TestInterfaceAppearsAndDisappears(t *testing.T) {
	w := newNATWorld(1)
	a, b := newSimPeer(t, w, withSTUN, "10.0.0.1"), newSimPeer(t, w, withSTUN, "10.0.0.2")
	l := newSimLoad(t, w, a, b)
	l.until(time.Minute, "the end of gathering", func() bool { return b.GatheringState() == GatheringStateComplete })
	var states []GatheringState
	b.OnStateChanged(func() {
		if s := b.GatheringState(); len(states) == 0 || states[len(states)-1] != s {
			states = append(states, s)
		}
	})
	heard := len(b.heard)
	b.move("10.0.0.2", "10.8.0.2") // a VPN comes up
	l.until(time.Second, "its candidate", func() bool { return len(b.heard) == heard+2 && b.GatheringState() == GatheringStateComplete })
	if !slices.Equal(states, []GatheringState{GatheringStateComplete, GatheringStateGathering, GatheringStateComplete}) &&
		!slices.Equal(states, []GatheringState{GatheringStateGathering, GatheringStateComplete}) {
		t.Errorf("gathering states %v", states)
	}
	if r, _ := a.transport().core.agent.Selected(); r.Remote.Addr().String() != "10.0.0.2" {
		t.Errorf("a new address that is no better took the connection: %v", r)
	}
	if n := len(candidatesOf(t, b)); n != 2 {
		t.Errorf("%d candidates with two addresses", n)
	}
	b.move("10.8.0.2") // the previous address disappears
	l.caughtUp(25*time.Second, "messages by way of it")
	if n := len(candidatesOf(t, b)); n != 1 {
		t.Errorf("%d candidates with one address", n)
	}
	b.move("10.8.0.2", "10.8.0.2") // the same addresses are reported again: nothing happens
	if len(b.heard) != heard+2 {
		t.Errorf("signalled %v", b.heard[heard:])
	}
	a.Close()
	b.Close()
	if b.changed != nil {
		t.Error("a closed peer watches on")
	}
}

func candidatesOf(t *testing.T, p *simPeer) []string {
	t.Helper()
	q := p.transport()
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.gatherer.candidates)
}
