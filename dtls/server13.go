package dtls

import (
	"crypto/sha256"
	"slices"
	"time"
)

// A server13 is the server's side of a DTLS 1.3 handshake, from the first ClientHello
// on. The comment on client13 shows the messages.
type server13 struct {
	handshake13
	hello *clientHello // the newest ClientHello
	fixed [32]byte     // result of fixedPart for the first ClientHello; for the second ClientHello it must be the same

	remoteData []byte // the client's first traffic secret for data
	state      server13State
}

// A server13State is the message that a server13 waits for.
type server13State uint8

const (
	server13ClientHello server13State = iota // the ClientHello after a HelloRetryRequest
	server13Certificate
	server13CertificateVerify
	server13Finished
)

func (h *server13) handle(now time.Time, m message) error {
	switch h.state {
	case server13ClientHello:
		return h.secondHello(now, m)
	case server13Certificate:
		return h.clientCertificate(m)
	case server13CertificateVerify:
		err := h.checkCertificateVerify13(m)
		if err == nil {
			h.state = server13Finished
		}
		return err
	}
	return h.finished(now, m)
}

// firstHello handles the first ClientHello, which offers DTLS 1.3. It answers with the
// server's flight or with a HelloRetryRequest.
func (h *server13) firstHello(now time.Time, hello *clientHello, m message) error {
	o, err := h.chooseOffer(now, hello, m)
	if err != nil {
		return err
	}
	h.hello, h.fixed = hello, fixedPart(hello, m.body)
	h.begin(o.suite, m)
	h.agreed.Group = o.group
	h.clientRandom = hello.random
	if o.share == nil {
		return h.sendRetry()
	}
	return h.answerOffer(o)
}

// secondHello handles the second ClientHello, which answers a HelloRetryRequest.
// Version, suite and group are already decided. Everything else is taken from the
// second ClientHello, and nothing from the first ClientHello.
func (h *server13) secondHello(now time.Time, m message) error {
	hello, err := h.readClientHello(m)
	if err != nil {
		return err
	}
	// RFC 8446 §4.1.2: the second ClientHello differs from the first only in the
	// changes that are listed there.
	if !slices.Contains(hello.extensions.versions, VersionDTLS13) || fixedPart(hello, m.body) != h.fixed {
		return fatal(AlertIllegalParameter, "second ClientHello differs from the first")
	}
	o, err := h.chooseOffer(now, hello, m)
	switch {
	case err != nil:
		return err
	case o.suite.id != h.agreed.CipherSuite || o.group != h.agreed.Group:
		return fatal(AlertIllegalParameter, "client changes its offer after a HelloRetryRequest")
	case o.share == nil:
		return fatal(AlertIllegalParameter, "client has no share for the group it was asked for")
	}
	h.hello = hello
	h.transcript.add(m)
	h.clientRandom = hello.random
	return h.answerOffer(o)
}

// fixedPart returns the hash of everything before the extensions in the body of a
// DTLS 1.3 ClientHello: version, random, session id, suites and compression methods. The
// second ClientHello repeats this part (RFC 8446 §4.1.2).
func fixedPart(h *clientHello, body []byte) [32]byte {
	n := 2 + len(h.random) + 1 + len(h.sessionID) + 1 + len(h.cookie) + 2 + 2*len(h.suites) + 1 + len(h.compressions)
	return sha256.Sum256(body[:n])
}

// An offer13 is what a server chose from the offers in a ClientHello.
type offer13 struct {
	suite   suite
	group   Group
	share   []byte   // the client's key share for group; nil: the client sent none
	session *Session // the session that is resumed; nil: none
	index   uint16   // index of the session's ticket in the ClientHello
}

// chooseOffer chooses from the offers in a ClientHello. The ClientHello must not be
// part of the transcript yet.
func (h *server13) chooseOffer(now time.Time, hello *clientHello, m message) (o offer13, err error) {
	if err := checkClientHello13(hello); err != nil {
		return o, err
	}
	var ok bool
	if o.suite, ok = h.cfg.chooseSuite13(hello.suites); !ok {
		return o, fatal(AlertHandshakeFailure, "no cipher suite in common; client offers %v", hello.suites)
	}
	if o.group, o.share, ok = h.cfg.chooseGroup13(&hello.extensions); !ok {
		return o, fatal(AlertHandshakeFailure, "no group in common; client offers %v", hello.extensions.groups)
	}
	o.session, o.index, err = h.findSession(hello, m.body, o.suite, now)
	return o, err
}

// checkClientHello13 checks what RFC 8446 and RFC 9147 require of a DTLS 1.3
// ClientHello.
func checkClientHello13(h *clientHello) error {
	e := &h.extensions
	switch {
	case !slices.Equal(h.compressions, []byte{0}):
		return fatal(AlertIllegalParameter, "client offers compression")
	case len(h.cookie) != 0:
		// RFC 9147 §5.3: the cookie field must be empty.
		return fatal(AlertIllegalParameter, "client has a cookie of DTLS 1.2")
	case e.groups == nil || e.keyShares == nil || e.schemes == nil:
		// RFC 8446 §9.2: these extensions are mandatory.
		return fatal(AlertMissingExtension, "ClientHello lacks an extension that certificates need")
	}
	for i, k := range e.keyShares {
		same := func(o keyShare) bool { return o.group == k.group }
		// RFC 8446 §4.2.8: each key share is for a different group, which
		// supported_groups contains.
		if !slices.Contains(e.groups, k.group) || slices.ContainsFunc(e.keyShares[:i], same) {
			return fatal(AlertIllegalParameter, "key share of group %v twice or not offered", k.group)
		}
	}
	return nil
}

// sendRetry sends a HelloRetryRequest, which asks the client for a key share for the
// chosen group.
func (h *server13) sendRetry() error {
	h.agreed.HelloRetryRequest = true
	h.transcript.retry()
	h.state = server13ClientHello
	sh := &serverHello{version: VersionDTLS12, random: retryRandom, suite: h.agreed.CipherSuite}
	sh.extensions.versions = []Version{VersionDTLS13}
	sh.extensions.keyShares = []keyShare{{group: h.agreed.Group}}
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "HelloRetryRequest: %w", err)
	}
	h.send(typeServerHello, body)
	return nil
}

// answerOffer sends the server's messages from ServerHello to Finished, which answer a
// ClientHello with a key share for the chosen group.
func (h *server13) answerOffer(o offer13) error {
	sh := &serverHello{version: VersionDTLS12, suite: h.agreed.CipherSuite}
	if o.session != nil {
		h.psk = o.session.secret
		sh.extensions.seen = []extensionType{extPreSharedKey}
		sh.extensions.selectedPSK = o.index
		if err := h.resumePeer(o.session); err != nil {
			return err
		}
	}
	share, secret, err := answerShare(h.agreed.Group, h.cfg.Rand, o.share)
	if err != nil {
		return err
	}
	sh.extensions.versions = []Version{VersionDTLS13}
	sh.extensions.keyShares = []keyShare{share}
	sh.extensions.connectionID = h.agreed.chooseCID(h.hello.extensions.connectionID)
	if err := h.newRandom(&h.serverRandom); err != nil {
		return err
	}
	sh.random = h.serverRandom
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerHello: %w", err)
	}
	h.send(typeServerHello, body)
	if err := h.deriveHandshakeKeys(secret); err != nil {
		return err
	}
	if err := h.sendProof(); err != nil {
		return err
	}
	// The client can decrypt records of the data epoch when it has received this
	// flight.
	local, remote := h.deriveDataSecrets()
	h.remoteData = remote
	return h.setWriteSecret(epochData, local)
}

// sendProof sends the server's messages after the ServerHello.
func (h *server13) sendProof() error {
	e := helloExtensions{acknowledgeName: h.acknowledgesName()}
	if err := h.chooseProtocols(&h.hello.extensions, &e); err != nil {
		return err
	}
	body, err := marshalEncryptedExtensions(&e)
	if err != nil {
		return fatal(AlertInternalError, "EncryptedExtensions: %w", err)
	}
	h.send(typeEncryptedExtensions, body)
	h.state = server13Finished
	if h.agreed.Resumed {
		h.sendFinished()
		return nil
	}
	if h.cfg.ClientAuth != ClientAuthNone {
		if body, err = marshalCertificateRequest13(h.cfg.SignatureSchemes); err != nil {
			return fatal(AlertInternalError, "CertificateRequest: %w", err)
		}
		h.send(typeCertificateRequest, body)
		h.state = server13Certificate
	}
	offered := &h.hello.extensions
	if err := h.chooseCertificate(&acceptedCertificates{version: VersionDTLS13, schemes: offered.schemes, authorities: offered.authorities}); err != nil {
		return err
	}
	if err := h.sendCertificate(offered.schemes); err != nil {
		return err
	}
	h.sendFinished()
	return nil
}

// clientCertificate handles the client's Certificate message.
func (h *server13) clientCertificate(m message) error {
	chain, err := h.receiveChain(m, epochHandshake)
	if err != nil {
		return err
	}
	h.state = server13CertificateVerify
	if len(chain) > 0 {
		err = h.checkPeerChain(chain)
	} else if h.cfg.ClientAuth == ClientAuthRequire {
		err = fatal(AlertCertificateRequired, "client has no certificate")
	} else {
		h.state = server13Finished
	}
	h.transcript.add(m)
	return err
}

// finished handles the client's Finished, which ends the handshake. The server answers
// it with an ACK and, if the client can use tickets, with a flight of tickets.
func (h *server13) finished(now time.Time, m message) error {
	if err := h.checkFinished(m); err != nil {
		return err
	}
	if err := h.setReadSecret(epochData, h.remoteData); err != nil {
		return err
	}
	h.out.done = true
	// RFC 8446 §4.2.9: the server sends no tickets to a client that does not accept
	// resumption with a new key exchange.
	if len(h.cfg.TicketKeys) > 0 && slices.Contains(h.hello.extensions.pskModes, pskWithECDHE) {
		return h.sendTickets(now)
	}
	return nil
}
