package dtls

import (
	"crypto/hmac"
	"slices"
	"time"
)

// Epochs of DTLS 1.3 (RFC 9147 §6.1). Epoch 1 is of early data, which is not
// spoken here.
const (
	epochHandshake = 2
	epochData      = 3
)

// begin13 decides for DTLS 1.3. The transcript begins with the messages
// given: the first ClientHello, or what stands for it.
func (c *Conn) begin13(su suite, begin ...message) {
	c.version, c.suite, c.hs.suite = VersionDTLS13, su.id, su
	c.hs.transcript, c.hs.kdf = transcript{digest: su.hash.New()}, newKDF(su.hash)
	for _, m := range begin {
		c.hs.transcript.add(m)
	}
	c.hs.sent = message{}
}

// kdf is for the suite that was agreed on. A handshake has one; what comes
// later comes seldom.
func (c *Conn) kdf() *kdf {
	if c.hs != nil && c.hs.kdf != nil {
		return c.hs.kdf
	}
	su, _ := suiteByID(c.suite)
	return newKDF(su.hash)
}

func (hs *handshake) transcriptHash() []byte { return hs.transcript.digest.Sum(nil) }

// setHandshakeKeys makes the keys of epoch 2 from the shared secret, with the
// transcript up to the ServerHello, and begins that epoch both ways.
func (c *Conn) setHandshakeKeys(shared []byte) error {
	hs := c.hs
	hs.schedule = newSchedule13(c.kdf(), hs.psk, shared)
	transcript := hs.transcriptHash()
	client := hs.schedule.derive("c hs traffic", transcript)
	server := hs.schedule.derive("s hs traffic", transcript)
	c.logKey("CLIENT_HANDSHAKE_TRAFFIC_SECRET", c.secrets.clientRandom[:], client)
	c.logKey("SERVER_HANDSHAKE_TRAFFIC_SECRET", c.secrets.clientRandom[:], server)
	hs.ownSecret, hs.peerSecret = server, client
	if c.client {
		hs.ownSecret, hs.peerSecret = client, server
	}
	// What is to come of the far end's handshake comes under keys. Anything
	// in plaintext is somebody else's.
	if c.strict && c.in.find(c.in.next) != nil {
		return fatal(AlertUnexpectedMessage, "handshake message in plaintext")
	}
	c.in.dropPlaintext()
	if err := c.setReadKeys(epochHandshake, hs.peerSecret); err != nil {
		return err
	}
	return c.setWriteKeys(epochHandshake, hs.ownSecret)
}

// deriveDataKeys makes the secrets that follow the server's Finished, with
// the transcript up to that, and returns our own.
func (c *Conn) deriveDataKeys() (own []byte) {
	hs := c.hs
	hs.schedule.next(nil)
	transcript := hs.transcriptHash()
	client := hs.schedule.derive("c ap traffic", transcript)
	server := hs.schedule.derive("s ap traffic", transcript)
	c.exporter = hs.schedule.derive("exp master", transcript)
	c.logKey("CLIENT_TRAFFIC_SECRET_0", c.secrets.clientRandom[:], client)
	c.logKey("SERVER_TRAFFIC_SECRET_0", c.secrets.clientRandom[:], server)
	c.logKey("EXPORTER_SECRET", c.secrets.clientRandom[:], c.exporter)
	if c.client {
		hs.peerData = server
		return client
	}
	hs.peerData = client
	return server
}

// setReadKeys lets records of epoch in.
func (c *Conn) setReadKeys(epoch uint16, secret []byte) error {
	su, _ := suiteByID(c.suite)
	k, err := su.trafficKeys(c.kdf(), secret)
	if err != nil {
		return fatal(AlertInternalError, "keys: %w", err)
	}
	k.cid, k.epoch = c.cid, epoch
	c.read = append(c.read, &readEpoch{aeadKey: k, secret: secret})
	return nil
}

// setWriteKeys makes all that follows go in epoch.
func (c *Conn) setWriteKeys(epoch uint16, secret []byte) error {
	su, _ := suiteByID(c.suite)
	k, err := su.trafficKeys(c.kdf(), secret)
	if err != nil {
		return fatal(AlertInternalError, "keys: %w", err)
	}
	k.cid, k.epoch = c.peerCID, epoch
	c.current = &writeEpoch{aeadKey: k, secret: secret}
	c.write = append(c.write, c.current)
	return nil
}

// forgetHandshake drops the keys and messages of the handshake, and an
// unacknowledged Finished: the far end has it, or never will.
func (c *Conn) forgetHandshake() {
	c.deadline = time.Time{}
	c.read = slices.DeleteFunc(c.read, func(r *readEpoch) bool { return r.epoch < epochData })
	if !c.updating {
		c.out = flight{}
		c.retransmitAt = time.Time{}
		c.write = []*writeEpoch{c.current}
	}
}

// What a CertificateVerify signs begins with 64 spaces, this, and a zero
// (RFC 8446 §4.4.3).
const (
	clientContext = "TLS 1.3, client CertificateVerify"
	serverContext = "TLS 1.3, server CertificateVerify"
)

// signedContent is what a CertificateVerify of the client or the server signs
// at this point of the transcript.
func (hs *handshake) signedContent(client bool) []byte {
	b := make([]byte, 64, 64+len(clientContext)+1+64)
	for i := range b {
		b[i] = ' '
	}
	if client {
		b = append(b, clientContext...)
	} else {
		b = append(b, serverContext...)
	}
	return hs.transcript.digest.Sum(append(b, 0))
}

// addOwnCertificate13 sends our chain and the proof that we have its key, or
// an empty chain alone. schemes are those that the far end accepts.
func (c *Conn) addOwnCertificate13(schemes []SignatureScheme) error {
	var chain [][]byte
	if c.cfg.Certificate != nil {
		chain = c.cfg.Certificate.Certificate
	}
	body, err := marshalCertificates13(chain)
	if err != nil {
		return fatal(AlertInternalError, "certificate: %w", err)
	}
	c.addMessage(typeCertificate, body)
	if len(chain) == 0 {
		return nil
	}
	content := c.hs.signedContent(c.client)
	scheme, signature, err := c.cfg.sign(VersionDTLS13, schemes, content)
	if err != nil {
		return err
	}
	if body, err = marshalCertificateVerify(scheme, signature); err != nil {
		return fatal(AlertInternalError, "CertificateVerify: %w", err)
	}
	c.addMessage(typeCertificateVerify, body)
	return nil
}

// checkCertificateVerify13 checks the far end's proof.
func (c *Conn) checkCertificateVerify13(m message) error {
	if err := expect(m, typeCertificateVerify, epochHandshake); err != nil {
		return err
	}
	scheme, signature, err := parseCertificateVerify(m.body)
	if err != nil {
		return err
	}
	content := c.hs.signedContent(!c.client)
	if err := verify(c.hs.peerKey, VersionDTLS13, c.cfg.SignatureSchemes, scheme, content, signature); err != nil {
		return err
	}
	c.hs.transcript.add(m)
	return nil
}

// addFinished13 ends our flight.
func (c *Conn) addFinished13() {
	c.addMessage(typeFinished, c.kdf().finishedMAC(c.hs.ownSecret, c.hs.transcriptHash()))
}

// checkFinished13 checks the far end's Finished.
func (c *Conn) checkFinished13(m message) error {
	if err := expect(m, typeFinished, epochHandshake); err != nil {
		return err
	}
	want := c.kdf().finishedMAC(c.hs.peerSecret, c.hs.transcriptHash())
	if !hmac.Equal(m.body, want) {
		return fatal(AlertDecryptError, "Finished is wrong")
	}
	c.hs.transcript.add(m)
	return nil
}
