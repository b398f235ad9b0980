package turn

import (
	"net/netip"
	"slices"
	"time"

	"purertc/stun"
)

// protocolUDP is the IP protocol number of what is relayed. RFC 6062 relays
// TCP too, which no candidate needs.
const protocolUDP = 17

// Config is what a Client is made from.
type Config struct {
	Server             netip.AddrPort
	Username, Password string
	Reliable           bool // the server is reached over TCP or TLS: nothing is retransmitted
	Connected          bool // the way to the server leads to no other: an alternate is an AlternateError
	Shared             bool // another client has the same addresses: what is allocated to them may be its
	NewID              func() stun.TransactionID
}

// An EventKind says what happened.
type EventKind uint8

const (
	EventNone      EventKind = iota
	EventAllocated           // Relayed and Mapped are known
	EventFailed              // Err: there is no allocation, or not any more
)

// An Event is what the owner should know.
type Event struct {
	Kind EventKind
	Err  error
}

// A Client holds an allocation at a TURN server. It is not safe for
// concurrent use.
type Client struct {
	cfg    Config
	server netip.AddrPort // the present one: an alternate may have taken over
	tried  []netip.AddrPort
	auth   auth
	state  state
	err    error

	relayed     []netip.AddrPort
	mapped      netip.AddrPort
	refreshAt   time.Time
	expires     time.Time
	permissions []*permission
	channels    []*channel // by their numbers, which begin at firstChannel

	requests []*request
	gaveBack bool      // an allocation that was there before
	waited   bool      // until the server let go of it
	againAt  time.Time // when Allocate is asked again for that; zero: it is not
	poke     bool      // a Binding indication is to be sent
	events   []Event
	unknown  [16]stun.AttrType // scratch
}

type state uint8

const (
	idle state = iota
	allocating
	released // an old allocation is given back first: see allocateRefused
	ready
	closing
	failed
)

// NewClient returns a client that does nothing until Start.
func NewClient(cfg Config) *Client {
	return &Client{cfg: cfg, server: cfg.Server, tried: []netip.AddrPort{cfg.Server}}
}

// Server is the server's address. An answer may have changed it (RFC 8489
// §10).
func (c *Client) Server() netip.AddrPort { return c.server }

// Relayed are the relayed addresses, once allocated: of one family, or of
// both.
func (c *Client) Relayed() []netip.AddrPort { return c.relayed }

// Mapped is where the server sees this client; invalid if it did not say.
func (c *Client) Mapped() netip.AddrPort { return c.mapped }

// Ready reports whether there is an allocation.
func (c *Client) Ready() bool { return c.state == ready }

// Err is why there is none.
func (c *Client) Err() error { return c.err }

// Start asks for an allocation.
func (c *Client) Start(now time.Time) {
	if c.state == idle {
		c.state = allocating
		c.ask(now, &request{method: stun.MethodAllocate})
	}
}

// Advance runs the timers that are due.
func (c *Client) Advance(now time.Time) {
	for i := 0; i < len(c.requests); {
		q := c.requests[i]
		send, gone := q.retransmission.Due(now)
		if send {
			q.queued = true
		}
		if !gone {
			i++
			continue
		}
		err := ErrTimeout
		if q.forged {
			err = ErrIntegrity
		}
		c.failed(now, q, err)
	}
	if c.state == allocating && !c.againAt.IsZero() && !now.Before(c.againAt) {
		c.againAt = time.Time{}
		c.ask(now, &request{method: stun.MethodAllocate})
	}
	if c.state != ready {
		return
	}
	if !now.Before(c.expires) {
		c.end(ErrTimeout)
		return
	}
	if !c.refreshAt.IsZero() && !now.Before(c.refreshAt) {
		c.refreshAt = time.Time{}
		c.ask(now, &request{method: stun.MethodRefresh, lifetime: defaultLifetime})
	}
	c.refreshPermissions(now)
}

// NextTimeout is when Advance has something to do; zero: never.
func (c *Client) NextTimeout() time.Time {
	var t time.Time
	add := func(u time.Time) {
		if !u.IsZero() && (t.IsZero() || u.Before(t)) {
			t = u
		}
	}
	for _, q := range c.requests {
		add(q.retransmission.Next())
	}
	if c.state == allocating {
		add(c.againAt)
	}
	if c.state == ready {
		add(c.refreshAt)
		add(c.expires)
		for _, p := range c.permissions {
			add(p.refreshAt)
		}
		for _, ch := range c.channels {
			add(ch.refreshAt)
		}
	}
	return t
}

// AppendRequest appends the next message to the server; ok is false when
// there is none.
func (c *Client) AppendRequest(dst []byte) (b []byte, ok bool) {
	for _, q := range c.requests {
		if q.queued {
			b := c.append(dst, q)
			if c.state == closing {
				c.forget(q)
			}
			return b, true
		}
	}
	if c.poke {
		c.poke = false
		w := stun.Build(dst, stun.BindingIndication, c.cfg.NewID())
		w.Fingerprint()
		return w.Finish(), true
	}
	return dst, false
}

// KeepAlive sends the server something that it ignores, so that NATs on the
// way keep their binding.
func (c *Client) KeepAlive() { c.poke = c.state == ready }

// Check asks the server whether it still has the allocation, by a Refresh, if
// that is not being asked already.
func (c *Client) Check(now time.Time) {
	if c.state != ready || slices.ContainsFunc(c.requests, func(q *request) bool { return q.method == stun.MethodRefresh }) {
		return
	}
	c.refreshAt = time.Time{}
	c.ask(now, &request{method: stun.MethodRefresh, lifetime: defaultLifetime})
}

// How often a request was sent when a server counts as silent, and when as gone:
// with the usual timeout after 1.5 s and after 7.5 s.
const (
	silence = 3
	absence = 5
)

// Silent reports whether a request has been waiting for some time.
func (c *Client) Silent() bool { return c.unanswered(silence) }

// Gone reports whether one has been waiting for a long time.
func (c *Client) Gone() bool { return c.unanswered(absence) }

func (c *Client) unanswered(times int) bool {
	return !c.cfg.Reliable && slices.ContainsFunc(c.requests, func(q *request) bool { return q.retransmission.Sent() >= times })
}

// NextEvent returns the next event, in order.
func (c *Client) NextEvent() (Event, bool) {
	if len(c.events) == 0 {
		return Event{}, false
	}
	e := c.events[0]
	if c.events = c.events[1:]; len(c.events) == 0 {
		c.events = nil
	}
	return e, true
}

// Abandon ends the client without a word to the server: the connection to it
// is gone.
func (c *Client) Abandon(err error) { c.end(err) }

// end gives the allocation up.
func (c *Client) end(err error) {
	if c.state == failed || c.state == closing {
		return
	}
	c.state, c.err = failed, err
	c.requests, c.relayed, c.poke = nil, nil, false
	c.events = append(c.events, Event{Kind: EventFailed, Err: err})
}

// Close releases the allocation (RFC 8656 §8.1): AppendRequest gives the last
// request, whose answer is not waited for. Where the first answer did not come
// yet, what it may allocate is left to expire.
func (c *Client) Close(now time.Time) {
	had := c.state == ready
	c.requests, c.relayed, c.events, c.poke = nil, nil, nil, false
	c.state = closing
	if had {
		c.ask(now, &request{method: stun.MethodRefresh})
	}
}
