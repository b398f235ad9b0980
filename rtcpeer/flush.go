package rtcpeer

import (
	"sync"
	"time"

	"purertc/ice"
)

// A batch is the buffer for the datagrams of one write. It belongs to the goroutine that
// flushes, never to a transport.
type batch struct{ b []byte }

// batchSize is how many bytes one write with segmentation offload takes: UDP's longest
// payload over IPv4. batchSegments is below Linux's limit of segments, so that a burst
// fits into the default receive buffers of common systems.
const (
	batchSize     = 65000
	batchSegments = 48
)

// smallBatchSize is enough for a flight of DTLS, for acknowledgements and for small
// messages. Most flushes send no more. The garbage collector frees pooled buffers that
// are used rarely: with large buffers only, they were a tenth of the garbage of setting
// up connections.
const smallBatchSize = 4 << 10

var (
	batches      = sync.Pool{New: func() any { return &batch{make([]byte, 0, batchSize+maxDatagramSize)} }}
	smallBatches = sync.Pool{New: func() any { return &batch{make([]byte, 0, smallBatchSize+ethernetDatagramSize)} }}
)

// flush sends the core's datagrams until there are no more or a socket is full.
// Datagrams of one size and one route go out in one write.
//
// While a socket is full only ICE's own datagrams go out, which are few: by them the
// connection finds another pair if the full socket stays full.
func (t *transport) flush(now time.Time) {
	buffers, most := &batches, batchSize
	if t.core.assoc.Pending() < smallBatchSize {
		buffers, most = &smallBatches, smallBatchSize
	}
	var (
		buffer  = buffers.Get().(*batch)
		b       = buffer.b[:0]
		route   ice.Route
		segment int // bytes of each datagram in b but the last, which may be shorter
		count   int
	)
	for {
		start := len(b)
		next, r, ok := t.core.appendDatagram(now, b, t.full)
		if !ok {
			break
		}
		size := len(next) - start
		if start > 0 && (r != route || size > segment) {
			t.write(now, route, next[:start], segment)
			b = next[:copy(next, next[start:])]
			start = 0
		} else {
			b = next
		}
		if start == 0 {
			route, segment, count = r, size, 0
		}
		// A shorter datagram can only be the last one of a write.
		if count++; size < segment || count == batchSegments || len(b)+segment > most {
			t.write(now, route, b, segment)
			b = b[:0]
		}
	}
	if len(b) > 0 {
		t.write(now, route, b, segment)
	}
	buffers.Put(buffer)
}

func (t *transport) write(now time.Time, r ice.Route, b []byte, segment int) {
	if c := t.core.observer.capture; c != nil {
		c.sent(now, &t.gatherer, r, b, segment)
	}
	if r.Sock == ice.SockMDNS {
		t.gatherer.writeMDNS(r, b)
		return
	}
	t.traffic.packetsSent += uint64((len(b) + segment - 1) / segment)
	t.traffic.bytesSent += uint64(len(b))
	if q := t.gatherer.sockets.port(r.Sock); q != nil && !q.Write(r, b, segment) {
		t.full = true
	}
}
