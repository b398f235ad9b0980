package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"purertc/ice"
	"purertc/sdp"
	"purertc/stun"
)

// acceptHost makes a Host in memory, and a peer that sends raw datagrams to it.
func acceptHost(t *testing.T) (*Host, mutePeer) {
	network := newPacketSwitch()
	conn := network.listen("10.0.0.1:4000")
	return hostOn(t, conn), mutePeer{network.listen("10.0.0.2:4000"), conn.LocalAddr()}
}

// TestAccept gives a connection the check that came before it.
func TestAccept(t *testing.T) {
	const pwd = "0123456789012345678901"
	h, peer := acceptHost(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	accepted := make(chan *Incoming, 1)
	go func() {
		in, err := h.Accept(ctx)
		if err != nil {
			t.Error(err)
		}
		accepted <- in
	}()
	waitReal(t, 5*time.Second, "Accept runs", func() bool { return h.incoming.wanted(time.Now()) })
	peer.send(t, checkAs("local:remote", pwd, 1))
	in := <-accepted
	if in.LocalUfrag != "local" || in.RemoteUfrag != "remote" || in.Addr != peer.addr {
		t.Errorf("%+v", in)
	}
	if !in.Verify(pwd) || in.Verify(pwd+"x") {
		t.Error("Verify does not tell the passwords apart")
	}
	if _, err := in.Connect(Config{}, pwd+"x", ""); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("Connect with another password: %v", err)
	}

	// Two more connections with that ufrag: one by Connect, one by an offer.
	c, err := in.Connect(Config{}, pwd, "")
	if err != nil {
		t.Fatal(err)
	}
	if id := peer.read(t); id != 1 {
		t.Errorf("check %d was answered", id)
	}
	if _, err := in.Connect(Config{}, pwd, ""); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), "another connection") {
		t.Errorf("a second connection for the same remote: %v", err)
	}
	c.Close()

	peer.send(t, checkAs("another:remote", pwd, 2))
	if in, err = h.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	c = New()
	defer c.Close()
	if err := c.Initialize(Config{Host: h, ICEUfrag: in.LocalUfrag, ICEPwd: pwd, ICELite: true}); err != nil {
		t.Fatal(err)
	}
	offer := sdp.Params{
		Origin: sdp.NewOrigin(1, 1), Mid: "0", Ufrag: in.RemoteUfrag, Pwd: pwd, Setup: sdp.SetupActPass, SCTPPort: 5000,
		Fingerprints: []sdp.Fingerprint{{Hash: "sha-256", Value: make([]byte, 32)}},
	}.Offer(nil, nil)
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		if !strings.Contains(sdp, "a=ice-ufrag:another\r\n") || !strings.Contains(sdp, "a=ice-pwd:"+pwd+"\r\n") {
			t.Errorf("the answer has other credentials:\n%s", sdp)
		}
		if err := c.SetLocalDescription(typ, sdp); err != nil {
			t.Error(err)
		}
	})
	if err := c.SetRemoteDescription("offer", offer); err != nil {
		t.Fatal(err)
	}
	c.Poll()
	if id := peer.read(t); id != 2 {
		t.Errorf("check %d was answered", id)
	}
}

// TestAcceptOnce has a remote repeat its checks: it is handed over once. Nothing is
// answered.
func TestAcceptOnce(t *testing.T) {
	h, peer := acceptHost(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Accept(ctx); !errors.Is(err, context.Canceled) { // from now on, checks are kept
		t.Fatal(err)
	}
	for n := range 10 {
		peer.send(t, checkAs("one!:remote", "password", byte(n)))
		peer.send(t, checkAs("a:remote", "password", byte(n)))                           // no ufrag has one character
		peer.send(t, checkAs("nine:with space", "password", byte(n)))                    // nor a space
		peer.send(t, checkAs(strings.Repeat("u", 300)+":remote", "password", byte(n)))   // nor 300 characters
		peer.send(t, checkAs("four:"+strings.Repeat("x", 1500), "password", byte(n)))    // the check is too long
		peer.send(t, append(checkAs("five:remote", "password", byte(n)), 1, 2, 3))       // no STUN
		peer.send(t, []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0}) // too short
	}
	peer.send(t, checkAs("two!:remote", "password", 100))
	ctx, cancel = context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, want := range []string{"one!", "two!"} {
		if in, err := h.Accept(ctx); err != nil || in.LocalUfrag != want {
			t.Fatalf("%+v, %v, want %s", in, err, want)
		}
	}
	if len(peer.in) != 0 {
		t.Errorf("%d datagrams were sent", len(peer.in))
	}
	h.Close()
	if _, err := h.Accept(ctx); !errors.Is(err, ErrClosed) {
		t.Errorf("Accept after Close: %v", err)
	}
	if _, err := new(Host).Accept(ctx); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("Accept of a zero Host: %v", err)
	}
	if _, err := new(Incoming).Connect(Config{}, "", ""); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("Connect of a zero Incoming: %v", err)
	}
}

// A writeCounter counts what a Host sends.
type writeCounter struct {
	*switchConn
	writes atomic.Int32
}

func (c *writeCounter) WriteTo(b []byte, to net.Addr) (int, error) {
	c.writes.Add(1)
	return len(b), nil
}

// TestAcceptFlood sends 50,000 checks with unknown ufrags from forged addresses. The
// host keeps a bounded number of bytes and sends nothing.
func TestAcceptFlood(t *testing.T) {
	conn := &writeCounter{switchConn: newPacketSwitch().listen("10.0.0.1:4000")}
	h := hostOn(t, conn)
	key := stun.NewIntegrity([]byte("password"))
	flood := func(long bool) {
		for n := range 50_000 {
			username := fmt.Sprintf("u%06d:remote", n)
			if long {
				username = fmt.Sprintf("u%06d:%s", n, strings.Repeat("x", 256))
			}
			w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{1})
			w.String(stun.AttrUsername, username)
			w.Integrity(key)
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), uint16(n%60000+1))
			h.unclaimedDatagram(time.Now(), ice.Route{Local: conn.addr.Addr(), Remote: from}, w.Finish())
		}
	}
	q := &h.incoming.checkQueue
	flood(false)
	if len(q.checks) != 0 {
		t.Fatalf("%d checks are kept though nobody calls Accept", len(q.checks))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.Accept(ctx)
	for _, long := range []bool{false, true} {
		flood(long)
		size := 0
		for _, k := range q.checks {
			size += k.cost()
		}
		if len(q.checks) == 0 || len(q.checks) > maxKeptChecks || q.order.Len() != len(q.checks) || size > maxKeptBytes || size != q.size {
			t.Errorf("%d checks with %d bytes are kept, %d in order, %d bytes counted", len(q.checks), size, q.order.Len(), q.size)
		}
		// The newest is there, and is handed over.
		if q.checks[fmt.Sprintf("u%06d:remote", 49_999)] == nil && !long {
			t.Error("a new check was refused")
		}
	}
	if n := conn.writes.Load(); n != 0 {
		t.Errorf("%d datagrams were sent", n)
	}
}

// TestCheckQueueExpires has checks expire.
func TestCheckQueueExpires(t *testing.T) {
	var q checkQueue
	now := time.Now()
	k := q.add(now, "one:x", ice.Route{}, []byte("1"))
	if q.add(now, "one:x", ice.Route{}, []byte("2")) != k {
		t.Error("a USERNAME has two checks")
	}
	q.add(now.Add(keptFor/2), "one:y", ice.Route{}, []byte("3"))
	q.add(now.Add(keptFor/2), "two:y", ice.Route{}, []byte("4"))
	gone := q.wait(k)
	if got := q.next(now.Add(keptFor)); got == nil || got.username != "one:y" {
		t.Errorf("next is %+v", got)
	}
	select {
	case <-gone:
	default:
		t.Error("the end of a check was not reported")
	}
	select {
	case <-q.wait(k): // it has gone already
	default:
		t.Error("the end of a check that has gone was not reported")
	}
	if got := q.take("one"); len(got) != 1 || got[0].username != "one:y" {
		t.Errorf("take is %+v", got)
	}
	if got := q.take("two:y"); len(got) != 1 || len(q.checks) != 0 || q.size != 0 || q.order.Len() != 0 {
		t.Errorf("take is %+v; %d checks are left", got, len(q.checks))
	}
	if q.add(now, "long:x", ice.Route{}, make([]byte, maxKeptCheck+1)) != nil {
		t.Error("a check that is too long was kept")
	}
}

// TestAcceptOverTCP lets in a remote over TCP. Its connection waits until the program
// has decided.
func TestAcceptOverTCP(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	const secret = "the+same+string+is+both+credentials"
	dialer := dialDirect(t, secret, fmt.Sprintf("candidate:1 1 tcp 1 127.0.0.1 %d typ host tcptype passive", h.TCPAddr().Port()))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	in, err := h.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c, err := in.Connect(Config{}, in.LocalUfrag, in.LocalUfrag)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Run(t.Context())
	waitReal(t, 20*time.Second, "both are connected", func() bool {
		return c.ConnectionState() == StateConnected && dialer.ConnectionState() == StateConnected
	})
}

// dialDirect makes a connection to a Host that calls Accept. secret is ufrag and
// password of both ends.
func dialDirect(t *testing.T, secret, candidate string) *Conn {
	t.Helper()
	cert, err := sharedCertificate()
	if err != nil {
		t.Fatal(err)
	}
	c := New()
	t.Cleanup(func() { c.Close() })
	if err := c.Initialize(Config{IncludeLoopback: true, ICEUfrag: secret, ICEPwd: secret, Certificate: cert}); err != nil {
		t.Fatal(err)
	}
	c.OnSessionDescriptionCreated(func(typ, text string) {
		if err := c.SetLocalDescription(typ, text); err != nil {
			t.Error(err)
		}
		v := newInvitation([]byte(secret))
		copy(v.fingerprint[:], mustFingerprint(t, c))
		answer, err := v.answer(text, false)
		own := v.credentials()
		answer = strings.NewReplacer(own.ufrag, secret, own.pwd, secret).Replace(answer)
		if err := errors.Join(err, c.SetRemoteDescription("answer", answer), c.AddICECandidate("0", 0, candidate)); err != nil {
			t.Error(err)
		}
	})
	kept, err := c.CreateDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kept.Close() })
	if err := c.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context())
	return c
}

// mustFingerprint returns the SHA-256 hash of the certificate of a connection.
func mustFingerprint(t *testing.T, c *Conn) []byte {
	t.Helper()
	_, text := c.LocalDescription()
	d, err := parseDescription("offer", text)
	if err != nil {
		t.Fatal(err)
	}
	return d.data().Fingerprints[0].Value
}

// TestICECredentials checks which credentials are accepted, and that an ICE restart
// draws others.
func TestICECredentials(t *testing.T) {
	const ufrag, pwd = "libp2p+webrtc+v1/x", "0123456789abcdefABCDEF"
	for _, bad := range []Config{
		{ICEUfrag: ufrag}, {ICEPwd: pwd}, {ICEUfrag: "abc", ICEPwd: pwd}, {ICEUfrag: ufrag, ICEPwd: pwd[1:]},
		{ICEUfrag: strings.Repeat("x", 257), ICEPwd: pwd}, {ICEUfrag: ufrag, ICEPwd: strings.Repeat("x", 257)},
		{ICEUfrag: "with:colon", ICEPwd: pwd}, {ICEUfrag: "with-dash", ICEPwd: pwd}, {ICEUfrag: ufrag, ICEPwd: pwd + "\r\n"},
	} {
		if err := New().Initialize(bad); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("%q, %q: %v", bad.ICEUfrag, bad.ICEPwd, err)
		}
	}
	inBubble(t, func(t *testing.T) {
		p := connect(t, Config{ICEUfrag: ufrag, ICEPwd: pwd}, ChannelOptions{})
		defer p.close()
		_, before := p.a.LocalDescription()
		if !strings.Contains(before, "a=ice-ufrag:"+ufrag+"\r\n") || !strings.Contains(before, "a=ice-pwd:"+pwd+"\r\n") {
			t.Errorf("other credentials:\n%s", before)
		}
		if err := errors.Join(p.a.RestartICE(), p.a.CreateOffer()); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the restart is answered", func() bool {
			_, after := p.a.LocalDescription()
			return !strings.Contains(after, ufrag) && !strings.Contains(after, pwd) && p.a.SignalingState() == SignalingStateStable
		})
	})
}
