package sctp

import "time"

// A shortWindow is what may be in flight on a path so short that the schedulers
// of both ends decide when packets are acknowledged, not the path: what takes
// shortTime at the rate, within bounds, whatever the model of the path says.
// That keeps batches large, and the far end from falling asleep between them.
//
// Some ends do better with less. Chromium 156 hands on as one message all that
// it finds at its socket, and for each that is longer than 16 KiB it returns
// memory to the system and asks for it again; meanwhile more comes, and so it
// stays. With 16 KiB in flight it takes twice as much as with 38. Others do
// better the more they find: Firefox 153 takes twice as much with 2 ms in flight
// as with a half. So this time is found by trial.
type shortWindow struct {
	bound int   // of the window
	after int64 // when it may grow again

	halvings int // of shortTime: no more than the least window takes

	// The trial compares two intervals of trialTime.
	trying int     // how halvings was changed to try it
	usual  float64 // what was delivered before, in bytes a second
	since  int64   // when the interval began
	from   int64   // … by bytes delivered
	next   int64   // when to try again
	longer bool    // … a longer time
}

const (
	shortRTT  = int64(time.Millisecond)
	shortTime = 2 * time.Millisecond

	// noShortRTT is a round trip that no short path has for long, with shortTime
	// in flight and as much again for the schedulers. Where all are longer, it is
	// measured anew: or what a path of half a millisecond takes would be all that
	// is in flight when it has become one of 40.
	noShortRTT = shortRTT + 2*int64(shortTime)

	// A stock system's receive buffer holds some 90 datagrams, which is where
	// firstShortWindow is, or a quarter of a megabyte where the system joins
	// them. So the bound grows while nothing is lost, and after a loss stays
	// below where that was for a while. Measured on loopback between two
	// processes, 192 KiB carry a third more than 96 KiB, and 256 or 320 no more
	// than 192.
	leastShortWindow  = 16 << 10
	leastShortPackets = 2
	firstShortWindow  = 96 << 10
	maxShortWindow    = 192 << 10
	shortWindowHold   = int64(2 * time.Second)

	// A shorter time is kept if no less is delivered, a longer one if it is a
	// tenth more: what is in flight delays whatever is sent next.
	trialTime  = int64(50 * time.Millisecond)
	trialPause = int64(2 * time.Second)
	trialGain  = 1.1
)

// window is the window at a rate in bytes a second.
func (s *shortWindow) window(rate float64, mtu int) int {
	w := int(rate * (shortTime >> s.halvings).Seconds())
	return max(min(w, s.bound), leastShortWindow, leastShortPackets*mtu)
}

// endRound draws the conclusions of a round trip in which so many bytes were lost.
func (s *shortWindow) endRound(ev *ackEvent, lost int, rate float64, mtu int) {
	switch {
	case lost > 0:
		s.bound = max(int(lossBeta*float64(min(s.bound, ev.before))), leastShortWindow)
		s.after = ev.now + shortWindowHold
	case ev.limited && ev.now > s.after:
		s.bound = min(s.bound+2*mtu, maxShortWindow)
	}
	switch w := rate * shortTime.Seconds(); {
	case w >= maxShortWindow: // so fast an end finds much
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

// endInterval compares what was delivered in an interval, in bytes a second, with
// what was in the one before, and says how the next is to be.
func (s *shortWindow) endInterval(now int64, got, rate float64) {
	switch {
	case s.trying > 0 && got < s.usual, s.trying < 0 && got < trialGain*s.usual:
		s.halvings -= s.trying
		s.trying, s.longer, s.next = 0, !s.longer, now+trialPause
	case s.trying != 0:
		s.trying = 0 // it stays
	case now >= s.next:
		s.usual, s.trying = got, 1
		if s.longer && s.halvings > 0 || rate*(shortTime>>s.halvings).Seconds() <= leastShortWindow {
			s.trying = -s.halvings // not one by one: two may both be under the least
		}
		s.halvings += s.trying
	}
}
