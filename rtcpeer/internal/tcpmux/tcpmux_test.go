package tcpmux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"purertc/ice"
	"purertc/stun"
)

const patience = 10 * time.Second

// A recorder is a handler that stores what it receives.
type recorder struct {
	mu     sync.Mutex
	got    [][]byte
	routes []ice.Route
	heard  chan struct{}
	closed chan error
}

func newRecorder() *recorder {
	return &recorder{heard: make(chan struct{}, 1000), closed: make(chan error, 100)}
}

func (h *recorder) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for part := range slices.Chunk(b, segment) {
		h.got, h.routes = append(h.got, bytes.Clone(part)), append(h.routes, r)
		h.heard <- struct{}{}
	}
}

func (h *recorder) Writable(ice.Sock)                  {}
func (h *recorder) SocketClosed(ice.Sock, error)       {}
func (h *recorder) RouteClosed(r ice.Route, err error) { h.closed <- err }
func (h *recorder) wait(t *testing.T) ([]byte, ice.Route) {
	t.Helper()
	select {
	case <-h.heard:
	case <-time.After(patience):
		t.Fatal("nothing arrives")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n := len(h.got) - len(h.heard) - 1
	return h.got[n], h.routes[n]
}

// check returns a connectivity check for a local ufrag.
func check(ufrag string) []byte {
	w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{1})
	w.Bytes(stun.AttrUsername, []byte(ufrag+":theirs"))
	return w.Finish()
}

func framed(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

// newListener returns a listener on loopback. It checks at the end that no goroutine
// of the listener is left.
func newListener(t *testing.T, bounds limits) *Listener {
	t.Helper()
	before := runtime.NumGoroutine()
	m, err := listen(netip.MustParseAddrPort("127.0.0.1:0"), nil, nil, bounds)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.Close()
		for range 1000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			<-time.After(5 * time.Millisecond)
		}
		t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
	})
	return m
}

func (m *Listener) attached(t *testing.T, ufrag string) (*Port, *recorder) {
	t.Helper()
	h := newRecorder()
	p, err := m.Attach(h, 7)
	if err == nil {
		err = p.AddUfrag(ufrag)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p, h
}

func (m *Listener) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", m.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// wantClosed waits until the remote end closes a connection.
func wantClosed(t *testing.T, what string, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: it stays open", what)
	}
}

// Two peers use one listener. The ufrag of the first check selects the peer.
func TestPeersByUfrag(t *testing.T) {
	m := newListener(t, defaultLimits)
	ports, peers := map[string]*Port{}, map[string]*recorder{}
	for _, u := range []string{"anna", "bert"} {
		ports[u], peers[u] = m.attached(t, u)
	}
	for u, h := range peers {
		c := m.dial(t)
		first := framed(check(u))
		for i := range first { // the stream may be split at any byte
			if _, err := c.Write(first[i : i+1]); err != nil {
				t.Fatal(err)
			}
		}
		b, r := h.wait(t)
		if !bytes.Equal(b, check(u)) || r.Sock != 7 || r.Remote.String() != c.LocalAddr().String() || r.Local != m.LocalAddr().Addr() {
			t.Errorf("%s got %x on %v", u, b, r)
		}
		if err := ports[u].Bind(r.Remote); err != nil {
			t.Error(err)
		}
		// Datagrams are carried in both directions: a burst of three, of which the
		// last one is shorter.
		c.Write(slices.Concat(framed([]byte("one")), framed([]byte("two")), framed([]byte("3"))))
		for _, want := range []string{"one", "two", "3"} {
			if b, _ := h.wait(t); string(b) != want {
				t.Errorf("%q, want %q", b, want)
			}
		}
		ports[u].Write(r, []byte("einszwei3"), 4)
		want := slices.Concat(framed([]byte("eins")), framed([]byte("zwei")), framed([]byte("3")))
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x, %v", got, err)
		}
		c.Close()
		select {
		case err := <-h.closed:
			if err == nil {
				t.Error("closed without an error")
			}
		case <-time.After(patience):
			t.Error("RouteClosed was not called with an error")
		}
		if ports[u].Bind(r.Remote) != ErrNoConn {
			t.Error("a connection that is closed was bound")
		}
	}
}

// A connection that does not begin with a check for a known ufrag is closed without an
// answer.
func TestConnectionsWithoutCheck(t *testing.T) {
	m := newListener(t, limits{halfOpen: 100, fromSource: 100, first: 50 * time.Millisecond, proof: 50 * time.Millisecond})
	p, h := m.attached(t, "anna")
	response := stun.Build(nil, stun.BindingSuccess, stun.TransactionID{1})
	nameless := stun.Build(nil, stun.BindingRequest, stun.TransactionID{1})
	for what, b := range map[string][]byte{
		"silence": nil, "half a length": {0}, "HTTP": []byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
		"TLS": append([]byte{22, 3, 1, 2, 0, 1}, make([]byte, 100)...), "a length and silence": {0, 30},
		"nobody's ufrag": framed(check("carl")), "an empty ufrag": framed(check("")), "a response": framed(response.Finish()),
		"a long frame": append([]byte{maxFirst >> 8, 1}, check("anna")...), "no STUN": framed(make([]byte, 40)),
		"an empty frame": make([]byte, 40), "no username": framed(nameless.Finish()),
	} {
		c := m.dial(t)
		c.Write(b)
		wantClosed(t, what, c)
	}
	if len(h.heard) > 0 {
		t.Errorf("the handler got %x", h.got)
	}
	// The check has a known ufrag, but the peer does not authenticate it.
	c := m.dial(t)
	c.Write(framed(check("anna")))
	h.wait(t)
	wantClosed(t, "never authenticated", c)
	<-h.closed
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.halfOpen.Len() != 0 || len(m.sources) != 0 || len(p.links.links) != 0 {
		t.Errorf("left: %d, %v, %v", m.halfOpen.Len(), m.sources, p.links.links)
	}
}

// Half-open connections are counted in total and for each port. A connection on which
// a check was authenticated is not half-open.
func TestHalfOpen(t *testing.T) {
	m := newListener(t, limits{halfOpen: 3, fromSource: 2, first: patience, proof: patience})
	p, h := m.attached(t, "anna")
	a := m.dial(t)
	a.Write(framed(check("anna")))
	_, r := h.wait(t)
	if err := p.Bind(r.Remote); err != nil {
		t.Fatal(err)
	}
	// Both places of this source are taken by connections without a datagram, so the
	// oldest is closed. The connections are accepted in the order in which they were
	// opened.
	silent := m.dial(t)
	m.dial(t)
	m.dial(t)
	wantClosed(t, "the oldest of too many", silent)
	b := m.dial(t)
	b.Write(framed(check("anna")))
	h.wait(t)
	// Unbind closes a connection without telling the peer, unless the peer continues
	// to write.
	p.Unbind(r.Remote)
	wantClosed(t, "unbound", a)
	if len(h.closed) > 0 {
		t.Error("RouteClosed was called after Unbind")
	}
	if p.Write(r, []byte("x"), 1); <-h.closed != ErrNoConn {
		t.Error("RouteClosed was not called")
	}
	p.Close()
	wantClosed(t, "closed with the port", b)
	if len(h.closed) > 0 {
		t.Errorf("RouteClosed was called after Close: %v", <-h.closed)
	}
	if p.AddUfrag("x") != ErrClosed {
		t.Error("a closed port takes an ufrag")
	}
}

// Connections without a datagram do not keep out a connection that sends a check,
// however many there are.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	m := newListener(t, limits{halfOpen: 16, fromSource: 1000, first: patience, proof: patience})
	p, h := m.attached(t, "anna")
	var silent []net.Conn
	for range 10 {
		for range 20 {
			silent = append(silent, m.dial(t))
		}
		c := m.dial(t)
		c.Write(framed(check("anna")))
		_, r := h.wait(t)
		if err := p.Bind(r.Remote); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write(framed(check("anna"))); err != nil {
			t.Fatal(err)
		}
		h.wait(t)
	}
	wantClosed(t, "the oldest", silent[0])
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := m.halfOpen.Len(); n > 16 {
		t.Errorf("%d half-open connections", n)
	}
}

func TestPortLimits(t *testing.T) {
	m := newListener(t, limits{halfOpen: 1000, fromSource: 1000, first: patience, proof: patience})
	p, h := m.attached(t, "anna")
	other, _ := m.attached(t, "bert")
	if other.AddUfrag("anna") != ErrTaken || p.AddUfrag("anna") != nil {
		t.Error("an ufrag changes hands")
	}
	var oldest net.Conn
	for i := range maxUnproven {
		c := m.dial(t)
		if i == 0 {
			oldest = c
		}
		c.Write(framed(check("anna")))
		h.wait(t)
	}
	c := m.dial(t)
	c.Write(framed(check("anna")))
	h.wait(t)
	wantClosed(t, "the oldest of too many", oldest)
	if err := <-h.closed; err != ErrLimit {
		t.Errorf("RouteClosed has the error %v", err)
	}
	// Only the latest ufrags of many restarts are kept.
	for i := range maxUfrags {
		if err := p.AddUfrag(fmt.Sprint("later", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(m.ufrags) != maxUfrags+1 || m.ufrags["anna"] != nil {
		t.Errorf("%v", m.ufrags)
	}
	p.RemoveUfrag("later1")
	if m.ufrags["later1"] != nil || len(p.ufrags) != maxUfrags-1 {
		t.Error("an ufrag was not removed")
	}
}

// A dialer connects when a datagram is written. Datagrams that were written before the
// connection is open are sent after that.
func TestDialer(t *testing.T) {
	m := newListener(t, defaultLimits)
	p, far := m.attached(t, "anna")
	near := newRecorder()
	local := netip.MustParseAddr("127.0.0.1")
	d := NewDialer(near, 3, local, nil)
	r := ice.Route{Sock: 3, Local: local, Remote: m.LocalAddr()}
	for _, b := range [][]byte{check("anna"), []byte("second")} {
		if !d.Write(r, b, len(b)) {
			t.Error("full")
		}
	}
	b, back := far.wait(t)
	if !bytes.Equal(b, check("anna")) {
		t.Errorf("%x", b)
	}
	if b, _ := far.wait(t); string(b) != "second" {
		t.Errorf("%q", b)
	}
	if err := p.Bind(back.Remote); err != nil {
		t.Fatal(err)
	}
	p.Write(back, []byte("answer"), 6)
	if b, from := near.wait(t); string(b) != "answer" || from != r {
		t.Errorf("%q from %v", b, from)
	}
	if d.Bind(r.Remote) != nil || d.AddUfrag("x") != nil {
		t.Error("not bound")
	}
	p.Unbind(back.Remote)
	if err := <-near.closed; err == nil {
		t.Error("RouteClosed was not called with an error")
	}
	// No program listens at the address.
	m.Close()
	d.Write(r, []byte("hello"), 5)
	if err := <-near.closed; err == nil {
		t.Error("a connection without a listener")
	}
	d.Close()
	d.Write(r, []byte("hello"), 5)
	if _, err := m.Attach(near, 1); err != ErrClosed {
		t.Errorf("%v", err)
	}
}

// The number of waiting bytes and the number of connections are limited.
func TestDialerLimits(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near := newRecorder()
	d := NewDialer(near, 3, netip.MustParseAddr("127.0.0.1"), nil)
	defer d.Close()
	remote := l.Addr().(*net.TCPAddr).AddrPort()
	d.mu.Lock() // a connection that never opens
	k := &link{owner: &d.links, remote: remote, cancel: func() {}}
	d.links.links[remote] = k
	d.mu.Unlock()
	for range 100 {
		d.Write(ice.Route{Remote: remote}, make([]byte, 1200), 1200)
	}
	if k.size > maxWaiting || k.size < maxWaiting/2 {
		t.Errorf("%d bytes wait", k.size)
	}
	for i := range maxConns {
		a := netip.AddrPortFrom(remote.Addr(), uint16(1+i))
		d.mu.Lock()
		d.links.links[a] = &link{owner: &d.links, remote: a}
		d.mu.Unlock()
	}
	d.Write(ice.Route{Remote: netip.AddrPortFrom(remote.Addr(), 1000)}, []byte("x"), 1)
	if err := <-near.closed; err != ErrLimit {
		t.Errorf("%v", err)
	}
}

func FuzzFirst(f *testing.F) {
	f.Add(framed(check("anna")))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		first, err := readFirst(bytes.NewReader(b))
		if err == nil && (len(first) < 20 || len(first) > maxFirst || !bytes.Equal(first, b[2:2+len(first)])) {
			t.Errorf("% x of % x", first, b)
		}
		namesOf(first)
	})
}
