package dtls

import (
	"errors"
	"time"
)

// An attacker can send plaintext, so an error in it does not prove that the peer has
// failed (RFC 6347 §4.1.2.7, RFC 9147 §4.5.2 and §11). A message that is not due, or
// that cannot be parsed, is dropped and counted, and another one can take its number.
// Such an error, or an alert, is the probable cause of a failure: it ends the handshake
// if no message of the handshake follows within causeWait. A message that is due and
// has the wrong content, such as a ServerHello that an attacker sends before the server
// does, ends the handshake at once, as in every implementation of DTLS.

// causeWait is how long the probable cause waits for the handshake to continue. With a
// first timeout of 400 ms the local flight is sent five times until then. With 20 % loss
// in each direction, a forged alert ends 14 of 4000 handshakes. A shorter wait on a path
// with a shorter round trip would be too short for peers whose first timeout is 1 s
// (RFC 6347 §4.2.4.1).
const causeWait = 5 * time.Second

// A probableCause is the first error that plaintext has reported.
type probableCause struct {
	err error     // nil: none
	at  time.Time // when it ends the handshake
}

// set keeps err, unless there is an earlier error.
func (p *probableCause) set(now time.Time, err error) {
	if p.err == nil {
		p.err, p.at = err, now.Add(causeWait)
	}
}

// postpone notes that the handshake continues.
func (p *probableCause) postpone(now time.Time) {
	if p.err != nil {
		p.at = now.Add(causeWait)
	}
}

// ignores reports whether the error of a message may be an attacker's, so that the
// handshake continues as if the message had not been received. In this case the
// handshake has changed nothing.
func (c *Conn) ignores(m message, err error) bool {
	var a *AlertError
	return m.epoch == 0 && !c.strict && errors.As(err, &a) && (a.Alert == AlertUnexpectedMessage || a.Alert == AlertDecodeError)
}

// suspect takes err as the probable cause of a failure, unless the peer is
// authenticated. A server that has sent nothing only waits for a ClientHello, so no
// handshake can fail.
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
