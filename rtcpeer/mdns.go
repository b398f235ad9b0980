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

// processMDNS contains the multicast DNS sockets of this process, one for each address
// family. They are open while a transport uses them. All programs on the machine share
// the port, and every socket on the port receives every packet.
var processMDNS struct {
	mu    sync.Mutex
	mdns  *udpmux.MDNS
	users int
}

// An mdnsUser is one transport's attachment to the sockets.
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
		// Close waits for the readers, and a reader may wait for this transport's
		// lock.
		go s.mdns.Close()
		s.mdns = nil
	}
}

// writeMDNS sends a query for a remote name, or an answer about a local one (RFC
// 6762).
func (g *gatherer) writeMDNS(r ice.Route, b []byte) {
	if g.useMDNS(); g.mdns != nil {
		g.mdns.port.Write(r, b)
	}
}

// useMDNS opens the sockets, unless they are already open.
func (g *gatherer) useMDNS() {
	if !g.multicast || g.mdns != nil {
		return
	}
	u, err := acquireMDNS(g.owner)
	if err != nil {
		g.log.Warn("no multicast DNS: names ending in .local cannot be looked up or answered for", "error", err)
		return
	}
	g.mdns = u
}

// nameOf returns the name that hides a local address: a random UUID (RFC 9562 §5.4).
func (g *gatherer) nameOf(a netip.Addr) string {
	if g.names == nil {
		g.names = map[netip.Addr]string{}
	}
	if g.names[a] == "" {
		var u [16]byte
		if _, err := io.ReadFull(g.random, u[:]); err != nil {
			rand.Read(u[:]) // crypto/rand never fails
		}
		u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
		g.names[a] = fmt.Sprintf("%x-%x-%x-%x-%x.local", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
	}
	return g.names[a]
}

// releaseMDNS is called when the transport needs no names any more. The sockets are
// closed when no transport uses them.
func (g *gatherer) releaseMDNS() {
	if g.mdns != nil {
		g.mdns.release()
		g.mdns = nil
	}
}
