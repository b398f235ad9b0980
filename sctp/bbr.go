package sctp

import (
	"math"
	"time"
)

// bbr is congestion control by a model of the path, like BBR version 3
// (draft-ietf-ccwg-bbr). The model has two values: the rate at which the bottleneck
// delivers, which is the highest measured in the last rounds, and the round-trip time
// without a queue, which is the lowest measured in the last seconds. Packets are paced
// at that rate. The product of rate and round-trip time bounds the bytes in flight.
//
//	startup    → the rate doubles each round, until a queue shows; from then on it grows
//	             by a quarter, as long as that delivers more
//	drain      → the queue of startup empties
//	probeBW    → up: a quarter faster for a round trip, to look for more rate
//	             down: a quarter slower, to empty the queue that up has caused
//	             cruise: at the rate, for six to eight round trips
//	probeRTT   → after ten seconds without an empty queue, or immediately if the path seems
//	             to have become longer: little in flight for 200 ms, to measure the
//	             round-trip time again
//
// Loss is treated differently from the drafts. They treat a loss of 2 % in a round as a
// sign that too much is in flight. On a radio link that loses 5 % by chance, this would
// lower the rate to almost nothing. But a queue that overflows has caused delay before. So
// loss in rounds without delay is treated as chance, up to lossCeiling. Loss with delay is
// treated as in the drafts.
type bbr struct {
	mtu   int
	phase bbrPhase
	cwnd  int
	rng   uint32

	bandwidth float64 // rate of the bottleneck, bytes a second; 0 until measured
	rates     rateFilter
	minRTT    int64   // round trip without a queue, ns
	minRTTAt  instant // when a round trip was last about as short as minRTT
	lowest    int64   // shortest round trip ever, ns
	highest   int64   // longest round trip with a queue, ns; each probeRTT moves it towards minRTT
	delayed   int     // consecutive round-trip samples that showed a queue
	longer    longerPath

	rateBound     float64 // upper limit of the rate after loss, until the next up step; 0: none
	inFlightBound int     // upper limit of the bytes in flight, found by loss; 0: none

	round    bbrRound
	startup  bbrStartupState
	cycle    bbrCycle
	probeRTT bbrProbeRTTState
	crowd    bbrCrowd
	short    shortWindow
	reduced  bool // cwnd is reduced by a timeout, until the next acknowledgement
	prior    struct {
		cwnd, inFlightBound int
		rateBound           float64
	}
}

// A bbrRound is the present round. It ends when data sent after its beginning is
// acknowledged.
type bbrRound struct {
	end         int64 // total bytes delivered when the round began
	lost, acked int   // bytes lost, and bytes acknowledged, in the round
	queue       bool  // the round had loss together with delay
	rate        float64
}

// A bbrStartupState says whether startup still finds more rate.
type bbrStartupState struct {
	rate     float64 // bandwidth when it last grew enough
	rounds   int     // consecutive rounds in which it did not grow enough
	cautious bool    // startup has seen a queue, which may be another flow's
}

// A bbrCycle is the cycle of probeBW.
type bbrCycle struct {
	step   bbrStep
	since  instant
	cruise int     // how many round trips cruise lasts
	before float64 // bandwidth when the up step began
}

// A bbrProbeRTTState is the progress of probeRTT.
type bbrProbeRTTState struct {
	ends   instant // when the measurement may end; 0: it has not begun, because too much is still in flight
	done   int64   // total bytes delivered when the measurement began; it ends after data sent later is acknowledged
	lowest int64   // shortest round trip since the measurement began, ns
}

// A bbrCrowd compares the loss while probing for more rate with the usual loss. See
// judge.
type bbrCrowd struct {
	probed  lossCount // loss from the beginning of up until the end of cruise's first round trip
	cruised lossCount // loss in the rest of the cycle
	judged  bool      // probed and cruised were compared in this cycle
	crowded bool      // probing made a shared queue overflow, see judge
	queued  bool      // probing caused a queue
}

type bbrPhase uint8

const (
	bbrStartup bbrPhase = iota
	bbrDrain
	bbrProbeBW
	bbrProbeRTT
)

// A bbrStep is a step of probeBW.
type bbrStep uint8

const (
	bbrUp bbrStep = iota
	bbrDown
	bbrCruise
)

// Gains and bounds. Values without a comment are those of the drafts.
const (
	startupGain   = 2.77
	startupWindow = 3.0 // 2 in the drafts. Pacing spreads the packets of the first rounds, so the measured rate is too low
	drainGain     = 0.5
	upGain        = 1.25
	downGain      = 0.75
	cruiseWindow  = 2.0
	growth        = 1.25 // startup goes on while the rate grows by this factor

	// cautiousGrowth replaces growth after startup has seen a queue. If this flow
	// caused the queue, the rate grows no more. If another flow caused it, the rate
	// grows until that flow has given up about half of the bandwidth.
	cautiousGrowth = 1.1

	// queueSigns is how many consecutive delayed samples show a queue, as in HyStart++
	// (RFC 9406 §4.3).
	queueSigns = 8

	minRTTWindow = int64(10 * time.Second)
	probeRTTTime = int64(200 * time.Millisecond)
	probeRTTGain = 0.5

	// A round whose loss rate exceeds queueLoss, and whose round trips were long too,
	// shows a full queue. With the 2 % of the BBR drafts, Reno flows get too little
	// bandwidth where queues are short.
	queueLoss = 0.01

	// A round whose loss rate exceeds lossCeiling shows congestion even without delay,
	// because policers and some other bottlenecks have hardly any queue. Probing loses
	// 20 % there, in one round of eight. Links that lose more than a tenth by chance
	// carry no other traffic well either. In a round of 100 packets, lossCeiling is
	// more than two standard deviations above a loss of 5 % by chance.
	lossCeiling = 0.12

	// minLossPackets is the smallest loss, in packets, from which a conclusion is
	// drawn.
	minLossPackets = 6

	lossBeta = 0.7

	// crowdedGain is the factor by which inFlightBound grows where other flows keep a
	// queue, so that this flow does not take all of the bandwidth. It was chosen by
	// measurements beside one Reno flow, with queues of 0.25 to 4 bandwidth-delay
	// products (BDP). With a smaller factor, this flow gets less than a fifth of the
	// bandwidth if the queue holds 4 BDP. With a larger factor, the Reno flow gets
	// less than a fifth if the queue holds 1 BDP.
	crowdedGain = 1.05

	// A round trip longer than crowdedRTT times the lowest one shows another flow's
	// queue. The probing of this flow alone leads to 1.25 times.
	crowdedRTT = 1.3

	// A shared queue is taken for full if the loss while probing is more than twice
	// the usual loss plus crowdedLoss. In a round of 100 packets, a loss of 5 % by
	// chance does not exceed that. This flow then cruises for crowdedCruise more round
	// trips, at most for crowdedTime. Each of these round trips with a loss multiplies
	// the rate by yieldGain, down to yieldFloor of what the path delivers. So one Reno
	// flow gets more than a fifth of the bandwidth even if the queue holds only 0.25
	// bandwidth-delay products, at round trips of 10 to 50 ms.
	//
	// If the longest round trip is more than deepRTT times the lowest, the queue is
	// long enough to show by delay. There Reno would take what this flow yields, and
	// more.
	deepRTT       = 1.75
	crowdedLoss   = 0.01
	crowdedCruise = 24
	crowdedTime   = int64(1100 * time.Millisecond)
	yieldGain     = 0.8
	yieldFloor    = 0.5
)

func newBBR(mtu int, seed uint32) *bbr {
	return &bbr{
		mtu: mtu, cwnd: initialWindow * mtu, rng: seed | 1, minRTT: math.MaxInt64, lowest: math.MaxInt64,
		probeRTT: bbrProbeRTTState{lowest: math.MaxInt64}, longer: longerPath{lowest: math.MaxInt64}, short: shortWindow{bound: firstShortWindow},
	}
}

func (m *bbr) window() int { return m.cwnd }

func (m *bbr) setMTU(mtu int) { m.mtu = mtu }

func (m *bbr) sent(now instant, n, inFlight int) {}

// known reports whether the rate and the round trip were measured.
func (m *bbr) known() bool { return m.bandwidth > 0 && m.minRTT != math.MaxInt64 }

// rate returns the rate to send at, in bytes a second, before a gain multiplies it.
func (m *bbr) rate() float64 {
	if m.rateBound > 0 {
		return min(m.bandwidth, m.rateBound)
	}
	return m.bandwidth
}

// bdp returns the bandwidth-delay product: the bytes that fill the path without a queue.
func (m *bbr) bdp() int {
	return int(m.rate() * float64(m.minRTT) / 1e9)
}

// needed returns how many bytes must be in flight to reach the rate. If fewer were in
// flight, the measured rate would fall, then the bytes for that rate, and so on. It
// exceeds bdp, because schedulers, batches and bursts delay acknowledgements.
func (m *bbr) needed() int {
	return m.bdp() + int(m.rate()*float64(m.queueDelay()+2*int64(pacingBurst))/1e9)
}

func (m *bbr) pacingRate(srtt time.Duration) float64 {
	if !m.known() {
		if srtt <= 0 {
			return 0
		}
		return startupGain * float64(m.cwnd) / srtt.Seconds()
	}
	// If the program sends little, the measured rate is lower than the path's rate.
	rate := max(m.rate(), float64(minWindow*m.mtu)/(float64(m.minRTT)/1e9))
	switch m.phase {
	case bbrStartup:
		if m.startup.cautious {
			return upGain * rate
		}
		initial := float64(initialWindow*m.mtu) / (float64(m.minRTT) / 1e9)
		return startupGain * max(rate, initial)
	case bbrDrain:
		return drainGain * rate
	case bbrProbeBW:
		switch m.cycle.step {
		case bbrUp:
			return upGain * rate
		case bbrDown:
			return downGain * rate
		}
	}
	return rate
}

func (m *bbr) acked(ev ackEvent) {
	if m.reduced && ev.acked > 0 {
		// The path works again. Its former rate is still the best guess, and pacing
		// prevents a burst.
		m.reduced = false
		m.cwnd = max(m.cwnd, min(m.prior.cwnd, m.bdp()))
	}
	m.noteLoss(&ev)
	if ev.rate.interval > 0 && ev.rate.prior >= m.round.end {
		m.endRound(&ev)
	}
	m.measureRate(&ev)
	m.measureRTT(&ev)
	if m.known() {
		m.step(&ev)
	}
	m.setWindow(&ev)
}

// measureRate takes a sample of the rate of delivery.
func (m *bbr) measureRate(ev *ackEvent) {
	s := &ev.rate
	if s.interval <= 0 || s.interval < m.minRTT && m.minRTT != math.MaxInt64 {
		return // the interval is shorter than any round trip: several acknowledgements arrived together
	}
	rate := float64(s.bytes) / float64(s.interval) * 1e9
	m.round.rate = max(m.round.rate, rate)
	if s.appLimited && rate < m.bandwidth {
		return
	}
	m.rates.add(rate) // in probeRTT the sample is low, but only the highest is used
	m.bandwidth = m.rates.max()
}

// measureRTT takes a sample of the round-trip time.
func (m *bbr) measureRTT(ev *ackEvent) {
	if ev.rtt <= 0 {
		return
	}
	m.lowest = min(m.lowest, ev.rtt)
	m.probeRTT.lowest = min(m.probeRTT.lowest, ev.rtt)
	m.longer.lowest = min(m.longer.lowest, ev.rtt)
	if m.minRTT == math.MaxInt64 || ev.rtt <= m.minRTT+m.minRTT/32 || m.minRTT < shortRTT && ev.rtt < noShortRTT {
		// A round trip within 1/32 of the lowest shows an empty queue as well. On a short
		// path every round trip takes longer than the lowest, and the path is still short.
		m.minRTT = min(m.minRTT, ev.rtt)
		m.minRTTAt = ev.now
		m.longer.rate = m.bandwidth
	}
	switch {
	case ev.rtt <= m.minRTT+m.queueDelay():
		m.delayed = 0
	case ev.rate.inFlight >= 8*m.mtu: // with few packets in flight a SACK may be late for other reasons than a queue, such as its delay
		m.delayed++
		if m.delayed >= queueSigns {
			m.highest = max(m.highest, ev.rtt)
		}
	}
}

// queueDelay returns by how much a round trip that shows a queue exceeds the lowest.
func (m *bbr) queueDelay() int64 { return max(m.minRTT/16, int64(4*time.Millisecond)) }

// noteLoss counts bytes lost and acknowledged.
func (m *bbr) noteLoss(ev *ackEvent) {
	m.round.lost += ev.lost
	m.round.acked += ev.acked
	if m.crowd.judged {
		m.crowd.cruised.add(ev)
	} else {
		m.crowd.probed.add(ev)
	}
	if ev.lost > 0 && m.delayed >= queueSigns {
		m.round.queue = true
	}
}

// endRound evaluates the present round and begins the next one.
func (m *bbr) endRound(ev *ackEvent) {
	if !ev.rate.appLimited && m.phase != bbrProbeRTT {
		m.rates.next()
		m.checkFull()
	}
	m.longer.endRound(m.minRTT)
	r := &m.round
	lost := float64(r.lost) / float64(max(r.lost+r.acked, 1))
	if r.lost >= minLossPackets*m.mtu && (lost > lossCeiling || lost > queueLoss && r.queue) {
		m.congested(ev)
	}
	if m.crowd.crowded && m.crowd.judged && m.phase == bbrProbeBW && m.cycle.step == bbrCruise && r.lost >= m.mtu {
		m.rateBound = max(yieldFloor*m.bandwidth, yieldGain*m.rate())
	}
	if m.minRTT < shortRTT && m.phase != bbrProbeRTT {
		m.short.endRound(ev, r.lost, m.mtu)
	}
	m.round = bbrRound{end: ev.rate.delivered}
}

// congested reacts to a round in which a queue overflowed.
func (m *bbr) congested(ev *ackEvent) {
	switch {
	case m.phase == bbrStartup:
		m.startup.rounds = 3
	case m.phase == bbrProbeBW && m.cycle.step == bbrUp:
		m.inFlightBound = max(int(lossBeta*float64(ev.rate.inFlight)), m.needed())
		m.enterStep(bbrDown, ev.now)
	default:
		m.rateBound = max(m.round.rate, lossBeta*m.rate())
		m.inFlightBound = max(int(lossBeta*float64(min(m.cwnd, ev.before))), m.needed())
	}
}

// checkFull notes whether the rate still grows in startup.
func (m *bbr) checkFull() {
	if m.phase != bbrStartup {
		return
	}
	least := growth
	if m.startup.cautious {
		least = cautiousGrowth
	}
	if m.bandwidth >= least*m.startup.rate {
		m.startup.rate, m.startup.rounds = m.bandwidth, 0
		return
	}
	m.startup.rounds++
}

// step changes the phase if it is time to.
func (m *bbr) step(ev *ackEvent) {
	switch m.phase {
	case bbrStartup:
		if s := &m.startup; s.rounds >= 3 || s.cautious && s.rounds > 0 {
			m.phase, s.cautious = bbrDrain, false
		} else if !s.cautious && m.delayed >= queueSigns && ev.rtt > m.minRTT+m.minRTT/4 {
			*s = bbrStartupState{rate: m.bandwidth, cautious: true}
		}
	case bbrDrain:
		if ev.inFlight <= m.bdp() {
			m.enterProbeBW(ev.now)
		}
	case bbrProbeBW:
		m.stepCycle(ev)
	case bbrProbeRTT:
		m.stepProbeRTT(ev)
	}
	stale := ev.now-m.minRTTAt > minRTTWindow || m.longer.likely(m.bandwidth)
	if m.phase != bbrProbeRTT && stale && !ev.rate.appLimited {
		m.phase, m.probeRTT.ends = bbrProbeRTT, 0
		m.prior.cwnd = m.cwnd
	}
}

// enterProbeBW enters probeBW, with cruise as the first step.
func (m *bbr) enterProbeBW(now instant) {
	m.phase = bbrProbeBW
	m.enterStep(bbrCruise, now)
}

// enterStep begins a step of probeBW.
func (m *bbr) enterStep(s bbrStep, now instant) {
	m.cycle.step, m.cycle.since = s, now
	switch s {
	case bbrUp:
		m.rateBound, m.cycle.before = 0, m.bandwidth
		m.crowd.probed, m.crowd.judged = lossCount{}, false
	case bbrCruise:
		// The time is random, so that two flows do not probe at the same time.
		m.rng ^= m.rng << 13
		m.rng ^= m.rng >> 17
		m.rng ^= m.rng << 5
		m.cycle.cruise = 5 + int(m.rng%4)
	}
}

// stepCycle changes the steps of probeBW.
func (m *bbr) stepCycle(ev *ackEvent) {
	elapsed := ev.now - m.cycle.since
	rtt := max(m.minRTT, shortRTT)
	switch m.cycle.step {
	case bbrUp:
		full := ev.inFlight >= int(upGain*float64(m.bdp())) || m.delayed >= queueSigns
		if elapsed > rtt && full || elapsed > 3*rtt {
			switch {
			case m.delayed < queueSigns:
				m.inFlightBound = int(upGain * float64(m.inFlightBound))
			case float64(ev.rtt) > crowdedRTT*float64(m.lowest):
				m.inFlightBound = int(crowdedGain * float64(m.inFlightBound))
			}
			m.crowd.queued = m.delayed >= queueSigns
			m.enterStep(bbrDown, ev.now)
			if m.bandwidth > 1.2*m.cycle.before && m.delayed == 0 {
				// The rate grew by a fifth without a queue, so startup may find more.
				m.phase, m.inFlightBound = bbrStartup, 0
				m.startup.rate, m.startup.rounds = m.bandwidth, 0
			}
		}
	case bbrDown:
		if ev.inFlight <= m.bdp() || elapsed > 2*rtt {
			m.enterStep(bbrCruise, ev.now)
		}
	case bbrCruise:
		if !m.crowd.judged && elapsed > rtt {
			m.judge()
		}
		if elapsed > int64(m.cycle.cruise)*rtt {
			m.enterStep(bbrUp, ev.now)
		}
	}
}

// judge runs a round trip after the up step. It compares the loss of the data sent in
// that step with the usual loss. Loss by chance does not depend on probing. Loss by a
// full queue does, even if the queue is too short to show by delay. A shared queue has
// overflowed if probing loses more than twice the usual loss plus crowdedLoss. Then
// this flow probes less often, and endRound yields to other flows. Otherwise
// inFlightBound grows as Reno's window does, so that a flow that began late, and found
// a queue, gets its share.
func (m *bbr) judge() {
	c := &m.crowd
	queue := float64(m.highest) / float64(m.lowest) // longest round trip, as a multiple of the lowest one
	c.crowded = m.minRTT >= shortRTT && queue < deepRTT && c.probed.lost >= minLossPackets*m.mtu && c.probed.rate() > 2*c.cruised.rate()+crowdedLoss
	switch {
	case c.crowded:
		m.cycle.cruise += min(crowdedCruise, int(crowdedTime/max(m.minRTT, shortRTT)))
	case c.queued && queue > crowdedRTT && m.inFlightBound > 0:
		m.inFlightBound += (m.cycle.cruise + 3) * m.mtu / 2
	}
	c.cruised, c.judged = lossCount{}, true
}

// A lossCount counts bytes lost and acknowledged.
type lossCount struct{ lost, acked int }

func (l *lossCount) add(ev *ackEvent) {
	l.lost += ev.lost
	l.acked += ev.acked
}

func (l *lossCount) rate() float64 { return float64(l.lost) / float64(max(l.lost+l.acked, 1)) }

// stepProbeRTT keeps little in flight, and waits for a round trip without a queue.
func (m *bbr) stepProbeRTT(ev *ackEvent) {
	p := &m.probeRTT
	if p.ends == 0 {
		if ev.inFlight <= m.probeWindow()+m.mtu {
			*p = bbrProbeRTTState{ends: ev.now + probeRTTTime, done: ev.rate.delivered, lowest: math.MaxInt64}
		}
		return
	}
	if ev.now < p.ends || ev.rate.prior < p.done || p.lowest == math.MaxInt64 {
		return
	}
	longer := m.longer.likely(m.bandwidth) && float64(p.lowest) > longerGain*float64(m.minRTT)
	m.minRTT, m.minRTTAt = p.lowest, ev.now
	m.longer = longerPath{lowest: math.MaxInt64, rate: m.bandwidth}
	m.highest = (m.highest + m.minRTT) / 2 // so that a single long round trip is forgotten after a while
	m.cwnd = max(m.cwnd, m.prior.cwnd)
	if longer {
		m.startup.rate, m.startup.rounds, m.inFlightBound = 0, 0, 0
	}
	if m.startup.rounds < 3 && m.startup.rate == 0 {
		m.phase = bbrStartup
		return
	}
	m.enterProbeBW(ev.now)
}

// A longerPath detects that the path has become longer, for example after a
// satellite's handover. There a window for the former, shorter round trips lowers the
// rate, which lowers the window, and so on. Long before probeRTT is due, only a few
// packets a round trip would be left.
type longerPath struct {
	lowest int64   // shortest round trip of the present round, ns
	rounds int     // consecutive rounds whose shortest round trip was long
	rate   float64 // bandwidth when the lowest round trip was last seen
}

// A path is taken for longer if every round trip of longerRounds rounds took more than
// longerGain times the lowest, while the rate fell below longerRate of its former
// value. Queues of other flows cause such round trips too, but leave a higher rate, or
// take longer to lower it.
const (
	longerRounds = 4
	longerGain   = 1.5
	longerRate   = 0.75
)

func (l *longerPath) endRound(minRTT int64) {
	if l.lowest == math.MaxInt64 || float64(l.lowest) <= longerGain*float64(minRTT) {
		l.rounds = 0
	} else {
		l.rounds++
	}
	l.lowest = math.MaxInt64
}

func (l *longerPath) likely(rate float64) bool {
	return l.rounds >= longerRounds && rate < longerRate*l.rate
}

// probeWindow returns how many bytes may be in flight in probeRTT.
func (m *bbr) probeWindow() int {
	return max(int(probeRTTGain*float64(m.bdp())), minWindow*m.mtu)
}

// setWindow sets cwnd.
func (m *bbr) setWindow(ev *ackEvent) {
	if !m.known() {
		m.cwnd += ev.acked
		return
	}
	gain := cruiseWindow
	if m.phase == bbrStartup {
		gain = startupWindow
	}
	// The target leaves room for two more bursts of the pacer.
	target := int(gain*float64(m.bdp())) + int(2*m.rate()*pacingBurst.Seconds()) + 2*m.mtu
	if m.phase == bbrStartup {
		m.cwnd += ev.acked
		m.cwnd = min(m.cwnd, max(target, initialWindow*m.mtu))
	} else {
		m.cwnd = min(m.cwnd+ev.acked, target)
	}
	if m.inFlightBound > 0 && m.phase == bbrProbeBW {
		m.cwnd = min(m.cwnd, m.inFlightBound)
	}
	if m.phase == bbrProbeRTT {
		m.cwnd = min(m.cwnd, m.probeWindow())
	}
	m.cwnd = max(m.cwnd, minWindow*m.mtu)
	if m.minRTT < shortRTT && m.phase != bbrProbeRTT {
		m.cwnd = max(min(m.cwnd, m.bdp()), m.short.window(m.rate(), m.mtu))
	}
}

// lost only saves the bounds for undo. endRound reacts to the loss when the extent of
// the loss is known.
func (m *bbr) lost(now instant, inFlight int, again bool) {
	if !again {
		m.prior.inFlightBound, m.prior.rateBound = m.inFlightBound, m.rateBound
	}
}

func (m *bbr) timedOut(now instant) {
	if !m.reduced {
		m.prior.cwnd = m.cwnd
	}
	m.reduced = true
	m.cwnd = m.mtu
}

func (m *bbr) undo() {
	m.inFlightBound, m.rateBound = m.prior.inFlightBound, m.prior.rateBound
	m.cwnd = max(m.cwnd, m.prior.cwnd)
	m.reduced = false
}

// A rateFilter keeps the highest rate of each of the last ten rounds.
type rateFilter struct {
	rates [10]float64
	at    int
}

// add takes a sample in the present round.
func (f *rateFilter) add(rate float64) { f.rates[f.at] = max(f.rates[f.at], rate) }

// next begins a round.
func (f *rateFilter) next() {
	f.at = (f.at + 1) % len(f.rates)
	f.rates[f.at] = 0
}

// max returns the highest rate.
func (f *rateFilter) max() float64 {
	m := 0.0
	for _, r := range f.rates {
		m = max(m, r)
	}
	return m
}
