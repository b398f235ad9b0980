package dtls

import (
	"crypto/ecdh"
	"slices"
	"time"
)

// A server12 is the server's side of a DTLS 1.2 handshake, from the ClientHello on.
// The comment on client12 shows the messages.
type server12 struct {
	handshake12
	hello *clientHello
	state server12State

	key       *ecdh.PrivateKey
	ticketDue bool // the ServerHello announced a NewSessionTicket
}

// A server12State is the message that a server12 waits for.
type server12State uint8

const (
	server12Certificate server12State = iota
	server12ClientKeyExchange
	server12CertificateVerify
	server12Finished
	server12ResumedFinished
)

func (h *server12) handle(now time.Time, m message) error {
	switch h.state {
	case server12Certificate:
		return h.clientCertificate(m)
	case server12ClientKeyExchange:
		return h.clientKeyExchange(m)
	case server12CertificateVerify:
		err := h.checkCertificateVerify(m, 0, h.transcript.messages)
		if err == nil {
			h.state = server12Finished
		}
		return err
	case server12ResumedFinished:
		h.out.done = true
		return h.checkFinished(m)
	}
	return h.finished(now, m)
}

// clientHello handles the ClientHello: it chooses from what the client offers, and
// sends the server's flight.
func (h *server12) clientHello(now time.Time, m message) error {
	e := &h.hello.extensions
	switch {
	case !slices.Contains(h.hello.compressions, 0):
		return fatal(AlertIllegalParameter, "client cannot do without compression")
	case !e.extendedMasterSecret:
		// RFC 7627 §5.3: a server that requires the extended master secret ends the
		// handshake with this alert.
		return fatal(AlertHandshakeFailure, "client has no extended master secret")
	case len(e.renegotiationInfo) != 0:
		// RFC 5746 §3.6: in a first handshake renegotiated_connection MUST be empty.
		return fatal(AlertHandshakeFailure, "renegotiation_info is not empty")
	case e.pointFormats != nil && !slices.Contains(e.pointFormats, 0):
		return fatal(AlertIllegalParameter, "client cannot read uncompressed points")
	}
	session := h.findSession(now)
	var su suite
	var ok bool
	if session != nil {
		su, ok = suiteByID(session.suite)
	} else if auth := h.cfg.offeredAuth(h.hello.suites); len(auth) > 0 {
		if err := h.chooseCertificate(&acceptedCertificates{VersionDTLS12, e.schemes, e.authorities, e.groups, auth}); err != nil {
			return err
		}
		su, ok = h.cfg.chooseSuite12(h.hello.suites, keyAuth(publicKey(h.certificate)))
	}
	if !ok {
		return fatal(AlertHandshakeFailure, "no cipher suite in common; client offers %v", h.hello.suites)
	}
	group, ok := h.cfg.chooseGroup12(e.groups)
	if !ok && session == nil {
		return fatal(AlertHandshakeFailure, "no group in common; client offers %v", e.groups)
	}
	sh := &serverHello{version: VersionDTLS12, suite: su.id}
	if err := h.answerExtensions(sh); err != nil {
		return err
	}
	if err := h.newRandom(&h.serverRandom); err != nil {
		return err
	}
	if h.cfg.speaks(VersionDTLS13) {
		copy(h.serverRandom[24:], downgradeTo12)
	}
	sh.random = h.serverRandom
	h.clientRandom = h.hello.random
	h.begin(su, m)
	h.agreed.Group = group
	if session != nil {
		return h.resume(now, sh, session)
	}
	if len(h.cfg.TicketKeys) > 0 && e.sessionTicket != nil {
		sh.extensions.sessionTicket = []byte{}
		h.ticketDue = true
	}
	return h.sendFlight(sh)
}

// answerExtensions sets the extensions of the ServerHello. It sets only extensions
// that answer one of the ClientHello.
func (h *server12) answerExtensions(sh *serverHello) error {
	e := &h.hello.extensions
	sh.extensions.extendedMasterSecret = true
	if e.renegotiationInfo != nil || slices.Contains(h.hello.suites, scsvRenegotiation) {
		sh.extensions.renegotiationInfo = []byte{}
	}
	if e.pointFormats != nil {
		sh.extensions.pointFormats = []byte{0}
	}
	sh.extensions.acknowledgeName = h.acknowledgesName()
	sh.extensions.connectionID = h.agreed.chooseCID(e.connectionID)
	return h.chooseProtocols(e, &sh.extensions)
}

// sendFlight sends the server's messages from ServerHello to ServerHelloDone.
func (h *server12) sendFlight(sh *serverHello) error {
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerHello: %w", err)
	}
	h.send(typeServerHello, body)
	if err := h.sendChain(); err != nil {
		return err
	}
	if err := h.sendServerKeyExchange(); err != nil {
		return err
	}
	h.state = server12ClientKeyExchange
	if h.cfg.ClientAuth != ClientAuthNone {
		body, err := marshalCertificateRequest12(h.cfg.SignatureSchemes)
		if err != nil {
			return fatal(AlertInternalError, "CertificateRequest: %w", err)
		}
		h.send(typeCertificateRequest, body)
		h.state = server12Certificate
	}
	h.send(typeServerHelloDone, nil)
	return nil
}

// sendServerKeyExchange sends the server's ephemeral key with a signature.
func (h *server12) sendServerKeyExchange() (err error) {
	if h.key, err = newKey(h.agreed.Group, h.cfg.Rand); err != nil {
		return err
	}
	ske := &serverKeyExchange{group: h.agreed.Group, public: h.key.PublicKey().Bytes()}
	signed, err := ske.signed(&h.clientRandom, &h.serverRandom)
	if err != nil {
		return fatal(AlertInternalError, "ServerKeyExchange: %w", err)
	}
	if ske.scheme, ske.signature, err = h.sign(h.hello.extensions.schemes, signed); err != nil {
		return err
	}
	body, err := ske.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerKeyExchange: %w", err)
	}
	h.send(typeServerKeyExchange, body)
	return nil
}

// clientCertificate handles the client's Certificate message.
func (h *server12) clientCertificate(m message) error {
	chain, err := h.receiveChain(m, 0)
	if err != nil {
		return err
	}
	if len(chain) > 0 {
		err = h.checkPeerChain(chain)
	} else if h.cfg.ClientAuth == ClientAuthRequire {
		// RFC 5246 §7.4.6 names this alert. DTLS 1.3 uses another one.
		err = fatal(AlertHandshakeFailure, "client has no certificate")
	}
	if err != nil {
		return err
	}
	h.transcript.add(m)
	h.state = server12ClientKeyExchange
	return nil
}

// clientKeyExchange handles the client's ephemeral key, and derives the keys of epoch
// 1.
func (h *server12) clientKeyExchange(m message) error {
	if err := expect(m, typeClientKeyExchange, 0); err != nil {
		return err
	}
	public, err := parseClientKeyExchange(m.body)
	if err != nil {
		return err
	}
	secret, err := agree(h.key, public)
	if err != nil {
		return err
	}
	h.transcript.add(m)
	if err := h.deriveKeys(secret); err != nil {
		return err
	}
	h.state = server12Finished
	if h.peerKey != nil {
		h.state = server12CertificateVerify
	}
	return nil
}

// finished handles the client's Finished, and sends the server's Finished, which ends
// the handshake. The flight with it is kept as long as the connection lives, since the
// server does not learn when the client has received it. Without a ticket it has 12
// bytes.
func (h *server12) finished(now time.Time, m message) error {
	if err := h.checkFinished(m); err != nil {
		return err
	}
	h.transcript.add(m)
	if err := h.sendTicket(now); err != nil {
		return err
	}
	h.sendFinished()
	h.out.final, h.out.done = true, true
	return nil
}
