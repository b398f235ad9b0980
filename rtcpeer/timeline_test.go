package rtcpeer

import (
	"crypto/tls"
	"testing"
	"time"
	"unsafe"
)

// TestTimeline checks the steps at both ends of a path with a round trip of 200 ms. The
// answer takes 100 ms to the offerer.
func TestTimeline(t *testing.T) {
	const rounds = "milliseconds since the offer (round trips since the answer): "
	for _, test := range []struct {
		name              string
		setup             setup
		offerer, answerer string
	}{
		{
			"SNAP", setup{snap: true, lite: "no end"},
			rounds + "answer 100.0, check sent 100.0, check answered 300.0 (1.0), pair selected 300.0 (1.0), DTLS 500.0 (2.0), SCTP 500.0 (2.0), channel open 500.0 (2.0)",
			rounds + "answer 0.0, check sent 0.0, check answered 200.0 (1.0), pair selected 200.0 (1.0), DTLS 400.0 (2.0), SCTP 400.0 (2.0), channel open 600.0 (3.0), first message 600.0 (3.0)",
		},
		{
			"DTLS 1.2 without SNAP", setup{version: tls.VersionTLS12, lite: "no end"},
			rounds + "answer 100.0, check sent 100.0, check answered 300.0 (1.0), pair selected 300.0 (1.0), DTLS 500.0 (2.0), SCTP 900.0 (4.0), channel open 900.0 (4.0)",
			rounds + "answer 0.0, check sent 0.0, check answered 200.0 (1.0), pair selected 200.0 (1.0), DTLS 600.0 (3.0), SCTP 800.0 (4.0), channel open 800.0 (4.0), first message 1000.0 (5.0)",
		},
		{
			"the answerer is ICE-lite", setup{snap: true, lite: "answerer"},
			rounds + "answer 100.0, check sent 100.0, check answered 300.0 (1.0), pair selected 300.0 (1.0), DTLS 500.0 (2.0), SCTP 500.0 (2.0), channel open 500.0 (2.0)",
			"milliseconds since the offer: answer 0.0, pair selected 400.0, DTLS 600.0, SCTP 600.0, channel open 600.0, first message 600.0",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := test.setup.measure(t)
			if got := m.offerer.String(); got != test.offerer {
				t.Errorf("the offerer's timeline is\n%s, not\n%s", got, test.offerer)
			}
			if got := m.answerer.String(); got != test.answerer {
				t.Errorf("the answerer's timeline is\n%s, not\n%s", got, test.answerer)
			}
			open := (m.offerer.ChannelOpen - m.offerer.Answer).Seconds() / setupRTT.Seconds()
			message := m.answerer.Offer.Add(m.answerer.Message).Sub(m.offerer.Offer.Add(m.offerer.Answer)).Seconds() / setupRTT.Seconds()
			if open != m.open || message != m.message {
				t.Errorf("open after %v round trips, first message after %v by the timelines; %v and %v by the calls", open, message, m.open, m.message)
			}
		})
	}
}

// TestTimelineBegins checks a connection before its offer, with its offer, and a step
// that comes again.
func TestTimelineBegins(t *testing.T) {
	var l Timeline
	at := time.Unix(100, 0)
	l.reached(&l.Answer, at)
	if l.Answer != 0 || l.String() != "" {
		t.Errorf("without an offer: %+v, %q", l, l.String())
	}
	l.begin(at)
	l.begin(at.Add(time.Second))
	if want := "milliseconds since the offer"; l.String() != want {
		t.Errorf("%q, not %q", l.String(), want)
	}
	l.reached(&l.Answer, at)
	l.reached(&l.Answer, at.Add(time.Second))
	l.reached(&l.DTLS, at.Add(1500*time.Microsecond))
	if want := "milliseconds since the offer: answer 0.0, DTLS 1.5"; l.String() != want {
		t.Errorf("%q, not %q", l.String(), want)
	}
	if n := unsafe.Sizeof(l); n > 100 {
		t.Errorf("a timeline takes %d bytes of every connection, more than 100", n)
	}
}

// TestDataWithFinished checks that the messages of the DTLS client, the answerer, and its
// DATA_CHANNEL_OPEN arrive with its last flight: at the time at which the offerer's DTLS
// is established. Both ends have SNAP.
func TestDataWithFinished(t *testing.T) {
	for _, negotiated := range []bool{true, false} {
		inBubble(t, func(t *testing.T) {
			n := newMemNet()
			n.delay = setupRTT / 2
			a, b := newMemConn(t, n, "10.0.0.1", Config{}), newMemConn(t, n, "10.0.0.2", Config{})
			defer a.Close()
			defer b.Close()
			received := make(chan *DataChannel, 1)
			a.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
			open := func(c *Conn) *DataChannel {
				options := ChannelOptions{}
				if negotiated {
					options = ChannelOptions{Negotiated: true, ID: new(0)}
				}
				ch, err := c.CreateDataChannel("x", options)
				if err != nil {
					t.Fatal(err)
				}
				return ch
			}
			if negotiated {
				received <- open(a)
			} else if _, err := a.CreateDataChannel("the offer has a data section because of this channel", ChannelOptions{}); err != nil {
				t.Fatal(err)
			}
			y := open(b)
			offer, err := a.Offer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer, err := b.Answer(t.Context(), offer)
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(setupRTT / 2)
			if err := a.SetAnswer(answer); err != nil {
				t.Fatal(err)
			}
			go a.Run(t.Context())
			if err := y.Send(t.Context(), []byte("hello"), true); err != nil {
				t.Fatal(err)
			}
			if p, _, err := (<-received).Receive(t.Context()); err != nil || string(p) != "hello" {
				t.Fatalf("%q, %v", p, err)
			}
			if l := a.Report().Timeline; l.DTLS == 0 || l.Message != l.DTLS || l.Message != l.SCTP {
				t.Errorf("negotiated: %v: the message did not arrive when DTLS was established\n%v", negotiated, l)
			}
			if s := b.Stats().Transport; s.DTLSRole != "client" {
				t.Errorf("the answerer is the DTLS %s", s.DTLSRole)
			}
		})
	}
}
