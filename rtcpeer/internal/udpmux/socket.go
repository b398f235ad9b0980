package udpmux

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"purertc/ice"
)

// A Socket is one UDP socket with its reader.
type Socket struct {
	conn      *net.UDPConn // nil if packets is set
	packets   *packetConn  // a PacketConn of the program that is not a UDP socket; nil if conn is set
	kept      bool         // the program owns the PacketConn, so Close does not close it
	local     netip.AddrPort
	wildcard  bool // the socket is bound to all addresses: a control message has the local address of a datagram
	hideLocal bool // Config.HideLocal
	log       *slog.Logger
	gro       bool
	unclaimed Unclaimed // nil: checks for unknown ufrags are dropped

	sole  atomic.Pointer[Port]
	demux demux

	closed atomic.Bool
	done   chan struct{} // closed when the reader has ended

	waiter waiter
	writer
}

// Listen opens a socket and starts its reader.
func Listen(cfg Config) (*Socket, error) {
	s, err := newSocket(cfg)
	if err == nil {
		go s.read()
	}
	return s, err
}

// newSocket opens a socket without a reader.
func newSocket(cfg Config) (*Socket, error) {
	conn, err := listen(cfg)
	if err != nil {
		return nil, fmt.Errorf("udpmux: %w", err)
	}
	s := newSocketAt(addrPortOf(conn.LocalAddr()), cfg)
	s.conn = conn
	if err := s.setUp(cfg); err != nil {
		conn.Close()
		return nil, err
	}
	return s, nil
}

// newSocketAt returns a Socket with a local address. The caller sets conn or packets.
func newSocketAt(local netip.AddrPort, cfg Config) *Socket {
	s := &Socket{local: local, hideLocal: cfg.HideLocal, log: cfg.Logger, unclaimed: cfg.Unclaimed, done: make(chan struct{})}
	s.wildcard = local.Addr().IsUnspecified()
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// setUp prepares the UDP socket s.conn for its reader and its writer.
func (s *Socket) setUp(cfg Config) error {
	size := cfg.BufferSize
	if size <= 0 {
		size = defaultBufferSize
	}
	offload := !cfg.DisableOffload && os.Getenv("PURERTC_DISABLE_OFFLOAD") == ""
	gso, gro, err := setOptions(s.conn, s.wildcard && !cfg.HideLocal, offload, size)
	if err != nil {
		return fmt.Errorf("udpmux: %w", err)
	}
	s.gro = gro
	if cfg.DSCP != 0 {
		if err := setDSCP(s.conn, s.local.Addr(), cfg.DSCP); err != nil {
			s.log.Warn("the system refuses the DSCP", "addr", s.local, "dscp", cfg.DSCP, "err", err)
		}
	}
	if err := s.writer.init(s, gso); err != nil {
		return fmt.Errorf("udpmux: %w", err)
	}
	if err := s.waiter.init(s.conn, cfg.BusyPoll); err != nil {
		return fmt.Errorf("udpmux: %w", err)
	}
	s.log.Debug("udp socket open", "addr", s.local, "gso", gso, "gro", gro)
	return nil
}

func network(addr netip.Addr) string {
	switch {
	case addr.Is4():
		return "udp4"
	case !addr.IsValid() || addr.IsUnspecified():
		return "udp" // both families
	}
	return "udp6"
}

// LocalAddr returns the address that the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

// Offload reports whether the kernel splits and joins datagrams.
func (s *Socket) Offload() (gso, gro bool) {
	s.writer.mu.Lock()
	defer s.writer.mu.Unlock()
	return s.writer.gso, s.gro
}

// Close closes the socket and ends its reader. It does not wait for calls of handlers,
// so handlers may call it.
func (s *Socket) Close() error {
	if s.closed.Swap(true) {
		return ErrClosed
	}
	if s.kept {
		return s.release()
	}
	return s.packetConn().Close()
}

// Done returns a channel that is closed when the reader has ended. After that, no
// handler is called any more.
func (s *Socket) Done() <-chan struct{} { return s.done }

// failed ends the socket because of an error, and reports that to the transports.
func (s *Socket) failed(err error) {
	if s.closed.Swap(true) {
		return
	}
	s.log.Warn("udp socket failed", "addr", s.local, "err", err)
	if !s.kept {
		s.packetConn().Close()
	}
	for _, p := range s.demux.all() {
		if !p.closed.Load() {
			p.handler.SocketClosed(p.sock, err)
		}
	}
}

// dispatch hands a batch of datagrams to their transports. All of them have the same
// addresses.
func (s *Socket) dispatch(now time.Time, r ice.Route, b []byte, segment int) {
	if p := s.sole.Load(); p != nil {
		p.deliver(now, r, b, segment)
		return
	}
	owner, before, olds := s.demux.owner(r.Remote)
	// Consecutive datagrams that are not STUN go to the owner in one call.
	for len(b) > 0 {
		n := min(segment, len(b))
		if b[0] < 4 {
			p, unclaimed := s.demux.stun(now, b[:n], owner)
			if unclaimed && s.unclaimed != nil {
				s.unclaimed(now, r, b[:n])
			}
			if p != nil {
				p.deliver(now, r, b[:n], n)
			}
			b = b[n:]
			continue
		}
		for n < len(b) && b[n] >= 4 {
			n = min(n+segment, len(b))
		}
		if owner != nil {
			if olds > 0 && !isHandshake(b) {
				for _, p := range before[:olds] {
					p.deliver(now, r, slices.Clone(b[:n]), segment) // a copy, because decrypting in place destroys the datagram
				}
			}
			owner.deliver(now, r, b[:n], segment)
		} else if b[0] >= 20 && b[0] < 64 { // DTLS (RFC 7983 §7); other protocols may share the port
			s.offer(now, r, b[:min(n, segment)])
		}
		b = b[n:]
	}
}

// isHandshake reports whether b is an unencrypted DTLS record, as at the beginning of
// a handshake (RFC 6347 §4.1: its epoch is 0).
func isHandshake(b []byte) bool {
	return len(b) >= 5 && b[0] >= 20 && b[0] < 26 && b[3] == 0 && b[4] == 0
}

// offer hands copies of a datagram from an unknown address to the transports that may
// own the address.
func (s *Socket) offer(now time.Time, r ice.Route, b []byte) {
	ports, n := s.demux.mayOwn(now, r.Remote)
	for _, p := range ports[:n] {
		p.deliver(now, r, slices.Clone(b), len(b)) // a copy, because decrypting in place destroys the datagram
	}
}

func udpAddr(cfg Config) *net.UDPAddr {
	if !cfg.Addr.Addr().IsValid() {
		return &net.UDPAddr{Port: int(cfg.Addr.Port())}
	}
	return net.UDPAddrFromAddrPort(cfg.Addr)
}
