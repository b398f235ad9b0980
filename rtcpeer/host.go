package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/tcpmux"
	"purertc/rtcpeer/internal/udpmux"
)

// HostConfig configures a Host.
type HostConfig struct {
	// Addr is the UDP address to serve, such as ":3478" or "127.0.0.1:0". Empty: any
	// port of all addresses. Without an address it serves both families, or IPv4 if
	// the system has no IPv6. On systems other than Linux, a machine with several
	// addresses of one family should name one: there the system chooses the source
	// address of answers.
	Addr string
	// Sockets is how many sockets share the address (SO_REUSEPORT), each with a reader
	// goroutine, so that several processors serve it. 0: one. More than one is
	// possible on Linux only.
	Sockets int
	// TCPAddr is a TCP address to serve beside it, such as ":443", for remotes without
	// UDP: each connection then has passive TCP candidates (RFC 6544), which browsers
	// connect to. Empty: none.
	TCPAddr string
	// PacketConn, if set, takes the place of Addr and Sockets: the host reads and
	// writes this socket of the program, which may also be one of a network in user
	// space, in memory, or behind another protocol's demultiplexer; see the page
	// SOCKETS. A *net.UDPConn is as fast as a socket of the host. Any other PacketConn
	// costs a call for each datagram, its WriteTo must not wait for long, and datagrams
	// stay at Config.MaxDatagramSize. Until Host.Close, nothing else may read from it
	// or set its read deadline. Host.Close does not close it: a read deadline ends the
	// host's reader, and is removed again.
	PacketConn net.PacketConn
	// Listener, if set, takes the place of TCPAddr. The addresses of its connections
	// must be IP addresses with a port. Host.Close closes it, as net/http does with
	// the listener of a server, because nothing else ends a call of Accept.
	Listener net.Listener
	// MemoryLimit is how many bytes the remotes of all connections together can make
	// the host keep: everything that Config.MemoryLimit counts, handshakes, and queued
	// datagrams. 0: DefaultHostMemory; at least 1 MiB. While more than half of it is
	// used, a connection may not exceed its share, which is the other half divided by
	// the number of connections. So a connection below its share keeps its receive
	// window whatever the others use. A connection that is already above its share
	// behaves as if its own MemoryLimit were reached, and further data is dropped until the program has read
	// or closed enough. A message that is longer than the share may have to wait for
	// that.
	MemoryLimit int
	// DSCP is Config.DSCP for the host's UDP sockets.
	DSCP int
	// BusyPoll is Config.BusyPoll for the host's UDP sockets.
	BusyPoll time.Duration
	// Logger gets warnings and details of the sockets. Nil: no log.
	Logger *slog.Logger

	hideLocal bool // udpmux.Config.HideLocal, for tests
}

// hostBufferSize is the requested size of the kernel's buffers for a host's socket:
// ten thousand remotes that answer at once fill 8 MiB, since even a short datagram
// counts for 768 bytes.
const hostBufferSize = 16 << 20

// maxHostSockets bounds HostConfig.Sockets.
const maxHostSockets = 64

// A Host is a UDP address that any number of connections share: set it as Config.Host
// of each. One goroutine for each of its sockets reads datagrams. While connections are
// set up, further goroutines, one for each processor but one, do the public-key work.
// A connection that is busy, with a long call of the program or with data of its remote,
// does not delay the others: up to 256 KiB of datagrams are queued for it, and further
// ones are dropped, as when a socket's buffer is full.
//
// Two connections of one Host cannot connect to each other. Two connections to the same
// remote address, that of another Host, cannot be set up at the same time, since their
// handshakes cannot be distinguished.
type Host struct {
	sockets  []*udpmux.Socket
	foreign  bool             // the socket is a PacketConn that is not a UDP socket of the system
	lent     bool             // the program owns the socket
	tcp      *tcpmux.Listener // nil: none
	workers  workers          // run connections during set-up
	memory   hostMemory       // of all connections
	wheel    wheel            // of connected connections
	overload overload         // of connected connections
	incoming incomingChecks   // for Accept
	invites  inviteTable
	done     chan struct{} // closed with the host

	served atomic.Bool // Ready was called: somebody polls connections that have events

	mu     sync.Mutex
	closed bool
	ready  readyList // connections that have something to poll, each once
	more   signal    // wakes Ready
}

// NewHost opens the sockets of a host.
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
	if cfg.DSCP < 0 || cfg.DSCP > maxDSCP {
		return nil, invalid("host: DSCP %d is not 0 to %d", cfg.DSCP, maxDSCP)
	}
	if cfg.PacketConn != nil && (cfg.Addr != "" || cfg.Sockets > 1) {
		return nil, invalid("host: PacketConn takes the place of Addr and Sockets: leave them empty")
	}
	if cfg.Listener != nil && cfg.TCPAddr != "" {
		return nil, invalid("host: Listener takes the place of TCPAddr: leave it empty")
	}
	h := &Host{done: make(chan struct{})}
	h.memory.limit = int64(orDefault(cfg.MemoryLimit, DefaultHostMemory))
	if err := errors.Join(h.openUDP(cfg), h.openTCP(cfg)); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// openUDP opens the host's sockets, or takes the program's PacketConn.
func (h *Host) openUDP(cfg HostConfig) error {
	c := udpmux.Config{
		ReusePort: cfg.Sockets > 1, BufferSize: hostBufferSize, HideLocal: cfg.hideLocal, BusyPoll: cfg.BusyPoll,
		DSCP: cfg.DSCP, Unclaimed: h.unclaimedDatagram, Logger: cfg.Logger,
	}
	if cfg.PacketConn != nil {
		s, err := udpmux.Serve(cfg.PacketConn, c)
		if err != nil {
			return invalid("host: %w", err)
		}
		h.sockets = append(h.sockets, s)
		h.foreign, h.lent = s.Foreign(), true
		return nil
	}
	if cfg.Addr != "" { // else all addresses
		a, err := net.ResolveUDPAddr("udp", cfg.Addr)
		if err != nil {
			return invalid("host address: %w", err)
		}
		c.Addr = netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), uint16(a.Port))
	}
	for range max(1, cfg.Sockets) {
		s, err := udpmux.Listen(c)
		if err != nil {
			return fmt.Errorf("rtcpeer: host: %w", err)
		}
		h.sockets = append(h.sockets, s)
		c.Addr = s.LocalAddr() // the others share the port of the first
	}
	return nil
}

// Addr is the address of the host.
func (h *Host) Addr() netip.AddrPort {
	if len(h.sockets) == 0 {
		return netip.AddrPort{} // a zero Host has no sockets
	}
	return h.sockets[0].LocalAddr()
}

// Ready waits for a connection of this host that has something to poll, so that a few
// goroutines, each in a loop of Ready and Conn.Poll, serve all connections. It returns
// ctx's error, or ErrClosed after Close.
func (h *Host) Ready(ctx context.Context) (*Conn, error) {
	if h.done == nil {
		return nil, ErrUnconfigured
	}
	h.served.Store(true)
	for {
		h.mu.Lock()
		c := h.ready.first
		if c != nil {
			h.ready.remove(c) // later events queue it again
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

// Run polls the connections of this host until ctx ends, like a loop of Ready and
// Conn.Poll. Several goroutines may call it: each serves the next connection. It
// returns ctx's error, or nil after Close. A connection whose remote has vanished
// stays in StateFailed until the program closes it, for example in a handler of
// OnStateChanged.
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

// push queues a connection for Ready, unless it is closed or belongs to another host
// by now: perhaps nobody calls Ready.
func (h *Host) push(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed && !c.queued.Load() && !c.over.Load() && c.host.Load() == h {
		h.ready.add(c)
		h.more.set()
	}
}

// drop removes a connection of this host.
func (h *Host) drop(c *Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.queued.Load() {
		h.ready.remove(c)
	}
}

// A readyList is a list of connections, in order, from which each can be removed: if
// every connection has a goroutine in Run, nobody calls Ready, and closed connections
// would stay for ever. The zero value is empty.
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

// Close closes the sockets. Connections that use them lose their paths; close them
// first. HostConfig.PacketConn stays open, and Close waits until the host does not read
// from it any more, for at most a second. HostConfig.Listener is closed.
func (h *Host) Close() error {
	if h.done == nil {
		return ErrUnconfigured
	}
	err := h.closeSockets()
	if h.lent {
		select {
		case <-h.sockets[0].Done():
		case <-time.After(lentPatience): // the PacketConn has no read deadlines
		}
	}
	return err
}

// lentPatience is how long Close waits for the reader of the program's PacketConn.
const lentPatience = time.Second

func (h *Host) closeSockets() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil
	}
	h.closed = true
	h.mu.Unlock()
	h.invites.close()
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.ready.first != nil {
		h.ready.remove(h.ready.first)
	}
	close(h.done)
	h.incoming.clear()
	var errs []error
	for _, s := range h.sockets {
		errs = append(errs, s.Close())
	}
	if h.tcp != nil {
		errs = append(errs, h.tcp.Close())
	}
	return errors.Join(errs...)
}

// A hostNetwork is a Host as a transport's network.
type hostNetwork struct {
	host *Host
	only []netip.Addr    // Config.LocalAddresses
	tcp  tcpmux.DialFunc // Config.DialContext
}

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
	addrs, err := n.addresses(choice)
	if err != nil {
		all.Close()
		return nil, nil, err
	}
	var locals []local
	for _, a := range addrs {
		locals = append(locals, local{addr: netip.AddrPortFrom(a, n.host.Addr().Port())})
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

// addresses returns the local addresses that the host's sockets serve.
func (n hostNetwork) addresses(choice addressChoice) ([]netip.Addr, error) {
	bound := n.host.Addr().Addr()
	addrs := n.only
	switch {
	case !bound.IsUnspecified():
		addrs = []netip.Addr{bound}
	case addrs == nil:
		var err error
		if addrs, err = choice.ofMachine(); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(addrs), func(a netip.Addr) bool { return a.Is6() && bound.Is4() || !choice.allows(a) }), nil
}

// watch implements network. A host with one address keeps it, and addresses that the
// program chose are not watched.
func (n hostNetwork) watch(changed func(all []netip.Addr)) (stop func()) {
	if !n.host.Addr().Addr().IsUnspecified() || n.only != nil {
		return func() {}
	}
	return interfaceWatch.add(changed)
}

// appeared implements network: the host's sockets serve every address.
func (n hostNetwork) appeared(h handler, sock ice.Sock, addr netip.Addr) (port, []local, error) {
	bound := n.host.Addr()
	if addr.Is6() && bound.Addr().Is4() {
		return nil, nil, errors.New("rtcpeer: the host serves IPv4 only")
	}
	return nil, append([]local{{addr: netip.AddrPortFrom(addr, bound.Port())}}, n.passive(addr)...), nil
}

// A sharedPort is a transport's attachment to several sockets of one address. The
// kernel chooses the socket that receives from a remote address; any socket can send
// to it.
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
