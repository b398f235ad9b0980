package dtls

import "crypto/hmac"

// A handshake12 is what the client and the server of DTLS 1.2 have in common.
type handshake12 struct {
	*handshake
	local *aeadKey // the local key of epoch 1; nil: the master secret is not known yet
}

// begin sets the version and the suite, and starts the transcript with hello. The
// transcript contains neither an earlier ClientHello nor the HelloVerifyRequest that
// answered it (RFC 6347 §4.2.6).
func (h *handshake12) begin(su suite, hello message) {
	h.decide(su, transcript{version: VersionDTLS12}, hello)
}

// deriveKeys derives the keys of epoch 1 from the shared secret and the transcript so
// far (RFC 7627 §4).
func (h *handshake12) deriveKeys(secret []byte) error {
	sessionHash := sum(h.suite.hash, h.transcript.messages)
	return h.useMaster(prf12(h.suite.hash, secret, "extended master secret", masterSecretLen, sessionHash))
}

// useMaster derives the keys of epoch 1 from the master secret, which is new or comes
// from a resumed session. From now on the Conn accepts records of epoch 1. The first
// local message of this epoch will be the Finished.
func (h *handshake12) useMaster(master []byte) error {
	s := &secrets12{h.suite.hash, master, h.clientRandom, h.serverRandom}
	h.agreed.secrets = s
	h.logKey("CLIENT_RANDOM", s.master)
	local, remote, err := s.keyBlock(&h.suite)
	if err != nil {
		return fatal(AlertInternalError, "keys: %w", err)
	}
	if !h.cfg.Client {
		local, remote = remote, local
	}
	h.local = &local
	h.readKeys(remote, nil)
	return nil
}

// sendFinished ends the local flight with ChangeCipherSpec and Finished.
func (h *handshake12) sendFinished() {
	verify := h.agreed.secrets.verifyData(h.cfg.Client, h.transcript.messages)
	h.addToFlight(outMessage{content: typeChangeCipherSpec, epoch: h.epoch, body: []byte{1}})
	h.writeKeys(*h.local, nil)
	h.send(typeFinished, verify)
}

// checkFinished checks the peer's Finished.
func (h *handshake12) checkFinished(m message) error {
	if err := expect(m, typeFinished, 1); err != nil {
		return err
	}
	if !hmac.Equal(m.body, h.agreed.secrets.verifyData(!h.cfg.Client, h.transcript.messages)) {
		return fatal(AlertDecryptError, "Finished is wrong")
	}
	return nil
}
