package rtcpeer

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// A setup is one way to set up a connection.
type setup struct {
	snap, sped bool
	version    uint16 // of DTLS
	negotiated bool   // both ends create the channel
	lite       string // the ICE-lite end: "offerer", "answerer" or "no end"
}

// setupRTT is the round-trip time of the measured path. The answer takes half of it, as
// long as a datagram.
const setupRTT = 200 * time.Millisecond

// setupTimes has the figures of one setup.
type setupTimes struct {
	open, message     float64 // round trips from the answer until the channel is open at the offerer, and until the first message is at the answerer
	offerer, answerer Timeline
	sent              [2]uint64 // datagrams of the offerer and of the answerer until a second after the first message
}

// measure makes a connection and returns its figures.
func (s setup) measure(t *testing.T) (m setupTimes) {
	const rtt = setupRTT
	inBubble(t, func(t *testing.T) {
		n := newMemNet()
		n.delay = rtt / 2
		end := func(addr, name string) *Conn {
			return newMemConn(t, n, addr, Config{DisableSNAP: !s.snap, DisableSPED: !s.sped, MaxDTLS: s.version, ICELite: s.lite == name})
		}
		a, b := end("10.0.0.1", "offerer"), end("10.0.0.2", "answerer")
		defer a.Close()
		defer b.Close()
		received := make(chan *DataChannel, 1)
		b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
		options := ChannelOptions{}
		if s.negotiated {
			options = ChannelOptions{Negotiated: true, ID: new(0)}
			ch, err := b.CreateDataChannel("x", options)
			if err != nil {
				t.Fatal(err)
			}
			received <- ch
		}
		x, err := a.CreateDataChannel("x", options)
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
		<-time.After(rtt/2 - time.Nanosecond) // the answer travels as datagrams do, and arrives just before the first check
		if err := a.SetAnswer(answer); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		go b.Run(t.Context())
		go x.Send(context.Background(), []byte("hello"), true)
		if err := x.Opened(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.open = time.Since(start).Seconds() / rtt.Seconds()
		if p, _, err := (<-received).Receive(t.Context()); err != nil || string(p) != "hello" {
			t.Fatalf("%q, %v", p, err)
		}
		m.message = time.Since(start).Seconds() / rtt.Seconds()
		m.offerer, m.answerer = a.Report().Timeline, b.Report().Timeline
		<-time.After(time.Second)
		m.sent = [2]uint64{a.Stats().Transport.PacketsSent, b.Stats().Transport.PacketsSent}
	})
	return m
}

// The page SETUP has the round trips of every way to set up a connection.
func TestSetupRoundTrips(t *testing.T) {
	table := &strings.Builder{}
	fmt.Fprint(table, "| DTLS | ICE-lite | channel | SNAP and SPED | SNAP | neither |\n| --- | --- | --- | ---: | ---: | ---: |\n")
	for _, version := range []uint16{tls.VersionTLS13, tls.VersionTLS12} {
		for _, lite := range []string{"no end", "offerer", "answerer"} {
			for _, negotiated := range []bool{true, false} {
				channel := map[bool]string{true: "negotiated", false: "in band"}[negotiated]
				fmt.Fprintf(table, "| %s | %s | %s |", map[uint16]string{tls.VersionTLS13: "1.3", tls.VersionTLS12: "1.2"}[version], lite, channel)
				for _, uses := range []struct{ snap, sped bool }{{true, true}, {true, false}, {false, false}} {
					m := setup{uses.snap, uses.sped, version, negotiated, lite}.measure(t)
					fmt.Fprintf(table, " %.1f, %.1f |", m.open, m.message)
				}
				fmt.Fprintln(table)
			}
		}
	}
	t.Logf("\n%s", table)
	if doc, err := os.ReadFile("SETUP.md"); err != nil || !strings.Contains(string(doc), table.String()) {
		t.Errorf("SETUP.md does not have this table (%v)", err)
	}
}

// The page SETUP has the number of datagrams that a connection takes.
func TestSetupDatagrams(t *testing.T) {
	table := &strings.Builder{}
	fmt.Fprint(table, "| datagrams | offerer | answerer |\n| --- | ---: | ---: |\n")
	for _, row := range []struct {
		name  string
		setup setup
	}{
		{"SNAP and SPED", setup{snap: true, sped: true, lite: "no end"}},
		{"SNAP", setup{snap: true, lite: "no end"}},
		{"neither", setup{lite: "no end"}},
	} {
		m := row.setup.measure(t)
		fmt.Fprintf(table, "| %s | %d | %d |\n", row.name, m.sent[0], m.sent[1])
	}
	t.Logf("\n%s", table)
	if doc, err := os.ReadFile("SETUP.md"); err != nil || !strings.Contains(string(doc), table.String()) {
		t.Errorf("SETUP.md does not have this table (%v)", err)
	}
}
