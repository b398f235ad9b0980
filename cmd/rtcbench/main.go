// Command rtcbench runs one peer of a pair that is measured or tested. Its signalling
// and its results are JSON lines on standard input and output. It can also run both
// peers in one process:
//
//	rtcbench throughput|latency|connect|idle|echo|exchange -role offer|answer|both [flags]
//
// It also runs two such programs, of this stack or of another one, that connect to
// each other. And it can run a bad network between them:
//
//	rtcbench pair -a 'rtcbench exchange -role offer' -b 'rtcbench echo -role answer' [-impair '-rtt 50ms -loss 0.01']
//	rtcbench impair -rtt 50ms -loss 0.01 -rate 100
//	rtcbench rivals -pion out/pion       a table and a chart that compare this stack with others
//
// An event log of a scenario, which -eventlog writes, is drawn by:
//
//	rtcbench plot -o plot.svg FILE
//
// rtcpeer/PERFORMANCE.md explains the figures.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"purertc/sctp"
)

// options are the values of the command line.
type options struct {
	scenario, role string
	size, channels int
	unordered      bool
	maxrtx         int
	warm, dur      time.Duration
	busyPoll       time.Duration
	high, low      int
	bulk           bool
	conns, conc    int
	ping           bool
	series         bool
	setup          bool
	snap, warp     bool
	sharedCert     bool
	trickle        bool
	host           string
	mtu            int
	dtls           string
	addr           netip.Addr
	stun, turn     string
	turnUser       string
	turnPass       string
	relayOnly      bool
	label          string
	congestion     sctp.CongestionControl
	files          outputFiles
}

// outputFiles are names of files that are written; empty: none.
type outputFiles struct{ cpuProfile, allocProfile, eventLog, capture string }

var scenarios = []string{"throughput", "latency", "connect", "idle", "echo", "exchange"}

func parseOptions(args []string) (o options, err error) {
	usage := fmt.Errorf("usage: rtcbench %s -role offer|answer|both [flags]", strings.Join(scenarios, "|"))
	if len(args) == 0 {
		return o, usage
	}
	o.scenario = args[0]
	known := false
	for _, s := range scenarios {
		known = known || s == o.scenario
	}
	if !known {
		return o, fmt.Errorf("no scenario %q\n%w", o.scenario, usage)
	}
	f := flag.NewFlagSet("rtcbench "+o.scenario, flag.ExitOnError)
	f.StringVar(&o.role, "role", "both", "offer, answer, or both in one process")
	f.IntVar(&o.size, "size", 16384, "message size in bytes")
	f.IntVar(&o.channels, "channels", 1, "parallel channels")
	f.BoolVar(&o.unordered, "unordered", false, "unordered bulk channels")
	f.IntVar(&o.maxrtx, "maxrtx", -1, "maxRetransmits with -unordered; -1: reliable")
	f.DurationVar(&o.warm, "warm", time.Second, "warm-up time before the measurement")
	f.DurationVar(&o.dur, "dur", 5*time.Second, "measured time")
	f.IntVar(&o.high, "high", 1<<20, "stop sending over this buffered amount")
	f.IntVar(&o.low, "low", 512<<10, "resume sending at this buffered amount")
	f.BoolVar(&o.bulk, "bulk", false, "latency: with a bulk transfer on another channel")
	f.IntVar(&o.conns, "conns", 200, "idle: connections")
	f.BoolVar(&o.ping, "ping", false, "idle: at the end, a message to each and back; connect: pings on a connection beside")
	f.IntVar(&o.conc, "conc", 1, "connect: how many at once")
	f.BoolVar(&o.series, "series", false, "throughput: figures of every second")
	f.BoolVar(&o.setup, "setup", false, "connect: percentiles from the answer to the open channel, and to the first message at the answerer; both ends need this flag")
	f.BoolVar(&o.snap, "snap", true, "set SCTP up by the descriptions; false: rtcpeer.Config.DisableSNAP")
	f.BoolVar(&o.warp, "warp", true, "save round trips of the set-up; false: without SNAP and SPED")
	f.BoolVar(&o.sharedCert, "sharedcert", true, "one certificate for all connections; false: one each")
	f.BoolVar(&o.trickle, "trickle", false, "signal candidates one by one")
	f.StringVar(&o.host, "host", "", "whose peers share one socket: offer, answer or none (default offer for idle and connect)")
	f.IntVar(&o.mtu, "mtu", 0, "no datagram over so many bytes of UDP payload, and no path discovery; 0: the default")
	f.DurationVar(&o.busyPoll, "busypoll", 0, "rtcpeer.Config.BusyPoll, of a host's sockets too")
	f.StringVar(&o.dtls, "dtls", "", "cap the DTLS version: 1.2 or 1.3")
	f.TextVar(&o.addr, "addr", netip.Addr{}, "the local address; 127.0.0.1 if not given")
	f.StringVar(&o.stun, "stun", "", "STUN server, host:port")
	f.StringVar(&o.turn, "turn", "", "TURN server, turn:host:port?transport=udp")
	f.StringVar(&o.turnUser, "turn-user", "", "its user name")
	f.StringVar(&o.turnPass, "turn-pass", "", "and password")
	f.BoolVar(&o.relayOnly, "relay-only", false, "use relayed candidates only")
	f.StringVar(&o.label, "label", "", "label in the output of -role both")
	control := f.String("cc", "bbr", "congestion control: bbr, cubic or reno")
	f.StringVar(&o.files.eventLog, "eventlog", "", "write the event log of the first connection to this file; with -role both that of the offerer")
	f.StringVar(&o.files.capture, "capture", "", "write the packet capture of the same connection to this file")
	f.StringVar(&o.files.cpuProfile, "cpuprofile", "", "write a CPU profile to this file")
	f.StringVar(&o.files.allocProfile, "allocprofile", "", "write an allocation profile to this file")
	f.Parse(args[1:])
	if o.host == "" {
		o.host = "none"
		if o.scenario == "idle" || o.scenario == "connect" {
			o.host = "offer"
		}
	}
	known = false
	for _, c := range []sctp.CongestionControl{sctp.CongestionBBR, sctp.CongestionCubic, sctp.CongestionReno} {
		if c.String() == *control {
			o.congestion, known = c, true
		}
	}
	switch {
	case !known:
		return o, fmt.Errorf("no congestion control %q: there are bbr, cubic and reno", *control)
	case f.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	case o.role != "offer" && o.role != "answer" && o.role != "both":
		return o, fmt.Errorf("no role %q: there are offer, answer and both", o.role)
	case o.host != "offer" && o.host != "answer" && o.host != "none":
		return o, fmt.Errorf("-host is %q, not offer, answer or none", o.host)
	case o.scenario == "echo" && o.role == "both" || o.scenario == "echo" && o.role == "offer":
		o.role = "answer"
	}
	return o, nil
}

func main() {
	if len(os.Args) > 1 {
		if tool := tools[os.Args[1]]; tool != nil {
			code, err := tool(os.Args[2:])
			exit(code, err)
		}
	}
	o, err := parseOptions(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "rtcbench:", err)
		os.Exit(2)
	}
	exit(run(o))
}

// tools are the commands that are not scenarios.
var tools = map[string]func(args []string) (code int, err error){
	"pair":   pair,
	"plot":   func(args []string) (int, error) { return 0, plot(args) },
	"impair": func(args []string) (int, error) { return 0, impair(args) },
	"rivals": func(args []string) (int, error) { return 0, rivals(args) },
}

func exit(code int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "rtcbench:", err)
		code = 1
	}
	os.Exit(code)
}

func run(o options) (code int, err error) {
	if o.files.cpuProfile != "" {
		w, err := os.Create(o.files.cpuProfile)
		if err != nil {
			return 1, err
		}
		defer w.Close()
		if err := pprof.StartCPUProfile(w); err != nil {
			return 1, err
		}
		defer pprof.StopCPUProfile()
	}
	runtime.MemProfileRate = 0 // programs that do not use memory profiles have this value
	if o.files.allocProfile != "" {
		runtime.MemProfileRate = 16384
		defer func() {
			w, cerr := os.Create(o.files.allocProfile)
			if cerr != nil {
				err = cerr
				return
			}
			pprof.Lookup("allocs").WriteTo(w, 0)
			w.Close()
		}()
	}
	idleBase = baseline()
	if o.role == "both" {
		return runBoth(o)
	}
	return runOne(o)
}

// runOne runs one peer. Its signalling uses standard input and output.
func runOne(o options) (code int, err error) {
	var mu sync.Mutex
	out := bufio.NewWriter(os.Stdout)
	enc := json.NewEncoder(out)
	s := newSignalling(func(v any) {
		mu.Lock()
		defer mu.Unlock()
		enc.Encode(v)
		// A close message is not written immediately, but together with the next line,
		// since the other end does not wait for it.
		if m, ok := v.(message); !ok || m.T != "close" {
			out.Flush()
		}
	})
	go func() {
		in := bufio.NewScanner(standardInput())
		in.Buffer(nil, 1<<22)
		for in.Scan() {
			var m message
			if json.Unmarshal(in.Bytes(), &m) == nil {
				s.deliver(m)
			}
		}
		s.end()
	}()
	p, err := newBencher(o, o.role, s)
	if err != nil {
		return 1, err
	}
	defer p.close()
	if o.role == "answer" {
		p.answer()
		return 0, nil
	}
	r, err := p.offer()
	if err != nil {
		return 1, err
	}
	r["t"] = "result"
	s.out(r)
	<-s.bye
	if ok, is := r["ok"].(bool); is && !ok {
		return 1, nil
	}
	return 0, nil
}

// runBoth runs both peers in this process, and prints the figures of both.
func runBoth(o options) (code int, err error) {
	offer, answer, err := both(o)
	if err != nil {
		return 1, err
	}
	err = json.NewEncoder(os.Stdout).Encode(map[string]any{"label": o.label, "offer": offer, "answer": answer})
	if ok, is := offer["ok"].(bool); is && !ok {
		code = 1
	}
	return code, err
}

// both runs both peers in this process, and returns their figures.
func both(o options) (offer, answer figures, err error) {
	var a, b *signalling
	a = newSignalling(func(m any) { carry(m, b) })
	b = newSignalling(func(m any) { carry(m, a) })
	answerer, err := newBencher(o, "answer", b)
	if err != nil {
		return nil, nil, err
	}
	defer answerer.close()
	offerer, err := newBencher(o, "offer", a)
	if err != nil {
		return nil, nil, err
	}
	defer offerer.close()
	done := make(chan figures, 1)
	go func() { done <- answerer.answer() }()
	if offer, err = offerer.offer(); err != nil {
		return nil, nil, err
	}
	if o.scenario == "throughput" {
		time.Sleep(500 * time.Millisecond) // the measured time of the receiver ends a little later
	}
	b.end()
	return offer, <-done, nil
}

func carry(m any, to *signalling) {
	if v, ok := m.(message); ok {
		to.deliver(v)
	}
}
