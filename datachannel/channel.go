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

	inBand    bool // opened by us with DATA_CHANNEL_OPEN
	acked     bool // … and acknowledged
	ackOwed   bool // opened by the far end on a stream whose last reset is not yet confirmed
	localEnd  bool // our side of the stream was reset
	remoteEnd bool // the far end's was
	again     bool // … and once more, of a channel on the same id that is not known here
	opened    bool // the remote's SCTP has our DATA_CHANNEL_OPEN
	retained  bool // see Retain
	gone      bool // the owner has taken the event of the end

	links  [listKinds]link
	due    time.Time // of the list that it waits in
	resets uint32    // Session.allResets when the remote's side was reset
	charge int       // bytes charged to the association's Memory; 0 for a channel of ours

	queue   queue[message]
	arrived uint64   // messages that were ever in queue
	told    bool     // an EventMessage waits to be taken
	bytes   int      // of the messages in queue
	partial [][]byte // deprecated partial messages so far
	pieces  int      // bytes in them

	// Owner is the program's, to find by an Event what it keeps about the
	// channel.
	Owner any
}

// A message waits for Receive.
type message struct {
	data    []byte
	text    bool
	charged int // bytes to release; -1: none
}

// Bounds on what an unreliable channel keeps for a program that does not read.
// All of them together have a quarter of the reserve of the association's Memory.
const (
	maxUnreliableBytes    = 1 << 20
	maxUnreliableMessages = 1024
)

// Costs in bytes of what the association's Memory is charged for, beside the data
// and names themselves.
const (
	channelOverhead = 800 // a channel that the remote opened, with its streams and what the program's layer has of it
	messageOverhead = 128 // a message outside of the receive window
	earlyOverhead   = 128 // a stream on which messages came before its channel
)

// cost is what a message outside of the receive window is charged for.
func (m *message) cost() int { return len(m.data) + messageOverhead }

// Params returns what the channel was opened with.
func (c *Channel) Params() Params { return c.params }

// ID is the stream's number, and whether it is known yet.
func (c *Channel) ID() (id uint16, ok bool) { return c.id, c.hasID }

// State returns the present state.
func (c *Channel) State() State { return c.state }

// Err is why the channel was closed, if not by Close of either end.
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
		// SCTP has no empty messages: a byte that means nothing (RFC 8831 §6.6).
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

// sendOptions are those of the channel's messages.
func (c *Channel) sendOptions() (o sctp.SendOptions) {
	// RFC 8832 §6: ordered until it is sure that the far end knows the channel.
	o.Unordered = c.params.Unordered && (!c.inBand || c.acked)
	if c.params.MaxRetransmits >= 0 {
		o.LimitRetransmits, o.MaxRetransmits = true, uint16(min(c.params.MaxRetransmits, 65535))
	}
	if c.params.MaxPacketLifeTime >= 0 {
		// A lifetime of zero still means one attempt.
		o.Lifetime = max(time.Duration(c.params.MaxPacketLifeTime)*time.Millisecond, time.Nanosecond)
	}
	return o
}

// Receive takes the next message that waits, which opens the receive window
// by as much. It works in every state.
func (c *Channel) Receive(now time.Time) (data []byte, text, ok bool) {
	m, ok := c.take(now)
	return m.data, m.text, ok
}

// Recycle gives the data of a message from Receive back, to be that of a later
// one of any channel. The caller does not use it any more.
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

// Waiting is the number of messages that wait to be received.
func (c *Channel) Waiting() int { return c.queue.len() }

// Arrived is the number of messages that ever came.
func (c *Channel) Arrived() uint64 { return c.arrived }

// BufferedAmount is the number of bytes of payload that wait to be sent.
func (c *Channel) BufferedAmount() int {
	if !c.hasID || c.state == StateClosed {
		return 0
	}
	return c.s.assoc.BufferedAmount(c.id)
}

// Close closes the channel (RFC 8831 §6.7): what is queued is sent, then the
// stream is reset.
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

// takePartial returns the pieces of a message that came so far, with last behind
// them, and forgets them.
func (c *Channel) takePartial(last []byte) []byte {
	if c.partial == nil {
		return last
	}
	c.s.memory.Uncharge(c.pieces + len(c.partial)*messageOverhead)
	b := slices.Concat(append(c.partial, last)...)
	c.partial, c.pieces = nil, 0
	return b
}

// Retain has the channel stay charged to the association's Memory after its end,
// until Free: for an owner that keeps it for a program that has not heard of it.
func (c *Channel) Retain() { c.retained = true }

// Free ends Retain.
func (c *Channel) Free() {
	c.retained = false
	c.uncharge()
}

// uncharge gives back what a channel of the remote was charged for, when nothing
// keeps it any more.
func (c *Channel) uncharge() {
	if c.gone && !c.retained {
		c.s.memory.Uncharge(c.charge)
		c.charge = 0
	}
}

// fail closes the channel for what came on it.
func (c *Channel) fail(now time.Time, err error) {
	c.takePartial(nil)
	if c.state <= StateOpen {
		c.err = err
		c.Close(now)
	}
}

// deliver queues a message. n is what it is charged for.
func (c *Channel) deliver(now time.Time, m message, n int) {
	if c.unreliable() {
		// Not charged, so that a channel that is not read never holds up the
		// others; bounded here instead, the oldest lost first.
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

// tell has an event say that messages wait.
func (c *Channel) tell() {
	if !c.told {
		c.told = true
		c.s.event(Event{Kind: EventMessage, Channel: c})
	}
}
