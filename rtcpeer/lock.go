package rtcpeer

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A peerMutex is the lock of a peer: a mutex that wakes others only when it is
// free, whose Unlock lets a waiter go first, and runs the input that others left
// because they did not get the lock.
//
// Whoever is woken under the lock runs into it on another processor, sleeps
// again, and has to be woken again by Unlock. And with sync.Mutex alone, a
// program that sends in a loop takes the lock again before whoever waits for it
// is awake, for up to a millisecond: a small message beside a bulk transfer
// would wait for that.
type peerMutex struct {
	mu      sync.Mutex
	waiting atomic.Int32

	later  [4]*signal // set by Unlock; guarded by mu
	laters int
	peer   *peer  // whose queued input Unlock runs; nil: none
	notify func() // called by Unlock where told is set; does not block
	told   bool
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

// wake has Unlock set a signal. It is called with the lock held.
func (m *peerMutex) wake(s *signal) {
	for _, t := range m.later[:m.laters] {
		if t == s {
			return
		}
	}
	if m.laters == len(m.later) {
		s.set()
		return
	}
	m.later[m.laters] = s
	m.laters++
}

func (m *peerMutex) Unlock() {
	p := m.peer
	if p != nil && p.queue.direct.Load() {
		p.runQueued() // once: what comes from here on is the workers'
	}
	later, n := m.later, m.laters
	if n > 0 {
		m.later, m.laters = [4]*signal{}, 0
	}
	told := m.told
	m.told = false
	m.mu.Unlock()
	if p != nil && p.queue.some.Load() {
		p.list()
	}
	for _, s := range later[:n] {
		s.set()
	}
	if told {
		m.notify()
	}
	if m.waiting.Load() > 0 {
		runtime.Gosched() // the waiter is next on this processor
	}
}
