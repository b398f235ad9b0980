package rtcpeer

import (
	"context"
	"sync/atomic"
)

// An Extension is an implementation of peer connections behind [Conn], like
// Godot's WebRTCPeerConnectionExtension: the built-in stack is one, a browser's
// own connection can be another, and a program's tests can have one without a
// network. Conn checks arguments and states before it calls.
//
// Calls come from one goroutine at a time, except NextEvent's, Shutdown's and
// those on channels, which may come at any time.
//
// What not every implementation can do is an interface of its own:
// [DescriptionExtension], [LateChannelExtension], [RestartExtension],
// [ShutdownExtension], [StatsExtension], [ReportExtension], [EndingExtension],
// [PairExtension], [RemoteExtension]. Conn looks for them by
// type assertion. A call that needs one which is missing returns ErrUnavailable,
// or the zero value.
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
	// Notify sets the function that the extension calls, from any goroutine, when
	// an event, a packet or buffer room has come. f does not block.
	Notify(f func())
	Close() error
}

// A DescriptionExtension knows the descriptions as applied, with the candidates
// gathered so far. Both are empty if there is none.
type DescriptionExtension interface {
	LocalDescription() (typ, sdp string)
	RemoteDescription() (typ, sdp string)
}

// A LateChannelExtension takes CreateDataChannel in every state but
// StateClosed. Others take it in StateNew only.
type LateChannelExtension interface {
	CreatesLateChannels() bool
}

// A RestartExtension can restart ICE.
type RestartExtension interface {
	// RestartICE makes the next offer one with new ICE credentials.
	RestartICE() error
	// SetICEServers replaces the servers of the Config.
	SetICEServers(servers []ICEServer) error
	// Restarting reports whether a restart was asked for, and has not failed.
	// Meanwhile StateFailed ends no call that waits.
	Restarting() bool
}

// A ShutdownExtension can deliver what is queued before it closes.
type ShutdownExtension interface {
	// Shutdown returns when everything queued is delivered, with the cause if it
	// will never be, or with ctx's error. Conn calls Close afterwards.
	Shutdown(ctx context.Context) error
}

// A StatsExtension has figures of the connection.
type StatsExtension interface{ Stats() Stats }

// A ReportExtension adds what it knows to a Report, which has the states as
// shown by Conn.
type ReportExtension interface{ Report(r *Report) }

// An EndingExtension reports its end at once, and not only by NextEvent.
type EndingExtension interface {
	// NotifyEnd sets the function that the extension calls, from any goroutine, when
	// the connection is closed, by either end. f does not block. Conn calls NotifyEnd
	// after each Initialize.
	NotifyEnd(f func())
}

// A PairExtension knows the candidates on which data is sent. ok is false if there
// were none so far.
type PairExtension interface {
	SelectedPair() (pair CandidatePair, ok bool)
}

// A RemoteExtension knows more of the descriptions and of the remote. Conn's methods of
// these names say what they return.
type RemoteExtension interface {
	Descriptions() Descriptions
	RemoteCertificate() []byte
	RemoteMaxMessageSize() (size int, ok bool)
}

// A DeliveryExtension is told which local candidates the program has received
// from Poll. Descriptions that the extension creates must not contain any other
// candidates.
type DeliveryExtension interface{ CandidateDelivered(name string) }

// A ChannelExtension is a data channel of an Extension. It must be
// comparable: a pointer. Its optional interfaces are [WakingChannel],
// [DiscardingChannel], [RecyclingChannel] and [StatsChannel].
type ChannelExtension interface {
	PutPacket(p []byte, text bool) error
	GetPacket() (p []byte, text bool, err error) // none: ErrUnavailable
	AvailablePacketCount() int
	BufferedAmount() int
	MaxPacketSize() int
	ID() int // 65535 until known
	Close() error
}

// A WakingChannel changes at any time, by goroutines of its own, and wakes the
// blocked Send and Receive calls of its DataChannel itself. Its PutPacket checks
// the channel's state and the packet's size. For other channels DataChannel does
// both, from the events: all blocked calls look again at each Notify.
type WakingChannel interface {
	// SetWaker sets the receiver of wake-ups. It is called once.
	SetWaker(ChannelWaker)
	// WantEvents says for which events the program has handlers. The others need
	// not be queued.
	WantEvents(packet, bufferRoom bool)
	// Arrived is the number of packets that have arrived so far.
	Arrived() uint64
	// Ended reports whether no packet can arrive any more, and why: io.EOF after
	// a clean close.
	Ended() (bool, error)
	// Failure returns the cause if the connection has failed and is not being
	// restarted.
	Failure() error
}

// A ChannelWaker wakes the blocked calls of a DataChannel. Its methods do not
// block. They must not be called with a lock held that the channel's methods take.
type ChannelWaker interface {
	WakeReceivers() // a packet has arrived, or the channel or its connection has ended
	WakeSenders()   // there is buffer room, or the channel has opened, or it has ended
}

// A DiscardingChannel can be closed by a program that will not read from it.
type DiscardingChannel interface {
	// Discard closes the channel and drops all packets that have arrived or will.
	Discard()
}

// A RecyclingChannel uses the memory of packets again that the program gives
// back.
type RecyclingChannel interface{ Recycle(p []byte) }

// A StatsChannel has figures of the channel.
type StatsChannel interface{ Stats() DataChannelStats }

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
	EventError                        // Err: why the connection failed or was closed; follows before EventConnectionState
	EventICEState                     // State: an ice.State
	EventSelectedPair                 // data is sent on another pair, which PairExtension returns
)

// An Event reports a change from an Extension to its Conn.
type Event struct {
	Kind         EventKind
	Type, SDP    string
	Media, Name  string
	Index, State int
	Channel      ChannelExtension
	Label        string
	Options      ChannelOptions
	Err          error

	call func() // of Conn's own events
}

var defaultExtension atomic.Pointer[func() Extension]

// SetDefaultExtension makes later calls of [New] use this implementation, like
// Godot's set_default_extension. Nil: the built-in stack.
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
