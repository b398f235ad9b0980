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

// A State is that of a channel, as in the W3C's RTCDataChannelState.
type State uint8

const (
	StateConnecting State = iota
	StateOpen
	StateClosing
	StateClosed
)

// String gives the W3C's word.
func (s State) String() string {
	names := [...]string{"connecting", "open", "closing", "closed"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// Params are what the two ends of a channel agree on (RFC 8832 §5.1).
type Params struct {
	Label             string
	Protocol          string
	Negotiated        bool
	ID                uint16 // used if Negotiated
	Unordered         bool
	MaxRetransmits    int    // -1: none given
	MaxPacketLifeTime int    // milliseconds; -1: none given
	Priority          uint16 // 0: 256, normal (RFC 8831 §6.4)
}

// nameBytes is the size of the texts.
func (p *Params) nameBytes() int { return len(p.Label) + len(p.Protocol) }

// Errors of Open and Send, and of Channel.Err.
var (
	ErrIDInUse  = errors.New("datachannel: id is in use")
	ErrNotOpen  = errors.New("datachannel: channel is not open")
	ErrNoID     = errors.New("datachannel: no stream id is left")
	ErrTooLong  = errors.New("datachannel: label or protocol is longer than 65535 bytes")
	ErrInvalid  = errors.New("datachannel: invalid parameters")
	ErrProtocol = errors.New("datachannel: the far end broke the protocol")
	ErrLate     = errors.New("datachannel: more had come than could be kept when the channel was opened here")

	// ErrTooMany: Config.MaxChannels are open.
	ErrTooMany = errors.New("datachannel: as many channels are open as may be")
	// ErrStreamLimit: the remote's SCTP has no stream of that id.
	ErrStreamLimit = errors.New("datachannel: the id is beyond the remote's limit of streams")
	// ErrUnacknowledged: the remote has not answered DATA_CHANNEL_OPEN, though it
	// did for other channels.
	ErrUnacknowledged = errors.New("datachannel: the remote does not acknowledge the channel: perhaps it takes no more")
	// ErrMemory: the remote has used up what it can make this end keep.
	ErrMemory = errors.New("datachannel: the memory for what the remote sends is used up")
)

const (
	maxStreamID    = 65534 // RFC 8832 §6
	normalPriority = 256   // RFC 8831 §6.4

	// What comes before its channel is there is kept up to these bounds of all
	// channels: an unordered message may overtake the DATA_CHANNEL_OPEN, and who
	// has a negotiated channel may send before we have it. A reliable channel that
	// lost some is closed with ErrLate.
	maxEarlyMessages = 1024
	maxEarlyBytes    = 256 << 10

	// maxAnswering bounds the streams without a channel whose reset is answered
	// at a time. The far end chooses them, and each takes memory until it is done.
	maxAnswering = 64
)

// Config is what a Session is made from. The zero value is the default.
type Config struct {
	// MaxMessageSize is the longest message in bytes that the remote may send to
	// the program: a longer one ends its channel with ErrProtocol. 0: no bound but
	// the association's, which must let a DATA_CHANNEL_OPEN of MaxOpenSize pass.
	MaxMessageSize int
	// MaxChannels is how many channels may be open at a time, of both ends. Open
	// beyond is ErrTooMany, and the remote's are reset. 0: 65535.
	MaxChannels int
}

// A Session is the set of data channels on one association (RFC 8831).
type Session struct {
	assoc       *sctp.Association
	memory      *sctp.Memory // of assoc
	maxMessage  int          // received; 0: what the association takes
	maxChannels int
	started     bool
	client      bool
	established bool
	ended       error

	channels table
	waiting  []*Channel // for an id, until Start
	nextID   int        // no id of ours below it is free

	live      channelList // channels whose remote side is not reset
	unacked   channelList // of ours, that wait for DATA_CHANNEL_ACK
	unreset   channelList // whose own side is reset, and that wait for the remote's
	acks      bool        // the remote sends DATA_CHANNEL_ACK
	allResets uint32      // resets of all streams by the remote

	reserved  idSet               // streams that only we have reset, out of use until the remote resets them
	answering map[uint16]struct{} // streams without a channel that we reset since the far end did

	lost          idSet // streams on which all was lost that came before the channel
	early         map[uint16]earlyQueue
	earlyMessages int
	earlyBytes    int

	unreliableBytes int // held for programs that do not read, charged to memory
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

// streamLimit is ErrStreamLimit for an id that the remote does not have.
func (s *Session) streamLimit(id uint16) error {
	return fmt.Errorf("%w: id %d, and it has %d", ErrStreamLimit, id, s.assoc.OutgoingStreams())
}

// chargeUnread charges an unread message outside of the receive window, and
// reports whether there is room for it.
func (s *Session) chargeUnread(m *message) bool {
	n := m.cost()
	if s.unreliableBytes+n > s.memory.Reserve()/4 || !s.memory.Charge(n) {
		return false
	}
	s.unreliableBytes += n
	return true
}

// tooLong says whether the far end may not have sent so long a message: our
// a=max-message-size forbids it (RFC 8841 §6).
func (s *Session) tooLong(n int) bool { return s.maxMessage > 0 && n > s.maxMessage }

// Start tells the session the DTLS role, which decides whose ids are even
// (RFC 8832 §6), and that the association exists: channels in waiting get
// their ids.
func (s *Session) Start(now time.Time, dtlsClient bool) {
	if s.started {
		return
	}
	s.started, s.client = true, dtlsClient
	s.nextID = s.firstID()
	waiting := s.waiting
	s.waiting = nil
	for _, c := range waiting {
		if c.state != StateConnecting {
			continue
		}
		if err := s.openInBand(now, c); err != nil {
			s.closed(c, err)
		}
	}
}

// firstID is our lowest id: the DTLS client's are even (RFC 8832 §6).
func (s *Session) firstID() int {
	if s.client {
		return 0
	}
	return 1
}

// Open adds a channel. In-band ones get their id and send DATA_CHANNEL_OPEN
// once the session has started; they are open when the association is
// established, without waiting for the acknowledgement (RFC 8832 §6); negotiated
// ones likewise. The errors are ErrIDInUse, ErrNoID, ErrStreamLimit, ErrTooMany,
// ErrTooLong, ErrInvalid, and ErrNotOpen when the association has ended. Where
// the remote's limit of streams is not known yet, a channel beyond it ends with
// ErrStreamLimit once it is.
func (s *Session) Open(now time.Time, p Params) (*Channel, error) {
	if s.ended != nil {
		return nil, ErrNotOpen
	}
	if len(p.Label) > 65535 || len(p.Protocol) > 65535 {
		return nil, ErrTooLong
	}
	if p.MaxRetransmits >= 0 && p.MaxPacketLifeTime >= 0 || p.Negotiated && p.ID > maxStreamID {
		return nil, ErrInvalid // RFC 8831 §6.1: at most one of the two
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

// opened opens a channel, or closes it where it has lost something already.
func (s *Session) opened(now time.Time, c *Channel) {
	s.setState(c, StateOpen)
	switch {
	case c.err != nil:
		c.Close(now)
	case c.inBand && !c.acked:
		s.wait(now, c, &s.unacked, ackWait)
	}
}

// isAnswering tells whether a stream is being reset that had no channel: one that
// is made meanwhile opens when that is done.
func (s *Session) isAnswering(id uint16) bool {
	_, ok := s.answering[id]
	return ok
}

// register gives a channel its stream.
func (s *Session) register(c *Channel, id uint16) {
	c.id, c.hasID = id, true
	s.channels.add(c)
	s.live.add(c)
	s.unreserve(id)
	if c.params.Priority != normalPriority {
		s.assoc.SetPriority(id, c.params.Priority)
	}
}

// openInBand gives a channel an id of ours and queues its DATA_CHANNEL_OPEN.
func (s *Session) openInBand(now time.Time, c *Channel) error {
	for s.nextID <= maxStreamID && s.inUse(uint16(s.nextID)) {
		s.nextID += 2
	}
	switch {
	case s.nextID > maxStreamID:
		return ErrNoID
	case s.nextID >= s.assoc.OutgoingStreams():
		return s.streamLimit(uint16(s.nextID))
	}
	id := uint16(s.nextID)
	s.nextID += 2
	s.register(c, id)
	// Always reliable and ordered (RFC 8832 §6).
	open := sctp.Message{Stream: id, PPID: ppidDCEP, Data: appendOpen(nil, &c.params)}
	if err := s.assoc.Send(now, open, sctp.SendOptions{Uncounted: true}); err != nil {
		s.unregister(c)
		return ErrNoID
	}
	return nil
}

// inUse reports whether an id may not be given to a channel of ours.
func (s *Session) inUse(id uint16) bool {
	return s.reserved.has(id) || s.channels.get(id) != nil || s.isAnswering(id)
}

// unregister frees a channel's stream for another.
func (s *Session) unregister(c *Channel) {
	if !c.hasID || s.channels.get(c.id) != c {
		return
	}
	s.channels.remove(c.id)
	c.unlink(listLive)
	c.unlink(listTimed)
	s.freed(c.id)
}

// freed notes that an id may be free for a channel of ours.
func (s *Session) freed(id uint16) {
	if id := int(id); s.started && id%2 == s.firstID() && id < s.nextID {
		s.nextID = id
	}
}

// An EventKind says what an Event is about.
type EventKind uint8

const (
	EventNone        EventKind = iota
	EventIncoming              // Channel: the far end opened it; it is open
	EventState                 // Channel, State: a change of state
	EventMessage               // Channel: messages came since the last such event was taken
	EventAssociation           // Association: an event of the association that concerns its owner
)

// An Event is something the Session's owner should know.
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

// NextLowered returns a channel whose BufferedAmount has fallen since it was
// last returned; nil when there is no more.
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

// Rest gives memory back that a session without anything to do does not need.
func (s *Session) Rest() { s.events.trim() }

func (s *Session) event(ev Event) { s.events.push(ev) }

func (s *Session) setState(c *Channel, st State) {
	if c.state == st {
		return
	}
	c.state = st
	s.event(Event{Kind: EventState, Channel: c, State: st})
}

// closed ends a channel. What was received stays to be read.
func (s *Session) closed(c *Channel, err error) {
	if c.state == StateClosed {
		return
	}
	c.err = cmp.Or(c.err, err) // what began the close is the cause
	c.takePartial(nil)
	s.unregister(c)
	s.setState(c, StateClosed)
}

// Process moves what the association has for us: its messages to the
// channels, its events into the channels' states. Messages go first, so that
// those before a stream reset are handed up before it shows.
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
		// The far end's channels are gone with its state.
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

// remoteResetAll is the remote closing its side of all streams. It costs as much
// as was opened or kept since the last time, however many channels there are.
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

// associationUp opens the channels that waited.
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
			s.announce(now, c) // what came on it is the program's
		}
		s.closed(c, err)
	}
	for id := range s.early {
		s.dropEarly(id)
	}
	s.early, s.reserved, s.lost, s.answering = nil, idSet{}, idSet{}, nil
}

// beginClose resets our side of a channel's stream, which ends the channel
// when the far end's is reset too. One that is not announced yet is so first.
func (s *Session) beginClose(now time.Time, c *Channel) {
	if c.ackOwed {
		c.state = StateClosing
		return
	}
	s.setState(c, StateClosing)
	s.resetStream(now, c)
}

// resetStream resets our side of a channel's stream.
func (s *Session) resetStream(now time.Time, c *Channel) {
	if err := s.assoc.ResetStreams(now, c.id); err != nil {
		s.closed(c, err)
	}
}

// remoteReset is the far end closing its side of a stream: ours follows at
// once (RFC 8831 §6.7).
func (s *Session) remoteReset(now time.Time, id uint16) {
	s.dropEarly(id)
	c := s.channels.get(id)
	if c == nil {
		s.answerReset(now, id)
		return
	}
	c.again = c.remoteEnd // what the far end had on the id since is over, too
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

// refuse resets a stream of the remote that is to have no channel. Where there
// is no room for that, nothing is done, as if DATA_CHANNEL_OPEN had not come.
func (s *Session) refuse(now time.Time, id uint16) {
	s.dropEarly(id)
	if s.assoc.ResetStreams(now, id) == nil { // an invalid stream has nothing to reset
		s.reserve(id)
	}
}

// reserve keeps an id out of use until the remote resets its side.
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

// answerReset answers the remote's reset of a stream that has no channel here:
// of a negotiated one that only it has, and that would wait for ever (RFC 8831
// §6.7). Where it is itself the answer to ours, that is all.
func (s *Session) answerReset(now time.Time, id uint16) {
	if s.unreserve(id) || len(s.answering) >= maxAnswering || s.isAnswering(id) || s.assoc.ResetStreams(now, id) != nil {
		return
	}
	if s.answering == nil {
		s.answering = map[uint16]struct{}{}
	}
	s.answering[id] = struct{}{}
}

// localReset is the end of our own reset of a stream, or its failure, after
// which the channel is as closed as it can be.
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

// handleMessage takes a message from the association.
func (s *Session) handleMessage(now time.Time, m sctp.Message) {
	n := len(m.Data)
	if m.PPID == ppidDCEP {
		s.assoc.Release(now, n)
		s.handleDCEP(now, m)
		return
	}
	c := s.channels.get(m.Stream)
	if c == nil || c.state == StateClosing && c.remoteEnd {
		// Of no channel yet: where the far end's side is reset, it is of the
		// next one that has the id.
		s.keepEarly(now, m)
		return
	}
	s.handleData(now, c, m)
}

// handleData takes a message of a channel.
func (s *Session) handleData(now time.Time, c *Channel, m sctp.Message) {
	// RFC 8832 §6: a message from the far end shows that it knows the channel.
	if !c.acked {
		c.acknowledged()
	}
	if c.links[listTimed].list == &s.unreset {
		s.wait(now, c, &s.unreset, resetWait)
	}
	n := len(m.Data)
	if c.err != nil { // nothing behind what closed it
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
		// Deprecated (RFC 8831 §6.6): a piece, whose end has PPID 51 or 53.
		s.assoc.Release(now, n)
		if s.tooLong(c.pieces + n) {
			c.fail(now, ErrProtocol)
		} else if !c.keepPartial(m.Data) {
			c.fail(now, ErrMemory)
		}
		return
	default:
		// RFC 8831 §6.6: without prior negotiation there are no other PPIDs, and
		// the channel SHOULD be closed.
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
		// The pieces wait for the program now, like any message.
		msg.data = c.takePartial(msg.data)
		s.assoc.Hold(len(msg.data) - n)
		n = len(msg.data)
	}
	c.deliver(now, msg, n)
}

// An earlyQueue is what came on a stream before its channel.
type earlyQueue struct {
	messages []sctp.Message
	lost     bool // there was no room for what came behind them
}

// keepEarly keeps a message that came before its channel, if there is room and
// none was lost on its stream before: a channel has no gaps.
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

// dropEarly forgets what came early on a stream, and returns it.
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

// adoptEarly gives a new channel what came before it. It was
// released from the window when it was kept, so it is no longer charged.
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

// handleDCEP takes a message of the establishment protocol (RFC 8832).
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

// handleOpen takes a DATA_CHANNEL_OPEN. One that is malformed or too much, or on
// a stream that is not the far end's to choose or in use, closes the stream
// (RFC 8832 §6).
func (s *Session) handleOpen(now time.Time, m sctp.Message) {
	old := s.channels.get(m.Stream)
	reopened := false
	if old != nil && old.state == StateClosing && old.remoteEnd {
		// The far end has both resets behind it, and uses the id again; the
		// response to ours is still on its way.
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

// acceptOpen acknowledges a channel of the far end.
func (s *Session) acceptOpen(now time.Time, c *Channel) {
	ack := sctp.Message{Stream: c.id, PPID: ppidDCEP, Data: []byte{dcepAck}}
	if err := s.assoc.Send(now, ack, sctp.SendOptions{Uncounted: true}); err != nil {
		if errors.Is(err, sctp.ErrStreamClosed) {
			return // until the reset of the stream's last user is confirmed
		}
		s.closed(c, err)
		return
	}
	if c.params.Priority != normalPriority {
		s.assoc.SetPriority(c.id, c.params.Priority)
	}
	s.announce(now, c)
}

// announce tells of a channel of the far end, and what has come on it so far:
// messages, and its close.
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
