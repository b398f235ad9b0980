package rtcpeer

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

// initLine is a=sctp-init with its value.
var initLine = regexp.MustCompile(`a=sctp-init:([^\r\n]*)\r\n`)

// TestSNAP checks that two ends use SNAP if both support it, that SNAP saves the round
// trip of SCTP's handshake, that an end without SNAP connects, and that later
// descriptions have the same a=sctp-init.
func TestSNAP(t *testing.T) {
	const rtt = 200 * time.Millisecond
	opened := map[bool]time.Duration{}
	for name, off := range map[string][2]bool{"both": {}, "answerer without": {false, true}, "offerer without": {true, false}} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			n.delay = rtt / 2
			a := newMemConn(t, n, "10.0.0.1", Config{DisableSNAP: off[0]})
			b := newMemConn(t, n, "10.0.0.2", Config{DisableSNAP: off[1]})
			defer a.Close()
			defer b.Close()
			x, y := agreed(t, a, b)
			start := time.Now()
			for _, ch := range []*DataChannel{x, y} {
				if err := ch.Opened(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			used := !off[0] && !off[1]
			opened[used] = max(opened[used], time.Since(start))
			if err := x.Send(t.Context(), []byte("hello"), true); err != nil {
				t.Fatal(err)
			}
			if p, _, err := y.Receive(t.Context()); err != nil || string(p) != "hello" {
				t.Fatalf("%q, %v", p, err)
			}
			first := a.Descriptions()
			offer, err := b.Offer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer, err := a.Answer(t.Context(), offer)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []*Conn{a, b} {
				if r := c.Report(); r.SNAP != used || strings.Contains(r.String(), "set up by the descriptions") != used {
					t.Errorf("%s: SNAP %v", name, r.SNAP)
				}
			}
			want := map[string]string{"": first.CurrentRemote.SDP, "x": first.CurrentLocal.SDP}
			for i, sdp := range map[string]string{"": offer.SDP, "x": answer.SDP} {
				before, now := initLine.FindString(want[i]), initLine.FindString(sdp)
				if (now != "") != used || used && before != now {
					t.Errorf("%s: %q before, %q in a later description", name, before, now)
				}
			}
		})
	}
	if saved := opened[false] - opened[true]; saved < rtt*9/10 {
		t.Errorf("open after %v with SNAP, %v without", opened[true], opened[false])
	}
}

// A remote without SNAP may repeat the local a=sctp-init in its answer, as libdatachannel
// does. SCTP's handshake follows then.
func TestRepeatedSCTPInit(t *testing.T) {
	a, b := New(), New()
	defer a.Close()
	defer b.Close()
	if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{IncludeLoopback: true, DisableSNAP: true})); err != nil {
		t.Fatal(err)
	}
	x, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := a.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.Answer(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	answer.SDP += initLine.FindString(offer.SDP)
	if err := a.SetAnswer(answer); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := x.Opened(ctx); err != nil {
		t.Fatal(err)
	}
	if r := a.Report(); r.SNAP {
		t.Error("SNAP was used with the local line")
	}
}

// A description with a malformed a=sctp-init is refused, and changes nothing.
func TestMalformedSCTPInit(t *testing.T) {
	a, b := New(), New()
	defer a.Close()
	defer b.Close()
	if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{IncludeLoopback: true})); err != nil {
		t.Fatal(err)
	}
	if _, err := a.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	offer, err := a.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"!", "AQAA", "AgAAHols3R0AUAAA/////+B5ZR3AAAAEgAgABoLA", "AQAAHgAAAAAAUAAA/////+B5ZR3AAAAEgAgABoLA"} {
		bad := Description{"offer", initLine.ReplaceAllString(offer.SDP, "a=sctp-init:"+value+"\r\n")}
		if _, err := b.Answer(t.Context(), bad); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), "sctp-init") {
			t.Errorf("%q: %v", value, err)
		}
		if s := b.SignalingState(); s != SignalingStateStable {
			t.Fatalf("%q: state %v", value, s)
		}
	}
	if _, err := b.Answer(t.Context(), offer); err != nil {
		t.Errorf("the right offer: %v", err)
	}
}
