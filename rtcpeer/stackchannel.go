package rtcpeer

import (
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"purertc/datachannel"
)

// stackChannel is a data channel of the built-in stack. Its fields are guarded
// by the peer's lock.
type stackChannel struct {
	peer *peer
	ch   *datachannel.Channel

	prev, next *stackChannel // in peer.channels

	discarded bool             // nobody will read it
	packets   interest         // in EventPacket
	room      interest         // in EventBufferRoom
	full      bool             // a packet was refused for want of room
	stats     DataChannelStats // of which only the counters are kept here
	finished  bool
	cause     error // of finished: io.EOF after a clean close

	waker ChannelWaker // of blocked calls; nil until the DataChannel exists
}

// An interest is whether the program has a handler for a kind of event. One
// that has none is not woken for it: a program that calls Send and Receive
// would have a goroutine woken for each batch just to find that there is
// nothing for it to do.
type interest struct {
	wanted bool
	queued bool // an event is
}

// openChannel makes a channel of ours.
func (p *peer) openChannel(label string, o ChannelOptions) (*stackChannel, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.closed:
		return nil, p.cause
	case p.core.ended: // DTLS or SCTP failed: no channel will ever open
		return nil, closedBy(p.core.err)
	}
	now := p.now()
	params := datachannel.Params{
		Label: label, Protocol: o.Protocol, Negotiated: o.Negotiated, Unordered: !o.ordered(),
		MaxRetransmits: -1, MaxPacketLifeTime: -1, Priority: priorityWeights[o.Priority],
	}
	if o.ID != nil {
		params.ID = uint16(*o.ID)
	}
	if o.MaxRetransmits != nil {
		params.MaxRetransmits = *o.MaxRetransmits
	}
	if o.MaxPacketLifeTime != nil {
		params.MaxPacketLifeTime = *o.MaxPacketLifeTime
	}
	ch, err := p.core.session.Open(now, params)
	switch {
	case errors.Is(err, datachannel.ErrIDInUse):
		return nil, invalid("id %d is in use", params.ID)
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalidState, err)
	}
	c := p.adopt(ch)
	p.run(now)
	return c, nil
}

func (p *peer) adopt(ch *datachannel.Channel) *stackChannel {
	c := &stackChannel{peer: p, ch: ch}
	ch.Owner = c
	p.channels.add(c)
	return c
}

// liveChannel is the peer's side of a channel that is not at its end; else
// nil.
func liveChannel(ch *datachannel.Channel) *stackChannel {
	if c, _ := ch.Owner.(*stackChannel); c != nil && !c.finished {
		return c
	}
	return nil
}

// A channelList is the channels of a peer that are not at their end, in the
// order of their making. The zero value is empty.
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

// handleSessionEvent turns the data channels' events into the program's.
func (p *peer) handleSessionEvent(now time.Time, e datachannel.Event) {
	switch e.Kind {
	case datachannel.EventIncoming:
		params := e.Channel.Params()
		e.Channel.Retain() // until the program has heard of it
		c := p.adopt(e.Channel)
		p.emit(Event{Kind: EventDataChannel, Channel: c, Label: params.Label, Options: optionsOf(params)})
	case datachannel.EventState:
		if c := liveChannel(e.Channel); c != nil {
			c.stateChanged(e.State)
		}
	case datachannel.EventMessage:
		if c := liveChannel(e.Channel); c != nil && !c.discarded {
			c.signal(EventPacket, &c.packets)
			p.mu.wake(wakeup{waker: c.waker, receivers: true})
			break
		}
		drain(now, e.Channel)
	case datachannel.EventAssociation:
		p.core.handleAssociationEvent(now, e.Association)
	}
}

// drain throws away what has come on a channel that nobody reads, which
// would hold the receive window shut.
func drain(now time.Time, ch *datachannel.Channel) {
	for {
		if _, _, ok := ch.Receive(now); !ok {
			return
		}
	}
}

// takeLowered tells the channels whose buffered amount has fallen.
func (p *peer) takeLowered() {
	for {
		ch := p.core.session.NextLowered()
		if ch == nil {
			return
		}
		if c := liveChannel(ch); c != nil {
			c.lowered()
		}
	}
}

// lowered tells of buffer room. A call that found the buffer full goes on when
// half of it is free, so that it has work for a while: waking it for each
// packet that leaves would cost more than sending it.
func (c *stackChannel) lowered() {
	if c.full && c.ch.BufferedAmount() > c.peer.cfg.sendBufferSize()/2 {
		return
	}
	c.full = false
	c.signal(EventBufferRoom, &c.room)
	c.peer.mu.wake(wakeup{waker: c.waker, senders: true})
}

// optionsOf are the options of a channel that the peer opened.
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

// signal queues an event that is wanted, once until it is taken.
func (c *stackChannel) signal(kind EventKind, i *interest) {
	if i.wanted && !i.queued {
		i.queued = true
		c.peer.emit(Event{Kind: kind, Channel: c})
	}
}

// wake wakes all blocked calls.
func (c *stackChannel) wake() { c.peer.mu.wake(wakeup{c.waker, true, true}) }

// taken tells that a queued event was taken.
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
	p := c.peer
	if s == datachannel.StateClosed {
		c.finished, c.cause = true, io.EOF
		if err := c.ch.Err(); err != nil {
			c.cause = closedBy(err)
		}
		p.channels.remove(c)
	}
	p.emit(Event{Kind: EventChannelState, Channel: c, State: int(s)})
	c.wake()
}

// connectionClosed ends the channel with its connection.
func (c *stackChannel) connectionClosed(cause error) {
	c.finished, c.cause = true, cause
	c.peer.emit(Event{Kind: EventChannelState, Channel: c, State: int(ChannelStateClosed)})
	c.wake()
}

// SetWaker is of WakingChannel.
func (c *stackChannel) SetWaker(w ChannelWaker) {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.waker = w
}

// WantEvents is of WakingChannel.
func (c *stackChannel) WantEvents(packets, room bool) {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.packets.wanted, c.room.wanted = packets, room
}

// Arrived is of WakingChannel.
func (c *stackChannel) Arrived() uint64 {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.ch.Arrived()
}

// Ended is of WakingChannel.
func (c *stackChannel) Ended() (bool, error) {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.finished, c.cause
}

// closedError is ErrClosed, with the cause where the end was not a clean close.
func (c *stackChannel) closedError() error {
	if c.cause == nil || c.cause == io.EOF {
		return ErrClosed
	}
	return c.cause
}

// PutPacket is of ChannelExtension.
func (c *stackChannel) PutPacket(b []byte, text bool) error {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	switch s := c.ch.State(); {
	case c.finished || p.closed:
		return c.closedError()
	case s == datachannel.StateConnecting:
		return wrongState("channel is still connecting")
	case s != datachannel.StateOpen:
		return ErrClosed
	case len(b) > c.maxPacketSize():
		return fmt.Errorf("%w: %d bytes, at most %d", ErrMessageTooLarge, len(b), c.maxPacketSize())
	case c.ch.BufferedAmount() >= p.cfg.sendBufferSize():
		c.full = true
		return ErrBufferFull
	}
	now := p.now()
	if err := c.ch.Send(now, b, text); err != nil {
		return closedBy(err) // the association ends: Shutdown was called, by either end
	}
	c.stats.MessagesSent++
	c.stats.BytesSent += uint64(len(b))
	p.run(now)
	return nil
}

// GetPacket is of ChannelExtension.
func (c *stackChannel) GetPacket() ([]byte, bool, error) {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	b, text, ok := c.ch.Receive(now)
	if !ok {
		return nil, false, ErrUnavailable
	}
	c.stats.MessagesReceived++
	c.stats.BytesReceived += uint64(len(b))
	if !p.closed {
		p.run(now) // the receive window may have opened
	}
	return b, text, nil
}

// Recycle is of RecyclingChannel.
func (c *stackChannel) Recycle(b []byte) {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	c.ch.Recycle(b)
}

// AvailablePacketCount is of ChannelExtension.
func (c *stackChannel) AvailablePacketCount() int {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.ch.Waiting()
}

// BufferedAmount is of ChannelExtension.
func (c *stackChannel) BufferedAmount() int {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.ch.BufferedAmount()
}

// MaxPacketSize is of ChannelExtension.
func (c *stackChannel) MaxPacketSize() int {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.maxPacketSize()
}

func (c *stackChannel) maxPacketSize() int {
	n := c.peer.maxRemote
	if n == 0 { // not known yet, or no limit
		n = math.MaxInt
	}
	return min(n, c.peer.cfg.maxMessageSize())
}

// ID is of ChannelExtension.
func (c *stackChannel) ID() int {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	if id, ok := c.ch.ID(); ok {
		return int(id)
	}
	return 65535
}

// Close is of ChannelExtension.
func (c *stackChannel) Close() error {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil
	}
	now := p.now()
	c.ch.Close(now)
	if cause := p.failure(); cause != nil && !c.finished {
		// The stream reset waits for a restart; the program need not.
		p.channels.remove(c)
		c.connectionClosed(closedBy(cause))
	}
	p.run(now)
	return nil
}

// Failure is of WakingChannel.
func (c *stackChannel) Failure() error {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.peer.failure()
}

// Discard is of DiscardingChannel.
func (c *stackChannel) Discard() {
	p := c.peer
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	c.discarded = true
	drain(now, c.ch)
	if !p.closed {
		c.ch.Close(now)
		p.run(now)
	}
}

// Stats is of StatsChannel.
func (c *stackChannel) Stats() DataChannelStats {
	c.peer.mu.Lock()
	defer c.peer.mu.Unlock()
	return c.stats
}
