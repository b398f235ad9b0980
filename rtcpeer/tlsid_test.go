package rtcpeer

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/rtcpeer/internal/simnet"
)

// rewrites makes signalling change the descriptions of p.
func (p *simPeer) rewrites(change func(typ, sdp string) string) {
	p.OnSessionDescriptionCreated(func(typ, sdp string) {
		if err := p.SetLocalDescription(typ, sdp); err != nil {
			p.t.Errorf("SetLocalDescription(%s): %v", typ, err)
		}
		if err := p.other.SetRemoteDescription(typ, change(typ, sdp)); err != nil {
			p.t.Errorf("SetRemoteDescription(%s): %v", typ, err)
		}
	})
}

// offersActive makes p offer to be the DTLS client, although offers usually let the
// answerer choose.
func (p *simPeer) offersActive() {
	p.rewrites(func(typ, sdp string) string { return strings.Replace(sdp, "a=setup:actpass", "a=setup:active", 1) })
}

// TestTLSID checks that a connection fails if the peer's a=tls-id is not that of its
// description (RFC 8844 §4.3), and works if the peer has none.
func TestTLSID(t *testing.T) {
	line := regexp.MustCompile(`a=tls-id:.*\r\n`)
	for _, test := range []struct {
		name        string
		typ         string // type of the description that is changed
		replacement string
		fails       bool
	}{
		{"as described", "", "", false},
		{"another in the offer", "offer", "a=tls-id:abcdefghijklmnopqrstuvwxyz\r\n", true},
		{"another in the answer", "answer", "a=tls-id:abcdefghijklmnopqrstuvwxyz\r\n", true},
		{"none in the offer", "offer", "", false},
		{"none in the answer", "answer", "", false},
	} {
		for _, active := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				w := simnet.New(1)
				w.Default = simnet.Path{Delay: 10 * time.Millisecond}
				a, b := newSimPair(t, w, Config{})
				for _, p := range []*simPeer{a, b} {
					p.rewrites(func(typ, sdp string) string {
						if active {
							sdp = strings.Replace(sdp, "a=setup:actpass", "a=setup:active", 1)
						}
						if typ == test.typ {
							sdp = line.ReplaceAllString(sdp, test.replacement)
						}
						return sdp
					})
				}
				if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
					t.Fatal(err)
				}
				if err := a.CreateOffer(); err != nil {
					t.Fatal(err)
				}
				want := StateConnected
				if test.fails {
					want = StateFailed
				}
				until(t, w, 10*time.Second, "both ends are "+want.String(), func() bool {
					return a.ConnectionState() == want && b.ConnectionState() == want
				})
				if a.transport().core.client != active {
					t.Errorf("the offerer is the client: %t", !active)
				}
				if !test.fails {
					return
				}
				found, told := b, a // found is the end that receives the wrong id; told is the other end
				if test.typ == "answer" {
					found, told = a, b
				}
				var alert *dtls.AlertError
				if err := found.transport().cause; !errors.Is(err, dtls.ErrExternalSessionID) {
					t.Errorf("cause %v", err)
				}
				if err := told.transport().cause; !errors.As(err, &alert) || !alert.Remote || alert.Alert != dtls.AlertIllegalParameter {
					t.Errorf("the cause at the remote end is %v", err)
				}
			})
		}
	}
}
