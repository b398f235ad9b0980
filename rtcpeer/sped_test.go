package rtcpeer

import (
	"crypto/tls"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
	"purertc/stun"
)

// With SPED and SNAP the channel is open one round trip after the offerer has the
// answer, and the answerer has its first message half a round trip later.
func TestSPEDTimes(t *testing.T) {
	const rtt = 200 * time.Millisecond
	for name, tt := range map[string]struct {
		cfg             Config
		open, delivered time.Duration
	}{
		"SPED and SNAP": {Config{}, rtt, rtt * 3 / 2},
		"SNAP":          {Config{DisableSPED: true}, 2 * rtt, rtt * 5 / 2},
	} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			n.delay = rtt / 2
			a, b := newMemConn(t, n, "10.0.0.1", tt.cfg), newMemConn(t, n, "10.0.0.2", tt.cfg)
			defer a.Close()
			defer b.Close()
			x, y := agreedAfter(t, a, b, rtt/2)
			start := time.Now()
			if err := x.Opened(t.Context()); err != nil {
				t.Fatal(err)
			}
			open := time.Since(start)
			if err := x.Send(t.Context(), []byte("hello"), true); err != nil {
				t.Fatal(err)
			}
			if p, _, err := y.Receive(t.Context()); err != nil || string(p) != "hello" {
				t.Fatalf("%q, %v", p, err)
			}
			delivered := time.Since(start)
			t.Logf("%s: open after %v, first message after %v", name, open, delivered)
			if (open-tt.open).Abs() > 10*time.Millisecond || (delivered-tt.delivered).Abs() > 10*time.Millisecond {
				t.Errorf("%s: open after %v, want %v; first message after %v, want %v", name, open, tt.open, delivered, tt.delivered)
			}
			for _, c := range []*Conn{a, b} {
				r, want := c.Report(), !tt.cfg.DisableSPED
				if r.SPED != want || strings.Contains(r.String(), "X25519MLKEM768, carried by checks\n") != want {
					t.Errorf("%s: SPED %v\n%v", name, r.SPED, r)
				}
			}
		})
	}
}

// An end without SPED connects as fast as two such ends, in every role and version. It
// makes no difference whether the other end knows that from the description or has to
// find it out.
func TestSPEDFallback(t *testing.T) {
	const rtt = 200 * time.Millisecond
	set := func(version uint16, without [2]bool, announced bool) (open time.Duration) {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			n.delay = rtt / 2
			a := newMemConn(t, n, "10.0.0.1", Config{MaxDTLS: version, DisableSPED: without[0]})
			b := newMemConn(t, n, "10.0.0.2", Config{MaxDTLS: version, DisableSPED: without[1]})
			defer a.Close()
			defer b.Close()
			if announced {
				for _, c := range []*Conn{a, b} {
					if q, _ := c.ext.(*stack).made(); !q.cfg.DisableSPED {
						q.core.agent.EnableSPED(true)
					}
				}
			}
			x, y := agreed(t, a, b)
			start := time.Now()
			for _, ch := range []*DataChannel{x, y} {
				if err := ch.Opened(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			open = time.Since(start)
			for _, c := range []*Conn{a, b} {
				if r := c.Report(); r.SPED || strings.Contains(r.String(), "carried by checks") {
					t.Errorf("SPED %v\n%v", r.SPED, r)
				}
			}
		})
		return open
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		want := set(version, [2]bool{true, true}, false)
		for _, without := range [][2]bool{{true, false}, {false, true}} {
			for _, announced := range []bool{false, true} {
				if open := set(version, without, announced); open > want+10*time.Millisecond {
					t.Errorf("%s, without SPED: %v, announced: %v: open after %v, want %v", tls.VersionName(version), without, announced, open, want)
				}
			}
		}
	}
}

// setUpTimes returns the times until a channel is open at both ends, in order, on a path
// with a round trip of 200 ms that loses datagrams.
func setUpTimes(t *testing.T, cfg Config, loss float64, runs int) (times []time.Duration) {
	for seed := range uint64(runs) {
		w := simnet.New(seed)
		w.Default = simnet.Path{Delay: 100 * time.Millisecond, Loss: loss}
		a, b := newSimPair(t, w, cfg)
		var ends [2]*DataChannel
		for i, p := range []*simPeer{a, b} {
			var err error
			if ends[i], err = p.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
				t.Fatal(err)
			}
		}
		start := w.Now()
		if err := a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		until(t, w, time.Minute, "the channel is open", func() bool {
			return ends[0].ReadyState() == ChannelStateOpen && ends[1].ReadyState() == ChannelStateOpen
		})
		times = append(times, w.Now().Sub(start))
		a.Close()
		b.Close()
	}
	slices.Sort(times)
	return times
}

// With SPED, set-up on a path that loses datagrams is faster, on average and in the
// worst cases.
func TestSPEDWithLoss(t *testing.T) {
	const runs = 100
	for _, loss := range []float64{0.1, 0.25} {
		with, without := setUpTimes(t, Config{}, loss, runs), setUpTimes(t, Config{DisableSPED: true}, loss, runs)
		for _, percentile := range []int{50, 75, 95} {
			i := runs * percentile / 100
			t.Logf("%.0f %% loss, percentile %d: open after %v, without SPED %v", 100*loss, percentile, with[i], without[i])
			if with[i] > without[i] {
				t.Errorf("%.0f %% loss, percentile %d: open after %v, without SPED %v", 100*loss, percentile, with[i], without[i])
			}
		}
	}
}

// Flights go in checks over relays, too, and none of the datagrams is longer than data
// may be.
func TestSPEDOverRelay(t *testing.T) {
	w := simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond, MTU: defaultDatagramSize}
	a, b := newSimPair(t, w, relayOnly(w))
	x, _ := openPair(t, w, a, b, ChannelOptions{})
	if err := x.PutPacket([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	until(t, w, time.Second, "the packet arrives", func() bool { return b.kept[0].AvailablePacketCount() == 1 })
	for _, c := range []*simPeer{a, b} {
		if r := c.Report(); !r.SPED {
			t.Errorf("SPED was not used:\n%v", r)
		}
	}
}

// A shared socket's reader leaves checks with flights to the handshake workers, and
// handles other checks itself.
func TestSPEDIsLeftToWorkers(t *testing.T) {
	h := new(Host)
	h.memory.limit = DefaultHostMemory
	handled := 0
	p := connectedPeer(t, h, func([]byte) { handled++ })
	p.queue.direct.Store(false)
	p.queue.listed.Store(true) // no worker runs
	for i, flight := range []string{"", "\x16hello"} {
		b := stun.Build(nil, stun.BindingRequest, stun.TransactionID{})
		b.Bytes(stun.AttrDTLSInSTUN, []byte(flight))
		check := b.Finish()
		p.HandleDatagrams(time.Now(), ice.Route{}, check, len(check))
		if queued := p.queue.some.Load(); queued != (flight != "") || handled != 1 {
			t.Errorf("check %d: %d were handled, queued: %v", i, handled, queued)
		}
	}
}

// The names of the option in descriptions that announce SPED.
func TestSPEDOptions(t *testing.T) {
	for list, want := range map[string]bool{"": false, "trickle ice2": false, "trickle sped": true, "googspedv1": true, "ice2 goog-sped-v1": true, "sped2": false} {
		if got := announcesSPED(strings.Fields(list)); got != want {
			t.Errorf("%q announces SPED: %v", list, got)
		}
	}
	for _, disabled := range []bool{false, true} {
		c := New()
		defer c.Close()
		if err := c.Initialize(Config{DisableSPED: disabled, IncludeLoopback: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
			t.Fatal(err)
		}
		offer, err := c.Offer(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(offer.SDP, "a=ice-options:trickle ice2 renomination sped googspedv1\r\n"); got == disabled {
			t.Errorf("disabled %v:\n%s", disabled, offer.SDP)
		}
		answer, err := newInvitation([]byte("secret")).answer(offer.SDP, true)
		if err != nil || !strings.Contains(answer, "a=ice-options:ice2 sped\r\n") {
			t.Errorf("the answer to an invite: %v\n%s", err, answer)
		}
	}
}
