package rtcpeer

import (
	"net/netip"
	"runtime"
	"time"
)

// Stats are statistics of a connection, named after the W3C's getStats. They are plain
// values: asking for them every frame costs almost nothing.
type Stats struct {
	Transport     TransportStats
	CandidatePair CandidatePairStats // the selected one
	SCTPTransport SCTPTransportStats
}

// TransportStats are statistics of the ICE and DTLS transports together. Packets are
// datagrams, including ICE's own.
type TransportStats struct {
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64 // of UDP payload
	SelectedCandidatePairChanges uint64

	ICERole     string // "controlling" or "controlled"
	ICEState    string // "new", "checking", "connected", "completed", "disconnected", "failed" or "closed"
	DTLSState   string // "new", "connecting", "connected", "closed" or "failed"
	DTLSVersion string // "1.2" or "1.3"; empty until known
	DTLSCipher  string // as the IANA registry writes it
	DTLSGroup   string // likewise
	DTLSRole    string // "client" or "server"; empty until known
}

// CandidatePairStats are statistics of the selected pair; zero if there is none.
type CandidatePairStats struct {
	Local                netip.Addr     // the local address
	Remote               netip.AddrPort // the remote address, or the TURN server's
	CurrentRoundTripTime time.Duration  // smoothed; 0 until measured
}

// SCTPTransportStats are statistics of the SCTP association.
type SCTPTransportStats struct {
	SmoothedRoundTripTime time.Duration // 0 until measured
	CongestionWindow      int           // bytes
	ReceiverWindow        int           // bytes free in the remote's receive window
	MTU                   int           // bytes of the longest packet
	UnackData             int           // bytes sent and not acknowledged
	Retransmissions       uint64        // chunks sent again
}

// DataChannelStats are statistics of a data channel.
type DataChannelStats struct {
	MessagesSent, MessagesReceived uint64
	BytesSent, BytesReceived       uint64 // of payload; received ones count when the packet is taken
}

// Stats returns statistics of the connection. They are zero if the Extension is no
// StatsExtension.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.ext.(StatsExtension); ok {
		return x.Stats()
	}
	return Stats{}
}

// Stats returns statistics of the channel. They are zero if the extension's channel is
// no StatsChannel.
func (d *DataChannel) Stats() DataChannelStats {
	if d.ch == nil {
		return DataChannelStats{}
	}
	defer runtime.KeepAlive(d)
	if x, ok := d.ch.ext.(StatsChannel); ok {
		return x.Stats()
	}
	return DataChannelStats{}
}

func (p *peer) stats() (s Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s.Transport = TransportStats{
		PacketsSent: p.traffic.packetsSent, PacketsReceived: p.traffic.packetsReceived,
		BytesSent: p.traffic.bytesSent, BytesReceived: p.traffic.bytesReceived,
		SelectedCandidatePairChanges: p.traffic.changes,
	}
	p.iceStats(&s)
	p.dtlsStats(&s.Transport)
	a := p.core.assoc.Stats()
	s.SCTPTransport = SCTPTransportStats{
		SmoothedRoundTripTime: a.SmoothedRTT, CongestionWindow: a.CongestionWindow, ReceiverWindow: a.PeerReceiveWindow,
		MTU: a.PacketSize, UnackData: a.BytesInFlight, Retransmissions: a.ChunksRetransmitted,
	}
	return s
}

func (p *peer) iceStats(s *Stats) {
	agent := p.core.agent
	s.Transport.ICEState = agent.State().String()
	s.Transport.ICERole = "controlled"
	if agent.Controlling() {
		s.Transport.ICERole = "controlling"
	}
	if r, ok := agent.Selected(); ok {
		s.CandidatePair = CandidatePairStats{r.Local, r.Remote, agent.RTT()}
	}
}

func (p *peer) dtlsStats(t *TransportStats) {
	t.DTLSState = "new"
	d := p.core.dtls
	if d == nil {
		return
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
}
