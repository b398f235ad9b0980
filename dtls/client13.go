package dtls

import (
	"slices"
	"time"
)

// The client's side of DTLS 1.3 (RFC 9147 §5.7). What is in braces goes
// under the keys of epoch 2:
//
//	ClientHello              ->
//	                         <-  [HelloRetryRequest]
//	[ClientHello]            ->
//	                         <-  ServerHello, {EncryptedExtensions,
//	                             [CertificateRequest], Certificate,
//	                             CertificateVerify, Finished}
//	{[Certificate, CertificateVerify], Finished}  ->
//	                         <-  ACK

// offer13 adds to a ClientHello what DTLS 1.3 needs.
func (c *Conn) offer13(h *clientHello, now time.Time) error {
	for s := range c.cfg.suites(VersionDTLS13) {
		h.suites = append(h.suites, s.id)
	}
	h.extensions.versions = []Version{VersionDTLS13}
	h.extensions.groups = c.cfg.Groups
	c.offerSession13(h, now)
	if c.cfg.DeferShares {
		h.extensions.keyShares = []keyShare{}
		return nil
	}
	return c.addShares(h)
}

// addShares makes a key for the group we like best. With the post-quantum one
// goes a share for X25519, for servers that do not know it; both use the same
// X25519 key, which spares a multiplication.
func (c *Conn) addShares(h *clientHello) error {
	first, err := newEphemeral(c.cfg.Groups[0], c.cfg.Rand)
	if err != nil {
		return err
	}
	c.hs.keys = []ephemeral{first}
	if first.group == GroupX25519MLKEM768 && slices.Contains(c.cfg.Groups, GroupX25519) {
		c.hs.keys = append(c.hs.keys, ephemeral{group: GroupX25519, ecdh: first.ecdh})
	}
	h.extensions.keyShares = nil
	for _, k := range c.hs.keys {
		h.extensions.keyShares = append(h.extensions.keyShares, k.share())
	}
	return nil
}

// acceptServerHello13 takes a ServerHello that chose DTLS 1.3, or a
// HelloRetryRequest.
func (c *Conn) acceptServerHello13(h *serverHello, m message) error {
	e := &h.extensions
	if h.version != VersionDTLS12 || e.versions[0] != VersionDTLS13 {
		return fatal(AlertIllegalParameter, "server chose versions %v, %v", h.version, e.versions)
	}
	offered := &c.hs.hello
	su, ok := suiteByID(h.suite)
	if !ok || !slices.Contains(offered.suites, h.suite) || su.version != VersionDTLS13 || h.compression != 0 {
		return fatal(AlertIllegalParameter, "server chose suite %v, compression %d, which were not offered", h.suite, h.compression)
	}
	// RFC 9147 §5: no session id is sent, and none is echoed.
	if len(h.sessionID) != 0 {
		return fatal(AlertIllegalParameter, "server answers with a session id")
	}
	retry := h.random == retryRandom
	for _, t := range e.seen {
		switch {
		case t == extSupportedVersions, t == extKeyShare, t == extCookie && retry:
		case t == extPreSharedKey && !retry && offered.extensions.psk != nil:
		case t == extConnectionID && !retry && c.cid != nil:
		default:
			return fatal(AlertUnsupportedExtension, "server answers extension %d in its hello", t)
		}
	}
	// RFC 8446 §4.2.8: a HelloRetryRequest has only the group.
	if e.has(extKeyShare) && (e.keyShares[0].data == nil) != retry {
		return errDecode
	}
	if c.retried && (retry || h.suite != c.suite) {
		return fatal(alertForSecond(retry), "server changes its mind after a HelloRetryRequest")
	}
	if !c.retried {
		c.begin13(su, c.hs.sent)
	}
	c.secrets.clientRandom = offered.random
	if retry {
		return c.retryHello(h, m)
	}
	c.secrets.serverRandom = h.random
	c.hs.transcript.add(m)
	c.acceptCID(e)
	if err := c.clientResumes13(e); err != nil {
		return err
	}
	return c.acceptShare(e)
}

// alertForSecond tells a second HelloRetryRequest, which is unexpected, from
// a ServerHello with another suite.
func alertForSecond(retry bool) Alert {
	if retry {
		return AlertUnexpectedMessage
	}
	return AlertIllegalParameter
}

// retryHello sends the ClientHello anew, as a HelloRetryRequest asks
// (RFC 8446 §4.1.4).
func (c *Conn) retryHello(h *serverHello, m message) error {
	e, hello := &h.extensions, &c.hs.hello.extensions
	if !e.has(extKeyShare) && !e.has(extCookie) {
		return fatal(AlertIllegalParameter, "HelloRetryRequest asks for nothing")
	}
	c.retried = true
	c.hs.transcript.retry()
	c.hs.transcript.add(m)
	if e.has(extKeyShare) {
		g := e.keyShares[0].group
		shared := slices.ContainsFunc(hello.keyShares, func(k keyShare) bool { return k.group == g })
		if shared || !slices.Contains(hello.groups, g) {
			return fatal(AlertIllegalParameter, "HelloRetryRequest asks for group %v", g)
		}
		key, err := newEphemeral(g, c.cfg.Rand)
		if err != nil {
			return err
		}
		c.hs.keys = []ephemeral{key}
		hello.keyShares = []keyShare{key.share()}
	}
	hello.cookie = slices.Clone(e.cookie)
	c.hs.step = (*Conn).clientSecondAnswer13
	c.dropSession13()
	return c.sendClientHello()
}

// acceptShare takes the server's half of the key exchange, which gives the
// keys of epoch 2.
func (c *Conn) acceptShare(e *helloExtensions) error {
	if !e.has(extKeyShare) {
		return fatal(AlertMissingExtension, "ServerHello without key_share")
	}
	share := e.keyShares[0]
	i := slices.IndexFunc(c.hs.keys, func(k ephemeral) bool { return k.group == share.group })
	if i < 0 {
		return fatal(AlertIllegalParameter, "server chose group %v, for which it got no share", share.group)
	}
	secret, err := c.hs.keys[i].agree(share.data)
	if err != nil {
		return err
	}
	c.hs.keys = nil
	c.group = share.group
	c.hs.step = (*Conn).clientEncryptedExtensions
	return c.setHandshakeKeys(secret)
}

// clientEncryptedExtensions takes the server's other extensions.
func (c *Conn) clientEncryptedExtensions(now time.Time, m message) error {
	if err := expect(m, typeEncryptedExtensions, epochHandshake); err != nil {
		return err
	}
	// Under keys nothing in plaintext counts any more, not even an alert.
	c.read = slices.DeleteFunc(c.read, func(r *readEpoch) bool { return r.kind == noAEAD })
	e, err := parseEncryptedExtensions(m.body)
	if err != nil {
		return err
	}
	for _, t := range e.seen {
		switch t {
		case extKeyShare, extSupportedVersions, extCookie, extPreSharedKey, extSessionTicket, extExtendedMasterSecret, extRenegotiationInfo, extECPointFormats, extConnectionID:
			return fatal(AlertIllegalParameter, "extension %d does not belong into EncryptedExtensions", t)
		}
		if !c.mayAnswer(t) {
			return fatal(AlertUnsupportedExtension, "server answers extension %d, which was not sent", t)
		}
	}
	if err := c.acceptProtocols(&e); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientCertificate13
	if c.resumed {
		if err := c.judgePeer(); err != nil {
			return err
		}
		c.hs.step = (*Conn).clientFinished13
	}
	return nil
}

// clientCertificate13 takes an optional CertificateRequest and the server's
// certificates. One that is not the one promised ends the handshake here.
func (c *Conn) clientCertificate13(now time.Time, m message) (err error) {
	if m.typ == typeCertificateRequest && m.epoch == epochHandshake && !c.hs.asked {
		w, err := parseCertificateRequest13(m.body)
		if err != nil {
			return err
		}
		c.hs.asked = true
		c.hs.askedSchemes = w.schemes
		c.hs.transcript.add(m)
		return c.chooseCertificate(w)
	}
	if err := expect(m, typeCertificate, epochHandshake); err != nil {
		return err
	}
	chain, err := parseCertificates13(m.body)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return fatal(AlertDecodeError, "server has no certificate")
	}
	if err := c.checkPeerChain(chain); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	c.hs.step = (*Conn).clientCertificateVerify13
	return nil
}

// clientCertificateVerify13 takes the proof that the server has the key of
// its certificate.
func (c *Conn) clientCertificateVerify13(now time.Time, m message) error {
	c.hs.step = (*Conn).clientFinished13
	return c.checkCertificateVerify13(m)
}

// clientFinished13 takes the server's Finished and answers with our flight,
// after which data may go.
func (c *Conn) clientFinished13(now time.Time, m message) error {
	if err := c.checkFinished13(m); err != nil {
		return err
	}
	data := c.deriveDataKeys()
	c.beginFlight(3)
	if c.hs.asked {
		if err := c.addOwnCertificate13(c.hs.askedSchemes); err != nil {
			return err
		}
	}
	c.addFinished13()
	c.endFlight(false)
	if c.cfg.Tickets {
		c.resumption = c.hs.resumptionSecret()
	}
	if err := c.setReadKeys(epochData, c.hs.peerData); err != nil {
		return err
	}
	if err := c.setWriteKeys(epochData, data); err != nil {
		return err
	}
	c.establish()
	return nil
}
