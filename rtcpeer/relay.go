package rtcpeer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"purertc/dtls"
	"purertc/dtls/dtlsnet"
	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
	"purertc/rtcpeer/internal/udpmux"
)

// dialTimeout bounds the set-up of a connection to a server, handshake included.
const dialTimeout = 10 * time.Second

// maxConnections bounds the connections of one transport to servers.
const maxConnections = 16

// errNoSTUN says why a stuns: URL is of no use to data channels.
var errNoSTUN = errors.New("STUN over TLS tells no address that UDP could use")

// A connection is a connection to a TURN server, or a UDP socket for the server if the
// transport has none of its own.
type connection struct {
	task
	server ice.Server
	opened time.Time
	lost   bool
	retry  *time.Timer // of a lost connection
}

// A lost connection is opened again after retryFirst, then at intervals that double up
// to retryMost. One that lasted for retryMost counts as a success.
const (
	retryFirst = 500 * time.Millisecond
	retryMost  = time.Minute
)

// maxAlternates bounds how often servers may refer to the next one (RFC 8489 §10
// requires loop detection).
const maxAlternates = 4

// over returns how the URL's server is reached.
func (u *serverURL) over() ice.Transport {
	switch {
	case u.transport == "udp" && u.secure:
		return ice.OverDTLS
	case u.transport == "udp":
		return ice.OverUDP
	case u.secure:
		return ice.OverTLS
	}
	return ice.OverTCP
}

// needsConnection reports whether a server is reached by other means than the
// transport's UDP sockets. On a shared socket an allocation would collide with another
// transport's: it belongs to the pair of the socket's address and the server's.
func (p *peer) needsConnection(u serverURL) bool {
	return u.turn && (u.over() != ice.OverUDP || p.cfg.Host != nil)
}

// reuseConnection asks a server again over its open connection.
func (p *peer) reuseConnection(now time.Time, u serverURL, s ICEServer) bool {
	for i := range p.gatherer.connections {
		c := &p.gatherer.connections[i]
		if !c.lost && c.url == u && c.server.Username == s.Username && c.server.Password == s.Credential {
			p.addServer(now, c.server)
			return true
		}
	}
	return false
}

// A dialed is an open connection, or the server's address if there is no connection.
type dialed struct {
	conn   net.Conn
	remote netip.AddrPort
}

// connect opens the connection of a server and asks the server. It runs on a goroutine
// of its own, without the lock.
func (p *peer) connect(ctx context.Context, round int, t task) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d, err := p.dial(ctx, t)
	if errors.Is(err, context.DeadlineExceeded) {
		err = ice.ErrServerTimeout
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || round != p.gatherer.round {
		if d.conn != nil {
			d.conn.Close()
		}
		return
	}
	now := p.now()
	if err == nil {
		err = p.attach(now, d, t)
	}
	if err != nil {
		p.core.agent.ServerFailed(now, t.url.text, err)
		if t.lost > 0 {
			p.again(t)
		}
	}
	p.asked(now, t)
}

// sentOn takes a server's referral to another one.
func (p *peer) sentOn(e ice.Event) {
	for i := range p.gatherer.connections {
		c := &p.gatherer.connections[i]
		if c.lost || c.server.Sock != e.Sock {
			continue
		}
		c.lost = true
		p.port(e.Sock).Close()
		p.ports[e.Sock] = nil
		t := c.task
		if t.alternate, t.domain = e.Addr, e.Domain; t.hops >= maxAlternates {
			p.core.agent.ServerFailed(p.now(), t.url.text, errAlternates)
			p.core.agent.EndOfLocal(p.now())
			return
		}
		t.hops++
		p.begin(t)
		return
	}
}

var errAlternates = errors.New("it sends its clients from one server to the next")

// again schedules opening a lost connection again.
func (p *peer) again(t task) {
	g := &p.gatherer
	t.alternate, t.domain, t.hops = netip.AddrPort{}, "", 0
	wait := min(retryFirst<<min(t.lost-1, 6), retryMost)
	round := g.round
	timer := time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed && round == p.gatherer.round {
			t.lost++
			p.begin(t)
		}
	})
	for i := range g.connections {
		if c := &g.connections[i]; c.lost && c.url == t.url {
			c.retry = timer
		}
	}
}

// dial opens a connection to a server, or only looks up its address for UDP.
func (p *peer) dial(ctx context.Context, t task) (dialed, error) {
	u := t.url
	address := net.JoinHostPort(u.host, fmt.Sprint(u.port))
	if t.alternate.IsValid() {
		address = t.alternate.String()
	}
	network := "udp"
	if u.transport == "tcp" {
		network = "tcp"
	}
	if u.over() == ice.OverDTLS {
		return p.dialDTLS(ctx, t)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return dialed{}, err
	}
	d := dialed{conn: conn, remote: addrPortOf(conn.RemoteAddr())}
	switch u.over() {
	case ice.OverUDP:
		conn.Close() // it was only needed for the address
		d.conn = nil
	case ice.OverTLS:
		secured := tls.Client(conn, p.tlsConfig(t))
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return dialed{}, err
		}
		d.conn = secured
	}
	return d, nil
}

// tlsConfig is the program's configuration for this server.
func (p *peer) tlsConfig(t task) *tls.Config {
	cfg := &tls.Config{}
	if p.cfg.TLSConfig != nil {
		cfg = p.cfg.TLSConfig.Clone()
	}
	switch {
	case t.domain != "":
		cfg.ServerName = t.domain // RFC 8489 §14.16
	case cfg.ServerName == "":
		cfg.ServerName = t.url.host
	}
	return cfg
}

// dialDTLS opens a DTLS connection to a server, whose certificate is verified as for
// TLS.
//
// The addresses of a name are tried in turn, each for its share of the time.
func (p *peer) dialDTLS(ctx context.Context, t task) (d dialed, err error) {
	if t.alternate.IsValid() {
		return p.dialDTLSAddress(ctx, t, t.alternate)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", t.url.host)
	if err != nil {
		return dialed{}, err
	}
	return eachInTurn(ctx, addrs, func(ctx context.Context, a netip.Addr) (dialed, error) {
		return p.dialDTLSAddress(ctx, t, netip.AddrPortFrom(a.Unmap(), t.url.port))
	})
}

// eachInTurn calls dial with one address after the other, until one works. Each has an
// equal share of the time that is left. The error is the first one.
func eachInTurn(ctx context.Context, addrs []netip.Addr, dial func(context.Context, netip.Addr) (dialed, error)) (d dialed, err error) {
	err = errNoAddress
	for i, a := range addrs {
		one, cancel := ctx, context.CancelFunc(func() {})
		if end, ok := ctx.Deadline(); ok {
			one, cancel = context.WithTimeout(ctx, time.Until(end)/time.Duration(len(addrs)-i))
		}
		d, derr := dial(one, a)
		cancel()
		if derr == nil {
			return d, nil
		}
		if i == 0 {
			err = derr
		}
	}
	return dialed{}, err
}

var errNoAddress = errors.New("the server's name has no address")

func (p *peer) dialDTLSAddress(ctx context.Context, t task, remote netip.AddrPort) (dialed, error) {
	socket, err := net.ListenUDP("udp", nil)
	if err != nil {
		return dialed{}, err
	}
	cfg := p.tlsConfig(t)
	conn, err := dtlsnet.Dial(ctx, socket, net.UDPAddrFromAddrPort(remote), dtls.Config{
		ServerName: hostName(cfg.ServerName),
		VerifyPeer: func(chain [][]byte) error { return verifyChain(cfg, chain) },
	})
	if err != nil {
		return dialed{}, err
	}
	return dialed{conn, remote}, nil
}

// hostName is the server_name of a ClientHello, as in crypto/tls: a server with
// several certificates chooses by it. IP addresses have none (RFC 6066 §3).
func hostName(name string) string {
	if _, err := netip.ParseAddr(name); err == nil {
		return ""
	}
	return strings.TrimSuffix(name, ".")
}

// verifyChain verifies a certificate chain as crypto/tls does.
func verifyChain(cfg *tls.Config, chain [][]byte) error {
	if cfg.InsecureSkipVerify {
		return nil
	}
	var certs []*x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return errors.New("rtcpeer: the server shows no certificate")
	}
	options := x509.VerifyOptions{DNSName: cfg.ServerName, Roots: cfg.RootCAs, Intermediates: x509.NewCertPool()}
	if cfg.Time != nil {
		options.CurrentTime = cfg.Time()
	}
	for _, c := range certs[1:] {
		options.Intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(options)
	return err
}

func addrPortOf(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		return unmapped(a.AddrPort())
	case *net.UDPAddr:
		return unmapped(a.AddrPort())
	}
	return netip.AddrPort{}
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// attach makes a port of a connection, and makes the agent ask the server over it.
func (p *peer) attach(now time.Time, d dialed, t task) error {
	g := &p.gatherer
	u := t.url
	// Its lost connection is of no more use.
	g.connections = slices.DeleteFunc(g.connections, func(c connection) bool { return c.lost && c.url == u })
	if len(g.connections) >= maxConnections {
		if d.conn != nil {
			d.conn.Close()
		}
		return ice.ErrTooManyServers
	}
	sock := p.freeSock()
	var q port
	if d.conn != nil {
		framing := streammux.TURN
		if u.over() == ice.OverDTLS {
			framing = streammux.Packets
		}
		q = streammux.New(d.conn, streammux.Config{Handler: p, Sock: sock, Remote: d.remote, Framing: framing})
	} else {
		any := netip.IPv4Unspecified()
		if d.remote.Addr().Is6() {
			any = netip.IPv6Unspecified()
		}
		socket, err := udpmux.Listen(udpmux.Config{Addr: netip.AddrPortFrom(any, 0), BusyPoll: p.cfg.BusyPoll, Logger: p.log})
		if err != nil {
			return err
		}
		attached, err := socket.Attach(p, sock, true)
		if err != nil {
			socket.Close()
			return err
		}
		q = privatePort{attached, socket}
	}
	if p.cfg.Filter != nil {
		q = filteredPort{q, p.cfg.Filter}
	}
	p.setPort(sock, q)
	server := ice.Server{
		URL: u.text, Addr: d.remote, TURN: true, Sock: sock, Transport: u.over(),
		Username: t.server.Username, Password: t.server.Credential,
	}
	g.connections = append(g.connections, connection{task: t, server: server, opened: now})
	p.addServer(now, server)
	return nil
}

func (p *peer) addServer(now time.Time, s ice.Server) {
	if err := p.core.agent.AddServer(now, s); err != nil {
		p.core.agent.ServerFailed(now, s.URL, err)
	}
}

// connectionLost tells the agent that the connection of a server is gone.
func (p *peer) connectionLost(now time.Time, sock ice.Sock, err error) {
	for i := range p.gatherer.connections {
		if c := &p.gatherer.connections[i]; c.server.Sock == sock && !c.lost {
			c.lost = true
			p.port(sock).Close()
			p.ports[sock] = nil
			p.core.agent.ConnectionFailed(now, sock, err)
			t := c.task
			if t.lost++; now.Sub(c.opened) > retryMost {
				t.lost = 1
			}
			p.again(t)
			return
		}
	}
}
