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
	maxConns   = 1 << 16 // clients at a time whose handshake is finished
	maxBacklog = 128     // connections that wait for Accept

	// maxHandshakes bounds the clients whose handshake is not finished. Each
	// takes about 20 KB until it is. One more has the oldest give way: one that
	// goes on has most often been there for a round trip or two.
	maxHandshakes = 1024
	// maxHandshakesPerAddr bounds those from one address. There is more than one
	// where somebody replays hellos of earlier connections.
	maxHandshakesPerAddr = 4
)

// A Listener accepts DTLS connections on a net.PacketConn. It keeps nothing
// about clients that have not shown that they receive what is sent to their
// address. A client may begin anew: the connection that it has stays until the
// handshake of the next one is finished (RFC 6347 §4.2.8, RFC 9147 §5.11), since
// anybody can repeat a hello.
type Listener struct {
	socket net.PacketConn
	gate   *dtls.AddressValidator
	accept chan *Conn
	ended  chan struct{}

	mu      sync.Mutex
	conns   map[key]*Conn    // whose handshake is finished
	byID    map[string]*Conn // those that agreed on a connection ID
	idLen   int              // of each ID; 0: there are none
	pending map[key][]*entry // in a handshake, the oldest first
	queue   list.List        // of all in pending, the oldest first
	err     error
}

// A key is an address that can be compared.
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

// bytes is the form of the address that cookies are bound to.
func (k key) bytes() []byte {
	if k.other != "" {
		return []byte(k.other)
	}
	b, _ := k.udp.MarshalBinary() // never fails
	return b
}

// Listen accepts connections on socket, which it owns from then on.
func Listen(socket net.PacketConn, cfg dtls.Config) (*Listener, error) {
	cfg.KeyLogWriter = SharedKeyLog(cfg.KeyLogWriter)
	gate, err := dtls.NewAddressValidator(cfg)
	if err != nil {
		socket.Close()
		return nil, err
	}
	l := &Listener{
		socket: socket, gate: gate, accept: make(chan *Conn, maxBacklog),
		ended: make(chan struct{}), conns: map[key]*Conn{}, byID: map[string]*Conn{}, pending: map[key][]*entry{},
	}
	go l.receive()
	return l, nil
}

// receive hands datagrams to their connections.
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
			if reply, core = l.gate.HandleHello(time.Now(), k.bytes(), b[:n], reply[:0]); len(reply) > 0 {
				l.socket.WriteTo(reply, addr) // the client asks again if it is lost
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
				// Each decrypts in place, and at most one of them can.
				copied = append(copied[:0], datagram...)
				datagram = copied
			}
			c.handle(addr, datagram)
		}
	}
}

// find appends the connections that a datagram from k may be for: by its
// connection ID, if it has one that is known, else by where it comes from. A
// ClientHello is for the one that it began.
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
	// errBegunAnew ends a connection whose client has made another one from the
	// same address.
	errBegunAnew = errors.New("dtlsnet: the client began anew")
	// errSuperseded ends a handshake that gave way to later ones.
	errSuperseded = errors.New("dtlsnet: too many handshakes")
)

// An entry is a connection in the lists of its listener, whose mu guards it.
type entry struct {
	l      *Listener
	c      *Conn
	at     key
	id     string        // its connection ID; "": none
	queued *list.Element // of l.queue; nil: its handshake is finished
	gone   bool
}

// begin makes the connection of a client that was let in; nil: the listener
// has ended.
func (l *Listener) begin(k key, addr net.Addr, core *dtls.Conn, random [32]byte) *Conn {
	e := &entry{l: l, at: k}
	e.c = newConn(l.socket, addr, core, e.remove)
	e.c.random, e.c.moved, e.c.finished = random, e.move, e.finish
	l.mu.Lock()
	err := l.err
	var oldest *entry
	if err == nil {
		oldest = l.makeRoom(k)
		e.queued = l.queue.PushBack(e)
		l.pending[k] = append(l.pending[k], e)
	}
	l.mu.Unlock()
	if err != nil { // closed while the client was let in
		e.c.fail(err)
		return nil
	}
	if oldest != nil {
		oldest.c.fail(errSuperseded)
	}
	return e.c
}

// makeRoom takes a handshake off the lists if there are too many, from k or all
// told. l.mu is held.
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

// unlist takes e off the lists of handshakes. l.mu is held.
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

// remove lets go of a connection that has ended.
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

// finish takes a connection whose handshake is finished: it has its address
// now, and is to be accepted. c.mu is held.
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
		go e.c.Close() // nobody accepts
		return
	}
	if other != nil {
		go other.fail(errBegunAnew)
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

// move has a connection have another address, if it may. c.mu is held.
func (e *entry) move(to key, sure bool) bool {
	l := e.l
	l.mu.Lock()
	defer l.mu.Unlock()
	other := l.conns[to]
	if e.gone || e.queued != nil || other != nil && !sure {
		return false // what was let go of is not to come back
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

// errAddressTaken ends a connection whose client is not at its address any
// more: another one is, and has shown it.
var errAddressTaken = errors.New("dtlsnet: another client has the address")

// Accept waits for the next connection whose handshake is finished.
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

// Addr is the address of the socket.
func (l *Listener) Addr() net.Addr { return l.socket.LocalAddr() }

// Close ends the listener, its socket, and all its connections.
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

// end lets Accept give err.
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

// all lists the connections. l.mu is held.
func (l *Listener) all() (conns []*Conn) {
	conns = slices.Collect(maps.Values(l.conns))
	for at := l.queue.Front(); at != nil; at = at.Next() {
		conns = append(conns, at.Value.(*entry).c)
	}
	return conns
}
