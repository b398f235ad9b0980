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
	stateClosed // by either end
	stateFailed
)

// A Conn is one end of a DTLS connection: a pure state machine. Its methods must not be
// called at the same time.
type Conn struct {
	client        bool // Config.Client
	strict        bool // Config.Strict
	state         connState
	newest        bool // the last record was authentic and newer than all before it
	authenticated bool // an authentic record was received, or plaintext is trusted
	untimed       bool // there is no deadline; see SetUntimed

	hs     *handshake // nil after it has finished
	agreed agreement
	err    error // why the connection ended

	records recordLayer
	early   earlyRecords // received before they could be opened
	in      reassembler
	acks    ackQueue
	out     sender
	alert   outAlert
	rekey   rekeying

	deadline time.Time // when the handshake fails or, once established, is forgotten; zero: never
	events   []Event
	stats    Stats
}

// NewConn returns a connection that has not started. It fails with ErrNoVerification
// if cfg would accept any peer, and with ErrConfig if it cannot work.
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
	}
	c.hs = newHandshake(&cfg, &c.agreed)
	return c, nil
}

// Start begins the handshake. AppendDatagram then has a client's first flight; a server
// waits for it. Records from before Start are lost, and the peer sends them again.
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

// AppendDatagram appends the next datagram, of at most limit bytes, that DTLS itself has
// to send: flights, acknowledgements, alerts. Call it until ok is false.
func (c *Conn) AppendDatagram(now time.Time, dst []byte, limit int) (b []byte, ok bool) {
	c.sendUpdate()
	c.sendCIDs()
	// The ACK is first, so that a client learns that its Finished has arrived before
	// it gets what follows from that.
	b, err := c.acks.append(dst, limit, &c.records, c.agreed.sizeLimit)
	if err == nil {
		b, err = c.out.append(now, b, limit-(len(b)-len(dst)), &c.records, c.agreed.sizeLimit)
	}
	if err != nil {
		c.fail(err)
	}
	b = c.alert.append(b, limit-(len(b)-len(dst)), &c.records)
	return b, len(b) > len(dst)
}

// Established reports whether the handshake is finished and the peer's certificate
// checked, so that application data can be sent.
func (c *Conn) Established() bool { return c.state == stateEstablished }

// BeginRecord appends room for the header of a record with application data. Append the
// payload to that, at most MaxPayload bytes, and call FinishRecord. Before the
// connection is established, and after its end, it appends nothing.
func (c *Conn) BeginRecord(dst []byte) []byte {
	if c.state != stateEstablished {
		return dst
	}
	return c.records.current.begin(dst)
}

// FinishRecord encrypts, in place, the record that BeginRecord has begun at b[start:].
// It returns b[:start] if the connection is not established or the payload is longer
// than MaxPayload.
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

// Overhead returns how many bytes BeginRecord and FinishRecord add to the payload, once
// the connection is established.
func (c *Conn) Overhead() int { return c.records.current.overhead() }

// MaxPayload returns how many bytes of application data a record can have: 2^14, or
// what the peer's record_size_limit allows (RFC 8449).
func (c *Conn) MaxPayload() int { return c.records.current.maxPayload(c.agreed.sizeLimit) }

// PeerRecordSizeLimit returns the size in bytes, in plaintext, of the longest record
// that the peer says it accepts (RFC 8449 §4); 0: it has not said any. A server says so
// only to a client with a RecordSizeLimit.
func (c *Conn) PeerRecordSizeLimit() int { return int(c.agreed.sizeLimit) }

// length of the longest handshake datagram that the peer is known to have received; 0:
// none. The path may not carry longer ones
func (c *Conn) PathSize() int { return c.out.arrivedSize }

// Newest reports whether the record that HandleRecord was called with last was
// authentic and newer than all before it, whatever data it returned. Only the source
// of such a record may become the peer's address, and only if the peer is known to
// receive at that address (RFC 9146 §6).
func (c *Conn) Newest() bool { return c.newest }

// Release drops the key schedules, which are most of the memory of an established
// connection. The next record that needs one builds it again, in less than a
// microsecond. It is for programs with many connections that are mostly idle.
func (c *Conn) Release() { c.records.release() }

// Close ends the connection. AppendDatagram then has a close_notify alert.
func (c *Conn) Close(now time.Time) {
	if c.state >= stateClosed {
		return
	}
	began := c.state == stateEstablished || c.state != stateNew && (c.client || c.out.started())
	last := c.out.flight
	c.end(stateClosed, ErrClosed, EventNone)
	if c.agreed.Version != 0 && last.pending() && (last.final || c.agreed.Version == VersionDTLS13) {
		c.out.flight = last // without the local Finished the peer cannot read the alert
	}
	if began {
		c.alert.set(levelWarning, AlertCloseNotify)
	}
}

// Abort ends the connection with a fatal alert. err is the reason, which Err returns.
func (c *Conn) Abort(a Alert, err error) {
	if c.state != stateNew {
		c.fail(&AlertError{Alert: a, Err: err})
	}
}

// apply does what a step of the handshake has returned.
func (c *Conn) apply(o outcome, err error) {
	switch c.agreed.Version {
	case VersionDTLS12:
		c.records.version = VersionDTLS12
		c.acks = ackQueue{}
	case VersionDTLS13:
		c.records.version = VersionDTLS12 // RFC 9147 §4: legacy_record_version
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

// sendFlight replaces the local flight, which the peer has answered.
func (c *Conn) sendFlight(o *outcome) {
	if len(o.flight) == 0 {
		if o.done {
			c.out.arrived()
		}
		return
	}
	if !o.done || c.client { // a server's tickets do not answer the client's Finished
		c.acks = ackQueue{} // the flight acknowledges what was received
		if !c.strict {
			c.in.dropPlaintext() // the peer sends no answer before it has the flight
		}
	}
	c.out.begin(o.flight, o.final)
	c.in.endFlight()
}

// establish ends the handshake with success.
func (c *Conn) establish() {
	c.state = stateEstablished
	if c.hs.cfg.DiscardCertificates {
		c.agreed.PeerCertificates = nil
	}
	c.hs = nil
	if c.agreed.Version == VersionDTLS13 {
		// Until the deadline, a client sends its Finished again until that is
		// acknowledged, and a server can acknowledge it again.
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

// forgetHandshake drops the keys of the handshake of DTLS 1.3, and a Finished that is
// not acknowledged: the peer has it, or will never get it.
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

// fail ends the connection with an error. It tells the peer if err is a local
// *AlertError.
func (c *Conn) fail(err error) {
	if c.state >= stateClosed {
		return
	}
	if w := c.records.writeEpoch(epochHandshake); w != nil && c.state == stateEstablished && !c.out.started() {
		// The client has not sent its Finished, and will not. Without it the server
		// cannot read records of the data epoch, so the alert is sent with the
		// handshake keys.
		c.records.current = w
	}
	c.end(stateFailed, err, EventFailed)
	var a *AlertError
	if errors.As(err, &a) && !a.Remote {
		c.alert.set(levelFatal, a.Alert)
	}
}

// end drops all that a connection needs only while it lives.
func (c *Conn) end(s connState, err error, kind EventKind) {
	c.state, c.err = s, err
	c.hs, c.early, c.in, c.acks, c.out.flight = nil, nil, reassembler{}, ackQueue{}, nil
	c.stopTimers()
	if kind != EventNone {
		c.events = append(c.events, Event{Kind: kind, Err: err})
	}
}

// stopTimers stops the timers of the handshake.
func (c *Conn) stopTimers() {
	c.out.stopTimer()
	c.deadline = time.Time{}
}
