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
// acknowledged (RFC 9147 §8). It goes to the new address alone, is shorter than
// what came from there, and only its acknowledgement from there moves the
// connection. Meanwhile data goes where it did.

// followTime is how long a new address has to answer. What is left of the
// KeyUpdate then goes to the old one, and as long as it is not acknowledged
// there is no other question: from where its answer comes would tell nothing.
const followTime = 10 * time.Second

// A newcomer is an address that the client may have moved to.
type newcomer struct {
	addr  net.Addr // nil: there is none
	until time.Time
}

// follow looks at where a datagram came from, of which newest tells whether it
// was authentic, and newer than all before it. c.mu is held.
func (c *Conn) follow(now time.Time, from net.Addr, newest bool) {
	n := &c.newcomer
	switch {
	case !newest || c.moved == nil:
	case keyOf(from) == keyOf(c.remote):
		*n = newcomer{} // it is where it was
	case n.addr != nil && keyOf(from) == keyOf(n.addr) && !c.core.Unanswered():
		c.remote, *n = n.addr, newcomer{}
		c.moved(keyOf(c.remote))
	case n.addr == nil && !c.core.Unanswered() && c.core.ConnectionState().Version == dtls.VersionDTLS13:
		if c.core.UpdateKeys(false) == nil {
			*n = newcomer{addr: from, until: now.Add(followTime)}
		}
	}
}

// messagesTo is where handshake messages go. c.mu is held.
func (c *Conn) messagesTo(now time.Time) net.Addr {
	n := &c.newcomer
	if n.addr != nil && !now.Before(n.until) {
		*n = newcomer{}
	}
	if n.addr != nil {
		return n.addr
	}
	return c.remote
}
