package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"

	"purertc/ice"
)

// A Conn is a connection to a remote peer, with the interface of Godot's
// WebRTCPeerConnection. [New] makes one; all methods are safe for concurrent use.
type Conn struct {
	mu         sync.Mutex // guards the fields below; held during calls of ext
	ext        Extension
	connection ConnectionState // as shown
	gathering  GatheringState
	signaling  SignalingState
	cause      error  // of StateFailed
	failures   uint32 // how often the state became StateFailed
	told       uint32 // the failure that Run returned last
	generation uint32 // counts Initialize and Close, which end a running Poll
	created    bool   // a channel was created since Initialize
	agreed     bool   // a remote offer was answered since Initialize
	queue      eventQueue
	channels   channelTable
	handlers   handlers
	live       liveState
	wanted     *Description // Offer or Answer waits for it, in place of the handler; nil: neither waits
	unpolled   pollWatch

	polling sync.Mutex // held by the goroutine in Poll
	wake    signal     // an event may have come
	changes broadcast  // likewise, for calls that wait for a state
	ending  *endSignal // of the present connection
	host    atomic.Pointer[Host]
	over    atomic.Bool // closed, and nothing is left to poll

	// In host.ready. Guarded by the host's lock, but queued may be read without it.
	queued               atomic.Bool
	prevReady, nextReady *Conn

	blockedMu sync.Mutex
	blocked   map[*channel]int // blocked calls on channels that are no WakingChannel
}

// Kinds of Conn's own events, in the queue beside the extension's.
const (
	eventShown        EventKind = -1 - iota // call the handler for a state that is shown already
	eventChannelShown                       // the same for Channel
	eventCall                               // call the event's handler of a channel that Close has closed
)

// New returns a connection in StateNew with the default configuration.
func New() *Conn { return connOf(newDefaultExtension()) }

func connOf(ext Extension) *Conn {
	c := &Conn{ext: ext}
	if ext == nil {
		return c // like a zero Conn
	}
	c.ext.Notify(c.notify)
	if err := c.ext.Initialize(Config{}); err != nil {
		c.closeLocked()
		return c
	}
	c.beginLife()
	return c
}

// Initialize configures the connection, which is then in StateNew. The previous
// connection and its channels are closed. After an error the connection is closed.
func (c *Conn) Initialize(cfg Config) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ext == nil {
		return ErrUnconfigured
	}
	c.closeLocked()
	if err := cfg.check(); err != nil {
		return err
	}
	if err := c.ext.Initialize(cfg); err != nil {
		return err
	}
	c.connection, c.gathering, c.signaling = StateNew, GatheringStateNew, SignalingStateStable
	c.created, c.agreed, c.cause = false, false, nil
	c.unpolled.log = cfg.Logger
	c.host.Store(cfg.Host)
	c.over.Store(false)
	c.beginLife()
	return nil
}

// Close closes the connection at once. It tells the remote, closes all channels and
// drops queued signals. Packets that have arrived stay readable. Close is idempotent,
// and handlers may call it.
func (c *Conn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ext == nil {
		return ErrUnconfigured
	}
	c.closeByProgram()
	return nil
}

// closeByProgram closes the connection, which handlers are told at the next Poll.
func (c *Conn) closeByProgram() {
	var told []Event
	if c.connection != StateClosed && c.handlers.ofStates() {
		told = append(told, Event{Kind: eventShown})
	}
	c.channels.each(func(ch *channel) {
		if ch.onState != nil && ChannelState(ch.state.Load()) != ChannelStateClosed {
			told = append(told, Event{Kind: eventCall, call: ch.onState})
		}
	})
	c.closeLocked()
	for _, e := range told {
		c.queue.push(e)
	}
	if h := c.host.Load(); h != nil && len(told) > 0 && h.served.Load() {
		c.over.Store(false)
		h.push(c)
	}
}

func (c *Conn) closeLocked() {
	c.generation++
	c.ext.Close()
	for {
		if _, ok := c.ext.NextEvent(); !ok {
			break
		}
	}
	c.channels.each(func(ch *channel) {
		ch.state.Store(int32(ChannelStateClosed))
		ch.aborted.Store(true)
		ch.release()
		ch.wakeAll()
	})
	c.channels = channelTable{}
	c.queue.clear()
	c.connection, c.signaling, c.cause = StateClosed, SignalingStateClosed, nil
	c.endLife()
	c.leaveReady()
	c.wake.set()
	c.changes.send()
}

// leaveReady removes a closed connection from its host.
func (c *Conn) leaveReady() {
	c.over.Store(true)
	if h := c.host.Load(); h != nil {
		h.drop(c)
	}
}

// usable returns an error if no call is possible.
func (c *Conn) usable() error {
	switch {
	case c.ext == nil:
		return ErrUnconfigured
	case c.connection == StateClosed:
		return ErrClosed
	}
	return nil
}

// CreateDataChannel creates a channel before the first offer or answer: in StateNew
// only. See OpenDataChannel for later ones.
func (c *Conn) CreateDataChannel(label string, o ChannelOptions) (*DataChannel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return nil, err
	}
	if c.connection != StateNew {
		return nil, wrongState("CreateDataChannel in state %v, not new: use OpenDataChannel", c.connection)
	}
	return c.createLocked(label, o)
}

// OpenDataChannel creates a channel at any time before Close. If DTLS or SCTP has
// failed, the error is ErrClosed, with the cause. If ICE has failed, the channel opens
// after a successful restart.
func (c *Conn) OpenDataChannel(label string, o ChannelOptions) (*DataChannel, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return nil, err
	}
	if x, ok := c.ext.(LateChannelExtension); c.connection != StateNew && (!ok || !x.CreatesLateChannels()) {
		return nil, errUnavailable
	}
	return c.createLocked(label, o)
}

func (c *Conn) createLocked(label string, o ChannelOptions) (*DataChannel, error) {
	if err := o.check(label); err != nil {
		return nil, err
	}
	ext, err := c.ext.CreateDataChannel(label, o)
	if err != nil {
		return nil, err
	}
	c.created = true
	return newHandle(c.register(ext, label, o, ChannelStateConnecting)), nil
}

func (c *Conn) register(ext ChannelExtension, label string, o ChannelOptions, s ChannelState) *channel {
	ch := &channel{conn: c, ext: ext, label: label, options: o}
	ch.state.Store(int32(s))
	ch.mode.Store(int32(WriteModeBinary))
	ch.threshold.Store(-1)
	if x, ok := ext.(WakingChannel); ok {
		ch.waking = x
		x.SetWaker(ch)
	}
	c.channels.add(ch)
	return ch
}

// CreateOffer creates an offer, which Poll then signals. It needs a stable signalling
// state, and a channel created since Initialize, even if it is closed, or an earlier
// offer of the remote that was answered.
func (c *Conn) CreateOffer() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.createOffer()
}

func (c *Conn) createOffer() error {
	if err := c.usable(); err != nil {
		return err
	}
	if c.signaling != SignalingStateStable {
		return wrongState("CreateOffer in signalling state %v, not stable", c.signaling)
	}
	if !c.created && !c.agreed {
		return wrongState("CreateOffer before any channel was created: call CreateDataChannel first")
	}
	if err := c.ext.CreateOffer(); err != nil {
		return err
	}
	c.begun()
	return nil
}

// begun shows that the connection begins.
func (c *Conn) begun() {
	if c.connection == StateNew {
		c.connection = StateConnecting
		c.enqueue(Event{Kind: eventShown})
	}
	c.collect()
	c.rouse()
}

// SetLocalDescription applies a created offer or answer; typ is "offer", "answer",
// "pranswer" or "rollback". It begins gathering.
func (c *Conn) SetLocalDescription(typ, sdp string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setLocal(typ, sdp)
}

func (c *Conn) setLocal(typ, sdp string) error {
	if err := c.usable(); err != nil {
		return err
	}
	if err := checkType(typ); err != nil {
		return err
	}
	if err := c.ext.SetLocalDescription(typ, sdp); err != nil {
		return err
	}
	if typ == "answer" {
		c.agreed = true
	}
	c.collect()
	c.rouse()
	return nil
}

// SetRemoteDescription applies the remote description; typ is "offer", "answer",
// "pranswer" or "rollback". After an offer, an answer is created, which Poll signals.
func (c *Conn) SetRemoteDescription(typ, sdp string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.setRemote(typ, sdp)
}

func (c *Conn) setRemote(typ, sdp string) error {
	if err := c.usable(); err != nil {
		return err
	}
	if err := checkType(typ); err != nil {
		return err
	}
	if err := c.ext.SetRemoteDescription(typ, sdp); err != nil {
		return err
	}
	c.begun()
	return nil
}

func checkType(typ string) error {
	switch typ {
	case "offer", "answer", "pranswer", "rollback":
		return nil
	}
	return invalid("description type %q is not offer, answer, pranswer or rollback", typ)
}

// AddICECandidate adds a remote candidate. media and index name its media section;
// name is the candidate line, empty for the end of candidates. It may be called before
// the remote description is set.
func (c *Conn) AddICECandidate(media string, index int, name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	return c.ext.AddICECandidate(media, index, name)
}

// ConnectionState returns the state as of the last Poll.
func (c *Conn) ConnectionState() ConnectionState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.connection
}

// GatheringState returns the state as of the last Poll.
func (c *Conn) GatheringState() GatheringState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gathering
}

// SignalingState returns the state. The program's own calls change it at once.
func (c *Conn) SignalingState() SignalingState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.signaling
}

// Poll calls the handlers of the signals that were queued when it was called,
// in order. It never blocks on the network. After StateFailed it returns the
// cause. Called by a handler it returns nil at once.
func (c *Conn) Poll() error {
	if !c.polling.TryLock() {
		if inHandler() {
			return nil
		}
		c.polling.Lock()
	}
	defer c.polling.Unlock()
	c.mu.Lock()
	if c.ext == nil {
		c.mu.Unlock()
		return ErrUnconfigured
	}
	c.collect()
	n, generation := c.queue.len(), c.generation
	c.mu.Unlock()
	for range n {
		if !c.deliver(generation) {
			break
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connection == StateClosed && c.queue.len() == 0 && !c.over.Load() {
		c.leaveReady()
	}
	if c.connection == StateFailed {
		return failedBy(c.cause)
	}
	return nil
}

// inHandler reports whether a handler called the calling function: deliver, of some
// Conn, is on the calling goroutine's stack. It is called only while another Poll
// runs: waiting for that one in a handler could be a deadlock.
func inHandler() bool {
	var callers [64]uintptr
	for skip := 0; ; skip += len(callers) {
		n := runtime.Callers(skip, callers[:])
		frames := runtime.CallersFrames(callers[:n])
		for more := n > 0; more; {
			var f runtime.Frame
			if f, more = frames.Next(); f.Function == deliverName {
				return true
			}
		}
		if n < len(callers) {
			return false
		}
	}
}

// deliverName is the name of deliver in package runtime.
var deliverName = runtime.FuncForPC(reflect.ValueOf((*Conn).deliver).Pointer()).Name()

// collect moves events from the extension to the queue, except those that no handler
// wants.
func (c *Conn) collect() {
	for {
		e, ok := c.ext.NextEvent()
		if !ok {
			return
		}
		if c.observe(&e) {
			continue
		}
		switch e.Kind {
		case EventSignalingState:
			// Only the program's own calls change it, so it is shown at once.
			if s := SignalingState(e.State); s != c.signaling {
				c.signaling = s
				c.enqueue(Event{Kind: eventShown})
			}
		case EventDataChannel:
			c.register(e.Channel, e.Label, e.Options, ChannelStateOpen)
			c.enqueue(e)
		case EventChannelState, EventPacket, EventBufferRoom:
			if ch := c.channels.get(e.Channel); ch != nil && ch.wants(&e) {
				c.enqueue(e)
			}
		default:
			c.enqueue(e)
		}
	}
}

func (c *Conn) enqueue(e Event) {
	c.queue.push(e)
	c.over.Store(false)
}

// deliver applies the first event of the queue and calls its handler. It returns false
// if Close or Initialize was called.
func (c *Conn) deliver(generation uint32) bool {
	c.mu.Lock()
	if c.generation != generation || c.queue.len() == 0 {
		c.mu.Unlock()
		return false
	}
	e := *c.queue.front()
	ch := c.channels.get(e.Channel)
	if ch != nil && ch.closes(&e) && ch.onPacket != nil && ch.unseen() {
		// Unread packets are reported before the close. Their own event was dropped if
		// onPacket was not set when it was taken.
		f := ch.onPacket
		c.mu.Unlock()
		f()
		return true
	}
	c.queue.pop()
	if x, ok := c.ext.(DeliveryExtension); ok && e.Kind == EventICECandidate {
		x.CandidateDelivered(e.Name)
	}
	c.unpolled.end()
	changed := c.apply(&e)
	h, before := c.handlers, c.handlers.told
	now := shownStates{c.connection, c.gathering, c.signaling}
	c.handlers.told = now
	var pair CandidatePair
	if e.Kind == EventSelectedPair {
		pair, _ = selectedPairOf(c.ext)
	}
	var received *DataChannel
	if e.Kind == EventDataChannel && ch != nil {
		received = newHandle(ch)
	}
	var onPacket, onLow, onChannelState func()
	if ch != nil {
		onPacket, onLow, onChannelState = ch.onPacket, ch.onLow, ch.onState
		if e.Kind == EventPacket && !ch.unseen() {
			onPacket = nil
		}
		if onChannelState == nil && changed && (e.Kind == EventChannelState || e.Kind == eventChannelShown) {
			ch.untold = true
		}
		if ch.closes(&e) {
			c.channels.remove(e.Channel)
			ch.release()
		}
	}
	c.mu.Unlock()

	switch e.Kind {
	case eventShown, EventConnectionState, EventGatheringState:
		if changed {
			h.statesChanged(before, now)
		}
	case eventCall:
		e.call()
	case EventICEState:
		if h.ice != nil {
			h.ice(ice.State(e.State))
		}
	case EventSelectedPair:
		if h.pair != nil {
			h.pair(pair)
		}
	case eventChannelShown, EventChannelState:
		if changed {
			call(onChannelState)
		}
	case EventPacket:
		call(onPacket)
	case EventBufferRoom:
		call(onLow)
	case EventSessionDescription:
		if h.description != nil {
			h.description(e.Type, e.SDP)
		}
	case EventICECandidate:
		if h.candidate != nil {
			h.candidate(e.Media, e.Index, e.Name)
		}
	case EventDataChannel:
		if received != nil && h.channel != nil {
			h.channel(received)
		}
	}
	return true
}

func call(f func()) {
	if f != nil {
		f()
	}
}

// apply shows an event's state. It reports whether the state changed.
func (c *Conn) apply(e *Event) bool {
	switch e.Kind {
	case EventError:
		c.cause = e.Err
	case EventConnectionState:
		s := ConnectionState(e.State)
		if s == c.connection {
			return false
		}
		c.connection = s
		if s == StateFailed {
			c.failures++
			c.wake.set() // other goroutines in Run
			c.wakeBlocked()
		}
		if s == StateClosed {
			c.signaling = SignalingStateClosed
		}
	case EventGatheringState:
		s := GatheringState(e.State)
		if s == c.gathering {
			return false
		}
		c.gathering = s
	case EventChannelState:
		// A channel's state only advances: an open that was queued when the program
		// called Close is ignored.
		ch := c.channels.get(e.Channel)
		if ch == nil || int32(e.State) <= ch.state.Load() {
			return false
		}
		ch.state.Store(int32(e.State))
		ch.wakeAll()
	}
	return true
}

// notify is called by the extension when it has events.
func (c *Conn) notify() {
	c.rouse()
	c.changes.send()
	c.wakeBlocked()
}

func (c *Conn) wakeBlocked() {
	c.blockedMu.Lock()
	defer c.blockedMu.Unlock()
	for ch := range c.blocked {
		ch.wakeAll()
	}
}

// rouse wakes the goroutines that poll, in Wait or in the host's Ready.
func (c *Conn) rouse() {
	c.wake.set()
	if h := c.host.Load(); h != nil && !c.queued.Load() {
		h.push(c)
	}
}

// pending reports whether Poll has something to deliver.
func (c *Conn) pending() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collect()
	return c.queue.len() > 0
}

// Wait waits until Poll has something to deliver: signals, state changes, packets or
// buffer room of channels with such a handler. It returns ctx's error, or ErrClosed
// when the connection is closed and everything was delivered.
func (c *Conn) Wait(ctx context.Context) error {
	return c.waitOr(ctx, func() error { return nil })
}

// waitOr is Wait, and also returns when ends returns an error.
func (c *Conn) waitOr(ctx context.Context, ends func() error) error {
	for {
		c.mu.Lock()
		if c.ext == nil {
			c.mu.Unlock()
			return ErrUnconfigured
		}
		c.collect()
		some, closed := c.queue.len() > 0, c.connection == StateClosed
		c.mu.Unlock()
		if some || closed {
			c.wake.set() // for other waiting goroutines
			if some {
				return nil
			}
			return ErrClosed
		}
		if err := ends(); err != nil {
			c.wake.set()
			return err
		}
		if err := c.wake.wait(ctx); err != nil {
			return err
		}
	}
}

// Run waits and polls, for programs without a frame loop. It returns nil when the
// connection is closed, by either end; ErrFailed with the cause when the state has
// become StateFailed; or ctx's error.
//
// So "defer c.Close()" after Run closes the connection of a client that has vanished.
// A program that wants to restart such a connection calls RestartICE in the handler of
// the state, so that Run goes on, or calls Run again: it returns once for each
// failure.
func (c *Conn) Run(ctx context.Context) error {
	c.mu.Lock()
	told := c.told
	c.mu.Unlock()
	failed := func() error { return c.failureSince(told) }
	for {
		err := c.waitOr(ctx, failed)
		switch {
		case errors.Is(err, ErrClosed) && !errors.Is(err, ErrFailed):
			return nil
		case err != nil:
			return err
		}
		if err := c.Poll(); errors.Is(err, ErrUnconfigured) {
			return err
		}
		if err := ctx.Err(); err != nil && c.ConnectionState() != StateClosed {
			return err
		}
	}
}

// failureSince returns the cause of StateFailed, if it is a later failure than number
// told and the program does not restart the connection.
func (c *Conn) failureSince(told uint32) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.connection != StateFailed || c.failures == told {
		return nil
	}
	if x, ok := c.ext.(RestartExtension); ok && x.Restarting() {
		return nil
	}
	c.told = c.failures
	return failedBy(c.cause)
}

// errUnavailable is the error of calls that need an optional interface of
// Extension.
var errUnavailable = fmt.Errorf("%w: the extension in use cannot do this", ErrUnavailable)

// LocalDescription returns the applied local description, with the candidates gathered
// so far and their end; empty if there is none.
func (c *Conn) LocalDescription() (typ, sdp string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.ext.(DescriptionExtension); ok {
		return x.LocalDescription()
	}
	return "", ""
}

// RemoteDescription returns the applied remote description; empty if there is none.
func (c *Conn) RemoteDescription() (typ, sdp string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if x, ok := c.ext.(DescriptionExtension); ok {
		return x.RemoteDescription()
	}
	return "", ""
}

// RestartICE makes the next CreateOffer an ICE restart (RFC 8445 §9), which looks for
// a new path. Data is sent on the old one meanwhile. Leave some seconds between
// restarts: if one begins before the last is over, Firefox sends nothing any more.
func (c *Conn) RestartICE() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	x, ok := c.ext.(RestartExtension)
	if !ok {
		return errUnavailable
	}
	return x.RestartICE()
}

// SetICEServers replaces the servers, and asks them if gathering has begun.
func (c *Conn) SetICEServers(servers []ICEServer) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.usable(); err != nil {
		return err
	}
	x, ok := c.ext.(RestartExtension)
	if !ok {
		return errUnavailable
	}
	for i := range servers {
		if _, err := servers[i].parse(); err != nil {
			return err
		}
	}
	return x.SetICEServers(servers)
}

// Shutdown sends everything queued on every channel, shuts down the association (RFC
// 9260 §9.2), then closes. If ctx ends before that, it closes at once and returns
// ctx's error. If either end closes the connection before everything is delivered, the
// error is ErrClosed; if the connection fails, or has failed, the cause.
func (c *Conn) Shutdown(ctx context.Context) error {
	c.mu.Lock()
	err := c.usable()
	x, ok := c.ext.(ShutdownExtension)
	if err == nil && !ok {
		err = errUnavailable
	}
	generation := c.generation
	c.mu.Unlock()
	if err != nil {
		return err
	}
	err = x.Shutdown(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.generation == generation { // else it was closed or initialized again
		c.closeByProgram()
	}
	return err
}
