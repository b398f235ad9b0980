package dtlsnet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"purertc/dtls"
)

// socket opens a UDP socket on the loopback interface.
func socket(t testing.TB) net.PacketConn {
	t.Helper()
	s, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// configs returns the configurations of two ends that know each other's fingerprints.
func configs(t testing.TB) (client, server dtls.Config) {
	t.Helper()
	cert := func() (dtls.Config, []dtls.Fingerprint) {
		c, err := dtls.GenerateCertificate(time.Now(), nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := dtls.CertificateFingerprint("sha-256", c.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return dtls.Config{Certificate: c}, []dtls.Fingerprint{f}
	}
	client, cf := cert()
	server, sf := cert()
	client.Fingerprints, server.Fingerprints = sf, cf
	return client, server
}

// listen starts a listener and connects to it.
func listen(t *testing.T, change func(client, server *dtls.Config)) (l *Listener, client *Conn, server net.Conn) {
	t.Helper()
	cc, sc := configs(t)
	if change != nil {
		change(&cc, &sc)
	}
	l, err := Listen(socket(t), sc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	client, err = Dial(ctx, socket(t), l.Addr(), cc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return l, client, server
}

func TestDialListen(t *testing.T) {
	for _, version := range []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} {
		_, client, server := listen(t, func(c, _ *dtls.Config) { c.MinVersion, c.MaxVersion = version, version })
		if got := client.ConnectionState().Version; got != version {
			t.Errorf("version %v, want %v", got, version)
		}
		b := make([]byte, 100)
		for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
			if _, err := ends[0].Write([]byte("hello")); err != nil {
				t.Fatal(err)
			}
			n, err := ends[1].Read(b)
			if err != nil || string(b[:n]) != "hello" {
				t.Errorf("read %q, %v", b[:n], err)
			}
		}
		if client.RemoteAddr().String() != server.LocalAddr().String() || client.LocalAddr().String() != server.RemoteAddr().String() {
			t.Error("addresses")
		}
		client.Write([]byte("too long for it"))
		if n, err := server.Read(b[:3]); n != 3 || err != io.ErrShortBuffer {
			t.Errorf("read %d, %v", n, err)
		}
		client.Close()
		if _, err := server.Read(b); err != io.EOF {
			t.Errorf("after close_notify: %v", err)
		}
		if _, err := client.Read(b); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if _, err := client.Write(b); !errors.Is(err, net.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
	}
}

// A tape is a socket that records the datagrams that it sends.
type tape struct {
	net.PacketConn
	mu   sync.Mutex
	sent [][]byte
}

func (s *tape) WriteTo(b []byte, addr net.Addr) (int, error) {
	s.mu.Lock()
	s.sent = append(s.sent, bytes.Clone(b))
	s.mu.Unlock()
	return s.PacketConn.WriteTo(b, addr)
}

// TestClientReconnects checks that a client which has lost its connection gets another
// one from the same address. Datagrams of the first connection neither restore it nor
// end the second connection.
func TestClientReconnects(t *testing.T) {
	for _, version := range []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} {
		cc, sc := configs(t)
		cc.MinVersion, cc.MaxVersion = version, version
		l, err := Listen(socket(t), sc)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dial := func(s net.PacketConn) (client, server net.Conn) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			client, err := Dial(ctx, s, l.Addr(), cc)
			if err != nil {
				t.Fatal(err)
			}
			server, err = l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			return client, server
		}
		first := &tape{PacketConn: socket(t)}
		addr := first.LocalAddr()
		_, old := dial(first)
		first.Close() // the first connection ends without an alert to the server

		again, err := net.ListenPacket("udp", addr.String())
		if err != nil {
			t.Fatal(err)
		}
		client, server := dial(again)
		defer client.Close()
		b := make([]byte, 100)
		if _, err := old.Read(b); err != errReplaced {
			t.Errorf("%v: old connection: %v", version, err)
		}

		// A repeated ClientHello has no effect.
		second := &tape{PacketConn: socket(t)}
		c2, s2 := dial(second)
		defer c2.Close()
		for _, d := range second.sent {
			second.WriteTo(d, l.Addr())
		}
		for _, ends := range [][2]net.Conn{{client, server}, {server, client}, {c2, s2}, {s2, c2}} {
			ends[1].SetReadDeadline(time.Now().Add(2 * time.Second))
			ends[0].Write([]byte("hello"))
			if n, err := ends[1].Read(b); err != nil || string(b[:n]) != "hello" {
				t.Errorf("%v: read %q, %v", version, b[:n], err)
			}
		}
	}
}

func TestDeadlines(t *testing.T) {
	_, client, _ := listen(t, nil)
	b := make([]byte, 100)
	client.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := client.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("read: %v", err)
	}
	client.SetDeadline(time.Now().Add(-time.Second))
	if _, err := client.Write(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("write: %v", err)
	}
	client.SetWriteDeadline(time.Time{})
	if _, err := client.Write(b); err != nil {
		t.Errorf("write: %v", err)
	}
	if _, err := client.Write(make([]byte, client.core.MaxPayload()+1)); err == nil {
		t.Error("too long a datagram was sent")
	}
}

// TestReadAfterClose checks that unread data is lost when the local end closes the
// connection.
func TestReadAfterClose(t *testing.T) {
	_, client, server := listen(t, nil)
	if _, err := server.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	client.mu.Lock()
	for give := time.Now().Add(10 * time.Second); len(client.queue) == 0 && time.Now().Before(give); {
		client.wait(give)
	}
	waiting := len(client.queue)
	client.mu.Unlock()
	client.Close()
	if n, err := client.Read(make([]byte, 1)); waiting != 1 || n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d datagrams waited; after Close Read gave %d, %v", waiting, n, err)
	}
}

func TestDialWithoutServer(t *testing.T) {
	cc, _ := configs(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Dial(ctx, socket(t), socket(t).LocalAddr(), cc); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err %v", err)
	}
	if _, err := Dial(ctx, socket(t), socket(t).LocalAddr(), dtls.Config{}); !errors.Is(err, dtls.ErrNoVerification) {
		t.Errorf("err %v", err)
	}
	if _, err := Listen(socket(t), dtls.Config{}); err == nil {
		t.Error("a listener without a certificate")
	}
}

func TestWrongFingerprint(t *testing.T) {
	cc, sc := configs(t)
	cc.Fingerprints = sc.Fingerprints
	l, err := Listen(socket(t), sc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := Dial(t.Context(), socket(t), l.Addr(), cc); !errors.Is(err, dtls.ErrFingerprintMismatch) {
		t.Errorf("err %v", err)
	}
}

func TestListenerClose(t *testing.T) {
	l, client, server := listen(t, nil)
	client.SetReadDeadline(time.Now().Add(2 * time.Second)) // so that a failing test ends soon
	l.Close()
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("accept: %v", err)
	}
	if _, err := server.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("server: %v", err)
	}
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("client: %v", err)
	}
}

// TestBeginAfterClose checks that a client whose address is validated while the
// listener closes gets no connection, because nothing would end the connection.
func TestBeginAfterClose(t *testing.T) {
	_, cfg := configs(t)
	l, err := Listen(socket(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	core, err := dtls.NewConn(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if c := l.begin(key{}, l.Addr(), core, [32]byte{}); c != nil {
		t.Error("a connection of a closed listener")
		c.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.conns) > 0 {
		t.Errorf("%d connections", len(l.conns))
	}
}

// A flood is a socket that receives ClientHellos from 2000 addresses, and counts the
// bytes that are sent.
type flood struct {
	net.PacketConn
	hello    []byte
	next     int
	got      int
	sent     int
	finished chan struct{}
	stop     chan struct{}
}

const flooders = 2000

func (f *flood) ReadFrom(b []byte) (int, net.Addr, error) {
	if f.next == flooders {
		close(f.finished)
		<-f.stop
		return 0, nil, net.ErrClosed
	}
	f.next++
	f.got += len(f.hello)
	return copy(b, f.hello), &net.UDPAddr{IP: net.IPv4(10, 1, byte(f.next>>8), byte(f.next)), Port: 4444}, nil
}

func (f *flood) WriteTo(b []byte, _ net.Addr) (int, error) {
	f.sent += len(b)
	return len(b), nil
}

// heap returns the bytes of the heap that are in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC() // finalizers of the first collection may free further memory
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestFlood checks that spoofed ClientHellos leave no state, and that the answers have less
// than three times their bytes.
func TestFlood(t *testing.T) {
	for _, version := range []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} {
		cc, sc := configs(t)
		cc.Client, cc.DeferShares, cc.MaxVersion = true, true, version
		core, err := dtls.NewConn(cc)
		if err != nil {
			t.Fatal(err)
		}
		core.Start(time.Now())
		hello, _ := core.AppendDatagram(time.Now(), nil, mtu)
		goroutines := runtime.NumGoroutine()
		before := heap()
		f := &flood{PacketConn: socket(t), hello: bytes.Clone(hello), finished: make(chan struct{}), stop: make(chan struct{})}
		l, err := Listen(f, sc)
		if err != nil {
			t.Fatal(err)
		}
		<-f.finished
		if n := len(l.conns) + l.queue.Len(); n != 0 {
			t.Errorf("%v: %d connections", version, n)
		}
		if n := runtime.NumGoroutine() - goroutines; n > 1 {
			t.Errorf("%v: %d goroutines", version, n)
		}
		// The listener has one buffer of maxDatagram, and no state of clients.
		if grown := int64(heap()) - int64(before); grown > maxDatagram+flooders*8 {
			t.Errorf("%v: the heap grew by %d bytes", version, grown)
		}
		if f.sent == 0 || f.sent > 3*f.got {
			t.Errorf("%v: %d bytes sent for %d", version, f.sent, f.got)
		}
		close(f.stop)
		l.Close()
	}
}
