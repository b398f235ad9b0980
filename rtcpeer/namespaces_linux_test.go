package rtcpeer

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"purertc/rtcpeer/internal/simnet"
)

// These tests run whole connections through networks of the kernel. Each test creates
// network namespaces, connects them, and makes some of them NATs. In each of two
// namespaces it starts a process, which runs this test binary.

// A lab contains the namespaces of one test.
type lab struct {
	t      *testing.T
	prefix string
}

var labs struct {
	sync.Mutex
	n int
}

// newLab creates namespaces. It skips the test if the system does not allow that.
func newLab(t *testing.T, namespaces ...string) *lab {
	t.Helper()
	if testing.Short() {
		t.Skip("not in a short run: makes namespaces and starts processes")
	}
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	for _, tool := range []string{"ip", "nft"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	labs.Lock()
	labs.n++
	l := &lab{t: t, prefix: fmt.Sprintf("rtcpeer-%d-%d-", os.Getpid(), labs.n)}
	labs.Unlock()
	for _, ns := range namespaces {
		l.add(ns)
	}
	return l
}

// add creates a namespace. It skips the test if the system does not allow that.
func (l *lab) add(ns string) {
	l.t.Helper()
	if out, err := exec.Command("ip", "netns", "add", l.prefix+ns).CombinedOutput(); err != nil {
		l.t.Skipf("no network namespace can be made: %v: %s", err, out)
	}
	l.t.Cleanup(func() { exec.Command("ip", "netns", "del", l.prefix+ns).Run() })
	l.ip(ns, "link set lo up")
	// Without duplicate address detection, a new IPv6 address can be used at once.
	l.in(ns, nil, "sh", "-c", "cd /proc/sys/net; echo 1 >ipv4/ip_forward; echo 1 >ipv6/conf/all/forwarding; echo 0 >ipv6/conf/default/accept_dad")
}

// in runs a command in a namespace.
func (l *lab) in(ns string, stdin io.Reader, args ...string) {
	l.t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", l.prefix + ns}, args...)...)
	c.Stdin = stdin
	if out, err := c.CombinedOutput(); err != nil {
		l.t.Fatalf("%s: %v: %v\n%s", ns, args, err, out)
	}
}

// ip runs commands in the language of ip -batch in a namespace.
func (l *lab) ip(ns string, lines ...string) {
	l.t.Helper()
	c := exec.Command("ip", "-n", l.prefix+ns, "-batch", "-")
	c.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		l.t.Fatalf("%s: ip %q: %v\n%s", ns, lines, err, out)
	}
}

// An end is a device of a namespace with its addresses, each with a prefix
// length.
type end struct {
	ns, dev string
	addrs   []string
}

// link connects two namespaces.
func (l *lab) link(a, b end) {
	l.t.Helper()
	l.ip(a.ns, fmt.Sprintf("link add %s type veth peer name %s netns %s", a.dev, b.dev, l.prefix+b.ns))
	for _, e := range []end{a, b} {
		var lines []string
		for _, addr := range e.addrs {
			if strings.Contains(addr, ":") {
				addr += " nodad"
			}
			lines = append(lines, fmt.Sprintf("addr add %s dev %s", addr, e.dev))
		}
		l.ip(e.ns, append(lines, "link set dev "+e.dev+" up")...)
	}
}

// rules sets the packet filter of a namespace.
func (l *lab) rules(ns, text string) {
	l.t.Helper()
	l.in(ns, strings.NewReader("flush ruleset\n"+text), "nft", "-f", "-")
}

// nat returns the rules that make a namespace with the devices "in" and "out" a NAT of
// the given kind for one host inside. Packets from outside that answer nothing are
// dropped before the kernel stores a connection for them. Otherwise that entry would
// occupy the port that the same flow needs when it begins inside.
func nat(kind simnet.NATKind, host string) string {
	const masquerade = `table ip nat { chain post { type nat hook postrouting priority 100; oifname "out" masquerade %s; }
		%s
		chain input { type filter hook input priority 0; iifname "out" meta l4proto udp drop; }
	}
`
	switch kind {
	case simnet.FullCone:
		return fmt.Sprintf(masquerade, "", `chain pre { type nat hook prerouting priority -100; iifname "out" meta l4proto udp dnat to `+host+`; }`)
	case simnet.Restricted:
		return fmt.Sprintf(masquerade, "", `set spoken { type ipv4_addr; flags dynamic, timeout; }
		chain pre { type nat hook prerouting priority -100; iifname "out" meta l4proto udp ip saddr @spoken dnat to `+host+`; }
		chain forward { type filter hook forward priority 0; iifname "in" meta l4proto udp update @spoken { ip daddr timeout 2m }; }`)
	case simnet.Symmetric:
		return fmt.Sprintf(masquerade, "fully-random", "")
	}
	return fmt.Sprintf(masquerade, "", "")
}

// A namespacePair is a pair of processes that run namespacePeer.
type namespacePair struct {
	t     *testing.T
	said  chan namespaceLine // lines of the offerer other than signalling
	stdin [2]*json.Encoder
	mu    sync.Mutex
}

// pair starts a peer in each of two namespaces and forwards their signalling.
func (l *lab) pair(nsA, nsB string, cfg namespaceConfig) *namespacePair {
	l.t.Helper()
	p := &namespacePair{t: l.t, said: make(chan namespaceLine, 16)}
	var out [2]io.Reader
	for i, ns := range []string{nsA, nsB} {
		cfg.Offer = i == 0
		text, err := json.Marshal(cfg)
		if err != nil {
			l.t.Fatal(err)
		}
		self, err := os.Executable()
		if err != nil {
			l.t.Fatal(err)
		}
		c := exec.Command("ip", "netns", "exec", l.prefix+ns, self)
		c.Env = append(os.Environ(), namespaceVariable+"="+string(text))
		c.Stderr = os.Stderr
		stdin, err := c.StdinPipe()
		if err != nil {
			l.t.Fatal(err)
		}
		if out[i], err = c.StdoutPipe(); err != nil {
			l.t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			l.t.Fatal(err)
		}
		p.stdin[i] = json.NewEncoder(stdin)
		l.t.Cleanup(func() {
			stdin.Close()
			done := time.AfterFunc(5*time.Second, func() { c.Process.Kill() })
			c.Wait()
			done.Stop()
		})
	}
	for i := range out {
		go func() {
			lines := bufio.NewScanner(out[i])
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				var line namespaceLine
				if json.Unmarshal(lines.Bytes(), &line) != nil {
					continue
				}
				switch line.Type {
				case "echoed", "report":
					p.said <- line
				default:
					p.say(1-i, line)
				}
			}
		}()
	}
	return p
}

func (p *namespacePair) say(to int, l namespaceLine) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stdin[to].Encode(l)
}

// echo sends a message of size bytes, which the remote sends back. The time includes
// the set-up of the connection. how is "" if the message does not come back within
// limit.
func (p *namespacePair) echo(size int, limit time.Duration) (how string) {
	p.say(0, namespaceLine{Type: "echo", Size: size})
	select {
	case l := <-p.said:
		if l.Size != size {
			p.t.Errorf("a message of %d bytes came back with %d", size, l.Size)
		}
		return l.How
	case <-time.After(limit):
		return ""
	}
}

// reports asks both ends for their reports.
func (p *namespacePair) reports() (text string) {
	for i := range p.stdin {
		p.say(i, namespaceLine{Type: "report"})
		select {
		case l := <-p.said:
			text += l.Report + "\n"
		case <-time.After(2 * time.Second):
		}
	}
	return text
}

// patience is how long a connection may take on a busy machine. hopeless is how long
// the test waits for a connection that must not work.
const (
	patience = 20 * time.Second
	hopeless = 1500 * time.Millisecond
)

// startTURN starts coturn in a namespace, and returns the directory of its files.
func (l *lab) startTURN(ns, addr string) (dir string) {
	l.t.Helper()
	path, err := exec.LookPath("turnserver")
	if err != nil {
		l.t.Skip("coturn's turnserver is not installed")
	}
	dir = l.t.TempDir()
	writeCertificate(l.t, dir, false)
	log := filepath.Join(dir, "log")
	c := exec.Command("ip", "netns", "exec", l.prefix+ns, path, "-n", "--no-cli", "-L", addr, "-E", addr, "--lt-cred-mech", "-u", "u:p",
		"-r", "test.example", "--tls-listening-port", "443", "--cert", filepath.Join(dir, "cert"), "--pkey", filepath.Join(dir, "key"),
		"--log-file", log, "--simple-log", "--pidfile", filepath.Join(dir, "pid"), "--db", filepath.Join(dir, "db"))
	if err := c.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	for tick := range 500 {
		if b, _ := os.ReadFile(log); strings.Contains(string(b), "Total auth threads") || strings.Contains(string(b), "Total General servers") {
			return dir
		}
		if tick == 499 {
			break
		}
		<-time.After(10 * time.Millisecond)
	}
	b, _ := os.ReadFile(log)
	l.t.Fatalf("coturn does not start:\n%s", b)
	return ""
}

const (
	turnAddr  = "203.0.113.1" // address in the namespace middle
	outerA    = "203.0.113.2"
	outerB    = "198.51.100.2"
	insideA   = "192.168.1.2"
	insideB   = "192.168.2.2"
	gatewayA  = "192.168.1.1"
	gatewayB  = "192.168.2.1"
	middleToB = "198.51.100.1"
)

// newNATLab creates five namespaces in a row: hostA, natA, middle, natB, hostB.
func newNATLab(t *testing.T) *lab {
	l := newLab(t, "hostA", "natA", "middle", "natB", "hostB")
	l.link(end{"natA", "in", []string{gatewayA + "/24"}}, end{"hostA", "eth0", []string{insideA + "/24"}})
	l.link(end{"natB", "in", []string{gatewayB + "/24"}}, end{"hostB", "eth0", []string{insideB + "/24"}})
	l.link(end{"natA", "out", []string{outerA + "/24"}}, end{"middle", "a", []string{turnAddr + "/24"}})
	l.link(end{"natB", "out", []string{outerB + "/24"}}, end{"middle", "b", []string{middleToB + "/24"}})
	l.ip("hostA", "route add default via "+gatewayA)
	l.ip("hostB", "route add default via "+gatewayB)
	l.ip("natA", "route add default via "+turnAddr)
	l.ip("natB", "route add default via "+middleToB)
	// All other addresses do not answer. If they were unreachable, the kernel would
	// report that, and coturn would then end the whole allocation.
	l.ip("middle", "link add void type veth peer name nobody", "link set dev void up", "link set dev nobody up",
		"addr add 192.0.2.1/24 dev void", "neigh add 192.0.2.2 lladdr 02:00:00:00:00:02 dev void", "route add default via 192.0.2.2")
	return l
}

var (
	stunOnly = []ICEServer{{URLs: []string{"stun:" + turnAddr}}}
	andTURN  = append([]ICEServer{{URLs: []string{"turn:" + turnAddr}, Username: "u", Credential: "p"}}, stunOnly...)
)

// The test runs the 16 combinations of NATs, with NATs of the kernel and with coturn
// as the server. The same combinations connect directly as in the simulation. The
// others connect by a relay.
func TestNamespaceNATs(t *testing.T) {
	for _, ka := range natKinds {
		t.Run(ka.String(), func(t *testing.T) {
			t.Parallel()
			l := newNATLab(t)
			l.startTURN("middle", turnAddr)
			l.rules("natA", nat(ka, insideA))
			for _, kb := range natKinds {
				l.rules("natB", nat(kb, insideB))
				start := time.Now()
				p := l.pair("hostA", "hostB", namespaceConfig{Servers: stunOnly})
				limit := patience
				if !connects(ka, kb) {
					limit = hopeless
				}
				how := p.echo(1000, limit)
				if (how != "") != connects(ka, kb) {
					t.Errorf("%v with %v: %q\n%s", ka, kb, how, p.reports())
				}
				if how == "" {
					start = time.Now()
					p := l.pair("hostA", "hostB", namespaceConfig{Servers: andTURN})
					if how = p.echo(1000, patience); !strings.Contains(how, "relay") {
						t.Errorf("%v with %v and a relay: %q\n%s", ka, kb, how, p.reports())
					}
				}
				t.Logf("%v with %v: %s, %v", ka, kb, how, time.Since(start).Round(time.Millisecond))
			}
		})
	}
}

// Networks with other structures than one NAT for each end.
func TestNamespaceNetworks(t *testing.T) {
	both := func(l *lab, kind simnet.NATKind) {
		l.rules("natA", nat(kind, insideA))
		l.rules("natB", nat(kind, insideB))
	}
	tests := []struct {
		name string
		make func(t *testing.T) (*lab, namespaceConfig)
		size int
		how  string   // part of the text that echo must return
		says []string // texts that the offerer's report must contain
	}{
		{"UDP blocked, TURN over TLS on port 443", func(t *testing.T) (*lab, namespaceConfig) {
			l := newNATLab(t)
			both(l, simnet.PortRestricted)
			l.rules("natA", `table ip nat { chain post { type nat hook postrouting priority 100; oifname "out" masquerade; }
				chain forward { type filter hook forward priority 0; meta l4proto udp drop; tcp dport != 443 iifname "in" drop; }
			}`)
			dir := l.startTURN("middle", turnAddr)
			return l, namespaceConfig{Roots: filepath.Join(dir, "cert"), Servers: []ICEServer{
				{URLs: []string{"turn:" + turnAddr, "turns:" + turnAddr + ":443"}, Username: "u", Credential: "p"}}}
		}, 1000, "relay", []string{
			"server turn:" + turnAddr + ": the server does not answer", "server turns:" + turnAddr + ":443: relays at [" + turnAddr + ":", "connection connected",
		}},
		{"UDP blocked, TCP to a server on port 443", func(t *testing.T) (*lab, namespaceConfig) {
			l := newNATLab(t)
			l.rules("natA", `table ip nat { chain post { type nat hook postrouting priority 100; oifname "out" masquerade; }
				chain forward { type filter hook forward priority 0; meta l4proto udp drop; tcp dport != 443 iifname "in" drop; }
			}`)
			return l, namespaceConfig{TCPAddr: ":443"}
		}, 200_000, "host–host", nil},
		{"IPv6 only, firewalls at both ends", func(t *testing.T) (*lab, namespaceConfig) {
			l := newLab(t, "hostA", "natA", "natB", "hostB")
			l.link(end{"natA", "in", []string{"2001:db8:a::1/64"}}, end{"hostA", "eth0", []string{"2001:db8:a::2/64"}})
			l.link(end{"natB", "in", []string{"2001:db8:b::1/64"}}, end{"hostB", "eth0", []string{"2001:db8:b::2/64"}})
			l.link(end{"natA", "out", []string{"2001:db8:c::1/64"}}, end{"natB", "out", []string{"2001:db8:c::2/64"}})
			l.ip("hostA", "route add default via 2001:db8:a::1")
			l.ip("hostB", "route add default via 2001:db8:b::1")
			l.ip("natA", "route add default via 2001:db8:c::2")
			l.ip("natB", "route add default via 2001:db8:c::1")
			for _, ns := range []string{"natA", "natB"} {
				l.rules(ns, `table ip6 f { chain forward { type filter hook forward priority 0; iifname "out" ct state new drop; }
				}`)
			}
			return l, namespaceConfig{}
		}, 1000, "host–host 2001:db8:b::2", nil},
		{"MTU 1280", func(t *testing.T) (*lab, namespaceConfig) {
			l := newNATLab(t)
			both(l, simnet.PortRestricted)
			l.ip("natA", "link set dev out mtu 1280")
			l.ip("middle", "link set dev a mtu 1280")
			return l, namespaceConfig{Servers: stunOnlyFrom(l)}
		}, 200_000, "srflx", nil},
		{"bridges by the dozen beside the interface that matters", func(t *testing.T) (*lab, namespaceConfig) {
			l := newLab(t, "hostA", "hostB")
			for i := range 20 {
				l.ip("hostA", fmt.Sprintf("link add br%d type bridge", i), fmt.Sprintf("addr add 172.%d.0.1/16 dev br%d", 16+i, i), fmt.Sprintf("link set br%d up", i))
			}
			l.link(end{"hostA", "wg0", []string{"10.77.0.1/24"}}, end{"hostB", "eth0", []string{"10.77.0.2/24"}})
			l.ip("hostA", "route add default via 10.77.0.2")
			return l, namespaceConfig{}
		}, 1000, "host–host 10.77.0.2", []string{"the machine has more addresses than a connection uses"}},
		{"a lone IPv6 address that is still tentative", func(t *testing.T) (*lab, namespaceConfig) {
			l := newLab(t, "hostA", "hostB")
			l.link(end{"hostA", "eth0", nil}, end{"hostB", "eth0", []string{"2001:db8::2/64"}})
			l.in("hostA", nil, "sh", "-c", "cd /proc/sys/net/ipv6/conf/eth0; echo 1 >accept_dad; echo 2 >dad_transmits")
			l.ip("hostA", "addr add 2001:db8::1/64 dev eth0")
			return l, namespaceConfig{}
		}, 1000, "host–host 2001:db8::2", nil},
		{"double NAT at one end", func(t *testing.T) (*lab, namespaceConfig) {
			l := newNATLab(t)
			both(l, simnet.PortRestricted)
			insert(l)
			return l, namespaceConfig{Servers: stunOnlyFrom(l)}
		}, 1000, "srflx", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l, cfg := tt.make(t)
			far := "hostB"
			if cfg.TCPAddr != "" {
				far = "middle" // the namespace with the server
			}
			p := l.pair("hostA", far, cfg)
			if how := p.echo(tt.size, patience); !strings.Contains(how, tt.how) || how == "" {
				t.Errorf("connected by %q, want %q\n%s", how, tt.how, p.reports())
			}
			p.waitReport(tt.says...)
		})
	}
}

// stunOnlyFrom starts the server and returns its STUN URL.
func stunOnlyFrom(l *lab) []ICEServer {
	l.t.Helper()
	l.startTURN("middle", turnAddr)
	return stunOnly
}

// insert adds a second NAT between hostA and natA.
func insert(l *lab) {
	l.t.Helper()
	l.add("home")
	l.ip("natA", "link del in")
	l.link(end{"natA", "in", []string{"100.64.0.1/24"}}, end{"home", "out", []string{"100.64.0.2/24"}})
	l.link(end{"home", "in", []string{gatewayA + "/24"}}, end{"hostA", "eth0", []string{insideA + "/24"}})
	l.ip("home", "route add default via 100.64.0.1")
	l.ip("hostA", "route add default via "+gatewayA)
	l.rules("home", nat(simnet.PortRestricted, insideA))
}

// Two ends are behind one carrier's NAT, and each end has a NAT of its own. They
// connect by their outer addresses: the carrier's NAT sends such datagrams back
// inside.
func TestNamespaceHairpin(t *testing.T) {
	t.Parallel()
	for _, hairpin := range []bool{true, false} {
		l := newLab(t, "hostA", "natA", "hostB", "natB", "carrier", "middle")
		l.link(end{"natA", "in", []string{gatewayA + "/24"}}, end{"hostA", "eth0", []string{insideA + "/24"}})
		l.link(end{"natB", "in", []string{gatewayB + "/24"}}, end{"hostB", "eth0", []string{insideB + "/24"}})
		l.link(end{"carrier", "in0", []string{"100.64.0.1/24"}}, end{"natA", "out", []string{"100.64.0.2/24"}})
		l.link(end{"carrier", "in1", []string{"100.64.1.1/24"}}, end{"natB", "out", []string{"100.64.1.2/24"}})
		l.link(end{"carrier", "out", []string{outerA + "/24"}}, end{"middle", "a", []string{turnAddr + "/24"}})
		l.ip("hostA", "route add default via "+gatewayA)
		l.ip("hostB", "route add default via "+gatewayB)
		l.ip("natA", "route add default via 100.64.0.1")
		l.ip("natB", "route add default via 100.64.1.1")
		l.ip("carrier", "route add default via "+turnAddr)
		l.rules("natA", nat(simnet.PortRestricted, insideA))
		l.rules("natB", nat(simnet.PortRestricted, insideB))
		// The carrier's NAT stores which inner NAT has each port. The inner NATs do
		// not change ports, and neither does the carrier's NAT.
		back := ""
		if hairpin {
			back = `iifname "in*" ip daddr ` + outerA + ` meta l4proto udp dnat to udp dport map @owner;`
		}
		l.rules("carrier", `table ip nat {
			map owner { type inet_service : ipv4_addr; flags dynamic, timeout; }
			chain pre { type nat hook prerouting priority -100; `+back+` }
			chain forward { type filter hook forward priority 0; iifname "in*" meta l4proto udp update @owner { udp sport timeout 2m : ip saddr }; ip daddr 192.168.0.0/16 drop; }
			chain post { type nat hook postrouting priority 100; oifname "out" masquerade; oifname "in*" ip saddr 100.64.0.0/10 snat to `+outerA+`; }
			chain input { type filter hook input priority 0; meta l4proto udp drop; }
		}`)
		l.startTURN("middle", turnAddr)
		p := l.pair("hostA", "hostB", namespaceConfig{Servers: stunOnly})
		limit := patience
		if !hairpin {
			limit = hopeless
		}
		how := p.echo(1000, limit)
		if (how != "") != hairpin || hairpin && !strings.Contains(how, "srflx "+outerA) {
			t.Errorf("hairpin %v: connected by %q\n%s", hairpin, how, p.reports())
		}
	}
}

// While two ends are connected, a VPN appears at one end. Then the network on which
// they connected disappears. They continue over the VPN, without an ICE restart.
func TestNamespaceVPN(t *testing.T) {
	t.Parallel()
	l := newNATLab(t)
	l.rules("natA", nat(simnet.PortRestricted, insideA))
	l.rules("natB", nat(simnet.PortRestricted, insideB))
	l.startTURN("middle", turnAddr)
	p := l.pair("hostA", "hostB", namespaceConfig{Servers: stunOnly})
	if how := p.echo(1000, patience); !strings.Contains(how, "srflx") {
		t.Fatalf("connected by %q\n%s", how, p.reports())
	}
	l.link(end{"hostA", "vpn", []string{"10.8.0.1/24"}}, end{"hostB", "vpn", []string{"10.8.0.2/24"}})
	p.wait(func(how string) bool { return strings.HasSuffix(how, "10.8.0.2") }, "the VPN is used")
	l.ip("hostA", "link del eth0")
	for range 10 {
		if how := p.echo(1000, patience); !strings.HasSuffix(how, "10.8.0.2") {
			t.Fatalf("after the first network went: %q\n%s", how, p.reports())
		}
	}
}

// A machine behind a NAT gets several new addresses from its network, one after
// another. The connection moves with it, both through the NATs and by a relay.
func TestNamespaceMoves(t *testing.T) {
	for _, kind := range []simnet.NATKind{simnet.PortRestricted, simnet.Symmetric} {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			l := newNATLab(t)
			l.rules("natA", nat(kind, insideA))
			l.rules("natB", nat(kind, insideB))
			l.startTURN("middle", turnAddr)
			want := "srflx"
			if kind == simnet.Symmetric {
				want = "relay"
			}
			p := l.pair("hostA", "hostB", namespaceConfig{Servers: andTURN})
			if how := p.echo(1000, patience); how == "" {
				t.Fatalf("no connection\n%s", p.reports())
			}
			// Without this setting, the removal of the first address would remove the
			// others, too.
			l.in("hostA", nil, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/eth0/promote_secondaries")
			old := insideA
			for i := range 5 {
				next := fmt.Sprintf("192.168.1.%d", 10+i)
				l.ip("hostA", "addr add "+next+"/24 dev eth0", "addr del "+old+"/24 dev eth0", "route replace default via "+gatewayA)
				old = next
				for range 10 {
					if how := p.echo(1000, 2*patience); how == "" {
						t.Fatalf("move %d: nothing comes back\n%s", i, p.reports())
					}
				}
			}
			p.wait(func(how string) bool { return strings.Contains(how, want) }, "it goes by "+want)
		})
	}
}

// waitReport waits until the offerer's report contains these texts.
func (p *namespacePair) waitReport(texts ...string) {
	p.t.Helper()
	for end := time.Now().Add(20 * time.Second); len(texts) > 0; {
		p.say(0, namespaceLine{Type: "report"})
		report := (<-p.said).Report
		texts = slices.DeleteFunc(slices.Clone(texts), func(text string) bool { return strings.Contains(report, text) })
		if time.Now().After(end) {
			p.t.Fatalf("no %q in\n%s", texts, report)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// wait sends messages until echo returns a text that as accepts.
func (p *namespacePair) wait(as func(how string) bool, what string) {
	p.t.Helper()
	end := time.Now().Add(20 * time.Second)
	for !as(p.echo(10, patience)) {
		if time.Now().After(end) {
			p.t.Fatalf("never: %s\n%s", what, p.reports())
		}
		<-time.After(50 * time.Millisecond)
	}
}

// In TestNamespaceSmallPath, devices or a router between the ends carry no packet
// above 700 bytes, at one end or both.
func TestNamespaceSmallPath(t *testing.T) {
	for _, test := range []struct {
		name string
		mtus [2]int // MTUs of the links from the router to each end
	}{{"offerer", [2]int{700, 1500}}, {"answerer", [2]int{1500, 700}}, {"both", [2]int{700, 700}}} {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t, "a", "r", "b")
			l.link(end{"a", "eth", []string{"10.0.1.2/24"}}, end{"r", "ra", []string{"10.0.1.1/24"}})
			l.link(end{"b", "eth", []string{"10.0.2.2/24"}}, end{"r", "rb", []string{"10.0.2.1/24"}})
			l.ip("a", fmt.Sprintf("link set dev eth mtu %d", test.mtus[0]), "route add default via 10.0.1.1")
			l.ip("b", fmt.Sprintf("link set dev eth mtu %d", test.mtus[1]), "route add default via 10.0.2.1")
			l.ip("r", fmt.Sprintf("link set dev ra mtu %d", test.mtus[0]), fmt.Sprintf("link set dev rb mtu %d", test.mtus[1]))
			p := l.pair("a", "b", namespaceConfig{})
			for _, size := range []int{1, 100000} {
				if how := p.echo(size, 2*patience); how == "" {
					t.Fatalf("a message of %d bytes did not come back:\n%s", size, p.reports())
				}
			}
		})
	}
}
