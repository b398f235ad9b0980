package rtcpeer

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

// connectOver connects two ends over paths that carry datagrams of carries bytes of
// UDP payload (0: any length), and returns the two ends of a channel. active makes the
// first end, which offers, the DTLS client.
func connectOver(t *testing.T, cfg Config, addrs [2]string, carries [2]int, active bool) (w *simnet.World, peers [2]*simPeer, ends [2]*DataChannel) {
	t.Helper()
	w = simnet.New(1)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	for i := range peers {
		peers[i] = newSimPeer(t, w, cfg, addrs[i])
	}
	a, b := netip.MustParseAddr(addrs[0]), netip.MustParseAddr(addrs[1])
	w.Path(a, b).MTU, w.Path(b, a).MTU = carries[0], carries[1]
	peers[0].other, peers[1].other = peers[1], peers[0]
	if active {
		peers[0].offersActive()
	}
	var err error
	for i, p := range peers {
		if ends[i], err = p.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(1)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := peers[0].CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 10*time.Second, "the channel opens", func() bool {
		return ends[0].ReadyState() == ChannelStateOpen && ends[1].ReadyState() == ChannelStateOpen
	})
	return w, peers, ends
}

// exchangeOver sends messages in both directions and waits for them.
func exchangeOver(t *testing.T, w *simnet.World, ends [2]*DataChannel, limit time.Duration) {
	t.Helper()
	sizes := []int{1, 500, 700, 1100, 1300, 60000, 200000}
	for _, end := range ends {
		for _, n := range sizes {
			if err := end.PutPacket(make([]byte, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	got := [2]int{}
	until(t, w, limit, "everything arrives", func() bool {
		for i, end := range ends {
			for {
				p, err := end.GetPacket()
				if err != nil {
					break
				}
				if len(p) != sizes[got[i]] {
					t.Fatalf("message %d has %d bytes, want %d", got[i], len(p), sizes[got[i]])
				}
				got[i]++
			}
		}
		return got[0] == len(sizes) && got[1] == len(sizes)
	})
}

// DTLS and SCTP work on every path on which ICE works. The sizes are those of IP
// packets.
func TestSmallPath(t *testing.T) {
	const ip4, ip6 = 20 + 8, 40 + 8
	v4, v6 := [2]string{"10.0.0.1", "10.0.0.2"}, [2]string{"2001:db8::1", "2001:db8::2"}
	for _, dtls := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, path := range []struct {
			addrs [2]string
			size  int
		}{{v4, 700 - ip4}, {v4, 1000 - ip4}, {v4, 1200 - ip4}, {v6, 1280 - ip6}} {
			for _, carries := range [][2]int{{path.size, 0}, {0, path.size}, {path.size, path.size}} {
				for _, active := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s %v offerer active %t", tls.VersionName(dtls), carries, active), func(t *testing.T) {
						w, peers, ends := connectOver(t, Config{MaxDTLS: dtls}, path.addrs, carries, active)
						if peers[0].transport().core.client != active {
							t.Errorf("the offerer is the client: %t", !active)
						}
						exchangeOver(t, w, ends, 10*time.Second)
						for i, p := range peers {
							size := p.Stats().SCTPTransport.MTU
							if carries[i] > 0 && size > carries[i] {
								t.Errorf("peer %d: packets of %d bytes", i, size)
							}
							if carries[i] == 0 && size < 1000 {
								t.Errorf("peer %d: packets of %d bytes without need", i, size)
							}
						}
					})
				}
			}
		}
	}
}
