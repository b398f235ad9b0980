package stun

import "time"

// RFC 8489 §6.2.1.
const (
	DefaultRTO = 500 * time.Millisecond
	requests   = 7  // Rc: how often a request is sent
	lastWait   = 16 // Rm: the RTOs to wait after the last transmission

	// ReliableTimeout is how long a request over TCP or TLS may take (Ti, RFC 8489
	// §6.2.2).
	ReliableTimeout = 39500 * time.Millisecond
)

// A Retransmission is the schedule of one request over UDP: it is sent at 0, 1, 3, 7,
// 15, 31 and 63 times the RTO and fails 16 RTOs later, which is after 39.5 s with the
// default of 500 ms (RFC 8489 §6.2.1).
type Retransmission struct {
	rto  time.Duration
	wait time.Duration // until the next transmission
	sent int
	next time.Time
}

// Start begins the schedule: the first transmission is due at now. An rto of 0 means
// DefaultRTO.
func (r *Retransmission) Start(now time.Time, rto time.Duration) {
	if rto <= 0 {
		rto = DefaultRTO
	}
	*r = Retransmission{rto: rto, wait: rto, next: now}
}

// StartReliable begins the schedule of a request over a reliable transport: one
// transmission.
func (r *Retransmission) StartReliable(now time.Time) {
	*r = Retransmission{rto: ReliableTimeout / lastWait, sent: requests - 1, next: now}
}

// Active reports whether the schedule runs.
func (r *Retransmission) Active() bool { return r.rto != 0 }

// Stop ends the schedule, when the response has arrived.
func (r *Retransmission) Stop() { *r = Retransmission{} }

// Next returns when Due next reports something; zero: never.
func (r *Retransmission) Next() time.Time { return r.next }

// Sent is the number of transmissions.
func (r *Retransmission) Sent() int { return r.sent }

// Due reports at now whether to send the request, or whether it has failed. It counts
// a transmission.
func (r *Retransmission) Due(now time.Time) (send, failed bool) {
	if !r.Active() || now.Before(r.next) {
		return false, false
	}
	if r.sent >= requests {
		r.Stop()
		return false, true
	}
	r.sent++
	if r.sent == requests {
		r.next = now.Add(lastWait * r.rto)
	} else {
		r.next = now.Add(r.wait)
		r.wait *= 2
	}
	return true, false
}
