package udpmux

import (
	"bytes"
	"errors"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"purertc/ice"
)

const knowsLocal = true

// A fakeRaw takes the place of a socket that becomes full. Its Write blocks, as that
// of the runtime does, until the test says that there is room.
type fakeRaw struct {
	parked chan struct{} // gets a value when Write has found no room
	room   chan struct{}
}

func (f *fakeRaw) Control(call func(fd uintptr)) error {
	call(3)
	return nil
}

func (f *fakeRaw) Write(call func(fd uintptr) bool) error {
	for !call(3) {
		f.parked <- struct{}{}
		if _, ok := <-f.room; !ok {
			return syscall.EBADF
		}
	}
	return nil
}

// A fakeKernel accepts a number of datagrams and is then full.
type fakeKernel struct {
	mu    sync.Mutex
	room  int
	err   error // error that is returned for bursts; nil: none
	sent  [][]byte
	calls int
}

func (k *fakeKernel) sendmsg(fd int, p, oob []byte, to syscall.Sockaddr) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	if k.err != nil && len(oob) > 0 {
		return k.err
	}
	if k.room == 0 {
		return syscall.EAGAIN
	}
	k.room--
	k.sent = append(k.sent, bytes.Clone(p))
	return nil
}

func (k *fakeKernel) give(n int) {
	k.mu.Lock()
	k.room = n
	k.mu.Unlock()
}

func (k *fakeKernel) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return string(bytes.Join(k.sent, []byte{' '}))
}

// fake replaces the socket's kernel.
func fake(s *Socket, gso bool) (*fakeKernel, *fakeRaw) {
	k, raw := &fakeKernel{}, &fakeRaw{make(chan struct{}, 100), make(chan struct{})}
	s.writer.mu.Lock()
	s.writer.sendmsg, s.writer.raw, s.writer.gso = k.sendmsg, raw, gso
	s.writer.mu.Unlock()
	return k, raw
}

func TestFullSocket(t *testing.T) {
	s := open(t, Config{})
	k, raw := fake(s, false)
	h1, h2 := newRecorder(), newRecorder()
	p1, p2 := attach(t, s, h1, 1, false), attach(t, s, h2, 2, false)
	to := ice.Route{Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	k.give(2)
	if p1.Write(to, []byte("aabbccdd"), 2) {
		t.Error("a full socket accepted all datagrams")
	}
	if p2.Write(to, []byte("ee"), 2) || p1.Write(to, []byte("ff"), 2) {
		t.Error("another write does not see that it is full")
	}
	<-raw.parked
	k.give(1)
	raw.room <- struct{}{}
	<-raw.parked
	k.give(9)
	raw.room <- struct{}{}
	for _, h := range []*recorder{h1, h2} {
		<-h.writable
	}
	if got := k.text(); got != "aa bb cc dd ff ee" {
		t.Errorf("sent %q", got)
	}
	if !p1.Write(to, []byte("gg"), 2) {
		t.Error("still full")
	}

	// If a peer continues to write, datagrams beyond the limit are lost.
	k.give(0)
	for range 2 * maxPending / 1000 {
		p1.Write(to, make([]byte, 1000), 1000)
	}
	s.writer.mu.Lock()
	if p1.pendingBytes > maxPending || p1.pendingBytes < maxPending-1000 {
		t.Errorf("%d bytes wait", p1.pendingBytes)
	}
	s.writer.mu.Unlock()
	// A closed port gets no call of Writable, and its waiting datagrams are dropped.
	p2.Write(to, []byte("hh"), 2)
	p1.Close()
	<-raw.parked
	k.give(9)
	raw.room <- struct{}{}
	<-h2.writable
	if len(h1.writable) != 0 {
		t.Error("Writable after Close")
	}
	if got := k.text(); got != "aa bb cc dd ff ee gg hh" {
		t.Errorf("sent %q", got)
	}
	k.give(0)
	p2.Write(to, []byte("ii"), 2)
	<-raw.parked
	close(raw.room) // the socket is closed while a goroutine waits for room
}

func TestSegmentationFallback(t *testing.T) {
	to := ice.Route{Remote: netip.MustParseAddrPort("127.0.0.1:9")}
	t.Run("never", func(t *testing.T) {
		s := open(t, Config{})
		k, _ := fake(s, true)
		p := attach(t, s, newRecorder(), 1, true)
		k.give(1000)
		k.err = syscall.EIO
		p.Write(to, []byte("aabbc"), 2)
		if got := k.text(); got != "aa bb c" {
			t.Errorf("sent %q", got)
		}
		if gso, _ := s.Offload(); gso {
			t.Error("segmentation stays on after EIO")
		}
		p.Write(to, []byte("ddee"), 2)
		if got := k.text(); got != "aa bb c dd ee" || k.calls != 6 {
			t.Errorf("sent %q in %d calls", got, k.calls)
		}
	})
	t.Run("not this time", func(t *testing.T) {
		s := open(t, Config{})
		k, _ := fake(s, true)
		p := attach(t, s, newRecorder(), 1, true)
		k.give(1000)
		for i := range maxGSOFailures - 1 {
			k.err = syscall.EINVAL
			p.Write(to, []byte("aabb"), 2)
			if gso, _ := s.Offload(); !gso {
				t.Fatalf("off after %d", i+1)
			}
		}
		k.err = nil
		p.Write(to, []byte("aabb"), 2)
		k.err = syscall.EMSGSIZE
		for i := range maxGSOFailures {
			if gso, _ := s.Offload(); !gso {
				t.Fatalf("off after %d, with a success in between", i+1)
			}
			p.Write(to, []byte("aabb"), 2)
		}
		if gso, _ := s.Offload(); gso {
			t.Error("segmentation stays on")
		}
	})
	t.Run("full in the middle", func(t *testing.T) {
		s := open(t, Config{})
		k, raw := fake(s, true)
		h := newRecorder()
		p := attach(t, s, h, 1, true)
		k.give(1)
		k.err = syscall.EIO
		if p.Write(to, []byte("aabbcc"), 2) {
			t.Error("not full")
		}
		<-raw.parked
		k.give(5)
		raw.room <- struct{}{}
		<-h.writable
		if got := k.text(); got != "aa bb cc" {
			t.Errorf("sent %q", got)
		}
	})
}

func TestBurstLimits(t *testing.T) {
	s := open(t, Config{})
	k, _ := fake(s, true)
	p := attach(t, s, newRecorder(), 1, true)
	k.give(1000)
	p.Write(ice.Route{Remote: netip.MustParseAddrPort("127.0.0.1:9")}, make([]byte, 200*1200), 1200)
	total := 0
	for _, b := range k.sent {
		if len(b) > maxBurst || len(b) > maxSegments*1200 {
			t.Errorf("a burst of %d bytes", len(b))
		}
		total += len(b)
	}
	if total != 200*1200 || len(k.sent) != 4 {
		t.Errorf("%d bytes in %d bursts", total, len(k.sent))
	}
	k.sent = nil
	p.Write(ice.Route{Remote: netip.MustParseAddrPort("127.0.0.1:9")}, make([]byte, 130*10), 10)
	if len(k.sent) != 3 || len(k.sent[0]) != 640 {
		t.Errorf("%d bursts", len(k.sent))
	}
}

func TestControlMessages(t *testing.T) {
	for _, tc := range []struct {
		local string
		ipv6  bool
	}{{"192.0.2.1", false}, {"192.0.2.1", true}, {"2001:db8::1", true}, {"", false}, {"0.0.0.0", false}} {
		local, _ := netip.ParseAddr(tc.local)
		b := appendControl(nil, 1200, local, tc.ipv6)
		if len(b) > oobSize {
			t.Errorf("%d bytes", len(b))
		}
		list, err := syscall.ParseSocketControlMessage(b)
		if err != nil {
			t.Fatal(err)
		}
		want := 1
		if local.IsValid() && !local.IsUnspecified() {
			want = 2
		}
		if len(list) != want || list[0].Header.Type != udpSegment {
			t.Errorf("%v", list)
		}
	}
	gro := appendHeader(nil, syscall.IPPROTO_UDP, udpGRO, 4)
	gro = pad(append(gro, 0xb0, 0x04, 0, 0))
	info := appendControl(nil, 0, netip.MustParseAddr("2001:db8::1"), true)
	if segment, local := parseControl(append(gro, info...)); segment != 1200 || local.String() != "2001:db8::1" {
		t.Errorf("%d %v", segment, local)
	}
	all := append(gro, info...)
	for n := range all {
		parseControl(all[:n])
	}
}

func FuzzParseControl(f *testing.F) {
	f.Add(appendControl(nil, 1200, netip.MustParseAddr("192.0.2.1"), false))
	f.Add(appendControl(nil, 1200, netip.MustParseAddr("2001:db8::1"), true))
	f.Fuzz(func(t *testing.T, b []byte) { parseControl(b) })
}

func TestReusePort(t *testing.T) {
	a := open(t, Config{ReusePort: true})
	b := open(t, Config{ReusePort: true, Addr: a.LocalAddr()})
	if a.LocalAddr() != b.LocalAddr() {
		t.Errorf("%v and %v", a.LocalAddr(), b.LocalAddr())
	}
	if _, err := Listen(Config{Addr: a.LocalAddr()}); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("%v", err)
	}
}
