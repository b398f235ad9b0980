package rtcpeer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"purertc/dtls"
	"purertc/dtls/dtlsnet"
	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
)

// dialTimeout bounds the set-up of a connection to a server, handshake included.
const dialTimeout = 10 * time.Second

// maxConnections bounds the connections of one transport to servers.
const maxConnections = 16

// errUDPDisabled is the error of servers that are reached over UDP.
var errUDPDisabled = errors.New("Config.DisableUDP excludes servers over UDP: use turns: or turn: with ?transport=tcp")

// errNoSTUN says why a stuns: URL is of no use to data channels.
var errNoSTUN = errors.New("STUN over TLS tells no address that UDP could use")

// A connection is what a TURN server is reached through: a TCP or TLS connection, or a
// UDP socket that was opened for the server because the transport has no UDP socket.
type connection struct {
	serverTask
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
func (g *gatherer) needsConnection(u serverURL) bool {
	return u.turn && (u.over() != ice.OverUDP || g.cfg.Host != nil)
}

// reuseConnection asks a server again over its open connection.
func (g *gatherer) reuseConnection(now time.Time, u serverURL, s ICEServer) bool {
	for i := range g.connections {
		c := &g.connections[i]
		if !c.lost && c.url == u && c.server.Username == s.Username && c.server.Password == s.Credential {
			g.addServer(now, c.server)
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
func (g *gatherer) connect(ctx context.Context, round int, task serverTask) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	d, err := dialServer(ctx, g.cfg, task)
	if errors.Is(err, context.DeadlineExceeded) {
		err = ice.ErrServerTimeout
	}
	current := false
	g.owner.locked(func(now time.Time) {
		if current = round == g.round; !current {
			return
		}
		if err == nil {
			err = g.attach(now, d, task)
		}
		if err != nil {
			g.agent.ServerFailed(now, task.url.text, err)
			if task.lost > 0 {
				g.retryConnection(task)
			}
		}
		g.endTask(now, task)
	})
	if !current && d.conn != nil {
		d.conn.Close()
	}
}

// redirected handles a server's referral to another one.
func (g *gatherer) redirected(now time.Time, e ice.Event) {
	for i := range g.connections {
		c := &g.connections[i]
		if c.lost || c.server.Sock != e.Sock {
			continue
		}
		c.lost = true
		g.sockets.close(e.Sock)
		task := c.serverTask
		if task.alternate, task.domain = e.Addr, e.Domain; task.hops >= maxAlternates {
			g.agent.ServerFailed(now, task.url.text, errAlternates)
			g.agent.EndOfLocal(now)
			return
		}
		task.hops++
		g.beginTask(task)
		return
	}
}

var errAlternates = errors.New("it sends its clients from one server to the next")

// retryConnection schedules opening a lost connection again.
func (g *gatherer) retryConnection(task serverTask) {
	task.alternate, task.domain, task.hops = netip.AddrPort{}, "", 0
	wait := min(retryFirst<<min(task.lost-1, 6), retryMost)
	round := g.round
	timer := time.AfterFunc(wait, func() {
		g.owner.locked(func(time.Time) {
			if round == g.round {
				task.lost++
				g.beginTask(task)
			}
		})
	})
	for i := range g.connections {
		if c := &g.connections[i]; c.lost && c.url == task.url {
			c.retry = timer
		}
	}
}

// dialServer opens a connection to a server, or only looks up its address for UDP.
func dialServer(ctx context.Context, cfg *Config, task serverTask) (dialed, error) {
	u := task.url
	host, port := u.host, u.port
	if task.alternate.IsValid() {
		host, port = task.alternate.Addr().String(), task.alternate.Port()
	}
	switch u.over() {
	case ice.OverDTLS:
		return dialDTLS(ctx, cfg, task, host, port)
	case ice.OverUDP:
		remote, err := cfg.lookUpUDP(ctx, host, port)
		return dialed{remote: remote}, err
	}
	conn, err := cfg.dialTCP(ctx, host, port)
	if err != nil {
		return dialed{}, err
	}
	d := dialed{conn: conn, remote: addrPortOf(conn.RemoteAddr())}
	if !d.remote.IsValid() {
		d.remote = netip.AddrPortFrom(behindProxy, port)
	}
	if u.over() == ice.OverTLS {
		secured := tls.Client(conn, task.tlsConfig(cfg.TLSConfig))
		if err := secured.HandshakeContext(ctx); err != nil {
			conn.Close()
			return dialed{}, err
		}
		d.conn = secured
	}
	return d, nil
}

// behindProxy stands for the address of a server to which Config.DialContext has
// connected without telling it: the dummy address of RFC 7600 §4.8.
var behindProxy = netip.AddrFrom4([4]byte{192, 0, 0, 8})

// tlsConfig returns the program's configuration with this server's name in it.
func (task serverTask) tlsConfig(base *tls.Config) *tls.Config {
	cfg := &tls.Config{}
	if base != nil {
		cfg = base.Clone()
	}
	switch {
	case task.domain != "":
		cfg.ServerName = task.domain // of a redirect's ALTERNATE-DOMAIN, RFC 8489 §14.16
	case cfg.ServerName == "":
		cfg.ServerName = task.url.host
	}
	return cfg
}

// dialDTLS opens a DTLS connection to a server, whose certificate is verified as for
// TLS.
//
// The addresses of a name are tried in turn, each for its share of the time.
func dialDTLS(ctx context.Context, cfg *Config, task serverTask, host string, port uint16) (d dialed, err error) {
	addrs, err := cfg.resolve(ctx, host)
	if err != nil {
		return dialed{}, err
	}
	return eachInTurn(ctx, addrs, func(ctx context.Context, a netip.Addr) (dialed, error) {
		return dialDTLSAddress(ctx, cfg, task, netip.AddrPortFrom(a.Unmap(), port))
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

func dialDTLSAddress(ctx context.Context, config *Config, task serverTask, remote netip.AddrPort) (dialed, error) {
	socket, err := config.listenPacket(ctx, netip.AddrPort{})
	if err != nil {
		return dialed{}, err
	}
	cfg := task.tlsConfig(config.TLSConfig)
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

// attach wraps a dialed connection as a port, and tells the agent to ask the server
// over it.
func (g *gatherer) attach(now time.Time, d dialed, task serverTask) error {
	u := task.url
	// Remove the server's old connection, which was lost.
	g.connections = slices.DeleteFunc(g.connections, func(c connection) bool { return c.lost && c.url == u })
	if len(g.connections) >= maxConnections {
		if d.conn != nil {
			d.conn.Close()
		}
		return ice.ErrTooManyServers
	}
	sock := g.sockets.free()
	var q port
	if d.conn != nil {
		framing := streammux.TURN
		if u.over() == ice.OverDTLS {
			framing = streammux.Packets
		}
		q = streammux.New(d.conn, streammux.Config{Handler: g.owner, Sock: sock, Remote: d.remote, Framing: framing})
	} else {
		any := netip.IPv4Unspecified()
		if d.remote.Addr().Is6() {
			any = netip.IPv6Unspecified()
		}
		socket, err := g.cfg.listenUDP(netip.AddrPortFrom(any, 0), g.log)
		if err != nil {
			return err
		}
		attached, err := socket.Attach(g.owner, sock, true)
		if err != nil {
			socket.Close()
			return err
		}
		q = privatePort{attached, socket}
	}
	if g.cfg.Filter != nil {
		q = filteredPort{q, g.cfg.Filter}
	}
	g.sockets.set(sock, q)
	server := ice.Server{
		URL: u.text, Addr: d.remote, TURN: true, Sock: sock, Transport: u.over(),
		Username: task.server.Username, Password: task.server.Credential,
	}
	g.connections = append(g.connections, connection{serverTask: task, server: server, opened: now})
	g.addServer(now, server)
	return nil
}

func (g *gatherer) addServer(now time.Time, s ice.Server) {
	if err := g.agent.AddServer(now, s); err != nil {
		g.agent.ServerFailed(now, s.URL, err)
	}
}

// connectionLost tells the agent that the connection of a server is gone.
func (g *gatherer) connectionLost(now time.Time, sock ice.Sock, err error) {
	for i := range g.connections {
		if c := &g.connections[i]; c.server.Sock == sock && !c.lost {
			c.lost = true
			g.sockets.close(sock)
			g.agent.ConnectionFailed(now, sock, err)
			task := c.serverTask
			if task.lost++; now.Sub(c.opened) > retryMost {
				task.lost = 1
			}
			g.retryConnection(task)
			return
		}
	}
}
