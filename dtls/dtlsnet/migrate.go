package dtlsnet

import (
	"net"
	"time"

	"purertc/dtls"
)

// A client with a connection ID can change its address. RFC 9146 §6 allows a server
// to send to the new address under three conditions: a record from the new address is
// authentic, it is newer than all earlier records, and the client is known to receive
// at the new address. The third condition is needed because of attackers: an attacker who
// forwards a datagram from a forged source address, so that it overtakes the original,
// could use the server to flood that address.
//
// DTLS 1.3 can validate the path with a KeyUpdate, which has to be acknowledged
// (RFC 9147 §8). The KeyUpdate is sent only to the new address. Until it is acknowledged,
// other handshake messages and alerts are sent there, too. It is shorter than the
// datagram that arrived from the new address. The connection migrates if the
// acknowledgement arrives from the new address. Until then, data is sent to the old
// address.
//
// DTLS 1.2 has no such message, and RFC 9146 does not say what to do instead. The
// connection migrates immediately, but the new address never gets more than three
// times as many bytes as came from it. An attacker could send nearly as much without
// the server. All other bytes are sent to the old address. A client that has not moved
// receives them there. The next record from the old address moves the connection back.
// Such a migration takes no address away from another connection.

// validationTime is how long the validation of a path lasts. After that,
// retransmissions of the KeyUpdate are sent to the old address. No other validation
// starts until the KeyUpdate is acknowledged: it was sent to more than one address, so
// the address from which the acknowledgement comes proves nothing. If the client sends
// from a third address in the meantime, the retransmissions go to that address, so
// that the KeyUpdate is acknowledged and the path can be validated after that.
const validationTime = 10 * time.Second

// maxAmplification is how many bytes may be sent to an address that is not validated,
// for each byte that came from it (the number is that of RFC 9000 §8.1).
const maxAmplification = 3

// maxCredit is the maximum number of bytes that may be sent to an address that is not
// validated before more bytes come from it.
const maxCredit = 1 << 20

// A pathValidation is the state of the validation of a new address (DTLS 1.3). While
// addr is nil, no validation is in progress.
type pathValidation struct {
	addr      net.Addr // new address that the client may have
	until     time.Time
	ambiguous bool // the KeyUpdate was sent to another address, too
}

// expire ends the validation if it has taken too long.
func (v *pathValidation) expire(now time.Time) {
	if v.addr != nil && !now.Before(v.until) {
		*v = pathValidation{}
	}
}

// An unvalidatedMove is the state of a migration without validation (DTLS 1.2).
type unvalidatedMove struct {
	previous net.Addr // the old address; nil: the client has not moved
	credit   int      // number of bytes that may still be sent to the new address
}

// handleSource handles the source address of a datagram. size is the length of the
// datagram in bytes. newest says that it contained an authentic record that is newer
// than all earlier ones. c.mu is held.
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

// migrate12 does what handleSource does, for DTLS 1.2. The datagram contained a record
// that is newer than all earlier ones. c.mu is held.
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

// dataAddr returns the address to which a datagram with application data is sent. size
// is the length of the datagram in bytes. c.mu is held.
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

// messageAddr returns the address to which a datagram with handshake messages is sent.
// size is the length of the datagram in bytes. c.mu is held.
func (c *Conn) messageAddr(now time.Time, size int) net.Addr {
	v := &c.validation
	v.expire(now)
	if v.addr != nil {
		return v.addr
	}
	return c.dataAddr(size)
}
