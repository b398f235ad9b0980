package sctp

import "time"

// A CongestionControl selects the algorithm that decides how much data may be in flight,
// and how fast it is sent.
type CongestionControl uint8

const (
	// CongestionBBR is like BBR version 3. It sends at the measured rate at which the
	// path delivers, and keeps the queue at the bottleneck short. It is the default,
	// because only it keeps its speed where packets are lost by chance, as on radio
	// links, and lets small messages pass quickly beside bulk data.
	CongestionBBR CongestionControl = iota

	// CongestionCubic is CUBIC (RFC 9438) with HyStart++ (RFC 9406), which most of the
	// internet uses. It treats every loss as a sign of a full queue.
	CongestionCubic

	// CongestionReno is the congestion control of RFC 9260 §7.2.
	CongestionReno
)

// String returns the name in lower case.
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

// newController returns a controller for a path of which nothing is known.
func (c CongestionControl) newController(mtu int, seed uint32) congestionController {
	switch c {
	case CongestionCubic:
		return newCubic(mtu)
	case CongestionReno:
		return newReno(mtu)
	}
	return newBBR(mtu, seed)
}

// A congestionController decides how much data may be in flight, and at which rate data
// is sent. The sender reports sent, acknowledged and lost data to it. It does not
// detect losses itself.
type congestionController interface {
	// window returns cwnd in bytes of payload.
	window() int
	// pacingRate returns the pacing rate in bytes a second; 0: not paced.
	pacingRate(srtt time.Duration) float64
	// sent notes that n bytes were sent. inFlight includes these n bytes.
	sent(now instant, n, inFlight int)
	// lost notes that a recovery begins because of a loss. again says that a recovery
	// is under way already, and that data retransmitted in it is lost too.
	lost(now instant, inFlight int, again bool)
	// acked notes what an acknowledgement changed. It is also called when chunks are
	// found lost between acknowledgements, with an event that acknowledges nothing.
	acked(ev ackEvent)
	// timedOut notes a retransmission timeout.
	timedOut(now instant)
	// undo restores the state before the last timedOut, or the last lost with again ==
	// false, because nothing had been lost.
	undo()
	// setMTU sets the length of packets.
	setMTU(mtu int)
}

// An ackEvent describes an acknowledgement for congestion control.
type ackEvent struct {
	now              instant
	acked, lost      int   // bytes newly acknowledged, and newly declared lost
	before, inFlight int   // bytes in flight before and after the acknowledgement
	rtt              int64 // round trip of the acknowledged chunk that was sent last, ns; 0: not measured
	rate             rateSample
	limited          bool // the window limited what was sent in the last round trip
	recovering       bool // a loss was found and is not repaired yet
}

// initialWindow is the initial window in packets. Current browsers' QUIC also begins
// with 32 packets. The packets are not sent as a burst: they are paced over the round
// trip that ICE has measured. RFC 6928 allows 10 packets, RFC 9260 §7.2.1 about
// three.
const initialWindow = 32

// minWindow is the least window after a loss, in packets (RFC 9260 §7.2.3).
const minWindow = 4

// Pacing gains of the controllers that set only a window: how many windows are sent in
// a round trip. Two windows let slow start double the window. A fifth more than one
// window keeps the window in use.
const (
	slowStartPacing = 2.0
	avoidancePacing = 1.2
)

// windowPacing returns the pacing rate for a window.
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

// A reduction is proportional rate reduction (RFC 6937). In a recovery the amount sent
// follows the amount delivered. So the window shrinks gradually over a round trip, and
// sending does not pause.
type reduction struct {
	delivered, out int // bytes delivered, and bytes sent, in the recovery
	from           int // bytes in flight when the recovery began
}

func (p *reduction) begin(inFlight int) { *p = reduction{from: max(inFlight, 1)} }

func (p *reduction) sent(n int) { p.out += n }

// window returns how much may be in flight now.
func (p *reduction) window(ev *ackEvent, ssthresh, mtu int) int {
	p.delivered += ev.acked
	if ev.inFlight > ssthresh {
		n := (p.delivered*ssthresh+p.from-1)/p.from - p.out
		return ev.inFlight + max(n, 0)
	}
	// Slow-start reduction bound (RFC 6937 §3): not below ssthresh.
	n := min(ssthresh-ev.inFlight, max(p.delivered-p.out, ev.acked)+mtu)
	return ev.inFlight + max(n, 0)
}

// idleRestart is how long an idle path keeps its window. RFC 9260 §7.2.1 halves the
// window every RTO. With the RFC's rule, a program that sends a burst each second
// would never exceed the initial window.
const idleRestart = int64(10 * time.Second)
