package rtcpeer

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
)

// A stopPair contains a page with media and data, and a Conn. When the page stops the
// transceiver of the tagged section, its end behaves like a browser.
type stopPair struct {
	t         *testing.T
	w         *simnet.World
	a, b      *simPeer // a is the end of the page, and b the Conn
	page      *mediaPage
	signaling time.Duration // time that a description takes
	ending    ending        // how the page's transport ends
	stopping  bool          // the present offer rejects the tagged section
	replaced  int
	streams   []*simStream // reliable streams from b, and the streams from the page
	answers   []time.Duration
	offered   time.Time
	failed    error
}

// An ending says which message the page sends last on its old transport.
type ending string

const (
	endsWithAbort  ending = "ABORT" // Chromium
	endsWithNotify ending = "close_notify"
	endsSilently   ending = "nothing" // ABORT and close_notify are lost
	keeps          ending = "keeps its transport"
)

func newStopPair(t *testing.T, w *simnet.World, cfg Config) *stopPair {
	s := &stopPair{t: t, w: w, page: &mediaPage{t: t}, signaling: 50 * time.Millisecond, ending: endsWithAbort}
	s.a, s.b = newSimPeer(t, w, Config{}, "10.0.0.1"), newSimPeer(t, w, cfg, "10.0.0.2")
	s.a.other, s.b.other = s.b, s.a
	s.a.OnSessionDescriptionCreated(func(typ, sdp string) {
		s.page.answer = typ == "answer"
		if err := s.a.SetLocalDescription(typ, sdp); err != nil {
			t.Fatal(err)
		}
		sdp = s.page.withMedia(first(s.a.LocalDescription()))
		s.offered = w.Now()
		w.After(s.signaling, func() {
			if err := s.b.SetRemoteDescription(typ, sdp); err != nil {
				t.Fatalf("%s: %v\n%s", typ, err, sdp)
			}
		})
	})
	s.b.OnSessionDescriptionCreated(func(typ, sdp string) {
		s.answers = append(s.answers, w.Now().Sub(s.offered))
		if err := s.b.SetLocalDescription(typ, sdp); err != nil {
			t.Fatal(err)
		}
		sdp = s.page.withoutMedia(first(s.b.LocalDescription()))
		w.After(s.signaling, func() {
			if err := s.a.SetRemoteDescription(typ, sdp); err != nil {
				t.Fatal(err)
			}
			if s.stopping && typ == "answer" && s.ending != keeps {
				s.check()
				s.a.replaceTransport(t, s.ending)
				s.replaced++
			}
			s.stopping = false
		})
	})
	s.a.OnICECandidateCreated(nil)
	s.b.OnICECandidateCreated(nil)
	for i, o := range []ChannelOptions{{}, {Ordered: new(false)}, {Ordered: new(false), MaxRetransmits: new(0)}} {
		o.Negotiated, o.ID = true, new(i)
		x, err := s.a.CreateDataChannel("x", o)
		if err != nil {
			t.Fatal(err)
		}
		y, err := s.b.CreateDataChannel("x", o)
		if err != nil {
			t.Fatal(err)
		}
		reliable := o.MaxRetransmits == nil
		s.streams = append(s.streams,
			&simStream{name: fmt.Sprint("to the page on ", i), from: y, to: x, ordered: o.ordered(), reliable: reliable, seen: map[uint32]bool{}, last: -1},
			&simStream{name: fmt.Sprint("from the page on ", i), from: x, to: y, seen: map[uint32]bool{}, last: -1})
	}
	return s
}

// replaceTransport does the same as a browser that applies an answer that rejects the
// section of its transport.
func (p *simPeer) replaceTransport(t *testing.T, e ending) {
	q := p.transport()
	q.mu.Lock()
	defer q.mu.Unlock()
	now, old := q.now(), q.core
	switch e {
	case endsWithAbort:
		old.assoc.Abort(now, "Close called")
	case endsWithNotify:
		old.dtls.Close(now)
	}
	q.flush(now)

	var port *simPort
	for sock, q := range p.ports {
		if !q.deaf {
			q.deaf = true
			port = &simPort{p: p, sock: 1 - sock, addr: netip.AddrPortFrom(q.addr.Addr(), q.addr.Port()+1)}
		}
	}
	p.ports[port.sock] = port
	if len(q.gatherer.sockets) == 1 {
		q.gatherer.sockets = append(q.gatherer.sockets, nil)
	}
	q.gatherer.sockets[port.sock] = port
	agent := ice.NewAgent(ice.Config{Ufrag: q.neg.local.ufrag, Pwd: q.neg.local.pwd, Rand: q.random, Controlling: old.agent.Controlling()})
	q.core = newCore(&q.cfg, agent, observer{}, q.random)
	q.gatherer.agent, q.remoteCandidates.agent = agent, agent
	for c := q.channels.first; c != nil; c = c.next {
		params := c.ch.Params()
		params.ID, _ = c.ch.ID()
		params.Negotiated = true
		ch, err := q.core.session.Open(now, params)
		if err != nil {
			t.Fatal(err)
		}
		ch.Owner, c.ch = c, ch
	}
	if err := agent.AddLocal(now, ice.Local{Sock: port.sock, Addr: port.addr}); err != nil {
		t.Fatal(err)
	}
	agent.EndOfLocal(now)
	remote := q.neg.remote()
	agent.SetRemote(now, remote.credentials().ufrag, remote.credentials().pwd, remote.data().ICELite)
	q.remoteCandidates.apply(now, remote)
	if err := q.makeDTLS(now, remote, q.neg.client); err != nil {
		t.Fatal(err)
	}
	q.run(now)
}

// check receives messages. It reports whether one of them was wrong.
func (s *stopPair) check() bool {
	for _, x := range s.streams {
		if err := x.receive(); err != nil && s.failed == nil {
			s.failed = err
		}
	}
	return s.failed != nil
}

// send sends the next message on every channel, repeatedly.
func (s *stopPair) send(every time.Duration) (stop func()) {
	on := true
	var tick func()
	tick = func() {
		for _, x := range s.streams {
			if on && x.from.ReadyState() == ChannelStateOpen && x.from.PutPacket(simMessage(x.sent)) == nil {
				x.sent++
			}
		}
		if on {
			s.w.After(every, tick)
		}
	}
	tick()
	return func() { on = false }
}

func (s *stopPair) run(d time.Duration) {
	s.t.Helper()
	if _, err := s.w.Run(d, s.check); err != nil {
		s.t.Fatal(err)
	}
	if s.failed != nil {
		s.t.Fatalf("seed %d: %v", s.w.Seed(), s.failed)
	}
}

// offer makes one end offer, with these sections of the page, and waits until the
// answer is applied.
func (s *stopPair) offer(from *simPeer, group string, sections ...string) {
	s.t.Helper()
	s.page.sections, s.page.group = sections, group
	if err := from.CreateOffer(); err != nil {
		s.t.Fatal(err)
	}
	stable := func() bool {
		return s.check() || from.SignalingState() == SignalingStateStable && s.a.SignalingState() == SignalingStateStable && s.b.SignalingState() == SignalingStateStable
	}
	s.w.Run(3*s.signaling, func() bool { return s.check() || s.b.SignalingState() != SignalingStateStable })
	until(s.t, s.w, 20*time.Second, "the offer is answered", stable)
	s.run(0)
}

// stop stops the transceiver of the tagged section.
func (s *stopPair) stop(group string, sections ...string) {
	s.t.Helper()
	s.stopping = true
	s.offer(s.a, group, sections...)
}

// wantAll checks that all reliable messages arrive, and that new messages pass in both
// directions.
func (s *stopPair) wantAll(within time.Duration) {
	s.t.Helper()
	s.run(3 * time.Second) // after this time no packet is in flight that could be lost
	for _, x := range s.streams {
		for range 3 {
			if err := x.from.PutPacket(simMessage(x.sent)); err != nil {
				s.t.Fatalf("%s: %v", x.name, err)
			}
			x.sent++
		}
	}
	ok, err := s.w.Run(within, func() bool {
		if s.check() {
			return true
		}
		for _, x := range s.streams {
			if x.reliable && len(x.seen) < int(x.sent) || !x.seen[x.sent-1] && !strings.HasSuffix(x.name, "2") {
				return false
			}
		}
		return true
	})
	if err != nil || s.failed != nil || !ok {
		for _, x := range s.streams {
			s.t.Logf("%s: %d of %d", x.name, len(x.seen), x.sent)
		}
		s.t.Fatalf("seed %d: not all arrives: %v %v; %v and %v\n%s", s.w.Seed(), err, s.failed, s.a.ConnectionState(), s.b.ConnectionState(), s.b.Report())
	}
}

// open connects the two ends. connFirst says that the Conn offers first.
func (s *stopPair) open(connFirst bool) {
	s.t.Helper()
	if connFirst {
		s.offer(s.b, "0", "data 0")
	}
	s.offer(s.a, "a v 0", sectionsOf(connFirst, "audio a", "video v")...)
	until(s.t, s.w, 10*time.Second, "they are connected", func() bool {
		return s.a.ConnectionState() == StateConnected && s.b.ConnectionState() == StateConnected
	})
}

// sectionsOf returns the sections with the data section first or last.
func sectionsOf(dataFirst bool, media ...string) []string {
	if dataFirst {
		return append([]string{"data 0"}, media...)
	}
	return append(media, "data 0")
}

// While a page stops several transceivers, one after another, and ICE is restarted
// between, data is transferred. The messages of the Conn arrive exactly once.
func TestPageStopsTaggedSection(t *testing.T) {
	for _, e := range []ending{endsWithAbort, endsWithNotify, endsSilently, keeps} {
		for _, connFirst := range []bool{false, true} {
			seeds := uint64(6)
			if testing.Short() {
				seeds = 2
			}
			for seed := range seeds {
				t.Run(fmt.Sprintf("%s connFirst=%v seed=%d", e, connFirst, seed), func(t *testing.T) {
					w := simnet.New(seed + 1)
					w.Default = simnet.Path{Delay: 20 * time.Millisecond}
					cfg := Config{}
					if seed%2 == 1 {
						w.Default.Loss, w.Default.Jitter = 0.03, 10*time.Millisecond
						cfg.MaxDTLS = tls.VersionTLS12
					}
					cfg.ICELite = seed%3 == 2
					s := newStopPair(t, w, cfg)
					s.ending = e
					s.open(connFirst)
					stop := s.send(40 * time.Millisecond)
					s.run(3 * time.Second)
					s.stop("v 0", sectionsOf(connFirst, "stopped a", "video v")...)
					s.run(time.Duration(w.Rand().IntN(3000)) * time.Millisecond)
					s.b.RestartICE()
					s.offer(s.b, "v 0", sectionsOf(connFirst, "stopped a", "video v")...)
					s.run(2 * time.Second)
					s.a.RestartICE()
					s.offer(s.a, "v 0", sectionsOf(connFirst, "stopped a", "video v")...)
					s.run(time.Duration(w.Rand().IntN(2000)) * time.Millisecond)
					s.stop("0", sectionsOf(connFirst, "stopped a", "stopped v")...)
					s.run(20 * time.Second) // without ABORT and close_notify, ICE has to detect that the pair does not work any more
					stop()
					s.wantAll(30 * time.Second)
					if want := map[bool]int{true: 0, false: 2}[e == keeps]; s.replaced != want {
						t.Errorf("%d replacements, want %d", s.replaced, want)
					}
					for _, x := range s.streams {
						if x.reliable && x.sent < 150 {
							t.Errorf("%s: only %d messages were sent", x.name, x.sent)
						}
					}
					if s.b.ConnectionState() != StateConnected || s.b.transport().core.replacement.state > replacementExpected {
						t.Errorf("%v, %d", s.b.ConnectionState(), s.b.transport().core.replacement.state)
					}
					w.Both(s.a.addrs[0], s.b.addrs[0], simnet.Path{Delay: 20 * time.Millisecond})
					s.a.Close()
					until(t, w, 20*time.Second, "the close is seen", func() bool { return s.b.ConnectionState() == StateClosed })
				})
			}
		}
	}
}

// The tagged section changes several times, each time with a new transport.
func TestManyReplacements(t *testing.T) {
	for seed := range uint64(10) {
		w := simnet.New(seed + 1)
		w.Default = simnet.Path{Delay: time.Duration(5+10*seed) * time.Millisecond, Loss: 0.01 * float64(seed%3)}
		s := newStopPair(t, w, Config{})
		s.ending = []ending{endsWithAbort, endsWithNotify}[seed%2]
		s.signaling = time.Duration(w.Rand().IntN(100)) * time.Millisecond
		s.open(false)
		stop := s.send(10 * time.Millisecond)
		for i := range 6 {
			mid := fmt.Sprint("m", i)
			s.stop(mid+" 0", "audio "+mid, "data 0")
			s.run(time.Duration(w.Rand().IntN(50)) * time.Millisecond)
		}
		s.run(12 * time.Second) // the time is enough if an ABORT is lost
		stop()
		s.wantAll(10 * time.Second)
		if s.replaced != 6 {
			t.Errorf("seed %d: %d replacements", w.Seed(), s.replaced)
		}
		for _, d := range s.answers {
			if d > s.signaling+answerWaitMost {
				t.Errorf("seed %d: an answer took %v", w.Seed(), d)
			}
		}
	}
}

// Channels are opened and closed while the page's transport is replaced.
func TestChannelsDuringReplacement(t *testing.T) {
	for _, e := range []ending{endsWithAbort, endsWithNotify, keeps} {
		w := simnet.New(1)
		w.Default = simnet.Path{Delay: 20 * time.Millisecond}
		s := newStopPair(t, w, Config{})
		s.ending = e
		s.open(false)
		s.run(time.Second)
		got := map[string]*DataChannel{}
		s.a.OnDataChannelReceived(func(d *DataChannel) { got[d.Label()] = d })
		closing, err := s.b.OpenDataChannel("closing", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		until(t, w, time.Second, "the channel is open", func() bool { return got["closing"] != nil })
		s.page.sections, s.page.group, s.stopping = []string{"stopped a", "video v", "data 0"}, "v 0", true
		if err := s.a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		until(t, w, time.Second, "the answer is applied", func() bool {
			return !s.b.transport().core.replacement.holdUntil.IsZero() && s.b.SignalingState() == SignalingStateStable
		})
		opened, err := s.b.OpenDataChannel("opened", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		until(t, w, time.Second, "it opens here", func() bool { return opened.ReadyState() == ChannelStateOpen })
		if err := opened.PutPacket([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		closing.PutPacket([]byte("last"))
		closing.Close()
		until(t, w, 5*time.Second, "the channel opens at the other end, with its packet, and the other closes", func() bool {
			return got["opened"] != nil && got["opened"].AvailablePacketCount() == 1 && closing.ReadyState() == ChannelStateClosed
		})
		if b, err := got["closing"].GetPacket(); err != nil || string(b) != "last" {
			t.Errorf("%s: the last packet of the closing channel: %q, %v", e, b, err)
		}
		until(t, w, time.Second, "it is closed at the other end", func() bool { return got["closing"].ReadyState() == ChannelStateClosed })
		s.wantAll(5 * time.Second)
	}
}

// If the page applies the answer only after new data is sent, no reliable message is
// lost. Messages that the page has received and not acknowledged arrive twice.
func TestReplacementAfterHold(t *testing.T) {
	for seed := range uint64(10) {
		w := simnet.New(seed + 1)
		w.Default = simnet.Path{Delay: 30 * time.Millisecond}
		s := newStopPair(t, w, Config{})
		s.open(false)
		s.signaling = 5 * time.Second
		x := s.streams[0]
		var got []int
		took := func() bool {
			for {
				b, err := x.to.GetPacket()
				if err != nil {
					return false
				}
				got = append(got, int(binary.BigEndian.Uint32(b)))
			}
		}
		on := true
		var tick func()
		tick = func() {
			if on && x.from.PutPacket(simMessage(x.sent)) == nil {
				x.sent++
			}
			w.After(5*time.Millisecond, tick)
		}
		tick()
		s.streams = s.streams[3:] // took, and not check, receives the messages of x
		s.page.sections, s.page.group, s.stopping = []string{"stopped a", "video v", "data 0"}, "v 0", true
		s.a.CreateOffer()
		w.Run(15*time.Second, took)
		on = false
		w.Run(5*time.Second, took)
		next, twice := 0, 0
		for _, n := range got {
			switch {
			case n == next:
				next++
			case n > next:
				t.Fatalf("seed %d: message %d came where %d was due", w.Seed(), n, next)
			default:
				twice++
			}
		}
		if next != int(x.sent) || s.replaced != 1 {
			t.Errorf("seed %d: %d of %d came, %d replacements", w.Seed(), next, x.sent, s.replaced)
		}
		if twice > 4 {
			t.Errorf("seed %d: %d messages came twice", w.Seed(), twice)
		}
	}
}

// The answer to an offer with another tagged section waits until all sent data is
// acknowledged, so that nothing arrives twice. The wait is bounded.
func TestAnswerWaitsForAcknowledgements(t *testing.T) {
	for _, lost := range []bool{false, true} {
		w := simnet.New(1)
		w.Default = simnet.Path{Delay: 100 * time.Millisecond}
		s := newStopPair(t, w, Config{})
		s.signaling = time.Millisecond
		s.open(false)
		s.run(time.Second)
		s.send(time.Hour)
		s.run(110 * time.Millisecond) // the packets have arrived, their acknowledgements have not
		w.Path(s.a.addrs[0], s.b.addrs[0]).Down = lost
		s.stop("v 0", "stopped a", "video v", "data 0")
		took := s.answers[len(s.answers)-1] - s.signaling
		if !lost && (took < 50*time.Millisecond || took > 500*time.Millisecond) || lost && took != answerWaitMost {
			t.Errorf("acknowledgements lost: %v; the answer took %v", lost, took)
		}
		w.Path(s.a.addrs[0], s.b.addrs[0]).Down = false
		if !lost {
			s.wantAll(5 * time.Second)
		}
	}
}

// A remote that keeps its transport may change its path. A probe then shows that its
// association still exists.
func TestPathChangeAfterTagChange(t *testing.T) {
	w := simnet.New(1)
	w.Default = simnet.Path{Delay: 20 * time.Millisecond}
	s := newStopPair(t, w, Config{})
	s.ending = keeps
	s.open(false)
	s.stop("v 0", "stopped a", "video v", "data 0")
	s.run(5 * time.Second)
	for i := range 3 {
		s.a.move(fmt.Sprint("10.0.1.", i+1))
		until(t, w, time.Minute, "it is asked for a sign of life", func() bool { return s.check() || s.b.transport().core.replacement.state == replacementProbed })
		s.run(5 * time.Second)
		if e := s.b.transport().core.replacement.state; e != replacementExpected {
			t.Errorf("state %d", e)
		}
	}
	s.wantAll(5 * time.Second)
}
