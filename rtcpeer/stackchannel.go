package rtcpeer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"purertc/datachannel"
)

// A stackChannel is a data channel of the built-in stack. Its fields are guarded by
// the transport's lock.
type stackChannel struct {
	transport *transport
	ch        *datachannel.Channel

	prev, next *stackChannel // in transport.channels

	discarded bool             // the program dropped its handle: nobody reads it
	packets   interest         // in EventPacket
	room      interest         // in EventBufferRoom
	full      bool             // ErrBufferFull was returned, and no room was reported since
	stats     DataChannelStats // only the message and byte counters
	finished  bool
	cause     error // of finished: io.EOF after a clean close

	waker ChannelWaker // of blocked calls; nil until the DataChannel exists
}

// An interest says whether the program has a handler for a kind of event. Without a
// handler no event is queued: a program that calls Send and Receive would have a
// goroutine woken for each batch that has nothing to do.
type interest struct {
	wanted bool
	queued bool // an event is queued
}

// openChannel opens a local channel.
func (t *transport) openChannel(label string, o ChannelOptions) (*stackChannel, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.closed:
		return nil, t.cause
	case t.core.ended(): // DTLS or SCTP failed: no channel will ever open
		return nil, closedBy(t.core.err)
	}
	now := t.now()
	params := datachannel.Params{
		Label: label, Protocol: o.Protocol, Negotiated: o.Negotiated, Unordered: !o.ordered(),
		MaxRetransmits: -1, MaxPacketLifeTime: -1, Priority: priorityWeights[o.Priority],
	}
	if o.ID != nil {
		params.ID = uint16(*o.ID)
	}
	if o.InBandID != nil {
		params.ID, params.ChosenID = uint16(*o.InBandID), true
	}
	if o.MaxRetransmits != nil {
		params.MaxRetransmits = *o.MaxRetransmits
	}
	if o.MaxPacketLifeTime != nil {
		params.MaxPacketLifeTime = *o.MaxPacketLifeTime
	}
	ch, err := t.core.session.Open(now, params)
	switch {
	case errors.Is(err, datachannel.ErrIDInUse):
		return nil, invalid("id %d is in use", params.ID)
	case errors.Is(err, datachannel.ErrRemoteID):
		return nil, invalid("InBandID %d: %w", params.ID, err)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalidState, err)
	}
	c := t.adopt(ch)
	t.run(now)
	return c, nil
}

func (t *transport) adopt(ch *datachannel.Channel) *stackChannel {
	c := &stackChannel{transport: t, ch: ch}
	ch.Owner = c
	t.channels.add(c)
	return c
}

// liveChannel returns the transport's side of a channel that is not closed; else nil.
func liveChannel(ch *datachannel.Channel) *stackChannel {
	if c, _ := ch.Owner.(*stackChannel); c != nil && !c.finished {
		return c
	}
	return nil
}

// A channelList is a transport's channels that are not closed, the oldest first. The
// zero value is empty.
type channelList struct{ first, last *stackChannel }

func (l *channelList) add(c *stackChannel) {
	c.prev = l.last
	if l.last == nil {
		l.first = c
	} else {
		l.last.next = c
	}
	l.last = c
}

func (l *channelList) remove(c *stackChannel) {
	if c.prev == nil {
		l.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		l.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	c.prev, c.next = nil, nil
}

// handleSessionEvent turns a data channel event into one of the program.
func (t *transport) handleSessionEvent(now time.Time, e datachannel.Event) {
	l := &t.core.timeline
	switch e.Kind {
	case datachannel.EventIncoming:
		l.reached(&l.ChannelOpen, now)
		params := e.Channel.Params()
		e.Channel.Retain() // until the program has taken the event
		c := t.adopt(e.Channel)
		t.emit(Event{Kind: EventDataChannel, Channel: c, Label: params.Label, Options: optionsOf(params)})
	case datachannel.EventState:
		if e.State == datachannel.StateOpen {
			l.reached(&l.ChannelOpen, now)
		}
		if c := liveChannel(e.Channel); c != nil {
			c.stateChanged(e.State)
		}
	case datachannel.EventMessage:
		l.reached(&l.Message, now)
		if c := liveChannel(e.Channel); c != nil && !c.discarded {
			c.signal(EventPacket, &c.packets)
			t.mu.wake(wakeup{waker: c.waker, receivers: true})
			break
		}
		drain(now, e.Channel)
	case datachannel.EventAssociation:
		t.core.handleAssociationEvent(now, e.Association)
	}
}

// drain drops the messages of a channel that nobody reads. They would keep the receive
// window closed.
func drain(now time.Time, ch *datachannel.Channel) {
	for {
		if _, _, ok := ch.Receive(now); !ok {
			return
		}
	}
}

// takeLowered handles the channels whose buffered amount has fallen.
func (t *transport) takeLowered() {
	for {
		ch := t.core.session.NextLowered()
		if ch == nil {
			return
		}
		if c := liveChannel(ch); c != nil {
			c.lowered()
		}
	}
}

// lowered reports buffer room to the program. A call that found the buffer full goes
// on when half of it is free: waking it for each packet that is sent would cost more
// than sending the packet.
func (c *stackChannel) lowered() {
	if c.full && c.ch.BufferedAmount() > c.transport.cfg.sendBufferSize()/2 {
		return
	}
	c.full = false
	c.signal(EventBufferRoom, &c.room)
	c.transport.mu.wake(wakeup{waker: c.waker, senders: true})
}

// optionsOf returns the options of a channel that the remote opened.
func optionsOf(params datachannel.Params) ChannelOptions {
	o := ChannelOptions{Protocol: params.Protocol, Ordered: new(!params.Unordered), Priority: priorityOf(params.Priority)}
	if params.MaxRetransmits >= 0 {
		o.MaxRetransmits = new(params.MaxRetransmits)
	}
	if params.MaxPacketLifeTime >= 0 {
		o.MaxPacketLifeTime = new(params.MaxPacketLifeTime)
	}
	return o
}

// signal queues an event if the program wants it and none is queued.
func (c *stackChannel) signal(kind EventKind, i *interest) {
	if i.wanted && !i.queued {
		i.queued = true
		c.transport.emit(Event{Kind: kind, Channel: c})
	}
}

// wake wakes all blocked calls of the channel.
func (c *stackChannel) wake() { c.transport.mu.wake(wakeup{c.waker, true, true}) }

// taken updates the channel after the program has taken a queued event.
func (c *stackChannel) taken(e *Event) {
	switch e.Kind {
	case EventDataChannel:
		c.ch.Free()
	case EventPacket:
		c.packets.queued = false
	case EventBufferRoom:
		c.room.queued = false
	}
}

func (c *stackChannel) stateChanged(s datachannel.State) {
	t := c.transport
	if s == datachannel.StateClosed {
		c.finished, c.cause = true, io.EOF
		if err := c.ch.Err(); err != nil {
			c.cause = closedBy(err)
		}
		t.channels.remove(c)
	}
	t.emit(Event{Kind: EventChannelState, Channel: c, State: int(s)})
	c.wake()
}

// connectionClosed closes the channel with its connection.
func (c *stackChannel) connectionClosed(cause error) {
	c.finished, c.cause = true, cause
	c.transport.emit(Event{Kind: EventChannelState, Channel: c, State: int(ChannelStateClosed)})
	c.wake()
}

// SetWaker implements WakingChannel.
func (c *stackChannel) SetWaker(w ChannelWaker) {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	c.waker = w
}

// WantEvents implements WakingChannel.
func (c *stackChannel) WantEvents(packets, room bool) {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	c.packets.wanted, c.room.wanted = packets, room
}

// Arrived implements WakingChannel.
func (c *stackChannel) Arrived() uint64 {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.ch.Arrived()
}

// Ended implements WakingChannel.
func (c *stackChannel) Ended() (bool, error) {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.finished, c.cause
}

// closedError returns the cause if the channel was not closed cleanly, else ErrClosed.
func (c *stackChannel) closedError() error {
	if c.cause == nil || c.cause == io.EOF {
		return ErrClosed
	}
	return c.cause
}

// PutPacket implements ChannelExtension.
func (c *stackChannel) PutPacket(b []byte, text bool) error {
	t := c.transport
	t.mu.Lock()
	defer t.mu.Unlock()
	switch s := c.ch.State(); {
	case c.finished || t.closed:
		return c.closedError()
	case s == datachannel.StateConnecting:
		return wrongState("channel is still connecting")
	case s != datachannel.StateOpen:
		return ErrClosed
	case len(b) > c.maxPacketSize():
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(b), c.maxPacketSize())
	case c.ch.BufferedAmount() >= t.cfg.sendBufferSize():
		c.full = true
		return ErrBufferFull
	}
	now := t.now()
	if err := c.ch.Send(now, b, text); err != nil {
		return closedBy(err) // the association ends, since one end has called Shutdown
	}
	c.stats.MessagesSent++
	c.stats.BytesSent += uint64(len(b))
	t.run(now)
	return nil
}

// GetPacket implements ChannelExtension.
func (c *stackChannel) GetPacket() ([]byte, bool, error) {
	t := c.transport
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	b, text, ok := c.ch.Receive(now)
	if !ok {
		return nil, false, ErrUnavailable
	}
	c.stats.MessagesReceived++
	c.stats.BytesReceived += uint64(len(b))
	if !t.closed {
		t.run(now) // the receive window may have opened
	}
	return b, text, nil
}

// Recycle implements RecyclingChannel.
func (c *stackChannel) Recycle(b []byte) {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	c.ch.Recycle(b)
}

// AvailablePacketCount implements ChannelExtension.
func (c *stackChannel) AvailablePacketCount() int {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.ch.Waiting()
}

// BufferedAmount implements ChannelExtension.
func (c *stackChannel) BufferedAmount() int {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.ch.BufferedAmount()
}

// MaxPacketSize implements ChannelExtension.
func (c *stackChannel) MaxPacketSize() int {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.maxPacketSize()
}

func (c *stackChannel) maxPacketSize() int {
	n := c.transport.maxRemoteMessage
	if n == 0 { // not known so far, or no limit
		n = math.MaxInt
	}
	return min(n, c.transport.cfg.maxMessageSize())
}

// ID implements ChannelExtension.
func (c *stackChannel) ID() int {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	if id, ok := c.ch.ID(); ok {
		return int(id)
	}
	return 65535
}

// Close implements ChannelExtension.
func (c *stackChannel) Close() error {
	t := c.transport
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	now := t.now()
	c.ch.Close(now)
	if cause := t.failure(); cause != nil && !c.finished {
		// The stream reset has to wait for an ICE restart; the program need not.
		t.channels.remove(c)
		c.connectionClosed(closedBy(cause))
	}
	t.run(now)
	return nil
}

// Failure implements WakingChannel.
func (c *stackChannel) Failure() error {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.transport.failure()
}

// Discard implements DiscardingChannel.
func (c *stackChannel) Discard() {
	t := c.transport
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	c.discarded = true
	drain(now, c.ch)
	if !t.closed {
		c.ch.Close(now)
		t.run(now)
	}
}

// Stats implements StatsChannel.
func (c *stackChannel) Stats() DataChannelStats {
	c.transport.mu.Lock()
	defer c.transport.mu.Unlock()
	return c.stats
}
