package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/ice"
	"purertc/stun"
)

// inviteHost makes a host on loopback and an invite to it.
func inviteHost(t *testing.T, hc HostConfig, cfg InviteConfig) (*Host, *Invite) {
	t.Helper()
	if hc.Addr == "" && hc.PacketConn == nil {
		hc.Addr = "127.0.0.1:0"
	}
	h, err := NewHost(hc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	cfg.Config.IncludeLoopback = true
	i, err := h.Invite(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return h, i
}

// serveEcho accepts joiners until the invite ends, and sends every packet back. The
// test waits for its connections.
func serveEcho(t *testing.T, i *Invite) {
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); running.Wait() })
	running.Go(func() {
		for {
			c, err := i.Accept(ctx)
			if err != nil {
				return
			}
			c.OnDataChannelReceived(func(ch *DataChannel) {
				running.Go(func() {
					for {
						p, text, err := ch.Receive(ctx)
						if err != nil || ch.Send(ctx, p, text) != nil {
							return
						}
					}
				})
			})
			running.Go(func() {
				defer c.Close()
				c.Run(ctx)
			})
		}
	})
}

// join joins, and closes the connection at the test's end.
func join(t *testing.T, text string, cfg Config) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cfg.IncludeLoopback = true
	c, err := Join(ctx, text, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// echo sends a packet and waits until it comes back.
func echo(t *testing.T, ch *DataChannel, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := ch.Send(ctx, []byte(text), true); err != nil {
		t.Fatal(err)
	}
	if p, _, err := ch.Receive(ctx); err != nil || string(p) != text {
		t.Fatalf("%q came back as %q, %v", text, p, err)
	}
}

func openChannel(t *testing.T, c *Conn) *DataChannel {
	t.Helper()
	ch, err := c.OpenDataChannel("x", ChannelOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// TestInvite has several joiners use one invite at the same time.
func TestInvite(t *testing.T) {
	_, i := inviteHost(t, HostConfig{}, InviteConfig{})
	serveEcho(t, i)
	var joiners sync.WaitGroup
	for n := range maxJoining + 16 { // more than may be on the way
		joiners.Go(func() {
			ch := openChannel(t, join(t, i.Text(), Config{}))
			defer ch.Close()
			for k := range 3 {
				echo(t, ch, fmt.Sprint("joiner ", n, " packet ", k))
			}
		})
	}
	joiners.Wait()
	if strings.ContainsAny(i.Text(), "+/=%&#? \n") {
		t.Errorf("%q needs escaping in a URL", i.Text())
	}
}

// joinAsPage joins as a web page does: with credentials of its own, and an answer of an
// ICE-lite host.
func joinAsPage(t *testing.T, text string, cfg Config) (c *Conn, ch *DataChannel) {
	t.Helper()
	v, err := parseInvitation(text)
	if err != nil {
		t.Fatal(err)
	}
	c = New()
	cfg.IncludeLoopback = true
	if err := c.Initialize(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.OnSessionDescriptionCreated(func(typ, sdp string) {
		answer, err := v.answer(sdp, true)
		if err := errors.Join(err, c.SetLocalDescription(typ, sdp), c.SetRemoteDescription("answer", answer)); err != nil {
			t.Error(err)
		}
	})
	if ch, err = c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := c.CreateOffer(); err != nil {
		t.Fatal(err)
	}
	go c.Run(t.Context())
	return c, ch
}

// TestInviteForPages has pages and a Go program use one invite.
func TestInviteForPages(t *testing.T) {
	_, i := inviteHost(t, HostConfig{}, InviteConfig{})
	serveEcho(t, i)
	for n := range 3 {
		c, ch := joinAsPage(t, i.Text(), Config{})
		defer ch.Close()
		echo(t, ch, fmt.Sprint("page ", n))
		if !c.Report().ICE.Controlling {
			t.Error("the page is controlled: the host cannot be, which sends no checks")
		}
	}
	echo(t, openChannel(t, join(t, i.Text(), Config{})), "program")
}

// TestInviteShowsCertificate compares the fingerprint that the host has of a joiner
// with that of the joiner's certificate.
func TestInviteShowsCertificate(t *testing.T) {
	cert, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, i := inviteHost(t, HostConfig{}, InviteConfig{})
	joined := make(chan *Conn, 1)
	go func() {
		c, err := Join(t.Context(), i.Text(), Config{IncludeLoopback: true, Certificate: cert})
		if err != nil {
			t.Error(err)
		}
		joined <- c
	}()
	c, err := i.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go c.Run(t.Context())
	joiner := <-joined
	defer joiner.Close()
	waitReal(t, 5*time.Second, "the host's end is connected", func() bool { return c.ConnectionState() == StateConnected })
	_, theirs := c.RemoteDescription()
	f, err := dtls.CertificateFingerprint("sha-256", cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	d, err := parseDescription("offer", theirs)
	if err != nil || !slices.Equal(d.data().Fingerprints[0].Value, f.Value) {
		t.Errorf("%v in\n%s", err, theirs)
	}
}

// TestInviteCertificateMismatch has the text name another certificate than the host's.
func TestInviteCertificateMismatch(t *testing.T) {
	_, i := inviteHost(t, HostConfig{}, InviteConfig{})
	serveEcho(t, i)
	v := *i.says
	v.fingerprint[0] ^= 1
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err := Join(ctx, v.String(), Config{IncludeLoopback: true})
	if !errors.Is(err, dtls.ErrFingerprintMismatch) || !strings.Contains(err.Error(), "not the one that the invite names") {
		t.Errorf("Join: %v", err)
	}
}

// checkAs makes a connectivity check.
func checkAs(username, pwd string, id byte) []byte {
	w := stun.Build(nil, stun.BindingRequest, stun.TransactionID{id})
	w.String(stun.AttrUsername, username)
	w.Uint32(stun.AttrPriority, 1)
	w.Uint64(stun.AttrICEControlling, 1)
	w.Integrity(stun.NewIntegrity([]byte(pwd)))
	w.Fingerprint()
	return w.Finish()
}

// A mutePeer is a PacketConn of a packetSwitch that sends raw datagrams.
type mutePeer struct {
	*switchConn
	to net.Addr
}

func (p mutePeer) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := p.WriteTo(b, p.to); err != nil {
		t.Fatal(err)
	}
}

// read returns the transaction id's first byte of the next datagram, which must be an
// answer.
func (p mutePeer) read(t *testing.T) byte {
	t.Helper()
	p.SetReadDeadline(time.Now().Add(5 * time.Second))
	b := make([]byte, 1500)
	n, _, err := p.ReadFrom(b)
	if err != nil {
		t.Fatal(err)
	}
	m, err := stun.Parse(b[:n])
	if err != nil || m.Type() != stun.BindingSuccess {
		t.Fatalf("%v, % x", err, b[:n])
	}
	return m.TransactionID()[0]
}

// TestInviteWithoutSecret sends checks that do not show the secret. The host answers
// none of them, and keeps none.
func TestInviteWithoutSecret(t *testing.T) {
	network := newPacketSwitch()
	conn := network.listen("10.0.0.1:4000")
	_, i := inviteHost(t, HostConfig{PacketConn: conn}, InviteConfig{})
	peer := mutePeer{network.listen("10.0.0.2:4000"), conn.LocalAddr()}
	for n := range 100 {
		peer.send(t, checkAs(fmt.Sprint(i.local.ufrag, ":peer", n), "a password that is not the right one", 1))
		peer.send(t, checkAs(fmt.Sprint(i.local.ufrag, "x:peer", n), i.local.pwd, 2))
	}
	peer.send(t, checkAs(i.local.ufrag+":good", i.local.pwd, 3))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := i.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if id := peer.read(t); id != 3 {
		t.Errorf("check %d was answered", id)
	}
	i.queue.mu.Lock()
	defer i.queue.mu.Unlock()
	if n := len(i.queue.checks); n != 0 {
		t.Errorf("%d checks are kept", n)
	}
}

// TestInviteEnds has invites end by Close, by time, by the number of joiners and with
// their host.
func TestInviteEnds(t *testing.T) {
	ended := func(t *testing.T, i *Invite) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := i.Accept(ctx); !errors.Is(err, ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if i.host.invites.get(i.local.ufrag) != nil {
			t.Error("the host has the invite still")
		}
		// A new joiner is not let in.
		ctx, cancel = context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		text := i.Text()
		if v, err := parseInvitation(text); err != nil {
			t.Fatal(err)
		} else {
			v.expires = time.Time{} // the host itself refuses it
			text = v.String()
		}
		if _, err := Join(ctx, text, Config{IncludeLoopback: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Join: %v", err)
		}
	}
	t.Run("Close", func(t *testing.T) {
		h, i := inviteHost(t, HostConfig{}, InviteConfig{Secret: []byte("a secret of the test")})
		if _, err := h.Invite(InviteConfig{Secret: []byte("a secret of the test")}); !errors.Is(err, ErrInvalidState) {
			t.Errorf("a second invite with the secret: %v", err)
		}
		serveEcho(t, i)
		ch := openChannel(t, join(t, i.Text(), Config{}))
		echo(t, ch, "before")
		i.Close()
		ended(t, i)
		echo(t, ch, "the connection stays")
		again, err := h.Invite(InviteConfig{Secret: []byte("a secret of the test"), Config: Config{IncludeLoopback: true}})
		if err != nil || again.Text() != i.Text() {
			t.Errorf("the same invite again: %v", err)
		}
	})
	t.Run("Expires", func(t *testing.T) {
		_, i := inviteHost(t, HostConfig{}, InviteConfig{Expires: time.Now().Add(100 * time.Millisecond)})
		ended(t, i)
		v := *i.says
		v.expires = time.Now().Add(-time.Hour)
		if _, err := Join(t.Context(), v.String(), Config{}); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), "expired") {
			t.Errorf("Join: %v", err)
		}
	})
	t.Run("MaxJoiners", func(t *testing.T) {
		_, i := inviteHost(t, HostConfig{}, InviteConfig{MaxJoiners: 2})
		serveEcho(t, i)
		for range 2 {
			echo(t, openChannel(t, join(t, i.Text(), Config{})), "one of two")
		}
		ended(t, i)
	})
	t.Run("Host.Close", func(t *testing.T) {
		h, i := inviteHost(t, HostConfig{}, InviteConfig{})
		h.Close()
		ended(t, i)
		if _, err := h.Invite(InviteConfig{Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")}}); !errors.Is(err, ErrClosed) {
			t.Errorf("another invite: %v", err)
		}
	})
}

// TestInviteIsForOneAfterFailure has a joiner of an invite for one give up before it is
// connected. Another one takes its place.
func TestInviteIsForOneAfterFailure(t *testing.T) {
	network := newPacketSwitch()
	conn := network.listen("10.0.0.1:4000")
	_, i := inviteHost(t, HostConfig{PacketConn: conn}, InviteConfig{MaxJoiners: 1})
	peer := mutePeer{network.listen("10.0.0.2:4000"), conn.LocalAddr()}
	peer.send(t, checkAs(i.local.ufrag+":first", i.local.pwd, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := i.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()
	peer.send(t, checkAs(i.local.ufrag+":second", i.local.pwd, 2))
	if _, err := i.Accept(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second joiner while the first is on the way: %v", err)
	}
	c.Close()
	if c, err = i.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	c.Close()
}

// TestInviteAfterLeaving has the host close the connection to a page whose ICE agent
// goes on. Its checks are not another joiner.
func TestInviteAfterLeaving(t *testing.T) {
	network := newPacketSwitch()
	conn := network.listen("10.0.0.1:4000")
	_, i := inviteHost(t, HostConfig{PacketConn: conn}, InviteConfig{})
	peer := mutePeer{network.listen("10.0.0.2:4000"), conn.LocalAddr()}
	peer.send(t, checkAs(i.local.ufrag+":page", i.local.pwd, 1))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	c, err := i.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	peer.read(t)
	c.Close()
	for n := range 10 {
		peer.send(t, checkAs(i.local.ufrag+":page", i.local.pwd, byte(n+2)))
	}
	peer.send(t, checkAs(i.local.ufrag+":next", i.local.pwd, 100))
	if c, err = i.Accept(ctx); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if id := peer.read(t); id != 100 {
		t.Errorf("check %d was answered", id)
	}
	// A departed remembers at most maxDeparted joiners that have left.
	var d departed
	now := time.Now()
	for n := range 3 * maxDeparted {
		d.add(now, fmt.Sprint(n))
	}
	if len(d.seen) > maxDeparted || len(d.order) > maxDeparted || !d.contains(now, fmt.Sprint(3*maxDeparted-1)) || d.contains(now, "0") {
		t.Errorf("%d are remembered", len(d.seen))
	}
	d.add(now.Add(departedFor), "later")
	if len(d.seen) != 1 {
		t.Errorf("%d are remembered after a minute", len(d.seen))
	}
}

// TestInviteRejoin has a joiner whose process ends without a word join again, from the
// same port.
func TestInviteRejoin(t *testing.T) {
	network := newPacketSwitch()
	server := network.listen("10.0.0.1:4000")
	_, i := inviteHost(t, HostConfig{PacketConn: server}, InviteConfig{})
	serveEcho(t, i)
	for n := range 3 {
		conn := network.listen("10.0.0.2:5000") // the earlier one gets nothing any more
		h, err := NewHost(HostConfig{PacketConn: conn})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		ch := openChannel(t, join(t, i.Text(), Config{Host: h}))
		defer ch.Close()
		echo(t, ch, fmt.Sprint("life ", n))
	}
}

// TestInviteOverTCP has an invite with TCP addresses only, as for a joiner without UDP.
func TestInviteOverTCP(t *testing.T) {
	_, i := inviteHost(t, HostConfig{TCPAddr: "127.0.0.1:0"}, InviteConfig{})
	serveEcho(t, i)
	v := *i.says
	if len(v.addrs) != 2 || v.addrs[0].tcp || !v.addrs[1].tcp {
		t.Fatalf("the addresses are %v", v.addrs)
	}
	v.addrs = v.addrs[1:]
	c := join(t, v.String(), Config{})
	echo(t, openChannel(t, c), "program")
	if p := selectedPair(t, c); p.Local.TCPType != ice.TCPActive {
		t.Errorf("the pair is %v %v", p.Local, p.Remote)
	}
	_, ch := joinAsPage(t, v.String(), Config{})
	defer ch.Close()
	echo(t, ch, "page")
}

// TestInviteConfig has wrong configurations refused.
func TestInviteConfig(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	addr := netip.MustParseAddrPort("192.0.2.1:1")
	for says, cfg := range map[string]InviteConfig{
		"Secret has 5 bytes":           {Secret: []byte("short")},
		"MaxJoiners -1":                {MaxJoiners: -1},
		"MaxMessageSize 1000":          {Config: Config{MaxMessageSize: 1000}},
		"in the past":                  {Expires: time.Now().Add(-time.Second)},
		"than the text can say":        {Expires: time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)},
		"no ICEServers":                {Config: Config{ICEServers: []ICEServer{{URLs: []string{"stun:x"}}}}},
		"the address 0.0.0.0:1":        {Addresses: []netip.AddrPort{netip.MustParseAddrPort("0.0.0.0:1")}},
		"17 addresses":                 {Addresses: slices.Repeat([]netip.AddrPort{addr}, 17)},
		"LocalAddresses: 0.0.0.0":      {Config: Config{LocalAddresses: []netip.Addr{netip.IPv4Unspecified()}}},
		"the address invalid AddrPort": {Addresses: []netip.AddrPort{{}}},
	} {
		if _, err := h.Invite(cfg); !errors.Is(err, ErrInvalidParameter) || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	i, err := h.Invite(InviteConfig{Config: Config{PublicAddresses: []PublicAddress{{
		Local: netip.MustParseAddr("127.0.0.1"), Public: netip.MustParseAddr("192.0.2.7"), KeepLocal: true,
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	port := h.Addr().Port()
	want := []inviteAddr{
		{netip.AddrPortFrom(netip.MustParseAddr("192.0.2.7"), port), false}, {netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), false},
	}
	if !slices.Equal(i.says.addrs, want) {
		t.Errorf("the addresses are %v, not %v", i.says.addrs, want)
	}
	if _, err := new(Host).Invite(InviteConfig{}); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("a zero Host: %v", err)
	}
}

// TestInviteRestart has a joiner restart ICE, with descriptions that travel over any
// way that the two ends have, such as a channel.
func TestInviteRestart(t *testing.T) {
	_, i := inviteHost(t, HostConfig{}, InviteConfig{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	hostEnds := make(chan *Conn, 1)
	go func() {
		c, err := i.Accept(ctx)
		if err != nil {
			t.Error(err)
		}
		hostEnds <- c
	}()
	c := join(t, i.Text(), Config{})
	h := <-hostEnds
	defer h.Close()
	if err := h.Connected(ctx); err != nil {
		t.Fatal(err)
	}
	received := make(chan *DataChannel, 1)
	h.OnDataChannelReceived(func(ch *DataChannel) { received <- ch })
	go h.Run(ctx)
	go c.Run(ctx)
	x := openChannel(t, c)
	defer x.Close()
	y := <-received
	transfer(t, x, y)
	_, before := h.LocalDescription()
	for range 2 {
		if err := c.RestartICE(); err != nil {
			t.Fatal(err)
		}
		offer, err := c.Offer(ctx)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := h.Answer(ctx, offer)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.SetAnswer(answer); err != nil {
			t.Fatal(err)
		}
		transfer(t, x, y)
		transfer(t, y, x)
	}
	if _, after := h.LocalDescription(); strings.Contains(after, i.local.ufrag) || !strings.Contains(before, i.local.ufrag) {
		t.Error("the host's ufrag after the restart is that of the invite")
	}
}

// TestIncomingVerifyRemote has the program refuse the certificate of a joiner.
func TestIncomingVerifyRemote(t *testing.T) {
	refused := errors.New("test: refused")
	_, i := inviteHost(t, HostConfig{}, InviteConfig{Config: Config{VerifyRemote: func([]byte) error { return refused }}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		c, err := i.Accept(ctx)
		if err != nil {
			failed <- err
			return
		}
		defer c.Close()
		failed <- c.Connected(ctx)
	}()
	if c, err := Join(ctx, i.Text(), Config{IncludeLoopback: true}); err == nil {
		// In DTLS 1.3 a client is established before the server judges its certificate.
		defer c.Close()
		if err := c.Run(ctx); err != nil && ctx.Err() != nil {
			t.Errorf("the joiner stays connected: %v", err)
		}
	}
	if err := <-failed; !errors.Is(err, refused) {
		t.Errorf("the host's end: %v", err)
	}
}
