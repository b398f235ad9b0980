package sctp

import "time"

const (
	// rtoInitial is RFC 9260 §16's RTO.Initial, for when nothing was measured.
	rtoInitial = time.Second

	// rtoMin must be above the delay that a receiver may put before a SACK,
	// 200 ms (RFC 9260 §6.2), or its timer fires for every lone packet. The
	// second of RFC 9260 §16 dates from coarse clocks.
	rtoMin = 300 * time.Millisecond

	// rtoMinHandshake: INIT and COOKIE ECHO are answered without delay.
	rtoMinHandshake = 100 * time.Millisecond

	// rtoMax bounds the timer's backing off. RFC 9260 §16 has 60 s, which
	// after an outage leaves the path unused for as long again. Below DTLS and
	// ICE, whose consent checks are more frequent and end a dead path
	// (RFC 7675), a packet every second does no harm, and a path that comes
	// back is in use again within that. To be as patient as the RFC all the
	// same, the limits on retransmissions are raised.
	rtoMax = time.Second

	// maxRetransmissions replaces Association.Max.Retrans (RFC 9260 §16: 10,
	// with RTO.Max about five minutes).
	maxRetransmissions = 300

	// maxInitRetransmissions replaces Max.Init.Retransmits (8).
	maxInitRetransmissions = 90
)

// An rtoEstimator computes the retransmission timeout (RFC 9260 §6.3.1, which
// is RFC 6298).
type rtoEstimator struct {
	srtt, rttvar time.Duration
	measured     bool // by SCTP itself
	backoff      uint8
}

// seed takes a round-trip time measured below.
func (e *rtoEstimator) seed(rtt time.Duration) {
	if !e.measured && rtt > 0 {
		e.srtt, e.rttvar = rtt, rtt/2
	}
}

// sample takes a measurement.
func (e *rtoEstimator) sample(rtt time.Duration) {
	rtt = max(rtt, time.Microsecond)
	if !e.measured {
		e.srtt, e.rttvar, e.measured = rtt, rtt/2, true
		return
	}
	e.rttvar += ((e.srtt - rtt).Abs() - e.rttvar) / 4
	e.srtt += (rtt - e.srtt) / 8
}

// timeout is the present RTO, not below floor.
func (e *rtoEstimator) timeout(floor time.Duration) time.Duration {
	d := rtoInitial
	if e.srtt > 0 {
		d = max(e.srtt+4*e.rttvar, floor)
	}
	// RFC 9260 §6.3.3 E2: double it for each time it ran out.
	return min(d<<min(e.backoff, 8), max(rtoMax, d))
}

// expired notes that the timer ran out.
func (e *rtoEstimator) expired() {
	if e.backoff < 8 {
		e.backoff++
	}
}

// progress notes that the path works: RFC 6298 §5.7 leaves the backed-off
// value until the next measurement, and an acknowledgement of new data is
// what makes the next measurement possible.
func (e *rtoEstimator) progress() { e.backoff = 0 }
