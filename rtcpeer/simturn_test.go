package rtcpeer

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"purertc/ice"
	"purertc/rtcpeer/internal/simnet"
	"purertc/stun"
)

// A simTURN is a TURN server without authentication on a simulated network. Its
// allocations expire unless they are refreshed, and each client has a relayed address
// with a port of its own.
type simTURN struct {
	out     []simLetter
	clients map[netip.AddrPort]*simAllocation // clients by address
	relays  map[uint16]*simAllocation         // allocations by relayed port
	port    uint16
	answers int // number of answered requests
	passed  int // datagrams relayed
}

type simAllocation struct {
	client, relayed netip.AddrPort
	until           time.Time
	permissions     map[netip.Addr]time.Time
	channels        map[uint16]netip.AddrPort
}

// relayOnly replaces the STUN server by a TURN server, and returns the configuration
// of an end with relayed candidates only.
func relayOnly(w *simnet.World) Config {
	w.Attach(newSimTURN(), stunServer.Addr())
	return Config{ICEServers: []ICEServer{{URLs: []string{"turn:" + stunServer.Addr().String()}}}, ICETransportPolicy: ICETransportPolicyRelay}
}

func newSimTURN() *simTURN {
	return &simTURN{clients: map[netip.AddrPort]*simAllocation{}, relays: map[uint16]*simAllocation{}, port: 49152}
}

func (s *simTURN) Advance(now time.Time)  {}
func (s *simTURN) NextTimeout() time.Time { return time.Time{} }

func (s *simTURN) AppendDatagram(now time.Time, dst []byte) (b []byte, local, remote netip.AddrPort, ok bool) {
	if len(s.out) == 0 {
		return dst, local, remote, false
	}
	l := s.out[0]
	s.out = s.out[1:]
	return append(dst, l.b...), l.from, l.to, true
}

func (s *simTURN) send(from, to netip.AddrPort, b []byte) {
	s.out = append(s.out, simLetter{from, to, slices.Clone(b)})
}

func (s *simTURN) HandleDatagram(now time.Time, local, remote netip.AddrPort, b []byte) {
	if local.Port() != stunServer.Port() {
		s.fromPeer(now, s.relays[local.Port()], remote, b)
		return
	}
	c := s.clients[remote]
	if c != nil && now.After(c.until) {
		s.release(c)
		c = nil
	}
	if len(b) > 4 && b[0]&0xc0 == 0x40 { // ChannelData
		if c != nil {
			to := c.channels[binary.BigEndian.Uint16(b)]
			s.toPeer(now, c, to, b[4:4+int(binary.BigEndian.Uint16(b[2:]))])
		}
		return
	}
	m, err := stun.Parse(b)
	switch {
	case err != nil:
	case m.Type().Class() == stun.ClassRequest:
		s.request(now, local, remote, c, m)
	case c != nil:
		to, _ := m.XORAddr(stun.AttrXORPeerAddress)
		if data, ok := m.Get(stun.AttrData); ok {
			s.toPeer(now, c, to, data)
		}
	}
}

func (s *simTURN) release(c *simAllocation) {
	delete(s.clients, c.client)
	delete(s.relays, c.relayed.Port())
}

// toPeer sends a client's data to a peer, if there is a permission.
func (s *simTURN) toPeer(now time.Time, c *simAllocation, to netip.AddrPort, b []byte) {
	if now.After(c.permissions[to.Addr()]) {
		return
	}
	s.passed++
	if d := s.relays[to.Port()]; to.Addr() == stunServer.Addr() { // the peer is a client of this server
		s.fromPeer(now, d, c.relayed, b)
		return
	}
	s.send(c.relayed, to, b)
}

// fromPeer forwards data that came to a relayed address.
func (s *simTURN) fromPeer(now time.Time, c *simAllocation, peer netip.AddrPort, b []byte) {
	if c == nil || now.After(c.permissions[peer.Addr()]) {
		return
	}
	for number, to := range c.channels {
		if to == peer {
			head := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, number), uint16(len(b)))
			s.send(stunServer, c.client, append(head, b...))
			return
		}
	}
	w := stun.Build(nil, stun.NewType(stun.MethodData, stun.ClassIndication), stun.TransactionID{})
	w.XORAddr(stun.AttrXORPeerAddress, peer)
	w.Bytes(stun.AttrData, b)
	s.send(stunServer, c.client, w.Finish())
}

func (s *simTURN) request(now time.Time, local, remote netip.AddrPort, c *simAllocation, m stun.Message) {
	method := m.Type().Method()
	if m.Type() != stun.BindingRequest && (c == nil) != (method == stun.MethodAllocate) {
		w := stun.Build(nil, stun.NewType(method, stun.ClassError), m.TransactionID())
		w.ErrorCode(stun.CodeAllocationMismatch)
		s.send(local, remote, w.Finish())
		return
	}
	s.answers++
	w := stun.Build(nil, stun.NewType(method, stun.ClassSuccess), m.TransactionID())
	peer, _ := m.XORAddr(stun.AttrXORPeerAddress)
	switch method {
	case stun.MethodAllocate:
		s.port++
		c = &simAllocation{
			client: remote, relayed: netip.AddrPortFrom(local.Addr(), s.port), until: now.Add(10 * time.Minute),
			permissions: map[netip.Addr]time.Time{}, channels: map[uint16]netip.AddrPort{},
		}
		s.clients[remote], s.relays[s.port] = c, c
		w.XORAddr(stun.AttrXORRelayedAddress, c.relayed)
		w.Uint32(stun.AttrLifetime, 600)
	case stun.MethodRefresh:
		lifetime, _ := m.Uint32(stun.AttrLifetime)
		if c.until = now.Add(time.Duration(lifetime) * time.Second); lifetime == 0 {
			s.release(c)
		}
		w.Uint32(stun.AttrLifetime, lifetime)
	case stun.MethodCreatePermission:
		c.permissions[peer.Addr()] = now.Add(5 * time.Minute)
	case stun.MethodChannelBind:
		number, _ := m.Uint32(stun.AttrChannelNumber)
		c.channels[uint16(number>>16)] = peer
		c.permissions[peer.Addr()] = now.Add(5 * time.Minute)
	}
	w.XORAddr(stun.AttrXORMappedAddress, remote)
	s.send(local, remote, w.Finish())
}

var _ simnet.Node = (*simTURN)(nil)
var _ = ice.Relay
