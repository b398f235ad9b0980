package tcpmux

import (
	"context"
	"net"
	"net/netip"

	"purertc/ice"
)

// A Dialer is the active end of one transport at one local address. It connects to the
// passive candidates that the agent checks.
type Dialer struct {
	local netip.Addr
	open  DialFunc
	links
}

// A DialFunc opens a connection. Its argument network is "tcp".
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// NewDialer returns a Dialer that opens connections from the address local. It opens
// them with dial, or with the system's dialer if dial is nil. The routes of the
// connections have the Sock sock.
func NewDialer(h Handler, sock ice.Sock, local netip.Addr, dial DialFunc) *Dialer {
	if dial == nil {
		dial = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: local.AsSlice(), Zone: local.Zone()}}).DialContext
	}
	d := &Dialer{local: local, open: dial}
	d.init(h, sock)
	return d
}

// AddUfrag does nothing: everything that arrives belongs to the transport.
func (d *Dialer) AddUfrag(string) error { return nil }

// RemoveUfrag does nothing.
func (d *Dialer) RemoveUfrag(string) {}

// Write queues the datagrams in b for r.Remote, and connects to it if necessary. Each
// datagram has segment bytes; the last one may be shorter. Write never blocks. ok is
// false when the connection is full; Handler.Writable is called later.
func (d *Dialer) Write(r ice.Route, b []byte, segment int) (ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return true
	}
	k := d.links.links[r.Remote]
	if k == nil {
		ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
		k = &link{owner: &d.links, remote: r.Remote, local: d.local, cancel: cancel}
		if len(d.links.links) >= maxConns {
			cancel()
			go d.handler.RouteClosed(ice.Route{Sock: d.sock, Local: d.local, Remote: r.Remote}, ErrLimit)
			return true
		}
		d.links.links[r.Remote] = k
		go d.dial(ctx, k)
	}
	return k.write(r, b, segment)
}

// dial opens a connection from the address of the candidate (RFC 6544 §7.1), with any
// port.
func (d *Dialer) dial(ctx context.Context, k *link) {
	conn, err := d.open(ctx, "tcp", k.remote.String())
	if err != nil {
		k.lost(err)
		return
	}
	k.start(conn, nil, idleDial)
}

// Close closes all connections. No call of the Handler begins after Close, but one may
// still be running.
func (d *Dialer) Close() { d.close() }
