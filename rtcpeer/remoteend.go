package rtcpeer

import (
	"net"

	"purertc/ice"
)

// A CandidatePair is the local and the remote candidate of a path.
type CandidatePair struct{ Local, Remote ice.Candidate }

// SelectedPair returns the candidates on which data is sent. After the connection has
// failed or was closed it returns the last ones. ok is false if there were none so far.
// Of a relayed local candidate, Related is the address that the TURN server sees.
func (c *Conn) SelectedPair() (pair CandidatePair, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return selectedPairOf(c.ext)
}

func selectedPairOf(ext Extension) (pair CandidatePair, ok bool) {
	if x, is := ext.(PairExtension); is {
		return x.SelectedPair()
	}
	return CandidatePair{}, false
}

// Descriptions are the descriptions of a connection (RFC 8829 §3.5). One that does not
// exist is zero.
type Descriptions struct {
	CurrentLocal, PendingLocal   Description
	CurrentRemote, PendingRemote Description
}

// Descriptions returns the current and the pending descriptions. The latest local one
// has the candidates gathered so far. They are zero if the Extension is no
// RemoteExtension.
func (c *Conn) Descriptions() Descriptions {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.ext.(RemoteExtension); ok {
		return x.Descriptions()
	}
	return Descriptions{}
}

// RemoteCertificate returns the remote's certificate in DER form, as
// x509.ParseCertificate takes it, when it was verified; nil before. The caller must not
// change it. It stays known after the connection is closed.
func (c *Conn) RemoteCertificate() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.ext.(RemoteExtension); ok {
		return x.RemoteCertificate()
	}
	return nil
}

// RemoteMaxMessageSize returns how long a message may be that the remote receives, in
// bytes, as its description says (RFC 8841 §6): 65536 if the description does not say
// it, and 0 if there is no limit. ok is false before the remote description is known.
func (c *Conn) RemoteMaxMessageSize() (size int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, is := c.ext.(RemoteExtension); is {
		return x.RemoteMaxMessageSize()
	}
	return 0, false
}

// SelectedPair implements PairExtension.
func (s *stack) SelectedPair() (CandidatePair, bool) {
	t := s.transport
	if t == nil {
		return CandidatePair{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notePair()
	if t.lastPair == nil {
		return CandidatePair{}, false
	}
	return *t.lastPair, true
}

// Descriptions implements RemoteExtension.
func (s *stack) Descriptions() Descriptions {
	if s.transport == nil {
		return Descriptions{}
	}
	var latest Description
	latest.Type, latest.SDP = s.transport.localDescription()
	s.transport.mu.Lock()
	defer s.transport.mu.Unlock()
	return s.transport.neg.descriptions(latest)
}

// RemoteCertificate implements RemoteExtension.
func (s *stack) RemoteCertificate() []byte {
	if s.transport == nil {
		return nil
	}
	s.transport.mu.Lock()
	defer s.transport.mu.Unlock()
	return s.transport.core.remoteCertificate()
}

// RemoteMaxMessageSize implements RemoteExtension.
func (s *stack) RemoteMaxMessageSize() (int, bool) {
	if s.transport == nil {
		return 0, false
	}
	s.transport.mu.Lock()
	defer s.transport.mu.Unlock()
	d := s.transport.neg.remote()
	if d == nil || d.data().Index < 0 {
		return 0, false
	}
	return d.data().MaxMessageSize, true
}

// remoteCertificate returns the verified certificate of the remote; nil before DTLS is
// established.
func (c *core) remoteCertificate() []byte {
	if c.dtls == nil || !c.dtls.Established() {
		return nil
	}
	if chain := c.dtls.ConnectionState().PeerCertificates; len(chain) > 0 {
		return chain[0]
	}
	return nil
}

// notePair notes the selected pair before ICE forgets it.
func (t *transport) notePair() {
	if local, remote, ok := t.core.agent.SelectedPair(); ok {
		t.lastPair = &CandidatePair{local, remote}
	}
}

// descriptions returns all descriptions. latest is the last local one with its
// candidates.
func (n *negotiation) descriptions(latest Description) Descriptions {
	plain := func(d *description) Description {
		if d == nil {
			return Description{}
		}
		return Description{d.typ, d.text}
	}
	all := Descriptions{plain(n.currentLocal), plain(n.pendingLocal), plain(n.currentRemote), plain(n.pendingRemote)}
	if n.pendingLocal != nil {
		all.PendingLocal = latest
	} else if n.currentLocal != nil {
		all.CurrentLocal = latest
	}
	return all
}

// netAddr returns the address of a candidate as a net.Addr.
func netAddr(c ice.Candidate) net.Addr {
	if c.Transport == "tcp" {
		return net.TCPAddrFromAddrPort(c.Addr)
	}
	return net.UDPAddrFromAddrPort(c.Addr)
}
