package sctp

import "time"

// A congestionController decides how much may be in flight. It hears of what
// happens and is asked for the window; loss detection is not its business.
type congestionController interface {
	// window is cwnd in bytes of payload.
	window() int
	// sent tells that n bytes were sent, after which inFlight are.
	sent(now time.Time, n, inFlight int)
	// acked tells of an acknowledgement.
	acked(ev ackEvent)
	// lost tells that loss was found, once in each window of data.
	lost(now time.Time, inFlight int)
	// timedOut tells that the retransmission timer ran out.
	timedOut(now time.Time)
	// setMTU tells the size of packets.
	setMTU(mtu int)
}

// An ackEvent is what an acknowledgement means to congestion control.
type ackEvent struct {
	now         time.Time
	bytes       int  // newly acknowledged
	inFlight    int  // before
	cumAdvanced bool // the cumulative TSN moved
	recovering  bool // in fast recovery
}

// reno is the congestion control of RFC 9260 §7.2.
type reno struct {
	mtu      int
	cwnd     int
	ssthresh int
	acc      int // partial_bytes_acked
	lastSent time.Time
}

// initialWindow is ten packets, as RFC 6928 has it for TCP and every current
// peer for SCTP; RFC 9260 §7.2.1 has about three.
const initialWindow = 10

func newReno(mtu int) *reno {
	return &reno{mtu: mtu, cwnd: initialWindow * mtu, ssthresh: 1 << 30}
}

func (r *reno) window() int { return r.cwnd }

func (r *reno) setMTU(mtu int) { r.mtu = mtu }

// idleRestart is how long an idle path keeps its window. RFC 9260 §7.2.1
// would halve it every RTO; a program that sends a burst each second would
// never get beyond the initial one.
const idleRestart = 10 * time.Second

func (r *reno) sent(now time.Time, n, inFlight int) {
	if inFlight == n && !r.lastSent.IsZero() && now.Sub(r.lastSent) > idleRestart {
		r.cwnd = min(r.cwnd, max(r.cwnd/2, initialWindow*r.mtu))
	}
	r.lastSent = now
}

func (r *reno) acked(ev ackEvent) {
	// RFC 9260 §7.2.1: no growth in fast recovery, without an advance of the
	// cumulative TSN, or where the window was not in use.
	if !ev.cumAdvanced || ev.recovering || ev.inFlight+r.mtu < r.cwnd {
		return
	}
	if r.cwnd <= r.ssthresh {
		// Slow start by bytes acknowledged, without the limit L of one packet
		// a SACK: a receiver that takes packets in batches sends one for many.
		r.cwnd += ev.bytes
		return
	}
	// RFC 9260 §7.2.2: a packet a window.
	r.acc += ev.bytes
	if r.acc >= r.cwnd {
		r.acc -= r.cwnd
		r.cwnd += r.mtu
	}
}

func (r *reno) lost(now time.Time, inFlight int) {
	r.ssthresh = max(r.cwnd/2, 4*r.mtu) // RFC 9260 §7.2.3
	r.cwnd = r.ssthresh
	r.acc = 0
}

func (r *reno) timedOut(now time.Time) {
	r.ssthresh = max(r.cwnd/2, 4*r.mtu) // RFC 9260 §7.2.3
	r.cwnd = r.mtu
	r.acc = 0
}
