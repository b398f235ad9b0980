package dtls

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Resumption of DTLS 1.2, with tickets (RFC 5077) or, at the client, with a
// server's session ids (RFC 5246 §7.3):
//
//	ClientHello              ->
//	                         <-  ServerHello, [NewSessionTicket],
//	                             [ChangeCipherSpec], Finished
//	[ChangeCipherSpec], Finished  ->
//
// The client's flight is the last one here, so it is the client that repeats
// it when it hears the server's again.

// offerSession12 adds our session of DTLS 1.2 to a ClientHello. A ticket goes
// with an id that we made up: that the server echoes it tells that it resumes
// (RFC 5077 §3.4).
func (c *Conn) offerSession12(h *clientHello, now time.Time) {
	if !c.cfg.Tickets {
		return
	}
	h.extensions.sessionTicket = []byte{}
	if s := c.cfg.Session; c.cfg.offers(s, now) && s.version == VersionDTLS12 {
		c.hs.session = s
		h.sessionID = s.id
		if s.ticket != nil {
			h.extensions.sessionTicket = s.ticket
		}
	}
}

// clientResumes12 goes on after a ServerHello that resumes our session.
func (c *Conn) clientResumes12(h *serverHello, m message) (err error) {
	s := c.hs.session
	if h.suite != s.suite {
		return fatal(AlertIllegalParameter, "server resumes a session with suite %v that has %v", h.suite, s.suite)
	}
	if err := c.resume(s); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientResumedFinished
	c.hs.epoch1, err = c.useMaster(s.secret)
	return err
}

// clientResumedFinished takes the server's Finished, after its ticket if it
// promised one, and answers with ours, the last message of the handshake.
func (c *Conn) clientResumedFinished(now time.Time, m message) error {
	if c.hs.ticketDue {
		return c.takeTicket12(now, m)
	}
	if err := c.checkFinished(m); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.beginFlight(2)
	c.addFinished(c.hs.epoch1)
	c.endFlight(true)
	c.offerOwnSession12(now)
	c.establish()
	return nil
}

// takeTicket12 takes a NewSessionTicket (RFC 5077 §3.3).
func (c *Conn) takeTicket12(now time.Time, m message) error {
	if err := expect(m, typeNewSessionTicket, 0); err != nil {
		return err
	}
	s := cryptobyte.String(m.body)
	var lifetime uint32
	var ticket cryptobyte.String
	if !s.ReadUint32(&lifetime) || !s.ReadUint16LengthPrefixed(&ticket) || !s.Empty() {
		return errDecode
	}
	c.hs.ticketDue = false
	c.hs.transcript.add(m)
	if len(ticket) > 0 {
		c.hs.ticket = slices.Clone(ticket)
		c.hs.ticketLife = time.Duration(lifetime) * time.Second
	}
	return nil
}

// offerOwnSession12 gives the client's owner the session that ends a
// handshake, if the server named it.
func (c *Conn) offerOwnSession12(now time.Time) {
	s := &Session{version: VersionDTLS12, suite: c.suite, secret: c.secrets.master, peer: c.peer, issued: now, lifetime: c.hs.ticketLife}
	switch {
	case !c.cfg.Tickets:
		return
	case c.hs.ticket != nil:
		id := sha256.Sum256(c.hs.ticket)
		s.id, s.ticket = id[:], c.hs.ticket
	case c.resumed || len(c.hs.sessionID) == 0:
		return // nothing new
	default:
		s.id = slices.Clone(c.hs.sessionID)
	}
	if s.lifetime == 0 {
		// RFC 5077 §3.3: zero is unspecified.
		s.lifetime = ticketLifetime
	}
	c.addSession(s)
}

// serverSession12 is the session that a ClientHello wants to resume, if we
// agree.
func (c *Conn) serverSession12(h *clientHello, now time.Time) *Session {
	if len(c.cfg.TicketKeys) == 0 || len(h.extensions.sessionTicket) == 0 {
		return nil
	}
	s := c.cfg.openTicket(h.extensions.sessionTicket)
	if !c.cfg.resumes(s, VersionDTLS12, now) || !slices.Contains(h.suites, s.suite) {
		return nil
	}
	if !c.cfg.enabled(VersionDTLS12, s.suite) {
		return nil
	}
	return s
}

// serverResumes12 answers a ClientHello with all from ServerHello to Finished.
func (c *Conn) serverResumes12(now time.Time, h *clientHello, sh *serverHello, s *Session) error {
	if err := c.resume(s); err != nil {
		return err
	}
	sh.sessionID = bytes.Clone(h.sessionID)
	if s.old {
		c.hs.ticketDue = true
		sh.extensions.sessionTicket = []byte{}
	}
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerHello: %w", err)
	}
	c.beginFlight(4)
	c.addMessage(typeServerHello, body)
	w, err := c.useMaster(s.secret)
	if err != nil {
		return err
	}
	if err := c.addTicket12(now); err != nil {
		return err
	}
	c.addFinished(w)
	c.endFlight(false)
	c.hs.step = (*Conn).serverResumedFinished
	return nil
}

// serverResumedFinished takes the client's Finished, the end of the handshake.
func (c *Conn) serverResumedFinished(now time.Time, m message) error {
	if err := c.checkFinished(m); err != nil {
		return err
	}
	c.beginFlight(0) // nothing to repeat: the client has it all
	c.establish()
	return nil
}

// addTicket12 sends the client a ticket, if we promised one.
func (c *Conn) addTicket12(now time.Time) error {
	if !c.hs.ticketDue {
		return nil
	}
	s := &Session{version: VersionDTLS12, suite: c.suite, secret: c.secrets.master, peer: c.peer, issued: now}
	ticket, err := c.cfg.sealTicket(s)
	if err != nil {
		return fatal(AlertInternalError, "ticket: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint32(uint32(ticketLifetime / time.Second))
	// RFC 5077 §3.3: without length if we changed our mind.
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ticket) })
	c.addMessage(typeNewSessionTicket, b.BytesOrPanic())
	return nil
}
