package sctp

import (
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
	LocalPort, RemotePort uint16            // 0: 5000
	CongestionControl     CongestionControl // default: CongestionBBR
	DisableInterleaving   bool              // do not offer I-DATA (RFC 8260)
	DisableZeroChecksum   bool              // do not offer RFC 9653, which requires DTLS below
	Rand                  io.Reader         // source of tags, TSNs and cookie keys; nil: crypto/rand

	// MaxMessageSize is the longest message in bytes that is received. A longer one
	// ends the association. 0: 262144.
	MaxMessageSize int
	// ReceiveBuffer is the receive window (a_rwnd) in bytes, at least MaxMessageSize
	// and a quarter. 0: 1 MiB, which grows as the program reads.
	ReceiveBuffer int
	// MemoryLimit is how many bytes the remote can make the association and the
	// layers above keep; see Memory. 0: the receive window and DefaultReserve.
	// A value below MinMemoryLimit counts as MinMemoryLimit.
	MemoryLimit int
}

// announce returns what an INIT or INIT ACK announces.
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
		return true // RFC 9653: accepted, as announced in each INIT and INIT ACK
	}
	return sum == checksum(pkt)
}

// A Message is a user message (RFC 9260 §1.3) on a stream.
type Message struct {
	Stream  uint16
	PPID    uint32
	Data    []byte
	Ordered bool // of received messages; Send ignores it, see SendOptions
}

// SendOptions say how a message is delivered. The zero value means reliable and
// ordered.
type SendOptions struct {
	Unordered        bool
	LimitRetransmits bool   // limit retransmissions to MaxRetransmits (RFC 7496 §3.3)
	MaxRetransmits   uint16 // of each chunk of the message
	// Lifetime is how long after Send lost data of the message is sent again (RFC
	// 3758 §4.1). 0: without limit. A message of which a part was sent is finished,
	// unless some of it is lost and the lifetime is over. A message of which nothing
	// was sent is dropped after its lifetime, or after three round trips or 50 ms if
	// that is later, because until then it may wait for congestion control.
	Lifetime  time.Duration
	Uncounted bool // not counted in BufferedAmount: a message of the application's own protocol
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

// peerKnown reports whether the peer's parameters are known.
func (s State) peerKnown() bool { return s >= StateCookieEchoed }

// handshakeDone reports whether the association is up, or is being shut down.
func (s State) handshakeDone() bool { return s >= StateEstablished }

// An EventKind says which fields of an Event are set.
type EventKind uint8

// The kinds of events.
const (
	EventNone         EventKind = iota
	EventEstablished            // messages flow; the number of streams is known
	EventStreamsReset           // Streams (empty: all): the remote reset its outgoing side; Receive has returned all their messages
	EventResetDone              // Streams: the remote performed our reset
	EventResetFailed            // Streams, Err: the remote did not perform our reset
	EventRestarted              // the remote restarted the association (RFC 9260 §5.2)
	EventReplaced               // see Renew; Err is the remote's ABORT, if it sent one
	EventClosed                 // shutdown is complete
	EventFailed                 // Err says why: ABORT, too many retransmissions
)

// An Event tells the owner of an association what happened.
type Event struct {
	Kind    EventKind
	Streams []uint16
	Err     error
}

// A queuedEvent is an event with the number of messages received before it.
type queuedEvent struct {
	Event
	after uint64
}

// Counters count since the association was made.
type Counters struct {
	PacketsSent, PacketsReceived   uint64
	PacketsDropped                 uint64 // received with a wrong checksum, tag, port or form
	ChunksRetransmitted            uint64
	Timeouts                       uint64 // of the retransmission timer T3-rtx
	TailProbes, SpuriousRecoveries uint64 // RFC 8985 §7; recoveries without any loss
	MessagesAbandoned              uint64 // RFC 3758
}

// Stats are counters and estimates for diagnosis.
type Stats struct {
	Counters
	SmoothedRTT, MinRTT              time.Duration // 0: not measured
	PacingRate                       float64       // bytes a second; 0: not paced
	PacketSize                       int           // the longest packet that is sent
	CongestionWindow, BytesInFlight  int
	ReceiveWindow, PeerReceiveWindow int
	Interleaving, ZeroChecksum       bool // as negotiated
}

// An Association is one end of an SCTP association (RFC 9260) over DTLS
// (RFC 8261). It is a pure state machine: the owner carries its packets and calls
// Advance when NextTimeout is reached. The methods may be called in any order, but
// not concurrently.
type Association struct {
	cfg     Config
	clock   clock
	lastNow instant // of the last call

	state     State
	ended     bool // closed for good: no INIT is answered any more
	delivered bool // once ended: everything queued was acknowledged
	renewal   renewalState
	err       error // why it ended

	handshake handshake
	sender    sender
	receiver  receiver
	reset     streamReset
	heartbeat heartbeat
	pmtud     pmtud
	shutdown  shutdown

	memory     *Memory
	outbox     outbox
	errorCount int32 // RFC 9260 §8.1
	gotRequest bool  // the packet being read held a RE-CONFIG request

	pendingResets int32 // EventStreamsReset in events
	events        queue[queuedEvent]

	received, dropped uint64 // packets
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
	a.sender.init(a.memory)
	a.receiver.init(a.memory, cfg.MaxMessageSize)
	return a
}

// SetRemotePort sets the peer's port, which may be unknown until the remote
// description arrives (RFC 8841 §5). It has no effect once the association has
// begun.
func (a *Association) SetRemotePort(port uint16) {
	if a.state == StateClosed && !a.ended && port != 0 {
		a.cfg.RemotePort = port
	}
}

// tick returns the time of a call as an instant.
func (a *Association) tick(now time.Time) instant {
	a.lastNow = a.clock.at(now)
	return a.lastNow
}

// Connect sends an INIT. EventFailed with ErrRand follows if the random source
// fails.
func (a *Association) Connect(now time.Time) {
	t := a.tick(now)
	if a.state != StateClosed || a.ended {
		return
	}
	tag, tsn, ok := drawIdentity(a.cfg.Rand)
	if !ok {
		a.end(Event{Kind: EventFailed, Err: ErrRand})
		return
	}
	a.handshake.begin(tag, tsn)
	a.sender.out.reset(tsn)
	a.state = StateCookieWait
	a.handshake.send(t, stepInit, a.sender.rto.timeout(rtoMinHandshake))
}

// open reports whether messages may be queued.
func (a *Association) open() bool {
	return !a.ended && a.state <= StateEstablished && a.renewal != renewalLast
}

// Send queues a message, whose data it copies. It may be called before the
// association is established. The errors are ErrClosed, ErrStreamClosed,
// ErrInvalidStream and ErrEmptyMessage. The queue has no limit: the caller decides
// how much to queue, by BufferedAmount.
func (a *Association) Send(now time.Time, m Message, o SendOptions) error {
	t := a.tick(now)
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

// Receive returns the next message received. Its data belongs to the caller. It is
// charged to the receive window until Release. Messages that came after a stream
// reset are held back until NextEvent has returned the EventStreamsReset, so that
// the caller can tell them from those before it.
func (a *Association) Receive() (m Message, ok bool) {
	if a.pendingResets > 0 {
		taken := a.receiver.reassembly.taken()
		for i := range a.events.n {
			if ev := a.events.at(i); ev.Kind == EventStreamsReset {
				if taken >= ev.after {
					return Message{}, false
				}
				break
			}
		}
	}
	return a.receiver.reassembly.ready.pop()
}

// Release gives the receive window back the n bytes of a message from Receive.
func (a *Association) Release(now time.Time, n int) {
	t := a.tick(now)
	if a.receiver.release(t, n, a.sender.rto.srtt, a.sender.out.empty()) {
		a.heartbeat.ask(t, a.sender.rto.timeout(rtoMinHandshake))
	}
	if a.state.handshakeDone() {
		a.receiver.windowOpened()
	}
}

// Hold charges n released bytes to the receive window again until Release.
func (a *Association) Hold(n int) { a.memory.held += n }

// Memory returns the account of what the remote makes this end keep. Layers above
// charge what they keep to it.
func (a *Association) Memory() *Memory { return a.memory }

// Recycle takes back the data of a message from Receive, to reuse it for a later
// message. The caller must not use it any more. Calling Recycle is optional.
func (a *Association) Recycle(b []byte) { a.receiver.reassembly.spares.put(b) }

// NextLowered returns a stream whose BufferedAmount has fallen since it was last
// returned. ok is false if there is none.
func (a *Association) NextLowered() (stream uint16, ok bool) { return a.sender.queue.nextLowered() }

// Delivered reports whether the remote has acknowledged everything that was
// queued, or had when the association ended. Abandoned messages count as
// acknowledged.
func (a *Association) Delivered() bool {
	if a.ended {
		return a.delivered
	}
	return a.sender.drained()
}

// Pending returns how many bytes of messages are queued or in flight.
func (a *Association) Pending() int { return a.sender.queue.bytes + a.sender.out.bytes }

// BufferedAmount returns how many bytes queued on a stream were not sent yet.
func (a *Association) BufferedAmount(stream uint16) int {
	if s := a.sender.queue.streams.get(stream); s != nil {
		return s.buffered
	}
	return 0
}

// Acknowledged reports whether the remote has acknowledged a message on a stream
// since its last reset. An abandoned message counts as acknowledged.
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
// §6.4): 256 is normal. It holds until the stream is reset.
func (a *Association) SetPriority(stream uint16, priority uint16) {
	if a.ended || priority == 0 {
		return
	}
	a.sender.queue.stream(stream).weight = priority
}

// OutgoingStreams returns how many streams Send may use. Before the peer is known
// it is the number asked for.
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
	a.tick(now)
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

// Flush sends queued data that would otherwise wait up to a quarter of a
// millisecond for more data to share its packet. It is for the last data before
// Abort. AppendPacket follows.
func (a *Association) Flush() {
	a.Suspend(false)
	a.sender.pacer.restart()
}

// DiscoverPacketSize lets packets be up to extra bytes longer than the limit given
// to AppendPacket, as far as probes show that the path carries them (RFC 8899). The
// layers below must not fragment datagrams. 0, the initial value, turns it off.
func (a *Association) DiscoverPacketSize(extra int) {
	if a.pmtud.most != extra {
		a.pmtud.restart(a.lastNow, extra)
	}
}

// AssumeShorter makes packets n bytes shorter than the limit given to AppendPacket
// until probes show that the path carries more. It is for an owner who does not
// know whether the path carries the limit. n is bounded, so that datagrams of 548
// bytes, which every IPv4 path carries, stay in use.
func (a *Association) AssumeShorter(n int) { a.pmtud.shorten(a.lastNow, n) }

// ChangePath tells the association that its packets take another path from now on.
// It discards the round-trip time, rate, congestion window and packet size of the old path:
// they begin as for a new association (RFC 9260 keeps them for each destination address:
// §6.3.1 C1, §7.2.1). Packets in flight may still be acknowledged for as long as the old
// path took. If that path is dead, call PathLost first. Call SetRTT afterwards if the new
// path's round trip is known.
func (a *Association) ChangePath(now time.Time) {
	t := a.tick(now)
	a.receiver.takeAsking()
	if !a.state.handshakeDone() {
		a.sender.rto.reset()
		return
	}
	a.sender.changePath(t, a.pmtud.limit, a.cfg.CongestionControl, a.handshake.localTag)
	a.heartbeat.forget() // its answer would show the old round trip
	if !a.sender.out.empty() {
		a.heartbeat.ask(t, a.sender.rto.timeout(rtoMinHandshake))
	}
	a.pmtud.restart(t, a.pmtud.most)
}

// PathLost tells the association that packets sent lately may be lost with their
// path, and that there is another path, of which nothing is known. Everything
// unacknowledged is sent again at once, as if a timer had expired.
func (a *Association) PathLost(now time.Time) {
	t := a.tick(now)
	a.sender.rto.forget() // SetRTT may set the new path's
	for _, timer := range []*instant{&a.handshake.timer, &a.sender.t3, &a.reset.timer, &a.shutdown.timer} {
		if *timer != 0 {
			*timer = t
		}
	}
	a.Advance(now)
	a.sender.rto.progress() // the timeouts were no sign of congestion
}

// SetRTT sets the round-trip time that a lower layer has measured. It counts until
// SCTP has measured its own.
func (a *Association) SetRTT(rtt time.Duration) { a.sender.seedRTT(a.lastNow, rtt) }

// State returns the present state.
func (a *Association) State() State { return a.state }

// Err returns why the association ended, or nil if it has not.
func (a *Association) Err() error { return a.err }

// LastReceived returns when the last valid packet arrived. The zero time means
// that none did.
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
	ev, ok := a.events.pop()
	if ok && ev.Kind == EventStreamsReset {
		a.pendingResets--
	}
	return ev.Event, ok
}

// event queues an event.
func (a *Association) event(ev Event) {
	if ev.Kind == EventStreamsReset {
		a.pendingResets++
	}
	a.events.push(queuedEvent{ev, a.receiver.reassembly.readyN})
}
