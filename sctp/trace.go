package sctp

import (
	"encoding/binary"
	"time"
)

// A TraceKind says which fields of a TraceEvent are set.
type TraceKind uint8

// The kinds of trace events.
const (
	TraceState          TraceKind = iota + 1 // the association's state is State now
	TracePacketSent                          // a packet was sent: Size to ReceiveWindow
	TracePacketReceived                      // a packet with correct ports and checksum arrived: Size to ReceiveWindow
	TracePacketDropped                       // a packet of Size bytes with a wrong checksum or port arrived
	TraceMetrics                             // Metrics have changed
	TraceChunkLost                           // the chunk with FirstTSN, of DataBytes, was declared lost by RACK (RFC 8985)
	TraceTimeout                             // Timer has expired because the remote did not answer; DataBytes were in flight
	TraceSpurious                            // nothing had been lost in the recovery that has just ended
	TraceProbe                               // Probe is the outcome of a path MTU probe of Size bytes
	TracePathChanged                         // ChangePath was called: what was measured on the old path was discarded
	TracePathLost                            // PathLost was called: unacknowledged data is sent again
)

// A TraceEvent describes one step of an association, for a log. It has no contents of
// messages. It is flat, like crypto/tls.QUICEvent.
type TraceEvent struct {
	Kind  TraceKind
	State State
	Timer Timer
	Probe ProbeOutcome

	Size          int      // bytes of the packet
	Chunks        ChunkSet // the types of its chunks
	DataChunks    int      // number of its DATA and I-DATA chunks
	DataBytes     int      // bytes of messages in them
	Retransmitted int      // how many of them were sent before; only of sent packets
	FirstTSN      uint32   // lowest TSN of these chunks; valid if DataChunks > 0
	LastTSN       uint32   // highest TSN of these chunks; valid if DataChunks > 0
	CumulativeTSN uint32   // of the packet's SACK; valid if Chunks has one
	GapBlocks     int      // number of gap blocks in the packet's SACK
	ReceiveWindow int      // a_rwnd of the packet's SACK in bytes

	Metrics Metrics
}

// Metrics are the sender's estimates of the path, and both receive windows.
type Metrics struct {
	SmoothedRTT, MinRTT time.Duration // 0: not measured
	CongestionWindow    int           // bytes of payload
	BytesInFlight       int           // bytes of payload
	PacingRate          float64       // bytes a second; 0: not paced
	PacketSize          int           // longest packet that is sent, in bytes
	ReceiveWindow       int           // bytes of payload that the local end has room for
	PeerReceiveWindow   int           // bytes of payload that the peer had room for when it sent its last SACK
}

// A Timer is a timer whose expiry means that the remote did not answer.
type Timer uint8

// The timers of TraceTimeout.
const (
	TimerHandshake      Timer = iota // T1: INIT or COOKIE ECHO is sent again (RFC 9260 §5.1)
	TimerRetransmission              // T3-rtx: all unacknowledged data is sent again (RFC 9260 §6.3.3)
	TimerTailProbe                   // one packet is sent to find out whether the last ones are lost (RFC 8985 §7.3)
	TimerReset                       // the request for a stream reset is sent again (RFC 6525 §5.1.1)
	TimerShutdown                    // T2: the SHUTDOWN or SHUTDOWN ACK is sent again (RFC 9260 §9.2)
	TimerHeartbeat                   // a HEARTBEAT was not answered (RFC 9260 §8.3)
)

// String returns the timer's name, such as "retransmission".
func (t Timer) String() string {
	names := [...]string{"handshake", "retransmission", "tail-probe", "reset", "shutdown", "heartbeat"}
	if int(t) < len(names) {
		return names[t]
	}
	return "invalid"
}

// A ProbeOutcome says what happened to a path MTU probe.
type ProbeOutcome uint8

// The outcomes of TraceProbe.
const (
	ProbeSent     ProbeOutcome = iota
	ProbeAnswered              // the path carries packets of this size
	ProbeLost                  // the probe was not answered in time
)

// String returns "sent", "answered" or "lost".
func (o ProbeOutcome) String() string {
	names := [...]string{"sent", "answered", "lost"}
	if int(o) < len(names) {
		return names[o]
	}
	return "invalid"
}

// A ChunkSet is a set of chunk types.
type ChunkSet uint32

// tracedChunks are the chunk types of a ChunkSet, in the order of their bits. The last
// bit stands for every other type.
var tracedChunks = [...]struct {
	typ  chunkType
	name string
}{
	{chunkData, "DATA"}, {chunkIData, "I-DATA"}, {chunkSack, "SACK"}, {chunkInit, "INIT"}, {chunkInitAck, "INIT-ACK"},
	{chunkCookieEcho, "COOKIE-ECHO"}, {chunkCookieAck, "COOKIE-ACK"}, {chunkHeartbeat, "HEARTBEAT"}, {chunkHeartbeatAck, "HEARTBEAT-ACK"},
	{chunkForwardTSN, "FORWARD-TSN"}, {chunkIForwardTSN, "I-FORWARD-TSN"}, {chunkReconfig, "RE-CONFIG"}, {chunkPad, "PAD"},
	{chunkShutdown, "SHUTDOWN"}, {chunkShutdownAck, "SHUTDOWN-ACK"}, {chunkShutdownComplete, "SHUTDOWN-COMPLETE"},
	{chunkAbort, "ABORT"}, {chunkError, "ERROR"}, {^chunkType(0), "OTHER"},
}

// chunkBit returns the bit of a type in a ChunkSet.
func chunkBit(t chunkType) ChunkSet {
	last := len(tracedChunks) - 1
	for i := range last {
		if tracedChunks[i].typ == t {
			return 1 << i
		}
	}
	return 1 << last
}

// HasSack reports whether the set has the type SACK.
func (s ChunkSet) HasSack() bool { return s&chunkBit(chunkSack) != 0 }

// Names calls f with the name of each type in the set, such as "DATA" or "SACK". A type
// that the package does not know is "OTHER".
func (s ChunkSet) Names(f func(name string)) {
	for i := range tracedChunks {
		if s&(1<<i) != 0 {
			f(tracedChunks[i].name)
		}
	}
}

// A tracer calls Config.Trace. All methods of a nil tracer do nothing, except those that
// are called for each packet: sent, received and update.
type tracer struct {
	hook    func(now time.Time, e TraceEvent)
	clock   *clock
	metrics Metrics // as last reported
	again   int     // chunks in the packet under construction that were sent before
	due     bool    // an acknowledgement, a timer or another path may have changed the metrics
}

// newTracer returns a tracer for a hook; nil if there is none.
func newTracer(hook func(time.Time, TraceEvent), c *clock) *tracer {
	if hook == nil {
		return nil
	}
	return &tracer{hook: hook, clock: c}
}

// enter changes the state of an association and reports it. A nil tracer changes it, too.
func (t *tracer) enter(state *State, s State) {
	if *state == s {
		return
	}
	*state = s
	if t != nil {
		t.due = true
		t.hook(t.clock.time(t.clock.last), TraceEvent{Kind: TraceState, State: s})
	}
}

// received reports a packet of the remote, which Config.accepts has checked.
func (t *tracer) received(now instant, pkt []byte) {
	e := describe(TracePacketReceived, pkt)
	t.due = t.due || e.Chunks.HasSack()
	t.hook(t.clock.time(now), e)
}

func (t *tracer) dropped(now instant, pkt []byte) {
	if t != nil {
		t.hook(t.clock.time(now), TraceEvent{Kind: TracePacketDropped, Size: len(pkt)})
	}
}

// sent reports a packet that was built.
func (t *tracer) sent(pkt []byte) {
	e := describe(TracePacketSent, pkt)
	e.Retransmitted, t.again = t.again, 0
	t.hook(t.clock.time(t.clock.last), e)
}

// describe returns a trace event with what the chunks of a packet are.
func describe(kind TraceKind, pkt []byte) TraceEvent {
	e := TraceEvent{Kind: kind, Size: len(pkt)}
	for rest := pkt[commonHeaderSize:]; len(rest) > 0; {
		c, r, ok := nextChunk(rest)
		if !ok {
			break
		}
		rest = r
		e.Chunks |= chunkBit(c.typ)
		switch c.typ {
		case chunkData, chunkIData:
			if tsn, f, ok := parseData(c); ok {
				e.addData(tsn, len(f.data))
			}
		case chunkSack:
			if len(c.body) >= sackHeaderSize-chunkHeaderSize {
				e.CumulativeTSN = binary.BigEndian.Uint32(c.body)
				e.ReceiveWindow = windowOf(binary.BigEndian.Uint32(c.body[4:]))
				e.GapBlocks = int(binary.BigEndian.Uint16(c.body[8:]))
			}
		}
	}
	return e
}

// addData adds a chunk of data with n bytes of a message.
func (e *TraceEvent) addData(tsn chunkTSN, n int) {
	if e.DataChunks == 0 || tsn.before(chunkTSN(e.FirstTSN)) {
		e.FirstTSN = uint32(tsn)
	}
	if e.DataChunks == 0 || tsn.after(chunkTSN(e.LastTSN)) {
		e.LastTSN = uint32(tsn)
	}
	e.DataChunks++
	e.DataBytes += n
}

// lost reports a chunk that loss detection has declared lost.
func (t *tracer) lost(now instant, tsn chunkTSN, c *sentChunk) {
	if t != nil {
		t.hook(t.clock.time(now), TraceEvent{Kind: TraceChunkLost, FirstTSN: uint32(tsn), DataBytes: int(c.size), Retransmitted: int(c.retransmits)})
	}
}

func (t *tracer) timeout(now instant, timer Timer, inFlight int) {
	if t != nil {
		t.due = true
		t.hook(t.clock.time(now), TraceEvent{Kind: TraceTimeout, Timer: timer, DataBytes: inFlight})
	}
}

// note reports an event of which the kind says everything.
func (t *tracer) note(now instant, kind TraceKind) {
	if t != nil {
		t.due = true
		t.hook(t.clock.time(now), TraceEvent{Kind: kind})
	}
}

func (t *tracer) probe(now instant, o ProbeOutcome, size int) {
	if t != nil {
		t.due = true
		t.hook(t.clock.time(now), TraceEvent{Kind: TraceProbe, Probe: o, Size: size})
	}
}

// update reports the metrics if they have changed.
func (t *tracer) update(m Metrics) {
	if t.due = false; m != t.metrics {
		t.metrics = m
		t.hook(t.clock.time(t.clock.last), TraceEvent{Kind: TraceMetrics, Metrics: m})
	}
}
