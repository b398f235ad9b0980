package sharing

import (
	"context"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// A QUICPort is the part of a UDP socket that quic-go leaves to other protocols, as a
// PacketConn for rtcpeer.HostConfig. QUIC sets the second most significant bit of the
// first byte of every datagram (RFC 9000 §17), which STUN and DTLS do not (RFC 7983), so
// quic.Transport tells them apart.
type QUICPort struct {
	transport *quic.Transport

	mu       sync.Mutex
	ctx      context.Context // canceled at the read deadline
	cancel   context.CancelFunc
	deadline time.Time
}

// NewQUICPort returns the PacketConn of a Transport. The Transport reads the socket from
// now on.
func NewQUICPort(t *quic.Transport) *QUICPort {
	p := &QUICPort{transport: t}
	p.SetReadDeadline(time.Time{})
	return p
}

// ReadFrom waits for a datagram that is not QUIC.
func (p *QUICPort) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p.mu.Lock()
		ctx, deadline := p.ctx, p.deadline
		p.mu.Unlock()
		n, from, err := p.transport.ReadNonQUICPacket(ctx, b)
		if err == nil || ctx.Err() == nil {
			return n, from, err
		}
		if !deadline.IsZero() && !time.Now().Before(deadline) {
			return 0, nil, os.ErrDeadlineExceeded
		}
	}
}

// SetReadDeadline ends a call of ReadFrom that waits, if t is in the past.
func (p *QUICPort) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cancel != nil {
		p.cancel()
	}
	p.deadline = t
	if t.IsZero() {
		p.ctx, p.cancel = context.WithCancel(context.Background())
	} else {
		p.ctx, p.cancel = context.WithDeadline(context.Background(), t)
	}
	return nil
}

// WriteTo sends a datagram. It may be called while QUIC sends.
func (p *QUICPort) WriteTo(b []byte, addr net.Addr) (int, error) { return p.transport.WriteTo(b, addr) }

// LocalAddr returns the address of the socket.
func (p *QUICPort) LocalAddr() net.Addr { return p.transport.Conn.LocalAddr() }

// Close ends a waiting call of ReadFrom. It closes neither the Transport nor its
// socket.
func (p *QUICPort) Close() error { return p.SetReadDeadline(time.Unix(1, 0)) }

// SetDeadline sets the read deadline. Writes need no deadline, because they do not
// wait.
func (p *QUICPort) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// SetWriteDeadline does nothing, because writes do not wait.
func (p *QUICPort) SetWriteDeadline(time.Time) error { return nil }
