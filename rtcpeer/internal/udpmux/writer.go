package udpmux

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"purertc/ice"
)

// A burst holds datagrams that wait for a full socket.
type burst struct {
	route   ice.Route
	b       []byte
	segment int
}

// A writer is the sending half of a Socket.
type writer struct {
	mu          sync.Mutex
	socket      *Socket
	gso         bool
	gsoFailures int
	full        bool // the kernel accepted no more; a goroutine waits for room
	// pendingBytes is how many bytes all ports' pending bursts have.
	pendingBytes int
	waiters      []*Port // ports with pending bursts, in the order in which they found the socket full
	sender
}

func (w *writer) init(s *Socket, gso bool) error {
	w.socket, w.gso = s, gso
	return w.sender.init(s)
}

// Write splits b into datagrams and sends them to r. Each datagram has segment bytes;
// the last one may be shorter. Write never blocks. ok is false when the socket is
// full. In this case Write keeps the remaining datagrams and sends them before later
// ones, and Handler.Writable is called afterwards. Errors of the network are treated
// as losses and not reported.
func (p *Port) Write(r ice.Route, b []byte, segment int) (ok bool) {
	if len(b) == 0 || p.closed.Load() || p.socket.closed.Load() {
		return true
	}
	if segment <= 0 || segment > len(b) {
		segment = len(b)
	}
	if !p.sole {
		for rest := b; len(rest) > 0 && rest[0] < 4; rest = rest[min(segment, len(rest)):] {
			p.socket.demux.note(time.Now(), p, r.Remote, rest[:min(segment, len(rest))])
		}
	}
	w := &p.socket.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.full {
		sent, full := w.send(r, b, segment)
		if !full {
			return true
		}
		b = b[sent:]
		w.full = true
		go w.resume()
	}
	w.keep(p, r, b, segment)
	return false
}

// keep copies datagrams that could not be sent. If a transport writes more to a full
// socket than the limit allows, datagrams are lost, as in a network.
func (w *writer) keep(p *Port, r ice.Route, b []byte, segment int) {
	if p.pendingBytes+len(b) > maxPending || w.pendingBytes+len(b) > maxAllPending {
		return
	}
	w.pendingBytes += len(b)
	if len(p.pending) == 0 {
		w.waiters = append(w.waiters, p)
	}
	p.pendingBytes += len(b)
	p.pending = append(p.pending, burst{r, slices.Clone(b), segment})
}

// forget drops the pending bursts of a port.
func (w *writer) forget(p *Port) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pendingBytes -= p.pendingBytes
	p.pending, p.pendingBytes = nil, 0
	w.waiters = slices.DeleteFunc(w.waiters, func(q *Port) bool { return q == p })
}

// resume sends pending bursts when the kernel accepts them, and then reports to their
// transports that there is room.
func (w *writer) resume() {
	var ready []*Port
	err := w.sender.whenWritable(func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		for len(w.waiters) > 0 {
			p := w.waiters[0]
			if !w.drain(p) {
				return false
			}
			w.waiters = w.waiters[1:]
			ready = append(ready, p)
		}
		w.waiters, w.full = nil, false
		return true
	})
	if err != nil {
		w.socket.failed(err) // does nothing if the socket was closed
		return
	}
	for _, p := range ready {
		if !p.closed.Load() {
			p.handler.Writable(p.sock)
		}
	}
}

// drain sends the pending bursts of p. It reports whether all of them were sent.
func (w *writer) drain(p *Port) bool {
	for i := range p.pending {
		u := &p.pending[i]
		sent, full := w.send(u.route, u.b, u.segment)
		p.pendingBytes -= sent
		w.pendingBytes -= sent
		u.b = u.b[sent:]
		if full {
			p.pending = slices.Delete(p.pending, 0, i)
			return false
		}
	}
	p.pending = nil
	return true
}

// send gives datagrams to the kernel until it accepts no more. sent is how many bytes
// it accepted.
func (w *writer) send(r ice.Route, b []byte, segment int) (sent int, full bool) {
	local := netip.Addr{}
	if w.socket.wildcard && !w.socket.hideLocal {
		local = r.Local
	}
	for sent < len(b) {
		n := min(len(b)-sent, segment)
		if w.gso && segment < len(b)-sent {
			n = min(len(b)-sent, min(maxSegments, max(1, maxBurst/segment))*segment)
		}
		err := w.try(b[sent:sent+n], segment, local, r.Remote)
		switch {
		case err == nil:
			if n > segment {
				w.gsoFailures = 0
			}
		case isFull(err):
			return sent, true
		case n > segment && w.gsoFailed(err):
			if full = w.sendSingly(b[sent:sent+n], segment, local, r.Remote, &sent); full {
				return sent, true
			}
			continue
		}
		sent += n // the datagrams were sent, or are lost as in a network
	}
	return sent, false
}

// try sends one burst, or one datagram if segment is at least its length.
func (w *writer) try(b []byte, segment int, local netip.Addr, remote netip.AddrPort) error {
	if c := w.socket.packets; c != nil {
		return c.send(b, remote)
	}
	return w.trySend(b, segment, local, remote)
}

// sendSingly sends, one by one, the segments of a burst that the kernel did not accept
// as a whole.
func (w *writer) sendSingly(b []byte, segment int, local netip.Addr, remote netip.AddrPort, sent *int) (full bool) {
	for len(b) > 0 {
		n := min(segment, len(b))
		if err := w.try(b[:n], n, local, remote); err != nil && isFull(err) {
			return true
		}
		b = b[n:]
		*sent += n
	}
	return false
}

// maxGSOFailures is how many consecutive bursts the kernel may refuse before the
// socket stops using segmentation. A refused burst may have been longer than the path
// MTU. The kernel may still accept the next burst.
const maxGSOFailures = 8

// gsoFailed reports whether an error may be caused by segmentation. It turns
// segmentation off if it can never work, for example if a device without checksum
// offload returns EIO, or after maxGSOFailures such errors in succession.
func (w *writer) gsoFailed(err error) bool {
	never, once := gsoRefused(err)
	if never {
		w.gso = false
	} else if once {
		if w.gsoFailures++; w.gsoFailures >= maxGSOFailures {
			w.gso = false
		}
	}
	return never || once
}
