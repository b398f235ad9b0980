package dtls

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Resumption of DTLS 1.2, with tickets (RFC 5077) or, in a client, with session ids
// (RFC 5246 §7.3):
//
//	ClientHello              ->
//	                         <-  ServerHello, [NewSessionTicket],
//	                             [ChangeCipherSpec], Finished
//	[ChangeCipherSpec], Finished  ->
//
// Here the client's flight ends the handshake. So the client sends it again when the
// server repeats the server's flight.

// addSession12 offers the DTLS 1.2 session of the configuration in a ClientHello. If
// the session has a ticket, the client has invented an id for it: a server that
// resumes the session sends this id back (RFC 5077 §3.4).
func (o *offer) addSession12(cfg *Config, now time.Time) {
	if !cfg.Tickets {
		return
	}
	o.hello.extensions.sessionTicket = []byte{}
	if s := cfg.Session; cfg.offers(s, now) && s.version == VersionDTLS12 {
		o.session = s
		o.hello.sessionID = s.id
		if s.ticket != nil {
			o.hello.extensions.sessionTicket = s.ticket
		}
	}
}

// resume handles a ServerHello that resumes the offered session.
func (h *client12) resume(sh *serverHello, m message) error {
	if sh.suite != h.session.suite {
		return fatal(AlertIllegalParameter, "server resumes a session with suite %v that has %v", sh.suite, h.session.suite)
	}
	if err := h.resumePeer(h.session); err != nil {
		return err
	}
	h.transcript.add(m)
	h.state = client12ResumedFinished
	return h.useMaster(h.session.secret)
}

// resumedFinished handles the server's Finished, and sends the client's Finished,
// which ends the handshake.
func (h *client12) resumedFinished(now time.Time, m message) error {
	if err := h.checkFinished(m); err != nil {
		return err
	}
	h.transcript.add(m)
	h.sendFinished()
	h.offerSession(now)
	h.out.final, h.out.done = true, true
	return nil
}

// newSessionTicket handles a NewSessionTicket (RFC 5077 §3.3).
func (h *client12) newSessionTicket(m message) error {
	if err := expect(m, typeNewSessionTicket, 0); err != nil {
		return err
	}
	s := cryptobyte.String(m.body)
	var lifetime uint32
	var ticket cryptobyte.String
	if !s.ReadUint32(&lifetime) || !s.ReadUint16LengthPrefixed(&ticket) || !s.Empty() {
		return errDecode
	}
	h.ticketDue = false
	h.transcript.add(m)
	if len(ticket) > 0 {
		h.ticket = slices.Clone(ticket)
		h.ticketLife = time.Duration(lifetime) * time.Second
	}
	return nil
}

// offerSession passes the session of a finished handshake to the program, if the
// server has given it a ticket or an id.
func (h *client12) offerSession(now time.Time) {
	s := &Session{version: VersionDTLS12, suite: h.agreed.CipherSuite, secret: h.agreed.secrets.master, peer: h.agreed.PeerCertificates, issued: now, lifetime: h.ticketLife}
	switch {
	case !h.cfg.Tickets:
		return
	case h.ticket != nil:
		id := sha256.Sum256(h.ticket)
		s.id, s.ticket = id[:], h.ticket
	case h.agreed.Resumed || len(h.sessionID) == 0:
		return // the server has given no new ticket or id
	default:
		s.id = slices.Clone(h.sessionID)
	}
	if s.lifetime == 0 {
		// RFC 5077 §3.3: zero means that the server does not specify the lifetime.
		s.lifetime = ticketLifetime
	}
	h.out.session = s
}

// findSession returns the session that the ClientHello asks to resume; nil: there is
// none, or the server does not resume it.
func (h *server12) findSession(now time.Time) *Session {
	if len(h.cfg.TicketKeys) == 0 || len(h.hello.extensions.sessionTicket) == 0 {
		return nil
	}
	s := h.cfg.openTicket(h.hello.extensions.sessionTicket)
	if !h.cfg.resumes(s, VersionDTLS12, now) || !slices.Contains(h.hello.suites, s.suite) {
		return nil
	}
	if !h.cfg.enabled(VersionDTLS12, s.suite) {
		return nil
	}
	return s
}

// resume answers a ClientHello with the server's messages from ServerHello to
// Finished.
func (h *server12) resume(now time.Time, sh *serverHello, s *Session) error {
	if err := h.resumePeer(s); err != nil {
		return err
	}
	sh.sessionID = bytes.Clone(h.hello.sessionID)
	if s.old {
		h.ticketDue = true
		sh.extensions.sessionTicket = []byte{}
	}
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerHello: %w", err)
	}
	h.send(typeServerHello, body)
	if err := h.useMaster(s.secret); err != nil {
		return err
	}
	if err := h.sendTicket(now); err != nil {
		return err
	}
	h.sendFinished()
	h.state = server12ResumedFinished
	return nil
}

// sendTicket sends a ticket to the client, if the ServerHello announced one.
func (h *server12) sendTicket(now time.Time) error {
	if !h.ticketDue {
		return nil
	}
	s := &Session{version: VersionDTLS12, suite: h.agreed.CipherSuite, secret: h.agreed.secrets.master, peer: h.agreed.PeerCertificates, issued: now}
	ticket, err := h.cfg.sealTicket(s)
	if err != nil {
		return fatal(AlertInternalError, "ticket: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint32(uint32(ticketLifetime / time.Second))
	// RFC 5077 §3.3: the ticket is empty if the server decides to give none.
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ticket) })
	h.send(typeNewSessionTicket, b.BytesOrPanic())
	return nil
}
