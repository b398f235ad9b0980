//go:build !386

package udpmux

import (
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"purertc/ice"
)

func newTestDescriptor(t *testing.T) (*descriptor, *net.UDPConn, netip.AddrPort) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	d, err := newDescriptor(conn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.close() })
	far, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	return d, far, addr
}

// A descriptor's Read waits for what comes, again and again, and until it is
// closed. It does not allocate.
func TestDescriptorRead(t *testing.T) {
	d, far, _ := newTestDescriptor(t)
	from := far.LocalAddr().(*net.UDPAddr).AddrPort()
	var in receiver
	in.init()
	var buffer *readBuffer // a borrowed one at first
	asleep := make(chan struct{})
	go func() {
		hello := []byte("hello")
		for range asleep { // one datagram for each
			far.Write(hello)
		}
	}()
	defer close(asleep)
	waited := 0
	try := in.try
	in.try = func(fd uintptr) bool {
		ok := try(fd)
		if !ok {
			waited++
			asleep <- struct{}{}
		}
		return ok
	}
	for range 100 {
		b, n, _, addr, err := in.await(d, buffer)
		buffer = b
		if err != nil || string(buffer.b[:n]) != "hello" || addr != from {
			t.Fatalf("%q from %v, %v; want %v", buffer.b[:max(n, 0)], addr, err, from)
		}
	}
	if waited < 100 {
		t.Errorf("waited %d times of 100", waited)
	}
	if n := testing.AllocsPerRun(100, func() { in.await(d, buffer) }); n != 0 {
		t.Errorf("%v allocations", n)
	}

	// Closed by another goroutine while it waits.
	in.try = try
	time.AfterFunc(10*time.Millisecond, func() { d.close() })
	if _, _, _, _, err := in.await(d, buffer); err == nil {
		t.Error("no error of a wait that was closed")
	}
	if err := d.Control(func(uintptr) { t.Error("called with a closed socket") }); err == nil {
		t.Error("no error after closing")
	}
}

// A descriptor's Write waits for room, and until it is closed.
func TestDescriptorWrite(t *testing.T) {
	d, _, _ := newTestDescriptor(t)
	calls := 0
	err := d.Write(func(uintptr) bool { // there is room all the time
		calls++
		return calls == 3
	})
	if err != nil || calls != 3 {
		t.Errorf("%d calls, %v", calls, err)
	}

	// A buffer that is full: of a stream, since no UDP socket's stays so.
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[1])
	w, err := newWatch(pair[0], syscall.EPOLLOUT)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(pair[0])
	defer w.close()
	full := 0
	for ; ; full++ {
		if _, err := syscall.Write(pair[0], make([]byte, 4096)); err != nil {
			break
		}
	}
	room := make(chan error)
	go func() { room <- w.wait() }()
	select {
	case <-room:
		t.Fatal("room in a full buffer")
	case <-time.After(10 * time.Millisecond):
	}
	for range full {
		syscall.Read(pair[1], make([]byte, 4096))
	}
	if err := <-room; err != nil {
		t.Fatal(err)
	}

	ended := make(chan error)
	begun := make(chan struct{})
	go func() {
		first := true
		ended <- d.Write(func(uintptr) bool {
			if first {
				close(begun)
			}
			first = false
			return false
		})
	}()
	<-begun
	d.close()
	if err := <-ended; err == nil {
		t.Error("no error of a write that was closed")
	}
	if err := d.Write(func(uintptr) bool { return false }); err == nil {
		t.Error("no error after closing")
	}
}

// A busy socket is taken from the runtime's poller while it is in use, and
// works as before.
func TestDetach(t *testing.T) {
	atLeastTwo(t)
	s := open(t, Config{})
	h := newRecorder()
	p := attach(t, s, h, 3, true)
	far, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(s.LocalAddr()))
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	r := ice.Route{Sock: 3, Local: s.LocalAddr().Addr(), Remote: far.LocalAddr().(*net.UDPAddr).AddrPort()}
	b := make([]byte, 10)
	exchanged := 0
	exchange := func() {
		exchanged++
		if _, err := far.Write([]byte{100, 1}); err != nil {
			t.Fatal(err)
		}
		h.wait(t, exchanged)
		p.Write(r, []byte("answer"), 6)
		far.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := far.Read(b); err != nil || string(b[:n]) != "answer" {
			t.Fatalf("%q, %v", b[:n], err)
		}
	}
	for s.own.Load() == nil {
		if exchange(); exchanged > 100_000 {
			t.Fatal("never taken from the poller")
		}
	}
	for range 100 {
		exchange()
	}
	<-time.After(2 * busyGap) // it is at rest, as any other
	exchange()
	if got := h.route(exchanged - 1); got != r {
		t.Errorf("route %v, want %v", got, r)
	}
	s.Close()
	select {
	case <-s.Done():
	case <-time.After(10 * time.Second):
		t.Error("the reader goes on")
	}
	if c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(s.LocalAddr())); err != nil {
		t.Errorf("the port is still in use: %v", err)
	} else {
		c.Close()
	}
}
