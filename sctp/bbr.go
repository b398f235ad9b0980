package sctp

import (
	"math"
	"time"
)

// bbr is congestion control by a model of the path, in the manner of BBR
// version 3 (draft-ietf-ccwg-bbr): the rate at which the bottleneck delivers,
// which is the highest seen in the last round trips, and the round-trip time
// without a queue, which is the lowest seen in the last seconds. Packets are
// paced at that rate, and their product bounds what is in flight.
//
//	startup    → the rate doubles each round trip, until a queue shows; then it
//	             grows by a quarter, for as long as more is delivered by it
//	drain      → that queue goes
//	probeBW    → up, a quarter faster for a round trip: is there more?
//	             down, a quarter slower, for the queue that this made
//	             cruise, at the rate, for six to eight round trips
//	probeRTT   → after ten seconds without an empty queue, or at once where the
//	             path seems to have become a longer one, hardly anything for a
//	             fifth of a second, to see the round-trip time anew
//
// What it makes of loss is where it departs from the drafts. They take 2 % in
// a round trip for a sign that too much is in flight; a radio link that loses
// 5 % by chance would bring them down to nothing. A queue that overflows is
// seen by its delay first. So loss while round trips are about as short as
// they can be is chance, up to lossCeiling; loss while they are longer counts
// as the drafts have it.
type bbr struct {
	mtu   int
	phase bbrPhase
	cwnd  int
	rng   uint32

	// Rounds: one ends when what was sent at its beginning is acknowledged.
	roundEnd  int64 // by bytes delivered
	rounds    rateFilter
	bandwidth float64 // bytes a second

	minRTT    int64
	minRTTAt  int64 // when it was last as low
	longer    longerPath
	recent    int64 // the lowest in probeRTT
	lowest    int64 // the lowest ever
	delayed   int   // how many in succession showed a queue
	probeEnds int64 // of probeRTT
	probeDone int64 // by bytes delivered

	fullRate   float64 // the rate that startup has to exceed
	fullRounds int     // and has not, for so many

	cycle     int   // phase of probeBW
	cycleAt   int64 // since when
	cruise    int   // round trips to cruise
	upRate    float64
	lossShort float64 // bound of the rate after loss, until the next probe; 0: none
	inflight  int     // bound of what is in flight, found by loss; 0: none

	// Of the round under way.
	roundLost, roundAcked int
	roundQueue            bool // loss came with delay
	roundRate             float64

	short shortWindow

	cautious bool // startup has seen a queue, which may be another flow's

	// What probing does to others, and to us: see judge.
	probed  lossCount // from probing until a round trip after it
	cruised lossCount // in the rest of the cycle
	judged  bool      // the two were compared
	crowded bool      // probing made the queue overflow
	queued  bool      // it made a queue
	highest int64     // the longest round trip with a queue, as probeRTT lets it fade

	held  bool // by a timeout, until the next acknowledgement
	prior struct {
		cwnd, inflight int
		lossShort      float64
	}
}

type bbrPhase uint8

const (
	bbrStartup bbrPhase = iota
	bbrDrain
	bbrProbeBW
	bbrProbeRTT
)

// Gains and bounds. Those without a word are the drafts'.
const (
	startupGain   = 2.77
	startupWindow = 3.0 // the drafts have 2; the first rounds are spread by pacing, which makes the rate look lower
	drainGain     = 0.5
	upGain        = 1.25
	downGain      = 0.75
	cruiseWindow  = 2.0
	growth        = 1.25 // of the rate, that startup goes on for

	// cautiousGrowth is that after a queue was seen: if it is our own, the rate
	// grows no more; if it is another flow's, it grows until that has given up
	// about half.
	cautiousGrowth = 1.1

	// queueSigns is how many delayed samples in succession mean a queue, as
	// HyStart++ has it (RFC 9406 §4.3).
	queueSigns = 8

	minRTTWindow = int64(10 * time.Second)
	probeRTTTime = int64(200 * time.Millisecond)
	probeRTTGain = 0.5

	// queueLoss is the loss in a round, together with delay, that means a full
	// queue. The drafts have 2 %, which leaves Reno too little where queues are
	// short.
	queueLoss = 0.01

	// lossCeiling is the loss in a round that counts as congestion however
	// short the round trip is: there are bottlenecks without a queue to speak
	// of, policers above all. Probing makes 20 % there in one round of eight.
	// Links that lose more than a tenth by chance carry nothing else well
	// either; 5 % stays below it in a round of 100 packets or more, by more
	// than two standard deviations.
	lossCeiling = 0.12

	// minLossPackets: of fewer, nothing is concluded.
	minLossPackets = 6

	lossBeta = 0.7

	// crowdedGain is how the bound of what is in flight grows where others keep
	// a queue, so that they do not take the rest. It was chosen beside one Reno
	// flow with queues of a quarter to four bandwidth-delay products: with
	// less we have less than a fifth at four, with more Reno at one.
	crowdedGain = 1.05

	// crowdedRTT is the round trip, in parts of the lowest ever, from which a
	// queue counts as that of others: our own probing makes a quarter.
	crowdedRTT = 1.3

	// crowdedLoss is how much more than twice the usual loss probing causes
	// where the queue is full: 5 % by chance exceed that in no round of 100
	// packets. Then cruising goes on for crowdedCruise more round trips, but no
	// longer than crowdedTime, and each of them with a loss has the rate
	// yieldGain times as high, down to yieldFloor of what the path delivers. So
	// one Reno flow has more than a fifth beside a queue of a quarter of the
	// bandwidth-delay product as well, on round trips of 10 to 50 ms.
	//
	// Beyond a round trip of deepRTT times the lowest the queue is long enough
	// to tell by its delay; there Reno would take what is yielded, and more.
	deepRTT       = 1.75
	crowdedLoss   = 0.01
	crowdedCruise = 24
	crowdedTime   = int64(1100 * time.Millisecond)
	yieldGain     = 0.8
	yieldFloor    = 0.5
)

// phases of probeBW
const (
	cycleUp = iota
	cycleDown
	cycleCruise
)

func newBBR(mtu int, seed uint32) *bbr {
	return &bbr{mtu: mtu, cwnd: initialWindow * mtu, rng: seed | 1, minRTT: math.MaxInt64, recent: math.MaxInt64, lowest: math.MaxInt64, longer: longerPath{lowest: math.MaxInt64}, short: shortWindow{bound: firstShortWindow}}
}

func (m *bbr) window() int { return m.cwnd }

func (m *bbr) setMTU(mtu int) { m.mtu = mtu }

func (m *bbr) sent(now int64, n, inFlight int) {}

// known reports whether the model has measured anything.
func (m *bbr) known() bool { return m.bandwidth > 0 && m.minRTT != math.MaxInt64 }

// rate is the estimated rate of the bottleneck.
func (m *bbr) rate() float64 {
	if m.lossShort > 0 {
		return min(m.bandwidth, m.lossShort)
	}
	return m.bandwidth
}

// bdp is the bandwidth-delay product: what fills the path and no queue.
func (m *bbr) bdp() int {
	return int(m.rate() * float64(m.minRTT) / 1e9)
}

// needed is what must be in flight to reach the rate: with less, the rate that
// is measured falls, and what is needed for it, and so on down. It is more than
// bdp by what schedulers, batches and bursts delay acknowledgements.
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
	// A program that sends little has shown little of the path.
	rate := max(m.rate(), float64(minWindow*m.mtu)/(float64(m.minRTT)/1e9))
	switch m.phase {
	case bbrStartup:
		if m.cautious {
			return upGain * rate
		}
		initial := float64(initialWindow*m.mtu) / (float64(m.minRTT) / 1e9)
		return startupGain * max(rate, initial)
	case bbrDrain:
		return drainGain * rate
	case bbrProbeBW:
		switch m.cycle {
		case cycleUp:
			return upGain * rate
		case cycleDown:
			return downGain * rate
		}
	}
	return rate
}

func (m *bbr) acked(ev ackEvent) {
	if m.held && ev.acked > 0 {
		// The path is back. What it carried is still the best guess, and
		// pacing keeps that from being a burst.
		m.held = false
		m.cwnd = max(m.cwnd, min(m.prior.cwnd, m.bdp()))
	}
	m.noteLoss(&ev)
	if ev.rate.interval > 0 && ev.rate.prior >= m.roundEnd {
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
		return // shorter than any round trip: acknowledgements came in a heap
	}
	rate := float64(s.bytes) / float64(s.interval) * 1e9
	m.roundRate = max(m.roundRate, rate)
	if s.appLimited && rate < m.bandwidth {
		return
	}
	m.rounds.add(rate) // in probeRTT it tells nothing, but is low and does no harm
	m.bandwidth = m.rounds.max()
}

// measureRTT takes a sample of the round-trip time.
func (m *bbr) measureRTT(ev *ackEvent) {
	if ev.rtt <= 0 {
		return
	}
	m.lowest = min(m.lowest, ev.rtt)
	m.recent = min(m.recent, ev.rtt)
	m.longer.lowest = min(m.longer.lowest, ev.rtt)
	if m.minRTT == math.MaxInt64 || ev.rtt <= m.minRTT+m.minRTT/32 || m.minRTT < shortRTT && ev.rtt < noShortRTT {
		// Within a thirty-second of the lowest, the queue is empty as well. On a
		// short path every round trip takes longer, and it is short nevertheless.
		m.minRTT = min(m.minRTT, ev.rtt)
		m.minRTTAt = ev.now
		m.longer.rate = m.bandwidth
	}
	switch {
	case ev.rtt <= m.minRTT+m.queueDelay():
		m.delayed = 0
	case ev.rate.inFlight >= 8*m.mtu: // the SACK of one or two packets may be late for another reason
		m.delayed++
		if m.delayed >= queueSigns {
			m.highest = max(m.highest, ev.rtt)
		}
	}
}

// queueDelay is how much longer than the shortest a round trip takes that
// shows a queue.
func (m *bbr) queueDelay() int64 { return max(m.minRTT/16, int64(4*time.Millisecond)) }

// noteLoss counts what was lost in the round.
func (m *bbr) noteLoss(ev *ackEvent) {
	m.roundLost += ev.lost
	m.roundAcked += ev.acked
	if m.judged {
		m.cruised.add(ev)
	} else {
		m.probed.add(ev)
	}
	if ev.lost > 0 && m.delayed >= queueSigns {
		m.roundQueue = true
	}
}

// endRound draws the conclusions of a round.
func (m *bbr) endRound(ev *ackEvent) {
	m.roundEnd = ev.rate.delivered
	if !ev.rate.appLimited && m.phase != bbrProbeRTT {
		m.rounds.next()
		m.checkFull()
	}
	m.longer.endRound(m.minRTT)
	lost := float64(m.roundLost) / float64(max(m.roundLost+m.roundAcked, 1))
	if m.roundLost >= minLossPackets*m.mtu && (lost > lossCeiling || lost > queueLoss && m.roundQueue) {
		m.congested(ev)
	}
	if m.crowded && m.judged && m.phase == bbrProbeBW && m.cycle == cycleCruise && m.roundLost >= m.mtu {
		m.lossShort = max(yieldFloor*m.bandwidth, yieldGain*m.rate())
	}
	if m.minRTT < shortRTT && m.phase != bbrProbeRTT {
		m.short.endRound(ev, m.roundLost, m.rate(), m.mtu)
	}
	m.roundLost, m.roundAcked, m.roundQueue, m.roundRate = 0, 0, false, 0
}

// congested is what follows a round in which a queue overflowed.
func (m *bbr) congested(ev *ackEvent) {
	switch {
	case m.phase == bbrStartup:
		m.fullRounds = 3
	case m.phase == bbrProbeBW && m.cycle == cycleUp:
		m.inflight = max(int(lossBeta*float64(ev.rate.inFlight)), m.needed())
		m.enterCycle(cycleDown, ev.now)
	default:
		m.lossShort = max(m.roundRate, lossBeta*m.rate())
		m.inflight = max(int(lossBeta*float64(min(m.cwnd, ev.before))), m.needed())
	}
}

// checkFull notes whether the rate still grows in startup.
func (m *bbr) checkFull() {
	if m.phase != bbrStartup {
		return
	}
	least := growth
	if m.cautious {
		least = cautiousGrowth
	}
	if m.bandwidth >= least*m.fullRate {
		m.fullRate, m.fullRounds = m.bandwidth, 0
		return
	}
	m.fullRounds++
}

// step goes from phase to phase.
func (m *bbr) step(ev *ackEvent) {
	switch m.phase {
	case bbrStartup:
		if m.fullRounds >= 3 || m.cautious && m.fullRounds > 0 {
			m.phase, m.cautious = bbrDrain, false
		} else if !m.cautious && m.delayed >= queueSigns && ev.rtt > m.minRTT+m.minRTT/4 {
			m.cautious, m.fullRate, m.fullRounds = true, m.bandwidth, 0
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
		m.phase, m.probeEnds = bbrProbeRTT, 0
		m.prior.cwnd = m.cwnd
	}
}

// enterProbeBW begins to cruise.
func (m *bbr) enterProbeBW(now int64) {
	m.phase = bbrProbeBW
	m.enterCycle(cycleCruise, now)
}

// enterCycle begins a phase of probeBW.
func (m *bbr) enterCycle(phase int, now int64) {
	m.cycle, m.cycleAt = phase, now
	switch phase {
	case cycleUp:
		m.lossShort, m.upRate = 0, m.bandwidth
		m.probed, m.judged = lossCount{}, false
	case cycleCruise:
		// Not always the same, so that two flows do not probe in step.
		m.rng ^= m.rng << 13
		m.rng ^= m.rng >> 17
		m.rng ^= m.rng << 5
		m.cruise = 5 + int(m.rng%4)
	}
}

// stepCycle goes from phase to phase of probeBW.
func (m *bbr) stepCycle(ev *ackEvent) {
	elapsed := ev.now - m.cycleAt
	rtt := max(m.minRTT, shortRTT)
	switch m.cycle {
	case cycleUp:
		full := ev.inFlight >= int(upGain*float64(m.bdp())) || m.delayed >= queueSigns
		if elapsed > rtt && full || elapsed > 3*rtt {
			switch {
			case m.delayed < queueSigns:
				m.inflight = int(upGain * float64(m.inflight))
			case float64(ev.rtt) > crowdedRTT*float64(m.lowest):
				m.inflight = int(crowdedGain * float64(m.inflight))
			}
			m.queued = m.delayed >= queueSigns
			m.enterCycle(cycleDown, ev.now)
			m.resume()
		}
	case cycleDown:
		if ev.inFlight <= m.bdp() || elapsed > 2*rtt {
			m.enterCycle(cycleCruise, ev.now)
		}
	case cycleCruise:
		if !m.judged && elapsed > rtt {
			m.judge()
		}
		if elapsed > int64(m.cruise)*rtt {
			m.enterCycle(cycleUp, ev.now)
		}
	}
}

// judge compares, a round trip after probing, what was lost of what probing sent
// with what is lost otherwise. Chance does not know that we probe; a full queue
// does, and does however short it is, when its delay tells nothing. Then others
// are left alone for longer, and endRound yields to them. Else what may be in
// flight grows as Reno's does: two flows of which one came late and has found a
// queue get even by it.
func (m *bbr) judge() {
	queue := float64(m.highest) / float64(m.lowest) // the longest seen, in round trips, and one
	m.crowded = m.minRTT >= shortRTT && queue < deepRTT && m.probed.lost >= minLossPackets*m.mtu && m.probed.rate() > 2*m.cruised.rate()+crowdedLoss
	switch {
	case m.crowded:
		m.cruise += min(crowdedCruise, int(crowdedTime/max(m.minRTT, shortRTT)))
	case m.queued && queue > crowdedRTT && m.inflight > 0:
		m.inflight += (m.cruise + 3) * m.mtu / 2
	}
	m.cruised, m.judged = lossCount{}, true
}

// A lossCount is bytes lost and acknowledged in some time.
type lossCount struct{ lost, acked int }

func (l *lossCount) add(ev *ackEvent) {
	l.lost += ev.lost
	l.acked += ev.acked
}

func (l *lossCount) rate() float64 { return float64(l.lost) / float64(max(l.lost+l.acked, 1)) }

// resume goes back to startup where probing found a fifth more, without a
// queue: there is room.
func (m *bbr) resume() {
	if m.bandwidth > 1.2*m.upRate && m.delayed == 0 {
		m.phase, m.fullRate, m.fullRounds, m.inflight = bbrStartup, m.bandwidth, 0, 0
	}
}

// stepProbeRTT waits, with little in flight, for a round trip without a queue.
func (m *bbr) stepProbeRTT(ev *ackEvent) {
	if m.probeEnds == 0 {
		if ev.inFlight <= m.probeWindow()+m.mtu {
			m.probeEnds, m.probeDone = ev.now+probeRTTTime, ev.rate.delivered
			m.recent = math.MaxInt64
		}
		return
	}
	if ev.now < m.probeEnds || ev.rate.prior < m.probeDone || m.recent == math.MaxInt64 {
		return
	}
	longer := m.longer.likely(m.bandwidth) && float64(m.recent) > longerGain*float64(m.minRTT)
	m.minRTT, m.minRTTAt = m.recent, ev.now
	m.longer = longerPath{lowest: math.MaxInt64, rate: m.bandwidth}
	m.short.begin(ev)
	m.highest = (m.highest + m.minRTT) / 2 // that of a hiccup is forgotten in time
	m.cwnd = max(m.cwnd, m.prior.cwnd)
	if longer {
		m.fullRate, m.fullRounds, m.inflight = 0, 0, 0
	}
	if m.fullRounds < 3 && m.fullRate == 0 {
		m.phase = bbrStartup
		return
	}
	m.enterProbeBW(ev.now)
}

// longerPath tells that the path has become a longer one, as where a satellite
// hands over. With a window for round trips that are no more, the rate falls, and
// the window with it, and so on: a few packets each round trip would be left long
// before probeRTT is due.
type longerPath struct {
	lowest int64   // round trip of the round under way
	rounds int     // in succession that were longer all along
	rate   float64 // when the lowest was last seen
}

// A path counts as longer after longerRounds of more than longerGain times the
// lowest round trip, when the rate is down to longerRate of what it was. Others'
// queues make round trips as long, but leave more, or take longer to.
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

// probeWindow is what may be in flight in probeRTT.
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
	// Two bursts of the pacer more, so that they find room.
	target := int(gain*float64(m.bdp())) + int(2*m.rate()*pacingBurst.Seconds()) + 2*m.mtu
	if m.phase == bbrStartup {
		m.cwnd += ev.acked
		m.cwnd = min(m.cwnd, max(target, initialWindow*m.mtu))
	} else {
		m.cwnd = min(m.cwnd+ev.acked, target)
	}
	if m.inflight > 0 && m.phase == bbrProbeBW {
		m.cwnd = min(m.cwnd, m.inflight)
	}
	if m.phase == bbrProbeRTT {
		m.cwnd = min(m.cwnd, m.probeWindow())
	}
	m.cwnd = max(m.cwnd, minWindow*m.mtu)
	if m.minRTT < shortRTT && m.phase != bbrProbeRTT {
		m.cwnd = max(min(m.cwnd, m.bdp()), m.short.window(m.rate(), m.mtu))
	}
}

// lost does nothing by itself: acked tells how much, and endRound judges.
func (m *bbr) lost(now int64, inFlight int, again bool) {
	if !again {
		m.prior.inflight, m.prior.lossShort = m.inflight, m.lossShort
	}
}

func (m *bbr) timedOut(now int64) {
	if !m.held {
		m.prior.cwnd = m.cwnd
	}
	m.held = true
	m.cwnd = m.mtu
}

func (m *bbr) undo() {
	m.inflight, m.lossShort = m.prior.inflight, m.prior.lossShort
	m.cwnd = max(m.cwnd, m.prior.cwnd)
	m.held = false
}

// A rateFilter keeps the highest rate of each of the last rounds.
type rateFilter struct {
	rates [10]float64
	at    int
}

// add takes a sample of the round under way.
func (f *rateFilter) add(rate float64) { f.rates[f.at] = max(f.rates[f.at], rate) }

// next begins a round.
func (f *rateFilter) next() {
	f.at = (f.at + 1) % len(f.rates)
	f.rates[f.at] = 0
}

// max is the highest.
func (f *rateFilter) max() float64 {
	m := 0.0
	for _, r := range f.rates {
		m = max(m, r)
	}
	return m
}
