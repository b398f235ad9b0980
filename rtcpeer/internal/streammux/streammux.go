// Package streammux uses a connection as a socket of an ICE agent. The connection
// carries datagrams; on a stream, a [Framing] separates them. The package serves
// connections to TURN servers over TCP, TLS and DTLS, and the connections of ICE over
// TCP, which package tcpmux opens.
//
// A [Conn] has one reader goroutine. Written datagrams are queued. A goroutine that
// exists only while datagrams are queued sends all of them in one write. So a writer
// never waits for the network. This matters because a transport holds its lock while
// it writes.
package streammux

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"purertc/ice"
)

// A Handler is a transport: the engine of one connection, like udpmux.Handler.
type Handler interface {
	// HandleDatagrams processes the datagrams in b. Each has segment bytes; the last
	// one may be shorter. b is valid only during the call, and may be written to.
	HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int)
	// Writable says that a connection that was full accepts datagrams again.
	Writable(sock ice.Sock)
	// SocketClosed says that the connection failed for good.
	SocketClosed(sock ice.Sock, err error)
}

// A Config configures a Conn.
type Config struct {
	Handler Handler
	Sock    ice.Sock   // Sock of the routes
	Local   netip.Addr // local address in the routes; may be invalid
	Remote  netip.AddrPort
	Framing Framing
}

// A Framing says how datagrams are separated on a connection.
type Framing uint8

const (
	TURN    Framing = iota // STUN messages and ChannelData contain their length (RFC 8656 §3.1, §12.5)
	Packets                // the connection itself carries datagrams, like DTLS
	Length                 // two bytes of length precede each datagram (RFC 4571)
)

// Errors of SocketClosed.
var (
	ErrFraming = errors.New("streammux: the server sends what is neither STUN nor ChannelData")
	ErrEnd     = errors.New("streammux: the other end closed the connection")
)

const (
	// Write returns ok=false while at least full bytes are queued. Datagrams that
	// would exceed maxQueue bytes are dropped.
	full     = 64 << 10
	maxQueue = 256 << 10

	// idleSize is the size of reads on an idle connection. packetSize is the size of
	// reads on a connection that carries datagrams: the length of a DTLS record (RFC
	// 9147 §4).
	idleSize   = 2 << 10
	packetSize = 16 << 10

	// lingers is the time for which queued bytes are still sent after Close.
	lingers = time.Second
)

// A Conn attaches a transport to one connection.
type Conn struct {
	cfg  Config
	conn net.Conn

	mu      sync.Mutex
	queue   []byte
	sizes   []int // sizes of the datagrams in queue, for Packets
	spare   []byte
	writing bool // a goroutine sends the queue
	blocked bool // Write has returned false
	closed  bool
}

// New takes over a connection and starts its reader.
func New(conn net.Conn, cfg Config) *Conn {
	c := &Conn{cfg: cfg, conn: conn}
	go c.read()
	return c
}

// These methods of a socket do nothing: a connection has one transport and one remote
// address, so there is nothing to demultiplex.

// AddUfrag does nothing.
func (c *Conn) AddUfrag(string) error { return nil }

// RemoveUfrag does nothing.
func (c *Conn) RemoveUfrag(string) {}

// Bind does nothing.
func (c *Conn) Bind(netip.AddrPort) error { return nil }

// Unbind does nothing.
func (c *Conn) Unbind(netip.AddrPort) {}

// Write queues the datagrams in b. Each has segment bytes; the last one may be
// shorter. Write never blocks. ok is false when the connection is full;
// Handler.Writable is called later.
func (c *Conn) Write(r ice.Route, b []byte, segment int) (ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(b) == 0 || len(c.queue)+len(b) > maxQueue {
		return true // the datagrams are lost, as in a network
	}
	if segment <= 0 {
		segment = len(b)
	}
	for len(b) > 0 {
		n := min(segment, len(b))
		c.enqueue(b[:n])
		b = b[n:]
	}
	if !c.writing {
		c.writing = true
		go c.write()
	}
	c.blocked = c.blocked || len(c.queue) >= full
	return !c.blocked
}

func (c *Conn) enqueue(b []byte) {
	if c.cfg.Framing == Length {
		if len(b) > maxLength {
			return // no datagram of a network is longer
		}
		c.queue = append(c.queue, byte(len(b)>>8), byte(len(b)))
	}
	c.queue = append(c.queue, b...)
	switch c.cfg.Framing {
	case Packets:
		c.sizes = append(c.sizes, len(b))
	case TURN:
		for range padding(len(b)) {
			c.queue = append(c.queue, 0)
		}
	}
}

// maxLength is the largest length of a datagram that fits into a length field of two bytes.
const maxLength = 65535

// padding returns the size of the padding after a message in a stream. n is the
// message's length. STUN messages need no padding (RFC 8656 §12.5).
func padding(n int) int { return -n & 3 }

// write sends queued datagrams until the queue is empty.
func (c *Conn) write() {
	for {
		c.mu.Lock()
		b, sizes := c.queue, c.sizes
		if len(b) == 0 {
			c.writing, c.spare = false, nil // an idle connection keeps no buffers
			c.queue, c.sizes = nil, nil
			closed := c.closed
			c.mu.Unlock()
			if closed {
				c.conn.Close()
			}
			return
		}
		c.queue, c.sizes, c.spare = c.spare[:0], nil, nil
		c.mu.Unlock()
		if err := c.send(b, sizes); err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		c.spare = b[:0]
		blocked := c.blocked
		c.blocked = false
		c.mu.Unlock()
		if blocked {
			c.cfg.Handler.Writable(c.cfg.Sock)
		}
	}
}

func (c *Conn) send(b []byte, sizes []int) error {
	if c.cfg.Framing != Packets {
		_, err := c.conn.Write(b)
		return err
	}
	for _, n := range sizes {
		if _, err := c.conn.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Close detaches the transport. No call of its Handler begins after Close, but one may
// still be running. Queued datagrams are sent in the background.
func (c *Conn) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed = true
	c.conn.SetDeadline(time.Now().Add(lingers))
	if !c.writing {
		c.writing = true
		go c.write()
	}
}

// fail ends the connection and reports the error, unless Close was called.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	known := c.closed
	c.closed = true
	c.mu.Unlock()
	c.conn.Close()
	if !known {
		c.cfg.Handler.SocketClosed(c.cfg.Sock, err)
	}
}

// busySize is the size of the buffers in busyBuffers, which connections that carry
// data use. The longest message, a STUN message, fits into such a buffer with its
// header and padding.
const busySize = 20 + maxLength + 3

var busyBuffers = sync.Pool{New: func() any { return new([busySize]byte) }}

// read is the reader goroutine.
func (c *Conn) read() {
	idle := make([]byte, idleSize)
	if c.cfg.Framing == Packets {
		idle = make([]byte, packetSize) // a shorter buffer would cut packets
	}
	buf := idle
	for held := 0; ; {
		n, err := c.conn.Read(buf[held:])
		if n > 0 {
			filled := held+n == len(buf)
			rest, need, ferr := c.deliver(time.Now(), buf[:held+n])
			if ferr != nil {
				c.fail(ferr)
				return
			}
			next := buf
			switch {
			case c.cfg.Framing != Packets && (need > len(buf) || filled && len(buf) < busySize):
				next = busyBuffers.Get().(*[busySize]byte)[:]
			case len(buf) > len(idle) && n < idleSize/2 && max(need, len(rest)) <= len(idle):
				next = idle
			}
			held = copy(next, rest)
			if len(buf) == busySize && len(next) != busySize {
				busyBuffers.Put((*[busySize]byte)(buf))
			}
			buf = next
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = ErrEnd
			}
			c.fail(err)
			return
		}
	}
}

// deliver gives the complete messages at the beginning of b to the Handler. It returns
// the rest of b, and the length of the message with which the rest begins.
func (c *Conn) deliver(now time.Time, b []byte) (rest []byte, need int, err error) {
	r := ice.Route{Sock: c.cfg.Sock, Local: c.cfg.Local, Remote: c.cfg.Remote}
	switch c.cfg.Framing {
	case Packets:
		c.give(now, r, b, len(b))
		return nil, 0, nil
	case Length:
		rest, need = c.deliverFrames(now, r, b)
		return rest, need, nil
	}
	for len(b) > 0 {
		size, framed, err := frame(b)
		if err != nil {
			return nil, 0, err
		}
		if len(b) < framed || framed == 0 {
			return b, framed, nil
		}
		// Consecutive messages of equal size without padding are given to the Handler
		// together.
		end := framed
		for size == framed && len(b) >= end+framed {
			if s, f, err := frame(b[end:]); err != nil || s != size || f != framed {
				break
			}
			end += framed
		}
		c.give(now, r, b[:end-(framed-size)], size)
		b = b[end:]
	}
	return nil, 0, nil
}

// deliverFrames does the same as deliver, for the framing Length. Datagrams of equal
// size, and a shorter one after them, are moved together and given to the Handler in
// one call.
func (c *Conn) deliverFrames(now time.Time, r ice.Route, b []byte) (rest []byte, need int) {
	for len(b) >= 2 {
		size, ok := frameLength(b)
		if !ok {
			return b, 2 + size
		}
		burst := b[2 : 2+size]
		b = b[2+size:]
		for {
			n, ok := frameLength(b)
			if !ok || n > size || n == 0 {
				break
			}
			burst = append(burst, b[2:2+n]...) // this overwrites only bytes that were read already
			if b = b[2+n:]; n < size {
				break
			}
		}
		if size > 0 {
			c.give(now, r, burst, size)
		}
	}
	return b, 0
}

// frameLength returns the length with which b begins. ok reports whether the whole
// datagram is there.
func frameLength(b []byte) (n int, ok bool) {
	if len(b) < 2 {
		return 0, false
	}
	n = int(b[0])<<8 + int(b[1])
	return n, len(b) >= 2+n
}

func (c *Conn) give(now time.Time, r ice.Route, b []byte, segment int) {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if !closed {
		c.cfg.Handler.HandleDatagrams(now, r, b, segment)
	}
}

// frame returns the size of the message with which b begins, and its size with
// padding. framed is 0 if b is too short to show the size.
func frame(b []byte) (size, framed int, err error) {
	switch {
	case len(b) < 4:
		if b[0] > 79 || b[0] > 3 && b[0] < 64 {
			return 0, 0, ErrFraming
		}
		return 0, 0, nil
	case b[0] < 4: // STUN (RFC 8489 §5)
		size = 20 + int(b[2])<<8 + int(b[3])
		if size%4 != 0 {
			return 0, 0, ErrFraming
		}
		return size, size, nil
	case b[0] >= 64 && b[0] <= 79: // ChannelData
		size = 4 + int(b[2])<<8 + int(b[3])
		return size, size + padding(size), nil
	}
	return 0, 0, ErrFraming
}
