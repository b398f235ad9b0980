package rtcpeer

// Stats are figures of a connection, in the W3C's getStats vocabulary.
type Stats struct {
	Transport TransportStats
}

// TransportStats are figures of the ICE and DTLS transports.
type TransportStats struct {
	DTLSState   string // "new", "connecting", "connected", "closed" or "failed"
	DTLSVersion string // "1.2" or "1.3"; empty until known
	DTLSCipher  string // as the IANA registry writes it
	DTLSGroup   string // likewise
	DTLSRole    string // "client" or "server"; empty until known
}

// Stats returns figures of the connection. They are zero where the extension
// in use has none.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.ext.(*stack); ok && s.peer != nil {
		return s.peer.stats()
	}
	return Stats{}
}

func (p *peer) stats() (s Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := &s.Transport
	t.DTLSState = "new"
	d := p.core.dtls
	if d == nil {
		return s
	}
	switch {
	case p.core.err != nil && !p.core.remoteClosed:
		t.DTLSState = "failed"
	case p.closed:
		t.DTLSState = "closed"
	case d.Established():
		t.DTLSState = "connected"
	default:
		t.DTLSState = "connecting"
	}
	t.DTLSRole = "server"
	if p.neg.client {
		t.DTLSRole = "client"
	}
	if cs := d.ConnectionState(); cs.Version != 0 {
		t.DTLSVersion, t.DTLSCipher, t.DTLSGroup = cs.Version.String(), cs.CipherSuite.String(), cs.Group.String()
	}
	return s
}
