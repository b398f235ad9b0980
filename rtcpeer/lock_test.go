package rtcpeer

import "testing"

// A countingWaker counts wake-ups.
type countingWaker struct {
	receivers, senders int
}

func (w *countingWaker) WakeReceivers() { w.receivers++ }
func (w *countingWaker) WakeSenders()   { w.senders++ }

// Unlock runs each wake-up once. If there are too many wake-ups, wake runs the further
// ones itself.
func TestTransportMutexWakes(t *testing.T) {
	var m transportMutex
	wakers := make([]countingWaker, 3*len(m.wakeups))
	m.Lock()
	for i := range wakers {
		m.wake(wakeup{waker: &wakers[i], receivers: true})
		m.wake(wakeup{waker: &wakers[i], receivers: true})
		m.wake(wakeup{waker: &wakers[i], senders: i%2 == 0})
	}
	m.wake(wakeup{receivers: true}) // the channel has no DataChannel
	if wakers[0].receivers != 0 {
		t.Error("woken under the lock")
	}
	m.Unlock()
	for i, w := range wakers {
		if w.receivers == 0 || i < len(m.wakeups) && w.receivers > 1 || (w.senders > 0) != (i%2 == 0) {
			t.Errorf("waker %d: %d and %d calls", i, w.receivers, w.senders)
		}
	}
	before := wakers[0]
	m.Lock()
	//lint:ignore SA2001 Unlock is what is tested
	m.Unlock()
	if wakers[0] != before {
		t.Error("woken again")
	}
}

// notify is called once for all events, after the lock is released.
func TestTransportMutexNotifies(t *testing.T) {
	var m transportMutex
	calls := 0
	m.notify = func() {
		calls++
		if !m.mu.TryLock() {
			t.Fatal("notified under the lock")
		}
		m.mu.Unlock()
	}
	for want := range 2 {
		m.Lock()
		m.notified = want > 0
		m.Unlock()
		if calls != want {
			t.Errorf("notified %d times, want %d", calls, want)
		}
	}
	m.Lock()
	//lint:ignore SA2001 Unlock is what is tested
	m.Unlock()
	if calls != 1 {
		t.Error("notified again")
	}
}
