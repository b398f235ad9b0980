package rtcpeer

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"purertc/stun"
)

// A coturn is a real TURN server on loopback.
type coturn struct {
	t             *testing.T
	port, tlsPort int
	roots         *x509.CertPool
	cmd           *exec.Cmd
	stopped       bool
	dir           string
}

// startCoturn starts coturn with the user u, the password p, and the given lines of
// configuration.
func startCoturn(t *testing.T, expired bool, lines ...string) *coturn {
	t.Helper()
	path, err := exec.LookPath("turnserver")
	if err != nil {
		t.Skip("coturn's turnserver is not installed")
	}
	// A port that is free now may be taken before coturn opens it.
	for range 4 {
		c := &coturn{t: t, port: freePort(t), tlsPort: freePort(t), dir: t.TempDir()}
		c.roots = writeCertificate(t, c.dir, expired)
		c.start(path, lines)
		if c.answers() {
			return c
		}
		c.stop()
		log, _ := os.ReadFile(filepath.Join(c.dir, "log"))
		t.Logf("coturn on ports %d and %d does not answer:\n%s", c.port, c.tlsPort, log)
	}
	t.Fatal("coturn does not start")
	return nil
}

func (c *coturn) start(path string, lines []string) {
	config := append([]string{
		"listening-ip=127.0.0.1", "relay-ip=127.0.0.1", fmt.Sprint("listening-port=", c.port),
		fmt.Sprint("tls-listening-port=", c.tlsPort), "lt-cred-mech", "user=u:p", "realm=test.example",
		"allow-loopback-peers", "no-cli", "cli-password=x", "simple-log", "log-file=" + filepath.Join(c.dir, "log"),
		"cert=" + filepath.Join(c.dir, "cert"), "pkey=" + filepath.Join(c.dir, "key"), "pidfile=" + filepath.Join(c.dir, "pid"),
		"userdb=" + filepath.Join(c.dir, "db"),
	}, lines...)
	file := filepath.Join(c.dir, "conf")
	if err := os.WriteFile(file, []byte(strings.Join(config, "\n")+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.cmd = exec.Command(path, "-c", file)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(c.stop)
}

// answers waits for an answer to a Binding request over UDP and for a TLS handshake.
// It reports whether both succeeded in time.
func (c *coturn) answers() bool {
	conn, err := net.Dial("udp", fmt.Sprint("127.0.0.1:", c.port))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	b := make([]byte, 1500)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := range 60 {
		<-tick.C
		m := stun.Build(nil, stun.BindingRequest, stun.TransactionID{1, byte(n)})
		conn.Write(m.Finish()) // the port may not be open yet
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(b); err != nil {
			continue
		}
		tlsConn, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", fmt.Sprint("127.0.0.1:", c.tlsPort), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			tlsConn.Close()
			return true
		}
	}
	return false
}

func (c *coturn) stop() {
	if !c.stopped {
		c.stopped = true
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// freePort returns a port that is free for TCP and for UDP.
func freePort(t *testing.T) int {
	for {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		u, err := net.ListenPacket("udp", l.Addr().String())
		l.Close()
		if err == nil {
			u.Close()
			return l.Addr().(*net.TCPAddr).Port
		}
	}
}

// writeCertificate creates a certificate for 127.0.0.1, and returns a pool that trusts
// it.
func writeCertificate(t *testing.T, dir string, expired bool) *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Hour)
	if expired {
		until = time.Now().Add(-time.Hour)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert": {Type: "CERTIFICATE", Bytes: der}, "key": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pool
}

// urls returns the URLs of the server, by transport.
func (c *coturn) urls() map[string]string {
	return map[string]string{
		"udp":  fmt.Sprintf("turn:127.0.0.1:%d", c.port),
		"tcp":  fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", c.port),
		"tls":  fmt.Sprintf("turns:127.0.0.1:%d", c.tlsPort),
		"dtls": fmt.Sprintf("turns:127.0.0.1:%d?transport=udp", c.tlsPort),
	}
}

func (c *coturn) config(transport, password string) Config {
	return Config{
		ICEServers:         []ICEServer{{URLs: []string{c.urls()[transport]}, Username: "u", Credential: password}},
		ICETransportPolicy: ICETransportPolicyRelay,
		TLSConfig:          &tls.Config{RootCAs: c.roots},
		LocalAddresses:     []netip.Addr{netip.MustParseAddr("127.0.0.1")},
	}
}

// transfer sends messages of many sizes in both directions.
func transfer(t *testing.T, x, y *DataChannel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var wait sync.WaitGroup
	wait.Go(func() {
		for {
			p, text, err := y.Receive(ctx)
			if err != nil || len(p) == 0 {
				return
			}
			if err := y.Send(ctx, p, text); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for _, n := range []int{1, 2, 3, 4, 5, 1000, 1187, 10_000, 65_536, 200_000} {
		want := make([]byte, n)
		rand.Read(want)
		if err := x.Send(ctx, want, false); err != nil {
			t.Fatal(err)
		}
		got, _, err := x.Receive(ctx)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes came back as %d, %v", n, len(got), err)
		}
	}
	x.Send(ctx, nil, false)
	wait.Wait()
}

// bulk sends so much data from x to y, at a limited rate, that path MTU discovery
// reaches its largest size.
func bulk(t *testing.T, x, y *DataChannel) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	const messages = 256
	var wait sync.WaitGroup
	defer wait.Wait()
	wait.Go(func() {
		for range messages {
			if err := x.Send(ctx, make([]byte, 64<<10), false); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range messages {
		if _, _, err := y.Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// Two ends with only relayed candidates connect through coturn, over every transport
// between client and server.
func TestRelayOnlyThroughCoturn(t *testing.T) {
	c := startCoturn(t, false)
	for _, transport := range []string{"udp", "tcp", "tls", "dtls"} {
		t.Run(transport, func(t *testing.T) {
			a, _, x, y := realPair(t, c.config(transport, "p"))
			transfer(t, x, y)
			bulk(t, x, y)
			if size := a.Stats().SCTPTransport.MTU; size > ethernetDatagramSize {
				t.Errorf("packets of %d bytes", size) // the packets are longer than some programs that read a stream accept
			}
			if _, sdp := a.LocalDescription(); strings.Contains(sdp, "typ host") || strings.Contains(sdp, "typ srflx") {
				t.Errorf("a candidate that is not relayed:\n%s", sdp)
			}
		})
	}
}

// The nonce becomes stale while the connection exists, the relay is used over a Host's
// shared socket, and both ends use one server.
func TestRelayOfHost(t *testing.T) {
	c := startCoturn(t, false, "stale-nonce=1")
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	cfg := c.config("udp", "p")
	cfg.LocalAddresses, cfg.Host = nil, h
	_, _, x, y := realPair(t, cfg)
	transfer(t, x, y)
}

// The log and the report name each server that fails, with the reason. Gathering
// continues with the other servers.
func TestServerFailures(t *testing.T) {
	good, expired := startCoturn(t, false), startCoturn(t, true)
	nobody := fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", freePort(t))
	for _, tt := range []struct {
		name, url, password string
		roots               *x509.CertPool
		want                []string
	}{
		{"wrong password", expired.urls()["udp"], "q", nil, []string{expired.urls()["udp"], "wrong username or password"}},
		{"wrong password over TCP", good.urls()["tcp"], "q", nil, []string{good.urls()["tcp"], "wrong username or password"}},
		{"nobody", nobody, "p", nil, []string{nobody, "connection refused"}},
		{"expired certificate", expired.urls()["tls"], "p", expired.roots, []string{expired.urls()["tls"], "certificate has expired"}},
		{"expired certificate over DTLS", expired.urls()["dtls"], "p", expired.roots, []string{expired.urls()["dtls"], "certificate has expired"}},
		{"unknown authority", good.urls()["tls"], "p", expired.roots, []string{good.urls()["tls"], "unknown authority"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := good.config("udp", "p")
			cfg.ICEServers = append(cfg.ICEServers, ICEServer{URLs: []string{tt.url}, Username: "u", Credential: tt.password})
			cfg.TLSConfig.RootCAs = tt.roots
			log := newLogLines()
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			a, b, x, y := realPair(t, cfg) // the connection uses the server that works
			transfer(t, x, y)
			for _, p := range []*Conn{a, b} {
				wantReport(t, p, 10*time.Second, "server "+tt.want[0]+": ", tt.want[1], "server "+good.urls()["udp"]+": relays at [127.0.0.1:", "connection connected")
			}
			if !log.waitFor(t, tt.want...) {
				t.Errorf("no line has %q in:\n%s", tt.want, log)
			}
		})
	}
}

// logLines is a log with a method that waits for a line.
type logLines struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{}
}

func newLogLines() *logLines { return &logLines{changed: make(chan struct{}, 1)} }

func (l *logLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.b.Write(b)
}

func (l *logLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// waitFor waits for a line that contains all these words.
func (l *logLines) waitFor(t *testing.T, words ...string) bool {
	timeout := time.After(10 * time.Second)
	for {
	lines:
		for line := range strings.Lines(l.String()) {
			for _, w := range words {
				if !strings.Contains(line, w) {
					continue lines
				}
			}
			return true
		}
		select {
		case <-l.changed:
		case <-timeout:
			return false
		}
	}
}

// A local port may be that of an earlier program's allocation, if ports are few or
// sockets are many. coturn keeps a released allocation for a second and refuses
// another one during that time.
func TestPortOfEarlierAllocation(t *testing.T) {
	t.Parallel() // runs in parallel with the other tests that wait
	c := startCoturn(t, false)
	cfg := c.config("udp", "p")
	cfg.DisableTCP = true
	cfg.MinPort = uint16(freePort(t))
	cfg.MaxPort = cfg.MinPort
	for range 3 {
		conn := New()
		if err := conn.Initialize(cfg); err != nil {
			t.Fatal(err)
		}
		gathers(t, conn)
		wantReport(t, conn, 5*time.Second, "server "+c.urls()["udp"]+": relays at [127.0.0.1:")
		conn.Close()
	}
}
