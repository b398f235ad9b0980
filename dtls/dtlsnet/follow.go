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

// followTime is how long a new address has to answer. What is left of the
// KeyUpdate then goes to the old one. As long as it is not acknowledged there is
// no other question: from where its answer comes tells nothing, since it went to
// more than one address. Is the client at a third by now, what is left is sent
// there, so that there can be a question again.
const followTime = 10 * time.Second

// A newcomer is an address that the client may have moved to.
type newcomer struct {
	addr   net.Addr // nil: there is none
	until  time.Time
	unsure bool // what it is to acknowledge went elsewhere too
}

// follow looks at where a datagram came from, of which newest tells whether it
// was authentic, and newer than all before it. c.mu is held.
func (c *Conn) follow(now time.Time, from net.Addr, newest bool) {
	n := &c.newcomer
	n.expire(now)
	switch {
	case !newest || c.moved == nil:
	case keyOf(from) == keyOf(c.remote):
		*n = newcomer{} // it is where it was
	case n.addr != nil && (keyOf(from) != keyOf(n.addr) || c.core.Unanswered()):
	case n.addr != nil && !n.unsure:
		c.remote, *n = n.addr, newcomer{}
		c.moved(keyOf(c.remote))
	case c.core.ConnectionState().Version != dtls.VersionDTLS13:
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

// messagesTo is where handshake messages go. c.mu is held.
func (c *Conn) messagesTo(now time.Time) net.Addr {
	n := &c.newcomer
	n.expire(now)
	if n.addr != nil {
		return n.addr
	}
	return c.remote
}
