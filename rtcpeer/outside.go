package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"purertc/rtcpeer/internal/udpmux"
)

// All sockets of a connection, its look-ups of names and its TCP connections are opened
// here, by the functions of its Config, or else by the system's. Only the sockets of
// multicast DNS are not: a connection with such functions has none.

// custom reports whether the program opens some of the connection's sockets, or looks
// up its names.
func (cfg *Config) custom() bool {
	return cfg.ListenPacket != nil || cfg.Resolve != nil || cfg.DialContext != nil
}

// listenUDP opens a UDP socket with its reader at a local address. The lock of the
// connection is held.
func (cfg *Config) listenUDP(addr netip.AddrPort, log *slog.Logger) (*udpmux.Socket, error) {
	c := udpmux.Config{Addr: addr, BusyPoll: cfg.BusyPoll, DSCP: cfg.DSCP, Logger: log}
	if cfg.ListenPacket == nil {
		return udpmux.Listen(c)
	}
	conn, err := cfg.listenPacket(context.Background(), addr)
	if err != nil {
		return nil, err
	}
	s, err := udpmux.Adopt(conn, c)
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("rtcpeer: ListenPacket: %w", err)
	}
	cfg.foreign = cfg.foreign || s.Foreign()
	return s, nil
}

// listenPacket opens a PacketConn at a local address. The zero Addr stands for all.
func (cfg *Config) listenPacket(ctx context.Context, addr netip.AddrPort) (net.PacketConn, error) {
	network, text := "udp", addr.String()
	switch ip := addr.Addr(); {
	case !ip.IsValid():
		text = fmt.Sprintf(":%d", addr.Port())
	case ip.Is4():
		network = "udp4"
	default:
		network = "udp6"
	}
	listen := cfg.ListenPacket
	if listen == nil {
		listen = new(net.ListenConfig).ListenPacket
	}
	conn, err := listen(ctx, network, text)
	if err == nil && conn == nil {
		err = errors.New("rtcpeer: ListenPacket returned neither a PacketConn nor an error")
	}
	return conn, err
}

// resolve looks up the addresses of a host's name, which may be an address itself.
func (cfg *Config) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	if cfg.Resolve != nil {
		return cfg.Resolve(ctx, host)
	}
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

// dialTCP connects to a server by TCP. With Resolve, the addresses of its name are tried
// in turn. Without, DialContext gets the name.
func (cfg *Config) dialTCP(ctx context.Context, host string, port uint16) (net.Conn, error) {
	if cfg.Resolve == nil {
		return cfg.dialContext(ctx, net.JoinHostPort(host, fmt.Sprint(port)))
	}
	addrs, err := cfg.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	d, err := eachInTurn(ctx, addrs, func(ctx context.Context, a netip.Addr) (dialed, error) {
		conn, err := cfg.dialContext(ctx, netip.AddrPortFrom(a.Unmap(), port).String())
		return dialed{conn: conn}, err
	})
	return d.conn, err
}

func (cfg *Config) dialContext(ctx context.Context, address string) (net.Conn, error) {
	if cfg.DialContext == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	conn, err := cfg.DialContext(ctx, "tcp", address)
	if err == nil && conn == nil {
		err = errors.New("rtcpeer: DialContext returned neither a connection nor an error")
	}
	return conn, err
}

// lookUpUDP returns the address of a server over UDP: of several addresses, one to which
// the system has a route.
func (cfg *Config) lookUpUDP(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	if !cfg.custom() {
		conn, err := new(net.Dialer).DialContext(ctx, "udp", net.JoinHostPort(host, fmt.Sprint(port)))
		if err != nil {
			return netip.AddrPort{}, err
		}
		defer conn.Close() // it was only needed for the address
		return addrPortOf(conn.RemoteAddr()), nil
	}
	addrs, err := cfg.resolve(ctx, host)
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case len(addrs) == 0:
		return netip.AddrPort{}, errNoAddress
	}
	return netip.AddrPortFrom(addrs[0].Unmap(), port), nil
}
