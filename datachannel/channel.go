package datachannel

import (
	"slices"
	"time"

	"purertc/sctp"
)

// A Channel is one data channel.
type Channel struct {
	s      *Session
	params Params
	id     uint16
	hasID  bool
	state  State
	err    error

	inBand    bool // opened locally with DATA_CHANNEL_OPEN
	acked     bool // the remote has acknowledged that
	ackOwed   bool // opened by the remote on a stream whose last reset is not confirmed yet
	localEnd  bool // the local side of the stream is reset
	remoteEnd bool // the remote side is
	again     bool // the remote side was reset once more, for a channel on the same id that is not known here
	opened    bool // the remote's SCTP has received DATA_CHANNEL_OPEN
	retained  bool // see Retain
	gone      bool // the owner has taken the event of StateClosed

	links  [listKinds]link
	due    time.Time // deadline in its list
	resets uint32    // Session.allResets when the remote side was reset
	charge int       // bytes charged to the association's Memory; 0 for a local channel

	queue   queue[message]
	arrived uint64   // messages that were ever queued
	told    bool     // an EventMessage was queued and not taken
	bytes   int      // in queue
	partial [][]byte // pieces of a message so far (deprecated PPIDs)
	pieces  int      // bytes in partial

	// Owner is for the owner, to find its own state of the channel by an Event.
	Owner any
}

// A message is a received message.
type message struct {
	data    []byte
	text    bool
	charged int // bytes to release; -1: none
}

// Limits on the messages that an unreliable channel keeps for a program that does not
// read. All unreliable channels together have a quarter of the reserve of the
// association's Memory.
const (
	maxUnreliableBytes    = 1 << 20
	maxUnreliableMessages = 1024
)

// Costs in bytes, beside data and names, that are charged to the association's Memory.
const (
	channelOverhead = 800 // a channel that the remote opened, with its streams and the program's state of it
	messageOverhead = 128 // a message outside of the receive window
	earlyOverhead   = 128 // a stream with messages before its channel
)

// cost is the charge of a message outside of the receive window.
func (m *message) cost() int { return len(m.data) + messageOverhead }

// Params returns the channel's parameters.
func (c *Channel) Params() Params { return c.params }

// ID is the stream's number, and reports whether it is known.
func (c *Channel) ID() (id uint16, ok bool) { return c.id, c.hasID }

// State returns the present state.
func (c *Channel) State() State { return c.state }

// Err is why the channel was closed; nil after Close by either end.
func (c *Channel) Err() error { return c.err }

// unreliable reports whether messages may be lost (RFC 8831 §6.4).
func (c *Channel) unreliable() bool {
	return c.params.MaxRetransmits >= 0 || c.params.MaxPacketLifeTime >= 0
}

// Send queues a message, whose data it copies (RFC 8831 §6.6). The error is
// ErrNotOpen.
func (c *Channel) Send(now time.Time, data []byte, text bool) error {
	if c.state != StateOpen {
		return ErrNotOpen
	}
	m := sctp.Message{Stream: c.id, PPID: ppidBinary, Data: data}
	if text {
		m.PPID = ppidString
	}
	o := c.sendOptions()
	if len(data) == 0 {
		// SCTP has no empty messages: one byte stands for it (RFC 8831 §6.6).
		m.Data, o.Uncounted = []byte{0}, true
		m.PPID = ppidBinaryEmpty
		if text {
			m.PPID = ppidStringEmpty
		}
	}
	if err := c.s.assoc.Send(now, m, o); err != nil {
		return ErrNotOpen
	}
	return nil
}

// sendOptions returns the options of the channel's messages.
func (c *Channel) sendOptions() (o sctp.SendOptions) {
	// RFC 8832 §6: messages are ordered until the remote is known to have the
	// channel.
	o.Unordered = c.params.Unordered && (!c.inBand || c.acked)
	if c.params.MaxRetransmits >= 0 {
		o.LimitRetransmits, o.MaxRetransmits = true, uint16(min(c.params.MaxRetransmits, 65535))
	}
	if c.params.MaxPacketLifeTime >= 0 {
		// A lifetime of zero still allows one transmission.
		o.Lifetime = max(time.Duration(c.params.MaxPacketLifeTime)*time.Millisecond, time.Nanosecond)
	}
	return o
}

// Receive takes the next message, which opens the receive window by its size. It works
// in every state.
func (c *Channel) Receive(now time.Time) (data []byte, text, ok bool) {
	m, ok := c.take(now)
	return m.data, m.text, ok
}

// Recycle gives back the data of a message from Receive, so that its memory is used
// for later messages of any channel. The caller must not use it any more.
func (c *Channel) Recycle(data []byte) { c.s.assoc.Recycle(data) }

func (c *Channel) take(now time.Time) (message, bool) {
	m, ok := c.queue.pop()
	if !ok {
		return m, false
	}
	c.bytes -= len(m.data)
	if m.charged >= 0 {
		c.s.assoc.Release(now, m.charged)
	} else {
		c.s.unreliableBytes -= m.cost()
		c.s.memory.Uncharge(m.cost())
	}
	return m, true
}

// Waiting is the number of messages that Receive can return.
func (c *Channel) Waiting() int { return c.queue.len() }

// Arrived is the number of messages that have ever arrived.
func (c *Channel) Arrived() uint64 { return c.arrived }

// BufferedAmount is the number of payload bytes that are queued and not sent.
func (c *Channel) BufferedAmount() int {
	if !c.hasID || c.state == StateClosed {
		return 0
	}
	return c.s.assoc.BufferedAmount(c.id)
}

// Close closes the channel (RFC 8831 §6.7): queued messages are sent, then the stream
// is reset.
func (c *Channel) Close(now time.Time) {
	switch c.state {
	case StateConnecting, StateOpen:
		if !c.hasID {
			c.s.closed(c, nil)
			return
		}
		c.s.beginClose(now, c)
	}
}

// keepPartial keeps a piece of a message. It reports whether there is room.
func (c *Channel) keepPartial(b []byte) bool {
	if !c.s.memory.Charge(len(b) + messageOverhead) {
		return false
	}
	c.partial = append(c.partial, b)
	c.pieces += len(b)
	return true
}

// takePartial returns the pieces of a message so far, followed by last, and removes
// them.
func (c *Channel) takePartial(last []byte) []byte {
	if c.partial == nil {
		return last
	}
	c.s.memory.Uncharge(c.pieces + len(c.partial)*messageOverhead)
	b := slices.Concat(append(c.partial, last)...)
	c.partial, c.pieces = nil, 0
	return b
}

// Retain keeps the channel charged to the association's Memory after its end, until
// Free: for an owner whose program does not know the channel yet.
func (c *Channel) Retain() { c.retained = true }

// Free ends Retain.
func (c *Channel) Free() {
	c.retained = false
	c.uncharge()
}

// uncharge releases the charge of the remote's channel, once nothing refers to it.
func (c *Channel) uncharge() {
	if c.gone && !c.retained {
		c.s.memory.Uncharge(c.charge)
		c.charge = 0
	}
}

// fail closes the channel because of data that arrived on it.
func (c *Channel) fail(now time.Time, err error) {
	c.takePartial(nil)
	if c.state <= StateOpen {
		c.err = err
		c.Close(now)
	}
}

// deliver queues a message that takes n bytes of the receive window.
func (c *Channel) deliver(now time.Time, m message, n int) {
	if c.unreliable() {
		// Its window is released, so that an unread channel does not delay the others.
		// Its own limits apply instead: the oldest messages are dropped.
		c.s.assoc.Release(now, n)
		m.charged = -1
		for c.queue.len() >= maxUnreliableMessages || c.queue.len() > 0 && c.bytes+len(m.data) > maxUnreliableBytes {
			c.take(now)
		}
		for !c.s.chargeUnread(&m) {
			if _, ok := c.take(now); !ok {
				return
			}
		}
	} else {
		m.charged = n
	}
	c.queue.push(m)
	c.bytes += len(m.data)
	c.arrived++
	if !c.ackOwed { // else announce does
		c.tell()
	}
}

// tell queues an event that messages have arrived.
func (c *Channel) tell() {
	if !c.told {
		c.told = true
		c.s.event(Event{Kind: EventMessage, Channel: c})
	}
}
