package rtcpeer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"purertc/dtls"
	"purertc/ice"
)

// unpolled connects two Conns by Offer, Answer and SetAnswer. No goroutine calls Poll.
func unpolled(t testing.TB, cfg, cfgB Config) (a, b *Conn, x, y *DataChannel) {
	t.Helper()
	cfg.IncludeLoopback, cfgB.IncludeLoopback = true, true
	a, b = New(), New()
	t.Cleanup(func() { a.Close(); b.Close() })
	if err := errors.Join(a.Initialize(cfg), b.Initialize(cfgB)); err != nil {
		t.Fatal(err)
	}
	x, y = agreed(t, a, b)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := errors.Join(x.Opened(ctx), y.Opened(ctx), a.Connected(ctx), b.Connected(ctx)); err != nil {
		t.Fatalf("%v\n%s", err, a.Report())
	}
	return a, b, x, y
}

// agreed exchanges an offer and an answer as JSON, and returns the two ends of a
// negotiated channel.
func agreed(t testing.TB, a, b *Conn) (x, y *DataChannel) {
	t.Helper()
	return agreedAfter(t, a, b, 0)
}

// agreedAfter does the same as agreed. The answer travels for the given time.
func agreedAfter(t testing.TB, a, b *Conn, travels time.Duration) (x, y *DataChannel) {
	t.Helper()
	var err error
	for _, end := range []struct {
		c  *Conn
		ch **DataChannel
	}{{a, &x}, {b, &y}} {
		if *end.ch, err = end.c.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
			t.Fatal(err)
		}
	}
	offer, err := a.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := b.Answer(t.Context(), travelled(t, offer))
	if err != nil {
		t.Fatal(err)
	}
	if travels > 0 {
		<-time.After(travels)
	}
	if err := a.SetAnswer(travelled(t, answer)); err != nil {
		t.Fatal(err)
	}
	return x, y
}

// travelled encodes a value as JSON, and returns the decoded value.
func travelled[T any](t testing.TB, v T) (out T) {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// Offer and Answer return applied descriptions with all candidates, and need no Poll.
// The calls that wait need no Poll either.
func TestOfferAndAnswer(t *testing.T) {
	a, b, x, y := unpolled(t, Config{}, Config{})
	for _, c := range []*Conn{a, b} {
		d := c.Descriptions()
		if d.PendingLocal != (Description{}) || d.PendingRemote != (Description{}) {
			t.Errorf("pending descriptions after the answer: %v", d)
		}
		for _, sdp := range []string{d.CurrentLocal.SDP, d.CurrentRemote.SDP} {
			if !strings.Contains(sdp, "a=candidate:") || !strings.Contains(sdp, "a=end-of-candidates") {
				t.Errorf("a description is not complete:\n%s", sdp)
			}
		}
	}
	if err := x.Send(t.Context(), []byte("hello"), false); err != nil {
		t.Fatal(err)
	}
	if p, _, err := y.Receive(t.Context()); err != nil || string(p) != "hello" {
		t.Fatalf("%q, %v", p, err)
	}
	// When the connection makes a later offer, gathering is already complete, so Offer
	// returns at once.
	offer, err := b.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	answer, err := a.Answer(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.SetAnswer(answer); err != nil {
		t.Fatal(err)
	}
	if a.Err() != nil || b.Err() != nil {
		t.Errorf("errors %v, %v", a.Err(), b.Err())
	}
	a.Close()
	select {
	case <-b.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("Done is not closed after the remote's Close")
	}
	if err := b.Err(); !errors.Is(err, ErrClosed) || !errors.Is(err, ErrRemoteClosed) {
		t.Errorf("Err after the remote's Close: %v", err)
	}
	if err := a.Err(); !errors.Is(err, ErrClosed) || errors.Is(err, ErrRemoteClosed) {
		t.Errorf("Err after Close: %v", err)
	}
	for _, c := range []*Conn{a, b} {
		if err := c.Connected(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Connected after the end: %v", err)
		}
	}
	for _, ch := range []*DataChannel{x, y} {
		if err := ch.Opened(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("Opened after the end: %v", err)
		}
	}
}

// With a handler of candidates, Offer and Answer return at once, and the candidates
// are signalled one by one.
func TestTrickle(t *testing.T) {
	a, b := New(), New()
	var running sync.WaitGroup
	t.Cleanup(func() { a.Close(); b.Close(); running.Wait() })
	if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{IncludeLoopback: true})); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	last := map[*Conn]Candidate{}
	for _, end := range [][2]*Conn{{a, b}, {b, a}} {
		end[0].OnCandidate(func(c Candidate) {
			mu.Lock()
			last[end[0]] = c
			mu.Unlock()
			if err := end[1].AddCandidate(travelled(t, c)); err != nil && !errors.Is(err, ErrClosed) { // end[1] may be closed at the end of the test
				t.Errorf("%+v: %v", c, err)
			}
		})
	}
	x, err := a.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := a.Offer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(offer.SDP, "a=candidate") {
		t.Error("the offer has candidates that the handler gets, too")
	}
	answer, err := b.Answer(t.Context(), offer)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.SetAnswer(answer); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Conn{a, b} {
		running.Go(func() { c.Run(context.Background()) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := x.Opened(ctx); err != nil {
		t.Fatal(err)
	}
	waitReal(t, 10*time.Second, "both ends of candidates have come", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return last[a].SDPMid != "" && last[a].Candidate == "" && last[b].SDPMid != "" && last[b].Candidate == ""
	})
}

// The JSON form of a candidate is that of the W3C.
func TestCandidateJSON(t *testing.T) {
	c := candidateOf("0", 0, "candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host ufrag abcd")
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"candidate":"candidate:1 1 udp 2130706431 192.0.2.1 5000 typ host ufrag abcd","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd"}`
	if string(b) != want {
		t.Errorf("%s", b)
	}
	// Browsers write null for values that they do not know.
	var d Candidate
	if err := json.Unmarshal([]byte(`{"candidate":"candidate:1 1 udp 1 192.0.2.1 5000 typ host","sdpMid":null,"sdpMLineIndex":0,"usernameFragment":null}`), &d); err != nil || d.SDPMid != "" {
		t.Errorf("%+v, %v", d, err)
	}
}

// Offer, Answer and SetAnswer return an error in these cases.
func TestOfferErrors(t *testing.T) {
	var zero Conn
	if _, err := zero.Offer(t.Context()); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("Offer of a zero Conn: %v", err)
	}
	c := New()
	defer c.Close()
	if _, err := c.Offer(t.Context()); !errors.Is(err, ErrInvalidState) {
		t.Errorf("Offer without a channel: %v", err)
	}
	if _, err := c.Answer(t.Context(), Description{"answer", "v=0"}); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("Answer to an answer: %v", err)
	}
	if _, err := c.Answer(t.Context(), Description{"offer", "v=1"}); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("Answer to nonsense: %v", err)
	}
	if err := c.SetAnswer(Description{"offer", ""}); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("SetAnswer with an offer: %v", err)
	}
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Offer(t.Context()); err != nil {
		t.Errorf("Offer after errors: %v", err)
	}
	c.Close()
	if _, err := c.Offer(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Offer after Close: %v", err)
	}
}

// While a server does not answer, Offer ends with its context or with the connection.
// It returns the candidates gathered so far when Config.GatherTimeout has passed.
func TestOfferWaitsForServers(t *testing.T) {
	silent, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cfg := Config{IncludeLoopback: true, ICEServers: []ICEServer{{URLs: []string{"stun:" + silent.LocalAddr().String()}}}}
	offer := func(ctx context.Context, cfg Config, during func(c *Conn)) (Description, error) {
		c := New()
		defer c.Close()
		if err := c.Initialize(cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
			t.Fatal(err)
		}
		stop := context.AfterFunc(ctx, func() { during(c) })
		defer stop()
		return c.Offer(context.WithoutCancel(ctx))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := offer(ctx, cfg, func(c *Conn) { c.Close() }); !errors.Is(err, ErrClosed) {
		t.Errorf("Close during Offer: %v", err)
	}
	c := New()
	defer c.Close()
	if err := c.Initialize(cfg); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Offer(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Offer with a short deadline: %v", err)
	}
	if typ, sdp := c.LocalDescription(); typ != "offer" || !strings.Contains(sdp, "a=candidate:") {
		t.Errorf("after the deadline the local description is %q, %s", typ, sdp)
	}
	cfg.GatherTimeout = 100 * time.Millisecond
	if d, err := offer(context.Background(), cfg, nil); err != nil || !strings.Contains(d.SDP, "a=end-of-candidates") {
		t.Errorf("with a GatherTimeout: %v, %v", d, err)
	}
}

// Connected returns the cause when the connection fails. After that it waits for an
// ICE restart.
func TestConnectedFails(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{}, ChannelOptions{})
		defer p.close()
		p.net.setCut(true)
		results := make(chan error, 1)
		waitFor(t, "failed", func() bool { return p.a.ConnectionState() == StateFailed })
		go func() { results <- p.a.Connected(context.Background()) }()
		if err := <-results; !errors.Is(err, ErrFailed) || !errors.Is(err, ice.ErrConsentExpired) {
			t.Errorf("error %v", err)
		}
		select {
		case <-p.a.Done():
			t.Error("Done is closed in StateFailed")
		default:
		}
		if err := p.a.RestartICE(); err != nil {
			t.Fatal(err)
		}
		go func() { results <- p.a.Connected(context.Background()) }()
		synctest.Wait()
		if len(results) > 0 {
			t.Errorf("Connected during a restart: %v", <-results)
		}
		p.net.setCut(false)
		if err := p.a.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		go p.a.Run(context.Background())
		go p.b.Run(context.Background())
		if err := <-results; err != nil {
			t.Errorf("Connected after the restart: %v", err)
		}
	})
}

// The channel that Done returns belongs to one connection: Initialize begins another.
func TestDone(t *testing.T) {
	c := New()
	first := c.Done()
	if err := c.Initialize(Config{}); err != nil {
		t.Fatal(err)
	}
	second := c.Done()
	c.Close()
	third := c.Done()
	for i, done := range []<-chan struct{}{first, second, third} {
		select {
		case <-done:
		default:
			t.Errorf("channel %d is not closed", i)
		}
	}
	if err := c.Initialize(Config{}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case <-c.Done():
		t.Error("a new connection is done")
	default:
	}
	var zero Conn
	<-zero.Done()
}

// The typed handlers are called for every change, also for changes by the program's
// own Close.
func TestTypedHandlers(t *testing.T) {
	a, b := New(), New()
	t.Cleanup(func() { a.Close(); b.Close() })
	if err := errors.Join(a.Initialize(Config{IncludeLoopback: true}), b.Initialize(Config{IncludeLoopback: true})); err != nil {
		t.Fatal(err)
	}
	var heard []string
	var pair CandidatePair
	a.OnConnectionStateChanged(func(s ConnectionState) { heard = append(heard, fmt.Sprint("connection ", s)) })
	a.OnGatheringStateChanged(func(s GatheringState) { heard = append(heard, fmt.Sprint("gathering ", s)) })
	a.OnSignalingStateChanged(func(s SignalingState) { heard = append(heard, fmt.Sprint("signalling ", s)) })
	a.OnICEStateChanged(func(s ice.State) { heard = append(heard, fmt.Sprint("ice ", s)) })
	a.OnSelectedPairChanged(func(p CandidatePair) { pair = p })
	x, y := agreed(t, a, b)
	defer runtime.KeepAlive(y) // an unreachable channel is closed
	x.OnStateChanged(func() { heard = append(heard, fmt.Sprint("channel ", x.ReadyState())) })
	if err := x.Opened(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(heard) > 0 {
		t.Errorf("handlers were called outside of Poll: %v", heard)
	}
	waitReal(t, 10*time.Second, "connected on the nominated pair", func() bool {
		completed := a.Report().ICE.State == ice.StateCompleted
		a.Poll()
		return completed && a.ConnectionState() == StateConnected
	})
	a.Close()
	if err := a.Poll(); err != nil {
		t.Error(err)
	}
	all := strings.Join(heard, ", ")
	for _, want := range []string{
		"connection connecting", "gathering gathering", "gathering complete", "ice checking", "ice connected", "connection connected", "channel open",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in %v", want, heard)
		}
	}
	if !strings.HasSuffix(all, "connection closed, signalling closed, channel closed") {
		t.Errorf("after Close: %v", heard)
	}
	if got, ok := a.SelectedPair(); !ok || got != pair {
		t.Errorf("SelectedPair %v, %v after Close; handler %v", got, ok, pair)
	}
	n := len(heard)
	a.Poll()
	if len(heard) > n {
		t.Errorf("told again: %v", heard[n:])
	}
}

// Ready returns a connection that was closed, so that its handlers are called. Without
// calls of Ready the host keeps no closed connection.
func TestCloseIsPolled(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	made := func() *Conn {
		c := New()
		if err := c.Initialize(Config{Host: h}); err != nil {
			t.Fatal(err)
		}
		c.OnConnectionStateChanged(func(ConnectionState) {})
		return c
	}
	made().Close()
	h.mu.Lock()
	if h.ready.first != nil {
		t.Error("a closed connection waits although nobody polls")
	}
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.Ready(ctx)
	c := made()
	c.Close()
	got, err := h.Ready(t.Context())
	if err != nil || got != c {
		t.Fatalf("%v, %v", got, err)
	}
	got.Poll()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ready.first != nil {
		t.Error("a closed connection waits after Poll")
	}
}

// If a description waits for Poll and no goroutine polls, the log has a warning.
// Otherwise it has none.
func TestWarnsWithoutPoll(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var log bytes.Buffer
		cfg := Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}
		c := newMemConn(t, newMemNet(), "10.0.0.1", cfg)
		defer c.Close()
		if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := c.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		c.Poll()
		<-time.After(2 * pollPatience)
		if strings.Contains(log.String(), "waits for Poll") {
			t.Errorf("a warning after Poll: %s", &log)
		}
		if err := c.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		<-time.After(2 * pollPatience)
		synctest.Wait()
		if !strings.Contains(log.String(), "waits for Poll") {
			t.Errorf("no warning: %s", &log)
		}
	})
}

// The connection reports the remote's certificate, addresses and limit.
func TestRemoteEnd(t *testing.T) {
	a, b, x, _ := unpolled(t, Config{KeepRemoteCertificate: true}, Config{MaxMessageSize: 100_000})
	conn, err := x.NetConn()
	if err != nil {
		t.Fatal(err)
	}
	f, err := dtls.CertificateFingerprint("sha-256", a.RemoteCertificate())
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseDescription("answer", a.Descriptions().CurrentRemote.SDP)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.Value, d.data().Fingerprints[0].Value) {
		t.Error("RemoteCertificate is not the one of the description")
	}
	if b.RemoteCertificate() != nil {
		t.Error("the certificate is kept without being asked for")
	}
	if n, ok := a.RemoteMaxMessageSize(); !ok || n != 100_000 {
		t.Errorf("RemoteMaxMessageSize %d, %v", n, ok)
	}
	var pa CandidatePair
	waitReal(t, 10*time.Second, "both ends have nominated the same pair", func() bool {
		pa, _ = a.SelectedPair()
		pb, _ := b.SelectedPair()
		return a.Report().ICE.State == ice.StateCompleted && pa.Local.Addr == pb.Remote.Addr && pa.Remote.Addr == pb.Local.Addr
	})
	if remote, ok := conn.RemoteAddr().(*net.UDPAddr); !ok || remote.AddrPort() != pa.Remote.Addr {
		t.Errorf("RemoteAddr %v, pair %v", conn.RemoteAddr(), pa)
	}
	a.Close()
	if again, ok := a.SelectedPair(); !ok || again != pa || conn.LocalAddr().String() != pa.Local.Addr.String() {
		t.Errorf("after Close: %v, %v, %v", again, ok, conn.LocalAddr())
	}
}

// VerifyRemote decides on the remote's certificate in place of the fingerprints.
func TestVerifyRemote(t *testing.T) {
	wrong := errors.New("not who it should be")
	for _, verdict := range []error{nil, wrong} {
		t.Run(fmt.Sprint(verdict), func(t *testing.T) {
			a, b := New(), New()
			defer a.Close()
			defer b.Close()
			cfg := Config{IncludeLoopback: true, VerifyRemote: func(der []byte) error {
				if len(der) == 0 {
					t.Error("no certificate")
				}
				return verdict
			}}
			if err := errors.Join(a.Initialize(cfg), b.Initialize(Config{IncludeLoopback: true})); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*Conn{a, b} {
				if _, err := c.CreateDataChannel("x", ChannelOptions{Negotiated: true, ID: new(0)}); err != nil {
					t.Fatal(err)
				}
			}
			offer, err := a.Offer(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			answer, err := b.Answer(t.Context(), offer)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.SplitAfter(answer.SDP, "\n")
			answer.SDP = ""
			for _, l := range lines {
				if strings.HasPrefix(l, "a=fingerprint:") {
					l = "a=fingerprint:sha-256 " + strings.Repeat("00:", 31) + "00\r\n" // the fingerprint of no certificate
				}
				answer.SDP += l
			}
			if err := a.SetAnswer(answer); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := a.Connected(ctx); verdict == nil && err != nil || verdict != nil && !errors.Is(err, wrong) {
				t.Errorf("Connected: %v", err)
			}
		})
	}
}

// The timeouts for the states disconnected and failed are those of the configuration.
func TestConnectionTimeouts(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{DisconnectedTimeout: 2 * time.Second, FailedTimeout: 5 * time.Second}, ChannelOptions{})
		defer p.close()
		p.net.setCut(true)
		start := time.Now()
		waitFor(t, "disconnected", func() bool { return p.a.ConnectionState() == StateDisconnected })
		if d := time.Since(start); d > 2500*time.Millisecond {
			t.Errorf("disconnected after %v", d)
		}
		waitFor(t, "failed", func() bool { return p.a.ConnectionState() == StateFailed })
		if d := time.Since(start); d > 5500*time.Millisecond {
			t.Errorf("failed after %v", d)
		}
	})
}

// With UDP disabled a connection has no UDP candidate and no UDP socket.
func TestDisableUDP(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	for name, cfgs := range map[string][2]Config{
		"offerer": {{DisableUDP: true}, {Host: h}}, "host": {{}, {Host: h, DisableUDP: true}},
	} {
		t.Run(name, func(t *testing.T) {
			a, b, _, _ := unpolled(t, cfgs[0], cfgs[1])
			for _, c := range []*Conn{a, b} {
				if p, ok := c.SelectedPair(); !ok || p.Local.Transport != "tcp" {
					t.Errorf("pair %v", p)
				}
			}
			c := map[bool]*Conn{true: a, false: b}[cfgs[0].DisableUDP]
			if _, sdp := c.LocalDescription(); strings.Contains(sdp, " udp ") {
				t.Errorf("UDP candidates:\n%s", sdp)
			}
		})
	}
}

// The test uses filters of addresses, and an empty list of addresses.
func TestAddressFilters(t *testing.T) {
	loopback := netip.MustParseAddr("127.0.0.1")
	isLoopback := func(a netip.Addr) bool { return a == loopback }
	a, b, _, _ := unpolled(t, Config{LocalAddressFilter: isLoopback}, Config{RemoteAddressFilter: isLoopback})
	for _, c := range a.Report().ICE.Local {
		if c.Addr.Addr() != loopback {
			t.Errorf("local candidate %v", c)
		}
	}
	if p, ok := b.SelectedPair(); !ok || p.Remote.Addr.Addr() != loopback {
		t.Errorf("pair %v", p)
	}
	c := New()
	defer c.Close()
	if err := c.Initialize(Config{LocalAddresses: []netip.Addr{}}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if offer, err := c.Offer(t.Context()); err != nil || strings.Contains(offer.SDP, "a=candidate:") && !strings.Contains(offer.SDP, "tcptype") {
		t.Errorf("no local address: %v, %v", offer, err)
	}
}

// A channel that is opened in band has the chosen id. An id of the remote's range is
// refused.
func TestInBandID(t *testing.T) {
	a, b, _, _ := unpolled(t, Config{}, Config{})
	received := make(chan *DataChannel, 1)
	b.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
	go b.Run(t.Context())
	ch, err := a.OpenDataChannel("y", ChannelOptions{InBandID: new(1001)}) // the offerer is the DTLS server
	if err != nil {
		t.Fatal(err)
	}
	select {
	case y := <-received:
		if ch.ID() != 1001 || y.ID() != 1001 {
			t.Errorf("ids %d, %d", ch.ID(), y.ID())
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the channel does not come")
	}
	for _, id := range []int{1001, 1000, -1, 65535} {
		if _, err := a.OpenDataChannel("z", ChannelOptions{InBandID: &id}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("id %d: %v", id, err)
		}
	}
}

// Initialize returns an error for these values of Config's new fields.
func TestConfigLimits(t *testing.T) {
	for name, cfg := range map[string]Config{
		"disconnected":   {DisconnectedTimeout: time.Millisecond},
		"failed":         {FailedTimeout: time.Minute},
		"failed earlier": {DisconnectedTimeout: 10 * time.Second, FailedTimeout: 5 * time.Second},
		"keepalive":      {KeepaliveInterval: 7 * time.Second},
		"dscp":           {DSCP: 64},
		"window":         {ReceiveWindow: 1000},
		"mdns":           {DisableUDP: true, MDNSCandidates: true},
	} {
		if err := cfg.check(); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cfg := Config{DisconnectedTimeout: 20 * time.Second, KeepaliveInterval: 12 * time.Second, DSCP: 46, ReceiveWindow: 1 << 20}
	if err := cfg.check(); err != nil {
		t.Error(err)
	}
}
