package rtcpeer

import (
	"crypto/rand"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"purertc/ice"
	"purertc/rtcpeer/internal/udpmux"
)

// processMDNS is the process's pair of multicast DNS sockets, open while a transport
// uses it. The port is shared by all programs of the machine, and every socket on it
// receives every packet.
var processMDNS struct {
	mu    sync.Mutex
	mdns  *udpmux.MDNS
	users int
}

// An mdnsUser is a transport's use of the sockets.
type mdnsUser struct{ port *udpmux.MDNSPort }

func acquireMDNS(h udpmux.Handler) (*mdnsUser, error) {
	s := &processMDNS
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mdns == nil {
		m, err := udpmux.ListenMDNS()
		if err != nil {
			return nil, err
		}
		s.mdns = m
	}
	s.users++
	return &mdnsUser{s.mdns.Attach(h)}, nil
}

func (u *mdnsUser) release() {
	u.port.Close()
	s := &processMDNS
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		// Close waits for the readers, which may wait for this transport's lock.
		go s.mdns.Close()
		s.mdns = nil
	}
}

// writeMDNS sends a query for a remote name, or an answer about a local one (RFC
// 6762).
func (p *peer) writeMDNS(r ice.Route, b []byte) {
	if p.useMDNS(); p.mdns != nil {
		p.mdns.port.Write(r, b)
	}
}

// useMDNS opens the sockets, unless they are open.
func (p *peer) useMDNS() {
	if p.closed || !p.multicast || p.mdns != nil {
		return
	}
	u, err := acquireMDNS(p)
	if err != nil {
		p.log.Warn("no multicast DNS: names ending in .local cannot be looked up or answered for", "error", err)
		return
	}
	p.mdns = u
}

// nameOf returns the name that hides a local address: a random UUID (RFC 9562 §5.4).
func (p *peer) nameOf(a netip.Addr) string {
	g := &p.gatherer
	if g.names == nil {
		g.names = map[netip.Addr]string{}
	}
	if g.names[a] == "" {
		var u [16]byte
		if _, err := io.ReadFull(p.random, u[:]); err != nil {
			rand.Read(u[:]) // never fails
		}
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		g.names[a] = fmt.Sprintf("%x-%x-%x-%x-%x.local", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	}
	return g.names[a]
}

// releaseMDNS closes the sockets, once names are not needed any more.
func (p *peer) releaseMDNS() {
	if p.mdns != nil {
		p.mdns.release()
		p.mdns = nil
	}
}
