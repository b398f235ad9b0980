package rtcpeer

import (
	"strings"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

// TestReport checks the report at each stage of a connection, and when no path leads
// to the peer.
func TestReport(t *testing.T) {
	w := simnet.New(4)
	w.Default = simnet.Path{Delay: 10 * time.Millisecond}
	a, b := newSimPair(t, w, Config{})
	wants := func(when string, r Report, texts ...string) {
		t.Helper()
		s := r.String()
		for _, want := range texts {
			if !strings.Contains(s, want) {
				t.Errorf("%s: no %q in\n%s", when, want, s)
			}
		}
	}
	wants("at first", a.Report(), "connection new", "description, or ours, was not set yet", "DTLS new", "0 remote candidates")
	ch, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	until(t, w, 5*time.Second, "open", func() bool { return ch.ReadyState() == ChannelStateOpen })
	wants("connected", a.Report(), "connection connected", "controlling", "1 local candidates, complete", "host udp 10.0.0.1:5000",
		"succeeded", "selected", "round trip 20ms", "DTLS connected", "1.3", "X25519MLKEM768", "SCTP established",
		"milliseconds since the offer (round trips since the answer): answer ", "channel open ")

	w.Both(a.addrs[0], b.addrs[0], simnet.Path{Down: true})
	until(t, w, time.Minute, "failed", func() bool { return a.ConnectionState() == StateFailed })
	r := a.Report()
	wants("failed", r, "connection failed", "cause: ")
	if r.Err == nil || a.Poll() == nil {
		t.Errorf("cause %v, Poll %v", r.Err, a.Poll())
	}
	a.Close()
	wants("closed", a.Report(), "connection closed", "DTLS closed")
	if s := (&Conn{}).Report().String(); !strings.Contains(s, "connection new") {
		t.Error(s)
	}
}
