package rtcpeer

import (
	"runtime"
	"sync"
)

// workers run peers whose input nobody else can run. A handshake takes a third of
// a millisecond of public-key work: the reader of a shared socket that did it
// would stall the peers that are connected, and so would a goroutine for each
// peer that connects. The peers of a Host share one workers, all others
// commonWorkers. A worker exists while peers are listed.
type workers struct {
	mu      sync.Mutex
	peers   fifo[*peer] // each once: inputQueue.listed
	running int         // goroutines
}

// commonWorkers are for the peers that have sockets of their own.
var commonWorkers workers

// add lists a peer to be run.
func (w *workers) add(p *peer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.peers.push(p)
	// One processor is left to the peers that are connected.
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

// next takes the first peer of the list; nil ends the worker.
func (w *workers) next() *peer {
	w.mu.Lock()
	defer w.mu.Unlock()
	p, ok := w.peers.pop()
	if !ok {
		w.running--
	}
	return p
}

// work runs what waits for the peer. If somebody else has the lock, its Unlock
// lists the peer again.
func (p *peer) work() {
	p.queue.listed.Store(false)
	if p.mu.TryLock() {
		p.runQueued()
		p.mu.Unlock() // what has come meanwhile goes behind the other peers
	}
}
