package dtls

import (
	"slices"
	"time"
)

// A sender transmits the local flights, one at a time, and retransmits them. It owns
// the message numbers, the retransmission timer and the size of datagrams.
type sender struct {
	*flight        // the current one; nil: the peer has all that was sent
	nextSeq uint16 // message_seq of the next message; 0 after the last one
	patient bool   // Config.PatientRetransmission
	acks    bool   // records may be acknowledged: the version is DTLS 1.3

	firstTimeout time.Duration // of a flight, while rtt is not known
	maxTimeout   time.Duration
	rtt          time.Duration // round-trip time; 0: not known

	sizeLimit       int // of datagrams with a flight, in bytes; 0: only the caller's
	arrivedSize     int // of the longest datagram that arrived; 0: none did
	retransmissions uint64
}

// begin starts a flight, which append then sends. The peer has answered the one before.
// final says that nothing answers it. It ends with a handshake message.
func (s *sender) begin(messages []outMessage, final bool) {
	s.arrived()
	if final {
		messages = slices.Clone(messages) // kept as long as the connection, so without spare capacity
	}
	s.flight = &flight{messages: messages, final: final, timeout: s.initialTimeout()}
	s.nextSeq = messages[len(messages)-1].seq + 1
}

// send starts a flight of one message, which takes the next number.
func (s *sender) send(epoch uint16, typ handshakeType, body []byte) {
	s.begin([]outMessage{{content: typeHandshake, epoch: epoch, typ: typ, seq: s.nextSeq, body: body}}, false)
}

// numbersLeft reports whether there is a number for another message: RFC 9147 §5.2
// has none after 2^16.
func (s *sender) numbersLeft() bool { return s.nextSeq != 0 }

// arrived drops the current flight because the peer has all of it.
func (s *sender) arrived() {
	if s.flight != nil {
		s.arrivedSize = max(s.arrivedSize, s.longest)
	}
	s.flight = nil
}

// outstanding reports whether the peer may lack some of the current flight.
func (s *sender) outstanding() bool { return s.flight != nil && len(s.messages) > 0 }

// started reports whether some of the current flight was sent.
func (s *sender) started() bool { return s.flight != nil && !s.sentAt.IsZero() }

// timed reports whether the retransmission timer runs.
func (s *sender) timed() bool { return s.flight != nil && !s.retransmitAt.IsZero() }

// stopTimer stops the retransmission timer: the peer has the current flight, or some
// of it.
func (s *sender) stopTimer() {
	if s.flight != nil {
		s.retransmitAt = time.Time{}
	}
}

// repeat sends the flight again because the peer repeated the end of its own, which it
// would not have done if the local flight had arrived (RFC 6347 §4.2.4). The timer
// continues: it did not run out.
func (s *sender) repeat(now time.Time) {
	if s.flight != nil && now.Sub(s.sentAt) >= repeatPause {
		s.resend()
	}
}

// resend makes the whole flight pending again. It does nothing while some of it is
// pending.
func (s *sender) resend() {
	if s.outstanding() && !s.pending() {
		s.retransmissions++
		s.restart()
	}
}

// append appends the next datagram of the flight, of at most limit bytes: as many
// records, and in them as many messages, as it has room for. recordLimit is the peer's
// limit on the size of records.
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
		s.retransmitAt = now.Add(s.timeout)
	}
	return b, nil
}

// acknowledge handles the record numbers of an ACK. It reports whether the peer has
// the whole flight. It does not believe that of an ACK that is not authentic: then the
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
		// that the peer could not open any record yet.
		s.resend()
	}
	return false
}

// advance runs the retransmission timer.
func (s *sender) advance(now time.Time) {
	if !s.timed() || now.Before(s.retransmitAt) {
		return
	}
	// RFC 6347 §4.2.4.1: double the value at each retransmission.
	s.timeout = min(2*s.timeout, s.maxTimeout)
	s.retransmitAt = time.Time{}
	s.retransmissions++
	s.shorten()
	s.revertUnauthenticated()
	s.restart()
}

// How the datagrams of a flight become shorter: if retransmissions are not answered,
// the datagrams may be too long for the path (RFC 6347 §4.1.1.1, RFC 9147 §4.4).
const (
	// sameSizeTries is how often a flight is sent in datagrams of the size that the
	// caller allows, so that one lost datagram does not shorten them.
	sameSizeTries = 2
	// shortDatagram is the size of datagrams after that. Every host receives it over
	// IPv4 (RFC 791 §3.1: 576 bytes, less the IP and UDP headers). A size between
	// would cost as many timeouts again on a path that does not carry it.
	shortDatagram = 548
)

// shorten limits the size of datagrams after enough timeouts, for this flight and all
// after it, unless all were as short.
func (s *sender) shorten() {
	if s.timeouts++; s.timeouts >= sameSizeTries && s.longest > shortDatagram {
		s.sizeLimit, s.longest = shortDatagram, 0
	}
}

// setRTT changes the round-trip time and scales the timer that runs. It returns the
// timeout of the current flight before and after.
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

// pathLost sends a flight that is not answered again, at once and with its first
// timeout.
func (s *sender) pathLost() {
	if s.timed() {
		s.timeout, s.retransmitAt = s.initialTimeout(), time.Time{}
		s.resend()
	}
}

// initialTimeout is the first timeout of each flight.
//
// RFC 6347 §4.2.4.1 recommends that a timeout that has doubled stays until a flight
// passes without loss. There the round-trip time is a guess. Here it is measured, so
// a flight that is not answered in time was lost.
func (s *sender) initialTimeout() time.Duration {
	if s.rtt <= 0 {
		return s.firstTimeout
	}
	return min(max(2*s.rtt, minRTTTimeout), maxRTTTimeout)
}

// currentTimeout is the timeout of the current flight or, if there is none, of the
// next.
func (s *sender) currentTimeout() time.Duration {
	if s.flight == nil || s.timeout == 0 {
		return s.initialTimeout()
	}
	return s.timeout
}
