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

// A middle is a network between the two ends. The remote end is behind a NAT. The
// middle replaces each local address by an address of its own. The socket with that
// address is called a door. A datagram that the remote end sends to a door is
// forwarded to the local end from a socket of the NAT. The NAT has one socket for each
// socket of the remote end.
type middle struct {
	addr    netip.Addr
	delay   time.Duration // delay in each direction
	loss    float64       // probability that a datagram is lost
	twice   float64       // probability that a datagram arrives twice
	late    float64       // probability that a datagram is delayed for the time delay once more, so that later ones overtake it
	rate    float64       // bytes a second in each direction
	queue   float64       // maximum number of bytes that wait because of rate
	renewal time.Duration // time after which the NAT replaces a socket; 0: never

	mu     sync.Mutex
	rng    *rand.Rand
	doors  map[netip.AddrPort]*door // the doors, by the local addresses that they replace
	opened []*net.UDPConn
	moved  time.Time    // when the NAT first replaced a socket; zero: it has not replaced any
	free   [2]time.Time // when all waiting bytes will have been sent: to the local end, and to the remote end
	lines  [2]chan parcel
}

// A parcel is a datagram on its way.
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
		m.lines[i] = nil // the datagrams in this queue are lost
	}
}

// A door is the socket that replaces one local address. The remote end sends to it.
type door struct {
	ours  netip.AddrPort
	conn  *net.UDPConn
	known map[netip.AddrPort]*mapping // the NAT's sockets, by the addresses of the remote end
}

// A mapping is the NAT's socket for one socket of the remote end.
type mapping struct {
	conn *net.UDPConn
	made time.Time
}

// overhead is the size in bytes of the IP and UDP headers.
const overhead = 28

// through returns a candidate that replaces a local candidate by a door. It returns ""
// for all candidates except IPv4 UDP ones.
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

// listen opens a socket for the middle. m.mu is held.
func (m *middle) listen() (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(m.addr, 0)))
	if err != nil {
		return nil, fmt.Errorf("a socket between the ends: %w", err)
	}
	conn.SetReadBuffer(1 << 20)
	m.opened = append(m.opened, conn)
	return conn, nil
}

// inward carries the datagrams that the remote end sends to a door.
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

// mapped returns the NAT's socket for the remote end's socket with the address from.
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
			return nil // the middle was closed
		}
		nat = &mapping{conn, now}
		d.known[from] = nat
		go m.outward(d, nat, from)
	}
	return nat.conn
}

// renewed returns the time since the NAT first replaced a socket; 0: it has not
// replaced any.
func (m *middle) renewed() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.moved.IsZero() {
		return 0
	}
	return time.Since(m.moved)
}

// outward carries datagrams from the local end to one socket of the remote end, as
// long as the NAT uses this mapping.
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

// carry sends a datagram when its delay has passed, or drops it.
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

// clear closes all sockets. The next case gets new doors.
func (m *middle) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.opened {
		conn.Close()
	}
	m.opened, m.doors, m.free, m.moved = nil, map[netip.AddrPort]*door{}, [2]time.Time{}, time.Time{}
}
