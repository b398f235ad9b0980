package dtls

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A connState is where a Conn is in its life.
type connState uint8

const (
	stateNew connState = iota
	stateHandshake
	stateEstablished
	stateClosed // by either end
	stateFailed
)

// A Conn is one end of a DTLS connection: a pure state machine. Its methods
// must not run at the same time as one another.
//
// Idle ones are many, so its small fields stand together.
type Conn struct {
	cfg *Config    // our own copy, with the defaults; nil once established
	hs  *handshake // nil once finished
	err error

	state connState

	// What stays of cfg.
	client   bool
	strict   bool
	patient  bool   // PatientRetransmission
	ownLimit uint16 // RecordSizeLimit

	// What the handshake agreed on.
	version Version
	suite   CipherSuite
	group   Group
	srtp    uint16
	// datagramLimit is how long a datagram with a flight may be, after longer
	// ones were not answered; 0: as long as the owner says. carried is the length
	// of the longest that is known to have arrived.
	datagramLimit, carried int

	sizeLimit uint16 // of records we send under keys; 0: none was agreed on
	retried   bool   // with a HelloRetryRequest
	resumed   bool   // the handshake took over an earlier one's certificates

	alert        [2]byte // level and description
	alertPending bool
	alertsLeft   uint8 // repetitions of a fatal alert
	newer        bool  // the record read last was the newest there is
	proven       bool  // a record under keys was opened, or the Conn is strict

	peer       [][]byte   // DER
	protocol   string     // ALPN
	serverName string     // that the client asked for
	secrets    *secrets12 // of DTLS 1.3, until established
	exporter   []byte     // DTLS 1.3's exporter secret
	resumption []byte     // the secret of a client that takes tickets (DTLS 1.3)
	cid        []byte     // connection ID that the far end puts into its records; nil: none
	peerCID    []byte     // that we put into ours; nil: none

	in       reassembler
	out      flight   // what we sent last and may have to send again
	early    [][]byte // records that came before their keys, or before Finished
	nextSend uint16   // our next message_seq

	cidsDue     bool // a NewConnectionId is to be sent
	updating    bool // our KeyUpdate is on its way
	updateDue   bool // a KeyUpdate is to be sent
	updateAsked bool // it is to ask for one of the far end
	ackPending  bool
	ackDue      bool           // some of acks were in no ACK yet
	acks        []recordNumber // received and not answered yet (DTLS 1.3)
	ackAt       time.Time      // when they are acknowledged

	write   []*writeEpoch // of messages that may be sent again
	current *writeEpoch   // of what is sent now
	read    []*readEpoch
	// oldKeysUntil is how long all but the newest of read are kept, once these
	// are in use (DTLS 1.3).
	oldKeysUntil time.Time

	firstTimeout, maxTimeout time.Duration // InitialTimeout and MaxTimeout of cfg
	rtt                      time.Duration
	timeout                  time.Duration // of the flight on its way
	retransmitAt             time.Time
	deadline                 time.Time // of the handshake
	untimed                  bool      // no deadline is set; see SetUntimed

	events []Event
	stats  Stats

	lastSeq int32 // message_seq that ends the far end's last flight; -1: none

	// Scratch of seal and open.
	nonce [12]byte
	mask  [16]byte
	aad   []byte
}

// A handshake is what is needed only until both ends are sure of each other.
type handshake struct {
	step       step
	transcript transcript

	hello   clientHello // sent by a client, received by a server
	sent    message     // a client's newest ClientHello, until the version is known
	fixed   [32]byte    // hash of the part of a ClientHello that a second one must repeat; a server's
	retries int         // HelloVerifyRequests followed
	suite   suite
	key     ephemeral   // DTLS 1.2
	keys    []ephemeral // a client's, one for each share
	peerKey crypto.PublicKey

	// Of DTLS 1.3, until the handshake ends.
	kdf        *kdf
	schedule   schedule13
	ownSecret  []byte // handshake traffic secrets
	peerSecret []byte
	peerData   []byte // the far end's first secret for application data

	secret       []byte            // what the key exchange gave, until the keys are made
	epoch1       *writeEpoch       // a server's, until its Finished
	askedSchemes []SignatureScheme // of a CertificateRequest

	session    *Session      // that a client offers, and a server resumes
	psk        []byte        // its secret, once it is resumed (DTLS 1.3)
	sessionID  []byte        // that the server gave (DTLS 1.2)
	ticketDue  bool          // a NewSessionTicket was promised (DTLS 1.2)
	ticket     []byte        // that a client got (DTLS 1.2)
	ticketLife time.Duration // of it

	asked bool // we were asked for a certificate, or asked

	cause   error     // probable cause of a failure, from plaintext; nil: none
	causeAt time.Time // when cause ends the handshake, unless it goes on
}

// A step takes the message that is next in order. It returns an *AlertError
// to end the handshake.
type step func(c *Conn, now time.Time, m message) error

// NewConn returns a connection that has not begun. It fails if cfg cannot
// work or would trust anybody.
func NewConn(cfg Config) (*Conn, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	if cfg.MinVersion.newer(cfg.MaxVersion) {
		return nil, fmt.Errorf("%w: no cipher suite for a version that may be used", ErrConfig)
	}
	cid, err := cfg.connectionID()
	if err != nil {
		return nil, err
	}
	plain := &writeEpoch{}
	return &Conn{
		cfg:          &cfg,
		client:       cfg.Client,
		strict:       cfg.Strict,
		proven:       cfg.Strict,
		patient:      cfg.PatientRetransmission,
		ownLimit:     cfg.RecordSizeLimit,
		firstTimeout: cfg.InitialTimeout,
		maxTimeout:   cfg.MaxTimeout,
		cid:          cid,
		lastSeq:      -1,
		write:        []*writeEpoch{plain},
		current:      plain,
		read:         []*readEpoch{{}},
		alertsLeft:   3,
	}, nil
}

// Start begins the handshake: a client's flight can be had from
// AppendHandshake then, a server listens. What came before is lost; the far
// end sends it again.
func (c *Conn) Start(now time.Time) {
	if c.state != stateNew {
		return
	}
	c.state = stateHandshake
	c.hs, c.secrets = &handshake{}, &secrets12{}
	if !c.client {
		c.hs.step = (*Conn).serverClientHello
		return
	}
	c.setDeadline(now)
	if err := c.startClient(now); err != nil {
		c.fail(err)
	}
}

// maxEarly and maxEarlyLen bound what is kept of records that came before
// their time: a flight that overtook the message with the keys, and the first
// of the data.
const (
	maxEarly    = 8
	maxEarlyLen = 2048
)

// MaxRecords is the number of records that an owner should read of one datagram.
// A datagram of a handshake has about ten, a datagram with data seldom more than
// one. An empty record has 13 to 37 bytes, so without a limit a datagram of 64 KB
// has thousands.
const MaxRecords = 64

// ReadRecord takes the first record of datagram b, which it decrypts in
// place. n is its length, at least 1 if b is not empty; data, if any, is
// application data, valid until b is written again or ReadRecord is called.
//
// A record that is malformed, replayed or forged is counted and dropped
// (RFC 6347 §4.1.2.7). Data that overtook the end of the handshake is kept,
// within limits, and comes from a later call.
func (c *Conn) ReadRecord(now time.Time, b []byte) (data []byte, n int) {
	c.newer = false
	if c.state == stateNew || len(b) == 0 {
		return nil, len(b)
	}
	var h recordHeader
	if !h.parse(b, len(c.cid)) {
		c.stats.Malformed++
		return nil, len(b) // where the next one begins is anybody's guess
	}
	if h.hasCID && !bytes.Equal(h.cid(b, len(c.cid)), c.cid) {
		c.stats.Rejected++
		return nil, len(b) // RFC 9147 §4: the rest of the datagram goes with it
	}
	n = h.size + h.length
	data = c.readRecord(now, &h, b[:n:n])
	if data == nil && len(c.early) > 0 {
		newer := c.newer
		data = c.readEarly(now)
		c.newer = newer // of b: where the others came from is forgotten
	}
	return data, n
}

// readRecord handles the record that fills rec.
func (c *Conn) readRecord(now time.Time, h *recordHeader, rec []byte) (data []byte) {
	if c.state >= stateClosed {
		c.repeatAlert(h)
		return nil
	}
	c.expireKeys(now)
	r := c.readEpochOf(h)
	if !c.timely(h, r) {
		c.keepEarly(h, rec)
		return nil
	}
	top := r.window.top
	payload, ok := c.open(r, h, rec)
	if ok && (len(payload) > maxPlaintext || c.tooLong(r, h.length)) {
		// RFC 8446 §5.4, RFC 8449 §4. It is the far end's: it was authenticated.
		c.fail(fatal(AlertRecordOverflow, "record of %d bytes", len(payload)))
		return nil
	}
	if !ok {
		c.stats.Rejected++
		if r.forged >= maxForged {
			c.fail(errForgeries)
		}
		return nil
	}
	if r.kind == noAEAD && !h.mayBePlain() {
		c.mistake(0, fatal(AlertUnexpectedMessage, "record of type %d in plaintext", h.typ))
		return nil
	}
	c.proven = c.proven || r.kind != noAEAD
	c.newer = r.window.top > top && r == c.read[len(c.read)-1]
	c.noteUse(now, r)
	if r.epoch > 3 && r == c.read[len(c.read)-1] {
		c.dropOldKeys()
	}
	switch h.typ {
	case typeApplicationData:
		if c.version == VersionDTLS13 && h.epoch < epochData {
			// RFC 9147 §6.1: the keys of the handshake are for nothing else.
			c.mistake(h.epoch, fatal(AlertUnexpectedMessage, "record of type %d in epoch %d", h.typ, h.epoch))
			return nil
		}
		if c.state == stateEstablished && len(payload) > 0 {
			return payload
		}
	case typeHandshake:
		c.handleFragments(now, *h, payload)
	case typeAlert:
		c.handleAlert(now, h.epoch, payload)
	case typeACK:
		if c.version == VersionDTLS13 {
			c.handleAck(now, h.epoch, payload)
		}
	case typeChangeCipherSpec:
		// The epoch of a record says it all. That keys change only when
		// they are there, and that Finished is in epoch 1, is checked
		// elsewhere, so that this message may be lost or forged.
		if len(payload) != 1 || payload[0] != 1 {
			c.mistake(0, fatal(AlertIllegalParameter, "malformed ChangeCipherSpec"))
		}
	default:
		// RFC 8446 §5 and, for a record without type, §5.4
		c.mistake(h.epoch, fatal(AlertUnexpectedMessage, "record of type %d", h.typ))
	}
	return nil
}

// mayBePlain tells whether a record of its type may be without keys.
func (h *recordHeader) mayBePlain() bool {
	switch h.typ {
	case typeHandshake, typeAlert, typeChangeCipherSpec, typeACK:
		return true
	}
	return false
}

// mistake ends the connection with err for what a record of the given epoch
// holds: under keys, nobody but the far end can have sent it. In plaintext it
// is only counted, unless the Conn is strict.
func (c *Conn) mistake(epoch uint16, err error) {
	c.stats.Malformed++
	if epoch > 0 || c.strict {
		c.fail(err)
	}
}

// timely tells whether a record can be opened now: its keys are there, and
// if it is application data, the far end is who it should be. A record of DTLS
// 1.2 with a connection ID hides what it is: there, data that overtake Finished
// are dropped.
func (c *Conn) timely(h *recordHeader, r *readEpoch) bool {
	if r == nil {
		return false
	}
	return h.unified || h.typ != typeApplicationData || h.epoch == 0 || c.state == stateEstablished
}

// mayCome tells whether the keys for a record may yet come.
func (c *Conn) mayCome(h *recordHeader) bool {
	switch {
	case c.hs == nil:
		return false
	case !h.unified:
		return h.epoch == 1 && c.version != VersionDTLS13
	case c.version == 0:
		return c.client // a client has no keys before it heard of us
	}
	return c.version == VersionDTLS13 && h.epoch >= 2
}

// keepEarly copies a record of a later epoch until its keys are there.
func (c *Conn) keepEarly(h *recordHeader, rec []byte) {
	if !c.mayCome(h) || len(c.early) == maxEarly || len(rec) > maxEarlyLen {
		c.stats.Rejected++
		return
	}
	c.early = append(c.early, slices.Clone(rec))
}

// readEarly goes through the records kept by keepEarly until one has data.
func (c *Conn) readEarly(now time.Time) (data []byte) {
	for i := 0; i < len(c.early) && data == nil; {
		rec := c.early[i]
		var h recordHeader
		ok := h.parse(rec, len(c.cid)) // not if it has a connection ID and none was agreed on
		if ok && !c.timely(&h, c.readEpochOf(&h)) {
			i++
			continue
		}
		c.early = slices.Delete(c.early, i, i+1)
		if ok {
			data = c.readRecord(now, &h, rec)
		}
		i = 0 // the record may have made an earlier one readable
	}
	if len(c.early) == 0 {
		c.early = nil
	}
	return data
}

// handleFragments takes the payload of a handshake record.
func (c *Conn) handleFragments(now time.Time, h recordHeader, payload []byte) {
	kept := true
	for len(payload) > 0 {
		f, rest, ok := parseFragment(payload)
		if !ok {
			c.mistake(h.epoch, errDecode)
			kept = false
			break
		}
		payload = rest
		switch {
		case c.hs == nil && c.version != VersionDTLS13:
			c.handleLateFragment(now, h, f)
		case uint32(f.seq) < c.in.next:
			if c.anotherCookie(h, f) {
				c.verifyAnew(now, f)
			} else if int32(f.seq) == c.lastSeq && f.last() {
				c.repeat(now)
			}
		case h.epoch == 0 && c.readEpoch(epochHandshake) != nil:
			c.mistake(0, fatal(AlertUnexpectedMessage, "handshake message of type %d in plaintext", f.typ))
			kept = false
		case c.strict && c.in.contradicts(f):
			c.mistake(h.epoch, fatal(AlertIllegalParameter, "fragments of message %d contradict each other", f.seq))
			kept = false
		case !c.in.add(h.epoch, f):
			c.stats.Rejected++
			kept = false
		case c.version == VersionDTLS13 && c.hs != nil && c.proven:
			// RFC 9147 §7: a part of the next flight acknowledges all of ours.
			// An ACK of that part makes the far end send the rest.
			c.retransmitAt = time.Time{}
		}
	}
	if kept && c.acknowledges(h) {
		c.noteReceived(h)
	}
	handshaking := c.hs != nil
	c.runSteps(now)
	c.armAck(now, handshaking && c.hs == nil)
}

// runSteps gives the messages that are whole, in order, to the state machine.
func (c *Conn) runSteps(now time.Time) {
	for c.state == stateHandshake || c.state == stateEstablished {
		m, ok := c.in.pop()
		if !ok {
			return
		}
		if c.hs == nil {
			if err := c.afterHandshake13(now, m); err != nil {
				c.fail(err)
			}
			continue
		}
		if c.proven {
			// The remote peer answered, so the local flight arrived. In plaintext
			// the timer runs until the next local flight (RFC 6347 §4.2.4).
			c.retransmitAt = time.Time{}
		}
		if err := c.hs.step(c, now, m); err != nil {
			c.refuse(now, m, err)
		} else if c.state == stateHandshake {
			c.setDeadline(now)
			c.postponeCause(now)
		}
	}
}

// handleLateFragment takes a handshake message after the handshake.
func (c *Conn) handleLateFragment(now time.Time, h recordHeader, f fragment) {
	switch {
	case f.typ == typeFinished && int32(f.seq) == c.lastSeq && f.last():
		// Under keys it is no forgery, and our last flight makes nobody repeat
		// anything: no need for a pause.
		c.repeatLast()
	case f.typ == typeHelloRequest && c.client, f.typ == typeClientHello && !c.client:
		// RFC 5246 §7.2.2: renegotiation is refused.
		c.queueAlert(levelWarning, AlertNoRenegotiation)
	case uint32(f.seq) >= c.in.next && h.epoch > 0:
		c.fail(fatal(AlertUnexpectedMessage, "handshake message of type %d after the handshake", f.typ))
	}
}

// handleAlert takes the payload of an alert record.
func (c *Conn) handleAlert(now time.Time, epoch uint16, payload []byte) {
	if len(payload) != 2 {
		c.mistake(epoch, fatal(AlertDecodeError, "alert of %d bytes", len(payload)))
		return
	}
	level, alert := payload[0], Alert(payload[1])
	if c.strict && level != levelWarning && level != levelFatal {
		c.mistake(epoch, fatal(AlertIllegalParameter, "alert of level %d", level))
		return
	}
	protected := epoch > 0
	switch {
	case alert == AlertUserCanceled || level != levelFatal && alert != AlertCloseNotify && c.version != VersionDTLS13:
		// A warning asks for nothing. DTLS 1.3 has no others than this, and
		// the level says nothing there (RFC 8446 §6).
	case alert == AlertCloseNotify && c.state == stateEstablished:
		// RFC 5246 §7.2.1: answer with a close_notify of our own.
		c.end(stateClosed, ErrPeerClosed, EventClosed)
		c.queueAlert(levelWarning, AlertCloseNotify)
	case protected:
		c.fail(&AlertError{Alert: alert, Remote: true})
	case !c.proven:
		c.suspect(now, &AlertError{Alert: alert, Remote: true})
	case c.strict && c.hs != nil && c.heard():
		c.fail(&AlertError{Alert: alert, Remote: true})
	}
}

// heard tells whether this end has sent something that an alert could answer.
func (c *Conn) heard() bool { return !c.out.sentAt.IsZero() }

// AppendHandshake appends the next datagram of at most limit bytes that DTLS
// itself has to send: flights, acknowledgements, alerts. It is called until
// ok is false.
func (c *Conn) AppendHandshake(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	c.startUpdate()
	c.startCIDs()
	b = dst
	if c.ackPending {
		// First, so that a client hears that its Finished came before it
		// hears what follows from that.
		b = c.appendAck(b, limit)
	}
	b = c.appendFlight(now, b, limit-(len(b)-len(dst)))
	if c.alertPending && limit-(len(b)-len(dst)) >= c.current.overhead()+len(c.alert) {
		start := len(b)
		c.alertPending = false
		b = append(c.current.begin(b), c.alert[:]...)
		b, _ = c.seal(c.current, typeAlert, b, start)
	}
	return b, len(b) > len(dst)
}

// Established tells whether the handshake is finished and the far end's
// certificate checked, so that application data may be sent.
func (c *Conn) Established() bool { return c.state == stateEstablished }

// BeginRecord appends room for the header of an application data record. The
// payload is to be appended then, at most MaxPayload bytes. Before the connection
// is established, and after it ended, nothing is appended.
func (c *Conn) BeginRecord(dst []byte) []byte {
	if c.state != stateEstablished {
		return dst
	}
	return c.current.begin(dst)
}

// FinishRecord seals the record that BeginRecord began at b[start:], in
// place. It returns b[:start] if the connection is not established, or the
// payload is longer than MaxPayload.
func (c *Conn) FinishRecord(b []byte, start int) []byte {
	payload := len(b) - start - c.current.before()
	if c.state != stateEstablished || payload < 0 || payload > c.MaxPayload() {
		return b[:start]
	}
	return c.sealOrFail(c.current, typeApplicationData, b, start)
}

// Overhead is the number of bytes that BeginRecord and FinishRecord add, once
// the connection is established.
func (c *Conn) Overhead() int { return c.current.overhead() }

// Close ends the connection: a close_notify can be had from AppendHandshake.
func (c *Conn) Close(now time.Time) {
	if c.state >= stateClosed {
		return
	}
	began := c.state == stateEstablished || c.state != stateNew && (c.client || c.heard())
	keep := c.out
	c.end(stateClosed, ErrClosed, EventNone)
	if c.version != 0 && (keep.final || c.version == VersionDTLS13) && keep.sending() {
		c.out = keep // without our Finished the far end cannot read the alert
	}
	if began {
		c.queueAlert(levelWarning, AlertCloseNotify)
	}
}

// Abort ends the connection with a fatal alert, for reasons of the owner's,
// which err gives.
func (c *Conn) Abort(a Alert, err error) {
	if c.state != stateNew {
		c.fail(&AlertError{Alert: a, Err: err})
	}
}

var (
	// errExhausted ends a connection of 2^48 records, or of as many under one
	// key as this bears.
	errExhausted = errors.New("dtls: record numbers or keys used up")
	// errForgeries ends a connection whose keys somebody tries to guess.
	errForgeries = errors.New("dtls: too many forged records")
)

// fail ends the connection with an error, and tells the far end if the error
// is one of its making.
func (c *Conn) fail(err error) {
	if c.state >= stateClosed {
		return
	}
	if w := c.writeEpoch(epochHandshake); w != nil && c.state == stateEstablished && c.out.sentAt.IsZero() {
		// Our Finished did not go, and will not: without it, the server cannot
		// read what is under the keys for data.
		c.current = w
	}
	c.end(stateFailed, err, EventFailed)
	var a *AlertError
	if errors.As(err, &a) && !a.Remote {
		c.queueAlert(levelFatal, a.Alert)
	}
}

// establish ends the handshake with success.
func (c *Conn) establish() {
	c.state = stateEstablished
	if c.cfg.DiscardCertificates {
		c.peer = nil
	}
	c.hs, c.cfg = nil, nil
	if c.version == VersionDTLS13 {
		// A client's Finished goes on until it is acknowledged, and a server
		// can acknowledge it again, until the deadline.
		c.secrets = nil
	} else {
		c.stopTimers()
		excess := slices.ContainsFunc(c.in.pending, func(p *partial) bool { return p.epoch > 0 })
		c.in = reassembler{next: c.in.next}
		if excess {
			c.fail(fatal(AlertUnexpectedMessage, "handshake message after the handshake"))
			return
		}
	}
	// Epoch 0 has nothing to tell any more.
	c.read = slices.DeleteFunc(c.read, func(r *readEpoch) bool { return r.kind == noAEAD })
	c.restHandshake()
	c.events = append(c.events, Event{Kind: EventEstablished})
}

// end lets go of all that a connection needs only while it lives.
func (c *Conn) end(s connState, err error, kind EventKind) {
	c.state, c.err = s, err
	c.hs, c.early, c.in, c.out = nil, nil, reassembler{}, flight{}
	c.dropAcks()
	c.stopTimers()
	if kind != EventNone {
		c.events = append(c.events, Event{Kind: kind, Err: err})
	}
}

// queueAlert makes AppendHandshake send an alert, under the newest keys.
func (c *Conn) queueAlert(level byte, a Alert) {
	c.alert = [2]byte{level, byte(a)}
	c.alertPending = true
}

// repeatAlert answers a far end that goes on after it should have heard that
// the connection is over: the alert may be lost. A few times, and never an
// alert with an alert.
func (c *Conn) repeatAlert(h *recordHeader) {
	if c.alert != [2]byte{} && !c.alertPending && (h.typ == typeHandshake || h.unified || h.hasCID) && c.alertsLeft > 0 {
		c.alertsLeft--
		c.alertPending = true
	}
}

func (c *Conn) readEpoch(epoch uint16) *readEpoch {
	for _, r := range c.read {
		if r.epoch == epoch {
			return r
		}
	}
	return nil
}

// readEpochOf returns the keys for a record; nil: none. Of a unified header
// only the low bits of the epoch are known, and the most recent epoch that
// has them is meant (RFC 9147 §4.2.2).
func (c *Conn) readEpochOf(h *recordHeader) *readEpoch {
	for i := len(c.read) - 1; i >= 0; i-- {
		r := c.read[i]
		if h.unified && r.unified && r.epoch&unifiedEpoch == h.epoch ||
			!h.unified && !r.unified && r.epoch == h.epoch {
			return r
		}
	}
	return nil
}

func (c *Conn) writeEpoch(epoch uint16) *writeEpoch {
	for _, w := range c.write {
		if w.epoch == epoch {
			return w
		}
	}
	return nil
}
