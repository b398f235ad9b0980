package rtcpeer

import (
	"context"
	"strings"
	"testing"
	"time"

	"purertc/ice"
)

// withoutUDP reports whether a candidate is to be dropped, so that each end gets only
// the TCP candidates of the other, as if the network dropped UDP.
func withoutUDP(name string) bool { return strings.Contains(name, " udp ") }

// A peer connects to a Host's TCP listener, from an active candidate.
func TestHostOverTCP(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	for range 3 { // three connections to the same listener, one after another
		a, b, x, y := realPairWithout(t, Config{}, Config{Host: h}, withoutUDP)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		message := strings.Repeat("over TCP ", 20000)
		go x.Send(ctx, []byte(message), false)
		if got, _, err := y.Receive(ctx); err != nil || string(got) != message {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		for _, c := range []*Conn{a, b} {
			selected := selectedPair(t, c)
			if selected.Local.Transport != "tcp" || selected.Remote.Transport != "tcp" {
				t.Errorf("the pair is %v %v", selected.Local, selected.Remote)
			}
		}
		if p := selectedPair(t, a); p.Local.TCPType != ice.TCPActive || p.Remote.Addr != h.TCPAddr() {
			t.Errorf("connected to %v, not to %v", p.Remote, h.TCPAddr())
		}
	}
}

// Packets longer than those of Ethernet are sent over UDP only: if the program that
// reads a stream has no room for a packet, it closes the connection, as Firefox does
// beyond 9216 bytes.
func TestPacketsOverTCPAreShort(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	for _, c := range []struct {
		name string
		drop func(name string) bool
		long bool
	}{
		{"TCP", withoutUDP, false},
		{"UDP", nil, true},
	} {
		a, _, x, y := realPairWithout(t, Config{}, Config{Host: h}, c.drop)
		bulk(t, x, y)
		if size := a.Stats().SCTPTransport.MTU; size > ethernetDatagramSize != c.long {
			t.Errorf("%s: packets of %d bytes", c.name, size)
		}
	}
}

// If a TCP connection of either end breaks, another one is opened, and no data is
// lost.
func TestTCPBreaks(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	a, b, x, y := realPairWithout(t, Config{}, Config{Host: h}, withoutUDP)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i, c := range []*Conn{a, b} {
		remote := selectedPair(t, c).Remote.Addr
		p := c.ext.(*stack).transport
		p.mu.Lock()
		for _, q := range p.gatherer.sockets {
			q.Unbind(remote) // closes a connection without telling the agent
		}
		p.mu.Unlock()
		want := strings.Repeat("across the break ", 1000)
		for _, d := range [][2]*DataChannel{{x, y}, {y, x}} {
			if err := d[0].Send(ctx, []byte(want), true); err != nil {
				t.Fatal(err)
			}
			if got, _, err := d[1].Receive(ctx); err != nil || string(got) != want {
				t.Fatalf("end %d: %d bytes, %v\n%v\n%v", i, len(got), err, a.Report(), b.Report())
			}
		}
	}
}

// A connection of a Host can be restarted any number of times.
func TestHostRestarts(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	a, b, x, y := realPairOf(t, Config{}, Config{Host: h})
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i := range 20 {
		c, before := []*Conn{a, b}[i%2], gatheringUfrag(b)
		if err := c.RestartICE(); err != nil {
			t.Fatal(err)
		}
		if err := c.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		for a.SignalingState() != SignalingStateStable || b.SignalingState() != SignalingStateStable || gatheringUfrag(b) == before {
			select {
			case <-time.After(time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("restart %d: %v, %v", i, a.SignalingState(), b.SignalingState())
			}
		}
		if err := x.Send(ctx, []byte("after"), true); err != nil {
			t.Fatal(err)
		}
		if _, _, err := y.Receive(ctx); err != nil {
			t.Fatalf("restart %d: %v\n%v", i, err, a.Report())
		}
	}
}

// gatheringUfrag returns the ufrag for which the connection last gathered candidates.
func gatheringUfrag(c *Conn) string {
	p := c.ext.(*stack).transport
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gatherer.ufrag
}

func selectedPair(t *testing.T, c *Conn) (selected ice.PairReport) {
	t.Helper()
	r := c.Report()
	for _, p := range r.ICE.Pairs {
		if p.Selected {
			return p
		}
	}
	t.Fatalf("no pair is selected\n%v", r)
	return selected
}
