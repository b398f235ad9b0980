package turn

import (
	"errors"
	"net/netip"
	"time"

	"purertc/stun"
)

// A request is a transaction with the server. After a stale nonce or a challenge, the
// request is repeated with another transaction id.
type request struct {
	method         stun.Method
	id             stun.TransactionID
	retransmission stun.Retransmission
	queued         bool
	signed         bool // the last transmission carried MESSAGE-INTEGRITY
	forged         bool // a response without valid integrity was dropped
	attempts       int  // how many transactions were begun for the request

	family     stun.Family // for Allocate; 0 requests both families
	lifetime   uint32      // for Refresh: seconds; 0 releases the allocation
	permission *permission // for CreatePermission
	channel    *channel    // for ChannelBind
}

// maxAttempts bounds the transactions of one request: one without credentials, one
// with them, one after a stale nonce, and one more. Without this limit, the client
// would repeat the request for ever with a server that calls every nonce stale.
const maxAttempts = 4

// ask begins a new request.
func (c *Client) ask(now time.Time, q *request) {
	c.requests = append(c.requests, q)
	c.begin(now, q)
}

// begin sends a request as a new transaction.
func (c *Client) begin(now time.Time, q *request) {
	q.attempts++
	q.id = c.cfg.NewID()
	q.forged = false
	if c.cfg.Reliable {
		q.retransmission.StartReliable(now)
	} else {
		q.retransmission.Start(now, stun.DefaultRTO)
	}
	q.retransmission.Due(now)
	q.queued = true
}

func (c *Client) forget(q *request) {
	for i, o := range c.requests {
		if o == q {
			c.requests = append(c.requests[:i:i], c.requests[i+1:]...)
			return
		}
	}
}

// append appends the request as a message.
func (c *Client) append(dst []byte, q *request) []byte {
	q.queued = false
	w := stun.Build(dst, stun.NewType(q.method, stun.ClassRequest), q.id)
	switch q.method {
	case stun.MethodAllocate:
		w.RequestedTransport(protocolUDP)
		if q.family == 0 {
			// RFC 8656 §7.1: this requests an IPv4 address and, if possible, an IPv6
			// address. Servers that do not know the attribute ignore it.
			w.AddressFamily(stun.AttrAdditionalAddressFamily, stun.IPv6)
		} else {
			w.AddressFamily(stun.AttrRequestedAddressFamily, q.family)
		}
	case stun.MethodRefresh:
		w.Uint32(stun.AttrLifetime, q.lifetime)
	case stun.MethodCreatePermission:
		w.XORAddr(stun.AttrXORPeerAddress, netip.AddrPortFrom(q.permission.ip, 0))
	case stun.MethodChannelBind:
		w.ChannelNumber(q.channel.number)
		w.XORAddr(stun.AttrXORPeerAddress, q.channel.peer)
	}
	q.signed = c.auth.sign(&w, c.cfg.Username)
	w.Fingerprint()
	return w.Finish()
}

// HandleResponse processes a success or error response from the server. It reports
// whether the response belongs to a request of this client.
func (c *Client) HandleResponse(now time.Time, m stun.Message) bool {
	q := c.requestOf(m.TransactionID())
	if q == nil || m.Type().Method() != q.method {
		return false
	}
	code, _, isError := m.ErrorCode()
	if m.Type().Class() == stun.ClassError && !isError {
		return true // the error response has no code
	}
	if code == stun.CodeUnauthenticated || code == stun.CodeStaleNonce {
		c.challenged(now, q, m, code)
		return true
	}
	// RFC 8489 §9.2.5: a response that is not authentic is treated as if it was never
	// received. Over a reliable transport no other response can follow.
	if q.signed && !c.auth.verify(m) {
		q.forged = true
		if c.cfg.Reliable {
			c.failed(now, q, ErrIntegrity)
		}
		return true
	}
	if unknown := m.AppendUnknown(c.unknown[:0], nil); len(unknown) > 0 {
		c.failed(now, q, ErrAnswer) // RFC 8489 §6.3.3: unknown attributes that must be understood
		return true
	}
	if code != 0 {
		c.refused(now, q, m, code)
		return true
	}
	c.forget(q)
	c.granted(now, q, m)
	return true
}

func (c *Client) requestOf(id stun.TransactionID) *request {
	for _, q := range c.requests {
		if q.id == id {
			return q
		}
	}
	return nil
}

// challenged processes a 401 or 438 response. The request is repeated with the realm
// and nonce of the response.
func (c *Client) challenged(now time.Time, q *request, m stun.Message, code stun.ErrorCode) {
	if c.cfg.Username == "" {
		c.failed(now, q, ErrNoCredentials)
		return
	}
	// RFC 8489 §9.2.5: a 401 response to a request with credentials for the same
	// realm says that they are wrong.
	if code == stun.CodeUnauthenticated && q.signed && !c.auth.moved(m) {
		c.failed(now, q, explain(m))
		return
	}
	if q.attempts >= maxAttempts {
		c.failed(now, q, explain(m))
		return
	}
	if err := c.auth.challenge(m, c.cfg.Username, c.cfg.Password); err != nil {
		c.failed(now, q, err)
		return
	}
	c.begin(now, q)
}

// refused processes an authentic error response.
func (c *Client) refused(now time.Time, q *request, m stun.Message, code stun.ErrorCode) {
	if q.method == stun.MethodAllocate && c.allocateRefused(now, q, m, code) {
		return
	}
	if q.method == stun.MethodRefresh && q.lifetime == 0 && code == stun.CodeAllocationMismatch {
		c.forget(q)
		c.granted(now, q, m) // RFC 8656 §8.3: the allocation does not exist any more, which is what the request wanted
		return
	}
	c.failed(now, q, explain(m))
}

// granted processes a success response.
func (c *Client) granted(now time.Time, q *request, m stun.Message) {
	switch q.method {
	case stun.MethodAllocate:
		c.allocated(now, q, m)
	case stun.MethodRefresh:
		c.refreshed(now, q, m)
	case stun.MethodCreatePermission:
		q.permission.state, q.permission.refreshAt = Granted, now.Add(permissionRefresh)
	case stun.MethodChannelBind:
		q.channel.bound, q.channel.refreshAt = true, now.Add(channelRefresh)
	}
}

// failed ends a request that the server has refused or not answered, and the state
// that depends on the request.
func (c *Client) failed(now time.Time, q *request, err error) {
	c.forget(q)
	switch q.method {
	case stun.MethodAllocate, stun.MethodRefresh:
		c.end(err)
	case stun.MethodCreatePermission:
		if p := q.permission; p.state == Granted && errors.Is(err, ErrTimeout) {
			// The server did not refuse the permission: it did not answer. If the
			// server does not run any more, the allocation ends. If it answers again
			// later, the permission is needed again.
			p.refreshAt = now.Add(permissionRetry)
			c.Check(now)
			return
		}
		q.permission.state, q.permission.err, q.permission.refreshAt = Refused, err, time.Time{}
	case stun.MethodChannelBind:
		// Without a channel, Send indications carry the data, with a few more bytes.
		// The channel is requested again when a refresh would be due.
		q.channel.bound, q.channel.refreshAt = false, now.Add(channelRefresh)
	}
}
