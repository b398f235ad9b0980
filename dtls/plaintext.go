package dtls

import (
	"errors"
	"time"
)

// Anybody can send plaintext, so an error in it is no proof that the remote
// peer has failed (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2 and §11). A message that
// is not due, or that cannot be parsed, is dropped and counted, and another one
// can take its number. Such an error, or an alert, is kept as the probable cause
// of a failure: it ends the handshake if no message of the handshake follows
// within causeWait. A message that is due and has the wrong content, such as a
// ServerHello that an attacker sends before the server does, ends the handshake
// at once, as in every implementation of DTLS.

// causeWait is how long the probable cause waits for the handshake to go on.
// With a first timeout of 400 ms the local flight goes five times until then. At
// 20 % loss in each direction, an alert that is forged ends 14 of 4000 handshakes.
// A shorter wait on a path with a shorter round trip would be too short for peers
// whose first timeout is 1 s (RFC 6347 §4.2.4.1).
const causeWait = 5 * time.Second

// refuse handles the error of the step that took m. A step changes nothing
// before it returns unexpected_message or decode_error.
func (c *Conn) refuse(now time.Time, m message, err error) {
	var a *AlertError
	if m.epoch > 0 || c.strict || !errors.As(err, &a) || a.Alert != AlertUnexpectedMessage && a.Alert != AlertDecodeError {
		c.fail(err)
		return
	}
	c.stats.Malformed++
	c.in.next = uint32(m.seq)
	c.suspect(now, err)
}

// suspect keeps err as the probable cause of a failure. A server that has sent
// nothing only waits for a ClientHello: no handshake can fail.
func (c *Conn) suspect(now time.Time, err error) {
	if c.hs == nil || c.hs.cause != nil || c.proven || !c.heard() {
		return
	}
	c.hs.cause, c.hs.causeAt = err, now.Add(causeWait)
}

// postponeCause notes that the handshake goes on.
func (c *Conn) postponeCause(now time.Time) {
	if c.hs.cause != nil {
		c.hs.causeAt = now.Add(causeWait)
	}
}

// causeAt is when the probable cause ends the handshake; zero: never.
func (c *Conn) causeAt() (t time.Time) {
	if c.hs != nil && !c.proven {
		t = c.hs.causeAt
	}
	return t
}
