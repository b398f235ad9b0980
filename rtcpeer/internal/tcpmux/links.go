package tcpmux

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
)

// links are the connections of one transport on one socket, by remote address.
type links struct {
	handler Handler
	sock    ice.Sock

	mu      sync.Mutex
	links   map[netip.AddrPort]*link
	adopted uint64 // how many connections were taken over from a Listener so far
	closed  bool
}

// A link is one connection, which is open or being opened.
type link struct {
	owner   *links
	remote  netip.AddrPort
	local   netip.Addr
	conn    net.Conn        // nil until the connection is open
	mux     *streammux.Conn // nil until the connection is open
	waiting []waiting       // datagrams written until the connection is open
	size    int             // bytes in waiting
	cancel  func()          // cancels the opening of the connection
	proven  bool            // the agent has authenticated the remote
	number  uint64          // value of links.adopted when the connection was taken over; 0: this end opened it
	settle  func()          // removes the connection from Listener.halfOpen; may be nil
}

type waiting struct {
	b       []byte
	segment int
}

func (l *links) init(h Handler, sock ice.Sock) {
	l.handler, l.sock, l.links = h, sock, map[netip.AddrPort]*link{}
}

// start takes over an open connection. first is what was already read from it, or nil.
// l.mu must not be held.
func (k *link) start(conn net.Conn, first []byte, within time.Duration) bool {
	l := k.owner
	r := ice.Route{Sock: l.sock, Local: k.local, Remote: k.remote}
	l.mu.Lock()
	if l.links[k.remote] != k {
		l.mu.Unlock()
		conn.Close()
		return false
	}
	k.conn = conn
	if !k.proven {
		conn.SetReadDeadline(time.Now().Add(within))
	}
	l.mu.Unlock()
	if len(first) > 0 {
		// Until HandleDatagrams has returned, nothing is read from the connection, and
		// the agent's answer is queued.
		l.handler.HandleDatagrams(time.Now(), r, first, len(first))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.links[k.remote] != k {
		conn.Close()
		return false
	}
	k.mux = streammux.New(conn, streammux.Config{
		Handler: k, Sock: l.sock, Local: k.local, Remote: k.remote, Framing: streammux.Length,
	})
	for _, w := range k.waiting {
		k.mux.Write(r, w.b, w.segment)
	}
	k.waiting, k.size = nil, 0
	return true
}

// write queues datagrams. l.mu must be held.
func (k *link) write(r ice.Route, b []byte, segment int) bool {
	if k.mux != nil {
		return k.mux.Write(r, b, segment)
	}
	if k.size+len(b) <= maxWaiting {
		k.waiting = append(k.waiting, waiting{append([]byte(nil), b...), segment})
		k.size += len(b)
	}
	return true // datagrams beyond the limit are lost, as in a network
}

// HandleDatagrams, Writable and SocketClosed implement streammux.Handler.
func (k *link) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	k.owner.handler.HandleDatagrams(now, r, b, segment)
}

// Writable says that the connection has room again.
func (k *link) Writable(sock ice.Sock) { k.owner.handler.Writable(sock) }

// SocketClosed reports that this connection was closed. Other connections are not
// affected.
func (k *link) SocketClosed(sock ice.Sock, err error) { k.lost(err) }

// lost removes the connection and reports to the transport that it is closed.
func (k *link) lost(err error) {
	l := k.owner
	l.mu.Lock()
	known := l.links[k.remote] == k
	if known {
		l.forget(k)
	}
	l.mu.Unlock()
	if known {
		l.handler.RouteClosed(ice.Route{Sock: l.sock, Local: k.local, Remote: k.remote}, err)
	}
}

// forget removes a connection. l.mu must be held.
func (l *links) forget(k *link) {
	delete(l.links, k.remote)
	if k.settle != nil {
		k.settle()
		k.settle = nil
	}
	if k.cancel != nil {
		k.cancel()
	}
	switch {
	case k.mux != nil:
		k.mux.Close()
	case k.conn != nil:
		k.conn.Close()
	}
}

// Bind says that the remote agent has authenticated itself on a connection. The
// connection is kept from now on.
func (l *links) Bind(remote netip.AddrPort) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.links[remote]
	if k == nil {
		return ErrNoConn
	}
	if !k.proven {
		k.proven = true
		if k.conn != nil {
			k.conn.SetReadDeadline(time.Time{})
		}
		if k.settle != nil {
			k.settle()
			k.settle = nil
		}
	}
	return nil
}

// Unbind closes a connection.
func (l *links) Unbind(remote netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k := l.links[remote]; k != nil {
		l.forget(k)
	}
}

// close closes all connections.
func (l *links) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for _, k := range l.links {
		l.forget(k)
	}
}

// unproven counts the connections on which the remote agent has not authenticated
// itself, and returns the connection among them that was adopted first. l.mu must be
// held.
func (l *links) unproven() (n int, oldest *link) {
	for _, k := range l.links {
		if k.proven {
			continue
		}
		if n++; oldest == nil || k.number < oldest.number {
			oldest = k
		}
	}
	return n, oldest
}
