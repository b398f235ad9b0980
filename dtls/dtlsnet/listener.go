package dtlsnet

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"purertc/dtls"
)

const (
	maxConns   = 1 << 16 // clients at a time, of any state
	maxBacklog = 128     // connections that wait for Accept
)

// A Listener accepts DTLS connections on a net.PacketConn. It keeps nothing
// about clients that have not shown that they receive what is sent to their
// address.
type Listener struct {
	socket net.PacketConn
	gate   *dtls.Gate
	accept chan *Conn
	ended  chan struct{}

	mu    sync.Mutex
	conns map[key]*Conn
	byID  map[string]*Conn // those that agreed on a connection ID
	idLen int              // of each ID; 0: there are none
	err   error
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
	gate, err := dtls.NewGate(cfg)
	if err != nil {
		socket.Close()
		return nil, err
	}
	l := &Listener{
		socket: socket, gate: gate, accept: make(chan *Conn, maxBacklog),
		ended: make(chan struct{}), conns: map[key]*Conn{}, byID: map[string]*Conn{},
	}
	go l.receive()
	return l, nil
}

// receive hands datagrams to their connections.
func (l *Listener) receive() {
	b := make([]byte, maxDatagram)
	var reply []byte
	for {
		n, addr, err := l.socket.ReadFrom(b)
		if err != nil {
			l.end(err)
			return
		}
		k := keyOf(addr)
		c, full := l.find(k, b[:n])
		if c == nil && full {
			continue
		}
		if random, ok := dtls.ClientRandom(b[:n]); ok && (c == nil || c.random != random) {
			// RFC 9147 §5.11: a client may begin anew. What it had before ends
			// when it showed that it is there, with the cookie.
			var core *dtls.Conn
			if reply, core = l.gate.Admit(time.Now(), k.bytes(), b[:n], reply[:0]); len(reply) > 0 {
				l.socket.WriteTo(reply, addr) // the client asks again if it is lost
			}
			if core == nil {
				continue
			}
			if c != nil {
				c.fail(errBegunAnew)
			}
			c = l.begin(k, addr, core, random)
		}
		if c != nil {
			c.handle(addr, b[:n])
		}
	}
}

// find is the connection that a datagram from k is for: by its connection ID,
// if it has one that is known, or by where it comes from.
func (l *Listener) find(k key, datagram []byte) (c *Conn, full bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.idLen > 0 {
		if id, ok := dtls.PeekConnectionID(datagram, l.idLen); ok {
			c = l.byID[string(id)]
		}
	}
	if c == nil {
		c = l.conns[k]
	}
	return c, len(l.conns) >= maxConns
}

// errBegunAnew ends a connection whose client makes another one from the same
// address.
var errBegunAnew = errors.New("dtlsnet: the client began anew")

// begin makes the connection of a client that was let in; nil: the listener
// has ended.
func (l *Listener) begin(k key, addr net.Addr, core *dtls.Conn, random [32]byte) *Conn {
	var c *Conn
	var id string
	var gone bool // guarded by l.mu, as is id
	c = newConn(l.socket, addr, core, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		gone = true
		if l.conns[k] == c {
			delete(l.conns, k)
		}
		if l.byID[id] == c {
			delete(l.byID, id)
		}
	})
	c.random = random
	c.moved = func(to key, sure bool) bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		other := l.conns[to]
		if gone || other != nil && !sure {
			return false // what was let go of is not to come back
		}
		if l.conns[k] == c {
			delete(l.conns, k)
		}
		if other != nil {
			go other.fail(errAddressTaken)
		}
		k, l.conns[to] = to, c
		return true
	}
	l.mu.Lock()
	err := l.err
	if err == nil {
		l.conns[k] = c
	}
	l.mu.Unlock()
	if err != nil { // closed while the client was let in
		c.fail(err)
		return nil
	}
	go func() {
		if c.handshake(context.Background()) != nil {
			return
		}
		own := string(c.ConnectionState().ConnectionID) // c.mu comes before l.mu
		l.mu.Lock()
		if id = own; id != "" && !gone {
			l.known(id, c)
		}
		l.mu.Unlock()
		select {
		case l.accept <- c:
		default:
			c.Close() // nobody accepts
		}
	}()
	return c
}

// errAddressTaken ends a connection whose client is not at its address any
// more: another one is, and has shown it.
var errAddressTaken = errors.New("dtlsnet: another client has the address")

// known has datagrams with a connection ID go to c. l.mu is held.
func (l *Listener) known(id string, c *Conn) {
	if l.idLen == 0 {
		l.idLen = len(id)
	}
	if len(id) == l.idLen && l.byID[id] == nil {
		l.byID[id] = c
	}
}

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
	conns := make([]*Conn, 0, len(l.conns))
	for _, c := range l.conns {
		conns = append(conns, c)
	}
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
	for _, c := range l.conns {
		go c.fail(err)
	}
}
