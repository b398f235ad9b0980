package dtls

import (
	"crypto/sha256"
	"slices"
	"time"
)

// acceptFirstHello13 takes a first ClientHello that offers DTLS 1.3, and
// answers with our flight or a HelloRetryRequest.
func (c *Conn) acceptFirstHello13(now time.Time, h *clientHello, m message) error {
	o, err := c.chooseOffer13(now, h, m)
	if err != nil {
		return err
	}
	c.hs.hello, c.hs.fixed = *h, fixedPart(h, m.body)
	c.begin13(o.suite, m)
	c.group = o.group
	c.secrets.clientRandom = h.random
	if o.share == nil {
		return c.sendRetry()
	}
	return c.answerOffer13(o)
}

// serverSecondHello13 takes the ClientHello that answers a HelloRetryRequest.
// That has decided the version, the suite and the group; all else is taken from
// this hello, and nothing from the first.
func (c *Conn) serverSecondHello13(now time.Time, m message) error {
	h, err := c.readClientHello(m)
	if err != nil {
		return err
	}
	// RFC 8446 §4.1.2: no other changes than those it lists.
	if !slices.Contains(h.extensions.versions, VersionDTLS13) || fixedPart(&h, m.body) != c.hs.fixed {
		return fatal(AlertIllegalParameter, "second ClientHello differs from the first")
	}
	o, err := c.chooseOffer13(now, &h, m)
	switch {
	case err != nil:
		return err
	case o.suite.id != c.suite || o.group != c.group:
		return fatal(AlertIllegalParameter, "client changes its mind after a HelloRetryRequest")
	case o.share == nil:
		return fatal(AlertIllegalParameter, "client has no share for the group it was asked for")
	}
	c.hs.hello = h
	c.hs.transcript.add(m)
	c.secrets.clientRandom = h.random
	return c.answerOffer13(o)
}

// fixedPart is the hash of all that stands before the extensions in the body
// of a ClientHello of DTLS 1.3: version, random, session id, suites and
// compressions, which a second one repeats (RFC 8446 §4.1.2).
func fixedPart(h *clientHello, body []byte) [32]byte {
	n := 2 + len(h.random) + 1 + len(h.sessionID) + 1 + len(h.cookie) + 2 + 2*len(h.suites) + 1 + len(h.compressions)
	return sha256.Sum256(body[:n])
}

// An offer13 is what a server chose from a ClientHello.
type offer13 struct {
	suite   suite
	group   Group
	share   []byte   // nil: the client has none for group
	session *Session // to resume; nil: none
	index   uint16   // of its ticket
}

// chooseOffer13 chooses from a ClientHello that is not yet part of the
// transcript.
func (c *Conn) chooseOffer13(now time.Time, h *clientHello, m message) (o offer13, err error) {
	if err := checkClientHello13(h); err != nil {
		return o, err
	}
	var ok bool
	if o.suite, ok = c.chooseSuite13(h.suites); !ok {
		return o, fatal(AlertHandshakeFailure, "no cipher suite in common; client offers %v", h.suites)
	}
	if o.group, o.share, ok = c.chooseGroup13(&h.extensions); !ok {
		return o, fatal(AlertHandshakeFailure, "no group in common; client offers %v", h.extensions.groups)
	}
	o.session, o.index, err = c.serverSession13(h, m.body, o.suite, now)
	return o, err
}

// answerOffer13 answers a ClientHello whose share suits.
func (c *Conn) answerOffer13(o offer13) error {
	sh := &serverHello{version: VersionDTLS12, suite: c.suite}
	if o.session != nil {
		c.hs.psk = o.session.secret
		sh.extensions.seen = []extensionType{extPreSharedKey}
		sh.extensions.selectedPSK = o.index
		if err := c.resume(o.session); err != nil {
			return err
		}
	}
	return c.sendServerFlight13(sh, o.share)
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
	c.retried = true
	c.hs.transcript.retry()
	c.hs.step = (*Conn).serverSecondHello13
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
	c.hs.transcript.add(m)
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
	c.flightArrived()
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
