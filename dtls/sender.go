package dtls

import (
	"slices"
	"time"
)

// A sender transmits the local flights, one at a time, and retransmits them. It owns
// the message numbers, the retransmission timer and the size limit of datagrams.
type sender struct {
	*flight        // the current flight; nil: the peer has received everything that was sent
	nextSeq uint16 // message_seq of the next message; 0: all numbers are used up, or there was no flight yet
	patient bool   // Config.PatientRetransmission
	acks    bool   // the version is DTLS 1.3, so records may be acknowledged
	held    bool   // no timer runs; see Conn.HoldRetransmission
	begun   int    // how often a flight began or ended

	firstTimeout time.Duration // the first timeout of a flight while rtt is not known
	maxTimeout   time.Duration
	rtt          time.Duration // round-trip time; 0: not known

	sizeLimit       int // maximum size in bytes of datagrams of a flight; 0: only the caller of append limits it
	arrivedSize     int // size in bytes of the longest datagram that has arrived; 0: none is known to have arrived
	retransmissions uint64
}

// begin makes messages the current flight, which append then sends. The peer has
// answered the previous flight. final says that no flight of the peer answers the new
// one. The last of messages is a handshake message.
func (s *sender) begin(messages []outMessage, final bool) {
	s.arrived()
	if final {
		messages = slices.Clone(messages) // these messages are kept as long as the connection lives, so the copy drops unused capacity
	}
	s.flight = &flight{messages: messages, final: final, timeout: s.initialTimeout()}
	s.nextSeq = messages[len(messages)-1].seq + 1
	s.begun++
}

// send makes a single message the current flight. The message gets the next number.
func (s *sender) send(epoch uint16, typ handshakeType, body []byte) {
	s.begin([]outMessage{{content: typeHandshake, epoch: epoch, typ: typ, seq: s.nextSeq, body: body}}, false)
}

// numbersLeft reports whether another message can be sent: RFC 9147 §5.2 has no
// message numbers after 2^16 messages.
func (s *sender) numbersLeft() bool { return s.nextSeq != 0 }

// arrived drops the current flight because the peer has received all of it.
func (s *sender) arrived() {
	if s.flight != nil {
		s.arrivedSize = max(s.arrivedSize, s.longest)
		s.begun++
	}
	s.flight = nil
}

// position returns the index of the message that is sent next.
func (s *sender) position() int {
	if s.flight == nil {
		return 0
	}
	return s.next
}

// outstanding reports whether there is a current flight, of which the peer may not
// have received everything.
func (s *sender) outstanding() bool { return s.flight != nil && len(s.messages) > 0 }

// started reports whether at least one datagram of the current flight was sent.
func (s *sender) started() bool { return s.flight != nil && !s.sentAt.IsZero() }

// timed reports whether the retransmission timer runs.
func (s *sender) timed() bool { return s.flight != nil && !s.retransmitAt.IsZero() }

// stopTimer stops the retransmission timer, because the peer has received at least a
// part of the current flight.
func (s *sender) stopTimer() {
	if s.flight != nil {
		s.retransmitAt, s.answered = time.Time{}, true
	}
}

// hold sets whether the retransmission timer is held. When it runs again, the timeout
// counts from the time when the flight was last sent.
func (s *sender) hold(held bool) {
	if s.held == held {
		return
	}
	s.held = held
	if f := s.flight; f != nil && held {
		f.retransmitAt = time.Time{}
	} else if f != nil && s.started() && !f.final && !f.answered {
		f.retransmitAt = f.sentAt.Add(f.timeout)
	}
}

// repeat sends the flight again after the peer has repeated the end of its own flight.
// The peer would not have repeated it if the local flight had arrived (RFC 6347
// §4.2.4). The timer continues, because it has not run out.
func (s *sender) repeat(now time.Time) {
	if s.flight != nil && now.Sub(s.sentAt) >= repeatPause {
		s.resend()
	}
}

// resend makes the whole flight pending again. It does nothing while a part of the
// flight is still pending.
func (s *sender) resend() {
	if s.outstanding() && !s.pending() {
		s.retransmissions++
		s.restart()
	}
}

// append appends the next datagram of the flight to dst. The datagram has at most
// limit bytes. It contains as many records as fit, and each record contains as many
// messages as fit. recordLimit is the peer's limit on the size of records.
func (s *sender) append(now time.Time, dst []byte, limit int, l *recordLayer, recordLimit uint16) ([]byte, error) {
	b := dst
	if s.sizeLimit > 0 {
		limit = min(limit, s.sizeLimit)
	}
	for s.pending() {
		n := len(b)
		var err error
		if b, err = s.appendRecord(b, limit-(n-len(dst)), l, recordLimit, s.acks); err != nil {
			return b, err
		}
		if len(b) == n {
			break
		}
	}
	if len(b) == len(dst) {
		return b, nil
	}
	s.longest = max(s.longest, len(b)-len(dst))
	s.sentAt = now
	if !s.final {
		s.answered = false
		if !s.held {
			s.retransmitAt = now.Add(s.timeout)
		}
	}
	return b, nil
}

// acknowledge handles the record numbers of an ACK. It reports whether the peer has
// received the whole flight. If the ACK is not authentic, it reports false, and the
// timer continues.
func (s *sender) acknowledge(now time.Time, numbers []byte, authentic bool) (all bool) {
	f := s.flight
	if f == nil {
		return false
	}
	news := false
	for b := numbers; len(b) > 0; b = b[recordNumberLen:] {
		news = f.acknowledge(parseRecordNumber(b)) || news
	}
	f.unauthenticated = f.unauthenticated || news && !authentic
	switch {
	case f.pending():
	case f.acknowledged():
		return authentic
	case s.patient:
	case news, len(numbers) == 0 && now.Sub(f.sentAt) >= repeatPause:
		// RFC 9147 §7.2: the missing parts SHOULD be sent again. An empty ACK says
		// that the peer could not decrypt any record yet.
		s.resend()
	}
	return false
}

// advance handles the retransmission timer if it has run out: it makes the flight
// pending again.
func (s *sender) advance(now time.Time) {
	if !s.timed() || now.Before(s.retransmitAt) {
		return
	}
	// RFC 6347 §4.2.4.1: the timeout doubles at each retransmission.
	s.timeout = min(2*s.timeout, s.maxTimeout)
	s.retransmitAt = time.Time{}
	s.retransmissions++
	s.shorten()
	s.revertUnauthenticated()
	s.restart()
}

// Constants for shorter datagrams. If the peer does not answer retransmissions, the
// datagrams may be too long for the path (RFC 6347 §4.1.1.1, RFC 9147 §4.4).
const (
	// sameSizeTries is how often a flight is sent in datagrams of the size that the
	// caller allows. It is more than one, so that a single lost datagram does not lead
	// to shorter datagrams.
	sameSizeTries = 2
	// shortDatagram is the maximum size of datagrams in bytes after sameSizeTries
	// transmissions. Every host receives such a datagram over IPv4 (RFC 791 §3.1: 576
	// bytes, minus the IP and UDP headers). A step to a size between the caller's and
	// this one would cost two more timeouts on a path that does not carry that size
	// either.
	shortDatagram = 548
)

// shorten limits the size of datagrams to shortDatagram after sameSizeTries timeouts,
// for this flight and all later ones. It does nothing if no datagram of the flight was
// longer than shortDatagram.
func (s *sender) shorten() {
	if s.timeouts++; s.timeouts >= sameSizeTries && s.longest > shortDatagram {
		s.sizeLimit, s.longest = shortDatagram, 0
	}
}

// setRTT sets the round-trip time and scales the running timer. It returns the timeout
// of the current flight before and after this change.
func (s *sender) setRTT(rtt time.Duration) (before, after time.Duration) {
	before, old := s.currentTimeout(), s.initialTimeout()
	s.rtt = rtt
	first := s.initialTimeout()
	after = min(time.Duration(float64(before)*float64(first)/float64(old)), max(s.maxTimeout, first))
	if s.flight != nil {
		s.timeout = after
	}
	if s.timed() {
		s.retransmitAt = s.sentAt.Add(s.timeout)
	}
	return before, after
}

// pathLost sends the flight again immediately, with its first timeout, if the peer has
// not answered it.
func (s *sender) pathLost() {
	if s.timed() {
		s.timeout, s.retransmitAt = s.initialTimeout(), time.Time{}
		s.resend()
	}
}

// initialTimeout is the first timeout of each flight.
//
// RFC 6347 §4.2.4.1 recommends to keep a doubled timeout until a flight arrives
// without loss. That advice is for implementations that can only guess the round-trip
// time. Here the round-trip time is measured, so a flight without an answer was lost,
// and the timeout was not too short.
func (s *sender) initialTimeout() time.Duration {
	if s.rtt <= 0 {
		return s.firstTimeout
	}
	return min(max(2*s.rtt, minRTTTimeout), maxRTTTimeout)
}

// currentTimeout is the timeout of the current flight or, if there is none, of the
// next flight.
func (s *sender) currentTimeout() time.Duration {
	if s.flight == nil || s.timeout == 0 {
		return s.initialTimeout()
	}
	return s.timeout
}
