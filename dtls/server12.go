package dtls

import (
	"slices"
	"strings"
	"time"
)

// serverClientHello takes the first ClientHello, now that all of it is there,
// and decides the version.
func (c *Conn) serverClientHello(now time.Time, m message) error {
	h, err := c.readClientHello(m)
	if err != nil {
		return err
	}
	// RFC 8446 §4.2.1: where supported_versions is, it alone counts.
	offers := h.extensions.versions
	if offers == nil && !VersionDTLS12.newer(h.version) {
		offers = []Version{VersionDTLS12}
	}
	if slices.Contains(offers, VersionDTLS13) && c.cfg.speaks(VersionDTLS13) {
		return c.acceptFirstHello13(now, &h, m)
	}
	if !slices.Contains(offers, VersionDTLS12) || !c.cfg.speaks(VersionDTLS12) {
		if offers == nil {
			offers = []Version{h.version}
		}
		return fatal(AlertProtocolVersion, "client offers versions %v, and we speak %v to %v", offers, c.cfg.MinVersion, c.cfg.MaxVersion)
	}
	c.hs.hello = h
	c.dropAcks()
	return c.acceptClientHello12(now, &h, m)
}

// readClientHello parses a ClientHello of either version.
func (c *Conn) readClientHello(m message) (h clientHello, err error) {
	if err := expect(m, typeClientHello, 0); err != nil {
		return h, err
	}
	if h, err = parseClientHello(m.body); err != nil {
		return h, err
	}
	if h.extensions.has(extQUIC) {
		return h, fatal(AlertUnsupportedExtension, "client sends transport parameters of QUIC") // RFC 9001 §8.2
	}
	c.serverName = h.extensions.serverName
	return h, nil
}

// acceptClientHello12 chooses among what the client offers and answers.
func (c *Conn) acceptClientHello12(now time.Time, h *clientHello, m message) error {
	e := &h.extensions
	switch {
	case !slices.Contains(h.compressions, 0):
		return fatal(AlertIllegalParameter, "client cannot do without compression")
	case !e.extendedMasterSecret:
		// RFC 7627 §5.3: a server that does not want to do without aborts
		// with this alert.
		return fatal(AlertHandshakeFailure, "client has no extended master secret")
	case len(e.renegotiationInfo) != 0:
		// RFC 5746 §3.6: in a first handshake it MUST be empty.
		return fatal(AlertHandshakeFailure, "renegotiation_info is not empty")
	case e.pointFormats != nil && !slices.Contains(e.pointFormats, 0):
		return fatal(AlertIllegalParameter, "client cannot read uncompressed points")
	}
	session := c.serverSession12(h, now)
	if session == nil {
		auth := c.offeredAuth(h.suites)
		if len(auth) == 0 {
			return fatal(AlertHandshakeFailure, "no cipher suite in common; client offers %v", h.suites)
		}
		if err := c.chooseCertificate(&wanted{VersionDTLS12, e.schemes, e.authorities, e.groups, auth}); err != nil {
			return err
		}
	}
	su, ok := c.chooseSuite12(h.suites)
	if session != nil {
		su, ok = suiteByID(session.suite)
	}
	if !ok {
		return fatal(AlertHandshakeFailure, "no cipher suite in common; client offers %v", h.suites)
	}
	group, ok := c.chooseGroup12(e.groups)
	if !ok && session == nil {
		return fatal(AlertHandshakeFailure, "no group in common; client offers %v", e.groups)
	}
	sh := &serverHello{version: VersionDTLS12, suite: su.id}
	if err := c.answerExtensions12(h, sh); err != nil {
		return err
	}
	if err := c.newRandom(&c.secrets.serverRandom); err != nil {
		return err
	}
	sh.random = c.secrets.serverRandom
	if c.cfg.speaks(VersionDTLS13) {
		copy(sh.random[24:], downgradeTo12)
	}
	c.begin12(su, m)
	c.group = group
	c.secrets.clientRandom, c.secrets.serverRandom = h.random, sh.random
	if session != nil {
		return c.serverResumes12(now, h, sh, session)
	}
	if len(c.cfg.TicketKeys) > 0 && e.sessionTicket != nil {
		sh.extensions.sessionTicket = []byte{}
		c.hs.ticketDue = true
	}
	return c.sendServerFlight(sh)
}

// chooseSuite12 takes the suite we like best of those that the client offers
// and our certificate's key can serve.
func (c *Conn) chooseSuite12(offered []CipherSuite) (suite, bool) {
	if c.cfg.Certificate == nil {
		return suite{}, false // a session is resumed, which has a suite
	}
	auth := keyAuth(c.cfg.signer().Public())
	for s := range c.cfg.suites(VersionDTLS12) {
		if s.auth == auth && slices.Contains(offered, s.id) {
			return s, true
		}
	}
	return suite{}, false
}

// chooseGroup12 takes the group we like best of those that the client offers.
func (c *Conn) chooseGroup12(offered []Group) (Group, bool) {
	if offered == nil {
		// RFC 8422 §4: a client that names none supports all; P-256 is the
		// one everybody has.
		offered = []Group{GroupP256}
	}
	for _, g := range c.cfg.groups12() {
		if slices.Contains(offered, g) {
			return g, true
		}
	}
	return 0, false
}

// answerExtensions12 fills in the extensions of the ServerHello: only such
// as the client sent.
func (c *Conn) answerExtensions12(h *clientHello, sh *serverHello) error {
	e := &h.extensions
	sh.extensions.extendedMasterSecret = true
	if e.renegotiationInfo != nil || slices.Contains(h.suites, scsvRenegotiation) {
		sh.extensions.renegotiationInfo = []byte{}
	}
	if e.pointFormats != nil {
		sh.extensions.pointFormats = []byte{0}
	}
	sh.extensions.acknowledgeName = c.acknowledgesName()
	sh.extensions.connectionID = c.chooseCID(e.connectionID)
	return c.chooseProtocols(e, &sh.extensions)
}

// acknowledgesName tells whether to confirm a client's server_name
// (RFC 6066 §3): only where the name makes a difference, and not when a session
// is resumed, which has one already. Clients that name what they like, as pion
// before 3.2 does, fail if they are told so.
func (c *Conn) acknowledgesName() bool {
	return c.cfg.ServerName != "" && strings.EqualFold(c.serverName, c.cfg.ServerName) && !c.resumed
}

// chooseProtocols answers ALPN, use_srtp, record_size_limit and
// external_session_id.
func (c *Conn) chooseProtocols(e, answer *helloExtensions) (err error) {
	if e.alpn != nil && len(c.cfg.ALPN) > 0 {
		i := slices.IndexFunc(c.cfg.ALPN, func(p string) bool { return slices.Contains(e.alpn, p) })
		if i < 0 {
			// RFC 7301 §3.2
			return fatal(AlertNoApplicationProtocol, "no protocol in common; client offers %q", e.alpn)
		}
		c.protocol = c.cfg.ALPN[i]
		answer.alpn = []string{c.protocol}
	}
	for _, p := range c.cfg.SRTPProfiles {
		if slices.Contains(e.srtpProfiles, p) {
			c.srtp = p
			answer.srtpProfiles = []uint16{p}
			break
		}
	}
	if e.has(extRecordSizeLimit) {
		if answer.sizeLimit, err = c.chooseSizeLimit(e.sizeLimit); err != nil {
			return err
		}
	}
	if id := c.cfg.ExternalSessionID; id != "" && e.has(extExternalSessionID) {
		answer.externalSessionID = []byte(id)
	}
	return c.checkExternalSessionID(e)
}

// sendServerFlight sends all from ServerHello to ServerHelloDone.
func (c *Conn) sendServerFlight(sh *serverHello) error {
	c.beginFlight(5)
	body, err := sh.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerHello: %w", err)
	}
	c.addMessage(typeServerHello, body)
	if err := c.addOwnCertificate(); err != nil {
		return err
	}
	if err := c.addServerKeyExchange(); err != nil {
		return err
	}
	c.hs.step = (*Conn).serverClientKeyExchange
	if c.cfg.ClientAuth != ClientAuthNone {
		body, err := marshalCertificateRequest12(c.cfg.SignatureSchemes)
		if err != nil {
			return fatal(AlertInternalError, "CertificateRequest: %w", err)
		}
		c.addMessage(typeCertificateRequest, body)
		c.hs.step = (*Conn).serverCertificate
	}
	c.addMessage(typeServerHelloDone, nil)
	c.endFlight(false)
	return nil
}

// addServerKeyExchange sends our ephemeral key, signed.
func (c *Conn) addServerKeyExchange() (err error) {
	if c.hs.key.ecdh, err = newKey(c.group, c.cfg.Rand); err != nil {
		return err
	}
	ske := &serverKeyExchange{group: c.group, public: c.hs.key.ecdh.PublicKey().Bytes()}
	signed, err := ske.signed(&c.secrets.clientRandom, &c.secrets.serverRandom)
	if err != nil {
		return fatal(AlertInternalError, "ServerKeyExchange: %w", err)
	}
	ske.scheme, ske.signature, err = c.cfg.sign(VersionDTLS12, c.hs.hello.extensions.schemes, signed)
	if err != nil {
		return err
	}
	body, err := ske.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ServerKeyExchange: %w", err)
	}
	c.addMessage(typeServerKeyExchange, body)
	return nil
}

// serverCertificate takes the client's certificates.
func (c *Conn) serverCertificate(now time.Time, m message) error {
	if err := expect(m, typeCertificate, 0); err != nil {
		return err
	}
	chain, err := parseCertificates12(m.body)
	if err != nil {
		return err
	}
	if len(chain) > 0 {
		err = c.checkPeerChain(chain)
	} else if c.cfg.ClientAuth == ClientAuthRequire {
		// RFC 5246 §7.4.6 names this alert; 1.3 has one of its own.
		err = fatal(AlertHandshakeFailure, "client has no certificate")
	}
	if err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).serverClientKeyExchange
	return nil
}

// serverClientKeyExchange takes the client's ephemeral key, which makes the
// keys of epoch 1.
func (c *Conn) serverClientKeyExchange(now time.Time, m message) error {
	if err := expect(m, typeClientKeyExchange, 0); err != nil {
		return err
	}
	public, err := parseClientKeyExchange(m.body)
	if err != nil {
		return err
	}
	secret, err := agree(c.hs.key.ecdh, public)
	if err != nil {
		return err
	}
	c.hs.transcript.add(m)
	if c.hs.epoch1, err = c.deriveKeys(secret, c.hs.sessionHash()); err != nil {
		return err
	}
	c.hs.step = (*Conn).serverFinished
	if c.hs.peerKey != nil {
		c.hs.step = (*Conn).serverCertificateVerify
	}
	return nil
}

// serverCertificateVerify takes the proof that the client has the key of its
// certificate.
func (c *Conn) serverCertificateVerify(now time.Time, m message) error {
	if err := expect(m, typeCertificateVerify, 0); err != nil {
		return err
	}
	scheme, signature, err := parseCertificateVerify(m.body)
	if err != nil {
		return err
	}
	if err := verify(c.hs.peerKey, VersionDTLS12, c.cfg.SignatureSchemes, scheme, c.hs.transcript.messages, signature); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).serverFinished
	return nil
}

// serverFinished takes the client's Finished and answers with ours. That
// flight is kept for good, since nothing tells when the client has it; without
// a ticket it is 12 bytes.
func (c *Conn) serverFinished(now time.Time, m message) error {
	if err := c.checkFinished(m); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.beginFlight(2)
	if err := c.addTicket12(now); err != nil {
		return err
	}
	c.addFinished(c.hs.epoch1)
	c.endFlight(true)
	c.establish()
	return nil
}
