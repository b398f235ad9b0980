package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A middle is a network between the two ends, with a NAT in front of the remote one.
// It replaces each local address by a socket of its own, a door. What the remote end
// sends to a door reaches the local end from a socket of the NAT, which has one for
// each socket of the remote end.
type middle struct {
	addr    netip.Addr
	delay   time.Duration // in each direction
	loss    float64       // probabilities: that a datagram is lost,
	twice   float64       // that it arrives twice,
	late    float64       // that it arrives another delay later, behind others
	rate    float64       // bytes a second, in each direction
	queue   float64       // bytes queued for the rate
	renewal time.Duration // how long the NAT keeps its sockets; 0: for ever

	mu     sync.Mutex
	rng    *rand.Rand
	doors  map[netip.AddrPort]*door // by local address
	opened []*net.UDPConn
	moved  time.Time    // when the NAT first renewed a socket; zero: never
	free   [2]time.Time // when the queue is empty: to the local end, and to the remote end
	lines  [2]chan parcel
}

// A parcel is a datagram in transit.
type parcel struct {
	at time.Time
	by *net.UDPConn
	to netip.AddrPort
	b  []byte
}

func (p parcel) send() { p.by.WriteToUDPAddrPort(p.b, p.to) }

func (m *middle) start() {
	m.rng = rand.New(rand.NewPCG(1, 1))
	m.doors = map[netip.AddrPort]*door{}
	for i := range m.lines {
		m.lines[i] = make(chan parcel, 4096)
		go func() {
			for p := range m.lines[i] {
				time.Sleep(time.Until(p.at))
				p.send()
			}
		}()
	}
}

func (m *middle) end() {
	m.clear()
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.lines {
		close(m.lines[i])
		m.lines[i] = nil // its datagrams are lost
	}
}

// A door is the middle's socket in place of one local address: the remote end sends to
// it.
type door struct {
	ours  netip.AddrPort
	conn  *net.UDPConn
	known map[netip.AddrPort]*mapping // by the remote end's address
}

// A mapping is the NAT's socket for one socket of the remote end.
type mapping struct {
	conn *net.UDPConn
	made time.Time
}

// overhead is the size of the IP and UDP headers.
const overhead = 28

// through replaces a local candidate by one in the middle. Others than IPv4 UDP
// candidates are removed.
func (m *middle) through(candidate string) string {
	f := strings.Fields(candidate)
	if len(f) < 8 || !strings.EqualFold(f[2], "udp") {
		return ""
	}
	ours, err := netip.ParseAddrPort(f[4] + ":" + f[5])
	if err != nil || !ours.Addr().Is4() {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.doors[ours]
	if d == nil {
		conn, err := m.listen()
		if err != nil {
			return ""
		}
		d = &door{ours: ours, conn: conn, known: map[netip.AddrPort]*mapping{}}
		m.doors[ours] = d
		go m.inward(d)
	}
	f[4], f[5] = m.addr.String(), strconv.Itoa(d.conn.LocalAddr().(*net.UDPAddr).Port)
	return strings.Join(f, " ")
}

// listen opens a socket in the middle. The lock is held.
func (m *middle) listen() (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.addr, 0)))
	if err != nil {
		return nil, fmt.Errorf("a socket between the ends: %w", err)
	}
	conn.SetReadBuffer(1 << 20)
	m.opened = append(m.opened, conn)
	return conn, nil
}

// inward carries datagrams from the remote end.
func (m *middle) inward(d *door) {
	b := make([]byte, 65536)
	for {
		n, from, err := d.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		if nat := m.mapped(d, from); nat != nil {
			m.carry(0, nat, d.ours, b[:n])
		}
	}
}

// mapped returns the NAT's socket for one of the remote end's.
func (m *middle) mapped(d *door, from netip.AddrPort) *net.UDPConn {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	nat := d.known[from]
	if nat == nil || m.renewal > 0 && now.Sub(nat.made) > m.renewal {
		if nat != nil && m.moved.IsZero() {
			m.moved = now
		}
		conn, err := m.listen()
		if err != nil {
			return nil // closed
		}
		nat = &mapping{conn, now}
		d.known[from] = nat
		go m.outward(d, nat, from)
	}
	return nat.conn
}

// renewed returns how long ago the NAT first renewed a socket; 0: it has not.
func (m *middle) renewed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved.IsZero() {
		return 0
	}
	return time.Since(m.moved)
}

// outward carries datagrams to one of the remote end's sockets, as long as the NAT has
// the mapping.
func (m *middle) outward(d *door, nat *mapping, to netip.AddrPort) {
	b := make([]byte, 65536)
	for {
		n, from, err := nat.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		m.mu.Lock()
		current := d.known[to] == nat
		m.mu.Unlock()
		if current && from == d.ours {
			m.carry(1, d.conn, to, b[:n])
		}
	}
}

// carry sends a datagram when its time has come, or loses it.
func (m *middle) carry(direction int, by *net.UDPConn, to netip.AddrPort, b []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.rng.Float64() < m.loss {
		return
	}
	now := time.Now()
	free := &m.free[direction]
	if free.Before(now) {
		*free = now
	}
	if free.Sub(now).Seconds()*m.rate > m.queue {
		return
	}
	*free = free.Add(time.Duration(float64(len(b)+overhead) / m.rate * 1e9))
	p := parcel{free.Add(m.delay), by, to, append([]byte(nil), b...)}
	if m.rng.Float64() < m.twice {
		time.AfterFunc(time.Until(p.at)+m.delay/2, p.send)
	}
	if m.rng.Float64() < m.late {
		time.AfterFunc(time.Until(p.at)+m.delay, p.send)
		return
	}
	select {
	case m.lines[direction] <- p:
	default:
	}
}

// clear closes everything: the next case has doors of its own.
func (m *middle) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.opened {
		conn.Close()
	}
	m.opened, m.doors, m.free, m.moved = nil, map[netip.AddrPort]*door{}, [2]time.Time{}, time.Time{}
}
