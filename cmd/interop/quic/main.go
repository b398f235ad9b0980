// Command quic is a peer on quic-go that speaks the JSON lines of cmd/rtcbench. It
// runs the scenarios throughput and latency, so that rtcbench can compare data
// channels with QUIC streams. It is a module of its own, so that the main module does
// not depend on quic-go.
//
// Each channel is one bidirectional stream. A message is a length of four bytes and
// the payload. The first message on a stream is the channel's label. The answerer is
// the QUIC server, on a loopback address. The SDP field of the answer contains its
// address and the SHA-256 hash of its self-signed certificate. Datagrams have at most
// 1200 bytes, like those of the WebRTC stacks.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/quic-go/quic-go"
)

// A line is one line of the signalling.
type line struct {
	T    string `json:"t"`
	ID   int    `json:"id"`
	Type string `json:"type,omitempty"`
	SDP  string `json:"sdp,omitempty"`
}

// figures are the measured values, with the names that rtcbench uses.
type figures map[string]any

type options struct {
	scenario, role string
	size           int
	warm, dur      time.Duration
	bulk           bool
}

// openTimeout is the maximum time for opening the connection.
const openTimeout = 20 * time.Second

// maxMessageSize is the size of the largest accepted message.
const maxMessageSize = 1 << 20

func main() {
	o, err := parseOptions(os.Args[1:])
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "quic:", err)
		os.Exit(1)
	}
}

func parseOptions(args []string) (options, error) {
	o := options{}
	if len(args) == 0 {
		return o, errors.New("usage: quic throughput|latency -role offer|answer [flags]")
	}
	o.scenario = args[0]
	f := flag.NewFlagSet("quic", flag.ExitOnError)
	f.StringVar(&o.role, "role", "answer", "offer or answer")
	f.IntVar(&o.size, "size", 16384, "message size in bytes")
	f.DurationVar(&o.warm, "warm", time.Second, "warm-up time before the measurement")
	f.DurationVar(&o.dur, "dur", 5*time.Second, "measured time")
	f.BoolVar(&o.bulk, "bulk", false, "latency: with a bulk transfer on another stream")
	f.Parse(args[1:])
	switch {
	case o.scenario != "throughput" && o.scenario != "latency":
		return o, fmt.Errorf("no scenario %q: there are throughput and latency", o.scenario)
	case o.role != "offer" && o.role != "answer":
		return o, fmt.Errorf("no role %q: there are offer and answer", o.role)
	case o.size < 1 || o.size > maxMessageSize:
		return o, fmt.Errorf("-size is %d, not 1 to %d", o.size, maxMessageSize)
	}
	return o, nil
}

// run runs one end until the signalling ends.
func run(o options) error {
	s := newSignalling()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if o.role == "answer" {
		return answer(ctx, o, s)
	}
	r, err := offer(ctx, o, s)
	if err != nil {
		return err
	}
	r["t"] = "result"
	s.print(r)
	<-s.bye
	return nil
}

// A signalling reads lines from standard input and writes lines to standard output.
type signalling struct {
	sdp chan line     // descriptions from the remote end
	bye chan struct{} // closed when the signalling has ended

	mu  sync.Mutex
	out *json.Encoder
}

func newSignalling() *signalling {
	s := &signalling{sdp: make(chan line, 1), bye: make(chan struct{}), out: json.NewEncoder(os.Stdout)}
	go s.read()
	return s
}

func (s *signalling) read() {
	defer close(s.bye)
	lines := bufio.NewScanner(standardInput())
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if json.Unmarshal(lines.Bytes(), &l) != nil {
			continue
		}
		switch l.T {
		case "bye":
			return
		case "sdp":
			select {
			case s.sdp <- l:
			default: // a pair of this program has one connection
			}
		}
	}
}

func (s *signalling) print(v any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out.Encode(v)
}

// standardInput returns os.Stdin. If it is a pipe, the runtime's poller is used to
// wait for it, as in cmd/rtcbench.
func standardInput() *os.File {
	info, err := os.Stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 || syscall.SetNonblock(syscall.Stdin, true) != nil {
		return os.Stdin
	}
	return os.NewFile(uintptr(syscall.Stdin), os.Stdin.Name())
}

const protocol = "purertc-bench"

func quicConfig() *quic.Config {
	return &quic.Config{InitialPacketSize: 1200, DisablePathMTUDiscovery: true, HandshakeIdleTimeout: openTimeout}
}

// selfSigned returns a new certificate and the SHA-256 hash of its DER encoding.
func selfSigned() (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	hash := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, hash[:], nil
}

// dial signals an offer, waits for the answer, and connects to the address in the
// answer. It accepts only the certificate with the hash in the answer.
func dial(ctx context.Context, s *signalling) (*quic.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s.print(line{T: "sdp", Type: "offer", SDP: "quic"})
	var answer line
	select {
	case answer = <-s.sdp:
	case <-ctx.Done():
		return nil, fmt.Errorf("no answer within %v", openTimeout)
	case <-s.bye:
		return nil, errors.New("the signalling has ended before an answer")
	}
	addr, text, _ := strings.Cut(answer.SDP, " ")
	hash, err := hex.DecodeString(text)
	if err != nil || len(hash) != sha256.Size {
		return nil, fmt.Errorf("the answer %q is not an address and a SHA-256 hash", answer.SDP)
	}
	c, err := quic.DialAddr(ctx, addr, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{protocol},
		InsecureSkipVerify: true, // VerifyConnection compares the hash instead
		VerifyConnection: func(state tls.ConnectionState) error {
			got := sha256.Sum256(state.PeerCertificates[0].Raw)
			if !bytes.Equal(got[:], hash) {
				return errors.New("the server's certificate is not the one that the answer names")
			}
			return nil
		},
	}, quicConfig())
	if err != nil {
		return nil, err
	}
	// crypto/tls has no setting for the cipher suite of TLS 1.3. It prefers AES-128-GCM
	// where the processor has AES instructions.
	if suite := c.ConnectionState().TLS.CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
		return nil, fmt.Errorf("the connection uses %s: the figures compare only with TLS_AES_128_GCM_SHA256", tls.CipherSuiteName(suite))
	}
	return c, nil
}

// A channel sends and receives messages on a stream.
type channel struct {
	stream *quic.Stream
	in     *bufio.Reader
	out    []byte // the message that send writes, with its length
}

func newChannel(s *quic.Stream) *channel {
	return &channel{stream: s, in: bufio.NewReaderSize(s, 64<<10)}
}

func openChannel(ctx context.Context, c *quic.Conn, label string) (*channel, error) {
	s, err := c.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	ch := newChannel(s)
	return ch, ch.send([]byte(label))
}

func (c *channel) send(p []byte) error {
	c.out = append(binary.BigEndian.AppendUint32(c.out[:0], uint32(len(p))), p...)
	_, err := c.stream.Write(c.out)
	return err
}

// receive reads a message into buf, which grows if it is too small.
func (c *channel) receive(buf []byte) ([]byte, error) {
	head, err := c.in.Peek(4)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head))
	c.in.Discard(4)
	if n > maxMessageSize {
		return nil, fmt.Errorf("a message of %d bytes: at most %d are accepted", n, maxMessageSize)
	}
	if n > cap(buf) {
		buf = make([]byte, n)
	}
	_, err = io.ReadFull(c.in, buf[:n])
	return buf[:n], err
}

// pump sends messages until the channel ends. Write blocks while flow control or
// congestion control allows no more data.
func (c *channel) pump(size int, count *atomic.Int64) {
	p := make([]byte, size)
	for c.send(p) == nil {
		count.Add(1)
	}
}

// offer runs the scenario as the offerer.
func offer(ctx context.Context, o options, s *signalling) (figures, error) {
	c, err := dial(ctx, s)
	if err != nil {
		return nil, err
	}
	if o.scenario == "throughput" {
		return throughput(ctx, o, c)
	}
	return latency(ctx, o, c)
}

func throughput(ctx context.Context, o options, c *quic.Conn) (figures, error) {
	ch, err := openChannel(ctx, c, "bulk")
	if err != nil {
		return nil, err
	}
	var count atomic.Int64
	go ch.pump(o.size, &count)
	time.Sleep(o.warm)
	s, before := takeSnapshot(), count.Load()
	time.Sleep(o.dur)
	e, k := takeSnapshot(), float64(count.Load()-before)
	n := k * float64(o.size)
	return transferFigures(figures{"mbps_sent": n * 8 / e.at.Sub(s.at).Seconds() / 1e6}, s, e, n, k), nil
}

func latency(ctx context.Context, o options, c *quic.Conn) (figures, error) {
	ch, err := openChannel(ctx, c, "ping")
	if err != nil {
		return nil, err
	}
	var sent atomic.Int64
	if o.bulk {
		bulk, err := openChannel(ctx, c, "bulk")
		if err != nil {
			return nil, err
		}
		go bulk.pump(16384, &sent)
	}
	p, q := make([]byte, o.size), make([]byte, o.size)
	var us []float64
	var s snapshot
	var before int64
	begin := time.Now()
	measure, end := begin.Add(o.warm), begin.Add(o.warm+o.dur)
	for t := begin; t.Before(end); {
		if s.at.IsZero() && t.After(measure) {
			s, before = takeSnapshot(), sent.Load()
		}
		t = time.Now()
		if err := ch.send(p); err != nil {
			return nil, err
		}
		if q, err = ch.receive(q); err != nil {
			return nil, err
		}
		now := time.Now()
		if !s.at.IsZero() {
			us = append(us, float64(now.Sub(t).Nanoseconds())/1e3)
		}
		t = now
	}
	e := takeSnapshot()
	sort.Float64s(us)
	n := float64(max(1, len(us)))
	return figures{"n": len(us), "p50_us": percentile(us, .5), "p99_us": percentile(us, .99), "p999_us": percentile(us, .999),
		"cpu_us_per_rt": float64((e.cpu - s.cpu).Microseconds()) / n, "allocs_per_rt": float64(e.mallocs-s.mallocs) / n,
		"bulk_mbps_sent": float64(sent.Load()-before) * 16384 * 8 / e.at.Sub(s.at).Seconds() / 1e6}, nil
}

// answer runs the server until the signalling ends.
func answer(ctx context.Context, o options, s *signalling) error {
	cert, hash, err := selfSigned()
	if err != nil {
		return err
	}
	l, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}, Certificates: []tls.Certificate{cert}}, quicConfig())
	if err != nil {
		return err
	}
	defer l.Close()
	r := &receiver{o: o, results: make(chan figures, 1)}
	go r.serve(ctx, l)
	reported := false
	for {
		select {
		case m := <-s.sdp:
			s.print(line{T: "sdp", ID: m.ID, Type: "answer", SDP: l.Addr().String() + " " + hex.EncodeToString(hash)})
		case f := <-r.results:
			f["t"], reported = "result", true
			s.print(f)
		case <-s.bye:
			if !reported {
				s.print(figures{"t": "result", "bytes": r.bytes.Load(), "rss_peak_kb": statusKB("VmHWM")})
			}
			return nil
		}
	}
}

// A receiver reads from all streams. It sends the messages of the channel ping back,
// and counts all others.
type receiver struct {
	o           options
	bytes, msgs atomic.Int64
	first       sync.Once
	results     chan figures
}

func (r *receiver) serve(ctx context.Context, l *quic.Listener) {
	c, err := l.Accept(ctx)
	if err != nil {
		return
	}
	for {
		s, err := c.AcceptStream(ctx)
		if err != nil {
			return
		}
		go r.read(newChannel(s))
	}
}

func (r *receiver) read(c *channel) {
	label, err := c.receive(nil)
	if err != nil {
		return
	}
	if string(label) == "ping" {
		var p []byte
		for {
			if p, err = c.receive(p); err != nil || c.send(p) != nil {
				return
			}
		}
	}
	var p []byte
	for {
		if p, err = c.receive(p); err != nil {
			return
		}
		r.bytes.Add(int64(len(p)))
		r.msgs.Add(1)
		r.first.Do(func() { go r.measure() })
	}
}

// measure reads the counters at the beginning and at the end of the measured time. The
// time before it begins with the first message.
func (r *receiver) measure() {
	time.Sleep(r.o.warm)
	s, bytes, msgs := takeSnapshot(), r.bytes.Load(), r.msgs.Load()
	time.Sleep(r.o.dur)
	e, n, k := takeSnapshot(), float64(r.bytes.Load()-bytes), float64(r.msgs.Load()-msgs)
	r.results <- transferFigures(figures{"mbps": n * 8 / e.at.Sub(s.at).Seconds() / 1e6, "msgs": k}, s, e, n, k)
}

// A snapshot is the state of the process at one time.
type snapshot struct {
	at      time.Time
	cpu     time.Duration
	mallocs uint64
	gcs     uint32
}

func takeSnapshot() snapshot {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return snapshot{time.Now(), time.Duration(u.Utime.Nano() + u.Stime.Nano()), m.Mallocs, m.NumGC}
}

// transferFigures adds the figures of a transfer to f and returns f. The transfer took
// place between the snapshots a and b. It consisted of n bytes in k messages.
func transferFigures(f figures, a, b snapshot, n, k float64) figures {
	sec, cpu := b.at.Sub(a.at).Seconds(), (b.cpu - a.cpu).Seconds()
	f["sec"], f["cpu_s"], f["cpu_s_per_gb"], f["cpu_util"] = sec, cpu, cpu/(n/1e9), cpu/sec
	f["allocs_per_msg"], f["gcs"], f["rss_peak_kb"] = float64(b.mallocs-a.mallocs)/max(k, 1), b.gcs-a.gcs, statusKB("VmHWM")
	return f
}

// statusKB returns the number in the line of /proc/self/status that begins with key;
// 0: the system is not Linux.
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

// percentile returns a percentile of values that are sorted.
func percentile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
