package rtcpeer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync/atomic"
	"unicode/utf8"
)

// A DataChannel carries packets to and from the remote peer. Keep a reference: a
// DataChannel that is unreachable, and has no handler, no blocked call and no NetConn,
// is closed some time after a garbage collection. Close is the normal way. Do not copy
// a DataChannel: a copy is no reference. All methods are safe for concurrent use, and
// those on packets need no Poll.
type DataChannel struct {
	_  noCopy
	ch *channel // does not refer to the DataChannel, so that its cleanup can run
}

// noCopy makes go vet report copies, as of a mutex.
type noCopy struct{}

func (*noCopy) Lock()   {}
func (*noCopy) Unlock() {}

// A channel is the state behind a DataChannel.
type channel struct {
	conn    *Conn
	ext     ChannelExtension
	waking  WakingChannel // ext, if it is one; else nil
	label   string
	options ChannelOptions

	state     atomic.Int32 // as shown
	mode      atomic.Int32
	wasString atomic.Bool
	threshold atomic.Int64  // of OnBufferedAmountLow; -1: there is no handler
	aborted   atomic.Bool   // its connection was closed
	fetched   atomic.Uint64 // packets taken, for extensions that do not count arrivals
	recv      signal        // a packet has arrived, or the channel has ended
	send      signal        // there is room, or the channel has ended

	// Guarded by conn.mu.
	onState, onPacket, onLow func()
	seen                     uint64       // arrivals at the last call of onPacket
	above                    bool         // BufferedAmount was above the threshold
	opened                   bool         // the channel was open, perhaps before Poll has shown it
	untold                   bool         // the state has changed without an onState
	handle                   *DataChannel // set while it has handlers
	cleanup                  runtime.Cleanup
}

// newHandle makes the DataChannel of a channel; conn.mu is held.
func newHandle(ch *channel) *DataChannel {
	d := &DataChannel{ch: ch}
	ch.cleanup = runtime.AddCleanup(d, abandon, ch.ext)
	return d
}

// abandon closes a channel whose DataChannel is unreachable.
func abandon(ext ChannelExtension) {
	if x, ok := ext.(DiscardingChannel); ok {
		x.Discard()
	} else {
		ext.Close()
	}
}

// release drops the handlers of a closed channel, which may refer to its DataChannel,
// and the cleanup, which would keep everything that the channel refers to, such as the
// program's handlers of the Conn; conn.mu is held.
func (ch *channel) release() {
	ch.cleanup.Stop()
	ch.onState, ch.onPacket, ch.onLow, ch.handle = nil, nil, nil, nil
	ch.threshold.Store(-1)
}

// WakeReceivers implements ChannelWaker.
func (ch *channel) WakeReceivers() { ch.recv.set() }

// WakeSenders implements ChannelWaker.
func (ch *channel) WakeSenders() { ch.send.set() }

func (ch *channel) wakeAll() {
	ch.recv.set()
	ch.send.set()
}

// want tells the extension which handlers there are; conn.mu is held.
func (ch *channel) want() {
	if ch.waking != nil {
		ch.waking.WantEvents(ch.onPacket != nil, ch.onLow != nil)
	}
}

// wants reports whether an event of the channel is delivered; conn.mu is held.
func (ch *channel) wants(e *Event) bool {
	switch e.Kind {
	case EventPacket:
		return ch.onPacket != nil
	case EventBufferRoom:
		if ch.onLow == nil || !ch.above || ch.ext.BufferedAmount() > int(ch.threshold.Load()) {
			return false
		}
		ch.above = false
	}
	return true
}

// closes reports whether an event is the channel's end.
func (ch *channel) closes(e *Event) bool {
	switch e.Kind {
	case EventChannelState:
		return ChannelState(e.State) == ChannelStateClosed
	case eventChannelShown:
		return ChannelState(ch.state.Load()) == ChannelStateClosed
	}
	return false
}

// recall makes the connection know a closed channel until the next Poll, if no handler
// was called for its last state.
func (ch *channel) recall() {
	c := ch.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if ch.untold && !ch.aborted.Load() && c.channels.get(ch.ext) == nil {
		c.channels.add(ch)
	}
}

// arrivals is the number of packets that have arrived.
func (ch *channel) arrivals() uint64 {
	if ch.waking != nil {
		return ch.waking.Arrived()
	}
	return ch.fetched.Load() + uint64(ch.ext.AvailablePacketCount())
}

// unseen reports whether packets are waiting that have arrived since it last returned
// true; conn.mu is held.
func (ch *channel) unseen() bool {
	if ch.ext.AvailablePacketCount() == 0 {
		return false
	}
	n := ch.arrivals()
	if n <= ch.seen {
		return false
	}
	ch.seen = n
	return true
}

// put sends a packet, if possible without waiting.
func (ch *channel) put(p []byte, text bool) error {
	if text && !utf8.Valid(p) {
		return invalid("text packet is not UTF-8")
	}
	if ch.waking == nil {
		if ChannelState(ch.state.Load()) == ChannelStateClosed {
			return ErrClosed
		}
		if n := ch.ext.MaxPacketSize(); len(p) > n {
			return fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(p), n)
		}
	}
	if err := ch.ext.PutPacket(p, text); err != nil {
		return err
	}
	if ch.threshold.Load() >= 0 {
		ch.noteAbove()
	}
	return nil
}

// noteAbove notes that the buffered amount is above the threshold. conn.mu keeps the
// event of its fall from being handled meanwhile.
func (ch *channel) noteAbove() {
	ch.conn.mu.Lock()
	defer ch.conn.mu.Unlock()
	if ch.onLow != nil && ch.ext.BufferedAmount() > int(ch.threshold.Load()) {
		ch.above = true
	}
}

// get takes a packet, if there is one.
func (ch *channel) get() (p []byte, text bool, err error) {
	p, text, err = ch.ext.GetPacket()
	if err == nil {
		ch.fetched.Add(1)
		ch.wasString.Store(text)
	}
	return p, text, err
}

// ended reports whether no packet can arrive any more, and why.
func (ch *channel) ended() (bool, error) {
	if ch.waking != nil {
		return ch.waking.Ended()
	}
	switch {
	case ch.aborted.Load():
		return true, ErrClosed
	case ChannelState(ch.state.Load()) == ChannelStateClosed:
		return true, io.EOF
	}
	return false, nil
}

// failure returns the cause if the connection has failed and the program does
// not restart it, so that a call would wait in vain.
func (ch *channel) failure() error {
	if ch.waking != nil {
		return ch.waking.Failure()
	}
	ch.conn.mu.Lock()
	defer ch.conn.mu.Unlock()
	if ch.conn.connection == StateFailed {
		return failedBy(ch.conn.cause)
	}
	return nil
}

// block registers a blocked call of a channel that wakes none itself; the
// function it returns ends it.
func (ch *channel) block() func() {
	if ch.waking != nil {
		return func() {}
	}
	c := ch.conn
	c.blockedMu.Lock()
	if c.blocked == nil {
		c.blocked = map[*channel]int{}
	}
	c.blocked[ch]++
	c.blockedMu.Unlock()
	return func() {
		c.blockedMu.Lock()
		if c.blocked[ch]--; c.blocked[ch] == 0 {
			delete(c.blocked, ch)
		}
		c.blockedMu.Unlock()
	}
}

// receive waits for a packet.
func (ch *channel) receive(ctx context.Context) (p []byte, text bool, err error) {
	if p, text, err = ch.get(); err == nil {
		return p, text, nil
	}
	defer ch.block()()
	for {
		// ended is called before get: a last packet that arrives between the two calls
		// is still returned.
		ended, cause := ch.ended()
		if p, text, err = ch.get(); err == nil || ended {
			ch.recv.set() // for other waiting goroutines
			if err != nil {
				err = cause
			}
			return p, text, err
		}
		if err := ch.failure(); err != nil {
			ch.recv.set() // for other waiting goroutines
			return nil, false, err
		}
		if err := ch.recv.wait(ctx); err != nil {
			return nil, false, err
		}
	}
}

// sendWait waits for the channel to open and for room, then sends.
func (ch *channel) sendWait(ctx context.Context, p []byte, text bool) error {
	waits := func(err error) bool {
		return errors.Is(err, ErrBufferFull) || errors.Is(err, ErrInvalidState) && !errors.Is(err, ErrClosed)
	}
	err := ch.put(p, text)
	if !waits(err) {
		return err
	}
	defer ch.block()()
	for {
		if err := ch.put(p, text); !waits(err) {
			ch.send.set() // for other waiting goroutines
			return err
		}
		if err := ch.failure(); err != nil {
			ch.send.set() // for other waiting goroutines
			return err
		}
		if err := ch.send.wait(ctx); err != nil {
			return err
		}
	}
}

// Poll does nothing: it is there because Godot's interface has it.
func (d *DataChannel) Poll() error { return d.check() }

func (d *DataChannel) check() error {
	if d.ch == nil {
		return ErrUnconfigured
	}
	return nil
}

// Close closes the channel: queued packets are sent, then the remote is told. The
// state is ChannelStateClosing until that is done, then ChannelStateClosed at a Poll.
// Packets that the remote has sent by then still arrive. Until they are read they take
// part of the receive window, for the other channels too: read until Receive returns
// an error, or drop the reference to the DataChannel. In StateFailed the channel is
// closed at once.
func (d *DataChannel) Close() error {
	if err := d.check(); err != nil {
		return err
	}
	defer runtime.KeepAlive(d)
	err := d.ch.ext.Close()
	c := d.ch.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := ChannelState(d.ch.state.Load()); s < ChannelStateClosing && c.channels.get(d.ch.ext) == d.ch {
		d.ch.state.Store(int32(ChannelStateClosing))
		c.enqueue(Event{Kind: eventChannelShown, Channel: d.ch.ext})
		c.rouse()
	}
	return err
}

// ReadyState returns the state as of the last Poll.
func (d *DataChannel) ReadyState() ChannelState {
	if d.ch == nil {
		return ChannelStateClosed
	}
	defer runtime.KeepAlive(d)
	return ChannelState(d.ch.state.Load())
}

// PutPacket sends a copy of p, as text or binary by the write mode. It does not wait.
// The error is ErrInvalidState if the channel is not open, ErrInvalidParameter for
// text that is not UTF-8, ErrMessageTooLarge for a packet longer than MaxPacketSize,
// ErrBufferFull if the buffer is full.
func (d *DataChannel) PutPacket(p []byte) error {
	if err := d.check(); err != nil {
		return err
	}
	defer runtime.KeepAlive(d)
	return d.ch.put(p, d.WriteMode() == WriteModeText)
}

// GetPacket takes the next packet, which then belongs to the caller. If there is none
// the error is ErrUnavailable.
func (d *DataChannel) GetPacket() ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(d)
	p, _, err := d.ch.get()
	return p, err
}

// Recycle gives back a packet from GetPacket or Receive, so that its memory is used
// for later packets of the same connection. The caller must not use it any more. It is
// never necessary: other packets are garbage-collected, which for bulk data is a fifth
// of the work of receiving.
func (d *DataChannel) Recycle(p []byte) {
	if d.ch == nil {
		return
	}
	if x, ok := d.ch.ext.(RecyclingChannel); ok {
		x.Recycle(p)
	}
}

// AvailablePacketCount is the number of packets that GetPacket can return.
func (d *DataChannel) AvailablePacketCount() int {
	if d.ch == nil {
		return 0
	}
	defer runtime.KeepAlive(d)
	return d.ch.ext.AvailablePacketCount()
}

// MaxPacketSize is the longest packet in bytes that can be sent: the remote's
// max-message-size, at most Config.MaxMessageSize.
func (d *DataChannel) MaxPacketSize() int {
	if d.ch == nil {
		return 0
	}
	defer runtime.KeepAlive(d)
	return d.ch.ext.MaxPacketSize()
}

// WasStringPacket reports whether the last packet taken was text.
func (d *DataChannel) WasStringPacket() bool { return d.ch != nil && d.ch.wasString.Load() }

// WriteMode is how PutPacket sends, initially WriteModeBinary.
func (d *DataChannel) WriteMode() WriteMode {
	if d.ch == nil {
		return WriteModeBinary
	}
	return WriteMode(d.ch.mode.Load())
}

// SetWriteMode sets how PutPacket sends: as text or binary.
func (d *DataChannel) SetWriteMode(m WriteMode) {
	if d.ch != nil {
		d.ch.mode.Store(int32(m))
	}
}

// Label is the channel's name. It need not be unique.
func (d *DataChannel) Label() string {
	if d.ch == nil {
		return ""
	}
	return d.ch.label
}

// Priority is the priority that the channel was created with.
func (d *DataChannel) Priority() Priority {
	if d.ch == nil {
		return PriorityLow
	}
	return d.ch.options.Priority
}

// Protocol is the program's name of the subprotocol on the channel.
func (d *DataChannel) Protocol() string {
	if d.ch == nil {
		return ""
	}
	return d.ch.options.Protocol
}

// ID is the stream's number; 65535 until it is known.
func (d *DataChannel) ID() int {
	if d.ch == nil {
		return 65535
	}
	defer runtime.KeepAlive(d)
	return d.ch.ext.ID()
}

// IsOrdered reports whether packets arrive in the order in which they were sent.
func (d *DataChannel) IsOrdered() bool { return d.ch == nil || d.ch.options.ordered() }

// IsNegotiated reports whether both ends created the channel with the same ID.
func (d *DataChannel) IsNegotiated() bool { return d.ch != nil && d.ch.options.Negotiated }

// MaxRetransmits is the option; 65535 if it was not given.
func (d *DataChannel) MaxRetransmits() int {
	if d.ch == nil || d.ch.options.MaxRetransmits == nil {
		return 65535
	}
	return *d.ch.options.MaxRetransmits
}

// MaxPacketLifeTime is the option, in milliseconds; 65535 if it was not given.
func (d *DataChannel) MaxPacketLifeTime() int {
	if d.ch == nil || d.ch.options.MaxPacketLifeTime == nil {
		return 65535
	}
	return *d.ch.options.MaxPacketLifeTime
}

// BufferedAmount is the number of payload bytes queued and not yet sent.
func (d *DataChannel) BufferedAmount() int {
	if d.ch == nil {
		return 0
	}
	defer runtime.KeepAlive(d)
	return d.ch.ext.BufferedAmount()
}

// Send waits for the channel to open and for room in the buffer, and sends a copy of
// p. Its errors are those of PutPacket, ctx's, and ErrFailed with the cause if it
// would have to wait in StateFailed, unless RestartICE was called.
func (d *DataChannel) Send(ctx context.Context, p []byte, text bool) error {
	if err := d.check(); err != nil {
		return err
	}
	defer runtime.KeepAlive(d)
	return d.ch.sendWait(ctx, p, text)
}

// Receive waits for a packet, which then belongs to the caller. When all packets are
// taken, the error is io.EOF after a clean close, else ErrClosed with the cause. In
// StateFailed it is ErrFailed with the cause, unless RestartICE was called.
func (d *DataChannel) Receive(ctx context.Context) (p []byte, text bool, err error) {
	if err := d.check(); err != nil {
		return nil, false, err
	}
	defer runtime.KeepAlive(d)
	return d.ch.receive(ctx)
}

// OnStateChanged sets a handler that Conn.Poll calls after each change of ReadyState.
// It is also called once if the state has changed without a handler: with Run in
// another goroutine, a channel may open, and close, before the program has set one.
func (d *DataChannel) OnStateChanged(f func()) {
	if d.ch != nil && f != nil {
		d.ch.recall()
	}
	d.setHandler(func(ch *channel) {
		ch.onState = f
		if f != nil && ch.untold {
			ch.untold = false
			ch.conn.enqueue(Event{Kind: eventChannelShown, Channel: ch.ext})
			ch.conn.rouse()
		}
	})
}

// OnPacketReceived sets a handler that Conn.Poll calls when packets have arrived since
// its last call. It may leave some.
func (d *DataChannel) OnPacketReceived(f func()) {
	d.setHandler(func(ch *channel) {
		ch.onPacket = f
		ch.want() // before looking at the packets
		if f != nil && ch.ext.AvailablePacketCount() > 0 {
			ch.conn.enqueue(Event{Kind: EventPacket, Channel: ch.ext})
			ch.conn.rouse()
		}
	})
}

// OnBufferedAmountLow sets a handler that Conn.Poll calls when BufferedAmount has
// fallen from above the threshold to it.
func (d *DataChannel) OnBufferedAmountLow(threshold int, f func()) {
	d.setHandler(func(ch *channel) {
		ch.onLow = f
		ch.want()
		ch.threshold.Store(-1)
		if f != nil {
			ch.threshold.Store(int64(max(0, threshold)))
		}
		ch.above = f != nil && ch.ext.BufferedAmount() > max(0, threshold)
	})
}

// setHandler sets a handler. A DataChannel with handlers is kept until the channel is
// closed. After that only a handler of the state that was set late is called.
func (d *DataChannel) setHandler(set func(ch *channel)) {
	ch := d.ch
	if ch == nil {
		return
	}
	ch.conn.mu.Lock()
	defer ch.conn.mu.Unlock()
	if ch.conn.channels.get(ch.ext) != ch {
		return
	}
	set(ch)
	ch.handle = nil
	if ch.onState != nil || ch.onPacket != nil || ch.onLow != nil {
		ch.handle = d
	}
}
