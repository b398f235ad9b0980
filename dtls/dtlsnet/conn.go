package dtlsnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"purertc/dtls"
)

const (
	// mtu is the size in bytes of the longest datagram of a handshake. Every IPv6 path
	// carries such a datagram (RFC 8200 §5: 1280 bytes, minus the headers).
	mtu = 1232
	// maxQueued is the maximum number of datagrams that wait for Read. Further
	// datagrams are dropped, as a socket does.
	maxQueued = 64
	// maxDatagram is the size in bytes of the largest datagram.
	maxDatagram = 1 << 16
)

// A Conn is a DTLS connection over a net.PacketConn. Its methods can be called from
// several goroutines at the same time.
type Conn struct {
	socket net.PacketConn
	random [32]byte // in a Listener: the random of the client's ClientHello
	close  func()   // removes the connection from the Dial or Listener that owns the socket

	// The Listener sets these callbacks. They are nil in a Conn from Dial. mu is held
	// when they run.
	//
	// migrate changes the address of the connection. validated says that the client is
	// known to receive at the new address. If validated is false, migrate can refuse
	// the change by returning false.
	migrate func(to key, validated bool) bool
	// finished is called when the handshake has finished.
	finished func()

	mu         sync.Mutex
	remote     net.Addr
	validation pathValidation
	move       unvalidatedMove
	core       *dtls.Conn
	err        error // why the connection has ended
	ready      bool  // the handshake has finished
	queue      [][]byte
	changed    chan struct{} // closed and replaced when any field of Conn changes that a goroutine waits for
	timer      *time.Timer
	out        []byte       // temporary memory for datagrams to send
	deadline   [2]time.Time // deadlines of Read and Write
}

func newConn(socket net.PacketConn, remote net.Addr, core *dtls.Conn, onClose func()) *Conn {
	c := &Conn{socket: socket, remote: remote, core: core, close: onClose, changed: make(chan struct{})}
	c.timer = time.AfterFunc(time.Hour, c.tick)
	return c
}

// Dial connects to the server at the address remote, and returns when the handshake
// has finished. It returns an error if ctx is done before. The socket belongs to the
// connection: it is closed together with the connection, and also if Dial returns an
// error. Dial sets cfg.DeferShares, because a Listener needs that.
func Dial(ctx context.Context, socket net.PacketConn, remote net.Addr, cfg dtls.Config) (*Conn, error) {
	cfg.Client = true
	cfg.DeferShares = true
	cfg.KeyLogWriter = SharedKeyLog(cfg.KeyLogWriter)
	core, err := dtls.NewConn(cfg)
	if err != nil {
		socket.Close()
		return nil, err
	}
	c := newConn(socket, remote, core, func() { socket.Close() })
	c.mu.Lock()
	core.Start(time.Now())
	c.settle(time.Now())
	c.mu.Unlock()
	go c.receive()
	if err := c.handshake(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// receive reads from a socket that no other connection uses.
func (c *Conn) receive() {
	b := make([]byte, maxDatagram)
	from := keyOf(c.remote)
	for {
		n, addr, err := c.socket.ReadFrom(b)
		if err != nil {
			c.fail(err)
			return
		}
		if keyOf(addr) == from {
			c.handle(addr, b[:n])
		}
	}
}

// handshake waits until the handshake has finished.
func (c *Conn) handshake(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.ready && c.err == nil {
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if err := ctx.Err(); err != nil && !c.ready {
			return err
		}
	}
	if !c.ready {
		return c.err
	}
	return nil
}

// handle handles a datagram, which it decrypts in place.
func (c *Conn) handle(from net.Addr, datagram []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, newest, size := time.Now(), false, len(datagram)
	for records := 0; len(datagram) > 0 && records < dtls.MaxRecords; records++ {
		data, n := c.core.HandleRecord(now, datagram)
		datagram = datagram[n:]
		newest = newest || c.core.Newest()
		if data != nil && len(c.queue) < maxQueued {
			c.queue = append(c.queue, append([]byte(nil), data...))
			c.broadcast()
		}
	}
	c.handleSource(now, from, newest, size)
	c.settle(now)
}

// tick runs the timers of the core.
func (c *Conn) tick() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.core.Advance(now)
	c.settle(now)
}

// settle sends the datagrams that the core has to send, handles its events and sets
// the timer. c.mu is held.
func (c *Conn) settle(now time.Time) {
	for {
		b, ok := c.core.AppendDatagram(now, c.out[:0], mtu)
		if !ok {
			break
		}
		c.out = b
		c.socket.WriteTo(b, c.messageAddr(now, len(b))) // errors are ignored: DTLS retransmits what is lost
	}
	for {
		e, ok := c.core.NextEvent()
		if !ok {
			break
		}
		switch e.Kind {
		case dtls.EventEstablished:
			c.ready = true
			c.broadcast()
			if c.finished != nil {
				c.finished()
			}
		case dtls.EventClosed:
			c.end(io.EOF)
		case dtls.EventFailed:
			c.end(e.Err)
		}
	}
	if at := c.core.NextTimeout(); !at.IsZero() {
		c.timer.Reset(at.Sub(now))
	} else {
		c.timer.Stop()
	}
}

// end stores the reason why the connection has ended. c.mu is held.
func (c *Conn) end(err error) {
	if c.err == nil {
		c.err = err
		c.broadcast()
		go c.close()
	}
}

// fail ends the connection without telling the peer, for instance because the socket
// has failed.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer.Stop()
	c.end(err)
}

// broadcast wakes all goroutines that wait. c.mu is held.
func (c *Conn) broadcast() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// Read returns the next datagram. If b is shorter than the datagram, the rest of the
// datagram is lost, and Read returns io.ErrShortBuffer. After the peer has closed the
// connection, Read returns io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		at := c.deadline[0]
		switch {
		case !at.IsZero() && !time.Now().Before(at):
			return 0, os.ErrDeadlineExceeded
		case len(c.queue) > 0:
			data := c.queue[0]
			c.queue = c.queue[1:]
			if n := copy(b, data); n < len(data) {
				return n, io.ErrShortBuffer
			}
			return len(data), nil
		case c.err != nil:
			return 0, c.err
		}
		c.wait(at)
	}
}

// wait waits until the connection changes or the deadline passes. c.mu is held when
// wait is called and when it returns.
func (c *Conn) wait(deadline time.Time) {
	changed := c.changed
	c.mu.Unlock()
	defer c.mu.Lock()
	if deadline.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// Write sends b as one datagram. b has at most 2^14 bytes. Like UDP, Write does not
// report whether the datagram arrives.
func (c *Conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.deadline[1]
	switch {
	case c.err == io.EOF:
		return 0, net.ErrClosed
	case c.err != nil:
		return 0, c.err
	case len(b) > c.core.MaxPayload(): // a datagram must fit into one record
		return 0, errors.New("dtlsnet: datagram too long")
	case !at.IsZero() && !time.Now().Before(at):
		return 0, os.ErrDeadlineExceeded
	}
	c.out = append(c.core.BeginRecord(c.out[:0]), b...)
	c.out = c.core.FinishRecord(c.out, 0)
	if _, err := c.socket.WriteTo(c.out, c.dataAddr(len(c.out))); err != nil {
		return 0, err
	}
	c.settle(time.Now()) // the core may have a KeyUpdate to send
	return len(b), nil
}

// Close sends a close_notify alert and ends the connection. Received datagrams that
// were not read yet are lost.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.validation = pathValidation{}
	c.core.Close(now)
	c.settle(now)
	c.timer.Stop()
	c.queue = nil
	c.end(net.ErrClosed)
	return nil
}

// ConnectionState returns what the two ends have agreed on.
func (c *Conn) ConnectionState() dtls.ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.core.ConnectionState()
}

// LocalAddr returns the address of the socket.
func (c *Conn) LocalAddr() net.Addr { return c.socket.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (c *Conn) RemoteAddr() net.Addr {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote
}

// SetDeadline sets the deadlines of Read and Write.
func (c *Conn) SetDeadline(t time.Time) error { return c.setDeadlines(t, 0, 1) }

// SetReadDeadline sets the time at which a waiting Read fails; zero: never.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadlines(t, 0) }

// SetWriteDeadline sets the time after which Write fails; zero: never. Write does not wait.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadlines(t, 1) }

func (c *Conn) setDeadlines(t time.Time, which ...int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, i := range which {
		c.deadline[i] = t
	}
	c.broadcast()
	return nil
}
