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
	mu      sync.Mutex
	peers   fifo[*peer] // each once: inputQueue.listed
	running int         // goroutines
}

// commonWorkers are for transports with sockets of their own.
var commonWorkers workers

// add lists a transport to be run.
func (w *workers) add(p *peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers.push(p)
	// One processor is left to the connected transports.
	if w.running < max(1, runtime.GOMAXPROCS(0)-1) {
		w.running++
		go w.run()
	}
}

func (w *workers) run() {
	for {
		p := w.next()
		if p == nil {
			return
		}
		p.work()
	}
}

// next takes the first transport of the list; nil ends the worker.
func (w *workers) next() *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.peers.pop()
	if !ok {
		w.running--
	}
	return p
}

// work runs the transport's queued input. If another goroutine holds the lock, its
// Unlock lists the transport again.
func (p *peer) work() {
	p.queue.listed.Store(false)
	if p.mu.TryLock() {
		p.runQueued()
		p.mu.Unlock() // later input goes behind the other transports
	}
}
