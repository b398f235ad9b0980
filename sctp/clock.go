package sctp

import "time"

// An instant is a time in nanoseconds of the association's clock, which shows 1 at
// the first call. 0 means never.
type instant = int64

// A clock converts the caller's time to instants and back.
type clock struct {
	zero time.Time
	last instant // what the most recent call of tick returned
}

// tick returns now as an instant, and stores it in last.
func (c *clock) tick(now time.Time) instant {
	c.last = c.at(now)
	return c.last
}

// at returns now as an instant. The first call starts the clock.
func (c *clock) at(now time.Time) instant {
	if c.zero.IsZero() {
		c.zero = now.Add(-1)
	}
	return int64(now.Sub(c.zero))
}

// time converts an instant back. The zero time means never.
func (c *clock) time(t instant) time.Time {
	if t == 0 {
		return time.Time{}
	}
	return c.zero.Add(time.Duration(t))
}

// due reports whether a timer has expired, and stops it.
func due(now instant, timer *instant) bool {
	if *timer == 0 || now < *timer {
		return false
	}
	*timer = 0
	return true
}

// earliest returns the earliest of the timers that are set, or 0 if none is.
func earliest(timers ...instant) (first instant) {
	for _, t := range timers {
		if t != 0 && (first == 0 || t < first) {
			first = t
		}
	}
	return first
}
