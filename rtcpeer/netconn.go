package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// NetConn returns the channel as a stream of bytes. The channel must be
// reliable and ordered: else ErrInvalidState. A Write is one or more packets,
// empty packets are skipped in reading, Close closes the channel.
func (d *DataChannel) NetConn() (net.Conn, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	if !d.IsOrdered() || d.ch.options.MaxRetransmits != nil || d.ch.options.MaxPacketLifeTime != nil {
		return nil, wrongState("NetConn of a channel that is not reliable and ordered")
	}
	return &netConn{d: d, read: newDeadline(), write: newDeadline()}, nil
}

type netConn struct {
	d           *DataChannel
	read, write *deadline

	readMu sync.Mutex
	packet []byte // read last
	rest   []byte // of it, not read yet

	writeMu sync.Mutex // so that the packets of one Write follow each other

	closed atomic.Bool
}

// writeSize is the longest packet that a Write is cut into: every peer takes
// 64 KiB (RFC 8841 §6.1), and no other channel waits behind it for long.
const writeSize = 65536

func (n *netConn) Read(p []byte) (int, error) {
	n.readMu.Lock()
	defer n.readMu.Unlock()
	ctx := n.read.context()
	if ctx.Err() != nil { // also where something is there to be read
		return 0, n.wrap("read", ctx.Err())
	}
	for len(n.rest) == 0 {
		if len(p) == 0 {
			return 0, nil
		}
		b, _, err := n.d.Receive(ctx)
		if err != nil {
			return 0, n.wrap("read", err)
		}
		n.packet, n.rest = b, b
	}
	k := copy(p, n.rest)
	if n.rest = n.rest[k:]; len(n.rest) == 0 {
		n.d.Recycle(n.packet)
		n.packet = nil
	}
	return k, nil
}

func (n *netConn) Write(p []byte) (written int, err error) {
	n.writeMu.Lock()
	defer n.writeMu.Unlock()
	ctx := n.write.context()
	for len(p) > 0 {
		if ctx.Err() != nil { // also where there is room
			return written, n.wrap("write", ctx.Err())
		}
		k := min(len(p), writeSize, max(1, n.d.MaxPacketSize()))
		err := n.d.Send(ctx, p[:k], false)
		if errors.Is(err, ErrMessageTooLarge) && k > max(1, n.d.MaxPacketSize()) {
			continue // it was not known before the channel opened
		}
		if err != nil {
			return written, n.wrap("write", err)
		}
		written, p = written+k, p[k:]
	}
	return written, nil
}

// wrap gives errors the form that users of net.Conn expect: a deadline is
// os.ErrDeadlineExceeded and a net.Error with Timeout, io.EOF stays alone.
func (n *netConn) wrap(op string, err error) error {
	switch {
	case n.closed.Load():
		err = net.ErrClosed
	case errors.Is(err, context.Canceled): // the deadline's context
		err = os.ErrDeadlineExceeded
	case op == "read" && !errors.Is(err, ErrClosed):
		return err
	case errors.Is(err, ErrClosed):
		err = fmt.Errorf("%w: %w", net.ErrClosed, err) // Join would break the line
	}
	return &net.OpError{Op: op, Net: "webrtc", Source: n.LocalAddr(), Addr: n.RemoteAddr(), Err: err}
}

// Close closes the channel, and throws away what the far end has under way:
// nobody can read it any more, and it would hold the receive window shut for
// the other channels.
func (n *netConn) Close() error {
	n.closed.Store(true)
	n.read.close()
	n.write.close()
	err := n.d.Close()
	if x, ok := n.d.ch.ext.(DiscardingChannel); ok {
		x.Discard()
	}
	return err
}

func (n *netConn) LocalAddr() net.Addr  { return channelAddr{n.d.Label()} }
func (n *netConn) RemoteAddr() net.Addr { return channelAddr{n.d.Label()} }

func (n *netConn) SetDeadline(t time.Time) error {
	n.read.set(t)
	n.write.set(t)
	return nil
}

func (n *netConn) SetReadDeadline(t time.Time) error  { n.read.set(t); return nil }
func (n *netConn) SetWriteDeadline(t time.Time) error { n.write.set(t); return nil }

// channelAddr is the address of a channel: its label.
type channelAddr struct{ label string }

func (channelAddr) Network() string  { return "webrtc" }
func (a channelAddr) String() string { return a.label }

// A deadline is a context that ends at a time which can be moved, also while
// a call waits on it.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	closed bool
	ctx    context.Context
	cancel context.CancelFunc
}

func newDeadline() *deadline {
	d := &deadline{}
	d.renew()
	return d
}

func (d *deadline) renew() {
	d.ctx, d.cancel = context.WithCancel(context.Background())
}

func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return
	}
	fired := d.timer != nil && !d.timer.Stop()
	d.timer = nil
	if fired || d.ctx.Err() != nil {
		d.renew() // an earlier deadline has passed: later calls may go on
	}
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		d.timer = time.AfterFunc(wait, d.cancel)
	} else {
		d.cancel()
	}
}

// close ends waiting calls, and those to come.
func (d *deadline) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	d.cancel()
}
