package sctp

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	"time"
)

const (
	defaultPort           = 5000 // RFC 8841 §5
	defaultMaxMessageSize = 262144
	defaultReceiveBuffer  = 1 << 20
	maxStreams            = 65535 // ids 0 to 65534 (RFC 8831 §6.2)
	defaultMTU            = 1200
)

// Config configures an Association. The zero value is usable.
type Config struct {
	LocalPort, RemotePort uint16            // 0 means 5000 (RFC 8841 §5)
	CongestionControl     CongestionControl // default: CongestionBBR
	DisableInterleaving   bool              // do not offer I-DATA (RFC 8260)
	DisableZeroChecksum   bool              // do not offer zero checksums (RFC 9653), which are allowed only over DTLS
	Rand                  io.Reader         // source of tags, TSNs and cookie keys; nil means crypto/rand

	// MaxMessageSize is the length in bytes of the longest message that is accepted. A
	// longer message ends the association. 0 means 262144.
	MaxMessageSize int
	// ReceiveBuffer is the receive window (a_rwnd) in bytes. It is at least
	// MaxMessageSize plus a quarter of that. 0 means 1 MiB in the beginning; the
	// window then grows as the program reads.
	ReceiveBuffer int
	// MemoryLimit is how many bytes the remote can cause the association and the
	// layers above to keep; see Memory. 0 means the receive window plus
	// DefaultReserve. A value below MinMemoryLimit is treated as MinMemoryLimit.
	MemoryLimit int

	// Trace, if set, is called with each step of the association, for a log. It must
	// not call methods of the Association. Default: none.
	Trace func(now time.Time, e TraceEvent)
}

// announce returns the parameters that this end announces in an INIT or INIT ACK.
func (c *Config) announce(tag uint32, tsn chunkTSN, rwnd int) initParams {
	return initParams{
		tag: tag, aRwnd: uint32(rwnd), outStreams: maxStreams, inStreams: maxStreams, initialTSN: tsn,
		forwardTSN: true, iData: !c.DisableInterleaving, reconfig: true, zeroChecksum: !c.DisableZeroChecksum,
	}
}

// appendHeader appends the common header (RFC 9260 §3.1).
func (c *Config) appendHeader(dst []byte, tag uint32) []byte {
	return appendCommonHeader(dst, c.LocalPort, c.RemotePort, tag)
}

// nonce returns the nonce of a HEARTBEAT. ok is false if the random source fails.
func (c *Config) nonce() (n [8]byte, ok bool) {
	ok = readRandom(c.Rand, n[:])
	return n, ok
}

// accepts checks the length, ports and checksum of a packet.
func (c *Config) accepts(pkt []byte) bool {
	if len(pkt) < commonHeaderSize+chunkHeaderSize || len(pkt) > maxPacketSize {
		return false
	}
	if binary.BigEndian.Uint16(pkt) != c.RemotePort || binary.BigEndian.Uint16(pkt[2:]) != c.LocalPort {
		return false
	}
	sum := binary.LittleEndian.Uint32(pkt[8:])
	if sum == 0 && !c.DisableZeroChecksum {
		return true // RFC 9653: accepted, because this end announces it
	}
	return sum == checksum(pkt)
}

// A Message is a user message (RFC 9260 §1.3) on a stream.
type Message struct {
	Stream  uint16
	PPID    uint32
	Data    []byte
	Ordered bool // set in received messages; Send ignores it, see SendOptions
}

// SendOptions say how a message is delivered. The zero value means reliable and
// ordered.
type SendOptions struct {
	Unordered        bool
	LimitRetransmits bool   // limit retransmissions to MaxRetransmits (RFC 7496 §3.3)
	MaxRetransmits   uint16 // how often each chunk of the message may be retransmitted
	// Lifetime is how long after Send lost data of the message is sent again (RFC 3758
	// §4.1). 0 means no limit. A message of which a part was sent is sent to its end.
	// It is given up only if one of its chunks is lost and the lifetime is over. A
	// message of which nothing was sent may wait for congestion control. It is dropped
	// after the longest of its lifetime, three round trips, and 50 ms.
	Lifetime  time.Duration
	Uncounted bool // not counted in BufferedAmount; for messages of the layer above that the program has not sent
}

// Errors of Send and ResetStreams.
var (
	ErrClosed        = errors.New("sctp: association is closed")
	ErrStreamClosed  = errors.New("sctp: stream is being reset")
	ErrInvalidStream = errors.New("sctp: no such outgoing stream")
	ErrMemory        = errors.New("sctp: Config.MemoryLimit is reached")
	ErrEmptyMessage  = errors.New("sctp: a message has at least one byte") // RFC 9260 §3.3.1
)

// Errors of EventFailed and EventResetFailed.
var (
	ErrTimeout       = errors.New("sctp: the remote does not answer")
	ErrHandshake     = errors.New("sctp: unusable INIT ACK")
	ErrResetRefused  = errors.New("sctp: the remote refused to reset the stream")
	ErrNoStreamReset = errors.New("sctp: the remote does not support stream reset")
	ErrRand          = errors.New("sctp: the random source failed")
)

// A State is a state of an association (RFC 9260 §4).
type State uint8

// The states of RFC 9260 §4, in the order of an association's life.
const (
	StateClosed State = iota
	StateCookieWait
	StateCookieEchoed
	StateEstablished
	StateShutdownPending
	StateShutdownSent
	StateShutdownReceived
	StateShutdownAckSent
)

// String returns the name in RFC 9260 §4, in lower case.
func (s State) String() string {
	names := [...]string{"closed", "cookie-wait", "cookie-echoed", "established",
		"shutdown-pending", "shutdown-sent", "shutdown-received", "shutdown-ack-sent"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// peerKnown reports whether this end has received the peer's parameters.
func (s State) peerKnown() bool { return s >= StateCookieEchoed }

// handshakeDone reports whether the association is established or being shut down.
func (s State) handshakeDone() bool { return s >= StateEstablished }

// An EventKind says which fields of an Event are set.
type EventKind uint8

// The kinds of events.
const (
	EventNone         EventKind = iota
	EventEstablished            // the handshake is complete, and OutgoingStreams returns the negotiated number
	EventStreamsReset           // the remote reset its outgoing side of Streams (empty: all); Receive has returned all messages sent before the reset
	EventResetDone              // the remote performed the reset that ResetStreams requested for Streams
	EventResetFailed            // the remote did not perform the reset that ResetStreams requested for Streams; Err says why
	EventRestarted              // the remote restarted the association (RFC 9260 §5.2)
	EventReplaced               // the remote replaced its association, see Renew; Err is its ABORT, if it sent one
	EventClosed                 // shutdown is complete
	EventFailed                 // Err says why, for example an ABORT or too many retransmissions
)

// An Event tells the owner of an association what happened.
type Event struct {
	Kind    EventKind
	Streams []uint16
	Err     error
}

// Counters count since the association was created.
type Counters struct {
	PacketsSent, PacketsReceived   uint64
	PacketsDropped                 uint64 // received packets with a wrong checksum, tag, port or form
	ChunksRetransmitted            uint64
	Timeouts                       uint64 // expiries of the retransmission timer T3-rtx
	TailProbes, SpuriousRecoveries uint64 // tail loss probes (RFC 8985 §7); recoveries in which nothing had been lost
	MessagesAbandoned              uint64 // messages given up (RFC 3758)
}

// Stats are counters and estimates for diagnosis.
type Stats struct {
	Counters
	SmoothedRTT, MinRTT              time.Duration // 0: not measured
	PacingRate                       float64       // bytes a second; 0: not paced
	PacketSize                       int           // longest packet that is sent, in bytes
	CongestionWindow, BytesInFlight  int
	ReceiveWindow, PeerReceiveWindow int
	Interleaving, ZeroChecksum       bool // as negotiated
}

// An Association is one end of an SCTP association (RFC 9260) over DTLS
// (RFC 8261). It is a pure state machine: the owner carries its packets and calls
// Advance when NextTimeout is reached. The methods may be called in any order, but
// not concurrently.
type Association struct {
	cfg   Config
	clock clock

	state     State
	ended     bool // closed for good: no INIT is answered any more
	delivered bool // valid if ended: everything queued was acknowledged
	renewal   renewalState
	err       error // why the association ended

	handshake handshake
	sender    sender
	receiver  receiver
	reset     streamReset
	heartbeat heartbeat
	pmtud     pmtud
	shutdown  shutdown

	memory     *Memory
	outbox     outbox
	errorCount int32 // timeouts since the remote last answered (RFC 9260 §8.1)
	gotRequest bool  // the packet being read contains a RE-CONFIG request
	events     eventQueue

	received, dropped uint64 // packets received, and packets dropped

	trace *tracer // nil: Config.Trace is not set
}

// NewAssociation returns an association in StateClosed, which answers an INIT.
func NewAssociation(cfg Config) *Association {
	if cfg.LocalPort == 0 {
		cfg.LocalPort = defaultPort
	}
	if cfg.RemotePort == 0 {
		cfg.RemotePort = defaultPort
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.MaxMessageSize <= 0 {
		cfg.MaxMessageSize = defaultMaxMessageSize
	}
	a := &Association{cfg: cfg, memory: newMemory(&cfg)}
	a.trace = newTracer(cfg.Trace, &a.clock)
	a.outbox.trace = a.trace
	a.sender.init(a.memory, a.trace)
	a.receiver.init(a.memory, cfg.MaxMessageSize)
	return a
}

// SetRemotePort sets the peer's port, which may be unknown until the remote
// description arrives (RFC 8841 §5). It has no effect once the handshake has begun.
func (a *Association) SetRemotePort(port uint16) {
	if a.state == StateClosed && !a.ended && port != 0 {
		a.cfg.RemotePort = port
	}
}

// Connect sends an INIT, or establishes the association at once if both ends have
// signalled their INIT chunks: see LocalInit and SetRemoteInit. EventFailed with
// ErrRand follows if the random source fails.
func (a *Association) Connect(now time.Time) {
	t := a.clock.tick(now)
	if a.state != StateClosed || a.ended {
		return
	}
	if !a.handshake.draw(a.cfg.Rand) {
		a.end(Event{Kind: EventFailed, Err: ErrRand})
		return
	}
	a.sender.out.reset(a.handshake.localTSN)
	if p := a.handshake.signalled; p != nil {
		a.handshake.signalled = nil
		a.takePeer(*p)
		a.establish(t)
		return
	}
	a.trace.enter(&a.state, StateCookieWait)
	a.handshake.send(t, stepInit, a.sender.rto.timeout(rtoMinHandshake))
}

// open reports whether messages may be queued.
func (a *Association) open() bool {
	return !a.ended && a.state <= StateEstablished && a.renewal != renewalLast
}

// Send queues a message and copies its data. It may be called before the association
// is established. The errors are ErrClosed, ErrStreamClosed, ErrInvalidStream and
// ErrEmptyMessage. The queue has no limit: the caller decides how much to queue, by
// BufferedAmount.
func (a *Association) Send(now time.Time, m Message, o SendOptions) error {
	t := a.clock.tick(now)
	if !a.open() {
		return ErrClosed
	}
	if int(m.Stream) >= a.OutgoingStreams() {
		return ErrInvalidStream
	}
	if len(m.Data) == 0 {
		return ErrEmptyMessage
	}
	p := &a.handshake.peer
	return a.sender.send(t, m, o, !a.state.peerKnown() || p.forwardTSN || p.iForwardTSN)
}

// Receive returns the next received message. Its data belongs to the caller, and is
// charged to the receive window until Release. Messages that came after a stream reset
// are held back until NextEvent has returned the EventStreamsReset. So the caller can
// tell them from the messages before the reset.
func (a *Association) Receive() (m Message, ok bool) {
	if a.events.holds(a.receiver.reassembly.taken()) {
		return Message{}, false
	}
	return a.receiver.reassembly.ready.pop()
}

// Release tells the association that the program has finished with a message from
// Receive. n is the length of the message's data, which the receive window gets back.
func (a *Association) Release(now time.Time, n int) {
	t := a.clock.tick(now)
	if a.receiver.release(t, n, a.sender.rto.srtt, a.sender.out.empty()) {
		a.heartbeat.ask(t, a.sender.rto.timeout(rtoMinHandshake))
	}
	if a.state.handshakeDone() {
		a.receiver.windowOpened()
	}
}

// Hold charges n bytes, which were released before, to the receive window again.
// Release gives them back.
func (a *Association) Hold(n int) { a.memory.held += n }

// Memory returns the account of the data that the remote causes this end to keep.
// Layers above charge to it what they keep for the remote.
func (a *Association) Memory() *Memory { return a.memory }

// Recycle takes back the data of a message from Receive, so that a later message can
// use the same buffer. The caller must not use the data any more. Calling Recycle is
// optional.
func (a *Association) Recycle(b []byte) { a.receiver.reassembly.spares.put(b) }

// NextLowered returns a stream with a BufferedAmount that has fallen since the stream
// was last returned. ok is false if there is none.
func (a *Association) NextLowered() (stream uint16, ok bool) { return a.sender.queue.nextLowered() }

// Delivered reports whether the remote has acknowledged everything that was queued.
// After the association has ended, Delivered reports whether this was true when it
// ended. Abandoned messages are treated as acknowledged.
func (a *Association) Delivered() bool {
	if a.ended {
		return a.delivered
	}
	return a.sender.drained()
}

// Pending returns how many bytes of messages are queued or in flight.
func (a *Association) Pending() int { return a.sender.queue.bytes + a.sender.out.bytes }

// BufferedAmount returns how many bytes of the messages queued on a stream were not
// sent yet.
func (a *Association) BufferedAmount(stream uint16) int {
	if s := a.sender.queue.streams.get(stream); s != nil {
		return s.buffered
	}
	return 0
}

// Acknowledged reports whether the remote has acknowledged at least one message on a
// stream since the stream's last reset. An abandoned message is treated as
// acknowledged.
func (a *Association) Acknowledged(stream uint16) bool {
	s := a.sender.queue.streams.get(stream)
	return s != nil && s.settled
}

// Receiving reports whether a message on a stream is incomplete, or waits for
// earlier ones.
func (a *Association) Receiving(stream uint16) bool {
	return a.receiver.reassembly.receiving(stream)
}

// SetPriority sets the weight of a stream in the scheduler (RFC 8260 §3, RFC 8831
// §6.4): 256 is normal. The weight stays until the stream is reset.
func (a *Association) SetPriority(stream uint16, priority uint16) {
	if a.ended || priority == 0 {
		return
	}
	a.sender.queue.stream(stream).weight = priority
}

// OutgoingStreams returns how many streams Send may use. Until the peer's INIT or INIT
// ACK is known, it is the number that this end asks for.
func (a *Association) OutgoingStreams() int {
	if a.state.peerKnown() {
		return min(maxStreams, int(a.handshake.peer.inStreams))
	}
	return maxStreams
}

// ResetStreams resets the outgoing side of streams (RFC 6525 §5.1) once everything
// queued on them is acknowledged. EventResetDone or EventResetFailed follows. Until
// then Send on these streams returns ErrStreamClosed. The errors are ErrClosed,
// ErrInvalidStream and ErrMemory.
func (a *Association) ResetStreams(now time.Time, streams ...uint16) error {
	a.clock.tick(now)
	if a.ended {
		return ErrClosed
	}
	for _, id := range streams {
		if int(id) >= a.OutgoingStreams() {
			return ErrInvalidStream
		}
	}
	for _, id := range streams {
		if !a.sender.queue.pause(id) {
			return ErrMemory
		}
	}
	return nil
}

// Flush sends queued data that would otherwise wait up to a quarter of a millisecond
// for more data to share its packet. An owner that is about to call Abort calls Flush,
// and then AppendPacket, to send its last data.
func (a *Association) Flush() {
	a.Suspend(false)
	a.sender.pacer.restart()
}

// DiscoverPacketSize lets packets become longer than the limit given to AppendPacket,
// by at most extra bytes, if probes show that the path carries them (RFC 8899). The
// layers below must not fragment datagrams. 0, the initial value, turns the discovery
// off.
func (a *Association) DiscoverPacketSize(extra int) {
	if a.pmtud.most != extra {
		a.pmtud.restart(a.clock.last, extra)
	}
}

// AssumeShorter makes packets n bytes shorter than the limit given to AppendPacket,
// until probes show that the path carries more. An owner calls it if it does not know
// whether the path carries the limit. n is limited so that datagrams are not shortened
// below 548 bytes, which every IPv4 path carries.
func (a *Association) AssumeShorter(n int) { a.pmtud.shorten(a.clock.last, n) }

// ChangePath tells the association that its packets take another path from now on. It
// discards the round-trip time, rate, congestion window and packet size of the old
// path. These estimates then begin as for a new association (RFC 9260 keeps them for
// each destination address: §6.3.1 C1, §7.2.1). Packets in flight on the old path
// may still be acknowledged, within the time that acknowledgements took there. If the
// old path is dead, call PathLost first. If the new path's round trip is known, call
// SetRTT afterwards.
func (a *Association) ChangePath(now time.Time) {
	t := a.clock.tick(now)
	a.trace.note(t, TracePathChanged)
	a.receiver.takeAsking()
	if !a.state.handshakeDone() {
		a.sender.rto.reset()
		return
	}
	mtu := cmp.Or(a.pmtud.limit, a.sender.mtu) // the limit of a packet is not known before the first packet
	a.sender.changePath(t, mtu, a.cfg.CongestionControl, a.handshake.localTag)
	a.heartbeat.forget() // the answer to an earlier HEARTBEAT would show the old path's round trip
	if !a.sender.out.empty() {
		a.heartbeat.ask(t, a.sender.rto.timeout(rtoMinHandshake))
	}
	a.pmtud.restart(t, a.pmtud.most)
}

// PathLost tells the association that its path is lost, perhaps with packets sent
// recently, and that there is another path, of which nothing is known. Everything
// unacknowledged is sent again immediately, as if a timer had expired.
func (a *Association) PathLost(now time.Time) {
	t := a.clock.tick(now)
	a.trace.note(t, TracePathLost)
	a.sender.rto.forget() // so that SetRTT can set the new path's round trip
	for _, timer := range []*instant{&a.handshake.timer, &a.sender.t3, &a.reset.timer, &a.shutdown.timer} {
		if *timer != 0 {
			*timer = t
		}
	}
	a.Advance(now)
	a.sender.rto.progress() // the timeouts counted on the lost path are no sign of congestion on the new one
}

// SetRTT sets the round-trip time that a lower layer has measured. It is used until
// SCTP has measured the round-trip time itself.
func (a *Association) SetRTT(rtt time.Duration) { a.sender.seedRTT(a.clock.last, rtt) }

// State returns the present state.
func (a *Association) State() State { return a.state }

// Err returns why the association ended, or nil if it has not.
func (a *Association) Err() error { return a.err }

// LastReceived returns when the last valid packet arrived. The zero time means that no
// packet arrived.
func (a *Association) LastReceived() time.Time { return a.clock.time(a.heartbeat.received) }

// Stats returns the present counters and estimates.
func (a *Association) Stats() Stats {
	s := a.sender.stats()
	s.PacketsSent, s.PacketsReceived, s.PacketsDropped = a.outbox.sent, a.received, a.dropped
	s.ReceiveWindow = a.memory.receiveWindow()
	s.Interleaving, s.ZeroChecksum = a.receiver.interleaving(), a.handshake.peer.zeroChecksum
	return s
}

// NextEvent returns the next event, in order.
func (a *Association) NextEvent() (Event, bool) {
	return a.events.next()
}
