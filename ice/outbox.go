package ice

import (
	"net/netip"
	"time"

	"purertc/stun"
)

// An itemKind says what an item of the output queue becomes.
type itemKind uint8

const (
	itemCheck    itemKind = iota // the newest request of pair
	itemResponse                 // the answer to a request
	itemServer                   // the request to a server
)

// An item is one datagram to be sent. It is made when the owner asks for it,
// so that what waits for a full socket is not stale when it leaves.
type item struct {
	kind         itemKind
	bare         bool // the response has no MESSAGE-INTEGRITY: the key is not shared
	code         stun.ErrorCode
	pair         *pair
	request      *serverRequest
	gen          *generation
	base         *base
	remote       netip.AddrPort
	id           stun.TransactionID
	unknown      [4]stun.AttrType
	unknownCount int
}

// maxResponses bounds the answers that wait. Those beyond are dropped as a
// network would: the far end asks again.
const maxResponses = 32

// An outbox holds the agent's own datagrams that AppendDatagram returns next, in
// order.
type outbox struct {
	items     []item
	head      int
	responses int
}

func (q *outbox) push(i item) { q.items = append(q.items, i) }

func (q *outbox) respond(i item) {
	if q.responses < maxResponses {
		q.responses++
		q.push(i)
	}
}

func (q *outbox) pop() (i item, ok bool) {
	if q.head == len(q.items) {
		return item{}, false
	}
	i = q.items[q.head]
	q.items[q.head] = item{} // let go of what it points to
	q.head++
	switch {
	case q.head < len(q.items):
	case cap(q.items) > 2:
		q.items, q.head = nil, 0 // of a burst
	default:
		q.items, q.head = q.items[:0], 0 // a check of consent and an answer to one
	}
	if i.kind == itemResponse {
		q.responses--
	}
	return i, true
}

// drop empties the queue.
func (q *outbox) drop() {
	for {
		i, ok := q.pop()
		if !ok {
			return
		}
		if i.pair != nil {
			i.pair.queued = false
		}
	}
}

// release gives up the memory of an empty outbox.
func (q *outbox) release() {
	if q.head == len(q.items) {
		*q = outbox{}
	}
}

// queueRequest has the newest request of p sent.
func (a *Agent) queueRequest(p *pair) {
	if !p.queued {
		p.queued = true
		a.out.push(item{kind: itemCheck, pair: p})
	}
}

// AppendDatagram appends the agent's next own datagram to dst: checks,
// consent, server transactions, multicast DNS. ok is false when there is none.
func (a *Agent) AppendDatagram(now time.Time, dst []byte) (b []byte, r Route, ok bool) {
	for {
		i, ok := a.out.pop()
		if !ok {
			break
		}
		if b, r, ok = a.appendItem(now, dst, i); ok {
			return b, r, true
		}
	}
	for _, l := range a.relays {
		if b, ok := l.client.AppendRequest(dst); ok {
			return b, l.route, true
		}
	}
	if a.mdns != nil {
		if b, group, ok := a.mdns.AppendQuery(dst); ok {
			return b, Route{Sock: SockMDNS, Remote: group}, true
		}
	}
	if b, group, addr, ok := a.names.AppendAnswer(now, dst); ok {
		return b, Route{Sock: SockMDNS, Local: addr, Remote: group}, true
	}
	return dst, Route{}, false
}

func (a *Agent) appendItem(now time.Time, dst []byte, i item) (b []byte, r Route, ok bool) {
	switch i.kind {
	case itemCheck:
		p := i.pair
		p.queued = false
		if p.state == PairFailed || p.transactions.newest() == nil {
			return dst, Route{}, false // answered, or given up, while it waited
		}
		b = a.appendRequest(now, p.local.begin(dst, p.route.Remote), p)
		b, r = p.local.finish(b, len(dst), p.route.Remote)
		return b, r, true
	case itemResponse:
		b = a.appendResponse(i.base.begin(dst, i.remote), i)
		b, r = i.base.finish(b, len(dst), i.remote)
		return b, r, true
	default:
		return i.request.append(dst)
	}
}

// appendResponse appends the answer to a request (RFC 8445 §7.3).
func (a *Agent) appendResponse(dst []byte, i item) []byte {
	typ := stun.BindingSuccess
	if i.code != 0 {
		typ = stun.BindingError
	}
	w := stun.Build(dst, typ, i.id)
	if i.code == 0 {
		w.XORAddr(stun.AttrXORMappedAddress, i.remote)
	} else {
		w.ErrorCode(i.code)
	}
	if i.unknownCount > 0 {
		w.UnknownAttributes(i.unknown[:i.unknownCount])
	}
	if !i.bare {
		w.Integrity(i.gen.localKey)
	}
	w.Fingerprint()
	return w.Finish()
}
