package sctp

import "time"

// A CongestionControl is an algorithm that decides how much may be in flight,
// and how fast it is sent.
type CongestionControl uint8

const (
	// CongestionBBR is in the manner of BBR version 3: it sends at the rate
	// at which the path delivers, as measured, and keeps the queue at the
	// bottleneck short. It is the default, since it alone keeps its speed where
	// packets are lost by chance, as they are on radio links, and lets small
	// messages pass quickly beside large ones.
	CongestionBBR CongestionControl = iota

	// CongestionCubic is CUBIC (RFC 9438) with HyStart++ (RFC 9406), which is
	// what most of the internet does: every loss is a full queue.
	CongestionCubic

	// CongestionReno is what RFC 9260 §7.2 has.
	CongestionReno
)

// String gives the usual name.
func (c CongestionControl) String() string {
	switch c {
	case CongestionBBR:
		return "bbr"
	case CongestionCubic:
		return "cubic"
	case CongestionReno:
		return "reno"
	}
	return "invalid"
}

// newController returns the controller of an association at its beginning.
func (c CongestionControl) newController(mtu int, seed uint32) congestionController {
	switch c {
	case CongestionCubic:
		return newCubic(mtu)
	case CongestionReno:
		return newReno(mtu)
	}
	return newBBR(mtu, seed)
}

// A congestionController decides how much may be in flight, and at which rate
// it is sent. It hears of what happens; loss detection is not its business.
// Times are nanoseconds of the association's clock.
type congestionController interface {
	// window is cwnd in bytes of payload.
	window() int
	// pacingRate is in bytes a second; 0: not paced.
	pacingRate(srtt time.Duration) float64
	// sent tells that n bytes were sent, after which inFlight are.
	sent(now int64, n, inFlight int)
	// lost tells that recovery begins: loss was found, with so much in flight.
	// again: in recovery, what was sent again since the last time is lost too.
	lost(now int64, inFlight int, again bool)
	// acked tells of an acknowledgement, or of loss found since the last.
	acked(ev ackEvent)
	// timedOut tells that the retransmission timer ran out.
	timedOut(now int64)
	// undo tells that the last timedOut, or lost but for those again, was an error.
	undo()
	// setMTU tells the size of packets.
	setMTU(mtu int)
}

// An ackEvent is what an acknowledgement means to congestion control.
type ackEvent struct {
	now              int64
	acked, lost      int   // bytes newly acknowledged, and newly found lost
	before, inFlight int   // bytes in flight before it and after
	rtt              int64 // of the newest chunk; 0: not measured
	rate             rateSample
	limited          bool // the window was a limit within the last round trip
	recovering       bool // after loss was found, until it is repaired
}

// initialWindow is what every current QUIC of browsers begins with, 32
// packets, where RFC 6928 has ten: paced over the round trip that ICE has
// measured, it arrives as no burst. RFC 9260 §7.2.1 has about three.
const initialWindow = 32

// minWindow is the least of a window after loss, in packets (RFC 9260 §7.2.3).
const minWindow = 4

// Pacing of the controllers that have a window only: twice the window a round
// trip lets slow start double it, and a fifth more than it keeps it in use.
const (
	slowStartPacing = 2.0
	avoidancePacing = 1.2
)

// windowPacing is the rate for a window.
func windowPacing(cwnd int, slowStart bool, srtt time.Duration) float64 {
	if srtt <= 0 {
		return 0
	}
	gain := avoidancePacing
	if slowStart {
		gain = slowStartPacing
	}
	return gain * float64(cwnd) / srtt.Seconds()
}

// A reduction is proportional rate reduction (RFC 6937): in recovery, what is
// sent follows what arrives, so that the window comes down over a round trip
// instead of in one silence.
type reduction struct {
	delivered, out int
	from           int // bytes in flight when loss was found
}

func (p *reduction) begin(inFlight int) { *p = reduction{from: max(inFlight, 1)} }

func (p *reduction) sent(n int) { p.out += n }

// window is how much may be in flight now.
func (p *reduction) window(ev *ackEvent, ssthresh, mtu int) int {
	p.delivered += ev.acked
	if ev.inFlight > ssthresh {
		n := (p.delivered*ssthresh+p.from-1)/p.from - p.out
		return ev.inFlight + max(n, 0)
	}
	// Slow-start reduction bound: no further down than the window should be.
	n := min(ssthresh-ev.inFlight, max(p.delivered-p.out, ev.acked)+mtu)
	return ev.inFlight + max(n, 0)
}

// idleRestart is how long an idle path keeps its window. RFC 9260 §7.2.1
// would halve it every RTO; a program that sends a burst each second would
// never get beyond the initial one.
const idleRestart = int64(10 * time.Second)
