package tcpmux

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/streammux"
)

// links are the connections of one peer on one socket, by the far address.
type links struct {
	handler Handler
	sock    ice.Sock

	mu      sync.Mutex
	links   map[netip.AddrPort]*link
	adopted uint64 // connections that were taken over from a Listener
	closed  bool
}

// A link is one connection, or one that is being made.
type link struct {
	owner   *links
	remote  netip.AddrPort
	local   netip.Addr
	conn    net.Conn        // nil while it is being made
	mux     *streammux.Conn // the same
	waiting []waiting       // until then
	size    int             // bytes in waiting
	cancel  func()          // ends the making of the connection
	proven  bool            // the agent has found it to work
	number  uint64          // in the order of links.adopted; 0: this end made it
	settle  func()          // it does not count as half-open any more; may be nil
}

type waiting struct {
	b       []byte
	segment int
}

func (l *links) init(h Handler, sock ice.Sock) {
	l.handler, l.sock, l.links = h, sock, map[netip.AddrPort]*link{}
}

// start takes up a connection; first, if any, was read from it already. l.mu
// is not held.
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
		// Nothing is read before this, and the agent's answer is kept.
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

// write queues datagrams. l.mu is held.
func (k *link) write(r ice.Route, b []byte, segment int) bool {
	if k.mux != nil {
		return k.mux.Write(r, b, segment)
	}
	if k.size+len(b) <= maxWaiting {
		k.waiting = append(k.waiting, waiting{append([]byte(nil), b...), segment})
		k.size += len(b)
	}
	return true // beyond that it is lost, as in a network
}

// HandleDatagrams is of streammux.Handler, as are the two below.
func (k *link) HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	k.owner.handler.HandleDatagrams(now, r, b, segment)
}

// Writable passes on that there is room.
func (k *link) Writable(sock ice.Sock) { k.owner.handler.Writable(sock) }

// SocketClosed tells of the end of this connection only.
func (k *link) SocketClosed(sock ice.Sock, err error) { k.lost(err) }

// lost forgets the connection and tells the peer.
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

// forget lets go of a connection. l.mu is held.
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

// Bind notes that the far end has proven itself on a connection: it is kept
// from here on.
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

// unproven counts the connections that the remote peer has not proven itself on, and
// returns the one that was adopted first. l.mu is held.
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
