package dtlsnet

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"time"

	"purertc/dtls"
)

// A roamer is a client's socket that can change its address: it sends from the newest
// of several sockets.
type roamer struct {
	net.PacketConn // the first socket
	mu             sync.Mutex
	now            net.PacketConn
	held           bool // datagrams are stored in sent and not transmitted
	sent           [][]byte
	in             chan roamed
	closed         chan struct{}
	once           sync.Once
}

type roamed struct {
	b    []byte
	from net.Addr
}

func newRoamer(t *testing.T) *roamer {
	r := &roamer{in: make(chan roamed, 100), closed: make(chan struct{})}
	r.PacketConn = r.roam(t)
	return r
}

// roam changes the address.
func (r *roamer) roam(t *testing.T) net.PacketConn {
	s := socket(t)
	r.mu.Lock()
	r.now = s
	r.mu.Unlock()
	go func() {
		for {
			b := make([]byte, maxDatagram)
			n, from, err := s.ReadFrom(b)
			if err != nil {
				return
			}
			select {
			case r.in <- roamed{b[:n], from}:
			case <-r.closed:
			}
		}
	}()
	return s
}

func (r *roamer) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-r.in:
		return copy(b, d.b), d.from, nil
	case <-r.closed:
		return 0, nil, net.ErrClosed
	}
}

func (r *roamer) WriteTo(b []byte, to net.Addr) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.held {
		r.sent = append(r.sent, bytes.Clone(b))
		return len(b), nil
	}
	return r.now.WriteTo(b, to)
}

// hold begins or ends the storage of datagrams, and returns the datagrams that were
// stored.
func (r *roamer) hold(held bool) [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := r.sent
	r.held, r.sent = held, nil
	return kept
}

func (r *roamer) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.PacketConn.Close()
}

// listensWithIDs creates a listener with a connection ID for each client.
func listensWithIDs(t *testing.T, cfg dtls.Config) *Listener {
	t.Helper()
	next := uint32(7)
	cfg.ConnectionIDs = func() []byte {
		next++
		return binary.BigEndian.AppendUint32(nil, next)
	}
	l, err := Listen(socket(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// follows creates a listener with connection IDs, and connects to it.
func follows(t *testing.T, version dtls.Version) (l *Listener, r *roamer, client *Conn, server *Conn) {
	t.Helper()
	cc, sc := configs(t)
	cc.MinVersion, cc.MaxVersion = version, version
	cc.ConnectionIDs = func() []byte { return []byte{} } // the client wants no connection ID in the records that it receives
	l = listensWithIDs(t, sc)
	connect := func(s net.PacketConn) (*Conn, *Conn) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		client, err := Dial(ctx, s, l.Addr(), cc)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { client.Close() })
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return client, server.(*Conn)
	}
	connect(socket(t)) // a second connection of another client
	r = newRoamer(t)
	client, server = connect(r)
	return l, r, client, server
}

// passes sends a message from one end to the other.
func passes(t *testing.T, why string, from, to net.Conn) {
	t.Helper()
	b := make([]byte, 100)
	to.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := from.Write([]byte(why)); err != nil {
		t.Fatal(err)
	}
	for {
		n, err := to.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		if string(b[:n]) == why {
			return // earlier data did not contain this message
		}
	}
}

// moves waits until a connection sends to an address.
func moves(t *testing.T, c *Conn, to net.Addr) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(5 * time.Second); c.RemoteAddr().String() != to.String(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("answers go to %v, not to %v", c.RemoteAddr(), to)
		}
	}
}

// TestMigrate changes the address of a client several times. Its connection migrates.
func TestMigrate(t *testing.T) {
	for _, version := range []dtls.Version{dtls.VersionDTLS12, dtls.VersionDTLS13} {
		t.Run(version.String(), func(t *testing.T) { testFollow(t, version) })
	}
}

func testFollow(t *testing.T, version dtls.Version) {
	l, r, client, server := follows(t, version)
	for range 5 {
		old := r.now
		s := r.roam(t)
		passes(t, "from elsewhere", client, server)
		moves(t, server, s.LocalAddr())
		old.Close() // no datagram is sent by the old socket any more
		passes(t, "to elsewhere", server, client)
		l.mu.Lock()
		if n := len(l.conns); n != 2 || l.conns[keyOf(s.LocalAddr())] != server {
			t.Errorf("%d connections", n)
		}
		l.mu.Unlock()
	}
	client.Close()
	if _, err := server.Read(make([]byte, 1)); err == nil {
		t.Error("the end of the connection did not arrive from the new address")
	}
	waits(t, "its ID is forgotten", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.byID) == 1 && len(l.conns) == 1
	})
}

// TestMigrateAttack12 checks that in DTLS 1.2 neither a replayed nor a forged datagram
// from another address moves a connection. If an attacker forwards a datagram before
// the original arrives, the connection moves, but the attacker's address gets at most
// three times the datagram's length. All other bytes are sent to the client, and its
// next datagram moves the connection back.
func TestMigrateAttack12(t *testing.T) {
	l, r, client, server := follows(t, dtls.VersionDTLS12)
	first := server.RemoteAddr()
	victim := socket(t)
	r.hold(true)
	client.Write([]byte("one"))
	late := r.hold(true)[0]
	client.Write([]byte("two"))
	seen := r.hold(false)[0]
	r.WriteTo(seen, l.Addr())
	forged := bytes.Clone(seen)
	forged[10] += 5 // a newer record number
	victim.WriteTo(seen, l.Addr())
	victim.WriteTo(forged, l.Addr())
	victim.WriteTo(late, l.Addr())
	passes(t, "three", client, server) // this is sent after all attacks
	if server.RemoteAddr() != first {
		t.Fatalf("answers go to %v", server.RemoteAddr())
	}
	server.mu.Lock()
	if server.move.previous != nil {
		t.Error("it is on its way elsewhere")
	}
	server.mu.Unlock()

	r.hold(true)
	client.Write([]byte("four"))
	stolen := r.hold(false)[0]
	victim.WriteTo(stolen, l.Addr())
	moves(t, server, victim.LocalAddr())
	for range 50 {
		if _, err := server.Write([]byte("much")); err != nil {
			t.Fatal(err)
		}
	}
	passes(t, "to the client still", server, client)
	got := 0
	b := make([]byte, 2000)
	for {
		victim.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		n, _, err := victim.ReadFrom(b)
		if err != nil {
			break
		}
		got += n
	}
	if got == 0 || got > maxAmplification*len(stolen) {
		t.Errorf("%d bytes were sent to the attacker's address for %d received", got, len(stolen))
	}
	passes(t, "here", client, server)
	moves(t, server, first)
	passes(t, "to the client alone", server, client)
	server.mu.Lock()
	if server.move.previous != nil {
		t.Error("it is not back")
	}
	server.mu.Unlock()
}

// TestMigrateNoOther12 checks that a connection of DTLS 1.2, whose new address is not
// validated, does not end another one with that address.
func TestMigrateNoOther12(t *testing.T) {
	l, r, client, server := follows(t, dtls.VersionDTLS12)
	l.mu.Lock()
	var other *Conn
	for _, c := range l.conns {
		if c != server {
			other = c
		}
	}
	l.mu.Unlock()
	first := server.RemoteAddr()
	r.hold(true)
	client.Write([]byte("stolen"))
	server.handle(other.RemoteAddr(), r.hold(false)[0]) // the datagram is treated as if it came from the other client's address
	if server.RemoteAddr() != first {
		t.Errorf("answers go to %v", server.RemoteAddr())
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.conns[keyOf(other.RemoteAddr())] != other || l.conns[keyOf(first)] != server {
		t.Error("it has another one's address")
	}
}

// TestMigrateAttack checks that datagrams of the client from an attacker's address,
// replayed or forwarded before they arrive, do not move the connection. The client
// itself can still move.
func TestMigrateAttack(t *testing.T) {
	l, r, client, server := follows(t, dtls.VersionDTLS13)
	passes(t, "hello", client, server)
	first := server.RemoteAddr()
	victim := socket(t)
	// Replayed datagrams are not newer than those that were received before.
	r.hold(true)
	client.Write([]byte("one"))
	kept := r.hold(false)
	passes(t, "two", client, server)
	victim.WriteTo(kept[0], l.Addr())
	b := make([]byte, 2000)
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	if n, err := server.Read(b); err != nil || string(b[:n]) != "one" {
		t.Fatalf("%q, %v", b[:n], err)
	}
	server.mu.Lock()
	if server.validation.addr != nil {
		t.Error("an old record starts a path validation")
	}
	server.mu.Unlock()
	// The attacker forwards datagrams before the client's own datagrams arrive.
	r.hold(true)
	client.Write([]byte("three"))
	kept = r.hold(false)
	victim.WriteTo(kept[0], l.Addr())
	victim.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, _, err := victim.ReadFrom(b)
	if err != nil || n > 3*len(kept[0]) {
		t.Fatalf("asked with %d bytes for %d, %v", n, len(kept[0]), err)
	}
	server.Read(make([]byte, 100))
	for range 5 {
		passes(t, "to the client", server, client)
	}
	if server.RemoteAddr() != first {
		t.Errorf("answers go to %v", server.RemoteAddr())
	}
	// The client sends from its address. So the KeyUpdate is sent to this address, and
	// its acknowledgement does not move the connection.
	passes(t, "here", client, server)
	for err == nil { // the KeyUpdate may have been sent several times until now
		victim.SetReadDeadline(time.Now())
		_, _, err = victim.ReadFrom(b)
	}
	waits(t, "an answer", func() bool {
		client.Write([]byte("and here"))
		server.mu.Lock()
		defer server.mu.Unlock()
		return !server.core.Unanswered()
	})
	if server.RemoteAddr() != first {
		t.Errorf("answers go to %v", server.RemoteAddr())
	}
	s := r.roam(t)
	passes(t, "from elsewhere", client, server)
	moves(t, server, s.LocalAddr())
	victim.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, _, err := victim.ReadFrom(b); err == nil {
		t.Errorf("%d more bytes to the attacker", n)
	}
}

// waits waits until f is true.
func waits(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !f(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestMigrateAgain checks that a connection can migrate after the validation of another
// address has failed.
func TestMigrateAgain(t *testing.T) {
	l, r, client, server := follows(t, dtls.VersionDTLS13)
	passes(t, "hello", client, server)
	old := r.now
	s := r.roam(t)
	old.Close()
	r.hold(true) // the client's answers are lost
	client.Write([]byte("from elsewhere"))
	s.WriteTo(r.hold(true)[0], l.Addr())
	asked := func() bool {
		server.mu.Lock()
		defer server.mu.Unlock()
		return server.validation.addr != nil && server.core.Unanswered()
	}
	waits(t, "a question", asked)
	server.mu.Lock()
	server.validation.until = time.Now()
	server.mu.Unlock()
	s.Close()
	waits(t, "its answer", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.sent) > 0
	})
	r.hold(false)
	s = r.roam(t)
	waits(t, "the move to a third address", func() bool {
		client.Write([]byte("from a third"))
		return server.RemoteAddr().String() == s.LocalAddr().String()
	})
	passes(t, "to a third", server, client)
}

// TestClosedAtOnce checks that connections which end at once leave no state.
func TestClosedAtOnce(t *testing.T) {
	cc, sc := configs(t)
	cc.ConnectionIDs = func() []byte { return []byte{} }
	l := listensWithIDs(t, sc)
	for range 30 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		c, err := Dial(ctx, socket(t), l.Addr(), cc)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	waits(t, "they are forgotten", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.byID) == 0 && len(l.conns) == 0
	})
}
