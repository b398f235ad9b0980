package sctp

import (
	"errors"
	"io"
	"time"
)

// Config is what an Association is made from.
type Config struct {
	LocalPort, RemotePort uint16    // 0: 5000
	Rand                  io.Reader // nil: crypto/rand
	MaxMessageSize        int       // of received messages; 0: 262144
	ReceiveBuffer         int       // a_rwnd in bytes; 0: chosen here; never under MaxMessageSize
	DisableInterleaving   bool      // no I-DATA (RFC 8260)
	DisableZeroChecksum   bool      // no RFC 9653; with it the lower layer must be DTLS
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
	Lifetime         time.Duration // RFC 3758 §4.1: 0 is for ever
}

// Errors of Send.
var (
	ErrClosed        = errors.New("sctp: association is closed")
	ErrStreamClosed  = errors.New("sctp: stream is being reset")
	ErrInvalidStream = errors.New("sctp: no such outgoing stream")
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

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone         EventKind = iota
	EventEstablished            // messages flow; the number of streams is known
	EventStreamsReset           // Streams: the far end reset its outgoing side of them; all their messages were handed up
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
type Association struct{}

// NewAssociation returns an association in StateClosed, which answers an INIT.
func NewAssociation(cfg Config) *Association { return &Association{} }

// Connect sends an INIT.
func (a *Association) Connect(now time.Time) {}

// HandlePacket takes a packet from the far end.
func (a *Association) HandlePacket(now time.Time, pkt []byte) {}

// AppendPacket appends the next packet of at most limit bytes to dst. ok is
// false when there is none that may be sent now.
func (a *Association) AppendPacket(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	return dst, false
}

// Send queues a message, whose data it copies. It may be called before the
// association is established.
func (a *Association) Send(now time.Time, m Message, o SendOptions) error { return nil }

// Receive returns the next message received. Its data is the caller's; it
// stays charged to the receive window until Release.
func (a *Association) Receive() (m Message, ok bool) { return Message{}, false }

// Release tells that a message of n bytes from Receive is done with, so that
// the receive window opens by so much.
func (a *Association) Release(now time.Time, n int) {}

// BufferedAmount is the number of bytes of payload queued on a stream that
// were not sent yet.
func (a *Association) BufferedAmount(stream uint16) int { return 0 }

// SetPriority sets a stream's weight in the scheduler (RFC 8260 §3, RFC 8831
// §6.4): 256 is normal.
func (a *Association) SetPriority(stream uint16, priority uint16) {}

// ResetStreams closes our outgoing side of streams (RFC 6525 §5.1) once what
// is queued on them was delivered. EventResetDone follows.
func (a *Association) ResetStreams(now time.Time, streams ...uint16) error { return nil }

// OutgoingStreams is the number of streams that Send may use, known once
// established; before it is what we asked for.
func (a *Association) OutgoingStreams() int { return 65535 }

// Shutdown ends the association once all is delivered (RFC 9260 §9.2).
func (a *Association) Shutdown(now time.Time) {}

// Abort ends the association at once (RFC 9260 §9.1): one last packet can be
// had from AppendPacket.
func (a *Association) Abort(now time.Time, reason string) {}

// SetRTT gives a round-trip time measured below, for the first RTO.
func (a *Association) SetRTT(rtt time.Duration) {}

// State returns the present state.
func (a *Association) State() State { return StateClosed }

// Err is why the association ended; nil while it has not.
func (a *Association) Err() error { return nil }

// Advance runs the timers that are due.
func (a *Association) Advance(now time.Time) {}

// NextTimeout is when Advance has something to do; zero: never.
func (a *Association) NextTimeout() time.Time { return time.Time{} }

// NextEvent returns the next event, in order.
func (a *Association) NextEvent() (Event, bool) { return Event{}, false }
