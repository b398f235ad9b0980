package ice

import (
	"net/netip"
	"time"

	"purertc/stun"
)

// An itemKind says which datagram an item of the outbox stands for.
type itemKind uint8

const (
	itemCheck    itemKind = iota // the newest request of pair
	itemResponse                 // the response to a request
	itemServer                   // the request to a server
	itemPush                     // an additional request of pair, which carries a part of a DTLS flight
)

// An item is a datagram to be sent. The datagram is built only when the owner asks for
// it, so that it is up to date even if it had to wait for a full socket.
type item struct {
	kind         itemKind
	bare         bool // the response has no MESSAGE-INTEGRITY: the requester does not have the key
	onlyUnsent   bool // see push
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

// maxResponses bounds the waiting responses. Further responses are dropped, as if the
// network had lost them: the remote agent sends its request again.
const maxResponses = 32

// An outbox holds the datagrams of the agent itself, in the order in which
// AppendDatagram returns them.
type outbox struct {
	items     []item
	head      int
	responses int
}

func (o *outbox) push(i item) { o.items = append(o.items, i) }

// request queues the newest request of p, unless a request of p is already queued.
func (o *outbox) request(p *pair) {
	if !p.queued {
		p.queued = true
		o.push(item{kind: itemCheck, pair: p})
	}
}

func (o *outbox) respond(i item) {
	if o.responses < maxResponses {
		o.responses++
		o.push(i)
	}
}

func (o *outbox) pop() (i item, ok bool) {
	if o.head == len(o.items) {
		return item{}, false
	}
	i = o.items[o.head]
	o.items[o.head] = item{} // so that the garbage collector can free the objects that the item refers to
	o.head++
	switch {
	case o.head < len(o.items):
	case cap(o.items) > 2:
		o.items, o.head = nil, 0 // a burst had enlarged the list
	default:
		o.items, o.head = o.items[:0], 0 // the list has room for a consent request and a response
	}
	if i.kind == itemResponse {
		o.responses--
	}
	return i, true
}

// drop empties the outbox.
func (o *outbox) drop() {
	for {
		i, ok := o.pop()
		if !ok {
			return
		}
		if i.kind == itemCheck {
			i.pair.queued = false
		}
	}
}

// release releases the memory of an empty outbox.
func (o *outbox) release() {
	if o.head == len(o.items) {
		*o = outbox{}
	}
}

// AppendDatagram appends to dst the next datagram of the agent itself: a check, a
// consent request, a message to a server, or multicast DNS. ok is false when there is
// none.
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
	if b, group, ok := a.lookups.appendQuery(dst); ok {
		return b, Route{Sock: SockMDNS, Remote: group}, true
	}
	return a.gather.appendDatagram(now, dst)
}

func (a *Agent) appendItem(now time.Time, dst []byte, i item) (b []byte, r Route, ok bool) {
	switch i.kind {
	case itemCheck:
		p := i.pair
		p.queued = false
		if p.state == PairFailed || p.transactions.newest() == nil {
			return dst, Route{}, false // the request was answered or given up while it waited
		}
		b = a.appendRequest(now, p.local.begin(dst, p.route.Remote), p)
		b, r = p.local.finish(b, len(dst), p.route.Remote)
		a.trace.sent(now, p)
		return b, r, true
	case itemResponse:
		b = a.appendResponse(i.base.begin(dst, i.remote), &i)
		b, r = i.base.finish(b, len(dst), i.remote)
		return b, r, true
	case itemPush:
		return a.appendPush(now, dst, i)
	default:
		return i.request.append(dst)
	}
}

// appendResponse appends the response to a request (RFC 8445 §7.3).
//
// Only the first response to a request carries a DTLS datagram: on a path that does not
// carry datagrams of that size, the next one arrives.
func (k *checks) appendResponse(dst []byte, i *item) []byte {
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
	if i.code == 0 && k.carried.active() {
		k.carried.appendTo(&w, k.selected != nil || !k.carried.mayCarry(i.id))
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
