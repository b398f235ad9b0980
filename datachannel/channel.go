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
	acked     bool // the remote has acknowledged the DATA_CHANNEL_OPEN
	ackOwed   bool // the remote opened the channel, and the last reset of its stream is not confirmed yet
	localEnd  bool // the local side of the stream is reset
	remoteEnd bool // the remote side of the stream is reset
	again     bool // the remote side was reset a second time; the second reset is for a channel with the same id that does not exist here yet
	opened    bool // the remote's SCTP has received DATA_CHANNEL_OPEN
	retained  bool // the channel stays charged, see Retain
	gone      bool // the owner has taken the event that says StateClosed

	links  [listKinds]link
	due    time.Time // deadline; valid while the channel is in a list of kind listTimed
	resets uint32    // value of Session.allResets when the remote side was reset
	charge int       // bytes charged to the association's Memory; 0 for a local channel

	queue   queue[message]
	arrived uint64   // how many messages were ever queued
	told    bool     // an EventMessage is queued and was not taken yet
	bytes   int      // bytes of the messages in queue
	partial [][]byte // pieces of an incomplete message (deprecated PPIDs)
	pieces  int      // bytes of the pieces in partial

	// Owner is for the owner of the session, which can store there its own state of
	// the channel.
	Owner any
}

// A message is a received message.
type message struct {
	data    []byte
	text    bool
	charged int // bytes to release to the receive window; -1: none
}

// Limits on the messages that an unreliable channel keeps for a program that does not
// read. All unreliable channels together may use a quarter of the reserve of the
// association's Memory.
const (
	maxUnreliableBytes    = 1 << 20
	maxUnreliableMessages = 1024
)

// Sizes in bytes that are charged to the association's Memory, in addition to data and
// names.
const (
	channelOverhead = 800 // a channel that the remote opened, with its streams and the program's state of it
	messageOverhead = 128 // a message outside of the receive window
	earlyOverhead   = 128 // a stream with messages that arrived before its channel was opened
)

// cost returns how many bytes are charged to the memory limit for a message that the
// receive window does not count any more.
func (m *message) cost() int { return len(m.data) + messageOverhead }

// Params returns the channel's parameters.
func (c *Channel) Params() Params { return c.params }

// ID returns the stream's number, and whether it is known.
func (c *Channel) ID() (id uint16, ok bool) { return c.id, c.hasID }

// State returns the channel's present state.
func (c *Channel) State() State { return c.state }

// Err returns why the channel was closed. It is nil if either end called Close.
func (c *Channel) Err() error { return c.err }

// unreliable reports whether messages may be lost (RFC 8831 §6.4).
func (c *Channel) unreliable() bool {
	return c.params.MaxRetransmits >= 0 || c.params.MaxPacketLifeTime >= 0
}

// Send queues a message and copies its data (RFC 8831 §6.6). The error is ErrNotOpen.
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
		// SCTP has no empty messages: one byte stands for an empty one (RFC 8831
		// §6.6).
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

// sendOptions returns the SCTP options for the channel's messages.
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

// Receive takes the next message, and gives its bytes back to the receive window. It
// works in every state.
func (c *Channel) Receive(now time.Time) (data []byte, text, ok bool) {
	m, ok := c.take(now)
	return m.data, m.text, ok
}

// Recycle gives back the data of a message from Receive, so that later messages of any
// channel can use its memory. The caller must not use the data any more.
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

// Waiting returns the number of messages that Receive can return now.
func (c *Channel) Waiting() int { return c.queue.len() }

// Arrived returns the number of messages that have ever arrived.
func (c *Channel) Arrived() uint64 { return c.arrived }

// BufferedAmount returns the number of payload bytes that are queued and not sent.
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

// takePartial removes the pieces of a message so far, and returns them followed by
// last.
func (c *Channel) takePartial(last []byte) []byte {
	if c.partial == nil {
		return last
	}
	c.s.memory.Uncharge(c.pieces + len(c.partial)*messageOverhead)
	b := slices.Concat(append(c.partial, last)...)
	c.partial, c.pieces = nil, 0
	return b
}

// Retain keeps the channel charged to the association's Memory after the channel has
// ended, until Free. An owner calls it while its program does not know the channel
// yet.
func (c *Channel) Retain() { c.retained = true }

// Free ends Retain.
func (c *Channel) Free() {
	c.retained = false
	c.uncharge()
}

// uncharge ends the charge for a channel that the remote opened, once nothing refers
// to the channel.
func (c *Channel) uncharge() {
	if c.gone && !c.retained {
		c.s.memory.Uncharge(c.charge)
		c.charge = 0
	}
}

// fail closes the channel because of wrong data that arrived on it.
func (c *Channel) fail(now time.Time, err error) {
	c.takePartial(nil)
	if c.state <= StateOpen {
		c.err = err
		c.Close(now)
	}
}

// deliver queues a message. n is how many bytes of the receive window the message
// takes.
func (c *Channel) deliver(now time.Time, m message, n int) {
	if c.unreliable() {
		// The message's part of the receive window is released, so that an unread
		// channel does not delay other channels. The channel's own limits apply
		// instead: its oldest messages are dropped.
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
	if !c.ackOwed { // otherwise announce queues the event
		c.tell()
	}
}

// tell queues an EventMessage, unless one is queued already.
func (c *Channel) tell() {
	if !c.told {
		c.told = true
		c.s.event(Event{Kind: EventMessage, Channel: c})
	}
}
