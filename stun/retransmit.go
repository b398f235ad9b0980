package stun

import "time"

// Constants of RFC 8489 §6.2.1.
const (
	DefaultRTO = 500 * time.Millisecond
	requests   = 7  // Rc: how often a request is sent, at most
	lastWait   = 16 // Rm: the time to wait after the last transmission, as a multiple of the RTO

	// ReliableTimeout is how long the response to a request over TCP or TLS may take
	// (Ti in RFC 8489 §6.2.2).
	ReliableTimeout = 39500 * time.Millisecond
)

// A Retransmission computes when one request over UDP is sent. Transmissions are due
// at 0, 1, 3, 7, 15, 31 and 63 times the RTO after the start. The request fails 16
// RTOs after the last one, which is 39.5 s after the start with the default RTO of 500
// ms (RFC 8489 §6.2.1).
type Retransmission struct {
	rto  time.Duration
	wait time.Duration // time between the most recent transmission and the next one
	sent int
	next time.Time
}

// Start begins the schedule. The first transmission is due at the time now. If rto is
// 0, DefaultRTO is used.
func (r *Retransmission) Start(now time.Time, rto time.Duration) {
	if rto <= 0 {
		rto = DefaultRTO
	}
	*r = Retransmission{rto: rto, wait: rto, next: now}
}

// StartReliable begins the schedule of a request over a reliable transport, which is
// sent only once.
func (r *Retransmission) StartReliable(now time.Time) {
	*r = Retransmission{rto: ReliableTimeout / lastWait, sent: requests - 1, next: now}
}

// Active reports whether the schedule runs.
func (r *Retransmission) Active() bool { return r.rto != 0 }

// Stop ends the schedule. It is called when the response has arrived.
func (r *Retransmission) Stop() { *r = Retransmission{} }

// Next returns the time at which Due has to be called next; zero: never.
func (r *Retransmission) Next() time.Time { return r.next }

// Sent returns the number of transmissions so far.
func (r *Retransmission) Sent() int { return r.sent }

// Due reports whether the request has to be sent at the time now, or whether it has
// failed. If send is true, the transmission is counted.
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
