package rtcpeer

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer/internal/simnet"
)

// Both ends offer at once, and the programs apply everything without looking at the
// signalling state. Both ends roll back and answer, and both answers arrive too late.
// In the case "browser" the second end, like a browser, always answers with
// a=setup:active.
func TestNaiveGlare(t *testing.T) {
	for _, browser := range []bool{false, true} {
		passive := 0
		for seed := range uint64(20) {
			w := simnet.New(seed + 1)
			w.Default = simnet.Path{Delay: 20 * time.Millisecond}
			a, b := newSimPair(t, w, Config{})
			tooLate := 0
			for _, p := range []*simPeer{a, b} {
				p.OnSessionDescriptionCreated(func(typ, sdp string) {
					if err := p.SetLocalDescription(typ, sdp); err != nil {
						t.Fatal(err)
					}
					if typ == "offer" {
						return // the answers are delivered below, when both ends have created one
					}
					if strings.Contains(sdp, "a=setup:passive") {
						passive++
					}
					if err := p.other.SetRemoteDescription(typ, sdp); err != nil {
						tooLate++
					}
				})
			}
			x, err := a.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
			if err != nil {
				t.Fatal(err)
			}
			y, err := b.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range []*simPeer{a, b} {
				if err := p.CreateOffer(); err != nil {
					t.Fatal(err)
				}
				p.Poll()
			}
			_, offerA := a.LocalDescription()
			_, offerB := b.LocalDescription()
			if browser {
				b.SetLocalDescription("rollback", "") // so that b does not detect the glare
			}
			for p, offer := range map[*simPeer]string{a: offerB, b: offerA} {
				if err := p.SetRemoteDescription("offer", offer); err != nil {
					t.Fatal(err)
				}
			}
			until(t, w, 10*time.Second, fmt.Sprintf("connected after glare, browser %v", browser), func() bool {
				return x.ReadyState() == ChannelStateOpen && y.ReadyState() == ChannelStateOpen && a.ConnectionState() == StateConnected && b.ConnectionState() == StateConnected
			})
			if tooLate == 0 {
				t.Error("no answer came too late: there was no glare")
			}
			x.PutPacket([]byte("hello"))
			until(t, w, time.Second, "the packet arrives", func() bool { return y.AvailablePacketCount() == 1 })
			// A later offer does not change the roles.
			for _, p := range []*simPeer{a, b} {
				p.OnSessionDescriptionCreated(func(typ, sdp string) {
					if err := p.SetLocalDescription(typ, sdp); err != nil {
						t.Fatal(err)
					}
					if err := p.other.SetRemoteDescription(typ, sdp); err != nil {
						t.Fatal(err)
					}
				})
			}
			if err := a.CreateOffer(); err != nil {
				t.Fatal(err)
			}
			y.PutPacket([]byte("again"))
			until(t, w, 2*time.Second, "the second packet arrives", func() bool { return x.AvailablePacketCount() == 1 })
			a.Close()
			b.Close()
		}
		if !browser && passive != 20 {
			t.Errorf("%d of 20 pairs have one passive end", passive)
		}
	}
}

func TestIsClientHello(t *testing.T) {
	cfg := dtls.Config{Client: true, VerifyPeer: func([][]byte) error { return nil }}
	c, err := dtls.NewConn(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Start(time.Now())
	for n := 0; ; n++ {
		b, ok := c.AppendDatagram(time.Now(), nil, 600)
		if !ok {
			if n < 2 {
				t.Errorf("a ClientHello of %d datagrams", n)
			}
			break
		}
		if !dtls.IsClientHello(b) || dtls.IsClientHello(b[:20]) || dtls.IsClientHello(nil) {
			t.Errorf("datagram %d", n)
		}
		b[13] = 2 // ServerHello
		if dtls.IsClientHello(b) {
			t.Error("a ServerHello is taken for a ClientHello")
		}
	}
}
