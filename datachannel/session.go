package datachannel

import (
	"errors"
	"time"

	"purertc/sctp"
)

// A State is that of a channel, as in the W3C's RTCDataChannelState.
type State uint8

const (
	StateConnecting State = iota
	StateOpen
	StateClosing
	StateClosed
)

// Params are what the two ends of a channel agree on (RFC 8832 §5.1).
type Params struct {
	Label             string
	Protocol          string
	Negotiated        bool
	ID                uint16 // used if Negotiated
	Unordered         bool
	MaxRetransmits    int    // -1: none given
	MaxPacketLifeTime int    // milliseconds; -1: none given
	Priority          uint16 // 0: 256, normal (RFC 8831 §6.4)
}

// Errors of Open and Send.
var (
	ErrIDInUse = errors.New("datachannel: id is in use")
	ErrNotOpen = errors.New("datachannel: channel is not open")
	ErrNoID    = errors.New("datachannel: no stream id is left")
)

// A Session is the set of data channels on one association (RFC 8831).
type Session struct{}

// NewSession returns a session without channels.
func NewSession(a *sctp.Association) *Session { return &Session{} }

// Start tells the session the DTLS role, which decides whose ids are even
// (RFC 8832 §6), and that the association exists: channels in waiting get
// their ids.
func (s *Session) Start(now time.Time, dtlsClient bool) {}

// Open adds a channel. In-band ones get their id and send DATA_CHANNEL_OPEN
// once the session has started; they are open when the association is
// established, without waiting for the acknowledgement (RFC 8832 §6); negotiated
// ones likewise.
func (s *Session) Open(now time.Time, p Params) (*Channel, error) { return nil, nil }

// Process moves what the association has for us: its messages to the
// channels, its events into the channels' states.
func (s *Session) Process(now time.Time) {}

// An EventKind says what an Event is about.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventIncoming              // Channel: the far end opened it; it is open
	EventState                 // Channel, State: a change of state
	EventMessage               // Channel: a message came where none was waiting
	EventAssociation           // Association: an event of the association that concerns its owner
)

// An Event is something the Session's owner should know.
type Event struct {
	Kind        EventKind
	Channel     *Channel
	State       State
	Association sctp.Event
}

// NextEvent returns the next event, in order.
func (s *Session) NextEvent() (Event, bool) { return Event{}, false }

// A Channel is one data channel.
type Channel struct{}

// Params returns what the channel was opened with.
func (c *Channel) Params() Params { return Params{} }

// ID is the stream's number, and whether it is known yet.
func (c *Channel) ID() (id uint16, ok bool) { return 0, false }

// State returns the present state.
func (c *Channel) State() State { return StateClosed }

// Send queues a message, whose data it copies (RFC 8831 §6.6).
func (c *Channel) Send(now time.Time, data []byte, text bool) error { return nil }

// Receive takes the next message that waits, which opens the receive window
// by as much. It works in every state.
func (c *Channel) Receive(now time.Time) (data []byte, text, ok bool) { return nil, false, false }

// Waiting is the number of messages that wait to be received.
func (c *Channel) Waiting() int { return 0 }

// BufferedAmount is the number of bytes of payload that wait to be sent.
func (c *Channel) BufferedAmount() int { return 0 }

// Close closes the channel (RFC 8831 §6.7): what is queued is sent, then the
// stream is reset.
func (c *Channel) Close(now time.Time) {}
