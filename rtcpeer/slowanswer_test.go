package rtcpeer

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

// An answer that people carry, which takes minutes, still connects: no timer of the
// answerer ends in a failure before the offerer can have received the answer. The
// table has both DTLS versions and roles, and paths on which nothing reaches the
// answerer before that time.
func TestSlowAnswer(t *testing.T) {
	for _, delay := range []time.Duration{75 * time.Second, 10 * time.Minute, 2 * time.Hour} {
		for _, nat := range []bool{false, true} {
			for _, passive := range []bool{false, true} {
				name := fmt.Sprintf("after %v, NATs %v, passive %v", delay, nat, passive)
				w := newNATWorld(3)
				var a, b *simPeer
				if nat {
					// With port-restricted NATs, checks of an end do not arrive before
					// the other end sends its own.
					na := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, netip.MustParseAddr("198.51.100.1"))
					nb := w.NAT(simnet.NATConfig{Kind: simnet.PortRestricted}, netip.MustParseAddr("198.51.100.2"))
					a = newSimPeerIn(t, w, na, withSTUN, "192.168.0.2")
					b = newSimPeerIn(t, w, nb, withSTUN, "192.168.0.2")
				} else {
					a, b = newSimPair(t, w, Config{})
				}
				// Each end signals when its description is complete.
				var offer, answer string
				for _, p := range []*simPeer{a, b} {
					p.OnSessionDescriptionCreated(func(typ, sdp string) {
						if err := p.SetLocalDescription(typ, sdp); err != nil {
							t.Fatal(err)
						}
					})
					p.OnICECandidateCreated(nil)
				}
				complete := func(p *simPeer) func() bool {
					return func() bool { return p.GatheringState() == GatheringStateComplete }
				}
				b.LocalDescription() // this creates b's transport, which the world runs
				x, err := a.CreateDataChannel("x", ChannelOptions{})
				if err != nil {
					t.Fatal(err)
				}
				var y *DataChannel
				b.OnDataChannelReceived(func(d *DataChannel) { y = d })
				if err := a.CreateOffer(); err != nil {
					t.Fatal(err)
				}
				until(t, w, 30*time.Second, name+": offer", complete(a))
				_, offer = a.LocalDescription()
				if passive {
					// The offerer wants to be the DTLS client.
					offer = strings.Replace(offer, "a=setup:actpass", "a=setup:active", 1)
				}
				if err := b.SetRemoteDescription("offer", offer); err != nil {
					t.Fatal(err)
				}
				until(t, w, 30*time.Second, name+": answer", complete(b))
				_, answer = b.LocalDescription()
				w.Run(delay, func() bool {
					if s := b.ConnectionState(); s != StateConnecting {
						t.Fatalf("%s: the answerer is %v\n%s", name, s, b.Report())
					}
					return false
				})
				if text := b.Report().String(); !strings.Contains(text, "it may not have the answer") {
					t.Errorf("%s: the report does not say what is waited for:\n%s", name, text)
				}
				if err := a.SetRemoteDescription("answer", answer); err != nil {
					t.Fatal(err)
				}
				until(t, w, 30*time.Second, name+": the channel is open", func() bool { return x.ReadyState() == ChannelStateOpen && y != nil })
				a.Close()
				b.Close()
			}
		}
	}
}

// If only DTLS datagrams are lost, the error names DTLS. If all datagrams are lost,
// the error names ICE, even if the DTLS client has sent its flight.
func TestFailureNamesTheLayer(t *testing.T) {
	for _, layer := range []string{"DTLS", "ICE"} {
		w := simnet.New(1)
		w.Default = simnet.Path{Delay: 10 * time.Millisecond}
		dead := false
		filter := func(_ bool, b []byte) bool {
			return !dead && (layer == "ICE" || b[0] < 20 || b[0] > 63)
		}
		a, b := newSimPair(t, w, Config{Filter: filter})
		a.CreateDataChannel("x", ChannelOptions{})
		if err := a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		if layer == "ICE" {
			dead = true
		}
		until(t, w, 2*time.Minute, "failed", func() bool { return a.ConnectionState() == StateFailed })
		if text := a.Report().String(); strings.Contains(text, "cause: rtcpeer: connection failed: DTLS") != (layer == "DTLS") {
			t.Errorf("%s is at fault:\n%s", layer, text)
		}
		a.Close()
		b.Close()
	}
}
