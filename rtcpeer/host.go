package rtcpeer

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"purertc/ice/udpmux"
)

// HostConfig is what a Host is made from.
type HostConfig struct {
	// Addr is the UDP address to serve, such as ":3478" or "127.0.0.1:0".
	// Empty: any port of all addresses.
	Addr string
	// Logger takes what is worth knowing. Nil: silence.
	Logger *slog.Logger
}

// A Host is a UDP socket that any number of connections share: set it as
// Config.Host of each. It has one goroutine, and its peers none.
type Host struct {
	socket *udpmux.Socket
	mu     sync.Mutex
	closed bool
}

// NewHost opens a host's socket.
func NewHost(cfg HostConfig) (*Host, error) {
	addr := netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
	if cfg.Addr != "" {
		a, err := net.ResolveUDPAddr("udp", cfg.Addr)
		if err != nil {
			return nil, invalid("host address: %w", err)
		}
		addr = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
		if !addr.Addr().IsValid() {
			addr = netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(a.Port))
		}
	}
	s, err := udpmux.Listen(udpmux.Config{Addr: addr, Logger: cfg.Logger})
	if err != nil {
		return nil, fmt.Errorf("rtcpeer: host: %w", err)
	}
	return &Host{socket: s}, nil
}

// Addr is the address that the host serves.
func (h *Host) Addr() netip.AddrPort { return h.socket.LocalAddr() }

// Close closes the socket. Connections that used it find no way to their
// peers any more; close them first.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	return h.socket.Close()
}

// hostNetwork is a Host as a peer sees it.
type hostNetwork struct{ host *Host }

func (n hostNetwork) open(h udpmux.Handler, loopback bool) ([]port, []local, error) {
	p, err := n.host.socket.Attach(h, 0, false)
	if err != nil {
		return nil, nil, err
	}
	bound := n.host.socket.LocalAddr()
	addrs := []netip.Addr{bound.Addr()}
	if bound.Addr().IsUnspecified() {
		if addrs, err = interfaceAddresses(loopback); err != nil {
			p.Close()
			return nil, nil, err
		}
	}
	var locals []local
	for _, a := range addrs {
		if a.Is4() || bound.Addr().Is6() {
			locals = append(locals, local{0, netip.AddrPortFrom(a, bound.Port())})
		}
	}
	return []port{p}, locals, nil
}
