// Package udpmux is the edge between the sockets and the peers: it alone
// touches UDP sockets. One reader a socket takes datagrams in batches and
// hands them to the peer that they belong to.
package udpmux

import (
	"log/slog"
	"net/netip"
	"time"

	"purertc/ice"
)

// A Handler is a peer that takes datagrams.
type Handler interface {
	// HandleDatagrams takes what arrived on r in one read: datagrams of
	// segment bytes each, the last one maybe shorter. It runs on the reader's
	// goroutine; b is valid during the call only and may be written to.
	HandleDatagrams(now time.Time, r ice.Route, b []byte, segment int)

	// Writable tells that a socket that was full takes datagrams again.
	Writable(sock int16)

	// SocketClosed tells that a socket failed for good.
	SocketClosed(sock int16, err error)
}

// Config says how a socket is opened.
type Config struct {
	Addr           netip.AddrPort // port 0: any. An unspecified address serves all of the machine's
	DisableOffload bool           // no GSO and no GRO
	ReusePort      bool
	BufferSize     int // asked of the kernel, each way; 0: 4 MiB
	Logger         *slog.Logger
}

// A Socket is one UDP socket with its reader.
type Socket struct{}

// Listen opens a socket and starts its reader.
func Listen(cfg Config) (*Socket, error) { return nil, nil }

// LocalAddr is the address that the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return netip.AddrPort{} }

// Close closes the socket and ends its reader.
func (s *Socket) Close() error { return nil }

// Attach connects a peer to the socket, under the number that its routes
// will carry. With sole, everything that arrives is the peer's; else
// datagrams go to the peer that their remote address is bound to, requests
// from other addresses to the peer that their USERNAME names, and responses
// to the peer that sent the request.
func (s *Socket) Attach(h Handler, sock int16, sole bool) (*Port, error) { return nil, nil }

// A Port is one peer's attachment to a Socket.
type Port struct{}

// AddUfrag has requests whose USERNAME begins with this local ufrag given to
// the peer.
func (p *Port) AddUfrag(ufrag string) error { return nil }

// RemoveUfrag undoes AddUfrag.
func (p *Port) RemoveUfrag(ufrag string) {}

// Bind has datagrams from remote given to the peer. It must have been
// authenticated. An address that another live peer holds is refused.
func (p *Port) Bind(remote netip.AddrPort) error { return nil }

// Unbind undoes Bind.
func (p *Port) Unbind(remote netip.AddrPort) {}

// Write sends b to r as datagrams of segment bytes, the last one maybe
// shorter. It never blocks. ok is false when the socket is full: the rest was
// kept and is sent first, and Handler.Writable follows.
func (p *Port) Write(r ice.Route, b []byte, segment int) (ok bool) { return true }

// Close detaches the peer; no call of its Handler begins afterwards.
func (p *Port) Close() {}
