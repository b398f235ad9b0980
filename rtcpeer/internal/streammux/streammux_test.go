package streammux

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"purertc/ice"
)

// A recorder is a handler that stores what it receives.
type recorder struct {
	mu       sync.Mutex
	got      [][]byte
	batches  int
	changed  chan struct{}
	writable chan struct{}
	closed   chan error
}

func newRecorder() *recorder {
	return &recorder{changed: make(chan struct{}, 1), writable: make(chan struct{}, 100), closed: make(chan error, 1)}
}

func (h *recorder) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.batches++
	for part := range slices.Chunk(b, segment) {
		h.got = append(h.got, bytes.Clone(part))
	}
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

func (h *recorder) Writable(ice.Sock)                     { h.writable <- struct{}{} }
func (h *recorder) SocketClosed(sock ice.Sock, err error) { h.closed <- err }

func (h *recorder) wait(t *testing.T, n int) [][]byte {
	t.Helper()
	timeout := time.After(10 * time.Second)
	for {
		h.mu.Lock()
		got := h.got
		h.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-h.changed:
		case <-timeout:
			t.Fatalf("%d messages of %d", len(got), n)
		}
	}
}

// pair returns the two ends of a TCP connection.
func pair(t *testing.T, a, b *recorder) (x, y *Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	d, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	x, y = New(c, Config{Handler: a, Sock: 3}), New(d, Config{Handler: b, Sock: 4})
	t.Cleanup(x.Close)
	t.Cleanup(y.Close)
	return x, y
}

// channelData returns a ChannelData message with n bytes of data.
func channelData(n int) []byte {
	b := make([]byte, 4+n)
	rand.Read(b[4:])
	b[0], b[2], b[3] = 0x40, byte(n>>8), byte(n)
	return b
}

func stunMessage(n int) []byte {
	b := make([]byte, 20+n)
	b[1], b[2], b[3] = 1, byte(n>>8), byte(n)
	return b
}

func TestMessagesOfAllSizes(t *testing.T) {
	a, b := newRecorder(), newRecorder()
	x, _ := pair(t, a, b)
	var want [][]byte
	for _, n := range []int{0, 1, 2, 3, 4, 5, 1200, 1200, 1200, 1200, 1199, 1199, 20_000, 65_535, 7} {
		want = append(want, channelData(n), stunMessage(n&^3&0xffff))
	}
	for _, m := range want {
		if !x.Write(ice.Route{}, m, 0) { // the datagram was accepted nevertheless
			<-a.writable
		}
	}
	if got := b.wait(t, len(want)); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Error("messages came back different")
	}
}

// TestSegments writes several segments in one call, and checks how the reader delivers
// them.
func TestSegments(t *testing.T) {
	a, b := newRecorder(), newRecorder()
	x, _ := pair(t, a, b)
	var burst []byte
	for range 40 {
		burst = append(burst, channelData(1000)...)
	}
	x.Write(ice.Route{}, burst, 1004)
	got := b.wait(t, 40)
	if !bytes.Equal(bytes.Join(got, nil), burst) {
		t.Error("the burst changed")
	}
	if b.batches > 20 {
		t.Errorf("%d batches of 40 messages", b.batches)
	}
}

// If the remote does not read, the connection becomes full. It becomes writable again
// when the remote reads.
func TestFull(t *testing.T) {
	a := newRecorder()
	near, far := net.Pipe()
	x := New(near, Config{Handler: a})
	m := channelData(1000)
	n := 0
	for x.Write(ice.Route{}, m, 0) {
		if n++; n > 1000 {
			t.Fatal("it is never full")
		}
	}
	for range 1000 {
		x.Write(ice.Route{}, m, 0) // datagrams beyond a limit are lost
	}
	x.mu.Lock()
	queued := len(x.queue)
	x.mu.Unlock()
	if queued > maxQueue {
		t.Errorf("%d bytes wait", queued)
	}
	go func() {
		buf := make([]byte, 1<<16)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	}()
	select {
	case <-a.writable:
	case <-time.After(10 * time.Second):
		t.Fatal("not writable again")
	}
	x.Close()
	x.Close()
	if !x.Write(ice.Route{}, m, 0) {
		t.Error("a closed connection is full")
	}
}

// Datagrams that are queued when the connection is closed are sent.
func TestCloseSends(t *testing.T) {
	a, b := newRecorder(), newRecorder()
	x, _ := pair(t, a, b)
	x.Write(ice.Route{}, stunMessage(8), 0)
	x.Close()
	b.wait(t, 1)
	if err := <-b.closed; !errors.Is(err, ErrEnd) {
		t.Errorf("%v", err)
	}
	select {
	case err := <-a.closed:
		t.Errorf("the end that called Close got the error %v", err)
	default:
	}
}

func TestBadFraming(t *testing.T) {
	for _, bad := range [][]byte{{0x16, 3, 1, 0}, {0x80}, {0, 1, 0, 3, 9}, {0x50, 0}} {
		a := newRecorder()
		near, far := net.Pipe()
		New(near, Config{Handler: a, Remote: netip.MustParseAddrPort("127.0.0.1:1")})
		far.Write(bad)
		if err := <-a.closed; !errors.Is(err, ErrFraming) {
			t.Errorf("% x: %v", bad, err)
		}
	}
}

// If the connection itself carries datagrams, there is no framing.
func TestPackets(t *testing.T) {
	a := newRecorder()
	near, far := net.Pipe()
	x := New(near, Config{Handler: a, Framing: Packets})
	defer x.Close()
	m := channelData(5)
	x.Write(ice.Route{}, append(bytes.Clone(m), m...), len(m))
	buf := make([]byte, 100)
	for range 2 {
		if n, err := far.Read(buf); err != nil || !bytes.Equal(buf[:n], m) {
			t.Errorf("% x, %v", buf[:n], err)
		}
	}
	far.Write(m)
	if got := a.wait(t, 1); !bytes.Equal(got[0], m) {
		t.Errorf("% x", got[0])
	}
	far.Close()
	if err := <-a.closed; !errors.Is(err, ErrEnd) {
		t.Errorf("%v", err)
	}
}

// oneByOne separates length-prefixed datagrams in the simplest way.
func oneByOne(b []byte) (list [][]byte) {
	for len(b) >= 2 {
		n := int(b[0])<<8 | int(b[1])
		if len(b) < 2+n {
			break
		}
		if n > 0 {
			list = append(list, bytes.Clone(b[2:2+n]))
		}
		b = b[2+n:]
	}
	return list
}

// Lengths before datagrams (RFC 4571) work in both directions, however the stream is
// split.
func TestLengths(t *testing.T) {
	a, b := newRecorder(), newRecorder()
	near, far := net.Pipe()
	x := New(near, Config{Handler: a, Framing: Length})
	y := New(far, Config{Handler: b, Framing: Length, Local: netip.MustParseAddr("192.0.2.1")})
	var want [][]byte
	for _, n := range []int{1, 1200, 1200, 1200, 7, 1200, 65535, 3} {
		m := make([]byte, n)
		rand.Read(m)
		want = append(want, m)
		x.Write(ice.Route{}, m, n)
	}
	x.Write(ice.Route{}, make([]byte, maxLength+1), maxLength+1) // the length of this datagram does not fit into two bytes
	if got := b.wait(t, len(want)); !slices.EqualFunc(got, want, bytes.Equal) {
		t.Errorf("%d datagrams are not the %d that were sent", len(got), len(want))
	}
	burst := bytes.Repeat([]byte("x"), 5*100+20)
	y.Write(ice.Route{}, burst, 100)
	if got := a.wait(t, 6); !bytes.Equal(bytes.Join(got, nil), burst) || len(got[5]) != 20 {
		t.Errorf("%d datagrams", len(got))
	}
	y.Close()
	if err := <-a.closed; !errors.Is(err, ErrEnd) {
		t.Errorf("%v", err)
	}
}

func FuzzFrames(f *testing.F) {
	f.Add(append(channelData(5), 0, 0, 0), false)
	f.Add(stunMessage(8), false)
	f.Add([]byte{0, 2, 1, 2, 0, 2, 3, 4, 0, 1, 5, 0, 0, 0, 9}, true)
	f.Fuzz(func(t *testing.T, b []byte, lengths bool) {
		h := newRecorder()
		c := &Conn{cfg: Config{Handler: h}}
		if lengths {
			c.cfg.Framing = Length
			want := oneByOne(b)
			c.deliver(time.Now(), b)
			if !slices.EqualFunc(h.got, want, bytes.Equal) {
				t.Errorf("% x, want % x", h.got, want)
			}
			return
		}
		rest, need, err := c.deliver(time.Now(), b)
		if err == nil && len(rest) > 0 && need != 0 && need <= len(rest) {
			t.Errorf("%d bytes wait for a message of %d", len(rest), need)
		}
		for _, m := range h.got {
			if len(m) < 4 {
				t.Errorf("a message of %d bytes", len(m))
			}
		}
	})
}
