package dtls

import (
	"slices"
	"time"
)

// acceptClientHello13 takes a ClientHello that offers DTLS 1.3, and answers
// with our flight or a HelloRetryRequest.
func (c *Conn) acceptClientHello13(now time.Time, h *clientHello, m message) error {
	if err := checkClientHello13(h); err != nil {
		return err
	}
	su, ok := c.chooseSuite13(h.suites)
	if !ok {
		return fatal(AlertHandshakeFailure, "no cipher suite in common; client offers %v", h.suites)
	}
	group, share, ok := c.chooseGroup13(&h.extensions)
	if !ok {
		return fatal(AlertHandshakeFailure, "no group in common; client offers %v", h.extensions.groups)
	}
	session, index, err := c.serverSession13(h, m.body, su, now)
	if err != nil {
		return err
	}
	c.hs.hello = *h
	if c.hs.retried {
		if su.id != c.suite || group != c.group {
			return fatal(AlertIllegalParameter, "client changes its mind after a HelloRetryRequest")
		}
		c.hs.addToTranscript(m)
	} else {
		c.hs.addToTranscript(m)
		c.begin13(su)
	}
	c.group = group
	c.secrets.clientRandom = h.random
	if share != nil {
		sh := &serverHello{version: VersionDTLS12, suite: c.suite}
		if session != nil {
			c.hs.psk = session.secret
			sh.extensions.seen = []extensionType{extPreSharedKey}
			sh.extensions.selectedPSK = index
			if err := c.resume(session); err != nil {
				return err
			}
		}
		return c.sendServerFlight13(sh, share)
	}
	if c.hs.retried {
		return fatal(AlertIllegalParameter, "client has no share for the group it was asked for")
	}
	return c.sendRetry()
}

// checkClientHello13 finds what a ClientHello for DTLS 1.3 must not lack or
// say.
func checkClientHello13(h *clientHello) error {
	e := &h.extensions
	switch {
	case !slices.Equal(h.compressions, []byte{0}):
		return fatal(AlertIllegalParameter, "client offers compression")
	case len(h.cookie) != 0:
		// RFC 9147 §5.3
		return fatal(AlertIllegalParameter, "client has a cookie of DTLS 1.2")
	case e.groups == nil || e.keyShares == nil || e.schemes == nil:
		// RFC 8446 §9.2
		return fatal(AlertMissingExtension, "ClientHello lacks an extension that certificates need")
	}
	for i, k := range e.keyShares {
		same := func(o keyShare) bool { return o.group == k.group }
		// RFC 8446 §4.2.8
		if !slices.Contains(e.groups, k.group) || slices.ContainsFunc(e.keyShares[:i], same) {
			return fatal(AlertIllegalParameter, "key share of group %v twice or not offered", k.group)
		}
	}
	return nil
}

// chooseSuite13 takes the suite we like best of those that the client offers.
func (c *Conn) chooseSuite13(offered []CipherSuite) (suite, bool) {
	for s := range c.cfg.suites(VersionDTLS13) {
		if slices.Contains(offered, s.id) {
			return s, true
		}
	}
	return suite{}, false
}

// chooseGroup13 takes the group we like best of those that the client has a
// share for, else, with no share, of those it offers.
func (c *Conn) chooseGroup13(e *helloExtensions) (g Group, share []byte, ok bool) {
	for _, g := range c.cfg.Groups {
		for _, k := range e.keyShares {
			if k.group == g {
				return g, k.data, true
			}
		}
	}
	for _, g := range c.cfg.Groups {
		if slices.Contains(e.groups, g) {
			return g, nil, true
		}
	}
	return 0, nil, false
}

// sendRetry asks the client for a share of the group we chose.
func (c *Conn) sendRetry() error {
	c.hs.retried, c.retried = true, true
	c.hs.retryTranscript()
	sh := &serverHello{version: VersionDTLS12, random: retryRandom, suite: c.suite}
	sh.extensions.versions = []Version{VersionDTLS13}
	sh.extensions.keyShares = []keyShare{{group: c.group}}
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "HelloRetryRequest: %w", err)
	}
	c.beginFlight(1)
	c.addMessage(typeServerHello, body)
	c.endFlight(false)
	return nil
}

// sendServerFlight13 answers the client's share with all from ServerHello to
// Finished.
func (c *Conn) sendServerFlight13(sh *serverHello, share []byte) error {
	own, secret, err := answerShare(c.group, c.cfg.Rand, share)
	if err != nil {
		return err
	}
	sh.extensions.versions = []Version{VersionDTLS13}
	sh.extensions.keyShares = []keyShare{own}
	sh.extensions.connectionID = c.chooseCID(c.hs.hello.extensions.connectionID)
	if err := c.newRandom(&c.secrets.serverRandom); err != nil {
		return err
	}
	sh.random = c.secrets.serverRandom
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerHello: %w", err)
	}
	c.beginFlight(6)
	c.addMessage(typeServerHello, body)
	plain := c.current
	if err := c.setHandshakeKeys(secret); err != nil {
		return err
	}
	if err := c.addServerProof13(); err != nil {
		// The ServerHello will not go, so the client could not read an alert
		// under keys.
		c.current = plain
		return err
	}
	c.endFlight(false)
	// From here on the client can read what goes under the keys for data.
	return c.setWriteKeys(epochData, c.deriveDataKeys())
}

// addServerProof13 adds what follows the ServerHello.
func (c *Conn) addServerProof13() error {
	e := helloExtensions{acknowledgeName: c.acknowledgesName()}
	if err := c.chooseProtocols(&c.hs.hello.extensions, &e); err != nil {
		return err
	}
	body, err := marshalEncryptedExtensions(&e)
	if err != nil {
		return fatal(AlertInternalError, "EncryptedExtensions: %w", err)
	}
	c.addMessage(typeEncryptedExtensions, body)
	c.hs.step = (*Conn).serverFinished13
	if c.resumed {
		c.addFinished13()
		return nil
	}
	if c.cfg.ClientAuth != ClientAuthNone {
		if body, err = marshalCertificateRequest13(c.cfg.SignatureSchemes); err != nil {
			return fatal(AlertInternalError, "CertificateRequest: %w", err)
		}
		c.addMessage(typeCertificateRequest, body)
		c.hs.step = (*Conn).serverCertificate13
	}
	offered := &c.hs.hello.extensions
	if err := c.chooseCertificate(&wanted{version: VersionDTLS13, schemes: offered.schemes, authorities: offered.authorities}); err != nil {
		return err
	}
	if err := c.addOwnCertificate13(offered.schemes); err != nil {
		return err
	}
	c.addFinished13()
	return nil
}

// serverCertificate13 takes the client's certificates.
func (c *Conn) serverCertificate13(now time.Time, m message) error {
	if err := expect(m, typeCertificate, epochHandshake); err != nil {
		return err
	}
	chain, err := parseCertificates13(m.body)
	if err != nil {
		return err
	}
	c.hs.step = (*Conn).serverCertificateVerify13
	if len(chain) > 0 {
		err = c.checkPeerChain(chain)
	} else if c.cfg.ClientAuth == ClientAuthRequire {
		err = fatal(AlertCertificateRequired, "client has no certificate")
	} else {
		c.hs.step = (*Conn).serverFinished13
	}
	c.hs.addToTranscript(m)
	return err
}

// serverCertificateVerify13 takes the proof that the client has the key of
// its certificate.
func (c *Conn) serverCertificateVerify13(now time.Time, m message) error {
	c.hs.step = (*Conn).serverFinished13
	return c.checkCertificateVerify13(m)
}

// serverFinished13 takes the client's Finished, the end of the handshake. No
// flight answers it, but an ACK.
func (c *Conn) serverFinished13(now time.Time, m message) error {
	if err := c.checkFinished13(m); err != nil {
		return err
	}
	c.out = flight{}
	c.retransmitAt = time.Time{}
	if err := c.setReadKeys(epochData, c.hs.peerData); err != nil {
		return err
	}
	c.write = []*writeEpoch{c.current}
	// RFC 8446 §4.2.9: no tickets for a client that could not use them.
	tickets := len(c.cfg.TicketKeys) > 0 && slices.Contains(c.hs.hello.extensions.pskModes, pskWithECDHE)
	if tickets {
		if err := c.sendTickets13(now, c.hs.resumptionSecret()); err != nil {
			return err
		}
	}
	c.establish()
	return nil
}
