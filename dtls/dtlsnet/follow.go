package dtlsnet

import (
	"net"
	"time"

	"purertc/dtls"
)

// A client may come from another address in mid-connection. RFC 9146 §6 lets
// answers follow it there on three conditions: the record is authentic, it is
// newer than all before it, and the client was seen to receive what is sent to
// the new address. Else whoever sees a datagram, and sends it on under
// somebody's address before it arrives, would have us flood that one.
//
// DTLS 1.3 has a question that has to be answered: a KeyUpdate, which is
// acknowledged (RFC 9147 §8). It goes to the new address alone, as do other
// messages of the handshake and alerts meanwhile, is shorter than what came from
// there, and only its acknowledgement from there moves the connection. Data goes
// where it did until then.
//
// DTLS 1.2 has no such question, and RFC 9146 leaves open what takes its place.
// There the connection moves at once, but the new address never gets more than
// three times what came from it: who has us send to somebody could have sent
// nearly as much himself. What is beyond that goes to the address before, where
// the client still is if it did not move; and its next record from there moves
// the connection back. No other connection has to yield its address to it.

// followTime is how long a new address has to answer. What is left of the
// KeyUpdate then goes to the old one. As long as it is not acknowledged there is
// no other question: from where its answer comes tells nothing, since it went to
// more than one address. Is the client at a third by now, what is left is sent
// there, so that there can be a question again.
const followTime = 10 * time.Second

// maxAmplification is what an address gets for each byte that came from it, if
// nothing shows that somebody receives there (RFC 9000 §8.1 has the number).
const maxAmplification = 3

// maxCredit bounds the burst that a new address may get after a long silence.
const maxCredit = 1 << 20

// A tether holds a connection of DTLS 1.2 to where it was before it moved.
type tether struct {
	back   net.Addr // nil: it did not move
	credit int      // bytes that may go to its new address
}

// A newcomer is an address that the client may have moved to.
type newcomer struct {
	addr   net.Addr // nil: there is none
	until  time.Time
	unsure bool // what it is to acknowledge went elsewhere too
}

// follow looks at where a datagram came from, of which newest tells whether it
// was authentic, and newer than all before it. It had size bytes. c.mu is held.
func (c *Conn) follow(now time.Time, from net.Addr, newest bool, size int) {
	n := &c.newcomer
	n.expire(now)
	switch {
	case !newest || c.moved == nil:
	case c.core.ConnectionState().Version != dtls.VersionDTLS13:
		c.follow12(from, size)
	case keyOf(from) == keyOf(c.remote):
		*n = newcomer{} // it is where it was
	case n.addr != nil && (keyOf(from) != keyOf(n.addr) || c.core.Unanswered()):
	case n.addr != nil && !n.unsure:
		c.remote, *n = n.addr, newcomer{}
		c.moved(keyOf(c.remote), true)
	case c.core.Unanswered():
		*n = newcomer{addr: from, until: now.Add(followTime), unsure: true}
	case c.core.UpdateKeys(false) == nil:
		*n = newcomer{addr: from, until: now.Add(followTime)}
	}
}

// expire forgets a newcomer that has not answered.
func (n *newcomer) expire(now time.Time) {
	if n.addr != nil && !now.Before(n.until) {
		*n = newcomer{}
	}
}

// follow12 is follow for DTLS 1.2, of the newest datagram there is. c.mu is
// held.
func (c *Conn) follow12(from net.Addr, size int) {
	t := &c.tether
	if keyOf(from) != keyOf(c.remote) {
		if !c.moved(keyOf(from), false) {
			return
		}
		if t.back == nil {
			t.back = c.remote
		}
		c.remote, t.credit = from, 0
	}
	if t.back != nil && keyOf(t.back) == keyOf(from) {
		*t = tether{}
	}
	t.credit = min(t.credit+maxAmplification*size, maxCredit)
}

// dataTo is where size bytes of data go. c.mu is held.
func (c *Conn) dataTo(size int) net.Addr {
	t := &c.tether
	switch {
	case t.back == nil:
		return c.remote
	case size > t.credit:
		return t.back
	}
	t.credit -= size
	return c.remote
}

// messagesTo is where size bytes of handshake messages go. c.mu is held.
func (c *Conn) messagesTo(now time.Time, size int) net.Addr {
	n := &c.newcomer
	n.expire(now)
	if n.addr != nil {
		return n.addr
	}
	return c.dataTo(size)
}
