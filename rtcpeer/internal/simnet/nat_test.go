package simnet

import (
	"fmt"
	"net/netip"
	"testing"
	"time"
)

// A talker sends datagrams from and to given addresses, and records the sources of
// received datagrams.
type talker struct {
	out []letter
	got []letter
}

type letter struct {
	from, to netip.AddrPort
	text     string
}

func (n *talker) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	n.got = append(n.got, letter{remote, local, string(b)})
}

func (n *talker) AppendDatagram(now time.Time, dst []byte) (b []byte, local, remote netip.AddrPort, ok bool) {
	if len(n.out) == 0 {
		return dst, local, remote, false
	}
	l := n.out[0]
	n.out = n.out[1:]
	return append(dst, l.text...), l.from, l.to, true
}

func (n *talker) Advance(now time.Time)  {}
func (n *talker) NextTimeout() time.Time { return time.Time{} }

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// say sends a datagram. It returns the source address that the receiver saw; ok is
// false if the datagram did not arrive.
func say(t *testing.T, w *World, from, to *talker, src, dst netip.AddrPort) (seen netip.AddrPort, ok bool) {
	t.Helper()
	from.out = append(from.out, letter{src, dst, "x"})
	to.got = nil
	run(t, w, time.Millisecond)
	if len(to.got) == 0 {
		return seen, false
	}
	return to.got[0].from, true
}

// The kinds of NATs differ in their mapping, and in the sources that their filter
// accepts.
func TestNATKinds(t *testing.T) {
	inner, server, port2, host2 := ap("192.168.0.2:5000"), ap("203.0.113.1:3478"), ap("203.0.113.1:9"), ap("203.0.113.2:9")
	tests := []struct {
		kind          NATKind
		same          bool // the mapping to another remote address is the same
		port2, host2  bool // whether another port of the server, and another host, can reach the inside after a datagram was sent to the server
		mapped, reach bool // whether the address is translated, and whether the server is reached
	}{
		{FullCone, true, true, true, true, true},
		{Restricted, true, true, false, true, true},
		{PortRestricted, true, false, false, true, true},
		{Symmetric, false, false, false, true, true},
		{Firewall, true, false, false, false, true},
		{Blocked, false, false, false, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.kind.String(), func(t *testing.T) {
			w, a, s, h := New(1), &talker{}, &talker{}, &talker{}
			w.NAT(NATConfig{Kind: tt.kind}, netip.MustParseAddr("198.51.100.1")).Attach(a, inner.Addr())
			w.Attach(s, server.Addr())
			w.Attach(h, host2.Addr())
			mapped, ok := say(t, w, a, s, inner, server)
			if ok != tt.reach {
				t.Fatalf("the server is reached: %v", ok)
			}
			if !ok {
				return
			}
			if got := mapped != inner; got != tt.mapped {
				t.Errorf("mapped to %v", mapped)
			}
			if from, ok := say(t, w, s, a, server, mapped); !ok || from != server {
				t.Errorf("the answer comes from %v, %v", from, ok)
			}
			if _, ok := say(t, w, s, a, port2, mapped); ok != tt.port2 {
				t.Errorf("another port gets in: %v", ok)
			}
			if _, ok := say(t, w, h, a, host2, mapped); ok != tt.host2 {
				t.Errorf("another host gets in: %v", ok)
			}
			again, _ := say(t, w, a, h, inner, host2)
			if got := again == mapped; got != tt.same {
				t.Errorf("to another host it is mapped to %v, before that to %v", again, mapped)
			}
		})
	}
}

// A binding expires when no datagram has been sent outwards for a while, even if
// datagrams have arrived from outside.
func TestNATTimeout(t *testing.T) {
	inner, server := ap("192.168.0.2:5000"), ap("203.0.113.1:3478")
	w, a, s := New(1), &talker{}, &talker{}
	n := w.NAT(NATConfig{Timeout: 30 * time.Second}, netip.MustParseAddr("198.51.100.1"))
	n.Attach(a, inner.Addr())
	w.Attach(s, server.Addr())
	first, _ := say(t, w, a, s, inner, server)
	run(t, w, 25*time.Second)
	if again, _ := say(t, w, a, s, inner, server); again != first {
		t.Errorf("mapped to %v, and within its time to %v", first, again)
	}
	run(t, w, 25*time.Second)
	if _, ok := say(t, w, s, a, server, first); !ok {
		t.Error("what left has not moved the end")
	}
	run(t, w, 6*time.Second)
	if _, ok := say(t, w, s, a, server, first); ok {
		t.Error("the binding outlived its time by what came in")
	}
	if again, _ := say(t, w, a, s, inner, server); again == first || n.Stats.Expired != 1 {
		t.Errorf("mapped to %v again; %d expired", again, n.Stats.Expired)
	}
	n.Reboot()
	if _, ok := say(t, w, s, a, server, ap("198.51.100.1:40001")); ok {
		t.Error("a binding outlived a reboot")
	}
}

// Hosts behind one NAT reach each other by their inner addresses. They reach each
// other by their outer addresses if the NAT supports hairpinning. NATs behind NATs
// translate twice.
func TestNATNested(t *testing.T) {
	inner, other, server := ap("192.168.0.2:5000"), ap("192.168.0.3:5000"), ap("203.0.113.1:3478")
	for _, hairpin := range []bool{false, true} {
		t.Run(fmt.Sprint("hairpin ", hairpin), func(t *testing.T) {
			w, a, b, s := New(1), &talker{}, &talker{}, &talker{}
			carrier := w.NAT(NATConfig{Hairpin: hairpin}, netip.MustParseAddr("198.51.100.1"))
			carrier.NAT(NATConfig{}, netip.MustParseAddr("100.64.0.1")).Attach(a, inner.Addr())
			carrier.NAT(NATConfig{}, netip.MustParseAddr("100.64.0.2")).Attach(b, inner.Addr(), other.Addr())
			w.Attach(s, server.Addr())
			outerA, _ := say(t, w, a, s, inner, server)
			outerB, _ := say(t, w, b, s, inner, server)
			if outerA.Addr() != carrier.public || outerB.Addr() != carrier.public || outerA == outerB {
				t.Fatalf("mapped to %v and %v", outerA, outerB)
			}
			if from, ok := say(t, w, s, a, server, outerA); !ok || from != server {
				t.Errorf("answered from %v, %v", from, ok)
			}
			if from, ok := say(t, w, a, b, inner, outerB); ok != hairpin || ok && from != outerA {
				t.Errorf("by the outer address: from %v, %v", from, ok)
			}
			if from, ok := say(t, w, b, b, other, inner); !ok || from != other {
				t.Errorf("by the inner address: from %v, %v", from, ok)
			}
		})
	}
}

// A datagram from an address that the host has lost is dropped.
func TestDetachedSender(t *testing.T) {
	x, y := ap("10.0.0.1:1"), ap("10.0.0.2:1")
	w, a, b := New(1), &talker{}, &talker{}
	w.Attach(a, x.Addr())
	w.Attach(b, y.Addr())
	w.Detach(x.Addr())
	if _, ok := say(t, w, a, b, x, y); ok {
		t.Error("it arrived")
	}
	w.Move(a, x.Addr())
	if _, ok := say(t, w, a, b, x, y); !ok {
		t.Error("it did not arrive")
	}
}
