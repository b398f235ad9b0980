package tcpmux

import (
	"bytes"
	"container/list"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// A Listener listens on a TCP address for any number of transports.
type Listener struct {
	listener net.Listener
	local    netip.AddrPort
	log      *slog.Logger
	limits   limits
	// unclaimed is nil if connections for unknown ufrags are closed.
	unclaimed Unclaimed

	mu       sync.Mutex
	closed   bool
	ports    map[*Port]bool
	ufrags   map[string]*Port
	halfOpen list.List            // connections that no transport has authenticated yet, as *halfOpen; the oldest first
	sources  map[netip.Prefix]int // number of half-open connections from each source
}

// A halfOpen is a connection that no transport has authenticated yet.
type halfOpen struct {
	conn   net.Conn
	source netip.Prefix
	place  *list.Element // place in Listener.halfOpen; nil: the connection is no longer half-open
	gone   chan struct{} // closed when the connection is evicted
}

// An Unclaimed function is called with the first datagram of a connection if it is a
// check that names the ufrag of no transport. When the returned channel is closed, the
// listener looks for the transport again. If the function returns nil, the connection
// is closed at once. b is valid only during the call.
type Unclaimed func(now time.Time, remote netip.AddrPort, b []byte) (claimed <-chan struct{})

// Listen opens a listener. The zero Addr stands for all addresses: of both families on
// a system with IPv6, otherwise of IPv4. unclaimed and logger may be nil.
func Listen(addr netip.AddrPort, unclaimed Unclaimed, logger *slog.Logger) (*Listener, error) {
	return listen(addr, unclaimed, logger, defaultLimits)
}

func listen(addr netip.AddrPort, unclaimed Unclaimed, logger *slog.Logger, bounds limits) (*Listener, error) {
	network, text := "tcp", addr.String()
	switch ip := addr.Addr(); {
	case ip.Is4():
		network = "tcp4" // "tcp" would bind 0.0.0.0 as a dual-stack IPv6 socket
	case !ip.IsValid():
		text = fmt.Sprintf(":%d", addr.Port())
	}
	l, err := net.Listen(network, text)
	if err != nil {
		return nil, fmt.Errorf("tcpmux: %w", err)
	}
	return serve(l, unclaimed, logger, bounds)
}

// Serve does what Listen does, with a net.Listener of the caller. Close closes the
// net.Listener.
func Serve(l net.Listener, unclaimed Unclaimed, logger *slog.Logger) (*Listener, error) {
	return serve(l, unclaimed, logger, defaultLimits)
}

func serve(l net.Listener, unclaimed Unclaimed, logger *slog.Logger, bounds limits) (*Listener, error) {
	local := addrPortOf(l.Addr())
	if !local.IsValid() {
		return nil, fmt.Errorf("tcpmux: the address %v of the listener is no IP address with a port", l.Addr())
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m := &Listener{
		listener: l, local: local, log: logger, limits: bounds, unclaimed: unclaimed, ports: map[*Port]bool{},
		ufrags: map[string]*Port{}, sources: map[netip.Prefix]int{},
	}
	go m.accept()
	return m, nil
}

// addrPortOf returns the IP address and port of a net.Addr. It returns an invalid
// AddrPort if the net.Addr has none.
func addrPortOf(a net.Addr) netip.AddrPort {
	var p netip.AddrPort
	if t, ok := a.(*net.TCPAddr); ok {
		p = t.AddrPort()
	} else if a != nil {
		p, _ = netip.ParseAddrPort(a.String())
	}
	return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
}

// LocalAddr returns the address of the listener.
func (m *Listener) LocalAddr() netip.AddrPort { return m.local }

// Close closes the listener and all its connections.
func (m *Listener) Close() error {
	m.mu.Lock()
	if m.closed {
		m.mu.Unlock()
		return ErrClosed
	}
	m.closed = true
	ports := m.ports
	m.ports = nil
	for m.halfOpen.Len() > 0 {
		m.evict(m.halfOpen.Front().Value.(*halfOpen))
	}
	m.mu.Unlock()
	for p := range ports {
		p.Close()
	}
	return m.listener.Close()
}

// acceptPause is the pause after Accept has failed, for example because the system has
// no free resources.
const acceptPause = 100 * time.Millisecond

func (m *Listener) accept() {
	for {
		conn, err := m.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			m.log.Warn("connection not accepted", "error", err)
			time.Sleep(acceptPause)
			continue
		}
		remote := addrPortOf(conn.RemoteAddr())
		h := &halfOpen{conn: conn, source: sourceOf(remote.Addr()), gone: make(chan struct{})}
		if !remote.IsValid() || !m.admit(h) {
			conn.Close()
			continue
		}
		go m.welcome(h)
	}
}

// sourceOf returns the network that is treated as one source of connections.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // the lengths are always valid
	return p
}

// admit adds a connection to the half-open ones. If there are too many in total, or
// too many from its source, the oldest of them is closed. A remote that really wants
// to connect sends a check within a round trip. An attacker would have to open
// connections all the time.
func (m *Listener) admit(h *halfOpen) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	switch {
	case m.sources[h.source] >= m.limits.fromSource:
		for e := m.halfOpen.Front(); e != nil; e = e.Next() {
			if o := e.Value.(*halfOpen); o.source == h.source {
				m.evict(o)
				break
			}
		}
	case m.halfOpen.Len() >= m.limits.halfOpen:
		m.evict(m.halfOpen.Front().Value.(*halfOpen))
	}
	h.place = m.halfOpen.PushBack(h)
	m.sources[h.source]++
	return true
}

// evict closes a half-open connection, which ends its reader goroutine. m.mu must be
// held.
func (m *Listener) evict(h *halfOpen) {
	m.remove(h)
	h.conn.Close()
	close(h.gone)
}

// remove removes a connection from the half-open ones. m.mu must be held.
func (m *Listener) remove(h *halfOpen) {
	if h.place == nil {
		return
	}
	m.halfOpen.Remove(h.place)
	h.place = nil
	if m.sources[h.source]--; m.sources[h.source] == 0 {
		delete(m.sources, h.source)
	}
}

// settle removes a connection from the half-open ones, unless it was evicted.
func (m *Listener) settle(h *halfOpen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(h)
}

// welcome reads the first datagram of a connection. It hands the connection and the
// datagram to the transport that the datagram names.
func (m *Listener) welcome(h *halfOpen) {
	conn, settle := h.conn, func() { m.settle(h) }
	conn.SetReadDeadline(time.Now().Add(m.limits.first))
	first, err := readFirst(conn)
	p := m.portFor(first)
	if err == nil && p == nil && m.unclaimed != nil {
		p = m.awaitPort(h, first)
	}
	if err != nil || p == nil {
		settle()
		conn.Close()
		return
	}
	p.adopt(conn, first, settle)
}

// portFor returns the port for a connection that begins with the check first. It is the
// port with the check's whole USERNAME, or else the port with the ufrag before the
// colon, or nil.
func (m *Listener) portFor(first []byte) *Port {
	username, ufrag := namesOf(first)
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.ufrags[username]; p != nil {
		return p
	}
	return m.ufrags[ufrag]
}

// awaitPort waits until a transport has the ufrag that the first datagram of a
// connection names, and returns the transport's port. It returns nil if no transport
// has the ufrag before limits.proof is over, or if the connection is evicted.
func (m *Listener) awaitPort(h *halfOpen, first []byte) *Port {
	if _, ufrag := namesOf(first); ufrag == "" {
		return nil
	}
	claimed := m.unclaimed(time.Now(), addrPortOf(h.conn.RemoteAddr()), first)
	if claimed == nil {
		return nil
	}
	timeout := time.NewTimer(m.limits.proof)
	defer timeout.Stop()
	select {
	case <-claimed:
		return m.portFor(first)
	case <-timeout.C:
	case <-h.gone:
	}
	return nil
}

// errFirst says that the first datagram of a connection is not a check, or is too
// short or too long.
var errFirst = errors.New("tcpmux: no check comes first")

func readFirst(r io.Reader) ([]byte, error) {
	var head [2 + 20]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := int(head[0])<<8 + int(head[1])
	if n < 20 || n > maxFirst || !stun.Is(head[2:]) {
		return nil, errFirst
	}
	b := make([]byte, n)
	copy(b, head[2:])
	_, err := io.ReadFull(r, b[20:])
	return b, err
}

// namesOf returns the USERNAME of the check b, and the local ufrag before the colon in
// the USERNAME. Both are empty if b is not a check.
func namesOf(b []byte) (username, ufrag string) {
	m, err := stun.Parse(b)
	if err != nil || m.Type() != stun.BindingRequest {
		return "", ""
	}
	name, _ := m.Get(stun.AttrUsername)
	local, _, ok := bytes.Cut(name, []byte{':'})
	if !ok {
		return "", ""
	}
	return string(name), string(local)
}

// A Port attaches one transport to a Listener.
type Port struct {
	listener *Listener
	ufrags   []string // guarded by listener.mu
	links
}

// Attach attaches a transport to the listener. The transport's routes have the Sock
// sock.
func (m *Listener) Attach(h Handler, sock ice.Sock) (*Port, error) {
	p := &Port{listener: m}
	p.init(h, sock)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	m.ports[p] = true
	return p, nil
}

// AddUfrag hands a connection to the transport if its first check names this local
// ufrag. A ufrag that is a whole USERNAME (local ufrag, colon, remote ufrag) stands for
// the checks with exactly that USERNAME. The error is ErrTaken if the ufrag belongs to
// another transport.
func (p *Port) AddUfrag(ufrag string) error {
	m := p.listener
	m.mu.Lock()
	defer m.mu.Unlock()
	switch holder := m.ufrags[ufrag]; {
	case m.closed || !m.ports[p]:
		return ErrClosed
	case holder == p:
		return nil
	case holder != nil || ufrag == "":
		return ErrTaken
	}
	if len(p.ufrags) >= maxUfrags { // there is no room: the oldest ufrag, which belongs to a restart long ago, is removed
		delete(m.ufrags, p.ufrags[0])
		p.ufrags = slices.Delete(p.ufrags, 0, 1)
	}
	m.ufrags[ufrag] = p
	p.ufrags = append(p.ufrags, ufrag)
	return nil
}

// RemoveUfrag undoes AddUfrag.
func (p *Port) RemoveUfrag(ufrag string) {
	m := p.listener
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ufrags[ufrag] == p {
		delete(m.ufrags, ufrag)
		p.ufrags = slices.DeleteFunc(p.ufrags, func(u string) bool { return u == ufrag })
	}
}

// adopt takes over a connection and its first datagram.
func (p *Port) adopt(conn net.Conn, first []byte, settle func()) {
	k := &link{
		owner: &p.links, remote: addrPortOf(conn.RemoteAddr()), local: addrPortOf(conn.LocalAddr()).Addr(), settle: settle,
	}
	p.mu.Lock()
	var evicted *link
	refused := p.closed || p.links.links[k.remote] != nil
	if n, oldest := p.unproven(); !refused && (n >= maxUnproven || len(p.links.links) >= maxConns) {
		evicted, refused = oldest, oldest == nil
	}
	if !refused {
		p.adopted++
		k.number = p.adopted
		p.links.links[k.remote] = k
	}
	p.mu.Unlock()
	if evicted != nil {
		evicted.lost(ErrLimit)
	}
	if refused {
		settle()
		conn.Close()
		return
	}
	k.start(conn, first, p.listener.limits.proof)
}

// Write queues the datagrams in b for r.Remote, which must have connected. Each
// datagram has segment bytes; the last one may be shorter. Write never blocks. ok is
// false when the connection is full; Handler.Writable is called later.
func (p *Port) Write(r ice.Route, b []byte, segment int) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.links.links[r.Remote]
	if k == nil && !p.closed {
		go p.handler.RouteClosed(ice.Route{Sock: p.sock, Local: r.Local, Remote: r.Remote}, ErrNoConn)
	}
	if k == nil {
		return true
	}
	return k.write(r, b, segment)
}

// Close detaches the transport and closes its connections. No call of its Handler
// begins after Close, but one may still be running.
func (p *Port) Close() {
	m := p.listener
	m.mu.Lock()
	for _, u := range p.ufrags {
		delete(m.ufrags, u)
	}
	p.ufrags = nil
	delete(m.ports, p)
	m.mu.Unlock()
	p.close()
}
