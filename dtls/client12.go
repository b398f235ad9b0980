package dtls

import (
	"crypto/ecdh"
	"slices"
	"time"
)

// A client12 is the client's side of a DTLS 1.2 handshake (RFC 6347 §4.2.4), from the
// ServerHello on:
//
//	ClientHello              ->
//	                         <-  ServerHello, Certificate, ServerKeyExchange,
//	                             [CertificateRequest], ServerHelloDone
//	[Certificate], ClientKeyExchange, [CertificateVerify],
//	[ChangeCipherSpec], Finished  ->
//	                         <-  [NewSessionTicket], [ChangeCipherSpec], Finished
//
// If the server resumes a session (resume12.go), its Finished follows the ServerHello.
type client12 struct {
	handshake12
	*offer
	state client12State

	requested  *acceptedCertificates // from the CertificateRequest; nil: the server sent none
	key        *ecdh.PrivateKey
	secret     []byte        // the shared secret of the key exchange
	sessionID  []byte        // the session id that the server chose
	ticketDue  bool          // the server has announced a NewSessionTicket
	ticket     []byte        // the ticket that the server gave; nil: none
	ticketLife time.Duration // lifetime of the ticket; 0: the server did not specify it
}

// A client12State is the message that a client12 waits for.
type client12State uint8

const (
	client12Certificate client12State = iota
	client12ServerKeyExchange
	client12ServerHelloDone // the ServerHelloDone, or a CertificateRequest before it
	client12Finished        // the Finished, or a NewSessionTicket before it
	client12ResumedFinished // the Finished of a resumed session, or a NewSessionTicket before it
)

func (h *client12) handle(now time.Time, m message) error {
	switch h.state {
	case client12Certificate:
		return h.serverCertificate(m)
	case client12ServerKeyExchange:
		return h.serverKeyExchange(m)
	case client12ServerHelloDone:
		return h.serverHelloDone(m)
	}
	if h.ticketDue {
		return h.newSessionTicket(m)
	}
	if h.state == client12ResumedFinished {
		return h.resumedFinished(now, m)
	}
	return h.finished(now, m)
}

// serverHello handles the ServerHello. It checks that the server chose only what the
// client offered.
func (h *client12) serverHello(sh *serverHello, m message) error {
	su, ok := suiteByID(sh.suite)
	if !ok || !slices.Contains(h.hello.suites, sh.suite) || su.version != VersionDTLS12 || sh.compression != 0 {
		return fatal(AlertIllegalParameter, "server chose suite %v, compression %d, which were not offered", sh.suite, sh.compression)
	}
	e := &sh.extensions
	for _, t := range e.seen {
		if !h.offered(t) {
			return fatal(AlertUnsupportedExtension, "server answers extension %d, which was not sent", t)
		}
	}
	// RFC 7627 §5.2: without the extended master secret, a session is not bound to
	// the certificates of its handshake.
	if !e.extendedMasterSecret {
		return fatal(AlertHandshakeFailure, "server has no extended master secret")
	}
	// RFC 5746 §3.4: the client MUST verify that the length of
	// renegotiated_connection is zero.
	if len(e.renegotiationInfo) != 0 {
		return fatal(AlertHandshakeFailure, "renegotiation_info is not empty")
	}
	if e.pointFormats != nil && !slices.Contains(e.pointFormats, 0) {
		return fatal(AlertIllegalParameter, "server cannot read uncompressed points")
	}
	h.begin(su, h.sent)
	if err := h.acceptProtocols(e); err != nil {
		return err
	}
	h.agreed.acceptCID(e)
	h.ticketDue = e.has(extSessionTicket)
	h.clientRandom, h.serverRandom = h.hello.random, sh.random
	if s := h.session; s != nil && s.version == VersionDTLS12 && slices.Equal(sh.sessionID, s.id) {
		return h.resume(sh, m)
	}
	h.sessionID = sh.sessionID
	h.transcript.add(m)
	return nil
}

// serverCertificate handles the server's Certificate message.
func (h *client12) serverCertificate(m message) error {
	if err := h.receiveServerChain(m, 0); err != nil {
		return err
	}
	if keyAuth(h.peerKey) != h.suite.auth {
		return fatal(AlertIllegalParameter, "the key of the certificate does not fit %v", h.suite.id)
	}
	h.state = client12ServerKeyExchange
	return nil
}

// serverKeyExchange handles the server's ephemeral key.
func (h *client12) serverKeyExchange(m message) error {
	if err := expect(m, typeServerKeyExchange, 0); err != nil {
		return err
	}
	ske, err := parseServerKeyExchange(m.body)
	if err != nil {
		return err
	}
	if !slices.Contains(h.cfg.groups12(), ske.group) {
		return fatal(AlertIllegalParameter, "server chose group %v", ske.group)
	}
	signed, err := ske.signed(&h.clientRandom, &h.serverRandom)
	if err != nil {
		return fatal(AlertInternalError, "ServerKeyExchange: %w", err)
	}
	if err := verify(h.peerKey, VersionDTLS12, h.cfg.SignatureSchemes, ske.scheme, signed, ske.signature); err != nil {
		return err
	}
	if h.key, err = newKey(ske.group, h.cfg.Rand); err != nil {
		return err
	}
	if h.secret, err = agree(h.key, ske.public); err != nil {
		return err
	}
	h.agreed.Group = ske.group
	h.transcript.add(m)
	h.state = client12ServerHelloDone
	return nil
}

// serverHelloDone handles an optional CertificateRequest. Then it handles the
// ServerHelloDone, which ends the server's flight, and sends the client's flight.
func (h *client12) serverHelloDone(m message) error {
	if m.typ == typeCertificateRequest && m.epoch == 0 && h.requested == nil {
		accepted, err := parseCertificateRequest12(m.body)
		if err != nil {
			return err
		}
		h.requested = accepted
		h.transcript.add(m)
		return h.chooseCertificate(accepted)
	}
	if err := expect(m, typeServerHelloDone, 0); err != nil {
		return err
	}
	if len(m.body) != 0 {
		return errDecode
	}
	h.transcript.add(m)
	h.state = client12Finished
	return h.sendFlight()
}

// sendFlight sends the client's messages from Certificate to Finished.
func (h *client12) sendFlight() error {
	if h.requested != nil {
		if err := h.sendChain(); err != nil {
			return err
		}
	}
	h.send(typeClientKeyExchange, marshalClientKeyExchange(h.key.PublicKey().Bytes()))
	if err := h.deriveKeys(h.secret); err != nil {
		return err
	}
	if h.requested != nil && h.certificate != nil {
		if err := h.sendCertificateVerify(h.requested.schemes, h.transcript.messages); err != nil {
			return err
		}
	}
	h.sendFinished()
	return nil
}

// finished handles the server's Finished, which ends the handshake.
func (h *client12) finished(now time.Time, m message) error {
	if err := h.checkFinished(m); err != nil {
		return err
	}
	h.offerSession(now)
	h.out.done = true
	return nil
}
