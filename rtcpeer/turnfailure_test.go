package rtcpeer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"purertc/dtls"
	"purertc/dtls/dtlsnet"
	"purertc/stun"
)

// redirector answers each Allocate with a reference to another server.
func redirector(conn net.Conn, to netip.AddrPort, packets bool) {
	defer conn.Close()
	buf := make([]byte, 1500)
	for {
		n, err := 0, error(nil)
		if packets {
			n, err = conn.Read(buf)
		} else if n, err = io.ReadFull(conn, buf[:20]); err == nil {
			n = 20 + int(buf[2])<<8 + int(buf[3])
			_, err = io.ReadFull(conn, buf[20:n])
		}
		if err != nil {
			return
		}
		m, err := stun.Parse(buf[:n])
		if err != nil {
			return
		}
		w := stun.Build(nil, stun.NewType(stun.MethodAllocate, stun.ClassError), m.TransactionID())
		w.ErrorCode(stun.CodeTryAlternate)
		w.Addr(stun.AttrAlternateServer, to)
		conn.Write(w.Finish())
	}
}

// If a server refers its clients to another server, the client follows, over every
// kind of connection. It does not follow references in a circle for ever.
func TestAlternateServer(t *testing.T) {
	c := startCoturn(t, false)
	cert, err := tls.LoadX509KeyPair(c.dir+"/cert", c.dir+"/key")
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	secured, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	datagrams, err := dtlsnet.Listen(udp, dtls.Config{Certificate: &cert, ClientAuth: dtls.ClientAuthNone, VerifyPeer: func([][]byte) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	circle, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	plain := netip.AddrPortFrom(loopback4[0], uint16(c.port))
	safe := netip.AddrPortFrom(loopback4[0], uint16(c.tlsPort))
	for l, to := range map[net.Listener]netip.AddrPort{tcp: plain, secured: safe, datagrams: safe, circle: addrPortOf(circle.Addr())} {
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go redirector(conn, to, l == datagrams)
			}
		}()
	}
	for name, url := range map[string]string{
		"tcp": fmt.Sprintf("turn:%v?transport=tcp", tcp.Addr()), "tls": fmt.Sprintf("turns:%v", secured.Addr()),
		"dtls": fmt.Sprintf("turns:%v?transport=udp", udp.LocalAddr()),
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.config("tcp", "p")
			cfg.ICEServers[0].URLs = []string{url}
			a, _, x, y := realPair(t, cfg)
			transfer(t, x, y)
			if s := a.Report().ICE.Servers; len(s) != 1 || s[0].URL != url || s[0].Addr != map[bool]netip.AddrPort{true: plain, false: safe}[name == "tcp"] {
				t.Errorf("%+v", s)
			}
		})
	}
	t.Run("circle", func(t *testing.T) {
		url := fmt.Sprintf("turn:%v?transport=tcp", circle.Addr())
		good := c.config("udp", "p")
		good.ICEServers = append(good.ICEServers, ICEServer{URLs: []string{url}, Username: "u", Credential: "p"})
		a, _, _, _ := realPair(t, good)
		wantReport(t, a, 10*time.Second, "server "+url+": it sends its clients from one server to the next")
	})
}

// wantReport waits until the report contains these texts.
func wantReport(t *testing.T, c *Conn, limit time.Duration, texts ...string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(limit); ; <-tick.C {
		report, missing := c.Report().String(), ""
		for _, text := range texts {
			if !strings.Contains(report, text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %q in\n%s", missing, report)
		}
	}
}

// A TURN server ends while a connection uses it. The report names the server and the
// reason. When the server runs again, it relays again, and no message is lost,
// repeated or out of order.
func TestCoturnKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("not in a short run: a server that is silent is waited for")
	}
	t.Parallel() // runs in parallel with the other tests that wait
	for _, tt := range []struct{ transport, text string }{
		{"dtls", "the server does not answer"}, {"udp", "the server does not answer"},
		{"tcp", "connection refused"}, {"tls", "connection refused"},
	} {
		t.Run(tt.transport, func(t *testing.T) {
			t.Parallel()
			c := startCoturn(t, false)
			cfg := c.config(tt.transport, "p")
			a, b, x, y := besideOthers(t, cfg, cfg, nil)
			forth, back := count(t, x, y), count(t, y, x)
			url := "server " + c.urls()[tt.transport] + ": "
			wantReport(t, a, time.Second, url+"relays at [127.0.0.1:")
			c.stop()
			for _, p := range []*Conn{a, b} {
				wantReport(t, p, 15*time.Second, url, tt.text)
			}
			c.restart()
			start := time.Now()
			for _, p := range []*Conn{a, b} {
				wantReport(t, p, 15*time.Second, url+"relays at [127.0.0.1:", "gathering complete", "connection connected")
			}
			forth.caughtUp(t, 10*time.Second)
			back.caughtUp(t, 10*time.Second)
			took := time.Since(start)
			t.Logf("%d messages one way, %d the other; %v after it was there again", forth.end(t), back.end(t), took.Round(time.Millisecond))
		})
	}
}

// The report says what is wrong: a wrong password, an expired certificate, a server
// that does not run, a server that was killed, a server that no datagram reaches, and
// a URL that is of no use.
func TestReportNamesServers(t *testing.T) {
	t.Parallel()
	c, expired, dead := startCoturn(t, false), startCoturn(t, true), startCoturn(t, false)
	dead.stop()
	silent, err := net.ListenPacket("udp", "127.0.0.1:0") // this socket behaves like a server behind a firewall that drops UDP
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	wrong, nobody := c.urls()["udp"], fmt.Sprintf("turn:127.0.0.1:%d?transport=tcp", freePort(t))
	blocked, useless := fmt.Sprintf("turn:%v", silent.LocalAddr()), "stuns:127.0.0.1:5349"
	conn := New()
	defer conn.Close()
	cfg := c.config("udp", "wrong")
	cfg.TLSConfig.RootCAs = expired.roots
	cfg.ICEServers = []ICEServer{
		{URLs: []string{wrong, nobody, blocked}, Username: "u", Credential: "wrong"}, {URLs: []string{useless}},
		{URLs: []string{expired.urls()["tls"], expired.urls()["dtls"]}, Username: "u", Credential: "p"},
	}
	for _, transport := range []string{"udp", "tcp", "tls"} { // without dtls, because its handshake would take ten seconds to fail
		cfg.ICEServers = append(cfg.ICEServers, ICEServer{URLs: []string{dead.urls()[transport]}, Username: "u", Credential: "p"})
	}
	err = conn.Initialize(cfg)
	if err != nil {
		t.Fatal(err)
	}
	gathers(t, conn)
	wantReport(t, conn, 15*time.Second,
		"server "+wrong+": wrong username or password", "server "+nobody+": dial tcp", "connection refused",
		"server "+expired.urls()["tls"]+": tls: failed to verify certificate: x509: certificate has expired or is not yet valid",
		"server "+expired.urls()["dtls"]+": dtls: ", "x509: certificate has expired",
		"server "+dead.urls()["udp"]+": the server does not answer", "server "+dead.urls()["tcp"]+": dial tcp",
		"server "+dead.urls()["tls"]+": dial tcp",
		"server "+blocked+": the server does not answer", "server "+useless+": STUN over TLS tells no address that UDP could use",
		"0 local candidates")
}

// The client tries each address of a server's name in turn. Each attempt gets a part
// of the time.
func TestServerAddressesInTurn(t *testing.T) {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var asked []netip.Addr
	works := netip.MustParseAddr("192.0.2.2")
	dial := func(ctx context.Context, a netip.Addr) (dialed, error) {
		asked = append(asked, a)
		if end, ok := ctx.Deadline(); !ok || len(asked) == 1 && time.Until(end) > time.Second/2 {
			t.Errorf("%v has all the time", a)
		}
		if a == works {
			return dialed{remote: netip.AddrPortFrom(a, 1)}, nil
		}
		return dialed{}, errors.New("not " + a.String())
	}
	if d, err := eachInTurn(ctx, addrs, dial); err != nil || d.remote.Addr() != works || len(asked) != 2 {
		t.Errorf("%v, %v, asked %v", d, err, asked)
	}
	works = netip.Addr{}
	if _, err := eachInTurn(ctx, addrs, dial); err == nil || err.Error() != "not 192.0.2.1" {
		t.Errorf("%v, want what was wrong with the first one", err)
	}
	if _, err := eachInTurn(ctx, nil, dial); err != errNoAddress {
		t.Errorf("%v", err)
	}
}

func (c *coturn) restart() {
	c.t.Helper()
	c.cmd = exec.Command(c.cmd.Path, c.cmd.Args[1:]...)
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.stopped = false
}

// gathers makes a connection offer a channel, and gather.
func gathers(t *testing.T, conn *Conn) {
	t.Helper()
	conn.OnSessionDescriptionCreated(func(typ, sdp string) { conn.SetLocalDescription(typ, sdp) })
	if _, err := conn.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(conn.CreateOffer(), conn.Poll()); err != nil {
		t.Fatal(err)
	}
}

// The ClientHello to a server over DTLS contains the name that the server's
// certificate must have, so that the server can choose the certificate. It does not
// contain an IP address.
func TestServerNameOverDTLS(t *testing.T) {
	cert, err := dtls.GenerateCertificate(time.Now(), nil)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := dtlsnet.Listen(socket, dtls.Config{Certificate: cert, ClientAuth: dtls.ClientAuthNone})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	base := &tls.Config{InsecureSkipVerify: true}
	for host, want := range map[string]string{"turn.example": "turn.example", "127.0.0.1": "", "::1": ""} {
		d, err := dialDTLSAddress(ctx, &Config{TLSConfig: base}, serverTask{url: serverURL{host: host}}, socket.LocalAddr().(*net.UDPAddr).AddrPort())
		if err != nil {
			t.Fatal(err)
		}
		defer d.conn.Close()
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if got := c.(*dtlsnet.Conn).ConnectionState().ServerName; got != want {
			t.Errorf("%s: the ClientHello has the name %q", host, got)
		}
	}
}
