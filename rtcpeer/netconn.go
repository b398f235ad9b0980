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

// NetConn returns the channel as a stream of bytes. If the channel is not reliable and
// ordered, the error is ErrInvalidState. A Write is one or more packets, empty packets
// are skipped by Read, Close closes the channel.
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
	packet []byte // the last one read
	rest   []byte // of packet, not read yet

	writeMu sync.Mutex // keeps the packets of one Write together

	closed atomic.Bool
}

// writeSize is the longest packet of a Write: every peer accepts 64 KiB (RFC 8841
// §6.1), and other channels do not wait behind it for long.
const writeSize = 65536

func (n *netConn) Read(p []byte) (int, error) {
	n.readMu.Lock()
	defer n.readMu.Unlock()
	ctx := n.read.context()
	if ctx.Err() != nil { // even if there is data
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
		if ctx.Err() != nil { // even if there is room
			return written, n.wrap("write", ctx.Err())
		}
		k := min(len(p), writeSize, max(1, n.d.MaxPacketSize()))
		err := n.d.Send(ctx, p[:k], false)
		if errors.Is(err, ErrMessageTooLarge) && k > max(1, n.d.MaxPacketSize()) {
			continue // the limit was not known before the channel opened
		}
		if err != nil {
			return written, n.wrap("write", err)
		}
		written, p = written+k, p[k:]
	}
	return written, nil
}

// wrap returns the errors that users of net.Conn expect: a deadline is
// os.ErrDeadlineExceeded and a net.Error with Timeout, io.EOF is not wrapped.
func (n *netConn) wrap(op string, err error) error {
	switch {
	case n.closed.Load():
		err = net.ErrClosed
	case errors.Is(err, context.Canceled): // the deadline's
		err = os.ErrDeadlineExceeded
	case op == "read" && !errors.Is(err, ErrClosed):
		return err
	case errors.Is(err, ErrClosed):
		err = fmt.Errorf("%w: %w", net.ErrClosed, err) // Join would add a line break
	}
	return &net.OpError{Op: op, Net: "webrtc", Source: n.LocalAddr(), Addr: n.RemoteAddr(), Err: err}
}

// Close closes the channel, and drops packets that still arrive: nobody can read them,
// and they would take part of the receive window for the other channels.
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

// LocalAddr returns the address of the selected local candidate, as a *net.UDPAddr or
// *net.TCPAddr; before there is one, the channel's label.
func (n *netConn) LocalAddr() net.Addr {
	if pair, ok := n.d.ch.conn.SelectedPair(); ok {
		return netAddr(pair.Local)
	}
	return channelAddr{n.d.Label()}
}

// RemoteAddr is like LocalAddr, for the remote candidate.
func (n *netConn) RemoteAddr() net.Addr {
	if pair, ok := n.d.ch.conn.SelectedPair(); ok {
		return netAddr(pair.Remote)
	}
	return channelAddr{n.d.Label()}
}

func (n *netConn) SetDeadline(t time.Time) error {
	n.read.set(t)
	n.write.set(t)
	return nil
}

func (n *netConn) SetReadDeadline(t time.Time) error  { n.read.set(t); return nil }
func (n *netConn) SetWriteDeadline(t time.Time) error { n.write.set(t); return nil }

// channelAddr is the address of a channel without a path: its label.
type channelAddr struct{ label string }

func (channelAddr) Network() string  { return "webrtc" }
func (a channelAddr) String() string { return a.label }

// A deadline is a context that ends at a time which can be changed, also while a call
// waits.
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
		d.renew() // an earlier deadline has passed: later calls may succeed
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

// close ends calls that wait, and later ones.
func (d *deadline) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	if d.timer != nil {
		d.timer.Stop()
	}
	d.cancel()
}
