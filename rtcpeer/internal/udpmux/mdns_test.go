package udpmux

import (
	"net/netip"
	"testing"

	"purertc/ice"
)

// Two programs on one machine share the port, and each receives the packets of the
// other.
func TestMDNSIsShared(t *testing.T) {
	a, err := ListenMDNS()
	if err != nil {
		t.Skipf("no multicast here: %v", err)
	}
	defer a.Close()
	b, err := ListenMDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	ha, h1, h2 := newRecorder(), newRecorder(), newRecorder()
	pa, p1, p2 := a.Attach(ha), b.Attach(h1), b.Attach(h2)
	group := netip.MustParseAddrPort("224.0.0.251:5353")
	if b.conns[0].group != group {
		t.Skip("IPv4 multicast does not work here")
	}
	p2.Close()
	pa.Write(ice.Route{Sock: ice.SockMDNS, Remote: group}, []byte("hello"))
	for i := 0; ; i++ {
		if got := h1.wait(t, i+1); string(got[i]) == "hello" {
			break // queries of other programs may arrive first
		}
	}
	if r := h1.route(0); r.Sock != ice.SockMDNS || r.Remote.Port() != 5353 {
		t.Errorf("route %v", r)
	}
	if len(h2.got) != 0 {
		t.Error("a closed port is given something")
	}
	p1.Close()
}
