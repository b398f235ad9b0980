package datachannel

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"purertc/sctp"
)

// A State is the state of a channel, like the W3C's RTCDataChannelState.
type State uint8

const (
	StateConnecting State = iota
	StateOpen
	StateClosing
	StateClosed
)

// String returns the W3C's name of the state.
func (s State) String() string {
	names := [...]string{"connecting", "open", "closing", "closed"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// Params are the parameters of a channel that both ends know (RFC 8832 §5.1).
type Params struct {
	Label             string
	Protocol          string
	Negotiated        bool
	ID                uint16 // used if Negotiated or ChosenID
	ChosenID          bool   // the channel is opened in band with ID, which must be one of the local end (RFC 8832 §6)
	Unordered         bool
	MaxRetransmits    int    // -1: no limit
	MaxPacketLifeTime int    // milliseconds; -1: no limit
	Priority          uint16 // 0 means 256, normal priority (RFC 8831 §6.4)
}

// nameBytes returns the size in bytes of the label and the protocol.
func (p *Params) nameBytes() int { return len(p.Label) + len(p.Protocol) }

// Errors of Open and Send, and of Channel.Err.
var (
	ErrIDInUse  = errors.New("datachannel: id is in use")
	ErrNotOpen  = errors.New("datachannel: channel is not open")
	ErrNoID     = errors.New("datachannel: no stream id is left")
	ErrRemoteID = errors.New("datachannel: id belongs to the remote: the DTLS client opens channels with even ids, the server with odd ones")
	ErrTooLong  = errors.New("datachannel: label or protocol is longer than 65535 bytes")
	ErrInvalid  = errors.New("datachannel: invalid parameters")
	ErrProtocol = errors.New("datachannel: the remote broke the protocol")
	ErrLate     = errors.New("datachannel: messages that arrived before the channel was opened here were dropped")

	// ErrTooMany says that as many channels as Config.MaxChannels allows are open.
	ErrTooMany = errors.New("datachannel: as many channels as Config.MaxChannels allows are open")
	// ErrStreamLimit says that the remote's SCTP has no stream with that id.
	ErrStreamLimit = errors.New("datachannel: the id is beyond the remote's limit of streams")
	// ErrUnacknowledged says that the remote has not answered the DATA_CHANNEL_OPEN of
	// this channel, although it has answered those of other channels.
	ErrUnacknowledged = errors.New("datachannel: the remote does not acknowledge the channel: perhaps it has too many")
	// ErrMemory says that the remote has used up the memory that it can cause this end
	// to use.
	ErrMemory = errors.New("datachannel: the remote has used up the memory limit")
)

const (
	maxStreamID    = 65534 // highest stream id (RFC 8832 §6)
	normalPriority = 256   // "normal" in RFC 8831 §6.4

	// Limits on the messages, of all streams together, that arrive before their
	// channel is opened. An unordered message may overtake the DATA_CHANNEL_OPEN, and
	// a remote with a negotiated channel may send before the channel exists here.
	// If messages were dropped because of these limits, a reliable channel is closed
	// with ErrLate.
	maxEarlyMessages = 1024
	maxEarlyBytes    = 256 << 10

	// maxAnswering bounds the pending resets of streams without a channel. The remote
	// chooses the streams, and each pending reset takes memory.
	maxAnswering = 64
)

// Config configures a Session. The zero value is the default.
type Config struct {
	// MaxMessageSize is the length in bytes of the longest message that the remote may
	// send to the program. A longer message closes its channel with ErrProtocol. 0
	// means the association's limit, which must allow a DATA_CHANNEL_OPEN of
	// MaxOpenSize.
	MaxMessageSize int
	// MaxChannels is how many channels of both ends together may be open at a time.
	// When so many are open, Open returns ErrTooMany, and channels that the remote
	// opens are reset. 0 means 65535.
	MaxChannels int
}

// A Session is the set of data channels on one association (RFC 8831).
type Session struct {
	assoc       *sctp.Association
	memory      *sctp.Memory // the Memory of assoc
	maxMessage  int          // longest message to receive, in bytes; 0: the association's limit
	maxChannels int
	started     bool
	client      bool
	established bool
	ended       error

	channels table
	waiting  []*Channel // channels that wait for an id until Start
	nextID   int        // no local id below this one is free

	live      channelList // channels with a remote side that is not reset
	unacked   channelList // channels that wait for DATA_CHANNEL_ACK
	unreset   channelList // channels with a local side that is reset, which wait for the reset of the remote side
	acks      bool        // the remote has sent a DATA_CHANNEL_ACK
	allResets uint32      // how often the remote has reset all streams

	reserved  idSet               // streams of which only the local side is reset; not used until the remote side is reset too
	answering map[uint16]struct{} // streams without a channel, of which the local side is being reset because the remote side was reset

	lost          idSet // streams on which all messages that came before their channel were dropped
	early         map[uint16]earlyQueue
	earlyMessages int
	earlyBytes    int

	unreliableBytes int // bytes of messages that are kept for programs that do not read; charged to memory
	events          queue[Event]
}

// NewSession returns a session without channels.
func NewSession(a *sctp.Association, cfg Config) *Session {
	s := &Session{assoc: a, memory: a.Memory(), maxMessage: cfg.MaxMessageSize, maxChannels: cfg.MaxChannels}
	if s.maxChannels <= 0 {
		s.maxChannels = maxStreamID + 1
	}
	s.live.kind, s.unacked.kind, s.unreset.kind = listLive, listTimed, listTimed
	return s
}

// full reports whether no further channel may be opened.
func (s *Session) full() bool { return s.channels.len()+len(s.waiting) >= s.maxChannels }

// streamLimit returns ErrStreamLimit, with an id that is beyond the remote's streams.
func (s *Session) streamLimit(id uint16) error {
	return fmt.Errorf("%w: id %d, and it has %d", ErrStreamLimit, id, s.assoc.OutgoingStreams())
}

// chargeUnread charges an unread message outside of the receive window. It reports
// whether there is room for it.
func (s *Session) chargeUnread(m *message) bool {
	n := m.cost()
	if s.unreliableBytes+n > s.memory.Reserve()/4 || !s.memory.Charge(n) {
		return false
	}
	s.unreliableBytes += n
	return true
}

// tooLong reports whether a message exceeds the local max-message-size (RFC 8841 §6).
func (s *Session) tooLong(n int) bool { return s.maxMessage > 0 && n > s.maxMessage }

// Start sets the DTLS role, which decides which end has the even ids (RFC 8832 §6).
// It also says that the association connects, so that channels get their ids.
func (s *Session) Start(now time.Time, dtlsClient bool) {
	if s.started {
		return
	}
	s.started, s.client = true, dtlsClient
	s.nextID = s.firstID()
	waiting := s.waiting
	s.waiting = nil
	for _, chosen := range []bool{true, false} { // so that no other channel gets a chosen id
		for _, c := range waiting {
			if c.state != StateConnecting || c.params.ChosenID != chosen {
				continue
			}
			if err := s.openInBand(now, c); err != nil {
				s.closed(c, err)
			}
		}
	}
}

// firstID returns the lowest local id: the DTLS client has the even ids (RFC 8832
// §6).
func (s *Session) firstID() int {
	if s.client {
		return 0
	}
	return 1
}

// Open opens a channel. A channel that is not negotiated gets its id, and sends
// DATA_CHANNEL_OPEN, once the session has started. Channels are open when the
// association is established, without waiting for the acknowledgement (RFC 8832 §6).
// The errors are ErrIDInUse, ErrRemoteID, ErrNoID, ErrStreamLimit, ErrTooMany, ErrTooLong,
// ErrInvalid, and ErrNotOpen when the association has ended. If the remote's limit of
// streams is not known yet, a channel beyond the limit is closed with ErrStreamLimit
// as soon as the limit is known.
func (s *Session) Open(now time.Time, p Params) (*Channel, error) {
	if s.ended != nil {
		return nil, ErrNotOpen
	}
	if len(p.Label) > 65535 || len(p.Protocol) > 65535 {
		return nil, ErrTooLong
	}
	if p.MaxRetransmits >= 0 && p.MaxPacketLifeTime >= 0 || (p.Negotiated || p.ChosenID) && p.ID > maxStreamID {
		return nil, ErrInvalid // RFC 8831 §6.1: a channel cannot have both limits
	}
	if s.full() {
		return nil, ErrTooMany
	}
	if p.Priority == 0 {
		p.Priority = normalPriority
	}
	c := &Channel{s: s, params: p}
	switch {
	case p.Negotiated:
		if s.channels.get(p.ID) != nil {
			return nil, ErrIDInUse
		}
		if int(p.ID) >= s.assoc.OutgoingStreams() {
			return nil, s.streamLimit(p.ID)
		}
		s.register(c, p.ID)
		s.adoptEarly(now, c)
	case !s.started:
		c.inBand = true
		s.waiting = append(s.waiting, c)
		return c, nil
	default:
		c.inBand = true
		if err := s.openInBand(now, c); err != nil {
			return nil, err
		}
	}
	if s.established && !s.isAnswering(c.id) {
		s.opened(now, c)
	}
	return c, nil
}

// opened changes a channel to open. If messages were lost before that, it closes the
// channel instead.
func (s *Session) opened(now time.Time, c *Channel) {
	s.setState(c, StateOpen)
	switch {
	case c.err != nil:
		c.Close(now)
	case c.inBand && !c.acked:
		s.wait(now, c, &s.unacked, ackWait)
	}
}

// isAnswering reports whether a stream without a channel is being reset. A channel
// that is created in the meantime opens when the reset is done.
func (s *Session) isAnswering(id uint16) bool {
	_, ok := s.answering[id]
	return ok
}

// register assigns a stream to a channel.
func (s *Session) register(c *Channel, id uint16) {
	c.id, c.hasID = id, true
	s.channels.add(c)
	s.live.add(c)
	s.unreserve(id)
	if c.params.Priority != normalPriority {
		s.assoc.SetPriority(id, c.params.Priority)
	}
}

// openInBand assigns a local id to a channel and queues its DATA_CHANNEL_OPEN.
func (s *Session) openInBand(now time.Time, c *Channel) error {
	id, err := s.assignID(c)
	if err != nil {
		return err
	}
	s.register(c, id)
	// The DATA_CHANNEL_OPEN is always reliable and ordered (RFC 8832 §6).
	open := sctp.Message{Stream: id, PPID: ppidDCEP, Data: appendOpen(nil, &c.params)}
	if err := s.assoc.Send(now, open, sctp.SendOptions{Uncounted: true}); err != nil {
		s.unregister(c)
		return ErrNoID
	}
	return nil
}

// assignID returns the id of a local channel that is opened in band.
func (s *Session) assignID(c *Channel) (uint16, error) {
	id := int(c.params.ID)
	switch {
	case c.params.ChosenID && id%2 != s.firstID():
		return 0, ErrRemoteID
	case c.params.ChosenID && s.inUse(c.params.ID):
		return 0, ErrIDInUse
	case !c.params.ChosenID:
		for s.nextID <= maxStreamID && s.inUse(uint16(s.nextID)) {
			s.nextID += 2
		}
		if id = s.nextID; id > maxStreamID {
			return 0, ErrNoID
		}
	}
	if id >= s.assoc.OutgoingStreams() {
		return 0, s.streamLimit(uint16(id))
	}
	if !c.params.ChosenID {
		s.nextID += 2
	}
	return uint16(id), nil
}

// inUse reports whether an id cannot be assigned to a local channel.
func (s *Session) inUse(id uint16) bool {
	return s.reserved.has(id) || s.channels.get(id) != nil || s.isAnswering(id)
}

// unregister frees a channel's stream.
func (s *Session) unregister(c *Channel) {
	if !c.hasID || s.channels.get(c.id) != c {
		return
	}
	s.channels.remove(c.id)
	c.unlink(listLive)
	c.unlink(listTimed)
	s.freed(c.id)
}

// freed notes that an id may be free for a local channel again.
func (s *Session) freed(id uint16) {
	if id := int(id); s.started && id%2 == s.firstID() && id < s.nextID {
		s.nextID = id
	}
}

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventIncoming              // the remote opened Channel, which is open
	EventState                 // the state of Channel has changed to State
	EventMessage               // messages have arrived on Channel since its last EventMessage was taken
	EventAssociation           // Association is an event of the association, for its owner
)

// An Event reports a change to the owner of a Session.
type Event struct {
	Kind        EventKind
	State       State
	Channel     *Channel
	Association sctp.Event
}

// NextEvent returns the next event, in order.
func (s *Session) NextEvent() (Event, bool) {
	e, ok := s.events.pop()
	switch {
	case e.Kind == EventMessage:
		e.Channel.told = false
	case e.Kind == EventState && e.State == StateClosed:
		e.Channel.gone = true
		e.Channel.uncharge()
	}
	return e, ok
}

// NextLowered returns a channel with a BufferedAmount that has fallen since the
// channel was last returned, or nil if there is none.
func (s *Session) NextLowered() *Channel {
	for {
		id, ok := s.assoc.NextLowered()
		if !ok {
			return nil
		}
		if c := s.channels.get(id); c != nil {
			return c
		}
	}
}

// Release releases memory that an idle session does not need.
func (s *Session) Release() { s.events.release() }

func (s *Session) event(ev Event) { s.events.push(ev) }

func (s *Session) setState(c *Channel, st State) {
	if c.state == st {
		return
	}
	c.state = st
	s.event(Event{Kind: EventState, Channel: c, State: st})
}

// closed ends a channel. Messages that were received can still be read.
func (s *Session) closed(c *Channel, err error) {
	if c.state == StateClosed {
		return
	}
	c.err = cmp.Or(c.err, err) // an earlier cause is kept
	c.takePartial(nil)
	s.unregister(c)
	s.setState(c, StateClosed)
}

// Process takes the association's messages and events. It takes messages first, so
// that messages that came before a stream reset are delivered before it.
func (s *Session) Process(now time.Time) {
	for {
		for {
			m, ok := s.assoc.Receive()
			if !ok {
				break
			}
			s.handleMessage(now, m)
		}
		ev, ok := s.assoc.NextEvent()
		if !ok {
			return
		}
		s.handleEvent(now, ev)
	}
}

// handleEvent takes an event of the association.
func (s *Session) handleEvent(now time.Time, ev sctp.Event) {
	switch ev.Kind {
	case sctp.EventEstablished:
		s.associationUp(now)
	case sctp.EventStreamsReset:
		if len(ev.Streams) == 0 {
			s.remoteResetAll(now)
		}
		for _, id := range ev.Streams {
			s.remoteReset(now, id)
		}
		return
	case sctp.EventResetDone, sctp.EventResetFailed:
		for _, id := range ev.Streams {
			s.localReset(now, id, ev.Err)
		}
		return
	case sctp.EventReplaced:
		s.renewed(now)
	case sctp.EventRestarted:
		// The remote has lost its channels together with its state.
		s.closeAll(now, ErrProtocol)
	case sctp.EventClosed, sctp.EventFailed:
		s.ended = sctp.ErrClosed
		if ev.Err != nil {
			s.ended = ev.Err
		}
		s.closeAll(now, ev.Err)
	}
	s.event(Event{Kind: EventAssociation, Association: ev})
}

// remoteResetAll handles a reset of all streams by the remote. Its cost is in
// proportion to the channels that were opened, and the early messages that were kept,
// since the previous reset of all streams.
func (s *Session) remoteResetAll(now time.Time) {
	s.allResets++
	s.lost = idSet{}
	for _, id := range slices.Sorted(maps.Keys(s.early)) {
		if s.channels.get(id) == nil {
			s.remoteReset(now, id)
		} else {
			s.dropEarly(id)
		}
	}
	for c := s.live.first; c != nil; c = s.live.first {
		s.remoteReset(now, c.id)
	}
}

// associationUp opens the channels that wait for the association.
func (s *Session) associationUp(now time.Time) {
	s.established = true
	for _, id := range s.channels.ids() {
		c := s.channels.get(id)
		switch {
		case int(id) >= s.assoc.OutgoingStreams():
			s.closed(c, s.streamLimit(id))
		case c.state == StateConnecting:
			s.opened(now, c)
		}
	}
}

func (s *Session) closeAll(now time.Time, err error) {
	for _, c := range s.waiting {
		s.closed(c, err)
	}
	s.waiting = nil
	for _, id := range s.channels.ids() {
		c := s.channels.get(id)
		if c.ackOwed {
			s.announce(now, c) // the program gets the messages on the channel
		}
		s.closed(c, err)
	}
	for id := range s.early {
		s.dropEarly(id)
	}
	s.early, s.reserved, s.lost, s.answering = nil, idSet{}, idSet{}, nil
}

// beginClose resets the local side of a channel's stream. The channel is closed when
// the remote side is reset, too. If the channel is not announced yet, it is announced
// first.
func (s *Session) beginClose(now time.Time, c *Channel) {
	if c.ackOwed {
		c.state = StateClosing
		return
	}
	s.setState(c, StateClosing)
	s.resetStream(now, c)
}

// resetStream resets the local side of a channel's stream.
func (s *Session) resetStream(now time.Time, c *Channel) {
	if err := s.assoc.ResetStreams(now, c.id); err != nil {
		s.closed(c, err)
	}
}

// remoteReset handles a reset of the remote side of a stream. The local side is then
// reset immediately (RFC 8831 §6.7).
func (s *Session) remoteReset(now time.Time, id uint16) {
	s.dropEarly(id)
	c := s.channels.get(id)
	if c == nil {
		s.answerReset(now, id)
		return
	}
	c.again = c.remoteEnd // a second reset is for the remote's next channel with this id
	c.remoteEnd, c.resets = true, s.allResets
	c.unlink(listLive)
	switch c.state {
	case StateConnecting, StateOpen:
		s.beginClose(now, c)
	case StateClosing:
		if c.localEnd {
			s.closed(c, nil)
		}
	}
}

// refuse resets a stream of the remote that gets no channel. If there is no memory for
// the reset, nothing is done, as if the DATA_CHANNEL_OPEN had not arrived.
func (s *Session) refuse(now time.Time, id uint16) {
	s.dropEarly(id)
	if s.assoc.ResetStreams(now, id) == nil { // a stream that SCTP does not have needs no reset
		s.reserve(id)
	}
}

// reserve keeps an id unused until the remote side is reset.
func (s *Session) reserve(id uint16) { s.reserved.add(id) }

// unreserve undoes reserve. It reports whether the id was reserved.
func (s *Session) unreserve(id uint16) bool {
	if !s.reserved.has(id) {
		return false
	}
	s.reserved.remove(id)
	s.freed(id)
	return true
}

// answerReset answers the remote's reset of a stream without a local channel. The
// channel may be negotiated, and exist only at the remote end, where it would wait for
// ever without an answer (RFC 8831 §6.7). If the remote's reset is itself the answer
// to a local reset, nothing is done.
func (s *Session) answerReset(now time.Time, id uint16) {
	if s.unreserve(id) || len(s.answering) >= maxAnswering || s.isAnswering(id) || s.assoc.ResetStreams(now, id) != nil {
		return
	}
	if s.answering == nil {
		s.answering = map[uint16]struct{}{}
	}
	s.answering[id] = struct{}{}
}

// localReset handles the end of a local reset. If the reset has failed, the channel is
// closed all the same, because there is no other way to close it.
func (s *Session) localReset(now time.Time, id uint16, failed error) {
	c := s.channels.get(id)
	answered := s.isAnswering(id)
	if delete(s.answering, id); len(s.answering) == 0 {
		s.answering = nil
	}
	switch {
	case c == nil:
	case c.ackOwed:
		s.acceptOpen(now, c)
	case answered && c.state == StateConnecting:
		s.opened(now, c)
	case c.state != StateClosing:
	case failed != nil:
		s.closed(c, failed)
		if !c.remoteEnd {
			s.reserve(id)
		}
	case !c.remoteEnd:
		c.localEnd = true
		s.wait(now, c, &s.unreset, resetWait)
	default:
		c.localEnd = true
		if s.closed(c, nil); c.again || c.resets != s.allResets {
			s.answerReset(now, id)
		}
	}
}

// handleMessage processes a message from the association.
func (s *Session) handleMessage(now time.Time, m sctp.Message) {
	n := len(m.Data)
	if m.PPID == ppidDCEP {
		s.assoc.Release(now, n)
		s.handleDCEP(now, m)
		return
	}
	c := s.channels.get(m.Stream)
	if c == nil || c.state == StateClosing && c.remoteEnd {
		// There is no channel for the message yet. If the remote side of a channel is
		// reset, the message belongs to the next channel with the same id.
		s.keepEarly(now, m)
		return
	}
	s.handleData(now, c, m)
}

// handleData processes a message of a channel.
func (s *Session) handleData(now time.Time, c *Channel, m sctp.Message) {
	// RFC 8832 §6: a message shows that the remote has the channel.
	if !c.acked {
		c.acknowledged()
	}
	if c.links[listTimed].list == &s.unreset {
		s.wait(now, c, &s.unreset, resetWait)
	}
	n := len(m.Data)
	if c.err != nil { // data that arrives after an error is dropped
		s.assoc.Release(now, n)
		return
	}
	msg := message{data: m.Data}
	switch m.PPID {
	case ppidString:
		msg.text = true
	case ppidBinary:
	case ppidStringEmpty:
		msg.text, msg.data = true, nil
	case ppidBinaryEmpty:
		msg.data = nil
	case ppidStringPartial, ppidBinaryPartial:
		// The message is a piece of a longer one (deprecated, RFC 8831 §6.6). The
		// last piece has PPID 51 or 53.
		s.assoc.Release(now, n)
		if s.tooLong(c.pieces + n) {
			c.fail(now, ErrProtocol)
		} else if !c.keepPartial(m.Data) {
			c.fail(now, ErrMemory)
		}
		return
	default:
		// RFC 8831 §6.6: other PPIDs require negotiation, and the channel SHOULD be
		// closed.
		s.assoc.Release(now, n)
		c.fail(now, ErrProtocol)
		return
	}
	if s.tooLong(c.pieces + n) {
		s.assoc.Release(now, n)
		c.fail(now, ErrProtocol)
		return
	}
	if c.partial != nil {
		// From now on the pieces are charged like any message.
		msg.data = c.takePartial(msg.data)
		s.assoc.Hold(len(msg.data) - n)
		n = len(msg.data)
	}
	c.deliver(now, msg, n)
}

// An earlyQueue holds the messages that arrived on a stream before its channel was
// opened.
type earlyQueue struct {
	messages []sctp.Message
	lost     bool // later messages were dropped because there was no room
}

// keepEarly keeps a message that arrived before its channel, if there is room. If a
// message was dropped on a stream, all later ones are dropped too, because a channel
// has no gaps.
func (s *Session) keepEarly(now time.Time, m sctp.Message) {
	s.assoc.Release(now, len(m.Data))
	q, ok := s.early[m.Stream]
	switch {
	case s.ended != nil:
		return
	case !ok && (s.lost.has(m.Stream) || len(s.early) >= maxEarlyMessages || !s.memory.Charge(earlyOverhead)):
		s.lost.add(m.Stream)
		return
	}
	if s.early == nil {
		s.early = make(map[uint16]earlyQueue)
	}
	if q.lost || s.tooLong(len(m.Data)) || s.earlyMessages >= maxEarlyMessages || s.earlyBytes+len(m.Data) > maxEarlyBytes ||
		!s.memory.Charge(len(m.Data)+messageOverhead) {
		q.lost = true
	} else {
		q.messages = append(q.messages, m)
		s.earlyMessages++
		s.earlyBytes += len(m.Data)
	}
	s.early[m.Stream] = q
}

// dropEarly removes and returns the messages that arrived on a stream before its
// channel.
func (s *Session) dropEarly(id uint16) earlyQueue {
	q, ok := s.early[id]
	if s.lost.has(id) {
		s.lost.remove(id)
		q.lost = true
	}
	if !ok {
		return q
	}
	delete(s.early, id)
	s.earlyMessages -= len(q.messages)
	s.memory.Uncharge(earlyOverhead)
	for _, m := range q.messages {
		s.earlyBytes -= len(m.Data)
		s.memory.Uncharge(len(m.Data) + messageOverhead)
	}
	return q
}

// adoptEarly gives a new channel the messages that arrived before it. Their part of
// the receive window was released when they were kept.
func (s *Session) adoptEarly(now time.Time, c *Channel) {
	q := s.dropEarly(c.id)
	for _, m := range q.messages {
		msg := message{data: m.Data, charged: -1}
		switch m.PPID {
		case ppidString:
			msg.text = true
		case ppidStringEmpty:
			msg.text, msg.data = true, nil
		case ppidBinaryEmpty:
			msg.data = nil
		case ppidBinary:
		default:
			continue
		}
		if !s.chargeUnread(&msg) {
			q.lost = true
			break
		}
		c.queue.push(msg)
		c.bytes += len(msg.data)
		c.arrived++
		c.tell()
	}
	if q.lost && !c.unreliable() {
		c.err = ErrLate
	}
}

// handleDCEP processes a message of the establishment protocol (RFC 8832).
func (s *Session) handleDCEP(now time.Time, m sctp.Message) {
	switch {
	case len(m.Data) == 1 && m.Data[0] == dcepAck:
		if c := s.channels.get(m.Stream); c != nil && c.inBand {
			s.acks = true
			c.acknowledged()
		}
	case len(m.Data) > 0 && m.Data[0] == dcepOpen:
		s.handleOpen(now, m)
	}
}

// handleOpen processes a DATA_CHANNEL_OPEN. The stream is closed (RFC 8832 §6) if the
// message is malformed, if it exceeds a limit, if the stream is in use, or if the
// remote must not choose this stream.
func (s *Session) handleOpen(now time.Time, m sctp.Message) {
	old := s.channels.get(m.Stream)
	reopened := false
	if old != nil && old.state == StateClosing && old.remoteEnd {
		// The remote has completed both resets and uses the id again. The response to
		// the local reset has not arrived yet.
		s.closed(old, nil)
		old, reopened = nil, true
	}
	if old != nil {
		old.Close(now)
		return
	}
	p, err := parseOpen(m.Data)
	wrongParity := s.started && int(m.Stream)%2 == s.firstID()
	charge := channelOverhead + p.nameBytes()
	if err != nil || wrongParity || m.Stream > maxStreamID || int(m.Stream) >= s.assoc.OutgoingStreams() ||
		s.full() || !s.memory.Charge(charge) {
		s.refuse(now, m.Stream)
		return
	}
	p.ID = m.Stream
	c := &Channel{s: s, params: p, ackOwed: true, charge: charge}
	s.register(c, m.Stream)
	if !reopened {
		s.acceptOpen(now, c)
	}
}

// acceptOpen acknowledges a channel that the remote opened.
func (s *Session) acceptOpen(now time.Time, c *Channel) {
	ack := sctp.Message{Stream: c.id, PPID: ppidDCEP, Data: []byte{dcepAck}}
	if err := s.assoc.Send(now, ack, sctp.SendOptions{Uncounted: true}); err != nil {
		if errors.Is(err, sctp.ErrStreamClosed) {
			return // acceptOpen is called again when the reset of the stream's previous channel is confirmed
		}
		s.closed(c, err)
		return
	}
	if c.params.Priority != normalPriority {
		s.assoc.SetPriority(c.id, c.params.Priority)
	}
	s.announce(now, c)
}

// announce reports a channel that the remote opened, and then what has happened on it
// so far: messages, and whether it was closed.
func (s *Session) announce(now time.Time, c *Channel) {
	closing := c.state == StateClosing
	c.ackOwed, c.state = false, StateOpen
	s.event(Event{Kind: EventIncoming, Channel: c})
	s.adoptEarly(now, c)
	if c.queue.len() > 0 {
		c.tell()
	}
	if closing || c.err != nil {
		s.beginClose(now, c)
	}
}
