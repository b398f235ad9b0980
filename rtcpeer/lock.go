package rtcpeer

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// A fairMutex is a mutex whose Unlock lets a waiter go first. With
// sync.Mutex alone, a program that sends in a loop takes the lock again before
// whoever waits for it is awake, for up to a millisecond: a small message
// beside a bulk transfer would wait for that.
type fairMutex struct {
	mu      sync.Mutex
	waiting atomic.Int32
}

func (m *fairMutex) Lock() {
	if m.mu.TryLock() {
		return
	}
	m.waiting.Add(1)
	m.mu.Lock()
	m.waiting.Add(-1)
}

func (m *fairMutex) Unlock() {
	m.mu.Unlock()
	if m.waiting.Load() > 0 {
		runtime.Gosched() // the waiter is next on this processor
	}
}
