package rtcpeer

import (
	"os"
	"path/filepath"
	"testing"

	"purertc/rtcpeer/internal/simnet"
)

// FuzzSignalling gives a Conn any input that a hostile signalling server may send. The
// Conn does not panic, and refused input has no effect.
func FuzzSignalling(f *testing.F) {
	files, _ := filepath.Glob("../sdp/testdata/*.sdp")
	for _, name := range files {
		if b, err := os.ReadFile(name); err == nil {
			f.Add(string(b), "candidate:1 1 udp 2130706431 10.0.0.2 5000 typ host ufrag abcd", uint8(0))
		}
	}
	f.Add("v=0\r\n", "candidate:", uint8(1))
	f.Fuzz(func(t *testing.T, text, candidate string, order uint8) {
		w := simnet.New(1)
		a := newSimPeer(t, w, Config{}, "10.0.0.1")
		a.OnSessionDescriptionCreated(func(typ, sdp string) { a.SetLocalDescription(typ, sdp) })
		a.OnICECandidateCreated(nil)
		if order&1 != 0 {
			if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
				t.Fatal(err)
			}
			if err := a.CreateOffer(); err != nil {
				t.Fatal(err)
			}
			a.Poll()
			a.SetRemoteDescription("answer", text)
		}
		a.AddICECandidate("0", 0, candidate)
		a.SetRemoteDescription("offer", text)
		a.Poll()
		a.AddICECandidate("0", 0, candidate)
		if order&2 != 0 {
			a.SetRemoteDescription("rollback", "")
		}
		a.Poll()
		if _, err := w.Run(1e9, nil); err != nil {
			t.Fatal(err)
		}
		a.Close()
	})
}

// FuzzServerURL parses any text without a panic. A URL that is accepted has a host and
// a port.
func FuzzServerURL(f *testing.F) {
	for _, u := range []string{"stun:a", "turn:a:1?transport=tcp", "turns:[::1]:443", "stuns:1.2.3.4", "turn:", "stun:[::1"} {
		f.Add(u)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if u, err := parseServerURL(text); err == nil && (u.host == "" || u.port == 0) {
			t.Errorf("%q: host %q port %d", text, u.host, u.port)
		}
	})
}
