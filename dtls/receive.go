package dtls

import (
	"bytes"
	"slices"
	"time"
)

// MaxRecords is the maximum number of records in one datagram that a program should
// handle. A datagram with handshake messages has about ten records. A datagram with
// data rarely has more than one. The shortest record has 13 bytes, so a datagram of 64
// KB could have thousands of them.
const MaxRecords = 64

// HandleRecord handles the first record of the datagram b, which it decrypts in place.
// n is the length of that record. It is at least 1 if b is not empty. data is
// application data; nil: there is none. data is valid until b is changed or
// HandleRecord is called again.
//
// A record that is malformed, replayed or forged is counted and dropped (RFC 6347
// §4.1.2.7). Data can arrive before the last message of the handshake. Such data is
// kept, within limits, and a later call returns it.
func (c *Conn) HandleRecord(now time.Time, b []byte) (data []byte, n int) {
	c.newest = false
	if c.state == stateNew || len(b) == 0 {
		return nil, len(b)
	}
	var h recordHeader
	if !h.parse(b, len(c.agreed.ConnectionID)) {
		c.stats.Malformed++
		return nil, len(b) // it is not known where the next record begins
	}
	if h.hasCID && !bytes.Equal(h.cid(b, len(c.agreed.ConnectionID)), c.agreed.ConnectionID) {
		c.stats.Rejected++
		return nil, len(b) // RFC 9147 §4: the rest of the datagram is discarded, too
	}
	n = h.size + h.length
	data = c.handleRecord(now, &h, b[:n:n])
	if data == nil && len(c.early) > 0 {
		newest := c.newest
		data = c.handleEarly(now)
		c.newest = newest // describes the record in b: the source address of an early record is not known any more
	}
	return data, n
}

// handleRecord handles the record rec with the header h.
func (c *Conn) handleRecord(now time.Time, h *recordHeader, rec []byte) (data []byte) {
	if c.state >= stateClosed {
		// The peer has not received the alert, so it is generated again. RFC 6347
		// §4.2.7 and RFC 9147 §5.10: alerts are not retransmitted as other messages
		// are. An alert is never answered with an alert.
		if h.typ == typeHandshake || h.unified || h.hasCID {
			c.alert.repeat()
		}
		return nil
	}
	if c.state == stateEstablished {
		c.records.expireKeys(now)
	}
	r := c.records.readEpochOf(h)
	if !c.canOpen(h, r) {
		if !c.mayOpenLater(h) || !c.early.keep(rec) {
			c.stats.Rejected++
		}
		return nil
	}
	payload, ok := c.records.open(r, h, rec)
	if ok && (len(payload) > maxPlaintext || c.agreed.tooLong(r, h.length)) {
		// RFC 8446 §5.4 and RFC 8449 §4 require this alert. The record is authentic,
		// so the peer has sent it.
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
	if r.kind == noAEAD && !h.allowsPlaintext() {
		c.violation(0, fatal(AlertUnexpectedMessage, "record of type %d in plaintext", h.typ))
		return nil
	}
	c.authenticated = c.authenticated || r.kind != noAEAD
	c.newest = h.newest
	c.records.noteUse(now, r)
	return c.handlePayload(now, h, payload)
}

// handlePayload handles the decrypted content of a record, according to its type.
func (c *Conn) handlePayload(now time.Time, h *recordHeader, payload []byte) (data []byte) {
	switch h.typ {
	case typeApplicationData:
		if c.agreed.Version == VersionDTLS13 && h.epoch < epochData {
			// RFC 9147 §6.1: the handshake keys protect only the handshake.
			c.violation(h.epoch, fatal(AlertUnexpectedMessage, "record of type %d in epoch %d", h.typ, h.epoch))
		} else if c.state == stateEstablished && len(payload) > 0 {
			return payload
		}
	case typeHandshake:
		c.handleFragments(now, *h, payload)
	case typeAlert:
		c.handleAlert(now, h.epoch, payload)
	case typeACK:
		if c.agreed.Version == VersionDTLS13 {
			c.handleAck(now, h.epoch, payload)
		}
	case typeChangeCipherSpec:
		// The epoch of each record says which keys it uses, and a Finished is accepted
		// only in epoch 1. So a ChangeCipherSpec has no effect, and it does not matter
		// whether it is lost or forged.
		if len(payload) != 1 || payload[0] != 1 {
			c.violation(0, fatal(AlertIllegalParameter, "malformed ChangeCipherSpec"))
		}
	default:
		// RFC 8446 §5: a record of an unknown type is an error. §5.4: so is a record
		// that contains no type.
		c.violation(h.epoch, fatal(AlertUnexpectedMessage, "record of type %d", h.typ))
	}
	return nil
}

// allowsPlaintext reports whether a record of this type may be in plaintext.
func (h *recordHeader) allowsPlaintext() bool {
	switch h.typ {
	case typeHandshake, typeAlert, typeChangeCipherSpec, typeACK:
		return true
	}
	return false
}

// violation handles the error err in a record of the given epoch. It ends the
// connection if the record was encrypted or the Conn is strict. Otherwise it only
// counts the error, because an attacker may have sent the plaintext.
func (c *Conn) violation(epoch uint16, err error) {
	c.stats.Malformed++
	if epoch > 0 || c.strict {
		c.fail(err)
	}
}

// canOpen reports whether a record can be decrypted now. Its keys r must be known and,
// if it contains application data, the peer must be authenticated. In DTLS 1.2 with a
// connection ID, the type of a record is encrypted. So application data that arrives
// before the peer's Finished is dropped in this case.
func (c *Conn) canOpen(h *recordHeader, r *readEpoch) bool {
	if r == nil {
		return false
	}
	return h.unified || h.typ != typeApplicationData || h.epoch == 0 || c.state == stateEstablished
}

// mayOpenLater reports whether the keys for a record may become known later.
func (c *Conn) mayOpenLater(h *recordHeader) bool {
	switch {
	case c.hs == nil:
		return false
	case !h.unified:
		return h.epoch == 1 && c.agreed.Version != VersionDTLS13
	case c.agreed.Version == 0:
		return c.client // a client sends no such record before it has received an answer
	}
	return c.agreed.Version == VersionDTLS13 && h.epoch >= 2
}

// earlyRecords are copies of records that could not be decrypted yet: a flight that
// arrived before the message that determines its keys, and the first application data.
type earlyRecords [][]byte

// Limits of earlyRecords.
const (
	maxEarly    = 8
	maxEarlyLen = 2048
)

// keep stores a copy of rec. It reports whether the limits allowed that.
func (e *earlyRecords) keep(rec []byte) bool {
	if len(*e) == maxEarly || len(rec) > maxEarlyLen {
		return false
	}
	*e = append(*e, slices.Clone(rec))
	return true
}

// handleEarly handles the early records that can be decrypted now, until one of them
// contains application data.
func (c *Conn) handleEarly(now time.Time) (data []byte) {
	for i := 0; i < len(c.early) && data == nil; {
		rec := c.early[i]
		var h recordHeader
		ok := h.parse(rec, len(c.agreed.ConnectionID)) // false if the record has a connection ID, but none was negotiated
		if ok && !c.canOpen(&h, c.records.readEpochOf(&h)) {
			i++
			continue
		}
		c.early = slices.Delete(c.early, i, i+1)
		if ok {
			data = c.handleRecord(now, &h, rec)
		}
		i = 0 // after this record, it may be possible to decrypt an earlier one
	}
	if len(c.early) == 0 {
		c.early = nil
	}
	return data
}

// handleFragments handles the payload of a handshake record, which consists of
// fragments.
func (c *Conn) handleFragments(now time.Time, h recordHeader, payload []byte) {
	kept := true
	for len(payload) > 0 {
		f, rest, ok := parseFragment(payload)
		if !ok {
			c.violation(h.epoch, errDecode)
			kept = false
			break
		}
		payload = rest
		kept = c.handleFragment(now, h, f) && kept
	}
	if kept && c.acknowledges(h) {
		c.acks.add(&h)
	}
	handshaking := c.hs != nil
	c.handleMessages(now)
	if c.agreed.Version == VersionDTLS13 {
		c.acks.arm(now, handshaking && c.hs == nil, c.out.currentTimeout())
	}
}

// handleFragment handles a fragment of a handshake message. It reports whether the
// record with this fragment may be acknowledged.
func (c *Conn) handleFragment(now time.Time, h recordHeader, f fragment) bool {
	switch {
	case c.hs == nil && c.agreed.Version != VersionDTLS13:
		c.handleLateFragment(now, h, f)
	case uint32(f.seq) < c.in.next:
		if c.hs != nil && h.epoch == 0 && c.hs.anotherCookie(f) {
			c.in.skipTo(f.seq + 1)
			c.apply(c.hs.answerCookie(f))
		} else if c.in.endsFlight(f) {
			c.out.repeat(now)
		}
	case h.epoch == 0 && c.records.readEpoch(epochHandshake) != nil:
		c.violation(0, fatal(AlertUnexpectedMessage, "handshake message of type %d in plaintext", f.typ))
		return false
	case c.strict && c.in.contradicts(f):
		c.violation(h.epoch, fatal(AlertIllegalParameter, "fragments of message %d contradict each other", f.seq))
		return false
	case !c.in.add(h.epoch, f):
		c.stats.Rejected++
		return false
	case c.agreed.Version == VersionDTLS13 && c.hs != nil && c.authenticated:
		// RFC 9147 §7: a fragment of the peer's next flight acknowledges the whole
		// local flight. The ACK for this fragment makes the peer send the rest.
		c.out.stopTimer()
	}
	return true
}

// handleMessages handles all complete messages, in order.
func (c *Conn) handleMessages(now time.Time) {
	for c.state == stateHandshake || c.state == stateEstablished {
		m, ok := c.in.pop()
		if !ok {
			return
		}
		c.trace.received(now, m)
		if c.hs == nil {
			if err := c.handlePostHandshake(now, m); err != nil {
				c.fail(err)
			}
			continue
		}
		if c.authenticated {
			// The peer has answered, so the local flight has arrived. In plaintext, an
			// answer proves nothing, and the timer runs until the next local flight
			// (RFC 6347 §4.2.4).
			c.out.stopTimer()
		}
		o, err := c.hs.handle(now, m)
		if err != nil && c.ignores(m, err) {
			c.stats.Malformed++
			c.in.skipTo(m.seq)
			c.suspect(now, err)
			continue
		}
		hs := c.hs
		if c.apply(o, err); c.state == stateHandshake {
			c.setDeadline(now)
			hs.cause.postpone(now)
		}
	}
}

// handleLateFragment handles a fragment that arrives after the handshake of DTLS 1.2
// has finished.
func (c *Conn) handleLateFragment(now time.Time, h recordHeader, f fragment) {
	switch {
	case f.typ == typeFinished && c.in.endsFlight(f):
		// The Finished is authentic. Sending the final flight again does not make any
		// peer repeat its flight. So no pause between repetitions is needed.
		c.out.resend()
	case f.typ == typeHelloRequest && c.client, f.typ == typeClientHello && !c.client:
		// RFC 5246 §7.2.2: renegotiation is refused.
		c.alert.set(levelWarning, AlertNoRenegotiation)
	case uint32(f.seq) >= c.in.next && h.epoch > 0:
		c.fail(fatal(AlertUnexpectedMessage, "handshake message of type %d after the handshake", f.typ))
	}
}

// handleAlert handles the payload of an alert record.
func (c *Conn) handleAlert(now time.Time, epoch uint16, payload []byte) {
	if len(payload) != 2 {
		c.violation(epoch, fatal(AlertDecodeError, "alert of %d bytes", len(payload)))
		return
	}
	level, alert := payload[0], Alert(payload[1])
	c.trace.alert(now, TraceAlertReceived, level, alert)
	if c.strict && level != levelWarning && level != levelFatal {
		c.violation(epoch, fatal(AlertIllegalParameter, "alert of level %d", level))
		return
	}
	err := &AlertError{Alert: alert, Remote: true}
	switch {
	case alert == AlertUserCanceled || level != levelFatal && alert != AlertCloseNotify && c.agreed.Version != VersionDTLS13:
		// A warning has no effect. In DTLS 1.3 the level has no meaning, and
		// user_canceled is the only alert that is a warning (RFC 8446 §6).
	case alert == AlertCloseNotify && c.state == stateEstablished:
		// RFC 5246 §7.2.1: a close_notify is answered with a close_notify.
		c.end(stateClosed, ErrPeerClosed, EventClosed)
		c.alert.set(levelWarning, AlertCloseNotify)
	case epoch > 0:
		c.fail(err)
	case !c.authenticated:
		c.suspect(now, err)
	case c.strict && c.hs != nil && c.out.started():
		c.fail(err)
	}
}

// acknowledges reports whether an ACK may name a record with handshake messages. When
// the server repeats its flight after the client has finished, the client sends its
// own flight again, which says more than an ACK.
func (c *Conn) acknowledges(h recordHeader) bool {
	repeated := c.client && c.hs == nil && h.epoch == epochHandshake
	return c.agreed.Version != VersionDTLS12 && !repeated
}

// handleAck handles the payload of an ACK record.
func (c *Conn) handleAck(now time.Time, epoch uint16, payload []byte) {
	numbers, err := parseAck(epoch, payload)
	if err != nil {
		c.violation(epoch, err)
		return
	}
	if !c.out.acknowledge(now, numbers, epoch > 0 || c.strict) {
		return
	}
	c.out.arrived()
	if c.rekey.updating {
		c.switchWriteKeys()
	} else if c.state == stateEstablished && c.client {
		c.forgetHandshake() // the client's Finished was acknowledged
	}
}
