package rtcpeer

import (
	"net/netip"
	"runtime"
	"time"
)

// Stats are statistics of a connection. Their names come from the W3C's getStats. They
// are plain values: a program can ask for them in every frame at almost no cost.
type Stats struct {
	Transport     TransportStats
	CandidatePair CandidatePairStats // statistics of the selected candidate pair
	SCTPTransport SCTPTransportStats
}

// TransportStats are statistics of the ICE and DTLS transports together. Packets are
// datagrams, including ICE's own.
type TransportStats struct {
	PacketsSent, PacketsReceived uint64
	BytesSent, BytesReceived     uint64 // bytes of UDP payload
	SelectedCandidatePairChanges uint64

	ICERole     string // "controlling" or "controlled"
	ICEState    string // "new", "checking", "connected", "completed", "disconnected", "failed" or "closed"
	DTLSState   string // "new", "connecting", "connected", "closed" or "failed"
	DTLSVersion string // "1.2" or "1.3"; empty until the handshake has chosen it
	DTLSCipher  string // name of the cipher suite in the IANA registry
	DTLSGroup   string // name of the group in the IANA registry
	DTLSRole    string // "client" or "server"; empty until the role is decided
}

// CandidatePairStats are statistics of the selected pair; zero if there is none.
type CandidatePairStats struct {
	Local                netip.Addr     // the local address
	Remote               netip.AddrPort // the remote address; with a relay, the address of the TURN server
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
	BytesSent, BytesReceived       uint64 // bytes of payload; received bytes are counted when the program takes the packet
}

// Stats returns statistics of the connection. They are zero if the Extension does not
// implement StatsExtension.
func (c *Conn) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.ext.(StatsExtension); ok {
		return x.Stats()
	}
	return Stats{}
}

// Stats returns statistics of the channel. They are zero if the extension's channel
// does not implement StatsChannel.
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

func (t *transport) stats() (s Stats) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.Transport = TransportStats{
		PacketsSent: t.traffic.packetsSent, PacketsReceived: t.traffic.packetsReceived,
		BytesSent: t.traffic.bytesSent, BytesReceived: t.traffic.bytesReceived,
		SelectedCandidatePairChanges: t.traffic.changes,
	}
	t.core.iceStats(&s)
	t.core.dtlsStats(&s.Transport, t.closed)
	a := t.core.assoc.Stats()
	s.SCTPTransport = SCTPTransportStats{
		SmoothedRoundTripTime: a.SmoothedRTT, CongestionWindow: a.CongestionWindow, ReceiverWindow: a.PeerReceiveWindow,
		MTU: a.PacketSize, UnackData: a.BytesInFlight, Retransmissions: a.ChunksRetransmitted,
	}
	return s
}

func (c *core) iceStats(s *Stats) {
	agent := c.agent
	s.Transport.ICEState = agent.State().String()
	s.Transport.ICERole = "controlled"
	if agent.Controlling() {
		s.Transport.ICERole = "controlling"
	}
	if r, ok := agent.Selected(); ok {
		s.CandidatePair = CandidatePairStats{r.Local, r.Remote, agent.RTT()}
	}
}

func (c *core) dtlsStats(stats *TransportStats, closed bool) {
	stats.DTLSState = "new"
	conn := c.dtls
	if conn == nil {
		return
	}
	switch {
	case c.err != nil && !c.remoteClosed():
		stats.DTLSState = "failed"
	case closed:
		stats.DTLSState = "closed"
	case conn.Established():
		stats.DTLSState = "connected"
	default:
		stats.DTLSState = "connecting"
	}
	stats.DTLSRole = "server"
	if c.client {
		stats.DTLSRole = "client"
	}
	if cs := conn.ConnectionState(); cs.Version != 0 {
		stats.DTLSVersion, stats.DTLSCipher, stats.DTLSGroup = cs.Version.String(), cs.CipherSuite.String(), cs.Group.String()
	}
}
