package dtls

import (
	"errors"
	"fmt"
	"time"
)

// A connState is the state of a Conn.
type connState uint8

const (
	stateNew connState = iota
	stateHandshake
	stateEstablished
	stateClosed // closed by either end
	stateFailed
)

// A Conn is one end of a DTLS connection. It is a pure state machine. Two of its
// methods must not be called at the same time.
type Conn struct {
	client        bool // Config.Client
	strict        bool // Config.Strict
	state         connState
	newest        bool // the record that was handled most recently was authentic and newer than all earlier ones
	authenticated bool // an authentic record was received, or Config.Strict trusts plaintext
	untimed       bool // the handshake has no deadline now; see SetUntimed

	hs     *handshake // nil after the handshake has finished
	agreed agreement
	err    error // why the connection has ended

	records recordLayer
	early   earlyRecords // records that were received before they could be decrypted
	in      reassembler
	acks    ackQueue
	out     sender
	alert   outAlert
	rekey   rekeying
	trace   tracer

	deadline time.Time // when the handshake fails or, after it has finished, when its keys are dropped; zero: never
	events   []Event
	stats    Stats
}

// NewConn returns a connection that has not started. It returns ErrNoVerification if
// cfg would accept any peer, and an error that wraps ErrConfig if cfg is not valid.
func NewConn(cfg Config) (*Conn, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	if cfg.MinVersion.newer(cfg.MaxVersion) {
		return nil, fmt.Errorf("%w: no cipher suite for an enabled version", ErrConfig)
	}
	cid, err := cfg.connectionID()
	if err != nil {
		return nil, err
	}
	c := &Conn{
		client:        cfg.Client,
		strict:        cfg.Strict,
		authenticated: cfg.Strict,
		agreed:        agreement{ownLimit: cfg.RecordSizeLimit, ConnectionState: ConnectionState{ConnectionID: cid}},
		records:       newRecordLayer(cfg.Client),
		out:           sender{firstTimeout: cfg.InitialTimeout, maxTimeout: cfg.MaxTimeout, patient: cfg.PatientRetransmission},
		trace:         tracer{cfg.Trace},
	}
	c.hs = newHandshake(&cfg, &c.agreed)
	return c, nil
}

// Start begins the handshake. After that, a client's first flight can be fetched with
// AppendDatagram, and a server waits for it. Records that arrive before Start are
// lost, and the peer sends them again.
func (c *Conn) Start(now time.Time) {
	if c.state != stateNew {
		return
	}
	c.state = stateHandshake
	if c.client {
		c.setDeadline(now)
	}
	c.apply(c.hs.start(now))
}

// AppendDatagram appends to dst the next datagram that DTLS itself has to send:
// flights, acknowledgements and alerts. The datagram has at most limit bytes. Call it
// repeatedly until ok is false.
func (c *Conn) AppendDatagram(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	c.sendUpdate()
	c.sendCIDs()
	// The ACK is sent first, so that a client learns that its Finished has arrived
	// before it receives anything that the server sends because of that Finished.
	b, err := c.acks.append(dst, limit, &c.records, c.agreed.sizeLimit)
	if err == nil {
		first, size := c.out.position(), len(b)
		b, err = c.out.append(now, b, limit-(len(b)-len(dst)), &c.records, c.agreed.sizeLimit)
		if len(b) > size {
			c.trace.sent(now, c.out.flight, first, len(b)-size)
		}
	}
	if err != nil {
		c.fail(err)
	}
	pending := c.alert.pending
	b = c.alert.append(b, limit-(len(b)-len(dst)), &c.records)
	if pending && !c.alert.pending {
		c.trace.alert(now, TraceAlertSent, c.alert.level, c.alert.alert)
	}
	return b, len(b) > len(dst)
}

// Established reports whether the handshake has finished and the peer's certificate
// was checked. Application data can then be sent.
func (c *Conn) Established() bool { return c.state == stateEstablished }

// BeginRecord appends room for the header of a record with application data. After
// that, append the payload, of at most MaxPayload bytes, and call FinishRecord. If the
// connection is not established, or has ended, BeginRecord appends nothing.
func (c *Conn) BeginRecord(dst []byte) []byte {
	if c.state != stateEstablished {
		return dst
	}
	return c.records.current.begin(dst)
}

// FinishRecord encrypts, in place, the record that starts at b[start:], after
// BeginRecord has appended its header. It returns b[:start] if the connection is not
// established or the payload is longer than MaxPayload.
func (c *Conn) FinishRecord(b []byte, start int) []byte {
	payload := len(b) - start - c.records.current.headerLen()
	if c.state != stateEstablished || payload < 0 || payload > c.MaxPayload() {
		return b[:start]
	}
	b, err := c.records.seal(c.records.current, typeApplicationData, b, start)
	if err != nil {
		c.fail(err)
	}
	return b
}

// Overhead returns how many bytes BeginRecord and FinishRecord together add to the
// payload of a record, once the connection is established.
func (c *Conn) Overhead() int { return c.records.current.overhead() }

// MaxPayload returns the maximum number of bytes of application data in a record:
// 2^14, or less if the peer's record_size_limit requires that (RFC 8449).
func (c *Conn) MaxPayload() int { return c.records.current.maxPayload(c.agreed.sizeLimit) }

// PeerRecordSizeLimit returns the size in bytes of the longest record, before
// encryption, that the peer accepts (RFC 8449 §4); 0: the peer has not sent a limit.
// A server sends its limit only to a client with a RecordSizeLimit.
func (c *Conn) PeerRecordSizeLimit() int { return int(c.agreed.sizeLimit) }

// PathSize returns the size in bytes of the longest handshake datagram that the peer
// is known to have received; 0: none is known. It is possible that the path does not
// carry longer datagrams.
func (c *Conn) PathSize() int { return c.out.arrivedSize }

// Newest reports whether the record in the most recent call of HandleRecord was
// authentic and newer than all earlier records, no matter whether it contained data.
// Only the source address of such a record may become the peer's address, and only if
// it is known that the peer receives at this address (RFC 9146 §6).
func (c *Conn) Newest() bool { return c.newest }

// Release drops the key schedules, which take most of the memory of an established
// connection. When a record needs a key schedule, it is built again, in less than a
// microsecond. Release is for programs with many connections that are idle most of the
// time.
func (c *Conn) Release() { c.records.release() }

// Close ends the connection. After that, AppendDatagram returns a close_notify alert.
func (c *Conn) Close(now time.Time) {
	if c.state >= stateClosed {
		return
	}
	began := c.state == stateEstablished || c.state != stateNew && (c.client || c.out.started())
	last := c.out.flight
	c.end(stateClosed, ErrClosed, EventNone)
	if c.agreed.Version != 0 && last.pending() && (last.final || c.agreed.Version == VersionDTLS13) {
		c.out.flight = last // the peer cannot decrypt the alert without the local Finished
	}
	if began {
		c.alert.set(levelWarning, AlertCloseNotify)
	}
}

// Abort ends the connection with a fatal alert. err is the reason, which Err returns
// in an AlertError.
func (c *Conn) Abort(a Alert, err error) {
	if c.state != stateNew {
		c.fail(&AlertError{Alert: a, Err: err})
	}
}

// apply does what the outcome of a handshake step asks for.
func (c *Conn) apply(o outcome, err error) {
	switch c.agreed.Version {
	case VersionDTLS12:
		c.records.version = VersionDTLS12
		c.acks = ackQueue{}
	case VersionDTLS13:
		c.records.version = VersionDTLS12 // RFC 9147 §4: the value of legacy_record_version
		c.out.acks = true
	}
	if err != nil {
		c.fail(err)
		return
	}
	if o.dropPlaintext {
		if c.strict && c.in.started() {
			c.fail(fatal(AlertUnexpectedMessage, "handshake message in plaintext"))
			return
		}
		c.in.dropPlaintext()
	}
	if o.rejectPlaintext {
		c.records.rejectPlaintext()
	}
	for _, r := range o.read {
		c.records.addRead(r)
	}
	for _, w := range o.write {
		c.records.addWrite(w)
	}
	c.sendFlight(&o)
	if o.session != nil {
		c.addSession(o.session)
	}
	if o.done {
		c.establish()
	}
}

// sendFlight begins the next local flight, if o has one. The peer has answered the
// previous one.
func (c *Conn) sendFlight(o *outcome) {
	if len(o.flight) == 0 {
		if o.done {
			c.out.arrived()
		}
		return
	}
	if !o.done || c.client { // a server's flight with tickets does not answer the client's Finished
		c.acks = ackQueue{} // the new flight implicitly acknowledges what was received
		if !c.strict {
			c.in.dropPlaintext() // the peer's answer cannot have arrived before the new flight is sent
		}
	}
	c.out.begin(o.flight, o.final)
	c.in.endFlight()
}

// establish changes the state to established, at the end of a successful handshake.
func (c *Conn) establish() {
	c.state = stateEstablished
	if c.hs.cfg.DiscardCertificates {
		c.agreed.PeerCertificates = nil
	}
	c.hs = nil
	if c.agreed.Version == VersionDTLS13 {
		// Until the deadline, a client repeats its Finished until it is acknowledged,
		// and a server can repeat its ACK.
		if !c.client {
			c.records.keepCurrent()
		}
	} else {
		c.stopTimers()
		if c.in.finish() {
			c.fail(fatal(AlertUnexpectedMessage, "handshake message after the handshake"))
			return
		}
	}
	c.records.rejectPlaintext()
	c.records.releaseHandshake()
	c.events = append(c.events, Event{Kind: EventEstablished})
}

// forgetHandshake drops the keys of a DTLS 1.3 handshake. It also drops a Finished
// that is not acknowledged: either the peer has received it, or the peer will never
// receive it.
func (c *Conn) forgetHandshake() {
	c.deadline = time.Time{}
	c.records.dropHandshakeKeys()
	if !c.rekey.updating {
		c.out.flight = nil
		c.records.keepCurrent()
	}
	if c.acks.state == ackNone {
		c.acks.numbers = nil
	}
}

// fail ends the connection with an error. If err is an *AlertError of this end, the
// alert is sent to the peer.
func (c *Conn) fail(err error) {
	if c.state >= stateClosed {
		return
	}
	if w := c.records.writeEpoch(epochHandshake); w != nil && c.state == stateEstablished && !c.out.started() {
		// The client has not sent its Finished, and will not send it. Without the
		// Finished, the server cannot decrypt records of the data epoch. So the alert
		// is sent with the handshake keys.
		c.records.current = w
	}
	c.end(stateFailed, err, EventFailed)
	var a *AlertError
	if errors.As(err, &a) && !a.Remote {
		c.alert.set(levelFatal, a.Alert)
	}
}

// end drops everything that a connection does not need after its end.
func (c *Conn) end(s connState, err error, kind EventKind) {
	c.state, c.err = s, err
	c.hs, c.early, c.in, c.acks, c.out.flight = nil, nil, reassembler{}, ackQueue{}, nil
	c.stopTimers()
	if kind != EventNone {
		c.events = append(c.events, Event{Kind: kind, Err: err})
	}
}

// stopTimers stops the retransmission timer and removes the deadline.
func (c *Conn) stopTimers() {
	c.out.stopTimer()
	c.deadline = time.Time{}
}
