package dtls

import "crypto/hmac"

// Epochs of DTLS 1.3 (RFC 9147 §6.1). Epoch 1 is for early data, which this package
// does not implement.
const (
	epochHandshake = 2
	epochData      = 3
)

// A handshake13 is what the client and the server of DTLS 1.3 have in common.
type handshake13 struct {
	*handshake
	kdf      *kdf
	schedule schedule13
	psk      []byte // secret of the resumed session; nil: no session is resumed
	local    []byte // local handshake traffic secret
	remote   []byte // the peer's handshake traffic secret
}

// begin sets the version and the suite, and starts the transcript with the given
// messages: the first ClientHello, or the messages that replace it.
func (h *handshake13) begin(su suite, begin ...message) {
	h.decide(su, transcript{version: VersionDTLS13, digest: su.hash.New()}, begin...)
	h.kdf = newKDF(su.hash)
}

func (h *handshake13) transcriptHash() []byte { return h.transcript.digest.Sum(nil) }

// deriveHandshakeKeys derives the keys of epoch 2 from the shared secret and the
// transcript up to the ServerHello. Both ends use them from now on. The rest of the
// peer's handshake is encrypted, so messages in plaintext cannot come from the peer
// any more.
func (h *handshake13) deriveHandshakeKeys(shared []byte) error {
	h.schedule = newSchedule13(h.kdf, h.psk, shared)
	transcript := h.transcriptHash()
	client := h.schedule.derive("c hs traffic", transcript)
	server := h.schedule.derive("s hs traffic", transcript)
	h.logKey("CLIENT_HANDSHAKE_TRAFFIC_SECRET", client)
	h.logKey("SERVER_HANDSHAKE_TRAFFIC_SECRET", server)
	h.local, h.remote = server, client
	if h.cfg.Client {
		h.local, h.remote = client, server
	}
	h.out.dropPlaintext = true
	if err := h.setReadSecret(epochHandshake, h.remote); err != nil {
		return err
	}
	return h.setWriteSecret(epochHandshake, h.local)
}

// deriveDataSecrets derives the traffic secrets for application data from the
// transcript up to the server's Finished.
func (h *handshake13) deriveDataSecrets() (local, remote []byte) {
	h.schedule.next(nil)
	transcript := h.transcriptHash()
	client := h.schedule.derive("c ap traffic", transcript)
	server := h.schedule.derive("s ap traffic", transcript)
	h.agreed.exporter = h.schedule.derive("exp master", transcript)
	h.logKey("CLIENT_TRAFFIC_SECRET_0", client)
	h.logKey("SERVER_TRAFFIC_SECRET_0", server)
	h.logKey("EXPORTER_SECRET", h.agreed.exporter)
	if h.cfg.Client {
		return client, server
	}
	return server, client
}

// setReadSecret adds to the outcome that the Conn accepts records of the given epoch.
// secret is the traffic secret of that epoch.
func (h *handshake13) setReadSecret(epoch uint16, secret []byte) error {
	k, err := h.suite.trafficKeys(h.kdf, epoch, secret)
	if err == nil {
		h.readKeys(k, secret)
	}
	return err
}

// setWriteSecret adds to the outcome that the Conn sends all later messages in the given
// epoch. secret is the traffic secret of that epoch.
func (h *handshake13) setWriteSecret(epoch uint16, secret []byte) error {
	k, err := h.suite.trafficKeys(h.kdf, epoch, secret)
	if err == nil {
		h.writeKeys(k, secret)
	}
	return err
}

// A CertificateVerify signs 64 spaces, one of these two texts, a zero byte and the
// hash of the transcript (RFC 8446 §4.4.3).
const (
	clientContext = "TLS 1.3, client CertificateVerify"
	serverContext = "TLS 1.3, server CertificateVerify"
)

// signedContent returns what the CertificateVerify of the client, or of the server,
// signs at this point of the transcript.
func (h *handshake13) signedContent(client bool) []byte {
	b := make([]byte, 64, 64+len(clientContext)+1+64)
	for i := range b {
		b[i] = ' '
	}
	if client {
		b = append(b, clientContext...)
	} else {
		b = append(b, serverContext...)
	}
	return h.transcript.digest.Sum(append(b, 0))
}

// sendCertificate sends the local certificate chain, and the proof that this end has
// its private key. If there is no local certificate, it sends only an empty chain.
// schemes are the signature schemes that the peer accepts.
func (h *handshake13) sendCertificate(schemes []SignatureScheme) error {
	if err := h.sendChain(); err != nil || h.certificate == nil {
		return err
	}
	return h.sendCertificateVerify(schemes, h.signedContent(h.cfg.Client))
}

// checkCertificateVerify13 checks the peer's CertificateVerify.
func (h *handshake13) checkCertificateVerify13(m message) error {
	return h.checkCertificateVerify(m, epochHandshake, h.signedContent(!h.cfg.Client))
}

// sendFinished sends the local Finished, which is the last message of the flight.
func (h *handshake13) sendFinished() {
	h.send(typeFinished, h.kdf.finishedMAC(h.local, h.transcriptHash()))
}

// checkFinished checks the peer's Finished.
func (h *handshake13) checkFinished(m message) error {
	if err := expect(m, typeFinished, epochHandshake); err != nil {
		return err
	}
	if !hmac.Equal(m.body, h.kdf.finishedMAC(h.remote, h.transcriptHash())) {
		return fatal(AlertDecryptError, "Finished is wrong")
	}
	h.transcript.add(m)
	return nil
}
