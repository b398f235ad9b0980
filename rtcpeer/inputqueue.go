package rtcpeer

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"purertc/ice"
)

// Some goroutines serve several transports: the reader of a Host's socket, the Host's
// timer wheel, the goroutine that watches the machine's addresses, and the readers of
// multicast DNS. Such a goroutine never waits for a transport's lock, because one
// transport would then delay all others. If the lock is not free, the goroutine puts
// its input into the transport's inputQueue. One of two goroutines runs the queued
// input, in order:
//
//   - the goroutine that holds the lock, before it unlocks, or
//   - a worker, if the transport is not connected yet, or if input was queued after the
//     lock holder had run the queue.
//
// A goroutine that serves only one transport, such as the reader of the transport's own
// socket or of a TCP connection, waits for the lock: unread data stays in the kernel.
// During set-up this goroutine uses the queue, too, since workers run the handshakes.

// An inputQueue holds input that waits for a transport's lock.
type inputQueue struct {
	workers *workers
	// workersOnly says that shared goroutines leave all input to the workers, because
	// the program has a Filter, which may be slow.
	workersOnly bool
	// direct says that any goroutine may run the transport, because it is connected or
	// has ended. Before the transport is connected, only workers run handshakes.
	direct atomic.Bool
	some   atomic.Bool // input is queued; set and cleared with mu held
	listed atomic.Bool // the transport is in the workers' list

	mu    sync.Mutex
	input *input // the queued input; nil: none
}

// An input is the queued input of one transport. Its memory comes from the pool
// inputs.
type input struct {
	datagrams []queuedDatagrams
	bytes     []byte // contents of all datagrams
	cost      int    // sum of costOf for the datagrams, which the queue limits

	start     bool         // the DTLS handshake is to begin
	writable  bool         // a socket accepts datagrams again
	expired   bool         // a timer has fired
	expiredAt time.Time    // when the timer fired
	addresses []netip.Addr // the machine's addresses after a change; nil: no change
	closed    []closedRoute
}

// queuedDatagrams are the arguments of one call of HandleDatagrams.
type queuedDatagrams struct {
	at         time.Time
	route      ice.Route
	start, end int // range of the datagrams in input.bytes
	segment    int
}

// A closedRoute is a failed socket or connection.
type closedRoute struct {
	route ice.Route // route of the connection; for a socket, only Sock is set
	err   error
}

var inputs = sync.Pool{New: func() any { return new(input) }}

// Limits of the queued input of one transport, in bytes. Each datagram is counted with
// datagramOverhead bytes in addition, as in the kernel's socket buffer. Datagrams
// beyond the limit are lost, as if a socket buffer were full. Before a transport is
// connected, the limit is a few flights of a handshake. After that, the limit is four
// reads of 64 KiB. A read of 64 KiB is one burst of a busy sender with segmentation
// offload.
const (
	maxConnecting    = 32 << 10
	maxQueued        = 256 << 10
	datagramOverhead = 256
	maxClosed        = 64 // number of closed routes that are queued; the transport notices others when its next Write fails
)

// addDatagrams copies datagrams. It reports whether they fit.
func (in *input) addDatagrams(now time.Time, r ice.Route, b []byte, segment, limit int) bool {
	cost := costOf(b, segment)
	if in.cost+cost > limit {
		return false
	}
	in.cost += cost
	start := len(in.bytes)
	in.bytes = append(in.bytes, b...)
	in.datagrams = append(in.datagrams, queuedDatagrams{now, r, start, len(in.bytes), segment})
	return true
}

// costOf returns the cost of datagrams in the queue. Each datagram has segment bytes.
func costOf(b []byte, segment int) int {
	return len(b) + (len(b)+segment-1)/max(segment, 1)*datagramOverhead
}

// release clears an input that has been run, and returns it to the pool.
func (in *input) release() {
	clear(in.datagrams)
	clear(in.closed)
	*in = input{datagrams: in.datagrams[:0], bytes: in.bytes[:0], closed: in.closed[:0]}
	inputs.Put(in)
}

// hostSocket is the Sock of the routes of a Host's UDP sockets, see hostNetwork.
const hostSocket = 0

// shared reports whether the goroutine that serves a socket serves other transports,
// too.
func (t *transport) shared(sock ice.Sock) bool {
	return sock == ice.SockMDNS || t.cfg.Host != nil && sock == hostSocket
}

// enter takes the lock to run input, and reports whether it has the lock. If it has
// not, the caller calls post. A goroutine that is shared with other transports does
// not wait for the lock. cheap says that the input, such as STUN, takes little time,
// so that it need not be left to the handshake workers.
func (t *transport) enter(shared, cheap bool) bool {
	q := &t.queue
	direct := q.direct.Load()
	switch {
	case direct && !shared:
		t.mu.Lock()
		t.runQueued() // queued input came before the caller's input
		return true
	case q.some.Load() || !direct && !cheap || shared && q.workersOnly:
		return false
	}
	return t.mu.TryLock()
}

// post queues input for the transport: put adds the input to the queue.
func (t *transport) post(put func(in *input)) {
	q := &t.queue
	q.mu.Lock()
	if q.input == nil {
		q.input = inputs.Get().(*input)
	}
	put(q.input)
	q.some.Store(true)
	q.mu.Unlock()
	switch {
	case !q.direct.Load() || q.workersOnly:
		t.list()
	case t.mu.TryLock(): // otherwise the goroutine that holds the lock runs the queue when it unlocks
		t.mu.Unlock() // runs the queue
	}
}

// list puts the transport into the workers' list, so that a worker runs it.
func (t *transport) list() {
	if q := &t.queue; q.listed.CompareAndSwap(false, true) {
		q.workers.add(t)
	}
}

// postDatagrams queues datagrams, if there is room.
func (t *transport) postDatagrams(now time.Time, r ice.Route, b []byte, segment int) {
	limit := maxConnecting
	if t.queue.direct.Load() {
		limit = maxQueued
	}
	limit = min(limit, t.memory.room())
	t.post(func(in *input) {
		if in.addDatagrams(now, r, b, segment, limit) {
			t.memory.host.add(costOf(b, segment))
		}
	})
}

// postClosed queues the failure of a socket or connection.
func (t *transport) postClosed(c closedRoute) {
	t.post(func(in *input) {
		known := slices.ContainsFunc(in.closed, func(o closedRoute) bool { return o.route == c.route })
		if !known && len(in.closed) < maxClosed {
			in.closed = append(in.closed, c)
		}
	})
}

// runQueued runs the queued input. The lock is held from the time when the input is
// taken from the queue until the input has been run, so that the order of input is
// kept.
func (t *transport) runQueued() {
	q := &t.queue
	if !q.some.Load() {
		return
	}
	q.mu.Lock()
	in := q.input
	q.input = nil
	q.some.Store(false)
	q.mu.Unlock()
	defer in.release()
	t.memory.host.add(-in.cost)
	if t.closed {
		return
	}
	if in.start {
		t.core.beginDTLS(t.now())
	}
	for _, d := range in.datagrams {
		t.handleAll(d.at, d.route, in.bytes[d.start:d.end:d.end], d.segment)
	}
	for _, c := range in.closed {
		t.routeClosed(t.now(), c)
	}
	if in.writable {
		t.full = false
	}
	if in.addresses != nil {
		t.gatherer.newAddresses(t.now(), in.addresses)
	}
	if in.expired {
		t.expire(in.expiredAt)
	}
	if !t.closed {
		t.run(t.now())
	}
}
