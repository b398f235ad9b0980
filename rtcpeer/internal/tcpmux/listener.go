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

// A Listener is a TCP address that any number of peers can be reached at.
type Listener struct {
	listener net.Listener
	local    netip.AddrPort
	log      *slog.Logger
	limits   limits

	mu       sync.Mutex
	closed   bool
	ports    map[*Port]bool
	ufrags   map[string]*Port
	halfOpen list.List            // of *halfOpen, the oldest first
	sources  map[netip.Prefix]int // how many of halfOpen are of each source
}

// A halfOpen is a connection that no peer has found authentic.
type halfOpen struct {
	conn   net.Conn
	source netip.Prefix
	place  *list.Element // in Listener.halfOpen; nil: it is settled, or evicted
}

// Listen opens a listener. The zero Addr serves all addresses: of both families on a
// system that has IPv6, else IPv4's. logger may be nil.
func Listen(addr netip.AddrPort, logger *slog.Logger) (*Listener, error) {
	return listen(addr, logger, defaultLimits)
}

func listen(addr netip.AddrPort, logger *slog.Logger, bounds limits) (*Listener, error) {
	network, text := "tcp", addr.String()
	switch ip := addr.Addr(); {
	case ip.Is4():
		network = "tcp4" // "tcp" would bind 0.0.0.0 as an IPv6 socket of both families
	case !ip.IsValid():
		text = fmt.Sprintf(":%d", addr.Port())
	}
	l, err := net.Listen(network, text)
	if err != nil {
		return nil, fmt.Errorf("tcpmux: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	m := &Listener{
		listener: l, local: addrPortOf(l.Addr()), log: logger, limits: bounds, ports: map[*Port]bool{},
		ufrags: map[string]*Port{}, sources: map[netip.Prefix]int{},
	}
	go m.accept()
	return m, nil
}

func addrPortOf(a net.Addr) netip.AddrPort {
	t := a.(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(t.Addr().Unmap(), t.Port())
}

// LocalAddr is the address that is listened at.
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
	for e := m.halfOpen.Front(); e != nil; e = e.Next() {
		e.Value.(*halfOpen).conn.Close()
	}
	m.mu.Unlock()
	for p := range ports {
		p.Close()
	}
	return m.listener.Close()
}

// acceptPause is how long nothing is accepted when the system has no room.
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
		h := &halfOpen{conn: conn, source: sourceOf(addrPortOf(conn.RemoteAddr()).Addr())}
		if !m.admit(h) {
			conn.Close()
			continue
		}
		go m.welcome(h)
	}
}

// sourceOf is what counts as one source of connections.
func sourceOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.WithZone("").Prefix(bits) // the lengths are right
	return p
}

// admit counts a connection as half-open. Where there are too many, in all or of its
// source, the oldest is closed: who means to connect sends a check within a round
// trip, and who only occupies the places must go on doing so.
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

// evict closes a half-open connection. Its reader sees the end of it. m.mu is held.
func (m *Listener) evict(h *halfOpen) {
	m.remove(h)
	h.conn.Close()
}

// remove takes a connection out of the count. m.mu is held.
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

// settle takes a connection out of the count, if it was not evicted.
func (m *Listener) settle(h *halfOpen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.remove(h)
}

// welcome reads the first datagram of a connection and gives both to the peer
// that it names.
func (m *Listener) welcome(h *halfOpen) {
	conn, settle := h.conn, func() { m.settle(h) }
	conn.SetReadDeadline(time.Now().Add(m.limits.first))
	first, err := readFirst(conn)
	m.mu.Lock()
	p := m.ufrags[ufragOf(first)]
	m.mu.Unlock()
	if err != nil || p == nil {
		settle()
		conn.Close()
		return
	}
	p.adopt(conn, first, settle)
}

// errFirst is what a first datagram is that is too short or too long.
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

// ufragOf is the local ufrag that a check names; "" if it is none.
func ufragOf(b []byte) string {
	m, err := stun.Parse(b)
	if err != nil || m.Type() != stun.BindingRequest {
		return ""
	}
	username, _ := m.Get(stun.AttrUsername)
	ufrag, _, ok := bytes.Cut(username, []byte{':'})
	if !ok {
		return ""
	}
	return string(ufrag)
}

// A Port is one peer's attachment to a Listener.
type Port struct {
	listener *Listener
	ufrags   []string // under listener.mu
	links
}

// Attach connects a peer to the listener, under the number that its routes
// will carry.
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

// AddUfrag has connections whose first check names this local ufrag given to
// the peer. One that another peer has is ErrTaken.
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
	if len(p.ufrags) >= maxUfrags { // those of restarts long ago
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

// adopt takes a connection over with its first datagram.
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

// Write queues datagrams of segment bytes, the last one maybe shorter, for
// r.Remote, which must have connected. It never blocks. ok is false when the
// connection is full: Handler.Writable follows.
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

// Close detaches the peer and closes its connections; no call of its Handler
// begins afterwards, though one may be under way.
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
