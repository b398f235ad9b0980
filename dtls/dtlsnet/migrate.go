package dtlsnet

import (
	"net"
	"time"

	"purertc/dtls"
)

// A client with a connection ID can change its address. RFC 9146 §6 allows to send to the
// new address on three conditions: a record from there is authentic, it is newer than all
// before it, and the client is known to receive at that address. Without the last one, an
// attacker who forwards a datagram before it arrives, from a forged source, makes the
// server flood that source.
//
// DTLS 1.3 can validate the path: a KeyUpdate has to be acknowledged (RFC 9147 §8). It is
// sent to the new address only, as are other handshake messages and alerts meanwhile. It
// is shorter than the datagram from there. The connection migrates if the acknowledgement
// arrives from there. Until then, data is sent to the old address.
//
// DTLS 1.2 has no such message, and RFC 9146 does not say what to do instead. The
// connection migrates at once, but the new address never gets more than three times the
// bytes that came from it: an attacker could send nearly as much without the server. All
// other bytes are sent to the old address, where the client is if it has not moved. The
// next record from there moves the connection back. Such a migration takes no address away
// from another connection.

// validationTime is how long the validation of a path lasts. After that, retransmissions of
// the KeyUpdate are sent to the old address. No other validation starts until it is
// acknowledged: it was sent to more than one address, so the source of the acknowledgement
// proves nothing. If the client sends from a third address then, the retransmissions go
// there, so that the KeyUpdate is acknowledged and the path can be validated.
const validationTime = 10 * time.Second

// maxAmplification is how many bytes an address that is not validated gets for each byte
// from it (RFC 9000 §8.1 has the number).
const maxAmplification = 3

// maxCredit bounds the bytes that such an address can get at once.
const maxCredit = 1 << 20

// A pathValidation is in progress while addr is not nil (DTLS 1.3).
type pathValidation struct {
	addr      net.Addr // where the client may have moved to
	until     time.Time
	ambiguous bool // the outstanding message was sent to another address, too
}

// expire ends a validation that takes too long.
func (v *pathValidation) expire(now time.Time) {
	if v.addr != nil && !now.Before(v.until) {
		*v = pathValidation{}
	}
}

// An unvalidatedMove is a migration that cannot be validated (DTLS 1.2).
type unvalidatedMove struct {
	previous net.Addr // nil: the client has not moved
	credit   int      // bytes that may be sent to the new address
}

// handleSource looks at the source of a datagram of size bytes. newest says that it had an
// authentic record, newer than all before it. c.mu is held.
func (c *Conn) handleSource(now time.Time, from net.Addr, newest bool, size int) {
	v := &c.validation
	v.expire(now)
	switch {
	case !newest || c.migrate == nil:
	case c.core.ConnectionState().Version != dtls.VersionDTLS13:
		c.migrate12(from, size)
	case keyOf(from) == keyOf(c.remote):
		*v = pathValidation{} // the client has not moved
	case v.addr != nil && (keyOf(from) != keyOf(v.addr) || c.core.Unanswered()):
	case v.addr != nil && !v.ambiguous:
		c.remote, *v = v.addr, pathValidation{}
		c.migrate(keyOf(c.remote), true)
	case c.core.Unanswered():
		*v = pathValidation{addr: from, until: now.Add(validationTime), ambiguous: true}
	case c.core.UpdateKeys(false) == nil:
		*v = pathValidation{addr: from, until: now.Add(validationTime)}
	}
}

// migrate12 is handleSource for DTLS 1.2 and a datagram with the newest record. c.mu is
// held.
func (c *Conn) migrate12(from net.Addr, size int) {
	m := &c.move
	if keyOf(from) != keyOf(c.remote) {
		if !c.migrate(keyOf(from), false) {
			return
		}
		if m.previous == nil {
			m.previous = c.remote
		}
		c.remote, m.credit = from, 0
	}
	if m.previous != nil && keyOf(m.previous) == keyOf(from) {
		*m = unvalidatedMove{}
	}
	m.credit = min(m.credit+maxAmplification*size, maxCredit)
}

// dataAddr returns the address for size bytes of data. c.mu is held.
func (c *Conn) dataAddr(size int) net.Addr {
	m := &c.move
	switch {
	case m.previous == nil:
		return c.remote
	case size > m.credit:
		return m.previous
	}
	m.credit -= size
	return c.remote
}

// messageAddr returns the address for size bytes of handshake messages. c.mu is held.
func (c *Conn) messageAddr(now time.Time, size int) net.Addr {
	v := &c.validation
	v.expire(now)
	if v.addr != nil {
		return v.addr
	}
	return c.dataAddr(size)
}
