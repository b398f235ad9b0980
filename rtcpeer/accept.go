package rtcpeer

import (
	"context"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"purertc/ice"
	"purertc/stun"
)

// Accept waits for a remote that knows the host's address and begins to connect before
// the host has a description of it, as in libp2p's webrtc-direct. [Incoming.Connect]
// makes the connection. Or, if the program learns the remote's certificate in another
// way, it makes a connection of this host with Config.ICEUfrag and ICEPwd, and gives it
// an offer that it writes itself. In both cases the connection gets the check that is
// kept, and answers it. To refuse a remote, the program does nothing.
//
// Each pair of ufrags is returned once in 30 seconds. Checks are kept from the first
// call of Accept until 30 seconds after the last one has returned: at most 1024 of
// them, and 256 KiB, of which a new one takes the place of the oldest.
//
// Accept returns ctx's error, or ErrClosed after Close.
func (h *Host) Accept(ctx context.Context) (*Incoming, error) {
	if h.done == nil {
		return nil, ErrUnconfigured
	}
	h.incoming.begin()
	defer h.incoming.end(time.Now)
	for {
		k := h.incoming.next(time.Now())
		if k == nil {
			select {
			case <-h.incoming.more.channel():
			case <-ctx.Done():
				return nil, ctx.Err()
			case <-h.done:
				h.incoming.more.set()
				return nil, ErrClosed
			}
			continue
		}
		if h.sockets[0].Claimed(k.username) {
			continue // its connection was made while the check came
		}
		return newIncoming(h, k), nil
	}
}

// incomingChecks are the checks for Accept. They are kept only while the program calls
// it.
type incomingChecks struct {
	checkQueue
	calls atomic.Int32
	last  atomic.Int64 // when the last call returned, in Unix nanoseconds; 0: never
}

func (c *incomingChecks) begin() { c.calls.Add(1) }

func (c *incomingChecks) end(now func() time.Time) {
	c.last.Store(now().UnixNano())
	c.calls.Add(-1)
}

// wanted reports whether the program calls Accept, or did so within keptFor.
func (c *incomingChecks) wanted(now time.Time) bool {
	return c.calls.Load() > 0 || now.UnixNano()-c.last.Load() < int64(keptFor)
}

// unclaimed takes a check that names the ufrag of no connection. It returns the queue
// that keeps the check; nil: the check is dropped.
func (h *Host) unclaimed(now time.Time, r ice.Route, b []byte) (*checkQueue, *keptCheck) {
	m, err := stun.Parse(b)
	if err != nil || m.Type() != stun.BindingRequest {
		return nil, nil
	}
	username, local, _, ok := usernameOf(m)
	if !ok {
		return nil, nil
	}
	if i := h.invites.get(local); i != nil {
		return &i.queue, i.keep(now, m, username, r)
	}
	if !h.incoming.wanted(now) {
		return nil, nil
	}
	return &h.incoming.checkQueue, h.incoming.add(now, username, r, b)
}

// unclaimedDatagram is unclaimed for the UDP sockets.
func (h *Host) unclaimedDatagram(now time.Time, r ice.Route, b []byte) { h.unclaimed(now, r, b) }

// unclaimedConnection is unclaimed for a TCP connection whose first datagram is b. The
// connection waits until the channel is closed, and then looks for its transport.
func (h *Host) unclaimedConnection(now time.Time, remote netip.AddrPort, b []byte) <-chan struct{} {
	q, k := h.unclaimed(now, ice.Route{Sock: tcpSock, Remote: remote}, b)
	if k == nil {
		return nil
	}
	return q.wait(k)
}

// claim gives a transport the checks that came before it had its ufrag. name is the
// ufrag, or a whole USERNAME.
func (h *Host) claim(name string, t handler) {
	checks := h.incoming.take(name)
	ufrag, _, _ := strings.Cut(name, ":")
	if i := h.invites.get(ufrag); i != nil {
		checks = append(checks, i.queue.take(name)...)
	}
	for _, k := range checks {
		if k.route.Sock == hostSocket { // else it came over TCP, and tcpmux has the datagram
			t.HandleDatagrams(time.Now(), k.route, k.datagram, len(k.datagram))
		}
	}
}
