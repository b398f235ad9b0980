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
	maxStreams            = 65535 // ids 0…65534, RFC 8831 §6.2
	defaultMTU            = 1200
)

// Config is what an Association is made from.
type Config struct {
	LocalPort, RemotePort uint16 // 0: 5000
	CongestionControl     CongestionControl
	DisableInterleaving   bool      // no I-DATA (RFC 8260)
	DisableZeroChecksum   bool      // no RFC 9653; with it the lower layer must be DTLS
	Rand                  io.Reader // nil: crypto/rand
	MaxMessageSize        int       // of received messages; 0: 262144
	ReceiveBuffer         int       // a_rwnd in bytes; 0: 1 MiB, which grows as the program reads; never under MaxMessageSize

	// MemoryLimit is how many bytes the remote can make the association and the
	// layers above keep, see Memory. 0: the receive window and DefaultReserve.
	// Less than MinMemoryLimit counts as that.
	MemoryLimit int
}

// A Message is a user message (RFC 9260 §1.3) on a stream.
type Message struct {
	Stream  uint16
	PPID    uint32
	Data    []byte
	Ordered bool // of received messages; in Send, see SendOptions
}

// SendOptions say how a message is to be delivered. The zero value is
// reliable and ordered.
type SendOptions struct {
	Unordered        bool
	LimitRetransmits bool // RFC 7496 §3.3: at most MaxRetransmits
	MaxRetransmits   uint16
	// Lifetime is how long after Send lost data of the message is sent again (RFC
	// 3758 §4.1); 0: without limit. A message that has begun is finished, unless some
	// of it is lost and its lifetime is over. A message that waits for its turn is
	// dropped after its lifetime, but not within three round trips or 50 ms: it waits
	// for congestion control.
	Lifetime  time.Duration
	Uncounted bool // not part of BufferedAmount: the application's own protocol
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
	ErrTimeout       = errors.New("sctp: the far end does not answer")
	ErrHandshake     = errors.New("sctp: the far end's INIT ACK is unusable")
	ErrResetRefused  = errors.New("sctp: the far end refused to reset the stream")
	ErrNoStreamReset = errors.New("sctp: the far end cannot reset streams")
	ErrRand          = errors.New("sctp: the random source fails")
)

// A State is that of an association (RFC 9260 §4).
type State uint8

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

// String gives the name in RFC 9260 §4, in lower case.
func (s State) String() string {
	names := [...]string{"closed", "cookie-wait", "cookie-echoed", "established",
		"shutdown-pending", "shutdown-sent", "shutdown-received", "shutdown-ack-sent"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone         EventKind = iota
	EventEstablished            // messages flow; the number of streams is known
	EventStreamsReset           // Streams, or all if there are none: the far end reset its outgoing side of them; all their messages were handed up
	EventResetDone              // Streams: our outgoing reset of them was performed
	EventResetFailed            // Streams, Err: the far end refused
	EventRestarted              // the far end began anew (RFC 9260 §5.2)
	EventClosed                 // after SHUTDOWN
	EventFailed                 // Err says why: ABORT, too many retransmissions
)

// An Event is something the association's owner should know.
type Event struct {
	Kind    EventKind
	Streams []uint16
	Err     error
}

// An Association is one end of an SCTP association (RFC 9260) over DTLS
// (RFC 8261): a pure state machine.
type Association struct {
	cfg Config
	err error // why it ended

	state      State
	ended      bool // closed for good: no INIT is answered any more
	delivered  bool // of ended: nothing of ours was left to deliver
	filling    bool // the window: it has not been full since there was much room
	ack        ackState
	gotData    bool // the packet under way held DATA
	gotForward bool // … a FORWARD TSN
	gotRequest bool // … a RE-CONFIG request

	sendInit, sendEcho            bool
	initSpared                    bool  // the far end's came before ours had gone
	initCount                     uint8 // timeouts of INIT or COOKIE ECHO
	sendShutdown, sendShutdownAck bool

	turn   uint16 // the stream which sent last
	turnAt int64  // when that was last another one; 0: never

	base    time.Time // zero of the association's clock
	lastNow time.Time

	localTag, peerTag uint32
	localTSN          chunkTSN  // initial
	order             sendOrder // of the packet under way
	cookieKey         *[32]byte // nil: no cookie was made
	echo              []byte    // the COOKIE ECHO chunk to send and send again
	peer              initParams

	rto           rtoEstimator
	errorCount    int32                // RFC 9260 §8.1
	pendingResets int32                // EventStreamsReset in events
	initSent      int64                // of the last INIT
	cc            congestionController // nil until the far end is known
	mtu           int
	peerRwnd      int
	rate          rateSampler
	pacer         pacer
	pacedUntil    time.Time // when what waits for the pacer may go; zero: nothing waits
	recovery      recoveryState

	queue sendQueue
	out   outstanding
	skip  skipState

	in         tracker
	reassembly reassembly
	memory     *Memory
	tuner      windowTuner
	advertised int // a_rwnd of the last SACK
	ackPackets int

	reset     resetState
	heartbeat heartbeatState
	pmtud     pmtud

	replies []reply // whole packets for whoever sent one
	control []byte  // chunks that go before data

	timers timers
	events queue[queuedEvent]

	stats Counters
}

// Counters count since the association was made.
type Counters struct {
	PacketsSent, PacketsReceived   uint64
	PacketsDropped                 uint64 // bad checksum, tag, ports or form
	ChunksRetransmitted            uint64
	Timeouts                       uint64 // of T3-rtx
	TailProbes, SpuriousRecoveries uint64
	MessagesAbandoned              uint64
}

// Stats are counters and estimates, for diagnosis.
type Stats struct {
	Counters
	SmoothedRTT, MinRTT              time.Duration // 0: none yet
	PacingRate                       float64       // bytes a second; 0: not paced
	PacketSize                       int           // the longest that may be sent
	CongestionWindow, BytesInFlight  int
	ReceiveWindow, PeerReceiveWindow int
	Interleaving, ZeroChecksum       bool // as negotiated
}

// A queuedEvent is an Event, with the number of messages that came before.
type queuedEvent struct {
	Event
	after uint64
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
	a := &Association{cfg: cfg, mtu: defaultMTU, memory: newMemory(&cfg)}
	a.advertised = a.memory.window
	a.reassembly.reset(a.memory, false, cfg.MaxMessageSize)
	return a
}

// SetRemotePort sets the far end's port, where it is not known before its
// description is (RFC 8841 §5). Once the association has begun it stays.
func (a *Association) SetRemotePort(port uint16) {
	if a.state == StateClosed && !a.ended && port != 0 {
		a.cfg.RemotePort = port
	}
}

// tick notes the time of a call.
func (a *Association) tick(now time.Time) {
	if a.base.IsZero() {
		a.base = now
	}
	a.lastNow = now
}

// clock is now as nanoseconds of the association's clock.
func (a *Association) clock(now time.Time) int64 { return int64(now.Sub(a.base)) }

// random fills b from the random source, and reports whether it could. What
// needs random bytes is not sent without them.
func (a *Association) random(b []byte) bool {
	_, err := io.ReadFull(a.cfg.Rand, b)
	return err == nil
}

// identity draws a verification tag, which is not zero, and an initial TSN. ok is
// false where the random source fails.
func (a *Association) identity() (tag uint32, tsn chunkTSN, ok bool) {
	var b [8]byte
	for range 4 { // zero four times means that the source is broken
		if !a.random(b[:]) {
			break
		}
		if tag = binary.BigEndian.Uint32(b[:]); tag != 0 {
			return tag, chunkTSN(binary.BigEndian.Uint32(b[4:])), true
		}
	}
	return 0, 0, false
}

// open reports whether data may be queued.
func (a *Association) open() bool { return !a.ended && a.state <= StateEstablished }

// transferring reports whether the peer is known and data may flow.
func (a *Association) transferring() bool {
	return a.state >= StateEstablished
}

// Send queues a message, whose data it copies. It may be called before the
// association is established. The errors are ErrClosed, ErrStreamClosed,
// ErrInvalidStream and ErrEmptyMessage. How much may be queued is the caller's
// to decide, by BufferedAmount.
func (a *Association) Send(now time.Time, m Message, o SendOptions) error {
	a.tick(now)
	if !a.open() {
		return ErrClosed
	}
	if int(m.Stream) >= a.OutgoingStreams() {
		return ErrInvalidStream
	}
	if len(m.Data) == 0 {
		return ErrEmptyMessage
	}
	s := a.queue.stream(m.Stream)
	if s.paused {
		return ErrStreamClosed
	}
	out := a.queue.pool.get(len(m.Data))
	out.data = append(out.data[:0], m.Data...)
	out.stream, out.ppid, out.unordered = s, m.PPID, o.Unordered
	out.uncounted = o.Uncounted
	if !a.peerKnown() || a.peer.forwardTSN || a.peer.iForwardTSN {
		out.limitRetransmits, out.maxRetransmits = o.LimitRetransmits, o.MaxRetransmits
		if o.Lifetime > 0 {
			out.limitLifetime(now, o.Lifetime, a.shortestRTT())
		}
	}
	a.queue.push(out)
	return nil
}

// shortestRTT is the path's round trip without a queue, or the best guess; 0:
// nothing is known.
func (a *Association) shortestRTT() time.Duration {
	if a.recovery.minRTT > 0 {
		return time.Duration(a.recovery.minRTT)
	}
	return a.rto.srtt
}

// peerKnown reports whether the far end's parameters are known.
func (a *Association) peerKnown() bool { return a.state >= StateCookieEchoed }

// Receive returns the next message received. Its data is the caller's; it
// stays charged to the receive window until Release. Messages that came after
// a stream reset are held back until EventStreamsReset was taken, so that they
// are not mistaken for those before it.
func (a *Association) Receive() (m Message, ok bool) {
	if a.pendingResets > 0 {
		taken := a.reassembly.readyN - uint64(a.reassembly.ready.n)
		for i := range a.events.n {
			ev := &a.events.ring[(a.events.head+uint(i))&uint(len(a.events.ring)-1)]
			if ev.Kind == EventStreamsReset {
				if taken >= ev.after {
					return Message{}, false
				}
				break
			}
		}
	}
	return a.reassembly.ready.pop()
}

// Release tells that a message of n bytes from Receive is done with, so that
// the receive window opens by so much.
func (a *Association) Release(now time.Time, n int) {
	a.tick(now)
	a.memory.held = max(a.memory.held-n-messageOverhead, 0)
	a.tuneWindow(now, n)
	a.windowOpened()
}

// Hold charges n bytes more to the receive window, as if they were a part of a
// message from Receive: they were released before it was known that they are.
// Release gives them back with it.
func (a *Association) Hold(n int) { a.memory.held += n }

// Memory is the account of what the remote makes this end keep, which the layers
// above charge for their part.
func (a *Association) Memory() *Memory { return a.memory }

// NextLowered returns a stream whose BufferedAmount has fallen since it was
// last returned; ok is false when there is no more.
func (a *Association) NextLowered() (stream uint16, ok bool) {
	q := &a.queue
	if len(q.lowered) == 0 {
		return 0, false
	}
	s := q.lowered[len(q.lowered)-1]
	q.lowered = q.lowered[:len(q.lowered)-1]
	s.lowered = false
	return s.id, true
}

// Delivered tells whether nothing of ours is left to deliver, or was when the
// association ended.
func (a *Association) Delivered() bool {
	if a.ended {
		return a.delivered
	}
	return a.drained()
}

// Pending is how many bytes of messages wait to be sent, or are on their way.
func (a *Association) Pending() int { return a.queue.bytes + a.out.bytes }

// BufferedAmount is the number of bytes of payload queued on a stream that
// were not sent yet.
func (a *Association) BufferedAmount(stream uint16) int {
	if s := a.queue.streams.get(stream); s != nil {
		return s.buffered
	}
	return 0
}

// Acknowledged reports whether the remote has acknowledged a message on a stream
// since its last reset. A message that was given up counts too.
func (a *Association) Acknowledged(stream uint16) bool {
	s := a.queue.streams.get(stream)
	return s != nil && s.settled
}

// Receiving reports whether a part of a message has come on a stream, or one that
// waits for others before it.
func (a *Association) Receiving(stream uint16) bool {
	s := a.reassembly.streams.get(stream)
	return s != nil && (len(s.waiting) > 0 || s.open != nil && len(s.open[0].runs)+len(s.open[1].runs) > 0)
}

// SetPriority sets a stream's weight in the scheduler (RFC 8260 §3, RFC 8831
// §6.4): 256 is normal. It holds until the stream is reset.
func (a *Association) SetPriority(stream uint16, priority uint16) {
	if a.ended || priority == 0 {
		return
	}
	a.queue.stream(stream).weight = priority
}

// OutgoingStreams is the number of streams that Send may use, known once
// established; before it is what we asked for.
func (a *Association) OutgoingStreams() int {
	if a.peerKnown() {
		return min(maxStreams, int(a.peer.inStreams))
	}
	return maxStreams
}

// IncomingStreams is the number of streams that the remote may send on: as many
// as it announced (RFC 9260 §3.3.2) and has added since (RFC 6525 §5.2.5). It is
// known once established.
func (a *Association) IncomingStreams() int { return min(maxStreams, int(a.peer.outStreams)) }

// SetRTT gives a round-trip time measured below, for the first RTO.
func (a *Association) SetRTT(rtt time.Duration) {
	a.rto.seed(rtt)
	if a.out.move.active && a.timers.probe.IsZero() {
		a.armProbe(a.lastNow) // all that is in flight may be lost with the old path
	}
}

// State returns the present state.
func (a *Association) State() State { return a.state }

// Err is why the association ended; nil while it has not.
func (a *Association) Err() error { return a.err }

// Stats returns the present figures.
func (a *Association) Stats() Stats {
	s := Stats{Counters: a.stats}
	s.SmoothedRTT, s.MinRTT = a.rto.srtt, time.Duration(a.recovery.minRTT)
	s.PacketSize, s.BytesInFlight = a.mtu, a.out.bytes
	if a.cc != nil {
		s.PacingRate, s.CongestionWindow = a.pacingRate(), a.cc.window()
	}
	s.ReceiveWindow, s.PeerReceiveWindow = a.memory.receiveWindow(), a.peerRwnd
	s.Interleaving, s.ZeroChecksum = a.interleaving(), a.zeroChecksum()
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

func (a *Association) event(ev Event) {
	if ev.Kind == EventStreamsReset {
		a.pendingResets++
	}
	a.events.push(queuedEvent{ev, a.reassembly.readyN})
}

// interleaving reports whether I-DATA is used (RFC 8260 §2.2.1).
func (a *Association) interleaving() bool {
	return a.peerKnown() && a.peer.iData && !a.cfg.DisableInterleaving
}

// zeroChecksum reports whether packets may have a checksum of zero: the far
// end announced the method of error detection that we use too (RFC 9653).
func (a *Association) zeroChecksum() bool {
	return a.peer.zeroChecksum && !a.cfg.DisableZeroChecksum
}

// end closes the association for good.
func (a *Association) end(ev Event) {
	a.state, a.ended, a.delivered, a.err = StateClosed, true, a.drained(), ev.Err
	if a.err == nil {
		a.err = ErrClosed
	}
	a.timers = timers{}
	a.dropQueue()
	a.out = outstanding{}
	a.pacedUntil = time.Time{}
	a.control, a.echo = nil, nil
	a.sendInit, a.sendEcho, a.sendShutdown, a.sendShutdownAck = false, false, false, false
	a.ack = ackNone
	a.reset = resetState{}
	a.skip = skipState{}
	a.reassembly.reset(a.memory, false, a.cfg.MaxMessageSize) // complete messages stay to be read
	a.event(ev)
}
