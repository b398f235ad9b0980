package rtcpeer

import (
	"sync"

	"purertc/ice"
	"purertc/ice/udpmux"
)

// processMDNS is the one pair of multicast DNS sockets of the process, open
// while a peer asks for a name: the port is the machine's, and every socket
// on it hears every answer.
var processMDNS struct {
	mu    sync.Mutex
	mdns  *udpmux.MDNS
	users int
}

// A mdnsUser is a peer's use of the sockets.
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
		// Close waits for the readers, which may wait for our peer's lock.
		go s.mdns.Close()
		s.mdns = nil
	}
}

// writeMDNS sends a query for one of the far end's names (RFC 6762).
func (p *peer) writeMDNS(r ice.Route, b []byte) {
	if p.closed || !p.multicast {
		return
	}
	if p.mdns == nil {
		u, err := acquireMDNS(p)
		if err != nil {
			p.log.Warn("the peer's names cannot be looked up by multicast DNS", "error", err)
			return
		}
		p.mdns = u
	}
	p.mdns.port.Write(r, b)
}

// releaseMDNS gives the sockets back, when no name is of interest any more.
func (p *peer) releaseMDNS() {
	if p.mdns != nil {
		p.mdns.release()
		p.mdns = nil
	}
}
