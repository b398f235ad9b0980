package rtcpeer

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fakeExtension contains two ends without a network. The test sets the events that
// it returns.
type fakeExtension struct {
	mu     sync.Mutex
	calls  []string
	events []Event
	notify func()
	fail   error
}

func (f *fakeExtension) call(name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, name)
	return f.fail
}

func (f *fakeExtension) event(e Event) {
	f.mu.Lock()
	f.events = append(f.events, e)
	notify := f.notify
	f.mu.Unlock()
	notify()
}

func (f *fakeExtension) Initialize(Config) error { return f.call("Initialize") }
func (f *fakeExtension) CreateDataChannel(label string, o ChannelOptions) (ChannelExtension, error) {
	if err := f.call("CreateDataChannel " + label); err != nil {
		return nil, err
	}
	return &fakeChannel{owner: f}, nil
}
func (f *fakeExtension) CreateOffer() error { return f.call("CreateOffer") }
func (f *fakeExtension) SetLocalDescription(typ, sdp string) error {
	return f.call("SetLocalDescription " + typ)
}
func (f *fakeExtension) SetRemoteDescription(typ, sdp string) error {
	return f.call("SetRemoteDescription " + typ)
}
func (f *fakeExtension) AddICECandidate(media string, index int, name string) error {
	return f.call("AddICECandidate " + name)
}
func (f *fakeExtension) Notify(n func()) { f.notify = n }
func (f *fakeExtension) Close() error    { f.call("Close"); return nil }
func (f *fakeExtension) NextEvent() (Event, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.events) == 0 {
		return Event{}, false
	}
	e := f.events[0]
	f.events = f.events[1:]
	return e, true
}

// A fakeChannel stores the packets that are sent, and returns the packets that the
// test has added.
type fakeChannel struct {
	owner    *fakeExtension
	mu       sync.Mutex
	sent     []string
	in       []string
	buffered int
	full     bool
	closed   bool
}

func (c *fakeChannel) PutPacket(p []byte, text bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.full {
		return ErrBufferFull
	}
	c.sent = append(c.sent, string(p))
	c.buffered += len(p)
	return nil
}

func (c *fakeChannel) GetPacket() ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.in) == 0 {
		return nil, false, ErrUnavailable
	}
	p := c.in[0]
	c.in = c.in[1:]
	return []byte(p), true, nil
}

func (c *fakeChannel) AvailablePacketCount() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.in) }
func (c *fakeChannel) BufferedAmount() int       { c.mu.Lock(); defer c.mu.Unlock(); return c.buffered }
func (c *fakeChannel) MaxPacketSize() int        { return 10 }
func (c *fakeChannel) ID() int                   { return 3 }
func (c *fakeChannel) Close() error              { c.mu.Lock(); defer c.mu.Unlock(); c.closed = true; return nil }

func (c *fakeChannel) set(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }

// TestExtension uses all kinds of events between the façade and an Extension.
func TestExtension(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fakeExtension{}
		SetDefaultExtension(func() Extension { return f })
		c := New()
		SetDefaultExtension(nil)
		if _, ok := New().ext.(*stack); !ok {
			t.Error("nil does not bring the built-in stack back")
		}
		var got []string
		say := func(s ...string) { got = append(got, strings.Join(s, " ")) }
		c.OnSessionDescriptionCreated(func(typ, sdp string) { say("description", typ, sdp) })
		c.OnICECandidateCreated(func(media string, index int, name string) { say("candidate", media, name) })
		c.OnStateChanged(func() {
			say(c.ConnectionState().String(), c.GatheringState().String(), c.SignalingState().String())
		})
		var received *DataChannel
		c.OnDataChannelReceived(func(ch *DataChannel) {
			received = ch
			say("channel", ch.Label(), ch.Protocol(), ch.ReadyState().String())
		})
		poll := func(want ...string) {
			t.Helper()
			got = nil
			if err := c.Poll(); err != nil && c.ConnectionState() != StateFailed {
				t.Error(err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		ch, err := c.CreateDataChannel("x", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateDataChannel("x", ChannelOptions{ID: new(1)}); !errors.Is(err, ErrInvalidParameter) {
			t.Errorf("options are not checked: %v", err)
		}
		ext := ch.ch.ext.(*fakeChannel)
		ch.OnStateChanged(func() { say("x", ch.ReadyState().String()) })
		ch.OnPacketReceived(func() { say("x packet") })
		ch.OnBufferedAmountLow(5, func() { say("x low") })
		if err := c.CreateOffer(); err != nil {
			t.Fatal(err)
		}
		f.event(Event{Kind: EventSessionDescription, Type: "offer", SDP: "sdp"})
		poll("connecting new stable", "description offer sdp")
		if err := c.SetLocalDescription("offer", "anything"); err != nil {
			t.Fatal(err)
		}
		f.event(Event{Kind: EventSignalingState, State: int(SignalingStateHaveLocalOffer)})
		f.event(Event{Kind: EventGatheringState, State: int(GatheringStateGathering)})
		f.event(Event{Kind: EventGatheringState, State: int(GatheringStateGathering)}) // the state has not changed
		f.event(Event{Kind: EventICECandidate, Media: "0", Name: "candidate:…"})
		poll("connecting new have-local-offer", "connecting gathering have-local-offer", "candidate 0 candidate:…")
		if err := errors.Join(c.SetRemoteDescription("answer", ""), c.AddICECandidate("0", 0, "c")); err != nil {
			t.Fatal(err)
		}
		f.event(Event{Kind: EventConnectionState, State: int(StateConnected)})
		f.event(Event{Kind: EventChannelState, Channel: ext, State: int(ChannelStateOpen)})
		f.event(Event{Kind: EventDataChannel, Channel: &fakeChannel{}, Label: "y", Options: ChannelOptions{Protocol: "p"}})
		poll("connected gathering have-local-offer", "x open", "channel y p open")
		if received.ID() != 3 || received.IsNegotiated() {
			t.Error("the received channel")
		}

		// The extension returns packets.
		ext.set(func() { ext.in = []string{"1", "2"} })
		f.event(Event{Kind: EventPacket, Channel: ext})
		f.event(Event{Kind: EventPacket, Channel: ext})
		f.event(Event{Kind: EventPacket, Channel: &fakeChannel{}}) // the channel does not exist
		f.event(Event{Kind: EventNone})
		poll("x packet")
		if p, err := ch.GetPacket(); err != nil || string(p) != "1" || !ch.WasStringPacket() {
			t.Errorf("%q, %v", p, err)
		}
		f.event(Event{Kind: EventPacket, Channel: ext})
		poll()
		if err := ch.PutPacket(make([]byte, 11)); !errors.Is(err, ErrMessageTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if err := ch.PutPacket([]byte("123456")); err != nil {
			t.Fatal(err)
		}
		f.event(Event{Kind: EventBufferRoom, Channel: ext})
		poll() // the buffered amount is still above the threshold
		ext.set(func() { ext.buffered = 5 })
		f.event(Event{Kind: EventBufferRoom, Channel: ext})
		f.event(Event{Kind: EventBufferRoom, Channel: ext})
		poll("x low")

		// Notify wakes calls that wait.
		ch.GetPacket()
		type result struct {
			p   string
			err error
		}
		results := make(chan result, 2)
		go func() {
			p, _, err := ch.Receive(context.Background())
			results <- result{string(p), err}
		}()
		ext.set(func() { ext.full = true })
		go func() { results <- result{"sent", ch.Send(context.Background(), []byte("s"), false)} }()
		<-time.After(time.Second)
		ext.set(func() { ext.in, ext.full = []string{"3"}, false })
		f.notify()
		if a, b := <-results, <-results; a.err != nil || b.err != nil || a.p+b.p != "3sent" && a.p+b.p != "sent3" {
			t.Errorf("%v, %v", a, b)
		}

		// The following methods need optional interfaces that this Extension does not
		// have.
		for name, err := range map[string]error{
			"RestartICE": c.RestartICE(), "SetICEServers": c.SetICEServers(nil), "Shutdown": c.Shutdown(context.Background()),
			"OpenDataChannel": second(c.OpenDataChannel("x", ChannelOptions{})),
		} {
			if !errors.Is(err, ErrUnavailable) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if typ, _ := c.LocalDescription(); typ != "" {
			t.Error("LocalDescription")
		}
		if typ, _ := c.RemoteDescription(); typ != "" {
			t.Error("RemoteDescription")
		}
		if c.Stats() != (Stats{}) {
			t.Error("Stats")
		}

		// The Extension fails.
		cause := errors.New("why")
		f.event(Event{Kind: EventError, Err: cause})
		f.event(Event{Kind: EventConnectionState, State: int(StateFailed)})
		poll("failed gathering have-local-offer")
		if err := c.Poll(); !errors.Is(err, cause) {
			t.Errorf("Poll: %v", err)
		}
		if err := ch.Close(); err != nil || !ext.closed || ch.ReadyState() != ChannelStateClosing {
			t.Errorf("Close: %v", err)
		}
		f.event(Event{Kind: EventChannelState, Channel: ext, State: int(ChannelStateOpen)}) // the event comes after the end
		f.event(Event{Kind: EventChannelState, Channel: ext, State: int(ChannelStateClosed)})
		poll("x closing", "x closed")
		if _, _, err := ch.Receive(context.Background()); err != io.EOF {
			t.Errorf("Receive: %v", err)
		}
		if err := ch.PutPacket(nil); !errors.Is(err, ErrClosed) {
			t.Errorf("PutPacket: %v", err)
		}
		if _, _, err := received.Receive(context.Background()); !errors.Is(err, ErrFailed) || !errors.Is(err, cause) {
			t.Errorf("Receive in StateFailed: %v", err)
		}
		f.event(Event{Kind: EventConnectionState, State: int(StateConnected)})
		poll("connected gathering have-local-offer")
		go func() {
			_, _, err := received.Receive(context.Background())
			results <- result{"", err}
		}()
		<-time.After(time.Second)
		c.Close()
		if r := <-results; !errors.Is(r.err, ErrClosed) {
			t.Errorf("Receive at Close: %v", r.err)
		}
		if received.ReadyState() != ChannelStateClosed {
			t.Errorf("state %v", received.ReadyState())
		}
		if last := f.calls[len(f.calls)-1]; last != "Close" {
			t.Errorf("last call %q", last)
		}
	})
}

// If an Extension returns an error, the call returns the error and changes nothing.
func TestExtensionErrors(t *testing.T) {
	f := &fakeExtension{}
	c := connOf(f)
	if _, err := c.CreateDataChannel("x", ChannelOptions{}); err != nil {
		t.Fatal(err)
	}
	f.fail = errors.New("no")
	for name, err := range map[string]error{
		"CreateDataChannel": second(c.CreateDataChannel("y", ChannelOptions{})), "CreateOffer": c.CreateOffer(),
		"SetLocalDescription": c.SetLocalDescription("offer", ""), "SetRemoteDescription": c.SetRemoteDescription("offer", ""),
		"AddICECandidate": c.AddICECandidate("", 0, ""),
	} {
		if !errors.Is(err, f.fail) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if c.ConnectionState() != StateNew {
		t.Errorf("state %v", c.ConnectionState())
	}
	if err := c.Initialize(Config{}); !errors.Is(err, f.fail) || c.ConnectionState() != StateClosed {
		t.Errorf("Initialize: %v, %v", err, c.ConnectionState())
	}
	if c := connOf(f); c.ConnectionState() != StateClosed {
		t.Errorf("New: %v", c.ConnectionState())
	}
	SetDefaultExtension(func() Extension { return nil })
	defer SetDefaultExtension(nil)
	if err := New().Poll(); !errors.Is(err, ErrUnconfigured) {
		t.Errorf("an extension that is nil: %v", err)
	}
}

// A fullExtension has all optional interfaces of an Extension.
type fullExtension struct {
	fakeExtension
	restarting bool
}

func (f *fullExtension) LocalDescription() (typ, sdp string)  { return "offer", "local" }
func (f *fullExtension) RemoteDescription() (typ, sdp string) { return "answer", "remote" }
func (f *fullExtension) CreatesLateChannels() bool            { return true }
func (f *fullExtension) RestartICE() error                    { return f.call("RestartICE") }
func (f *fullExtension) SetICEServers([]ICEServer) error      { return f.call("SetICEServers") }
func (f *fullExtension) Restarting() bool                     { return f.restarting }
func (f *fullExtension) Shutdown(context.Context) error       { return f.call("Shutdown") }
func (f *fullExtension) Stats() (s Stats)                     { s.SCTPTransport.MTU = 1; return s }
func (f *fullExtension) Report(r *Report)                     { r.SCTPState = "established" }
func (f *fullExtension) CandidateDelivered(name string)       { f.call("CandidateDelivered " + name) }
func (f *fullExtension) CreateDataChannel(string, ChannelOptions) (ChannelExtension, error) {
	return &fullChannel{fakeChannel: fakeChannel{owner: &f.fakeExtension}}, nil
}

// A fullChannel has all optional interfaces of a ChannelExtension.
type fullChannel struct {
	fakeChannel
	waker        ChannelWaker
	packet, room bool
	recycled     int
	discarded    bool
	failure      error
}

func (c *fullChannel) SetWaker(w ChannelWaker)      { c.waker = w }
func (c *fullChannel) WantEvents(packet, room bool) { c.packet, c.room = packet, room }
func (c *fullChannel) Arrived() uint64              { return uint64(c.AvailablePacketCount()) }
func (c *fullChannel) Ended() (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed, io.EOF
}
func (c *fullChannel) Failure() error              { c.mu.Lock(); defer c.mu.Unlock(); return c.failure }
func (c *fullChannel) Recycle([]byte)              { c.recycled++ }
func (c *fullChannel) Discard()                    { c.discarded = true }
func (c *fullChannel) Stats() (s DataChannelStats) { s.BytesSent = 7; return s }

// Another implementation can do everything that the built-in stack can do.
func TestOptionalExtensions(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		f := &fullExtension{}
		c := connOf(f)
		f.event(Event{Kind: EventConnectionState, State: int(StateConnected)})
		f.event(Event{Kind: EventICECandidate, Name: "n"})
		if err := c.Poll(); err != nil {
			t.Fatal(err)
		}
		late, err := c.OpenDataChannel("late", ChannelOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(c.RestartICE(), c.SetICEServers(nil)); err != nil {
			t.Error(err)
		}
		if _, sdp := c.LocalDescription(); sdp != "local" {
			t.Error("LocalDescription")
		}
		if _, sdp := c.RemoteDescription(); sdp != "remote" {
			t.Error("RemoteDescription")
		}
		if c.Stats().SCTPTransport.MTU != 1 || c.Report().SCTPState != "established" || c.Report().Connection != StateConnected {
			t.Error("Stats or Report")
		}
		if late.Stats().BytesSent != 7 {
			t.Error("the channel's Stats")
		}

		// The extension's channel wakes blocked calls of its DataChannel.
		ext := late.ch.ext.(*fullChannel)
		late.OnPacketReceived(func() {})
		if !ext.packet || ext.room {
			t.Error("WantEvents")
		}
		late.OnPacketReceived(nil)
		received := make(chan error)
		receive := func() {
			_, _, err := late.Receive(context.Background())
			received <- err
		}
		go receive()
		<-time.After(time.Second)
		ext.set(func() { ext.in = []string{"1"} })
		ext.waker.WakeReceivers()
		if err := <-received; err != nil {
			t.Error(err)
		}
		go receive()
		<-time.After(time.Second)
		ext.set(func() { ext.failure = ErrFailed })
		ext.waker.WakeReceivers()
		if err := <-received; !errors.Is(err, ErrFailed) {
			t.Errorf("Receive after a failure: %v", err)
		}
		late.Recycle(nil)
		if ext.recycled != 1 {
			t.Error("Recycle")
		}
		if n, err := late.NetConn(); err != nil || n.Close() != nil || !ext.discarded {
			t.Errorf("NetConn: %v", err)
		}

		// Run does not return while the extension restarts.
		f.restarting = true
		f.event(Event{Kind: EventConnectionState, State: int(StateFailed)})
		ran := make(chan error, 1)
		go func() { ran <- c.Run(context.Background()) }()
		<-time.After(time.Second)
		if len(ran) != 0 {
			t.Error("Run returned during a restart")
		}
		if err := c.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		for _, want := range []string{"CandidateDelivered n", "RestartICE", "SetICEServers", "Shutdown"} {
			if !slices.Contains(f.calls, want) {
				t.Errorf("%s was not called", want)
			}
		}
	})
}
