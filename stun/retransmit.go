package stun

import "time"

// RFC 8489 §6.2.1.
const (
	DefaultRTO = 500 * time.Millisecond
	requests   = 7  // Rc: how often a request is sent
	lastWait   = 16 // Rm: how many RTOs the last one is waited for

	// ReliableTimeout is how long a request over TCP or TLS is waited for
	// (Ti, RFC 8489 §6.2.2).
	ReliableTimeout = 39500 * time.Millisecond
)

// A Retransmission is the schedule of one request over UDP: it is sent at 0,
// 1, 3, 7, 15, 31 and 63 times the RTO and given up 16 RTOs later, which
// with the usual 500 ms is after 39.5 s (RFC 8489 §6.2.1).
type Retransmission struct {
	rto  time.Duration
	wait time.Duration // of the next sending
	sent int
	next time.Time
}

// Start begins the schedule: the first sending is due at now. An rto of 0
// stands for DefaultRTO.
func (r *Retransmission) Start(now time.Time, rto time.Duration) {
	if rto <= 0 {
		rto = DefaultRTO
	}
	*r = Retransmission{rto: rto, wait: rto, next: now}
}

// StartReliable begins the schedule of a request over a reliable transport:
// it is sent once.
func (r *Retransmission) StartReliable(now time.Time) {
	*r = Retransmission{rto: ReliableTimeout / lastWait, sent: requests - 1, next: now}
}

// Active tells whether the schedule runs.
func (r *Retransmission) Active() bool { return r.rto != 0 }

// Stop ends the schedule: the answer came.
func (r *Retransmission) Stop() { *r = Retransmission{} }

// Next is when Due has something to say; zero if the schedule does not run.
func (r *Retransmission) Next() time.Time { return r.next }

// Sent is how often the request was sent.
func (r *Retransmission) Sent() int { return r.sent }

// Due tells what to do at now: send the request, or give it up, or neither.
// It counts a request to be sent as sent.
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
