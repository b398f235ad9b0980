package sctp

import "time"

const (
	// rtoInitial is RTO.Initial of RFC 9260 §16, used until a round trip is measured.
	rtoInitial = time.Second

	// rtoMin is RTO.Min. It must exceed the delay of a SACK, up to 200 ms (RFC 9260
	// §6.2), or else T3-rtx would expire for each single packet. The value of one
	// second in RFC 9260 §16 dates from coarse clocks.
	rtoMin = 300 * time.Millisecond

	// rtoMinHandshake is RTO.Min for INIT and COOKIE ECHO, which are answered without
	// delay.
	rtoMinHandshake = 100 * time.Millisecond

	// rtoMax is RTO.Max. With the 60 s of RFC 9260 §16, a path would stay unused for
	// up to a minute after an outage. Below SCTP, ICE sends consent checks more often
	// than once a second, and ends a dead path (RFC 7675). So a packet a second does
	// no harm, and a path that works again is used within a second. In return, the
	// limits of retransmissions are higher, so that an association ends as late as
	// with the RFC's values.
	rtoMax = time.Second

	// maxRetransmissions is Association.Max.Retrans. It is 10 in RFC 9260 §16, which
	// takes about five minutes. Here 300 retransmissions take as long.
	maxRetransmissions = 300

	// maxInitRetransmissions is Max.Init.Retransmits, 8 in RFC 9260 §16.
	maxInitRetransmissions = 90
)

// An rtoEstimator computes the retransmission timeout (RFC 9260 §6.3.1, which
// is RFC 6298).
type rtoEstimator struct {
	srtt, rttvar time.Duration
	measured     bool  // SCTP has measured srtt itself
	backoff      uint8 // consecutive timeouts
}

// reset discards the estimate, for a path of which nothing is known.
func (e *rtoEstimator) reset() { *e = rtoEstimator{} }

// forget lets seed replace the measured round-trip time.
func (e *rtoEstimator) forget() { e.measured = false }

// seed takes a round-trip time that a lower layer has measured.
func (e *rtoEstimator) seed(rtt time.Duration) {
	if !e.measured && rtt > 0 {
		e.srtt, e.rttvar = rtt, rtt/2
	}
}

// sample takes a measured round-trip time.
func (e *rtoEstimator) sample(rtt time.Duration) {
	rtt = max(rtt, time.Microsecond)
	if !e.measured {
		e.srtt, e.rttvar, e.measured = rtt, rtt/2, true
		return
	}
	e.rttvar += ((e.srtt - rtt).Abs() - e.rttvar) / 4
	e.srtt += (rtt - e.srtt) / 8
}

// timeout returns the RTO, which is at least floor.
func (e *rtoEstimator) timeout(floor time.Duration) time.Duration {
	d := rtoInitial
	if e.srtt > 0 {
		d = max(e.srtt+4*e.rttvar, floor)
	}
	// RFC 9260 §6.3.3 E2: the timeout doubles with each expiry.
	return min(d<<min(e.backoff, 8), max(rtoMax, d))
}

// expired notes a timeout.
func (e *rtoEstimator) expired() {
	if e.backoff < 8 {
		e.backoff++
	}
}

// progress notes an acknowledgement of new data. RFC 6298 §5.7 keeps the backed-off value
// until the next measurement, which such an acknowledgement makes possible.
func (e *rtoEstimator) progress() { e.backoff = 0 }
