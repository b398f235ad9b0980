package rtcpeer

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A peerMutex is the lock of a peer. Unlock wakes the goroutines that the
// holder has something for, lets a goroutine that waits for the lock go first, and
// runs the input that others queued because they did not get the lock.
//
// A goroutine that were woken while the lock is held would wait for the lock,
// sleep again, and need to be woken again by Unlock. And with sync.Mutex alone, a
// program that sends in a loop takes the lock again before a waiting goroutine is
// awake, for up to a millisecond: a small message beside a bulk transfer would
// wait that long.
type peerMutex struct {
	mu      sync.Mutex
	waiting atomic.Int32 // goroutines in Lock

	peer     *peer // its queued input is run by Unlock; nil: none
	wakeups  [4]wakeup
	nWakeups int
	notify   func() // called by Unlock where notified is set; does not block
	notified bool
}

// A wakeup is one call of a ChannelWaker that waits for Unlock.
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

func (m *peerMutex) Lock() {
	if m.mu.TryLock() {
		return
	}
	m.waiting.Add(1)
	m.mu.Lock()
	m.waiting.Add(-1)
}

func (m *peerMutex) TryLock() bool { return m.mu.TryLock() }

// wake makes Unlock wake blocked calls of a channel. The lock is held.
func (m *peerMutex) wake(w wakeup) {
	if w.waker == nil {
		return // no DataChannel knows the channel: no call is blocked
	}
	for i := range m.wakeups[:m.nWakeups] {
		if p := &m.wakeups[i]; p.waker == w.waker {
			p.receivers, p.senders = p.receivers || w.receivers, p.senders || w.senders
			return
		}
	}
	if m.nWakeups == len(m.wakeups) {
		w.run() // costs a second wake-up
		return
	}
	m.wakeups[m.nWakeups] = w
	m.nWakeups++
}

func (m *peerMutex) Unlock() {
	p := m.peer
	if p != nil && p.queue.direct.Load() {
		p.runQueued() // once: the workers run what is queued from here on
	}
	wakeups, n := m.wakeups, m.nWakeups
	if n > 0 {
		m.wakeups, m.nWakeups = [4]wakeup{}, 0
	}
	notified := m.notified
	m.notified = false
	m.mu.Unlock()
	if p != nil && p.queue.some.Load() {
		p.list()
	}
	for _, w := range wakeups[:n] {
		w.run()
	}
	if notified {
		m.notify()
	}
	if m.waiting.Load() > 0 {
		runtime.Gosched() // the waiting goroutine is next on this processor
	}
}
