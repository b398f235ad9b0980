package turn

import (
	"net/netip"
	"slices"
	"time"

	"purertc/stun"
)

// protocolUDP is the IP protocol number of relayed data. RFC 6062 also relays TCP,
// which no candidate needs.
const protocolUDP = 17

// A Config configures a Client.
type Config struct {
	Server             netip.AddrPort
	Username, Password string
	Reliable           bool // the server is reached over TCP or TLS: requests are not retransmitted
	Connected          bool // the server is reached over a connection: a reference to another server is reported as an AlternateError
	Shared             bool // another client uses the same addresses, so an existing allocation may belong to that client
	NewID              func() stun.TransactionID
}

// An EventKind says which fields of an Event are set.
type EventKind uint8

const (
	EventNone      EventKind = iota
	EventAllocated           // Relayed and Mapped are known
	EventFailed              // there is no allocation, or no longer one; Err says why
)

// An Event reports a change to the owner of a Client.
type Event struct {
	Kind EventKind
	Err  error
}

// A Client holds an allocation at a TURN server. It is not safe for
// concurrent use.
type Client struct {
	cfg    Config
	server netip.AddrPort // the present server: an alternate may have replaced the first one
	tried  []netip.AddrPort
	auth   auth
	state  state
	err    error

	relayed     []netip.AddrPort
	mapped      netip.AddrPort
	refreshAt   time.Time
	expires     time.Time
	permissions []*permission
	channels    []*channel // sorted by number, which begins at firstChannel

	requests []*request
	gaveBack bool      // the allocation of an earlier program was released
	waited   bool      // the client has waited, or waits, until the server has removed that allocation
	againAt  time.Time // when Allocate is repeated after that wait; zero: never
	poke     bool      // a Binding indication is to be sent
	events   []Event
	unknown  [16]stun.AttrType // scratch
}

type state uint8

const (
	idle state = iota
	allocating
	released // an old allocation is being released, see allocateRefused
	ready
	closing
	failed
)

// NewClient returns a client in its initial state. Start begins the allocation.
func NewClient(cfg Config) *Client {
	return &Client{cfg: cfg, server: cfg.Server, tried: []netip.AddrPort{cfg.Server}}
}

// Server returns the server's address. A redirection changes it (RFC 8489 §10).
func (c *Client) Server() netip.AddrPort { return c.server }

// Relayed returns the relayed addresses after the allocation: of one family, or of
// both.
func (c *Client) Relayed() []netip.AddrPort { return c.relayed }

// Mapped returns the client's address as the server sees it. It is invalid if it is
// not known.
func (c *Client) Mapped() netip.AddrPort { return c.mapped }

// Ready reports whether there is an allocation.
func (c *Client) Ready() bool { return c.state == ready }

// Err returns why there is no allocation. It is nil if there is one, or may soon be
// one.
func (c *Client) Err() error { return c.err }

// Start requests an allocation.
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

// NextTimeout returns when Advance has something to do. The zero time means never.
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

// AppendRequest appends the next message to the server. ok is false when there is
// none.
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

// KeepAlive schedules an indication that the server ignores, so that NATs keep their
// binding.
func (c *Client) KeepAlive() { c.poke = c.state == ready }

// Check asks the server by a Refresh whether it still has the allocation, unless a
// Refresh is already pending.
func (c *Client) Check(now time.Time) {
	if c.state != ready || slices.ContainsFunc(c.requests, func(q *request) bool { return q.method == stun.MethodRefresh }) {
		return
	}
	c.refreshAt = time.Time{}
	c.ask(now, &request{method: stun.MethodRefresh, lifetime: defaultLifetime})
}

// silence and absence are numbers of transmissions without an answer. After silence
// transmissions a server is treated as silent: 1.5 s after the first one with the
// default RTO. After absence transmissions, 7.5 s after the first one, it is treated
// as gone.
const (
	silence = 3
	absence = 5
)

// Silent reports whether a request has not been answered for some time.
func (c *Client) Silent() bool { return c.unanswered(silence) }

// Gone reports whether a request has not been answered for a long time.
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

// Abandon ends the client without releasing the allocation, because the connection to
// the server is lost.
func (c *Client) Abandon(err error) { c.end(err) }

// end ends the client because of an error.
func (c *Client) end(err error) {
	if c.state == failed || c.state == closing {
		return
	}
	c.state, c.err = failed, err
	c.requests, c.relayed, c.poke = nil, nil, false
	c.events = append(c.events, Event{Kind: EventFailed, Err: err})
}

// Close releases the allocation (RFC 8656 §8.1). AppendRequest returns the request
// for that, and the client does not wait for its response. If the response to Allocate
// has not arrived yet, an allocation that exists nevertheless expires by itself.
func (c *Client) Close(now time.Time) {
	had := c.state == ready
	c.requests, c.relayed, c.events, c.poke = nil, nil, nil, false
	c.state = closing
	if had {
		c.ask(now, &request{method: stun.MethodRefresh})
	}
}
