package rtcpeer

import "sync/atomic"

// An Extension is an implementation of peer connections behind [Conn], as the
// document's WebRTCPeerConnectionExtension: the built-in stack is one, a
// browser's own connection can be another, and a program's tests can have one
// without a network. Conn checks arguments and states before it calls.
//
// Calls come from one goroutine at a time, except NextEvent's and those on
// channels, which may come at any time.
type Extension interface {
	// Initialize begins anew; after New it is called with the zero Config.
	Initialize(Config) error
	CreateDataChannel(label string, o ChannelOptions) (ChannelExtension, error)
	CreateOffer() error
	SetLocalDescription(typ, sdp string) error
	SetRemoteDescription(typ, sdp string) error
	AddICECandidate(media string, index int, name string) error
	// NextEvent returns the next event, in order. It never blocks.
	NextEvent() (Event, bool)
	// Notify sets what is called, from any goroutine, when an event, a packet
	// or buffer room has come. f does not block.
	Notify(f func())
	Close() error
}

// A ChannelExtension is a data channel of an Extension. It must be
// comparable: a pointer.
type ChannelExtension interface {
	PutPacket(p []byte, text bool) error
	GetPacket() (p []byte, text bool, err error) // none: ErrUnavailable
	AvailablePacketCount() int
	BufferedAmount() int
	MaxPacketSize() int
	ID() int // 65535 until known
	Close() error
}

// An EventKind says which fields of an Event are set.
type EventKind int

const (
	EventNone               EventKind = iota
	EventSessionDescription           // Type, SDP: an offer or answer was created
	EventICECandidate                 // Media, Index, Name: a local candidate; the last one's Name is empty
	EventDataChannel                  // Channel, Label, Options: the other end opened it
	EventConnectionState              // State: a ConnectionState
	EventGatheringState               // State: a GatheringState
	EventSignalingState               // State: a SignalingState
	EventChannelState                 // Channel, State: a ChannelState
	EventPacket                       // Channel: packets wait that came since the last such event
	EventBufferRoom                   // Channel: BufferedAmount has fallen since the last such event
	EventError                        // Err: why the connection failed; follows before EventConnectionState
)

// An Event is what an Extension has to tell.
type Event struct {
	Kind         EventKind
	Type, SDP    string
	Media, Name  string
	Index, State int
	Channel      ChannelExtension
	Label        string
	Options      ChannelOptions
	Err          error
}

var defaultExtension atomic.Pointer[func() Extension]

// SetDefaultExtension has later calls of [New] make connections of this kind,
// as the document's set_default_extension does. Nil: the built-in stack.
// It is safe for concurrent use.
func SetDefaultExtension(newExtension func() Extension) {
	if newExtension == nil {
		defaultExtension.Store(nil)
		return
	}
	defaultExtension.Store(&newExtension)
}

func newDefaultExtension() Extension {
	if f := defaultExtension.Load(); f != nil {
		return (*f)()
	}
	return newStack()
}
