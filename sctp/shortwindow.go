package sctp

import "time"

// A shortWindow is the window of bbr on a short path. There the schedulers of both
// ends, not the path, decide when packets are acknowledged, so the bandwidth-delay
// product says little. The window is what the path delivers in shortTime, within
// bounds. That keeps batches long, and prevents the remote's threads from sleeping
// between batches.
//
// Remotes differ in the best window. Chromium 156 processes everything that it finds
// at its socket as one message, and for each message longer than 16 KiB it returns
// memory to the system and requests it again. Meanwhile more data arrives, so the next
// message is long too. With 16 KiB in flight it receives twice as fast as with 38 KiB.
// Firefox 153 receives twice as fast with 2 ms in flight as with 0.5 ms. Of all that
// this end can measure, only the rate itself distinguishes these remotes. So the time
// in flight is found by trial: it is halved or doubled for an interval, and the rates
// are compared.
type shortWindow struct {
	bound int     // upper limit of the window, in bytes
	after instant // when bound may grow again

	halvings int // how often shortTime is halved

	// The trial compares two intervals of trialTime.
	trying int     // change of halvings that is on trial; 0: none
	usual  float64 // rate before the trial, in bytes a second
	since  instant // when the present interval began
	from   int64   // total bytes delivered when the present interval began
	next   instant // when to begin the next trial
	longer bool    // the next trial allows data in flight for a longer time than now, else for a shorter one
}

const (
	// shortRTT is the round trip, in ns, below which a path is short.
	shortRTT  = int64(time.Millisecond)
	shortTime = 2 * time.Millisecond

	// noShortRTT is a round trip, in ns, that no short path has for long: shortRTT,
	// shortTime for the data in flight, and as much for the schedulers. If all round
	// trips are longer, probeRTT measures the path again. Otherwise the window for a
	// path of half a millisecond would stay when the path has changed to one of 40 ms.
	noShortRTT = shortRTT + 2*int64(shortTime)

	// The receive buffer of a Linux socket holds about 90 datagrams by default, or 256
	// KiB if the kernel coalesces them. firstShortWindow is derived from the 90
	// datagrams. The bound of the window begins with it, and grows while nothing is
	// lost. After a loss the bound stays for a while below the value at which the loss
	// occurred. On loopback between two processes the throughput is a third higher
	// with 192 KiB than with 96 KiB, and no higher with 256 or 320 KiB.
	leastShortWindow  = 16 << 10
	leastShortPackets = 2
	firstShortWindow  = 96 << 10
	maxShortWindow    = 192 << 10
	shortWindowHold   = int64(2 * time.Second)

	// A trial with a shorter time in flight is kept if the rate does not fall. A
	// longer time is kept only if the rate rises by a tenth, because more data in
	// flight delays everything sent later.
	trialTime  = int64(50 * time.Millisecond)
	trialPause = int64(2 * time.Second)
	trialGain  = 1.1
)

// window returns the window for a rate in bytes a second.
func (s *shortWindow) window(rate float64, mtu int) int {
	w := int(rate * (shortTime >> s.halvings).Seconds())
	return max(min(w, s.bound), leastShortWindow, leastShortPackets*mtu)
}

// endRound evaluates a round. lost is how many bytes were lost in it.
func (s *shortWindow) endRound(ev *ackEvent, lost int, rate float64, mtu int) {
	switch {
	case lost > 0:
		s.bound = max(int(lossBeta*float64(min(s.bound, ev.before))), leastShortWindow)
		s.after = ev.now + shortWindowHold
	case ev.limited && ev.now > s.after:
		s.bound = min(s.bound+2*mtu, maxShortWindow)
	}
	switch w := rate * shortTime.Seconds(); {
	case w >= maxShortWindow: // the bound decides, not the time
		s.halvings, s.trying = 0, 0
		s.begin(ev)
	case !ev.limited || lost > 0 || w >= float64(s.bound):
		s.begin(ev)
	case ev.now-s.since >= trialTime:
		s.endInterval(ev.now, float64(ev.rate.delivered-s.from)*1e9/float64(ev.now-s.since), rate)
		s.begin(ev)
	}
}

// begin begins an interval.
func (s *shortWindow) begin(ev *ackEvent) { s.since, s.from = ev.now, ev.rate.delivered }

// endInterval compares the rate of an interval, in bytes a second, with the rate
// before the trial, and chooses the time in flight for the next interval.
func (s *shortWindow) endInterval(now instant, got, rate float64) {
	switch {
	case s.trying > 0 && got < s.usual, s.trying < 0 && got < trialGain*s.usual:
		s.halvings -= s.trying
		s.trying, s.longer, s.next = 0, !s.longer, now+trialPause
	case s.trying != 0:
		s.trying = 0 // success: halvings stays
	case now >= s.next:
		s.usual, s.trying = got, 1
		if s.longer && s.halvings > 0 || rate*(shortTime>>s.halvings).Seconds() <= leastShortWindow {
			s.trying = -s.halvings // back to shortTime, because the windows of single steps may all be below the least window
		}
		s.halvings += s.trying
	}
}
