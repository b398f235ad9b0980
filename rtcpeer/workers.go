package rtcpeer

import (
	"runtime"
	"sync"
)

// workers are goroutines that run transports during set-up. A handshake takes a third
// of a millisecond of public-key work: the reader of a shared socket that did it would
// delay the connected transports, and so would a goroutine for each handshake. The
// transports of a Host share one pool, all others commonWorkers. A worker exists while
// transports are listed.
type workers struct {
	mu         sync.Mutex
	transports fifo[*transport] // each once: inputQueue.listed
	running    int              // goroutines
}

// commonWorkers are for transports with sockets of their own.
var commonWorkers workers

// add lists a transport to be run.
func (w *workers) add(t *transport) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.transports.push(t)
	// One processor is left to the connected transports.
	if w.running < max(1, runtime.GOMAXPROCS(0)-1) {
		w.running++
		go w.run()
	}
}

// run runs listed transports until none is listed.
func (w *workers) run() {
	for {
		t := w.next()
		if t == nil {
			return
		}
		t.runAsWorker()
	}
}

// next takes the first transport of the list; nil ends the worker.
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
		t.mu.Unlock() // later input goes behind the other transports
	}
}
