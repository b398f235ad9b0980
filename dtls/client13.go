package dtls

import (
	"slices"
	"time"
)

// A client13 is the client's side of a DTLS 1.3 handshake (RFC 9147 §5.7), from the first
// ServerHello on. Messages in braces are encrypted with the keys of epoch 2:
//
//	ClientHello              ->
//	                         <-  [HelloRetryRequest]
//	[ClientHello]            ->
//	                         <-  ServerHello, {EncryptedExtensions,
//	                             [CertificateRequest], Certificate,
//	                             CertificateVerify, Finished}
//	{[Certificate, CertificateVerify], Finished}  ->
//	                         <-  ACK
//
// A resumed session has no certificates (resume13.go).
type client13 struct {
	handshake13
	*offer
	state     client13State
	requested *acceptedCertificates // from the CertificateRequest; nil: the server sent none
}

// A client13State is the message that a client13 waits for.
type client13State uint8

const (
	client13ServerHello client13State = iota // the ServerHello after a HelloRetryRequest
	client13EncryptedExtensions
	client13Certificate // the Certificate, or a CertificateRequest before it
	client13CertificateVerify
	client13Finished
)

func (h *client13) handle(now time.Time, m message) error {
	switch h.state {
	case client13ServerHello:
		return h.secondServerHello(m)
	case client13EncryptedExtensions:
		return h.encryptedExtensions(m)
	case client13Certificate:
		return h.serverCertificate(m)
	case client13CertificateVerify:
		err := h.checkCertificateVerify13(m)
		if err == nil {
			h.state = client13Finished
		}
		return err
	}
	return h.finished(m)
}

// secondServerHello handles the server's answer to the second ClientHello, which a
// HelloRetryRequest asked for.
func (h *client13) secondServerHello(m message) error {
	if err := expect(m, typeServerHello, 0); err != nil {
		return err
	}
	sh, err := parseServerHello(m.body)
	if err != nil {
		return err
	}
	if !sh.extensions.has(extSupportedVersions) {
		return fatal(AlertProtocolVersion, "server chose version %v after a HelloRetryRequest", sh.version)
	}
	return h.serverHello(&sh, m)
}

// serverHello handles a ServerHello that chose DTLS 1.3, or a HelloRetryRequest.
func (h *client13) serverHello(sh *serverHello, m message) error {
	e := &sh.extensions
	if sh.version != VersionDTLS12 || e.versions[0] != VersionDTLS13 {
		return fatal(AlertIllegalParameter, "server chose versions %v, %v", sh.version, e.versions)
	}
	su, ok := suiteByID(sh.suite)
	if !ok || !slices.Contains(h.hello.suites, sh.suite) || su.version != VersionDTLS13 || sh.compression != 0 {
		return fatal(AlertIllegalParameter, "server chose suite %v, compression %d, which were not offered", sh.suite, sh.compression)
	}
	// RFC 9147 §5: the client sends no session id, so a server must not send one
	// back.
	if len(sh.sessionID) != 0 {
		return fatal(AlertIllegalParameter, "server answers with a session id")
	}
	retry := sh.random == retryRandom
	for _, t := range e.seen {
		switch {
		case t == extSupportedVersions, t == extKeyShare, t == extCookie && retry:
		case t == extPreSharedKey && !retry && h.hello.extensions.psk != nil:
		case t == extConnectionID && !retry && h.agreed.ConnectionID != nil:
		default:
			return fatal(AlertUnsupportedExtension, "server answers extension %d in its hello", t)
		}
	}
	// RFC 8446 §4.2.8: in a HelloRetryRequest, key_share contains only the group.
	if e.has(extKeyShare) && (e.keyShares[0].data == nil) != retry {
		return errDecode
	}
	switch {
	case !h.agreed.HelloRetryRequest:
		h.begin(su, h.sent)
	case retry:
		return fatal(AlertUnexpectedMessage, "server sends a second HelloRetryRequest")
	case su.id != h.agreed.CipherSuite:
		return fatal(AlertIllegalParameter, "server changes the suite after a HelloRetryRequest")
	}
	h.clientRandom = h.hello.random
	if retry {
		return h.retry(e, m)
	}
	h.serverRandom = sh.random
	h.transcript.add(m)
	h.agreed.acceptCID(e)
	if err := h.acceptSession(e); err != nil {
		return err
	}
	return h.acceptShare(e)
}

// retry sends the second ClientHello with the changes that a HelloRetryRequest asks
// for (RFC 8446 §4.1.4).
func (h *client13) retry(e *helloExtensions, m message) error {
	hello := &h.hello.extensions
	if !e.has(extKeyShare) && !e.has(extCookie) {
		return fatal(AlertIllegalParameter, "HelloRetryRequest asks for nothing")
	}
	h.agreed.HelloRetryRequest = true
	h.transcript.retry()
	h.transcript.add(m)
	if e.has(extKeyShare) {
		g := e.keyShares[0].group
		sent := slices.ContainsFunc(hello.keyShares, func(k keyShare) bool { return k.group == g })
		if sent || !slices.Contains(hello.groups, g) {
			return fatal(AlertIllegalParameter, "HelloRetryRequest asks for group %v", g)
		}
		key, err := newEphemeral(g, h.cfg.Rand)
		if err != nil {
			return err
		}
		h.shares = []ephemeral{key}
		hello.keyShares = []keyShare{key.share()}
	}
	hello.cookie = slices.Clone(e.cookie)
	h.dropSession(h.suite)
	return h.sendHello(h.handshake)
}

// acceptShare handles the server's key share, and derives the keys of epoch 2.
func (h *client13) acceptShare(e *helloExtensions) error {
	if !e.has(extKeyShare) {
		return fatal(AlertMissingExtension, "ServerHello without key_share")
	}
	share := e.keyShares[0]
	i := slices.IndexFunc(h.shares, func(k ephemeral) bool { return k.group == share.group })
	if i < 0 {
		return fatal(AlertIllegalParameter, "server chose group %v, for which it got no share", share.group)
	}
	secret, err := h.shares[i].agree(share.data)
	if err != nil {
		return err
	}
	h.shares = nil
	h.agreed.Group = share.group
	h.state = client13EncryptedExtensions
	return h.deriveHandshakeKeys(secret)
}

// encryptedExtensions handles the EncryptedExtensions message. It is the first
// encrypted message. From now on records in plaintext, even alerts, are rejected.
func (h *client13) encryptedExtensions(m message) error {
	if err := expect(m, typeEncryptedExtensions, epochHandshake); err != nil {
		return err
	}
	h.out.rejectPlaintext = true
	e, err := parseEncryptedExtensions(m.body)
	if err != nil {
		return err
	}
	for _, t := range e.seen {
		switch t {
		case extKeyShare, extSupportedVersions, extCookie, extPreSharedKey, extSessionTicket, extExtendedMasterSecret, extRenegotiationInfo, extECPointFormats, extConnectionID:
			return fatal(AlertIllegalParameter, "extension %d does not belong into EncryptedExtensions", t)
		}
		if !h.offered(t) {
			return fatal(AlertUnsupportedExtension, "server answers extension %d, which was not sent", t)
		}
	}
	if err := h.acceptProtocols(&e); err != nil {
		return err
	}
	h.transcript.add(m)
	h.state = client13Certificate
	if h.agreed.Resumed {
		// The certificates are checked only here because an alert can be encrypted
		// from here on.
		if err := h.verifyPeer(); err != nil {
			return err
		}
		h.state = client13Finished
	}
	return nil
}

// serverCertificate handles an optional CertificateRequest, then the server's
// Certificate message.
func (h *client13) serverCertificate(m message) error {
	if m.typ == typeCertificateRequest && m.epoch == epochHandshake && h.requested == nil {
		accepted, err := parseCertificateRequest13(m.body)
		if err != nil {
			return err
		}
		h.requested = accepted
		h.transcript.add(m)
		return h.chooseCertificate(accepted)
	}
	if err := h.receiveServerChain(m, epochHandshake); err != nil {
		return err
	}
	h.state = client13CertificateVerify
	return nil
}

// finished handles the server's Finished and sends the client's flight. After that,
// application data can be sent.
func (h *client13) finished(m message) error {
	if err := h.checkFinished(m); err != nil {
		return err
	}
	local, remote := h.deriveDataSecrets()
	if h.requested != nil {
		if err := h.sendCertificate(h.requested.schemes); err != nil {
			return err
		}
	}
	h.sendFinished()
	if h.cfg.Tickets {
		h.agreed.resumption = h.resumptionSecret()
	}
	if err := h.setReadSecret(epochData, remote); err != nil {
		return err
	}
	h.out.done = true
	return h.setWriteSecret(epochData, local)
}
