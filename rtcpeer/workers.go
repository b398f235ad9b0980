package rtcpeer

import (
	"runtime"
	"sync"
)

// workers are goroutines that run transports during set-up. A handshake takes a third
// of a millisecond of public-key work. If the reader of a shared socket did this work,
// connected transports would be delayed. A goroutine for each handshake would delay
// them, too.
// The transports of a Host share one pool of workers. All other transports share
// commonWorkers. A worker exists while transports are in the list.
type workers struct {
	mu         sync.Mutex
	transports fifo[*transport] // transports with queued input, each at most once: see inputQueue.listed
	running    int              // number of worker goroutines
}

// commonWorkers are for transports with sockets of their own.
var commonWorkers workers

// add appends a transport to the list, so that a worker runs it.
func (w *workers) add(t *transport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.transports.push(t)
	// One processor is left for the connected transports.
	if w.running < max(1, runtime.GOMAXPROCS(0)-1) {
		w.running++
		go w.run()
	}
}

// run runs transports from the list until the list is empty.
func (w *workers) run() {
	for {
		t := w.next()
		if t == nil {
			return
		}
		t.runAsWorker()
	}
}

// next removes the first transport from the list. It returns nil if the list is empty;
// the worker then ends.
func (w *workers) next() *transport {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, ok := w.transports.pop()
	if !ok {
		w.running--
	}
	return t
}

// runAsWorker runs the transport's queued input. If another goroutine holds the lock, its
// Unlock lists the transport again.
func (t *transport) runAsWorker() {
	t.queue.listed.Store(false)
	if t.mu.TryLock() {
		t.runQueued()
		t.mu.Unlock() // Unlock lists the transport again, behind the others, if more input was queued
	}
}
