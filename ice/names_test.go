package ice

import (
	"net/netip"
	"strings"
	"testing"
)

// Candidates, reports and related addresses of a base with a name do not reveal its
// address. A query of the multicast group is answered only on the link of that
// address.
func TestNameHidesAddress(t *testing.T) {
	const name = "6c743ee3-d037-42a2-af41-09a905933251.local"
	w := newWorld(t, 1)
	a := w.peer("a", Config{})
	addr := netip.MustParseAddrPort("10.0.0.1:1000")
	a.socks[0] = addr
	for _, tcp := range []TCPType{NotTCP, TCPPassive} {
		if err := a.AddLocal(w.now, Local{Sock: Sock(tcp), Addr: addr, TCP: tcp, Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	a.gather.addReflexive(a.gather.bases[0], netip.MustParseAddrPort("192.0.2.9:9000"), netip.MustParseAddr("192.0.2.10"), nil)
	w.settle()
	if len(a.cands) != 3 || a.cands[2].Related.String() != "0.0.0.0:9" {
		t.Errorf("%v", a.cands)
	}
	for _, c := range append(a.cands, a.Report().Local...) {
		if strings.Contains(c.String(), "10.0.0.1") {
			t.Errorf("%v", c)
		}
	}
	// Another agent asks for the name.
	b := w.peer("b", Config{})
	b.SetRemote(w.now, "ufrag", "password-of-22-characters", false)
	b.AddRemote(w.now, Candidate{Foundation: "1", Component: 1, Transport: "udp", Name: name, Addr: netip.AddrPortFrom(netip.Addr{}, 1000)})
	query, r, ok := b.AppendDatagram(w.now, nil)
	if !ok || r.Sock != SockMDNS || r.Local.IsValid() {
		t.Fatalf("%v, %v", r, ok)
	}
	from := Route{Sock: SockMDNS, Remote: netip.MustParseAddrPort("10.0.0.2:5353")}
	a.HandleDatagram(w.now, from, query)
	answer, r, ok := a.AppendDatagram(w.now, nil)
	if !ok || r.Sock != SockMDNS || r.Local != addr.Addr() || r.Remote.String() != "224.0.0.251:5353" {
		t.Fatalf("%v, %v", r, ok)
	}
	b.HandleDatagram(w.now, from, answer)
	if len(b.cur.remotes) != 1 || b.cur.remotes[0].addr != addr {
		t.Errorf("%+v", b.cur.remotes)
	}
	// The name is removed together with the last base that has it.
	a.RemoveLocal(w.now, 0, addr)
	if a.HandleDatagram(w.now, from, query); a.gather.names.NextTimeout().IsZero() {
		t.Error("the name is gone too soon")
	}
	a.RemoveLocal(w.now, Sock(TCPPassive), addr)
	if a.HandleDatagram(w.now, from, query); !a.gather.names.NextTimeout().IsZero() {
		t.Error("the name is still there")
	}
}
