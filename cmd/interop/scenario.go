package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"purertc/rtcpeer"
)

// A scenario says what is between the two ends, and how they are configured. In some
// scenarios the ends are connected directly, and the local end is a full ICE agent
// with sockets of its own or on a Host, an end that the remote end joins by an invite,
// an ICE-lite agent, or hidden behind multicast DNS names. In the others there is a bad
// network, a NAT that forgets its mappings, a network without UDP, or a relay for both
// ends.
type scenario struct {
	name string
	// configure changes the configuration of the local end. If the remote end is this
	// stack, too, configureRemote changes its configuration. nil: the configuration is
	// not changed. If the remote end is a page, page is its RTCConfiguration.
	configure, configureRemote func(cfg *rtcpeer.Config)
	page                       map[string]any
	// ours is called with each candidate of the local end, and theirs with each
	// candidate of the remote end. They return the candidate that the other end
	// receives instead; "": it receives none. nil: it receives all candidates
	// unchanged.
	ours, theirs func(candidate string) string
	// check returns an error if the connection did not use the path that the scenario
	// intends.
	check func(r rtcpeer.Report) error
	// restart is the interval of ICE restarts; 0: ICE is not restarted.
	restart time.Duration
	// host, if it is not nil, makes an invite for each case. The remote end joins by the
	// invite, so that there is no offer and answer.
	host *rtcpeer.Host
	// media says that pages have audio and video in addition to data.
	media bool
	// within is the command that starts the browser; empty: it is started directly.
	// server is the address of this machine at which the browser finds the page;
	// empty: 127.0.0.1.
	within []string
	server string
	// chromium are additional arguments for Chromium.
	chromium []string
	// without says why the scenario does not run with certain remote ends, by their name.
	without map[string]string
	// foreign says that the scenario does not run if the remote end is this stack.
	foreign bool
	// slow says that each case may take three times as long as usual.
	slow bool
	// loses says that datagrams are lost, so cases that are marked as lossless do not
	// run. Datagrams are lost in a bad network, and when a burst arrives at a
	// browser's TCP socket or at a relay.
	loses bool
	// between is called between two cases.
	between func()
	end     func()
}

var wayNames = []string{"direct", "host", "invite", "lite", "names", "bad", "rebinding", "tcp", "relay", "relay-tcp", "restart", "media", "smallmtu", "warp"}

// openScenario creates the scenario with this name, and starts the programs and
// networks that it needs.
func openScenario(ctx context.Context, name string) (*scenario, error) {
	switch name {
	case "direct":
		return &scenario{name: name, configure: func(*rtcpeer.Config) {}, page: map[string]any{}, end: func() {}}, nil
	case "host":
		host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: ":0"})
		if err != nil {
			return nil, err
		}
		return &scenario{name: name, configure: func(cfg *rtcpeer.Config) { cfg.Host = host }, page: map[string]any{}, end: func() { host.Close() }}, nil
	case "invite":
		host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: ":0", TCPAddr: ":0"})
		if err != nil {
			return nil, err
		}
		return &scenario{name: name, configure: func(*rtcpeer.Config) {}, page: map[string]any{}, host: host, end: func() { host.Close() }}, nil
	case "lite":
		return &scenario{name: name, configure: func(cfg *rtcpeer.Config) { cfg.ICELite = true }, page: map[string]any{}, end: func() {}}, nil
	case "restart":
		return &scenario{name: name, configure: func(*rtcpeer.Config) {}, page: map[string]any{}, restart: 500 * time.Millisecond, end: func() {}}, nil
	case "names":
		return &scenario{
			name: name, configure: func(cfg *rtcpeer.Config) { cfg.MDNSCandidates = true }, page: map[string]any{}, end: func() {},
			// The remote end's candidates are removed. So the ends can connect only if
			// the remote end looks up the names in the local candidates.
			ours:   only(func(candidate string) bool { return strings.Contains(candidate, ".local ") }),
			theirs: nothing,
		}, nil
	case "bad":
		// The rate is 30 Mbit/s, the round-trip time is 40 ms, and the queue holds
		// the data of 40 ms.
		return scenarioMiddle(name, &middle{delay: 20 * time.Millisecond, loss: 0.01, twice: 0.01, late: 0.01, rate: 30e6 / 8, queue: 30e6 / 8 * 0.04})
	case "rebinding":
		return scenarioRebinding(name)
	case "media":
		return mediaScenario(name), nil
	case "tcp":
		return scenarioTCP()
	case "warp":
		return scenarioWARP(), nil
	case "smallmtu":
		return scenarioSmallPackets()
	case "relay":
		return scenarioRelay(ctx, name, "")
	case "relay-tcp":
		return scenarioRelay(ctx, name, "?transport=tcp")
	}
	return nil, fmt.Errorf("no way %q; there are: %s", name, strings.Join(wayNames, " "))
}

// warpTrials switch on SNAP, SPED and interleaved messages in Chromium 156, where they
// are off by default.
const warpTrials = "WebRTC-Sctp-Snap/Enabled/WebRTC-IceHandshakeDtls/Enabled/WebRTC-DataChannelMessageInterleaving/Enabled/"

// scenarioWARP returns a scenario in which both ends set up the connection with SNAP and
// SPED, which are known together as WARP.
func scenarioWARP() *scenario {
	return &scenario{
		name: "warp", configure: func(*rtcpeer.Config) {}, page: map[string]any{}, end: func() {},
		chromium: []string{"--force-fieldtrials=" + warpTrials},
		without: map[string]string{
			"firefox": "has neither SNAP nor SPED, so it does not go this way",
			"self":    "may answer checks before the flight for them is made, so it does not go this way; the tests of rtcpeer do",
		},
		check: func(r rtcpeer.Report) error {
			if !r.SNAP || !r.SPED {
				return fmt.Errorf("the set-up used SNAP: %t, SPED: %t; it should use both", r.SNAP, r.SPED)
			}
			return nil
		},
	}
}

// scenarioTCP returns a scenario in which the local end listens on TCP, and all UDP
// candidates are removed.
func scenarioTCP() (*scenario, error) {
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{TCPAddr: ":0"})
	if err != nil {
		return nil, err
	}
	withoutUDP := only(func(candidate string) bool { return !strings.Contains(strings.ToLower(candidate), " udp ") })
	return &scenario{
		name:      "tcp",
		configure: func(cfg *rtcpeer.Config) { cfg.Host = host },
		page:      map[string]any{},
		ours:      withoutUDP,
		theirs:    withoutUDP,
		check:     selected("tcp", ""),
		loses:     true,
		end:       func() { host.Close() },
	}, nil
}

// scenarioMiddle returns a scenario with a network between the ends. The remote end's
// candidates are removed, so that no datagram can take another path.
func scenarioMiddle(name string, m *middle) (*scenario, error) {
	addr, err := ownAddress()
	if err != nil {
		return nil, err
	}
	m.addr, _ = netip.AddrFromSlice(addr.To4())
	m.start()
	return &scenario{
		name: name, configure: func(*rtcpeer.Config) {}, page: map[string]any{},
		ours: m.through, theirs: nothing, slow: true, loses: true, between: m.clear, end: m.end,
	}, nil
}

// scenarioRebinding returns a scenario in which the remote end is behind a NAT that
// gives it a new address every three seconds. The local end uses a shared socket. It
// has to find out to which connection a datagram from an unknown address belongs.
func scenarioRebinding(name string) (*scenario, error) {
	m := &middle{delay: 5 * time.Millisecond, rate: 30e6 / 8, queue: 30e6 / 8 * 0.04, renewal: 3 * time.Second}
	w, err := scenarioMiddle(name, m)
	if err != nil {
		return nil, err
	}
	host, err := rtcpeer.NewHost(rtcpeer.HostConfig{Addr: "0.0.0.0:0"})
	if err != nil {
		w.end()
		return nil, err
	}
	w.configure = func(cfg *rtcpeer.Config) { cfg.Host = host }
	w.check = func(r rtcpeer.Report) error {
		// The first selection of a pair is counted as a change, too.
		if ago := m.renewed(); ago > time.Second && r.Stats.Transport.SelectedCandidatePairChanges < 2 {
			return fmt.Errorf("the NAT gave the remote end another address %v ago, and the pair is still the first", ago)
		}
		return nil
	}
	end := w.end
	w.end = func() { host.Close(); end() }
	return w, nil
}

// smallMTU is the size in bytes of the longest IP packet in the scenario smallmtu.
// Browsers can connect there, because their kernel fragments longer packets.
const smallMTU = 700

// scenarioSmallPackets returns a scenario in which browsers run in a network
// namespace. The namespace is connected by a pair of devices that carry no packet
// longer than smallMTU. Datagrams of this stack are never fragmented, so they have to
// be short enough.
func scenarioSmallPackets() (*scenario, error) {
	namespace := fmt.Sprintf("interop-%d", os.Getpid())
	const ours, theirs = "198.18.77.1", "198.18.77.2" // addresses of RFC 2544, which no real network uses
	dev := fmt.Sprintf("io%d", os.Getpid())
	remove := func() { exec.Command("ip", "netns", "del", namespace).Run() }
	for _, line := range []string{
		"netns add " + namespace,
		fmt.Sprintf("link add %s mtu %d type veth peer name small mtu %d netns %s", dev, smallMTU, smallMTU, namespace),
		fmt.Sprintf("addr add %s/24 dev %s", ours, dev),
		"link set " + dev + " up",
		"-n " + namespace + " link set lo up",
		fmt.Sprintf("-n %s addr add %s/24 dev small", namespace, theirs),
		"-n " + namespace + " link set small up",
		"-n " + namespace + " route add default dev small",
	} {
		if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
			remove()
			return nil, fmt.Errorf("a network namespace (which needs root): ip %s: %w: %s", line, err, out)
		}
	}
	return &scenario{
		name: "smallmtu", configure: func(*rtcpeer.Config) {}, page: map[string]any{},
		ours:   only(func(candidate string) bool { return strings.Contains(candidate, " "+ours+" ") }),
		within: []string{"ip", "netns", "exec", namespace},
		server: ours, foreign: true, slow: true, end: remove,
		check: func(r rtcpeer.Report) error {
			if n := r.Stats.SCTPTransport.MTU; n > smallMTU-overhead {
				return fmt.Errorf("SCTP sends packets of %d bytes", n)
			}
			return nil
		},
	}, nil
}

// scenarioRelay starts a TURN server and restricts both ends to it. The query of the
// server's URL determines the transport that the remote end uses. The address of the
// server is not a loopback address, because browsers do not use servers at such
// addresses.
func scenarioRelay(ctx context.Context, name, query string) (*scenario, error) {
	path, err := exec.LookPath("turnserver")
	if err != nil {
		return nil, errors.New("no TURN server; install one (Debian: apt-get install coturn)")
	}
	addr, err := ownAddress()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "interop-coturn-")
	if err != nil {
		return nil, err
	}
	const port = 34780
	config := fmt.Sprintf("listening-ip=%v\nrelay-ip=%v\nlistening-port=%d\nlt-cred-mech\nuser=interop:secret\nrealm=interop.example\n"+
		"no-tls\nno-dtls\nno-cli\ncli-password=x\nlog-file=/dev/null\npidfile=%s\nuserdb=%s\n",
		addr, addr, port, filepath.Join(dir, "pid"), filepath.Join(dir, "db"))
	file := filepath.Join(dir, "conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "-c", file)
	own(cmd)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop := func() {
		end(cmd)
		cmd.Wait()
		os.RemoveAll(dir)
	}
	if err := listening(ctx, net.JoinHostPort(addr.String(), fmt.Sprint(port))); err != nil {
		stop()
		return nil, err
	}
	url := fmt.Sprintf("turn:%s", net.JoinHostPort(addr.String(), fmt.Sprint(port)))
	servers := func(url string) []rtcpeer.ICEServer {
		return []rtcpeer.ICEServer{{URLs: []string{url}, Username: "interop", Credential: "secret"}}
	}
	relayed := func(url string) func(cfg *rtcpeer.Config) {
		return func(cfg *rtcpeer.Config) {
			cfg.ICEServers, cfg.ICETransportPolicy = servers(url), rtcpeer.ICETransportPolicyRelay
		}
	}
	return &scenario{
		name:            name,
		configure:       relayed(url),
		configureRemote: relayed(url + query),
		page:            map[string]any{"iceServers": servers(url + query), "iceTransportPolicy": "relay"},
		check:           selected("udp", "relay"),
		loses:           true,
		end:             stop,
	}, nil
}

// listening waits until a program listens on TCP at the address.
func listening(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the TURN server does not start: %w", err)
		}
	}
}

// ownAddress returns an IPv4 address of this machine that is not a loopback address.
func ownAddress() (net.IP, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP, nil
		}
	}
	return nil, errors.New("this machine has no IPv4 address but loopback")
}

// selected returns a scenario.check function. It returns an error unless the local
// candidate of the selected pair is of the given transport and type. If typ is empty,
// every type is accepted. The remote candidate is not checked: a candidate that is
// relayed at the remote end may be peer-reflexive here.
func selected(transport, typ string) func(r rtcpeer.Report) error {
	return func(r rtcpeer.Report) error {
		for _, p := range r.ICE.Pairs {
			if !p.Selected {
				continue
			}
			if p.Local.Transport != transport || typ != "" && p.Local.Type.String() != typ {
				return fmt.Errorf("it went by %v", p.Local)
			}
			return nil
		}
		return errors.New("no pair is selected")
	}
}

// only returns a function that removes all candidates except those for which kept
// returns true.
func only(kept func(candidate string) bool) func(string) string {
	return func(candidate string) string {
		if kept(candidate) {
			return candidate
		}
		return ""
	}
}

func nothing(string) string { return "" }

// heard returns the candidate that the other end receives in place of candidate;
// false: it receives none. The empty candidate, which ends the candidates, is never
// changed.
func heard(of func(candidate string) string, candidate string) (string, bool) {
	if of == nil || candidate == "" {
		return candidate, true
	}
	candidate = of(candidate)
	return candidate, candidate != ""
}

// redact changes or removes the candidates in a description, as heard does.
func redact(of func(candidate string) string, sdp string) string {
	var out strings.Builder
	for line := range strings.Lines(sdp) {
		if c, is := strings.CutPrefix(line, "a=candidate:"); is {
			c, some := heard(of, strings.TrimRight("candidate:"+c, "\r\n"))
			if !some {
				continue
			}
			line = "a=" + c + "\r\n"
		}
		out.WriteString(line)
	}
	return out.String()
}
