package rtcpeer

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"purertc/ice"
)

// A scriptedOwner is the transport of a gatherer. Its time stands still.
type scriptedOwner struct {
	now  time.Time
	runs int
}

func (o *scriptedOwner) HandleDatagrams(time.Time, ice.Route, []byte, int) {}
func (o *scriptedOwner) Writable(ice.Sock)                                 {}
func (o *scriptedOwner) SocketClosed(ice.Sock, error)                      {}
func (o *scriptedOwner) RouteClosed(ice.Route, error)                      {}
func (o *scriptedOwner) addressesChanged([]netip.Addr)                     {}
func (o *scriptedOwner) locked(f func(time.Time)) bool                     { o.runs++; f(o.now); return true }

// A scriptedNetwork has one socket for each address.
type scriptedNetwork struct {
	addr    netip.Addr
	ports   []*scriptedPort
	stopped bool
}

type scriptedPort struct {
	ufrags []string
	closed bool
}

func (n *scriptedNetwork) open(h handler, _ addressChoice) ([]port, []local, error) {
	q, locals, err := n.appeared(h, 0, n.addr)
	return []port{q}, locals, err
}

func (n *scriptedNetwork) watch(func([]netip.Addr)) func() { return func() { n.stopped = true } }

func (n *scriptedNetwork) appeared(_ handler, sock ice.Sock, addr netip.Addr) (port, []local, error) {
	q := new(scriptedPort)
	n.ports = append(n.ports, q)
	return q, []local{{sock: sock, addr: netip.AddrPortFrom(addr, 5000)}}, nil
}

func (n *scriptedNetwork) dial(handler, ice.Sock, netip.Addr) port { return nil }
func (n *scriptedNetwork) vanished(q port) bool                    { q.Close(); return true }

func (q *scriptedPort) AddUfrag(u string) error { q.ufrags = append(q.ufrags, u); return nil }
func (q *scriptedPort) RemoveUfrag(u string) {
	q.ufrags = slices.DeleteFunc(q.ufrags, func(o string) bool { return o == u })
}
func (q *scriptedPort) Bind(netip.AddrPort) error         { return nil }
func (q *scriptedPort) Unbind(netip.AddrPort)             {}
func (q *scriptedPort) Write(ice.Route, []byte, int) bool { return true }
func (q *scriptedPort) Close()                            { q.closed = true }

// The gatherer is tested alone: with candidates of two generations, a rollback, and a
// change of address.
func TestGatherer(t *testing.T) {
	now := time.Unix(1e9, 0)
	n := &scriptedNetwork{addr: netip.MustParseAddr("10.0.0.1")}
	owner := &scriptedOwner{now: now}
	agent := ice.NewAgent(ice.Config{Ufrag: "one1", Pwd: strings.Repeat("p", 22), Rand: rand.Reader})
	g := gatherer{owner: owner, cfg: &Config{}, log: noLog, random: rand.Reader, network: n, agent: agent, now: time.Now}
	candidates := func() (names []string) {
		for {
			e, ok := agent.NextEvent()
			if !ok {
				return names
			}
			if e.Kind == ice.EventCandidate {
				if name := g.gathered(e.Candidate); name != "" {
					names = append(names, name)
				}
			}
		}
	}

	if err := g.gather(now, "one1"); err != nil {
		t.Fatal(err)
	}
	first := candidates()
	if len(first) != 1 || !strings.Contains(first[0], "10.0.0.1 5000 typ host") || !strings.Contains(first[0], "ufrag one1") {
		t.Fatalf("gathered %q", first)
	}
	if g.signal(first[0], "") {
		t.Error("a candidate is signalled before a description is applied")
	}
	if got := g.takeUnsignalled(); !slices.Equal(got, first) || g.unsignalled != nil {
		t.Errorf("unsignalled: %q", got)
	}
	if !g.signal(first[0], "one1") {
		t.Error("the candidate of the applied description is not signalled")
	}
	if got, _ := g.delivered(); len(got) != 0 {
		t.Errorf("delivered before the program took it: %q", got)
	}
	g.candidateDelivered(first[0])
	if got, end := g.delivered(); !slices.Equal(got, first) || end {
		t.Errorf("delivered %q, the end %v", got, end)
	}

	agent.SetRemote(now, "remo", strings.Repeat("r", 22), false)
	agent.Restart(now, "two2", strings.Repeat("q", 22))
	if err := g.gather(now, "two2"); err != nil {
		t.Fatal(err)
	}
	if got := candidates(); len(got) != 1 || !strings.Contains(got[0], "ufrag two2") {
		t.Errorf("gathered by the restart: %q", got)
	}
	agent.Rollback(now)
	g.rollback("one1")
	if got, _ := g.delivered(); !slices.Equal(got, first) {
		t.Errorf("after the rollback: %q", got)
	}

	other := netip.MustParseAddr("10.0.0.2")
	g.newAddresses(now, []netip.Addr{other})
	if !n.ports[0].closed || len(g.locals) != 1 || g.locals[0].addr.Addr() != other || len(g.sockets) != 1 {
		t.Errorf("after a change of address: %v, %d sockets", g.locals, len(g.sockets))
	}
	if got := candidates(); len(got) != 1 || !strings.Contains(got[0], "10.0.0.2") {
		t.Errorf("gathered from the new address: %q", got)
	}
	if got, _ := g.delivered(); slices.Contains(got, first[0]) {
		t.Error("the candidate of the address that is gone stays")
	}
	g.close()
	if !n.ports[1].closed || !n.stopped || g.sockets != nil {
		t.Error("close leaves a socket or the watch")
	}
}

// A server name is looked up by a task. The same task does not run
// twice at the same time.
func TestGathererTasks(t *testing.T) {
	now := time.Unix(1e9, 0)
	agent := ice.NewAgent(ice.Config{Ufrag: "one1", Pwd: strings.Repeat("p", 22), Rand: rand.Reader})
	g := gatherer{cfg: &Config{}, log: noLog, agent: agent, now: time.Now}
	task := serverTask{url: serverURL{text: "stun:name.example", host: "name.example", port: 3478}}
	g.underway = []serverTask{task}
	g.beginTask(task) // a second call would start a goroutine, which needs an owner
	if len(g.underway) != 1 {
		t.Errorf("%d tasks under way", len(g.underway))
	}
	g.endTask(now, task)
	if len(g.underway) != 0 {
		t.Error("the task has not ended")
	}
	g.endTask(now, task) // a second call has no effect
}

// remoteCandidates is tested alone: with candidates before and after their
// description, of other sections, and beyond the limit.
func TestRemoteCandidates(t *testing.T) {
	now := time.Unix(1e9, 0)
	agent := ice.NewAgent(ice.Config{Ufrag: "loca", Pwd: strings.Repeat("p", 22), Rand: rand.Reader})
	r := remoteCandidates{agent: agent, log: noLog}
	line := func(last byte, ufrag string) string {
		s := "candidate:1 1 udp 2130706431 " + netip.AddrFrom4([4]byte{10, 0, 0, last}).String() + " 5000 typ host"
		if ufrag != "" {
			s += " ufrag " + ufrag
		}
		return s
	}
	add := func(name string, d *description) {
		t.Helper()
		if err := r.add(now, "", name, d); err != nil {
			t.Fatal(err)
		}
	}
	add(line(1, "remo"), nil)
	add(line(2, "next"), nil) // a candidate of a later generation
	add(line(3, ""), nil)     // a candidate of the next description
	if n := len(r.early); n != 3 {
		t.Fatalf("%d early candidates", n)
	}
	d, err := parseDescription("offer", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"+
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\n"+
		"a=ice-ufrag:remo\r\na=ice-pwd:"+strings.Repeat("q", 22)+"\r\na=sctp-port:5000\r\n"+
		"a=fingerprint:sha-256 "+strings.TrimSuffix(strings.Repeat("AA:", 32), ":")+"\r\na="+line(4, "")+"\r\n")
	if err != nil {
		t.Fatal(err)
	}
	agent.SetRemote(now, "remo", strings.Repeat("q", 22), false)
	r.apply(now, d)
	if n := len(agent.Report().Remote); n != 3 || len(r.early) != 1 {
		t.Errorf("%d candidates in use, want 3; %d early, want 1", n, len(r.early))
	}
	add(line(5, ""), d)
	if n := len(agent.Report().Remote); n != 4 {
		t.Errorf("%d candidates in use, want 4", n)
	}
	if err := r.add(now, "unknown", line(6, ""), d); err == nil {
		t.Error("a candidate of an unknown section is taken")
	}
	for i := range byte(maxEarlyCandidates) {
		add(line(i, "later"), d)
	}
	if n := len(r.early); n != maxEarlyCandidates {
		t.Errorf("%d early candidates, limit %d", n, maxEarlyCandidates)
	}
	if n := agent.Report().DropCount; n != 1 {
		t.Errorf("%d dropped, want the oldest", n)
	}
	add("", d)
	if !agent.Report().RemoteEnded {
		t.Error("the end of candidates is not passed on")
	}
}
