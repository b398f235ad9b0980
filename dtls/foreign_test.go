package dtls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"purertc/dtls"
)

// These tests connect to the command-line tools of OpenSSL and GnuTLS over loopback UDP, if
// these are installed.

// lockedBuffer collects the output of a process.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// driver runs a dtls.Conn over a UDP socket until its deadline.
type driver struct {
	t    *testing.T
	sock *net.UDPConn
	peer net.Addr
	conn *dtls.Conn
	buf  [1 << 16]byte
}

func (d *driver) flush() {
	for d.peer != nil {
		b, ok := d.conn.AppendDatagram(time.Now(), nil, 1200)
		if !ok {
			return
		}
		d.sock.WriteTo(b, d.peer)
	}
}

// until runs the connection until cond is true or data arrives, which it returns.
func (d *driver) until(what string, cond func() bool) string {
	d.t.Helper()
	end := time.Now().Add(10 * time.Second)
	for {
		d.flush()
		if cond != nil && cond() {
			return ""
		}
		if d.conn.Err() != nil && cond == nil {
			return ""
		}
		now := time.Now()
		if now.After(end) {
			d.t.Fatalf("%s: nothing in 10 s; state %+v, err %v", what, d.conn.ConnectionState(), d.conn.Err())
		}
		// The output of the tools is polled.
		wake := now.Add(20 * time.Millisecond)
		if at := d.conn.NextTimeout(); !at.IsZero() && at.Before(wake) {
			wake = at
		}
		d.sock.SetReadDeadline(wake)
		n, from, err := d.sock.ReadFrom(d.buf[:])
		d.conn.Advance(time.Now())
		if err != nil {
			continue // the deadline has passed, or the peer has not started yet
		}
		d.peer = from
		for b := d.buf[:n]; len(b) > 0; {
			data, n := d.conn.HandleRecord(time.Now(), b)
			if len(data) > 0 && cond == nil {
				d.flush()
				return string(data)
			}
			b = b[n:]
		}
	}
}

func (d *driver) send(s string) {
	b := append(d.conn.BeginRecord(nil), s...)
	d.sock.WriteTo(d.conn.FinishRecord(b, 0), d.peer)
}

func listen(t *testing.T) *net.UDPConn {
	t.Helper()
	sock, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	return sock
}

// freePort finds a UDP port that is free now.
func freePort(t *testing.T) int {
	t.Helper()
	sock := listen(t)
	defer sock.Close()
	return sock.LocalAddr().(*net.UDPAddr).Port
}

// makeKey lets OpenSSL generate a key and a self-signed certificate.
func makeKey(t *testing.T, dir string, kind ...string) (certFile, keyFile string, cert tls.Certificate) {
	t.Helper()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	args := append([]string{"req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=foreign", "-out", certFile, "-keyout", keyFile}, kind...)
	if out, err := exec.Command("openssl", args...).CombinedOutput(); err != nil {
		t.Fatalf("openssl req: %v\n%s", err, out)
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, cert
}

// writeOwn writes a certificate and its key as PEM.
func writeOwn(t *testing.T, dir string, cert *tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	certFile, keyFile = filepath.Join(dir, "own.pem"), filepath.Join(dir, "ownkey.pem")
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	c := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	k := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})
	if os.WriteFile(certFile, c, 0o600) != nil || os.WriteFile(keyFile, k, 0o600) != nil {
		t.Fatal("cannot write key files")
	}
	return certFile, keyFile
}

func fingerprint(t *testing.T, der []byte) []dtls.Fingerprint {
	t.Helper()
	f, err := dtls.CertificateFingerprint("sha-256", der)
	if err != nil {
		t.Fatal(err)
	}
	return []dtls.Fingerprint{f}
}

// start runs a tool whose stdin stays open until the test ends.
func start(t *testing.T, name string, args ...string) (stdin io.Writer, out *lockedBuffer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	out = &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = out, out
	w, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s %s:\n%s", name, strings.Join(args, " "), out)
		}
	})
	return w, out
}

// need skips a test whose tool is not installed.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

var keyKinds = map[string][]string{
	"P-256":   {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"},
	"P-384":   {"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"},
	"Ed25519": {"-newkey", "ed25519"},
	"RSA":     {"-newkey", "rsa:2048"},
}

// newDriver creates a connection with a certificate and a socket of its own.
func newDriver(t *testing.T, cfg dtls.Config) *driver {
	t.Helper()
	conn, err := dtls.NewConn(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &driver{t: t, sock: listen(t), conn: conn}
}

// clientAgainst connects to a server on port, which echoes.
func clientAgainst(t *testing.T, cfg dtls.Config, port int) *driver {
	d := newDriver(t, cfg)
	d.peer = &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}
	d.conn.Start(time.Now())
	d.until("handshake", func() bool { return d.conn.Established() || d.conn.Err() != nil })
	if !d.conn.Established() {
		t.Fatalf("handshake: %v", d.conn.Err())
	}
	return d
}

func TestOpenSSLServer(t *testing.T) {
	need(t, "openssl")
	own, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for kind, args := range keyKinds {
		if kind == "Ed25519" {
			continue // OpenSSL 3.0's DTLS server has no suite for this key; OpenSSL's own client cannot connect either
		}
		for _, suite := range []string{"AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"} {
			t.Run(kind+"/"+suite, func(t *testing.T) {
				dir := t.TempDir()
				certFile, keyFile, cert := makeKey(t, dir, args...)
				ownFile, _ := writeOwn(t, dir, own)
				auth := "ECDSA"
				if kind == "RSA" {
					auth = "RSA"
				}
				port := freePort(t)
				stdin, out := start(t, "openssl", "s_server", "-dtls1_2", "-accept", fmt.Sprintf("127.0.0.1:%d", port),
					"-cert", certFile, "-key", keyFile, "-Verify", "1", "-CAfile", ownFile, "-verify_return_error",
					"-cipher", "ECDHE-"+auth+"-"+suite, "-quiet", "-mtu", "1200", "-listen")
				d := clientAgainst(t, dtls.Config{Client: true, Certificate: own, Fingerprints: fingerprint(t, cert.Certificate[0]),
					InitialTimeout: 50 * time.Millisecond}, port)
				d.send("from us\n")
				d.until("the data of this end", func() bool { return strings.Contains(out.String(), "from us") })
				io.WriteString(stdin, "from OpenSSL\n")
				if got := d.until("data", nil); got != "from OpenSSL\n" {
					t.Errorf("got %q, err %v", got, d.conn.Err())
				}
			})
		}
	}
}

// serveFor starts a listening connection and returns its port.
func serveFor(t *testing.T, cfg dtls.Config) (*driver, int) {
	d := newDriver(t, cfg)
	d.conn.Start(time.Now())
	return d, d.sock.LocalAddr().(*net.UDPAddr).Port
}

func TestOpenSSLClient(t *testing.T) {
	need(t, "openssl")
	for kind, args := range keyKinds {
		for _, group := range []dtls.Group{dtls.GroupX25519, dtls.GroupP256, dtls.GroupP384} {
			t.Run(kind+"/"+group.String(), func(t *testing.T) {
				dir := t.TempDir()
				_, _, own := makeKey(t, t.TempDir(), args...)
				certFile, keyFile, cert := makeKey(t, dir, args...)
				ownFile, _ := writeOwn(t, dir, &own)
				d, port := serveFor(t, dtls.Config{Certificate: &own, Fingerprints: fingerprint(t, cert.Certificate[0]),
					Groups: []dtls.Group{group}})
				stdin, out := start(t, "openssl", "s_client", "-dtls1_2", "-connect", fmt.Sprintf("127.0.0.1:%d", port),
					"-cert", certFile, "-key", keyFile, "-CAfile", ownFile, "-verify_return_error", "-groups", "X25519:P-256:P-384", "-mtu", "1200")
				d.until("handshake", func() bool { return d.conn.Established() || d.conn.Err() != nil })
				if !d.conn.Established() {
					t.Fatalf("handshake: %v", d.conn.Err())
				}
				io.WriteString(stdin, "from OpenSSL\n")
				if got := d.until("data", nil); got != "from OpenSSL\n" {
					t.Errorf("got %q, err %v", got, d.conn.Err())
				}
				d.send("from us\n")
				d.until("the data of this end", func() bool { return strings.Contains(out.String(), "from us") })
				if !strings.Contains(out.String(), "Extended master secret: yes") {
					t.Error("no extended master secret")
				}
			})
		}
	}
}

func TestGnuTLSServer(t *testing.T) {
	need(t, "openssl", "gnutls-serv")
	own, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for kind, args := range keyKinds {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			certFile, keyFile, cert := makeKey(t, dir, args...)
			ownFile, _ := writeOwn(t, dir, own)
			port := freePort(t)
			start(t, "gnutls-serv", "--udp", "--echo", "-p", fmt.Sprint(port), "--x509certfile", certFile, "--x509keyfile", keyFile,
				"--require-client-cert", "--x509cafile", ownFile, "--priority", "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-CIPHER-ALL:+AES-256-GCM")
			d := clientAgainst(t, dtls.Config{Client: true, Certificate: own, Fingerprints: fingerprint(t, cert.Certificate[0]),
				InitialTimeout: 50 * time.Millisecond}, port)
			d.send("there and back")
			if got := d.until("data", nil); got != "there and back" {
				t.Errorf("got %q, err %v", got, d.conn.Err())
			}
		})
	}
}

func TestGnuTLSClient(t *testing.T) {
	need(t, "openssl", "gnutls-cli")
	for kind, args := range keyKinds {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			_, _, own := makeKey(t, t.TempDir(), args...)
			certFile, keyFile, cert := makeKey(t, dir, args...)
			d, port := serveFor(t, dtls.Config{Certificate: &own, Fingerprints: fingerprint(t, cert.Certificate[0])})
			stdin, out := start(t, "gnutls-cli", "--udp", "--insecure", "-p", fmt.Sprint(port), "--x509certfile", certFile, "--x509keyfile", keyFile,
				"--priority", "NORMAL:-VERS-ALL:+VERS-DTLS1.2", "127.0.0.1")
			d.until("handshake", func() bool { return d.conn.Established() || d.conn.Err() != nil })
			if !d.conn.Established() {
				t.Fatalf("handshake: %v", d.conn.Err())
			}
			io.WriteString(stdin, "from GnuTLS\n")
			if got := d.until("data", nil); got != "from GnuTLS\n" {
				t.Errorf("got %q, err %v", got, d.conn.Err())
			}
			d.send("from us\n")
			d.until("the data of this end", func() bool { return strings.Contains(out.String(), "from us") })
		})
	}
}
