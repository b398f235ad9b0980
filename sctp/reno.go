package sctp

import "time"

// reno is the congestion control of RFC 9260 §7.2, with pacing and with proportional rate
// reduction.
type reno struct {
	mtu        int
	cwnd       int
	ssthresh   int
	acc        int // partial_bytes_acked
	recovering bool
	reduction  reduction
	lastSent   instant
	prior      struct{ cwnd, ssthresh int } // before the last reduction
}

func newReno(mtu int) *reno {
	return &reno{mtu: mtu, cwnd: initialWindow * mtu, ssthresh: 1 << 30}
}

func (r *reno) window() int { return r.cwnd }

func (r *reno) setMTU(mtu int) { r.mtu = mtu }

func (r *reno) pacingRate(srtt time.Duration) float64 {
	return windowPacing(r.cwnd, r.cwnd < r.ssthresh, srtt)
}

func (r *reno) sent(now instant, n, inFlight int) {
	if inFlight == n && now-r.lastSent > idleRestart {
		r.cwnd = min(r.cwnd, max(r.cwnd/2, initialWindow*r.mtu))
	}
	r.lastSent = now
	r.reduction.sent(n)
}

func (r *reno) acked(ev ackEvent) {
	if ev.recovering && r.recovering {
		r.cwnd = max(r.reduction.window(&ev, r.ssthresh, r.mtu), r.mtu)
		return
	}
	if r.recovering {
		r.recovering = false
		r.cwnd = r.ssthresh
	}
	if !ev.limited {
		return // RFC 9260 §7.2.1: no growth if the window was not in use
	}
	if r.cwnd < r.ssthresh {
		// Slow start grows the window by the bytes acknowledged, without the limit of
		// one packet for each SACK: a receiver that reads packets in batches sends one
		// SACK for many packets.
		r.cwnd = min(r.cwnd+ev.acked, r.ssthresh)
		return
	}
	// RFC 9260 §7.2.2: the window grows by one packet for each window that is
	// acknowledged.
	r.acc += ev.acked
	if r.acc >= r.cwnd {
		r.acc -= r.cwnd
		r.cwnd += r.mtu
	}
}

func (r *reno) lost(now instant, inFlight int, again bool) {
	if again { // RFC 5681 §4.3: a retransmission was lost, so the window is reduced a second time
		r.cwnd = r.ssthresh
	} else {
		r.prior.cwnd, r.prior.ssthresh = r.cwnd, r.ssthresh
	}
	r.ssthresh = max(r.cwnd/2, minWindow*r.mtu) // RFC 9260 §7.2.3
	r.acc = 0
	r.recovering = true
	r.reduction.begin(inFlight)
}

func (r *reno) timedOut(now instant) {
	if r.cwnd > r.mtu {
		r.prior.cwnd, r.prior.ssthresh = r.cwnd, r.ssthresh
		r.ssthresh = max(r.cwnd/2, minWindow*r.mtu) // RFC 9260 §7.2.3
	}
	r.cwnd = r.mtu
	r.acc = 0
	r.recovering = false
}

func (r *reno) undo() {
	r.cwnd, r.ssthresh = max(r.cwnd, r.prior.cwnd), max(r.ssthresh, r.prior.ssthresh)
	r.recovering = false
}
