package dtls

import (
	"errors"
	"time"
)

// An attacker can send plaintext, so an error in plaintext does not prove that the
// peer has failed (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2 and §11). A message that is
// not expected, or that cannot be parsed, is dropped and counted. Another message with
// the same number can replace it. An error or an alert in plaintext is only the
// probable cause of a failure. It ends the handshake if no message of the handshake
// follows within causeWait. But an expected message with wrong content ends the
// handshake immediately, as in every implementation of DTLS. An example is a
// ServerHello that an attacker sends before the server sends its ServerHello.

// causeWait is how long the handshake may take to continue before the probable cause
// ends it. With a first timeout of 400 ms, the local flight is sent five times within
// this time. With 20 % loss in each direction, a forged alert ends 14 of 4000
// handshakes. The wait is not shorter on a path with a shorter round-trip time,
// because that would be too short for peers with a first timeout of 1 s (RFC 6347
// §4.2.4.1).
const causeWait = 5 * time.Second

// A probableCause is the first error that was found in plaintext.
type probableCause struct {
	err error     // nil: there was no error
	at  time.Time // when the error ends the handshake
}

// set stores err, unless an earlier error is already stored.
func (p *probableCause) set(now time.Time, err error) {
	if p.err == nil {
		p.err, p.at = err, now.Add(causeWait)
	}
}

// postpone notes that the handshake has continued: the wait restarts.
func (p *probableCause) postpone(now time.Time) {
	if p.err != nil {
		p.at = now.Add(causeWait)
	}
}

// ignores reports whether an attacker may have caused the error of a message. In this
// case the handshake continues as if the message had not been received. The handling
// of the message has changed nothing.
func (c *Conn) ignores(m message, err error) bool {
	var a *AlertError
	return m.epoch == 0 && !c.strict && errors.As(err, &a) && (a.Alert == AlertUnexpectedMessage || a.Alert == AlertDecodeError)
}

// suspect stores err as the probable cause of a failure, unless the peer is
// authenticated. A server that has not sent anything yet stores none, because it only
// waits for a ClientHello.
func (c *Conn) suspect(now time.Time, err error) {
	if c.hs != nil && !c.authenticated && c.out.started() {
		c.hs.cause.set(now, err)
	}
}

// causeAt returns when the probable cause ends the handshake; zero: never.
func (c *Conn) causeAt() (t time.Time) {
	if c.hs != nil && !c.authenticated {
		t = c.hs.cause.at
	}
	return t
}
