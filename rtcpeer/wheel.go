package rtcpeer

import (
	"runtime"
	"sync"
	"time"
)

// A wheel is the one timer of the peers of a host that are connected. At rest
// each has a check of consent every five seconds, one of the far end's, and
// deadlines that are put off by the answers. With timers of their own, a
// thousand peers would keep as many of the runtime's, and start as many
// goroutines for each deadline. When all are spoken to at once, those would go
// before the one that reads the answers; the wheel gives way after each peer.
//
// Deadlines fall into slots, at whose end they are due: times are of use here
// to within a slot. What is later than the last slot is looked at then.
type wheel struct {
	mu    sync.Mutex
	base  time.Time // when slot 0 ended; zero: no peer was ever here
	slots [wheelSlots]*peer
	done  int64       // slots up to this one are empty
	armed int64       // the slot at whose end timer fires; 0: it does not
	timer *time.Timer // nil: as base
	due   []*peer     // scratch
}

const (
	wheelSlot  = slackFrom >> 8 // 8 ms
	wheelSlots = 1 << 13        // 64 s: more than twice the longest interval, of HEARTBEAT
	wheelLeast = 2 * wheelSlot  // sooner deadlines want a timer of their own
	wheelMark  = slackFrom << 5 // 64 s, a multiple of all grids of slackOf
)

// A wheelPlace is where a peer is in its host's wheel; guarded by wheel.mu.
type wheelPlace struct {
	slot       int64 // 0: nowhere
	prev, next *peer // in that slot
}

// add has p.fire called at a time that is wait from now, or a little later. It
// tells how much. What was set for p before is forgotten.
func (w *wheel) add(p *peer, at time.Time, wait time.Duration) (slack time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(p)
	if w.base.IsZero() {
		// On the clock's own marks, where other timers with slack fire too, of
		// this process and of others.
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
	n = max(n, w.done+1) // the caller's clock may have stood while ours went on
	w.link(p, n)
	if w.armed == 0 || n < w.armed {
		w.arm(n, offset-wait)
	}
	return time.Duration(n)*wheelSlot - offset
}

// arm sets the timer for the end of a slot; now is since base.
func (w *wheel) arm(n int64, now time.Duration) {
	w.armed = n
	w.timer.Reset(time.Duration(n)*wheelSlot - now)
}

func (w *wheel) link(p *peer, n int64) {
	head := &w.slots[n%wheelSlots]
	p.place = wheelPlace{slot: n, next: *head}
	if *head != nil {
		(*head).place.prev = p
	}
	*head = p
}

func (w *wheel) unlink(p *peer) {
	at := &p.place
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

// remove forgets what was set for p.
func (w *wheel) remove(p *peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.unlink(p)
}

// fire runs the peers that are due, one after the other.
func (w *wheel) fire() {
	now := time.Now()
	due := w.take(now)
	for i, p := range due {
		p.fireAt(now)
		due[i] = nil
		runtime.Gosched()
	}
	w.mu.Lock()
	w.due = due[:0]
	w.mu.Unlock()
}

// take takes the peers that are due off the wheel, and sets the timer for the
// next.
func (w *wheel) take(at time.Time) (due []*peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := at.Sub(w.base)
	last := int64(now / wheelSlot)
	due, w.due = w.due, nil
	for n := max(w.done+1, last-wheelSlots+1); n <= last; n++ {
		for p := w.slots[n%wheelSlots]; p != nil; {
			next := p.place.next
			if p.place.slot <= last { // and not a whole turn later
				w.unlink(p)
				due = append(due, p)
			}
			p = next
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
