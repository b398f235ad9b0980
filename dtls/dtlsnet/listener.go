package dtlsnet

import (
	"container/list"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"purertc/dtls"
)

const (
	maxConns   = 1 << 16 // maximum number of established connections
	maxBacklog = 128     // maximum number of connections that wait for Accept

	// maxHandshakes is the maximum number of handshakes at the same time. Each needs
	// about 20 KB. If there are more, the oldest one is ended. A handshake with an
	// honest client takes only a round trip or two.
	maxHandshakes = 1024
	// maxHandshakesPerAddr is the maximum number of handshakes with one address at the
	// same time. There is more than one if an attacker repeats ClientHellos of earlier
	// connections.
	maxHandshakesPerAddr = 4
)

// A Listener accepts DTLS connections on a net.PacketConn. It keeps no state for a
// client until the client has shown that it receives the datagrams sent to its address. A
// client can begin a second connection from the same address. Its first connection is
// kept until the handshake of the second one has finished (RFC 6347 §4.2.8, RFC 9147
// §5.11), since an attacker can repeat a ClientHello.
type Listener struct {
	socket    net.PacketConn
	validator *dtls.AddressValidator
	accept    chan *Conn
	ended     chan struct{}

	mu      sync.Mutex
	conns   map[key]*Conn    // established connections, by address
	byID    map[string]*Conn // established connections that have a connection ID, by ID
	idLen   int              // length in bytes of each connection ID; 0: no IDs are used
	pending map[key][]*entry // connections with unfinished handshakes, by address; the oldest first
	queue   list.List        // all elements of pending, the oldest first
	err     error            // why the listener has ended
}

// A key is an address in a form that can be compared.
type key struct {
	udp   netip.AddrPort
	other string
}

func keyOf(addr net.Addr) key {
	if a, ok := addr.(*net.UDPAddr); ok {
		ap := a.AddrPort()
		return key{udp: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}
	}
	return key{other: addr.Network() + " " + addr.String()}
}

// bytes returns the address in the form that is used in cookies.
func (k key) bytes() []byte {
	if k.other != "" {
		return []byte(k.other)
	}
	b, _ := k.udp.MarshalBinary() // this never returns an error
	return b
}

// Listen accepts connections on socket. The socket belongs to the listener from then
// on. cfg is the configuration of each connection.
func Listen(socket net.PacketConn, cfg dtls.Config) (*Listener, error) {
	cfg.KeyLogWriter = SharedKeyLog(cfg.KeyLogWriter)
	validator, err := dtls.NewAddressValidator(cfg)
	if err != nil {
		socket.Close()
		return nil, err
	}
	l := &Listener{
		socket: socket, validator: validator, accept: make(chan *Conn, maxBacklog),
		ended: make(chan struct{}), conns: map[key]*Conn{}, byID: map[string]*Conn{}, pending: map[key][]*entry{},
	}
	go l.receive()
	return l, nil
}

// receive passes each datagram to its connection.
func (l *Listener) receive() {
	b := make([]byte, maxDatagram)
	var reply, copied []byte
	var to []*Conn
	for {
		n, addr, err := l.socket.ReadFrom(b)
		if err != nil {
			l.end(err)
			return
		}
		k := keyOf(addr)
		to = l.find(k, b[:n], to[:0])
		if random, ok := dtls.ClientRandom(b[:n]); ok && !slices.ContainsFunc(to, func(c *Conn) bool { return c.random == random }) {
			var core *dtls.Conn
			if reply, core = l.validator.HandleHello(time.Now(), k.bytes(), b[:n], reply[:0]); len(reply) > 0 {
				l.socket.WriteTo(reply, addr) // if the reply is lost, the client repeats its ClientHello
			}
			if core == nil {
				continue
			}
			if to = to[:0]; l.begin(k, addr, core, random) != nil {
				to = l.find(k, b[:n], to)
			}
		}
		for i, c := range to {
			datagram := b[:n]
			if i < len(to)-1 {
				// Each of the connections tries to decrypt the datagram in place. At
				// most one of them succeeds, so each except the last gets a copy.
				copied = append(copied[:0], datagram...)
				datagram = copied
			}
			c.handle(addr, datagram)
		}
	}
}

// find appends to "to" the connections that a datagram from k may belong to. These are
// the connection with the datagram's connection ID or, if it has no ID, the
// connections with its source address. A ClientHello belongs to the connection that it
// has begun.
func (l *Listener) find(k key, datagram []byte, to []*Conn) []*Conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idLen > 0 {
		if id, ok := dtls.PeekConnectionID(datagram, l.idLen); ok && l.byID[string(id)] != nil {
			return append(to, l.byID[string(id)])
		}
	}
	if c := l.conns[k]; c != nil {
		to = append(to, c)
	}
	for _, e := range l.pending[k] {
		to = append(to, e.c)
	}
	if random, ok := dtls.ClientRandom(datagram); ok {
		if i := slices.IndexFunc(to, func(c *Conn) bool { return c.random == random }); i >= 0 {
			return append(to[:0], to[i])
		}
	}
	return to
}

var (
	// errReplaced ends a connection after its client has established another one from
	// the same address.
	errReplaced = errors.New("dtlsnet: the client has made another connection")
	// errSuperseded ends the oldest handshake if there are too many.
	errSuperseded = errors.New("dtlsnet: too many handshakes")
)

// An entry represents a connection in the lists of its listener. The listener's mu
// protects its fields.
type entry struct {
	l      *Listener
	c      *Conn
	at     key
	id     string        // the connection ID; empty: none
	queued *list.Element // element of l.queue; nil: the handshake has finished
	gone   bool          // the connection has ended
}

// begin adds the connection of a client with a validated address. It returns nil if
// the listener has ended.
func (l *Listener) begin(k key, addr net.Addr, core *dtls.Conn, random [32]byte) *Conn {
	e := &entry{l: l, at: k}
	e.c = newConn(l.socket, addr, core, e.remove)
	e.c.random, e.c.migrate, e.c.finished = random, e.migrate, e.finish
	l.mu.Lock()
	err := l.err
	var oldest *entry
	if err == nil {
		oldest = l.makeRoom(k)
		e.queued = l.queue.PushBack(e)
		l.pending[k] = append(l.pending[k], e)
	}
	l.mu.Unlock()
	if err != nil { // the listener was closed in the meantime
		e.c.fail(err)
		return nil
	}
	if oldest != nil {
		oldest.c.fail(errSuperseded)
	}
	return e.c
}

// makeRoom removes the oldest handshake with the address k from the lists if there are
// too many with this address, or the oldest of all handshakes if there are too many
// altogether. l.mu is held.
func (l *Listener) makeRoom(k key) (oldest *entry) {
	switch {
	case len(l.pending[k]) >= maxHandshakesPerAddr:
		oldest = l.pending[k][0]
	case l.queue.Len() >= maxHandshakes:
		oldest = l.queue.Front().Value.(*entry)
	default:
		return nil
	}
	oldest.unlist()
	return oldest
}

// unlist removes e from the lists of unfinished handshakes. l.mu is held.
func (e *entry) unlist() {
	if e.queued == nil {
		return
	}
	e.l.queue.Remove(e.queued)
	e.queued = nil
	rest := slices.DeleteFunc(e.l.pending[e.at], func(o *entry) bool { return o == e })
	if e.l.pending[e.at] = rest; len(rest) == 0 {
		delete(e.l.pending, e.at)
	}
}

// remove removes a connection that has ended from the listener.
func (e *entry) remove() {
	e.l.mu.Lock()
	defer e.l.mu.Unlock()
	e.gone = true
	e.unlist()
	if e.l.conns[e.at] == e.c {
		delete(e.l.conns, e.at)
	}
	if e.l.byID[e.id] == e.c {
		delete(e.l.byID, e.id)
	}
}

// finish is called when the handshake has finished. From now on, datagrams from the
// connection's address belong to this connection, and Accept returns it. e.c.mu is
// held.
func (e *entry) finish() {
	l := e.l
	l.mu.Lock()
	defer l.mu.Unlock()
	e.unlist()
	if e.gone || l.err != nil {
		return
	}
	other := l.conns[e.at]
	if other == nil && len(l.conns) >= maxConns {
		go e.c.Close()
		return
	}
	select {
	case l.accept <- e.c:
	default:
		go e.c.Close() // too many connections wait for Accept
		return
	}
	if other != nil {
		go other.fail(errReplaced)
	}
	l.conns[e.at] = e.c
	if id := string(e.c.core.ConnectionState().ConnectionID); id != "" {
		if e.id = id; l.idLen == 0 {
			l.idLen = len(id)
		}
		if len(id) == l.idLen && l.byID[id] == nil {
			l.byID[id] = e.c
		}
	}
}

// migrate changes the address of a connection. If validated is false and another
// connection has the new address, migrate refuses and returns false. e.c.mu is held.
func (e *entry) migrate(to key, validated bool) bool {
	l := e.l
	l.mu.Lock()
	defer l.mu.Unlock()
	other := l.conns[to]
	if e.gone || e.queued != nil || other != nil && !validated {
		return false // an ended connection must not be added again
	}
	if l.conns[e.at] == e.c {
		delete(l.conns, e.at)
	}
	if other != nil {
		go other.fail(errAddressTaken)
	}
	e.at, l.conns[to] = to, e.c
	return true
}

// errAddressTaken ends a connection when another client has validated that it has the
// connection's address.
var errAddressTaken = errors.New("dtlsnet: another client has the address")

// Accept waits for the next established connection and returns it.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.ended:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.err
	}
}

// Addr returns the address of the socket.
func (l *Listener) Addr() net.Addr { return l.socket.LocalAddr() }

// Close closes the listener, its socket and all its connections.
func (l *Listener) Close() error {
	l.mu.Lock()
	conns := l.all()
	l.mu.Unlock()
	for _, c := range conns {
		c.Close()
	}
	l.end(net.ErrClosed)
	return l.socket.Close()
}

// end ends the listener and its connections. From then on, Accept returns err.
func (l *Listener) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err = err
	close(l.ended)
	for _, c := range l.all() {
		go c.fail(err)
	}
}

// all returns all connections of the listener. l.mu is held.
func (l *Listener) all() (conns []*Conn) {
	conns = slices.Collect(maps.Values(l.conns))
	for at := l.queue.Front(); at != nil; at = at.Next() {
		conns = append(conns, at.Value.(*entry).c)
	}
	return conns
}
