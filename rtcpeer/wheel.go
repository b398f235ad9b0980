package rtcpeer

import (
	"runtime"
	"sync"
	"time"
)

// A wheel is the one timer of all connected transports of a Host. An idle transport
// sends a consent request every five seconds and receives one, and each answer moves
// the transport's deadlines. With a timer for each transport, a thousand transports
// would keep a thousand timers of the runtime, and start a goroutine for each
// deadline. If all transports send at once, those goroutines would run before the
// goroutine that reads the answers. The wheel yields the processor after each
// transport.
//
// Time is divided into slots. A transport runs at the end of the slot that contains
// its deadline, which is precise enough for these deadlines. A deadline beyond the
// last slot is put into the last slot, and examined again at its end.
type wheel struct {
	mu    sync.Mutex
	base  time.Time // when slot 0 ended; zero: the wheel was never used
	slots [wheelSlots]*transport
	done  int64        // slots up to this one are empty
	armed int64        // the timer is set for the end of this slot; 0: it is not set
	timer *time.Timer  // nil: the wheel was never used
	due   []*transport // memory that take uses again
}

const (
	wheelSlot  = slackFrom >> 8 // 8 ms
	wheelSlots = 1 << 13        // the wheel covers 64 s: more than twice the longest interval, which is that of HEARTBEATs
	wheelLeast = 2 * wheelSlot  // an earlier deadline needs a timer of the transport itself
	wheelMark  = slackFrom << 5 // 64 s, a multiple of all grids of slackOf
)

// A wheelPlace is a transport's place in its host's wheel; guarded by wheel.mu.
type wheelPlace struct {
	slot       int64      // number of the slot; 0: the transport is not in the wheel
	prev, next *transport // neighbours in the list of the slot
}

// add makes the wheel run transport t at the time at, which is the duration wait from
// now, or a little later. It returns how much later. An earlier entry of t is
// replaced.
func (w *wheel) add(t *transport, at time.Time, wait time.Duration) (slack time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(t)
	if w.base.IsZero() {
		// base is a multiple of wheelMark of the clock, so that the wheel fires
		// together with other timers that have slack, in this process and in others.
		w.base = at.Add(-wait - wheelSlot)
		w.base = w.base.Add(-time.Duration(w.base.UnixNano()) % wheelMark)
		w.timer = time.AfterFunc(time.Hour, w.fire)
		w.timer.Stop()
	}
	offset := at.Sub(w.base)
	aligned := offset + slackOf(offset, wait)
	now := int64((offset - wait) / wheelSlot)
	n := int64((aligned + wheelSlot - 1) / wheelSlot)
	n = min(max(n, now+1), now+wheelSlots-1)
	n = max(n, w.done+1) // the time of the caller may have been read before the wheel's last run
	w.link(t, n)
	if w.armed == 0 || n < w.armed {
		w.arm(n, offset-wait)
	}
	return time.Duration(n)*wheelSlot - offset
}

// arm sets the timer for the end of slot n. now is the time since base.
func (w *wheel) arm(n int64, now time.Duration) {
	w.armed = n
	w.timer.Reset(time.Duration(n)*wheelSlot - now)
}

func (w *wheel) link(t *transport, n int64) {
	head := &w.slots[n%wheelSlots]
	t.place = wheelPlace{slot: n, next: *head}
	if *head != nil {
		(*head).place.prev = t
	}
	*head = t
}

func (w *wheel) unlink(t *transport) {
	at := &t.place
	if at.slot == 0 {
		return
	}
	if at.prev == nil {
		w.slots[at.slot%wheelSlots] = at.next
	} else {
		at.prev.place.next = at.next
	}
	if at.next != nil {
		at.next.place.prev = at.prev
	}
	*at = wheelPlace{}
}

// remove takes t out of the wheel.
func (w *wheel) remove(t *transport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(t)
}

// fire runs the transports that are due, one after the other.
func (w *wheel) fire() {
	now := time.Now()
	due := w.take(now)
	for i, t := range due {
		t.fireAt(now)
		due[i] = nil
		runtime.Gosched()
	}
	w.mu.Lock()
	w.due = due[:0]
	w.mu.Unlock()
}

// take removes the transports that are due, and sets the timer for the next slot with
// a transport.
func (w *wheel) take(at time.Time) (due []*transport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := at.Sub(w.base)
	last := int64(now / wheelSlot)
	due, w.due = w.due, nil
	for n := max(w.done+1, last-wheelSlots+1); n <= last; n++ {
		for t := w.slots[n%wheelSlots]; t != nil; {
			next := t.place.next
			if t.place.slot <= last { // otherwise the transport is due a whole turn of the wheel later
				w.unlink(t)
				due = append(due, t)
			}
			t = next
		}
	}
	w.done, w.armed = max(w.done, last), 0
	for n := w.done + 1; n < w.done+wheelSlots; n++ {
		if w.slots[n%wheelSlots] != nil {
			w.arm(n, now)
			break
		}
	}
	return due
}
