// Command pion is a peer on pion/webrtc that speaks the JSON lines of cmd/rtcbench:
// for interop (echo, exchange) and for comparison (throughput, latency, connect,
// idle). It is a module of its own, so that the main module depends on none of it.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

type line struct {
	T    string `json:"t"`
	ID   int    `json:"id"`
	Type string `json:"type,omitempty"`
	SDP  string `json:"sdp,omitempty"`
}

type figures map[string]any

type options struct {
	scenario, role       string
	size, channels       int
	warm, dur            time.Duration
	high, low            int
	bulk, series, ping   bool
	conns, conc, maxrtx  int
	unordered, sharedKey bool
}

// A peer is one end with its connections.
type peer struct {
	o      options
	api    *webrtc.API
	config webrtc.Configuration
	in     chan line
	bye    chan struct{}
	outMu  sync.Mutex
	out    *bufio.Writer
	mu     sync.Mutex
	waits  map[int]chan line
	conns  map[int]*webrtc.PeerConnection
}

func main() {
	o := options{scenario: "echo"}
	if len(os.Args) > 1 {
		o.scenario = os.Args[1]
	}
	f := flag.NewFlagSet("pion", flag.ExitOnError)
	f.StringVar(&o.role, "role", "answer", "offer or answer")
	f.IntVar(&o.size, "size", 16384, "message size")
	f.IntVar(&o.channels, "channels", 1, "parallel channels")
	f.DurationVar(&o.warm, "warm", time.Second, "warm-up time before the measurement")
	f.DurationVar(&o.dur, "dur", 5*time.Second, "measured time")
	f.IntVar(&o.high, "high", 1<<20, "stop sending over this buffered amount")
	f.IntVar(&o.low, "low", 512<<10, "resume sending at this buffered amount")
	f.BoolVar(&o.bulk, "bulk", false, "latency: with a bulk transfer on another channel")
	f.BoolVar(&o.series, "series", false, "figures of every second")
	f.IntVar(&o.conns, "conns", 200, "idle: connections")
	f.BoolVar(&o.ping, "ping", false, "idle: at the end, a message to each and back")
	f.IntVar(&o.conc, "conc", 1, "connect: how many at once")
	f.BoolVar(&o.unordered, "unordered", false, "unordered bulk channels")
	f.IntVar(&o.maxrtx, "maxrtx", -1, "maxRetransmits with -unordered")
	f.BoolVar(&o.sharedKey, "sharedcert", false, "one certificate for all connections")
	f.Parse(os.Args[min(2, len(os.Args)):])
	base = idleBase{heapAndStack(), statusKB("VmRSS"), runtime.NumGoroutine()}
	p := newPeer(o)
	go p.read()
	if o.role == "answer" {
		p.answer()
		return
	}
	r, err := p.offer()
	if err != nil {
		fmt.Fprintln(os.Stderr, "pion:", err)
		os.Exit(1)
	}
	r["t"] = "result"
	p.print(r)
	<-p.bye
	if ok, is := r["ok"].(bool); is && !ok {
		os.Exit(1)
	}
}

func newPeer(o options) *peer {
	var se webrtc.SettingEngine
	se.SetIncludeLoopbackCandidate(true)
	se.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	se.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	se.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	se.SetSCTPMaxMessageSize(1 << 20)
	p := &peer{
		o: o, api: webrtc.NewAPI(webrtc.WithSettingEngine(se)), in: make(chan line, 64), bye: make(chan struct{}),
		out: bufio.NewWriter(os.Stdout), waits: map[int]chan line{}, conns: map[int]*webrtc.PeerConnection{},
	}
	if o.sharedKey {
		pc, err := webrtc.NewPeerConnection(webrtc.Configuration{})
		must(err)
		p.config.Certificates = pc.GetConfiguration().Certificates
		pc.Close()
	}
	return p
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "pion:", err)
		os.Exit(1)
	}
}

func (p *peer) print(v any) {
	p.outMu.Lock()
	defer p.outMu.Unlock()
	json.NewEncoder(p.out).Encode(v)
	// A close message is written together with the next line, since the remote end
	// does not wait for it.
	if l, ok := v.(line); !ok || l.T != "close" {
		p.out.Flush()
	}
}

// standardInput is os.Stdin. If it is a pipe, the runtime's poller waits for it, as in
// cmd/rtcbench.
func standardInput() *os.File {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 || syscall.SetNonblock(syscall.Stdin, true) != nil {
		return os.Stdin
	}
	return os.NewFile(uintptr(syscall.Stdin), os.Stdin.Name())
}

func (p *peer) read() {
	lines := bufio.NewScanner(standardInput())
	lines.Buffer(nil, 1<<22)
	var once sync.Once
	end := func() { once.Do(func() { close(p.bye) }) }
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		if l.T == "bye" {
			end()
			continue
		}
		p.mu.Lock()
		w := p.waits[l.ID]
		delete(p.waits, l.ID)
		p.mu.Unlock()
		if w != nil && l.T == "sdp" {
			w <- l
		} else {
			p.in <- l
		}
	}
	end()
}

// described applies a local description and returns it with all candidates.
func described(pc *webrtc.PeerConnection, d webrtc.SessionDescription, err error) (string, error) {
	if err != nil {
		return "", err
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(d); err != nil {
		return "", err
	}
	<-gathered
	return pc.LocalDescription().SDP, nil
}

// dial opens a connection with channels of these labels.
func (p *peer) dial(id int, labels ...string) (*webrtc.PeerConnection, []*channel, error) {
	pc, err := p.api.NewPeerConnection(p.config)
	if err != nil {
		return nil, nil, err
	}
	var channels []*channel
	for _, l := range labels {
		var init webrtc.DataChannelInit
		if p.o.unordered && l != "ping" {
			init.Ordered = new(false)
			if p.o.maxrtx >= 0 {
				init.MaxRetransmits = new(uint16(p.o.maxrtx))
			}
		}
		d, err := pc.CreateDataChannel(l, &init)
		if err != nil {
			return nil, nil, err
		}
		channels = append(channels, newChannel(d))
	}
	offer, err := pc.CreateOffer(nil)
	sdp, err := described(pc, offer, err)
	if err != nil {
		return nil, nil, err
	}
	w := make(chan line, 1)
	p.mu.Lock()
	p.waits[id] = w
	p.conns[id] = pc
	p.mu.Unlock()
	p.print(line{"sdp", id, "offer", sdp})
	timeout := time.NewTimer(20 * time.Second)
	defer timeout.Stop()
	select {
	case l := <-w:
		if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: l.SDP}); err != nil {
			return nil, nil, err
		}
	case <-timeout.C:
		return nil, nil, fmt.Errorf("connection %d: no answer", id)
	}
	for _, c := range channels {
		select {
		case <-c.open:
		case <-timeout.C:
			return nil, nil, fmt.Errorf("connection %d: not open", id)
		}
	}
	return pc, channels, nil
}

func (p *peer) drop(id int) {
	p.mu.Lock()
	pc := p.conns[id]
	delete(p.conns, id)
	p.mu.Unlock()
	if pc != nil {
		pc.Close()
	}
}

// A channel is a data channel with a queue of received messages.
type channel struct {
	*webrtc.DataChannel
	open, closed chan struct{}
	in           chan webrtc.DataChannelMessage
	low          chan struct{}
}

func newChannel(d *webrtc.DataChannel) *channel {
	c := &channel{d, make(chan struct{}), make(chan struct{}), make(chan webrtc.DataChannelMessage, 1024), make(chan struct{}, 1)}
	d.OnOpen(func() { close(c.open) })
	d.OnClose(func() { close(c.closed) })
	d.OnMessage(func(m webrtc.DataChannelMessage) { c.in <- m })
	return c
}

func (c *channel) send(p []byte, text bool) error {
	if text {
		return c.SendText(string(p))
	}
	return c.Send(p)
}

// pump sends messages until the channel ends.
func (p *peer) pump(c *channel, size int, count *atomic.Int64) {
	b := make([]byte, size)
	c.SetBufferedAmountLowThreshold(uint64(p.o.low))
	c.OnBufferedAmountLow(func() {
		select {
		case c.low <- struct{}{}:
		default:
		}
	})
	for c.Send(b) == nil {
		count.Add(1)
		if c.BufferedAmount() > uint64(p.o.high) {
			select {
			case <-c.low:
			case <-time.After(100 * time.Millisecond):
			}
		}
	}
}

func (p *peer) offer() (figures, error) {
	switch p.o.scenario {
	case "throughput":
		return p.throughput()
	case "latency":
		return p.latency()
	case "connect":
		return p.connect()
	case "idle":
		return p.idle()
	case "exchange":
		return p.exchange()
	}
	return nil, fmt.Errorf("no scenario %q for the offerer", p.o.scenario)
}

func (p *peer) throughput() (figures, error) {
	var labels []string
	for i := range p.o.channels {
		labels = append(labels, fmt.Sprint("d", i))
	}
	_, channels, err := p.dial(0, labels...)
	if err != nil {
		return nil, err
	}
	var count atomic.Int64
	for _, c := range channels {
		go p.pump(c, p.o.size, &count)
	}
	time.Sleep(p.o.warm)
	s, before := now(), count.Load()
	time.Sleep(p.o.dur)
	e, k := now(), float64(count.Load()-before)
	n := k * float64(p.o.size)
	return transferFigures(figures{"mbps_sent": n * 8 / e.at.Sub(s.at).Seconds() / 1e6}, s, e, n, k), nil
}

func (p *peer) latency() (figures, error) {
	labels := []string{"ping"}
	if p.o.bulk {
		labels = append(labels, "bulk")
	}
	_, channels, err := p.dial(0, labels...)
	if err != nil {
		return nil, err
	}
	var sent atomic.Int64
	if p.o.bulk {
		go p.pump(channels[1], 16384, &sent)
	}
	c, b := channels[0], make([]byte, p.o.size)
	var us []float64
	var s moment
	var before int64
	begin := time.Now()
	for t := begin; t.Before(begin.Add(p.o.warm + p.o.dur)); t = time.Now() {
		if s.at.IsZero() && t.Sub(begin) > p.o.warm {
			s, before = now(), sent.Load()
		}
		t = time.Now()
		if err := c.Send(b); err != nil {
			return nil, err
		}
		<-c.in
		if !s.at.IsZero() {
			us = append(us, float64(time.Since(t).Nanoseconds())/1e3)
		}
	}
	e := now()
	sort.Float64s(us)
	n := float64(max(1, len(us)))
	return figures{"n": len(us), "p50_us": percentile(us, .5), "p99_us": percentile(us, .99), "p999_us": percentile(us, .999),
		"cpu_us_per_rt": float64((e.cpu - s.cpu).Microseconds()) / n, "allocs_per_rt": float64(e.mallocs-s.mallocs) / n,
		"bulk_mbps_sent": float64(sent.Load()-before) * 16384 * 8 / e.at.Sub(s.at).Seconds() / 1e6}, nil
}

func (p *peer) connect() (figures, error) {
	var mu sync.Mutex
	var ms []float64
	var next atomic.Int64
	next.Store(100)
	s := now()
	end := s.at.Add(p.o.dur)
	var wg sync.WaitGroup
	for range p.o.conc {
		wg.Go(func() {
			for time.Now().Before(end) {
				t, id := time.Now(), int(next.Add(1))
				_, _, err := p.dial(id, "c")
				if err != nil {
					fmt.Fprintln(os.Stderr, "pion:", err)
				} else {
					mu.Lock()
					ms = append(ms, float64(time.Since(t).Microseconds())/1e3)
					mu.Unlock()
				}
				p.print(line{T: "close", ID: id})
				p.drop(id)
			}
		})
	}
	wg.Wait()
	e := now()
	sort.Float64s(ms)
	n := float64(max(1, len(ms)))
	return figures{"n": len(ms), "per_s": n / e.at.Sub(s.at).Seconds(), "cpu_ms_per_conn": (e.cpu - s.cpu).Seconds() * 1e3 / n,
		"p50_ms": percentile(ms, .5), "p99_ms": percentile(ms, .99)}, nil
}

func (p *peer) idle() (figures, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []*channel
	var next, failed atomic.Int64
	label := "c"
	if p.o.ping {
		label = "ping"
	}
	for range min(8, p.o.conns) {
		wg.Go(func() {
			for {
				id := int(next.Add(1))
				if id > p.o.conns {
					return
				}
				_, channels, err := p.dial(id, label)
				if err != nil {
					failed.Add(1)
					continue
				}
				mu.Lock()
				all = append(all, channels...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	p.print(line{T: "idle"})
	r := idleFigures(p.o.conns)
	r["failed"] = failed.Load()
	if p.o.ping {
		r["ping_ms"], r["unanswered"] = pingAll(all)
	}
	return r, nil
}

// pingAll sends a message on every channel. It returns the time until the last answer,
// in milliseconds.
func pingAll(channels []*channel) (ms float64, unanswered int64) {
	var missing atomic.Int64
	missing.Store(int64(len(channels)))
	done := make(chan struct{})
	for _, c := range channels {
		c.OnMessage(func(webrtc.DataChannelMessage) {
			if missing.Add(-1) == 0 {
				close(done)
			}
		})
	}
	begin := time.Now()
	for _, c := range channels {
		c.SendText("ping")
	}
	select {
	case <-done:
	case <-time.After(10 * time.Second):
	}
	return float64(time.Since(begin).Microseconds()) / 1e3, missing.Load()
}

// exchange sends every kind of message to a peer that sends each message back.
func (p *peer) exchange() (figures, error) {
	pc, channels, err := p.dial(0, "exchange")
	if err != nil {
		return nil, err
	}
	c := channels[0]
	failed := []string{}
	cases := 0
	try := func(name string, f func() error) {
		cases++
		if err := f(); err != nil {
			failed = append(failed, fmt.Sprintf("%s: %v", name, err))
		}
	}
	try("text", func() error { return roundTrip(c, []byte("text: äöü 日本語 😀"), true) })
	try("binary", func() error { return roundTrip(c, []byte{0, 1, 2, 254, 255}, false) })
	try("empty-text", func() error { return roundTrip(c, nil, true) })
	try("empty-binary", func() error { return roundTrip(c, nil, false) })
	try("sizes", func() error {
		for _, n := range []int{1, 2, 100, 1100, 1200, 1300, 16384, 65535, 65536, 65537, 262144, 1 << 20} {
			b := make([]byte, n)
			for i := range b {
				b[i] = byte(i*7 + n)
			}
			if err := roundTrip(c, b, false); err != nil {
				return err
			}
		}
		return nil
	})
	try("in-order", func() error {
		for i := range 200 {
			if err := c.Send(binary.BigEndian.AppendUint32(nil, uint32(i))); err != nil {
				return err
			}
		}
		for i := range 200 {
			m, err := c.receive()
			if err != nil {
				return err
			}
			if len(m.Data) != 4 || binary.BigEndian.Uint32(m.Data) != uint32(i) {
				return fmt.Errorf("message %d came back as %x", i, m.Data)
			}
		}
		return nil
	})
	for name, init := range map[string]webrtc.DataChannelInit{
		"ordered": {}, "unordered": {Ordered: new(false)},
		"maxretransmits": {Ordered: new(false), MaxRetransmits: new(uint16(3))}, "maxpacketlifetime": {MaxPacketLifeTime: new(uint16(2000))},
	} {
		try(name, func() error {
			d, err := pc.CreateDataChannel("kind", &init)
			if err != nil {
				return err
			}
			k := newChannel(d)
			select {
			case <-k.open:
			case <-time.After(10 * time.Second):
				return fmt.Errorf("not open")
			}
			for i := range 20 {
				if err := roundTrip(k, []byte(fmt.Sprint("message ", i)), i%2 == 0); err != nil {
					return err
				}
			}
			return k.end()
		})
	}
	try("close", c.end)
	return figures{"ok": len(failed) == 0, "cases": cases, "failed": failed}, nil
}

func (c *channel) receive() (webrtc.DataChannelMessage, error) {
	select {
	case m := <-c.in:
		return m, nil
	case <-time.After(20 * time.Second):
		return webrtc.DataChannelMessage{}, fmt.Errorf("nothing came back")
	}
}

func (c *channel) end() error {
	if err := c.Close(); err != nil {
		return err
	}
	select {
	case <-c.closed:
		return nil
	case <-time.After(10 * time.Second):
		return fmt.Errorf("not closed")
	}
}

func roundTrip(c *channel, b []byte, text bool) error {
	if err := c.send(b, text); err != nil {
		return err
	}
	m, err := c.receive()
	if err != nil {
		return fmt.Errorf("%d bytes: %w", len(b), err)
	}
	if m.IsString != text || !bytes.Equal(m.Data, b) {
		return fmt.Errorf("%d bytes (text %v) came back as %d bytes (text %v)", len(b), text, len(m.Data), m.IsString)
	}
	return nil
}

// answer runs until the end of the signalling.
func (p *peer) answer() {
	var bytes, msgs atomic.Int64
	var first sync.Once
	results := make(chan figures, 2)
	reported := false
	report := func(f figures) {
		f["t"] = "result"
		p.print(f)
		reported = true
	}
	on := func(d *webrtc.DataChannel) {
		echo := d.Label() == "ping" || p.o.scenario == "echo" || p.o.scenario == "exchange"
		d.OnMessage(func(m webrtc.DataChannelMessage) {
			switch {
			case echo && m.IsString:
				d.SendText(string(m.Data))
			case echo:
				d.Send(m.Data)
			default:
				bytes.Add(int64(len(m.Data)))
				msgs.Add(1)
				first.Do(func() { go p.measure(&bytes, &msgs, results) })
			}
		})
	}
	for {
		select {
		case l := <-p.in:
			switch l.T {
			case "sdp":
				go p.accept(l, on)
			case "close":
				go p.drop(l.ID)
			case "idle":
				go func() { results <- idleFigures(p.o.conns) }()
			}
		case f := <-results:
			report(f)
		case <-p.bye:
			if !reported {
				report(figures{"bytes": bytes.Load(), "rss_peak_kb": statusKB("VmHWM")})
			}
			return
		}
	}
}

func (p *peer) accept(l line, on func(*webrtc.DataChannel)) {
	pc, err := p.api.NewPeerConnection(p.config)
	must(err)
	pc.OnDataChannel(on)
	p.mu.Lock()
	p.conns[l.ID] = pc
	p.mu.Unlock()
	must(pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: l.SDP}))
	answer, err := pc.CreateAnswer(nil)
	sdp, err := described(pc, answer, err)
	must(err)
	p.print(line{"sdp", l.ID, "answer", sdp})
}

func (p *peer) measure(bytes, msgs *atomic.Int64, results chan figures) {
	begin := time.Now()
	time.Sleep(p.o.warm)
	b0, m0 := bytes.Load(), msgs.Load()
	if p.o.warm == 0 {
		b0, m0 = 0, 0
	}
	s := now()
	var series []float64
	if p.o.series {
		last := b0
		for i := range int(p.o.dur / time.Second) {
			time.Sleep(time.Until(begin.Add(p.o.warm + time.Duration(i+1)*time.Second)))
			b := bytes.Load()
			series, last = append(series, float64((b-last)*8/1e4)/100), b
		}
	} else {
		time.Sleep(p.o.dur)
	}
	n, k := float64(bytes.Load()-b0), float64(msgs.Load()-m0)
	e := now()
	f := transferFigures(figures{"mbps": n * 8 / e.at.Sub(s.at).Seconds() / 1e6, "msgs": k}, s, e, n, k)
	if series != nil {
		f["series_mbps"] = series
	}
	results <- f
}

// A moment is the state of the process at a time.
type moment struct {
	at      time.Time
	cpu     time.Duration
	mallocs uint64
	gcs     uint32
}

func now() moment {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return moment{time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano()), m.Mallocs, m.NumGC}
}

func transferFigures(f figures, a, b moment, n, k float64) figures {
	sec, cpu := b.at.Sub(a.at).Seconds(), (b.cpu - a.cpu).Seconds()
	f["sec"], f["cpu_s"], f["cpu_s_per_gb"], f["cpu_util"] = sec, cpu, cpu/(n/1e9), cpu/sec
	f["allocs_per_msg"], f["gcs"], f["rss_peak_kb"] = float64(b.mallocs-a.mallocs)/max(k, 1), b.gcs-a.gcs, statusKB("VmHWM")
	return f
}

func statusKB(key string) int {
	b, _ := os.ReadFile("/proc/self/status")
	for _, l := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(l, key+":"); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			return n
		}
	}
	return 0
}

func percentile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

type idleBase struct{ heap, rss, goroutines int }

var base idleBase

func heapAndStack() int {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}

func idleFigures(n int) figures {
	time.Sleep(4 * time.Second)
	h, rss, g := heapAndStack(), statusKB("VmRSS"), runtime.NumGoroutine()
	a := now()
	time.Sleep(10 * time.Second)
	b := now()
	f := float64(n)
	return figures{"conns": n, "heap_stack_kb_per_conn": float64(h-base.heap) / 1024 / f, "rss_kb_per_conn": float64(rss-base.rss) / f,
		"goroutines_per_conn": float64(g-base.goroutines) / f, "cpu_pct": (b.cpu - a.cpu).Seconds() / b.at.Sub(a.at).Seconds() * 100}
}
