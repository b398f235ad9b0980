package dtls

import (
	"slices"
	"time"
)

// The client's side of DTLS 1.2 (RFC 6347 §4.2.4):
//
//	ClientHello              ->
//	                         <-  [HelloVerifyRequest]
//	[ClientHello + cookie]   ->
//	                         <-  ServerHello, Certificate, ServerKeyExchange,
//	                             [CertificateRequest], ServerHelloDone
//	[Certificate], ClientKeyExchange, [CertificateVerify],
//	[ChangeCipherSpec], Finished  ->
//	                         <-  [ChangeCipherSpec], Finished

// maxHelloRetries bounds how often a server may ask for the ClientHello anew:
// once is usual, twice if its cookie grew old on the way.
const maxHelloRetries = 3

// startClient makes the first ClientHello.
func (c *Conn) startClient(now time.Time) error {
	h := &c.hs.hello
	if err := c.newRandom(&h.random); err != nil {
		return err
	}
	h.version = VersionDTLS12
	h.compressions = []byte{0}
	h.extensions = helloExtensions{
		serverName:   c.cfg.ServerName,
		schemes:      c.cfg.SignatureSchemes,
		alpn:         c.cfg.ALPN,
		srtpProfiles: c.cfg.SRTPProfiles,
		sizeLimit:    c.ownLimit,
		connectionID: c.cid,
	}
	if id := c.cfg.ExternalSessionID; id != "" {
		h.extensions.externalSessionID = []byte(id)
	}
	if c.cfg.speaks(VersionDTLS13) {
		if err := c.offer13(h, now); err != nil {
			return err
		}
	}
	if c.cfg.speaks(VersionDTLS12) {
		c.offer12(h, now)
	}
	c.hs.step = (*Conn).clientFirstAnswer
	return c.sendClientHello()
}

// offer12 adds to a ClientHello what DTLS 1.2 needs.
func (c *Conn) offer12(h *clientHello, now time.Time) {
	for s := range c.cfg.suites(VersionDTLS12) {
		h.suites = append(h.suites, s.id)
	}
	e := &h.extensions
	if e.groups == nil {
		e.groups = c.cfg.groups12()
	}
	e.pointFormats = []byte{0} // uncompressed
	e.extendedMasterSecret = true
	e.renegotiationInfo = []byte{} // RFC 5746 §3.4: empty in a first handshake
	c.offerSession12(h, now)
	if e.versions != nil {
		e.versions = append(e.versions, VersionDTLS12)
	}
}

// sendClientHello sends the ClientHello, anew after a HelloVerifyRequest.
func (c *Conn) sendClientHello() error {
	body, err := c.hs.hello.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ClientHello: %w", err)
	}
	if err := c.bind(body); err != nil {
		return err
	}
	c.beginFlight(1)
	c.addMessage(typeClientHello, body)
	c.endFlight(false)
	return nil
}

// clientFirstAnswer takes the answer to our first ClientHello, which decides
// the version: nothing but another ClientHello goes before it is known.
func (c *Conn) clientFirstAnswer(now time.Time, m message) error {
	switch {
	case m.typ == typeHelloVerifyRequest && m.epoch == 0 && c.cfg.speaks(VersionDTLS12):
		return c.answerCookie(m.body)
	case m.typ == typeHelloVerifyRequest && c.strict:
		return fatal(AlertProtocolVersion, "server chose version 1.2")
	case m.typ == typeServerHello && m.epoch == 0:
		h, err := parseServerHello(m.body)
		if err != nil {
			return err
		}
		if h.extensions.has(extSupportedVersions) && c.cfg.speaks(VersionDTLS13) {
			return c.acceptServerHello13(&h, m)
		}
		return c.serverChose12(now, &h, m)
	}
	return expect(m, typeServerHello, 0)
}

// clientSecondAnswer12 takes the answer to a ClientHello with the cookie of a
// HelloVerifyRequest. Only servers of DTLS 1.2 send that (RFC 9147 §5.3).
func (c *Conn) clientSecondAnswer12(now time.Time, m message) error {
	if m.typ == typeHelloVerifyRequest && m.epoch == 0 && c.hs.retries < maxHelloRetries {
		return c.answerCookie(m.body)
	}
	if err := expect(m, typeServerHello, 0); err != nil {
		return err
	}
	h, err := parseServerHello(m.body)
	if err != nil {
		return err
	}
	if h.extensions.has(extSupportedVersions) {
		return fatal(AlertIllegalParameter, "server chose a version with supported_versions after a HelloVerifyRequest")
	}
	return c.serverChose12(now, &h, m)
}

// clientSecondAnswer13 takes the answer to the ClientHello that a
// HelloRetryRequest asked for.
func (c *Conn) clientSecondAnswer13(now time.Time, m message) error {
	if err := expect(m, typeServerHello, 0); err != nil {
		return err
	}
	h, err := parseServerHello(m.body)
	if err != nil {
		return err
	}
	if !h.extensions.has(extSupportedVersions) {
		return fatal(AlertProtocolVersion, "server chose version %v after a HelloRetryRequest", h.version)
	}
	return c.acceptServerHello13(&h, m)
}

// serverChose12 takes a ServerHello without supported_versions.
func (c *Conn) serverChose12(now time.Time, h *serverHello, m message) error {
	if h.version != VersionDTLS12 || h.extensions.has(extSupportedVersions) || !c.cfg.speaks(VersionDTLS12) {
		return fatal(AlertProtocolVersion, "server chose version %v", h.version)
	}
	// RFC 8446 §4.1.3: a server that speaks 1.3, or 1.2, says so, and would
	// have chosen it, had nobody changed our hello.
	if end := string(h.random[24:]); c.cfg.speaks(VersionDTLS13) && (end == downgradeTo12 || end == downgradeTo11) {
		return fatal(AlertIllegalParameter, "somebody lowered the version")
	}
	c.dropAcks()
	if err := c.acceptServerHello12(h); err != nil {
		return err
	}
	if s := c.hs.session; s != nil && s.version == VersionDTLS12 && slices.Equal(h.sessionID, s.id) {
		return c.clientResumes12(h, m)
	}
	c.hs.sessionID = h.sessionID
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientCertificate
	return nil
}

// answerCookie sends the ClientHello anew with the cookie of a
// HelloVerifyRequest.
func (c *Conn) answerCookie(body []byte) error {
	cookie, err := parseHelloVerifyRequest(body)
	if err != nil {
		return err
	}
	c.hs.retries++
	c.hs.hello.cookie = cookie
	c.hs.step = (*Conn).clientSecondAnswer12
	return c.sendClientHello()
}

// anotherCookie reports whether f is a HelloVerifyRequest in the place of one
// that the client followed, with another cookie. Neither is authenticated. The
// first may be forged, and a server answers each hello whose cookie is not its
// own with such a message, under the same message_seq if it keeps no state.
func (c *Conn) anotherCookie(h recordHeader, f fragment) bool {
	if !c.client || c.version != 0 || c.hs.retries == 0 || c.hs.retries >= maxHelloRetries ||
		h.epoch != 0 || f.typ != typeHelloVerifyRequest || len(f.data) != f.length {
		return false
	}
	cookie, err := parseHelloVerifyRequest(f.data)
	return err == nil && !slices.Equal(cookie, c.hs.hello.cookie)
}

// verifyAnew follows the HelloVerifyRequest f: the client sends its hello again,
// and numbers messages as if f had been the first.
func (c *Conn) verifyAnew(now time.Time, f fragment) {
	c.in.next, c.nextSend = uint32(f.seq)+1, f.seq+1
	if err := c.answerCookie(f.data); err != nil {
		c.fail(err)
	}
}

// acceptServerHello12 checks a ServerHello against what we offered.
func (c *Conn) acceptServerHello12(h *serverHello) error {
	offered := &c.hs.hello
	su, ok := suiteByID(h.suite)
	if !ok || !slices.Contains(offered.suites, h.suite) || su.version != VersionDTLS12 || h.compression != 0 {
		return fatal(AlertIllegalParameter, "server chose suite %v, compression %d, which were not offered", h.suite, h.compression)
	}
	e := &h.extensions
	for _, t := range e.seen {
		if !c.mayAnswer(t) {
			return fatal(AlertUnsupportedExtension, "server answers extension %d, which was not sent", t)
		}
	}
	// RFC 7627 §5.2: without it a session is not bound to its certificates.
	if !e.extendedMasterSecret {
		return fatal(AlertHandshakeFailure, "server has no extended master secret")
	}
	// RFC 5746 §3.4: the client MUST verify that the length is zero.
	if len(e.renegotiationInfo) != 0 {
		return fatal(AlertHandshakeFailure, "renegotiation_info is not empty")
	}
	if e.pointFormats != nil && !slices.Contains(e.pointFormats, 0) {
		return fatal(AlertIllegalParameter, "server cannot read uncompressed points")
	}
	if err := c.acceptProtocols(e); err != nil {
		return err
	}
	c.acceptCID(e)
	c.hs.ticketDue = e.has(extSessionTicket)
	c.begin12(su, c.hs.sent)
	c.secrets.clientRandom, c.secrets.serverRandom = offered.random, h.random
	return nil
}

// acceptProtocols takes what the server chose with ALPN and use_srtp, its limit
// for records and its external_session_id.
func (c *Conn) acceptProtocols(e *helloExtensions) error {
	if e.has(extALPN) {
		// RFC 7301 §3.1: exactly one, of those offered.
		if len(e.alpn) != 1 || !slices.Contains(c.cfg.ALPN, e.alpn[0]) {
			return fatal(AlertIllegalParameter, "server chose protocols %q", e.alpn)
		}
		c.protocol = e.alpn[0]
	}
	if e.has(extUseSRTP) {
		if len(e.srtpProfiles) != 1 || !slices.Contains(c.cfg.SRTPProfiles, e.srtpProfiles[0]) {
			return fatal(AlertIllegalParameter, "server chose SRTP profiles %v", e.srtpProfiles)
		}
		c.srtp = e.srtpProfiles[0]
	}
	if e.has(extRecordSizeLimit) {
		if err := c.acceptSizeLimit(e.sizeLimit); err != nil {
			return err
		}
	}
	return c.checkExternalSessionID(e)
}

// mayAnswer tells whether our ClientHello had extension t (RFC 5246
// §7.4.1.4: a server MUST NOT send one that was not).
func (c *Conn) mayAnswer(t extensionType) bool {
	switch t {
	case extExtendedMasterSecret, extRenegotiationInfo, extECPointFormats, extSupportedGroups:
		return true
	case extRecordSizeLimit:
		return c.ownLimit != 0
	case extConnectionID:
		return c.cid != nil
	case extExternalSessionID:
		return c.cfg.ExternalSessionID != ""
	case extSessionTicket:
		return c.cfg.Tickets
	case extServerName:
		return c.cfg.ServerName != ""
	case extALPN:
		return len(c.cfg.ALPN) > 0
	case extUseSRTP:
		return len(c.cfg.SRTPProfiles) > 0
	}
	return false
}

// clientCertificate takes the server's certificates. One that is not the one
// promised ends the handshake here, with an alert that tells the server so.
func (c *Conn) clientCertificate(now time.Time, m message) error {
	if err := expect(m, typeCertificate, 0); err != nil {
		return err
	}
	chain, err := parseCertificates12(m.body)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return fatal(AlertDecodeError, "server has no certificate")
	}
	if err := c.checkPeerChain(chain); err != nil {
		return err
	}
	if keyAuth(c.hs.peerKey) != c.hs.suite.auth {
		return fatal(AlertIllegalParameter, "certificate's key does not go with %v", c.suite)
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientServerKeyExchange
	return nil
}

// clientServerKeyExchange takes the server's ephemeral key.
func (c *Conn) clientServerKeyExchange(now time.Time, m message) error {
	if err := expect(m, typeServerKeyExchange, 0); err != nil {
		return err
	}
	ske, err := parseServerKeyExchange(m.body)
	if err != nil {
		return err
	}
	if !slices.Contains(c.cfg.groups12(), ske.group) {
		return fatal(AlertIllegalParameter, "server chose group %v", ske.group)
	}
	signed, err := ske.signed(&c.secrets.clientRandom, &c.secrets.serverRandom)
	if err != nil {
		return fatal(AlertInternalError, "ServerKeyExchange: %w", err)
	}
	if err := verify(c.hs.peerKey, VersionDTLS12, c.cfg.SignatureSchemes, ske.scheme, signed, ske.signature); err != nil {
		return err
	}
	if c.hs.key.ecdh, err = newKey(ske.group, c.cfg.Rand); err != nil {
		return err
	}
	if c.hs.secret, err = agree(c.hs.key.ecdh, ske.public); err != nil {
		return err
	}
	c.group = ske.group
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientHelloDone
	return nil
}

// clientHelloDone takes an optional CertificateRequest and the end of the
// server's flight, and answers with ours.
func (c *Conn) clientHelloDone(now time.Time, m message) (err error) {
	if m.typ == typeCertificateRequest && m.epoch == 0 && !c.hs.asked {
		w, err := parseCertificateRequest12(m.body)
		if err != nil {
			return err
		}
		c.hs.asked = true
		c.hs.askedSchemes = w.schemes
		c.hs.transcript.add(m)
		return c.chooseCertificate(w)
	}
	if err := expect(m, typeServerHelloDone, 0); err != nil {
		return err
	}
	if len(m.body) != 0 {
		return errDecode
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientFinished
	return c.sendClientFlight()
}

// sendClientFlight sends all from our certificate to Finished.
func (c *Conn) sendClientFlight() error {
	c.beginFlight(5)
	if c.hs.asked {
		if err := c.addOwnCertificate(); err != nil {
			return err
		}
	}
	c.addMessage(typeClientKeyExchange, marshalClientKeyExchange(c.hs.key.ecdh.PublicKey().Bytes()))
	w, err := c.deriveKeys(c.hs.secret, c.hs.sessionHash())
	if err != nil {
		return err
	}
	if c.hs.asked && c.cfg.Certificate != nil {
		scheme, signature, err := c.cfg.sign(VersionDTLS12, c.hs.askedSchemes, c.hs.transcript.messages)
		if err != nil {
			return err
		}
		body, err := marshalCertificateVerify(scheme, signature)
		if err != nil {
			return fatal(AlertInternalError, "CertificateVerify: %w", err)
		}
		c.addMessage(typeCertificateVerify, body)
	}
	c.addFinished(w)
	c.endFlight(false)
	return nil
}

// clientFinished takes the server's Finished, after its ticket if it promised
// one: the end of the handshake.
func (c *Conn) clientFinished(now time.Time, m message) error {
	if c.hs.ticketDue {
		return c.takeTicket12(now, m)
	}
	if err := c.checkFinished(m); err != nil {
		return err
	}
	c.beginFlight(0) // nothing to repeat: the server has it all
	c.offerOwnSession12(now)
	c.establish()
	return nil
}
