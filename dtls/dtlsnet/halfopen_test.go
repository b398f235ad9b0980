package dtlsnet

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"purertc/dtls"
)

// TestReplayedHello checks that a ClientHello with a valid cookie, from an earlier
// connection of the same address, does not end the current one.
func TestReplayedHello(t *testing.T) {
	for _, version := range []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} {
		cc, sc := configs(t)
		cc.MaxVersion = version
		l, err := Listen(socket(t), sc)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		dial := func(s net.PacketConn) (client *Conn, server net.Conn) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			client, err := Dial(ctx, s, l.Addr(), cc)
			if err != nil {
				t.Fatal(err)
			}
			if server, err = l.Accept(); err != nil {
				t.Fatal(err)
			}
			return client, server
		}
		first := &tape{PacketConn: socket(t)}
		addr := first.LocalAddr()
		client, server := dial(first)
		client.Close()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		client, server = dial(rebind(t, addr))
		first.mu.Lock()
		replayed := first.sent[1:2] // the ClientHello with the cookie
		if version == dtls.VersionDTLS13 {
			replayed = first.sent[1:3] // the ClientHello with key shares has two datagrams
		}
		first.mu.Unlock()
		for _, d := range replayed {
			client.socket.WriteTo(d, l.Addr())
		}
		handshakes := func() []*Conn {
			l.mu.Lock()
			defer l.mu.Unlock()
			return slices.DeleteFunc(l.all(), func(c *Conn) bool { return c == server })
		}
		waits(t, "the replayed hello begins a handshake", func() bool { return len(handshakes()) == 1 })
		for range 3 {
			passes(t, "beside a replayed hello", client, server)
			passes(t, "beside a replayed hello", server, client)
		}
		// The client can establish another connection once no flight of the replayed
		// handshake can arrive in place of the flights of its own handshake.
		for _, c := range handshakes() {
			c.Close()
		}
		waits(t, "the replayed handshake ends", func() bool { return len(handshakes()) == 0 })
		client.socket.Close()
		again, next := dial(rebind(t, addr))
		defer again.Close()
		passes(t, "begun anew", again, next)
		if _, err := server.Read(make([]byte, 1)); err != errReplaced {
			t.Errorf("the connection before: %v", err)
		}
	}
}

// rebind opens a socket with the address of another socket, after that socket is
// closed.
func rebind(t *testing.T, addr net.Addr) (s net.PacketConn) {
	t.Helper()
	waits(t, "the address is free", func() (free bool) {
		var err error
		s, err = net.ListenPacket("udp", addr.String())
		return err == nil
	})
	return s
}

// A wire is a socket whose datagrams the test sends and receives.
type wire struct {
	net.PacketConn
	in   chan datagram
	mu   sync.Mutex
	sent map[netip.AddrPort][][]byte
}

type datagram struct {
	from netip.AddrPort
	b    []byte
}

func (w *wire) ReadFrom(b []byte) (int, net.Addr, error) {
	d, ok := <-w.in
	if !ok {
		return 0, nil, net.ErrClosed
	}
	return copy(b, d.b), net.UDPAddrFromAddrPort(d.from), nil
}

func (w *wire) WriteTo(b []byte, to net.Addr) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := keyOf(to).udp
	w.sent[k] = append(w.sent[k], bytes.Clone(b))
	return len(b), nil
}

// take removes and returns the datagrams that were sent to an address.
func (w *wire) take(to netip.AddrPort) [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	sent := w.sent[to]
	delete(w.sent, to)
	return sent
}

// run carries datagrams between core and the listener until none is sent, for at most the
// given number of rounds.
func (w *wire) run(core *dtls.Conn, from netip.AddrPort, rounds int) {
	for range rounds {
		for {
			d, ok := core.AppendDatagram(time.Now(), nil, mtu)
			if !ok {
				break
			}
			w.in <- datagram{from, d}
		}
		// When the listener reads this datagram, it has handled those before it.
		w.in <- datagram{netip.MustParseAddrPort("192.0.2.1:9"), []byte{0}}
		w.in <- datagram{netip.MustParseAddrPort("192.0.2.1:9"), []byte{0}}
		for _, d := range w.take(from) {
			for len(d) > 0 {
				_, n := core.HandleRecord(time.Now(), d)
				d = d[n:]
			}
		}
	}
}

// TestHandshakesAreBounded checks that clients which stop in their handshake take
// bounded memory and no goroutines, and that other clients can still connect.
func TestHandshakesAreBounded(t *testing.T) {
	cc, sc := configs(t)
	cc.Client, cc.DeferShares = true, true
	w := &wire{PacketConn: socket(t), in: make(chan datagram), sent: map[netip.AddrPort][][]byte{}}
	l, err := Listen(w, sc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	defer close(w.in)
	begin := func(i int, rounds int) *dtls.Conn {
		core, err := dtls.NewConn(cc)
		if err != nil {
			t.Fatal(err)
		}
		core.Start(time.Now())
		w.run(core, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}), 4444), rounds)
		return core
	}
	before, goroutines := heap(), runtime.NumGoroutine()
	for i := range maxHandshakes + 100 {
		begin(i, 2)
	}
	l.mu.Lock()
	pending, addrs := l.queue.Len(), len(l.pending)
	l.mu.Unlock()
	if pending != maxHandshakes || addrs != maxHandshakes {
		t.Errorf("%d handshakes from %d addresses, want %d", pending, addrs, maxHandshakes)
	}
	if n := runtime.NumGoroutine() - goroutines; n > 20 { // running timers, and ends of handshakes that were removed
		t.Errorf("%d goroutines", n)
	}
	w.mu.Lock()
	clear(w.sent)
	w.mu.Unlock()
	each := (int64(heap()) - int64(before)) / maxHandshakes
	if t.Logf("%d bytes each", each); each > 32<<10 {
		t.Errorf("%d bytes for each handshake", each)
	}
	if core := begin(maxHandshakes+100, 6); !core.Established() {
		t.Errorf("one more: %v", core.Err())
	}
	// One address may have only a few handshakes.
	for range 10 {
		begin(5000, 2)
	}
	at := keyOf(&net.UDPAddr{IP: net.IPv4(10, 1, 5000>>8, 5000&0xff), Port: 4444})
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.pending[at]); n != maxHandshakesPerAddr {
		t.Errorf("%d handshakes from one address", n)
	}
}

// TestKeyLogIsShared checks that the connections of a listener do not write to the key log
// at the same time.
func TestKeyLogIsShared(t *testing.T) {
	cc, sc := configs(t)
	var log bytes.Buffer // not locked, so that the race detector finds concurrent writes
	cc.KeyLogWriter, sc.KeyLogWriter = &log, &log
	l, err := Listen(socket(t), sc)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var all sync.WaitGroup
	const clients = 8
	for range clients {
		all.Go(func() {
			c, err := Dial(t.Context(), socket(t), l.Addr(), cc)
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
	}
	for range clients {
		if _, err := l.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	keyLogMutex.Lock()
	defer keyLogMutex.Unlock()
	if n := bytes.Count(log.Bytes(), []byte("\n")); n != 2*clients*5 {
		t.Errorf("%d lines", n)
	}
}
