package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/tcpmux"
	"purertc/rtcpeer/internal/udpmux"
)

// HostConfig is what a Host is made from.
type HostConfig struct {
	// Addr is the UDP address to serve, such as ":3478" or "127.0.0.1:0".
	// Empty: any port of all addresses. Without an address it serves both families,
	// or IPv4 where the system has no IPv6. A machine with several addresses of one
	// family should name one where the system is not Linux: there the system
	// chooses the address that answers leave from.
	Addr string
	// Sockets is how many sockets share the address (SO_REUSEPORT), each with
	// a reader of its own, so that several processors serve it. 0: one.
	// More than one is possible on Linux only.
	Sockets int
	// TCPAddr is a TCP address to serve beside it, such as ":443", for peers
	// that no UDP datagram reaches: each connection then has passive TCP
	// candidates (RFC 6544), which browsers connect to. Empty: none.
	TCPAddr string
	// MemoryLimit is how many bytes the remotes of all connections together can
	// make the host keep: what Config.MemoryLimit is about, handshakes, and
	// datagrams that wait. 0: DefaultHostMemory; at least 1 MiB. While more than
	// half of it is used, a connection is given nothing that makes it exceed its
	// share, which is the other half divided by the number of connections. So a
	// connection below its share has its window whatever the others do. One above
	// is dealt with as if its own MemoryLimit were reached, and its data beyond is
	// dropped until the program has read or closed enough. A message that is
	// longer than the share may have to wait for that.
	MemoryLimit int
	// BusyPoll is Config.BusyPoll for the host's UDP sockets.
	BusyPoll time.Duration
	// Logger takes what is worth knowing. Nil: silence.
	Logger *slog.Logger

	hideLocal bool // udpmux.Config.HideLocal, for tests
}

// hostBufferSize is what is asked of the kernel for a host's socket: ten
// thousand peers that answer at once fill 8 MiB, since even a short datagram
// counts for 768 bytes.
const hostBufferSize = 16 << 20

// maxHostSockets bounds HostConfig.Sockets.
const maxHostSockets = 64

// A Host is a UDP address that any number of connections share: set it as
// Config.Host of each. It has one goroutine a socket, and while peers
// connect one for each processor but one, which they share. A connection that is
// busy, with a large call of the program or with what its remote sends, does not
// hold up the others: up to 256 KiB of datagrams wait for it, and what comes
// beyond is lost as in a full socket. Two
// connections of one Host cannot be each other's ends. Two that have the same
// far address, which is another Host's, cannot be made at the same time: one
// handshake is not told from the other.
type Host struct {
	sockets []*udpmux.Socket
	tcp     *tcpmux.Listener // nil: none
	workers workers          // run peers that connect
	memory  hostMemory       // of all peers
	wheel   wheel            // wakes those that are connected
	silence suspicion        // of those
	done    chan struct{}    // closed with the host

	mu     sync.Mutex
	closed bool
	ready  readyList // that have something to poll, each once
	more   signal    // of ready
}

// NewHost opens a host's sockets.
func NewHost(cfg HostConfig) (*Host, error) {
	if cfg.Sockets < 0 || cfg.Sockets > maxHostSockets {
		return nil, invalid("host: %d sockets are not 0 to %d", cfg.Sockets, maxHostSockets)
	}
	if cfg.MemoryLimit != 0 && cfg.MemoryLimit < minHostMemory {
		return nil, invalid("host: MemoryLimit %d is not 0 or at least %d", cfg.MemoryLimit, minHostMemory)
	}
	if cfg.BusyPoll < 0 || cfg.BusyPoll > maxBusyPoll {
		return nil, invalid("host: BusyPoll %v is not 0 to %v", cfg.BusyPoll, maxBusyPoll)
	}
	var addr netip.AddrPort // without an address: all of them
	if cfg.Addr != "" {
		a, err := net.ResolveUDPAddr("udp", cfg.Addr)
		if err != nil {
			return nil, invalid("host address: %w", err)
		}
		addr = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	}
	h := &Host{done: make(chan struct{})}
	h.memory.limit = int64(orDefault(cfg.MemoryLimit, DefaultHostMemory))
	for range max(1, cfg.Sockets) {
		s, err := udpmux.Listen(udpmux.Config{Addr: addr, ReusePort: cfg.Sockets > 1, BufferSize: hostBufferSize, HideLocal: cfg.hideLocal, BusyPoll: cfg.BusyPoll, Logger: cfg.Logger})
		if err != nil {
			h.Close()
			return nil, fmt.Errorf("rtcpeer: host: %w", err)
		}
		h.sockets = append(h.sockets, s)
		addr = s.LocalAddr() // the others share the port that the first was given
	}
	if cfg.TCPAddr != "" {
		if err := h.openTCP(cfg); err != nil {
			h.Close()
			return nil, err
		}
	}
	return h, nil
}

// Addr is the address that the host serves.
func (h *Host) Addr() netip.AddrPort {
	if len(h.sockets) == 0 {
		return netip.AddrPort{} // of a zero Host
	}
	return h.sockets[0].LocalAddr()
}

// Ready waits for a connection of this host that has something to poll, so
// that a handful of goroutines, each in a loop of Ready and Conn.Poll, serves
// them all. It returns ctx's error, or ErrClosed after Close.
func (h *Host) Ready(ctx context.Context) (*Conn, error) {
	if h.done == nil {
		return nil, ErrUnconfigured
	}
	for {
		h.mu.Lock()
		c := h.ready.first
		if c != nil {
			h.ready.remove(c) // what comes from here on queues it again
		}
		if h.ready.first != nil {
			h.more.set() // for another goroutine
		}
		h.mu.Unlock()
		if c != nil {
			if c.pending() {
				return c, nil
			}
			continue
		}
		select {
		case <-h.more.channel():
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-h.done:
			h.more.set()
			return nil, ErrClosed
		}
	}
}

// Run polls the connections of this host as long as ctx lasts, like a loop of
// Ready and Conn.Poll, and a little cheaper. Several goroutines may be in it:
// each serves whichever connection is next. It returns ctx's error, or nil
// after Close. A connection whose peer has vanished stays in StateFailed until
// the program closes it, as in a handler set by OnStateChanged.
func (h *Host) Run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		c, err := h.Ready(ctx)
		switch {
		case errors.Is(err, ErrClosed):
			return nil
		case err != nil:
			return err
		}
		c.Poll()
	}
}

// push queues a connection for Ready. One that came to its end meanwhile, or
// is another host's by now, is not: nobody may ever call Ready.
func (h *Host) push(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed && !c.queued.Load() && !c.over.Load() && c.host.Load() == h {
		h.ready.add(c)
		h.more.set()
	}
}

// drop lets go of a connection of this host.
func (h *Host) drop(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.queued.Load() {
		h.ready.remove(c)
	}
}

// A readyList is connections in the order of their coming, each of which can be
// taken out: where every connection has a goroutine in Run, nobody calls Ready,
// and what is closed would stay for ever. The zero value is empty.
type readyList struct{ first, last *Conn }

func (l *readyList) add(c *Conn) {
	c.prevReady = l.last
	if l.last == nil {
		l.first = c
	} else {
		l.last.nextReady = c
	}
	l.last = c
	c.queued.Store(true)
}

func (l *readyList) remove(c *Conn) {
	if c.prevReady == nil {
		l.first = c.nextReady
	} else {
		c.prevReady.nextReady = c.nextReady
	}
	if c.nextReady == nil {
		l.last = c.prevReady
	} else {
		c.nextReady.prevReady = c.prevReady
	}
	c.prevReady, c.nextReady = nil, nil
	c.queued.Store(false)
}

// Close closes the sockets. Connections that used them find no way to their
// peers any more; close them first.
func (h *Host) Close() error {
	if h.done == nil {
		return ErrUnconfigured
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	for h.ready.first != nil {
		h.ready.remove(h.ready.first)
	}
	close(h.done)
	var errs []error
	for _, s := range h.sockets {
		errs = append(errs, s.Close())
	}
	if h.tcp != nil {
		errs = append(errs, h.tcp.Close())
	}
	return errors.Join(errs...)
}

// hostNetwork is a Host as a peer sees it.
type hostNetwork struct{ host *Host }

func (n hostNetwork) open(h handler, choice addressChoice) ([]port, []local, error) {
	var all sharedPort
	for _, s := range n.host.sockets {
		p, err := s.Attach(h, 0, false)
		if err != nil {
			all.Close()
			return nil, nil, err
		}
		all = append(all, p)
	}
	bound := n.host.Addr()
	addrs := []netip.Addr{bound.Addr()}
	if bound.Addr().IsUnspecified() {
		var err error
		if addrs, err = choice.ofMachine(); err != nil {
			all.Close()
			return nil, nil, err
		}
	}
	var locals []local
	for _, a := range addrs {
		if a.Is4() || bound.Addr().Is6() {
			locals = append(locals, local{addr: netip.AddrPortFrom(a, bound.Port())})
		}
	}
	ports := []port{all}
	if len(all) == 1 {
		ports[0] = all[0]
	}
	if err := n.listenTCP(h, addrs, &ports, &locals); err != nil {
		all.Close()
		return nil, nil, err
	}
	return ports, locals, nil
}

// watch is of network. A host that has one address only keeps it.
func (n hostNetwork) watch(changed func(all []netip.Addr)) (stop func()) {
	if !n.host.Addr().Addr().IsUnspecified() {
		return func() {}
	}
	return interfaceWatch.add(changed)
}

// appeared is of network: the host's sockets serve every address.
func (n hostNetwork) appeared(h handler, sock ice.Sock, addr netip.Addr) (port, []local, error) {
	bound := n.host.Addr()
	if addr.Is6() && bound.Addr().Is4() {
		return nil, nil, errors.New("rtcpeer: the host serves IPv4 only")
	}
	return nil, append([]local{{addr: netip.AddrPortFrom(addr, bound.Port())}}, n.passive(addr)...), nil
}

// sharedPort is a peer's way to several sockets of one address. The kernel
// chooses whose reader hears a far address; any socket can write to it.
type sharedPort []*udpmux.Port

func (s sharedPort) AddUfrag(ufrag string) error {
	for _, p := range s {
		if err := p.AddUfrag(ufrag); err != nil {
			return err
		}
	}
	return nil
}

func (s sharedPort) RemoveUfrag(ufrag string) {
	for _, p := range s {
		p.RemoveUfrag(ufrag)
	}
}

func (s sharedPort) Bind(remote netip.AddrPort) error {
	for _, p := range s {
		if err := p.Bind(remote); err != nil {
			return err
		}
	}
	return nil
}

func (s sharedPort) Claim(remote netip.AddrPort) error {
	for _, p := range s {
		if err := p.Claim(remote); err != nil {
			return err
		}
	}
	return nil
}

func (s sharedPort) Unbind(remote netip.AddrPort) {
	for _, p := range s {
		p.Unbind(remote)
	}
}

func (s sharedPort) Write(r ice.Route, b []byte, segment int) bool { return s[0].Write(r, b, segment) }

func (s sharedPort) Close() {
	for _, p := range s {
		p.Close()
	}
}
