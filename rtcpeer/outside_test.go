package rtcpeer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/proxy"

	"purertc/ice"
)

// A socksProxy is a SOCKS5 proxy (RFC 1928) with the command CONNECT, which connects
// every name and address to one target.
type socksProxy struct {
	listener net.Listener
	target   string // address to connect to

	mu    sync.Mutex
	asked []string // what clients asked for
}

func startSocksProxy(t *testing.T, target string) *socksProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &socksProxy{listener: l, target: target}
	var running sync.WaitGroup
	t.Cleanup(func() { l.Close(); running.Wait() })
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				p.serve(conn) // an error ends only this connection
			})
		}
	})
	return p
}

func (p *socksProxy) serve(conn net.Conn) error {
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil || head[0] != 5 {
		return fmt.Errorf("version %d: %w", head[0], err)
	}
	if _, err := io.ReadFull(conn, make([]byte, head[1])); err != nil { // methods
		return err
	}
	conn.Write([]byte{5, 0}) // no authentication
	request := make([]byte, 4)
	if _, err := io.ReadFull(conn, request); err != nil {
		return err
	}
	size := 4 // IPv4
	switch request[3] {
	case 3: // a name
		n := make([]byte, 1)
		if _, err := io.ReadFull(conn, n); err != nil {
			return err
		}
		size = int(n[0])
	case 4:
		size = 16
	}
	rest := make([]byte, size+2)
	if _, err := io.ReadFull(conn, rest); err != nil {
		return err
	}
	host := string(rest[:size])
	if a, ok := netip.AddrFromSlice(rest[:size]); ok && request[3] != 3 {
		host = a.String()
	}
	p.mu.Lock()
	p.asked = append(p.asked, net.JoinHostPort(host, fmt.Sprint(binary.BigEndian.Uint16(rest[size:]))))
	p.mu.Unlock()
	out, err := net.Dial("tcp", p.target)
	if err != nil {
		return err
	}
	defer out.Close()
	conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	go func() {
		io.Copy(out, conn)
		out.Close()
	}()
	_, err = io.Copy(conn, out)
	return err
}

// TestSOCKSProxy connects through a TURN server that is reached only through a SOCKS5
// proxy, which also looks up its name.
func TestSOCKSProxy(t *testing.T) {
	c := startCoturn(t, false)
	for transport, port := range map[string]int{"tcp": c.port, "tls": c.tlsPort} {
		t.Run(transport, func(t *testing.T) {
			p := startSocksProxy(t, fmt.Sprint("127.0.0.1:", port))
			dialer, err := proxy.SOCKS5("tcp", p.listener.Addr().String(), nil, proxy.Direct)
			if err != nil {
				t.Fatal(err)
			}
			cfg := c.config(transport, "p")
			cfg.ICEServers[0].URLs = []string{strings.Replace(c.urls()[transport], "127.0.0.1", "turn.test", 1)}
			cfg.TLSConfig.ServerName = "127.0.0.1"
			cfg.DisableUDP, cfg.LocalAddresses = true, []netip.Addr{}
			cfg.DialContext = dialer.(proxy.ContextDialer).DialContext
			cfg.ListenPacket = func(_ context.Context, network, address string) (net.PacketConn, error) {
				t.Errorf("a UDP socket for %s %s", network, address)
				return nil, errors.New("test: no UDP")
			}
			_, _, x, y := realPairOf(t, cfg, c.config("udp", "p"))
			transfer(t, x, y)
			transfer(t, y, x)
			p.mu.Lock()
			defer p.mu.Unlock()
			if want := fmt.Sprint("turn.test:", port); !slices.Contains(p.asked, want) {
				t.Errorf("the proxy was asked for %q, not %s", p.asked, want)
			}
		})
	}
}

// TestConnectionInMemory has everything of two connections go through functions of the
// program: sockets, the name of a STUN server, and nothing else.
func TestConnectionInMemory(t *testing.T) {
	network := newPacketSwitch()
	var port, closed atomic.Int32
	config := func(addr string) Config {
		return Config{
			LocalAddresses: []netip.Addr{netip.MustParseAddr(addr)},
			ICEServers:     []ICEServer{{URLs: []string{"stun:stun.test"}}},
			ListenPacket: func(_ context.Context, n, address string) (net.PacketConn, error) {
				if want := addr + ":0"; n != "udp4" || address != want {
					t.Errorf("ListenPacket %s %s, not udp4 %s", n, address, want)
				}
				c := network.listen(fmt.Sprintf("%s:%d", addr, port.Add(1)))
				return countingConn{c, &closed}, nil
			},
			Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
				if host != "stun.test" {
					t.Errorf("Resolve %s", host)
				}
				return []netip.Addr{netip.MustParseAddr("10.0.0.99")}, nil
			},
			DialContext: func(_ context.Context, n, address string) (net.Conn, error) {
				t.Errorf("DialContext %s %s", n, address)
				return nil, errors.New("test: no TCP")
			},
		}
	}
	a, b, x, y := realPairOf(t, config("10.0.0.1"), config("10.0.0.2"))
	transfer(t, x, y)
	transfer(t, y, x)
	if n := a.Stats().SCTPTransport.MTU; n > defaultDatagramSize {
		t.Errorf("SCTP sends packets of %d bytes through a PacketConn that may fragment them", n)
	}
	server := a.Report().ICE.Servers
	if len(server) == 0 || server[0].Addr.Addr() != netip.MustParseAddr("10.0.0.99") {
		t.Errorf("the servers are %+v", server)
	}
	a.Close()
	b.Close()
	waitReal(t, 5e9, "both sockets are closed", func() bool { return closed.Load() == 2 })
}

// A countingConn counts calls of Close.
type countingConn struct {
	*switchConn
	closed *atomic.Int32
}

func (c countingConn) Close() error {
	c.closed.Add(1)
	return c.switchConn.Close()
}

// TestDialContextOfCandidates has an active TCP candidate connect by DialContext.
func TestDialContextOfCandidates(t *testing.T) {
	h, err := NewHost(HostConfig{Addr: "127.0.0.1:0", TCPAddr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	var mu sync.Mutex
	var asked []string
	cfg := Config{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		mu.Lock()
		asked = append(asked, network+" "+address)
		mu.Unlock()
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	a, _, x, y := realPairWithout(t, cfg, Config{Host: h}, withoutUDP)
	transfer(t, x, y)
	if p := selectedPair(t, a); p.Local.TCPType != ice.TCPActive {
		t.Errorf("the pair is %v %v", p.Local, p.Remote)
	}
	mu.Lock()
	defer mu.Unlock()
	if want := "tcp " + h.TCPAddr().String(); !slices.Contains(asked, want) {
		t.Errorf("DialContext was called with %q, not with %q", asked, want)
	}
}

// TestResolve has the name of a TURN server looked up by Resolve, for every transport.
// Addresses that do not answer are passed over where the transport shows it.
func TestResolve(t *testing.T) {
	c := startCoturn(t, false)
	for _, transport := range []string{"udp", "tcp", "tls", "dtls"} {
		t.Run(transport, func(t *testing.T) {
			var calls atomic.Int32
			cfg := c.config(transport, "p")
			cfg.ICEServers[0].URLs = []string{strings.Replace(c.urls()[transport], "127.0.0.1", "turn.test", 1)}
			cfg.TLSConfig.ServerName = "127.0.0.1"
			cfg.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
				if host != "turn.test" {
					t.Errorf("Resolve %s", host)
				}
				calls.Add(1)
				addrs := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
				if transport == "tcp" || transport == "tls" {
					addrs = append([]netip.Addr{netip.MustParseAddr("127.0.0.2")}, addrs...) // it refuses the connection
				}
				return addrs, nil
			}
			_, _, x, y := realPairOf(t, cfg, c.config(transport, "p"))
			transfer(t, x, y)
			if calls.Load() == 0 {
				t.Error("Resolve was not called")
			}
		})
	}
}

// TestOutsideErrors has the functions of the program fail, or return nothing.
func TestOutsideErrors(t *testing.T) {
	nothing := Config{
		LocalAddresses: []netip.Addr{netip.MustParseAddr("127.0.0.1")},
		ListenPacket:   func(context.Context, string, string) (net.PacketConn, error) { return nil, nil },
		DialContext:    func(context.Context, string, string) (net.Conn, error) { return nil, nil },
		Resolve:        func(context.Context, string) ([]netip.Addr, error) { return nil, nil },
	}
	ctx := t.Context()
	if _, err := nothing.listenUDP(netip.MustParseAddrPort("127.0.0.1:0"), noLog); err == nil {
		t.Error("ListenPacket without a PacketConn is no error")
	}
	if _, err := nothing.dialContext(ctx, "127.0.0.1:1"); err == nil {
		t.Error("DialContext without a connection is no error")
	}
	if _, err := nothing.dialTCP(ctx, "turn.test", 1); !errors.Is(err, errNoAddress) {
		t.Errorf("dialTCP to a name without address: %v", err)
	}
	if _, err := nothing.lookUpUDP(ctx, "turn.test", 1); !errors.Is(err, errNoAddress) {
		t.Errorf("lookUpUDP of a name without address: %v", err)
	}
	if _, err := dialDTLS(ctx, &nothing, serverTask{}, "turn.test", 1); !errors.Is(err, errNoAddress) {
		t.Errorf("dialDTLS to a name without address: %v", err)
	}
	odd := Config{ListenPacket: func(context.Context, string, string) (net.PacketConn, error) {
		return unixAddr{newPacketSwitch().listen("10.0.0.1:1")}, nil
	}}
	if _, err := odd.listenUDP(netip.MustParseAddrPort("127.0.0.1:0"), noLog); err == nil {
		t.Error("a PacketConn without an address is no error")
	}
	nothing.MDNSCandidates = true
	if err := New().Initialize(nothing); !errors.Is(err, ErrInvalidParameter) {
		t.Errorf("MDNSCandidates with sockets of the program: %v", err)
	}
}

// TestNothingBypassesConfig parses the package. What opens sockets or looks up names is
// called in a few files only: those that ask Config first, and those of a Host and of
// the list of the machine's addresses, which are not a connection's.
func TestNothingBypassesConfig(t *testing.T) {
	allowed := []string{"outside.go", "host.go", "hosttcp.go", "interfaces.go", "interfaces_linux.go", "interfaces_bsd.go", "interfaces_other.go"}
	opens := []string{
		"Dial", "DialTimeout", "DialTCP", "DialUDP", "Dialer", "Listen", "ListenConfig", "ListenPacket", "ListenTCP", "ListenUDP",
		"DefaultResolver", "Resolver", "LookupHost", "LookupIP", "LookupAddr", "ResolveUDPAddr", "ResolveTCPAddr", "ResolveIPAddr", "Interfaces",
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || slices.Contains(allowed, name) {
			continue
		}
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, name, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		checked++
		ast.Inspect(f, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			x, ok := s.X.(*ast.Ident)
			if ok && (x.Name == "net" && slices.Contains(opens, s.Sel.Name) || x.Name == "udpmux" && s.Sel.Name == "Listen") {
				t.Errorf("%v: %s.%s: use a method of Config in outside.go", set.Position(n.Pos()), x.Name, s.Sel.Name)
			}
			return true
		})
	}
	if checked < 40 {
		t.Errorf("only %d files were checked", checked)
	}
}
