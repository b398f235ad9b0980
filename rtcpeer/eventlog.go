package rtcpeer

import (
	"io"
	"net/netip"
	"time"

	"purertc/dtls"
	"purertc/ice"
	"purertc/rtcpeer/internal/eventlog"
	"purertc/sctp"
)

// An eventLog writes Config.EventLog. EVENTLOG.md describes its events and fields. All
// methods of a nil eventLog do nothing. They are called with the transport's lock held.
type eventLog struct {
	w       *eventlog.Writer
	stopped bool // the writer has failed
}

// newEventLog returns a log to w, or nil if w is nil. ufrag identifies the connection.
func newEventLog(w io.Writer, ufrag string) *eventLog {
	if w == nil {
		return nil
	}
	return &eventLog{w: eventlog.New(w, "purertc connection", ufrag)}
}

// begin begins an event. It reports false if the log is off or has failed.
func (l *eventLog) begin(now time.Time, name string) bool {
	if l == nil || l.stopped {
		return false
	}
	l.w.Begin(now, name)
	return true
}

// flush writes complete records. It returns the error with which the log has failed.
func (l *eventLog) flush() error {
	if l == nil || l.stopped {
		return nil
	}
	err := l.w.Flush()
	l.stopped = err != nil
	return err
}

// iceHook returns the function for ice.Config.Trace.
func (l *eventLog) iceHook() func(time.Time, ice.TraceEvent) {
	if l == nil {
		return nil
	}
	return l.iceTrace
}

// dtlsHook returns the function for dtls.Config.Trace.
func (l *eventLog) dtlsHook() func(time.Time, dtls.TraceEvent) {
	if l == nil {
		return nil
	}
	return l.dtlsTrace
}

// sctpHook returns the function for sctp.Config.Trace.
func (l *eventLog) sctpHook() func(time.Time, sctp.TraceEvent) {
	if l == nil {
		return nil
	}
	return l.sctpTrace
}

// emitted logs an event for the program. Events without a name are logged by others, or
// happen too often.
func (l *eventLog) emitted(now time.Time, e *Event) {
	if l == nil {
		return
	}
	state := func(name, state string) {
		if l.begin(now, name) {
			l.w.String("state", state)
			l.w.End()
		}
	}
	switch e.Kind {
	case EventConnectionState:
		state("connection:state_changed", ConnectionState(e.State).String())
	case EventGatheringState:
		state("connection:gathering_state_changed", GatheringState(e.State).String())
	case EventSignalingState:
		state("connection:signaling_state_changed", SignalingState(e.State).String())
	case EventError:
		if l.begin(now, "connection:failed") {
			l.w.Error("error", e.Err)
			l.w.End()
		}
	case EventDataChannel:
		l.channel(now, e.Channel, ChannelStateOpen, true)
	case EventChannelState:
		l.channel(now, e.Channel, ChannelState(e.State), false)
	}
}

// channel logs the state of a channel of the built-in stack. announced says that the
// remote has opened the channel.
func (l *eventLog) channel(now time.Time, x ChannelExtension, s ChannelState, announced bool) {
	c, ok := x.(*stackChannel)
	if !ok || !l.begin(now, "channel:state_changed") {
		return
	}
	p := c.ch.Params()
	if id, known := c.ch.ID(); known {
		l.w.Int("id", int(id))
	}
	l.w.String("state", s.String())
	l.w.Bool("announced", announced)
	l.w.Bool("negotiated", p.Negotiated)
	l.w.Bool("ordered", !p.Unordered)
	if p.MaxRetransmits >= 0 {
		l.w.Int("max_retransmits", p.MaxRetransmits)
	}
	if p.MaxPacketLifeTime >= 0 {
		l.w.Millis("max_packet_life_time", time.Duration(p.MaxPacketLifeTime)*time.Millisecond)
	}
	if s == ChannelStateClosed {
		l.w.Error("error", c.ch.Err())
	}
	l.w.End()
}

// iceEvent logs an event of the agent.
func (l *eventLog) iceEvent(now time.Time, e *ice.Event) {
	if l == nil {
		return
	}
	switch e.Kind {
	case ice.EventState:
		if l.begin(now, "ice:state_changed") {
			l.w.String("state", e.State.String())
			l.w.Error("error", e.Err)
			l.w.End()
		}
	case ice.EventCandidate:
		if l.begin(now, "ice:local_candidate") {
			l.candidate(e.Candidate.Type, e.Candidate.TCPType != ice.NotTCP, e.Candidate.Addr)
			if e.Candidate.Name != "" {
				l.w.String("name", e.Candidate.Name)
			}
			l.w.End()
		}
	case ice.EventSelected:
		if l.begin(now, "ice:pair_selected") {
			l.w.String("local", e.Route.Local.String())
			l.w.Addr("remote", e.Route.Remote)
			l.w.Bool("path_lost", e.Lost)
			l.w.Bool("path_moved", e.Moved)
			l.w.End()
		}
	case ice.EventServerError:
		if l.begin(now, "ice:server_failed") {
			l.w.String("url", e.URL)
			l.w.Error("error", e.Err)
			l.w.End()
		}
	}
}

// candidate appends the fields of a candidate.
func (l *eventLog) candidate(typ ice.CandidateType, tcp bool, addr netip.AddrPort) {
	l.w.String("type", typ.String())
	l.w.String("transport", transportName(tcp))
	l.w.Addr("address", addr)
}

func transportName(tcp bool) string {
	if tcp {
		return "tcp"
	}
	return "udp"
}

// iceTrace implements ice.Config.Trace.
func (l *eventLog) iceTrace(now time.Time, e ice.TraceEvent) {
	name := [...]string{
		ice.TraceRemoteCandidate: "ice:remote_candidate", ice.TraceRemoteDropped: "ice:remote_candidate_dropped", ice.TraceLocalDropped: "ice:local_candidate_dropped",
		ice.TraceCheckSent: "ice:check_sent", ice.TraceCheckReceived: "ice:check_received",
		ice.TraceCheckAnswered: "ice:check_answered", ice.TraceCheckFailed: "ice:check_failed",
	}[e.Kind]
	if !l.begin(now, name) {
		return
	}
	switch e.Kind {
	case ice.TraceRemoteCandidate:
		l.candidate(e.RemoteType, e.TCP, e.Remote)
	case ice.TraceRemoteDropped, ice.TraceLocalDropped:
		l.w.String("candidate", e.Text)
	default:
		l.w.Addr("local", e.Local)
		l.w.String("local_type", e.LocalType.String())
		l.w.Addr("remote", e.Remote)
		l.w.String("remote_type", e.RemoteType.String())
		l.w.String("transport", transportName(e.TCP))
	}
	switch e.Kind {
	case ice.TraceCheckSent:
		l.w.Bool("consent", e.Consent)
		l.w.Bool("retransmission", e.Again)
		l.w.Bool("nominates", e.Nominates)
	case ice.TraceCheckReceived:
		l.w.Bool("nominates", e.Nominates)
	case ice.TraceCheckAnswered:
		l.w.Bool("nominates", e.Nominates)
		if !e.Again {
			l.w.Millis("rtt", e.RTT)
		}
	}
	l.w.Error("error", e.Err)
	l.w.End()
}

// dtlsTrace implements dtls.Config.Trace.
func (l *eventLog) dtlsTrace(now time.Time, e dtls.TraceEvent) {
	name := [...]string{
		dtls.TraceFlightSent: "dtls:flight_sent", dtls.TraceMessageReceived: "dtls:message_received",
		dtls.TraceTimeout: "dtls:timeout", dtls.TraceAlertSent: "dtls:alert_sent", dtls.TraceAlertReceived: "dtls:alert_received",
	}[e.Kind]
	if !l.begin(now, name) {
		return
	}
	switch e.Kind {
	case dtls.TraceFlightSent, dtls.TraceMessageReceived:
		l.w.Int("size", e.Size)
		l.w.Strings("messages", e.Messages.Names)
	case dtls.TraceAlertSent, dtls.TraceAlertReceived:
		l.w.String("alert", e.Alert.String())
		l.w.Bool("fatal", e.Fatal)
	}
	switch e.Kind {
	case dtls.TraceFlightSent, dtls.TraceTimeout:
		l.w.Int("timeouts", e.Timeouts)
		if e.Timeout > 0 {
			l.w.Millis("timeout", e.Timeout)
		}
	}
	l.w.End()
}

// dtlsEvent logs an event of a DTLS connection.
func (l *eventLog) dtlsEvent(now time.Time, e *dtls.Event, c *core) {
	if l == nil {
		return
	}
	switch e.Kind {
	case dtls.EventEstablished:
		if l.begin(now, "dtls:established") {
			s := c.dtls.ConnectionState()
			l.w.String("version", s.Version.String())
			l.w.String("cipher_suite", s.CipherSuite.String())
			l.w.String("group", s.Group.String())
			l.w.String("role", roleName(c.client))
			l.w.End()
		}
	case dtls.EventClosed, dtls.EventFailed:
		if l.begin(now, "dtls:ended") {
			l.w.Error("error", e.Err)
			l.w.End()
		}
	}
}

func roleName(client bool) string {
	if client {
		return "client"
	}
	return "server"
}

// sctpTrace implements sctp.Config.Trace.
func (l *eventLog) sctpTrace(now time.Time, e sctp.TraceEvent) {
	name := [...]string{
		sctp.TraceState: "sctp:state_changed", sctp.TracePacketSent: "sctp:packet_sent", sctp.TracePacketReceived: "sctp:packet_received",
		sctp.TracePacketDropped: "sctp:packet_dropped", sctp.TraceProbe: "sctp:mtu_probe",
		sctp.TracePathChanged: "sctp:path_changed", sctp.TracePathLost: "sctp:path_lost",
		sctp.TraceMetrics: "recovery:metrics_updated", sctp.TraceChunkLost: "recovery:chunk_lost",
		sctp.TraceTimeout: "recovery:timeout", sctp.TraceSpurious: "recovery:spurious",
	}[e.Kind]
	if !l.begin(now, name) {
		return
	}
	switch e.Kind {
	case sctp.TraceState:
		l.w.String("state", e.State.String())
	case sctp.TracePacketSent, sctp.TracePacketReceived:
		l.packet(&e)
	case sctp.TracePacketDropped:
		l.w.Int("size", e.Size)
	case sctp.TraceProbe:
		l.w.String("outcome", e.Probe.String())
		l.w.Int("size", e.Size)
	case sctp.TraceMetrics:
		l.metrics(&e.Metrics)
	case sctp.TraceChunkLost:
		l.w.Int("tsn", int(e.FirstTSN))
		l.w.Int("data_bytes", e.DataBytes)
		l.w.Int("retransmitted", e.Retransmitted)
	case sctp.TraceTimeout:
		l.w.String("timer", e.Timer.String())
		l.w.Int("bytes_in_flight", e.DataBytes)
	}
	l.w.End()
}

// packet appends the fields of an SCTP packet.
func (l *eventLog) packet(e *sctp.TraceEvent) {
	l.w.Int("size", e.Size)
	l.w.Strings("chunks", e.Chunks.Names)
	if e.DataChunks > 0 {
		l.w.Int("first_tsn", int(e.FirstTSN))
		l.w.Int("last_tsn", int(e.LastTSN))
		l.w.Int("data_chunks", e.DataChunks)
		l.w.Int("data_bytes", e.DataBytes)
	}
	if e.Retransmitted > 0 {
		l.w.Int("retransmitted", e.Retransmitted)
	}
	if e.Chunks.HasSack() {
		l.w.Int("cumulative_tsn", int(e.CumulativeTSN))
		l.w.Int("gap_blocks", e.GapBlocks)
		l.w.Int("receive_window", e.ReceiveWindow)
	}
}

// metrics appends the fields of the sender's estimates. Those that qlog's event of this
// name has, too, have its names and units.
func (l *eventLog) metrics(m *sctp.Metrics) {
	if m.SmoothedRTT > 0 {
		l.w.Millis("smoothed_rtt", m.SmoothedRTT)
	}
	if m.MinRTT > 0 {
		l.w.Millis("min_rtt", m.MinRTT)
	}
	l.w.Int("congestion_window", m.CongestionWindow)
	l.w.Int("bytes_in_flight", m.BytesInFlight)
	if m.PacingRate > 0 {
		l.w.Number("pacing_rate", 8*m.PacingRate)
	}
	l.w.Int("packet_size", m.PacketSize)
	l.w.Int("receive_window", m.ReceiveWindow)
	l.w.Int("peer_receive_window", m.PeerReceiveWindow)
}
