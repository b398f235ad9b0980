package rtcpeer

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A transportMutex is the lock of a transport. Unlock wakes the goroutines for which
// the holder of the lock has events. It lets a goroutine that waits for the lock run
// next. And it runs the input that other goroutines queued because they did not get
// the lock.
//
// Goroutines are not woken while the lock is held: a woken goroutine would wait for
// the lock, sleep again, and have to be woken a second time. With sync.Mutex alone, a
// program that sends in a loop would take the lock again before a waiting goroutine is
// awake, for up to a millisecond. A small message beside a bulk transfer would wait
// that long.
type transportMutex struct {
	mu      sync.Mutex
	waiting atomic.Int32 // number of goroutines that wait in Lock

	transport *transport // the transport with the queued input that Unlock runs; nil: none
	wakeups   [4]wakeup
	nWakeups  int
	notify    func() // called by Unlock if notified is set; does not block
	notified  bool
}

// A wakeup is a call of a ChannelWaker that Unlock will make.
type wakeup struct {
	waker              ChannelWaker
	receivers, senders bool
}

func (w wakeup) run() {
	if w.receivers {
		w.waker.WakeReceivers()
	}
	if w.senders {
		w.waker.WakeSenders()
	}
}

func (m *transportMutex) Lock() {
	if m.mu.TryLock() {
		return
	}
	m.waiting.Add(1)
	m.mu.Lock()
	m.waiting.Add(-1)
}

func (m *transportMutex) TryLock() bool { return m.mu.TryLock() }

// wake makes Unlock wake the blocked calls of a channel. The lock is held.
func (m *transportMutex) wake(w wakeup) {
	if w.waker == nil {
		return // no DataChannel uses the channel, so no call is blocked
	}
	for i := range m.wakeups[:m.nWakeups] {
		if p := &m.wakeups[i]; p.waker == w.waker {
			p.receivers, p.senders = p.receivers || w.receivers, p.senders || w.senders
			return
		}
	}
	if m.nWakeups == len(m.wakeups) {
		w.run() // the list is full: the goroutine is woken now, and waits for the lock
		return
	}
	m.wakeups[m.nWakeups] = w
	m.nWakeups++
}

func (m *transportMutex) Unlock() {
	t := m.transport
	if t != nil && t.queue.direct.Load() {
		t.runQueued() // Unlock does this only once; input that is queued after this is left to the workers
	}
	if t != nil && t.core.observer.on() {
		t.core.observer.flush(t.log)
	}
	wakeups, n := m.wakeups, m.nWakeups
	if n > 0 {
		m.wakeups, m.nWakeups = [4]wakeup{}, 0
	}
	notified := m.notified
	m.notified = false
	m.mu.Unlock()
	if t != nil && t.queue.some.Load() {
		t.list()
	}
	for _, w := range wakeups[:n] {
		w.run()
	}
	if notified {
		m.notify()
	}
	if m.waiting.Load() > 0 {
		runtime.Gosched() // the goroutine that waits for the lock runs next on this processor
	}
}
