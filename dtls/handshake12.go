package dtls

import (
	"crypto/hmac"
	"errors"
	"io"
	"slices"
)

// newRandom fills a hello's random.
func (c *Conn) newRandom(random *[32]byte) error {
	if _, err := io.ReadFull(c.cfg.Rand, random[:]); err != nil {
		return fatal(AlertInternalError, "random: %w", err)
	}
	return nil
}

// expect checks the type and epoch of a message.
func expect(m message, typ handshakeType, epoch uint16) error {
	if m.typ != typ || m.epoch != epoch {
		return fatal(AlertUnexpectedMessage, "handshake message of type %d in epoch %d where type %d was due", m.typ, m.epoch, typ)
	}
	return nil
}

// begin12 decides for DTLS 1.2. The transcript begins with hello: neither an
// earlier ClientHello nor the HelloVerifyRequest between them is part of it
// (RFC 6347 §4.2.6).
func (c *Conn) begin12(su suite, hello message) {
	c.version, c.suite, c.hs.suite = VersionDTLS12, su.id, su
	c.hs.transcript = transcript{messages: hello.appendTranscript12(nil)}
	c.hs.sent = message{}
}

// checkExternalSessionID checks the peer's external_session_id, which a peer
// may leave out (RFC 8844 §4.3).
func (c *Conn) checkExternalSessionID(e *helloExtensions) error {
	want := c.cfg.PeerExternalSessionID
	if want == "" || !e.has(extExternalSessionID) || string(e.externalSessionID) == want {
		return nil
	}
	return fatal(AlertIllegalParameter, "%w", ErrExternalSessionID)
}

// checkPeerChain judges the far end's certificates: this is what keeps
// everybody but the one described from getting any further.
func (c *Conn) checkPeerChain(chain [][]byte) error {
	// A copy does not hold the whole message in memory.
	c.peer = nil
	for _, der := range chain {
		c.peer = append(c.peer, slices.Clone(der))
	}
	if err := c.judgePeer(); err != nil {
		return err
	}
	key, err := certificateKey(chain[0])
	c.hs.peerKey = key
	return err
}

// judgePeer checks the certificates in c.peer.
func (c *Conn) judgePeer() error {
	if len(c.cfg.Fingerprints) > 0 && !matchFingerprint(c.cfg.Fingerprints, c.peer[0]) {
		return fatal(AlertBadCertificate, "%w", ErrFingerprintMismatch)
	}
	if c.cfg.VerifyPeer != nil {
		if err := c.cfg.VerifyPeer(c.peer); err != nil {
			var a *AlertError
			if errors.As(err, &a) {
				return err
			}
			return fatal(AlertBadCertificate, "certificate refused: %w", err)
		}
	}
	return nil
}

// deriveKeys computes the keys of epoch 1 from the shared secret
// (RFC 7627 §4), and lets records of that epoch in. Those that go out wait
// for our Finished.
func (c *Conn) deriveKeys(secret []byte, sessionHash []byte) (out *writeEpoch, err error) {
	return c.useMaster(prf12(c.hs.suite.hash, secret, "extended master secret", masterSecretLen, sessionHash))
}

// useMaster makes the keys of epoch 1 from a master secret, new or resumed.
func (c *Conn) useMaster(master []byte) (out *writeEpoch, err error) {
	s := c.secrets
	s.hash, s.master = c.hs.suite.hash, master
	c.logKey("CLIENT_RANDOM", s.clientRandom[:], s.master)
	client, server, err := s.keyBlock(&c.hs.suite)
	if err != nil {
		return nil, fatal(AlertInternalError, "keys: %w", err)
	}
	if !c.client {
		client, server = server, client
	}
	client.cid, server.cid = c.peerCID, c.cid
	c.read = append(c.read, &readEpoch{aeadKey: server})
	return &writeEpoch{aeadKey: client}, nil
}

// sessionHash is the hash of the transcript so far (RFC 7627 §3).
func (hs *handshake) sessionHash() []byte { return sum(hs.suite.hash, hs.transcript.messages) }

// addFinished ends our flight with ChangeCipherSpec and Finished.
func (c *Conn) addFinished(w *writeEpoch) {
	verify := c.secrets.verifyData(c.client, c.hs.transcript.messages)
	c.addChangeCipherSpec(w)
	c.addMessage(typeFinished, verify)
}

// checkFinished checks the far end's Finished.
func (c *Conn) checkFinished(m message) error {
	if err := expect(m, typeFinished, 1); err != nil {
		return err
	}
	if !hmac.Equal(m.body, c.secrets.verifyData(!c.client, c.hs.transcript.messages)) {
		return fatal(AlertDecryptError, "Finished is wrong")
	}
	return nil
}

// addOwnCertificate sends our chain, or an empty one.
func (c *Conn) addOwnCertificate() error {
	var chain [][]byte
	if c.cfg.Certificate != nil {
		chain = c.cfg.Certificate.Certificate
	}
	body, err := marshalCertificates12(chain)
	if err != nil {
		return fatal(AlertInternalError, "certificate: %w", err)
	}
	c.addMessage(typeCertificate, body)
	return nil
}
