package dtls

import (
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// A handshake is the part of a handshake that both roles and both versions have in
// common. It takes whole messages in order, and returns an outcome that says what the
// Conn has to do. It knows nothing about fragments, records and retransmissions.
//
// At first its role is a client or a server. Once the version is known, the role is a
// client12, client13, server12 or server13.
type handshake struct {
	cfg    *Config
	agreed *agreement // belongs to the Conn; only the handshake changes it until the handshake has finished
	role   role

	certificate *tls.Certificate // the local certificate; nil: none
	peerKey     crypto.PublicKey // the public key in the peer's certificate
	suite       suite
	transcript  transcript

	clientRandom [32]byte
	serverRandom [32]byte

	nextSeq uint16  // message_seq of the next local message
	epoch   uint16  // epoch of the next local message
	out     outcome // outcome of the current step

	cause probableCause
}

// A role handles the messages for one role and version.
type role interface {
	// handle handles the next message. If it returns an *AlertError, the handshake
	// ends. If it returns unexpected_message or decode_error for a message in
	// plaintext, it must not have changed anything.
	handle(now time.Time, m message) error
}

// An outcome says what the Conn has to do after a step of the handshake.
type outcome struct {
	dropPlaintext   bool          // the Conn drops messages in plaintext that are not handled yet: they did not come from the peer
	rejectPlaintext bool          // from now on the Conn rejects all records in plaintext
	read            []*readEpoch  // epochs from which the Conn accepts records from now on
	write           []*writeEpoch // new epochs for local records; the last element is the current one from now on
	flight          []outMessage  // the next local flight; nil: none
	final           bool          // no flight of the peer answers this flight
	session         *Session      // a session for the program to keep
	done            bool          // the handshake has finished
}

// newHandshake returns the handshake of a Conn with the configuration cfg. agreed
// contains what the Conn is going to offer.
func newHandshake(cfg *Config, agreed *agreement) *handshake {
	h := &handshake{cfg: cfg, agreed: agreed, certificate: cfg.Certificate}
	if cfg.Client {
		h.role = &client{h, &offer{}}
	} else {
		h.role = &server{h}
	}
	return h
}

// start begins the handshake. A server waits for a ClientHello.
func (h *handshake) start(now time.Time) (outcome, error) {
	h.out = outcome{}
	if c, ok := h.role.(*client); ok {
		if err := c.start(now); err != nil {
			return outcome{}, err
		}
	}
	return h.out, nil
}

// handle handles the next message in order.
func (h *handshake) handle(now time.Time, m message) (outcome, error) {
	h.out = outcome{}
	if err := h.role.handle(now, m); err != nil {
		return outcome{}, err
	}
	return h.out, nil
}

// anotherCookie reports whether f is a HelloVerifyRequest that the client should
// answer although it has already answered another one with the same message number.
func (h *handshake) anotherCookie(f fragment) bool {
	c, ok := h.role.(*client)
	return ok && c.anotherCookie(f)
}

// answerCookie answers the HelloVerifyRequest in f as if it had been the first one.
func (h *handshake) answerCookie(f fragment) (outcome, error) {
	h.out = outcome{}
	h.nextSeq = f.seq + 1
	if err := h.role.(*client).answerCookie(f.data); err != nil {
		return outcome{}, err
	}
	return h.out, nil
}

// send adds a message to the local flight and to the transcript.
func (h *handshake) send(typ handshakeType, body []byte) message {
	m := message{typ: typ, seq: h.nextSeq, epoch: h.epoch, body: body}
	h.nextSeq++
	h.transcript.add(m)
	h.addToFlight(outMessage{content: typeHandshake, epoch: m.epoch, typ: typ, seq: m.seq, body: body})
	return m
}

func (h *handshake) addToFlight(m outMessage) {
	if h.out.flight == nil {
		h.out.flight = make([]outMessage, 0, 6) // the longest flight has six messages
	}
	h.out.flight = append(h.out.flight, m)
}

// readKeys adds to the outcome that the Conn accepts records of the epoch of k.
func (h *handshake) readKeys(k aeadKey, secret []byte) {
	k.cid = h.agreed.ConnectionID
	h.out.read = append(h.out.read, &readEpoch{aeadKey: k, secret: secret})
}

// writeKeys adds to the outcome that the Conn sends all later messages with the key k.
func (h *handshake) writeKeys(k aeadKey, secret []byte) {
	k.cid, h.epoch = h.agreed.PeerConnectionID, k.epoch
	h.out.write = append(h.out.write, &writeEpoch{aeadKey: k, secret: secret})
}

// decide sets the version and the suite, and starts the transcript t with the given
// messages.
func (h *handshake) decide(su suite, t transcript, begin ...message) {
	h.agreed.Version, h.agreed.CipherSuite, h.suite = su.version, su.id, su
	h.transcript = t
	for _, m := range begin {
		h.transcript.add(m)
	}
}

// newRandom fills the random of a hello with random bytes.
func (h *handshake) newRandom(random *[32]byte) error {
	if _, err := io.ReadFull(h.cfg.Rand, random[:]); err != nil {
		return fatal(AlertInternalError, "random: %w", err)
	}
	return nil
}

// expect returns an error unless a message has the expected type and epoch.
func expect(m message, typ handshakeType, epoch uint16) error {
	if m.typ != typ || m.epoch != epoch {
		return fatal(AlertUnexpectedMessage, "handshake message of type %d in epoch %d where type %d was due", m.typ, m.epoch, typ)
	}
	return nil
}

// checkPeerChain checks the peer's certificate chain. The first certificate is the
// peer's. It returns an error unless the certificate belongs to the expected peer.
func (h *handshake) checkPeerChain(chain [][]byte) error {
	// The certificates are copied so that the rest of the message can be freed.
	h.agreed.PeerCertificates = nil
	for _, der := range chain {
		h.agreed.PeerCertificates = append(h.agreed.PeerCertificates, slices.Clone(der))
	}
	if err := h.verifyPeer(); err != nil {
		return err
	}
	key, err := certificateKey(chain[0])
	h.peerKey = key
	return err
}

// verifyPeer checks the certificates in h.agreed, whether they are new or from a
// resumed session.
func (h *handshake) verifyPeer() error {
	if len(h.cfg.Fingerprints) > 0 && !matchFingerprint(h.cfg.Fingerprints, h.agreed.PeerCertificates[0]) {
		return fatal(AlertBadCertificate, "%w", ErrFingerprintMismatch)
	}
	if h.cfg.VerifyPeer != nil {
		if err := h.cfg.VerifyPeer(h.agreed.PeerCertificates); err != nil {
			var a *AlertError
			if errors.As(err, &a) {
				return err
			}
			return fatal(AlertBadCertificate, "certificate refused: %w", err)
		}
	}
	return nil
}

// resumePeer adopts the peer's certificates from a session. It returns an error if
// they do not belong to the expected peer any more.
func (h *handshake) resumePeer(s *Session) error {
	h.agreed.Resumed = true
	h.agreed.PeerCertificates = s.peer
	if len(s.peer) == 0 {
		return nil
	}
	return h.verifyPeer()
}

// checkExternalSessionID returns an error if the peer's external_session_id is not the
// expected one. A peer may send none (RFC 8844 §4.3).
func (h *handshake) checkExternalSessionID(e *helloExtensions) error {
	want := h.cfg.PeerExternalSessionID
	if want == "" || !e.has(extExternalSessionID) || string(e.externalSessionID) == want {
		return nil
	}
	return fatal(AlertIllegalParameter, "%w", ErrExternalSessionID)
}

// receiveChain parses a Certificate message, which must be in the given epoch. The
// chain is empty if the peer has no certificate.
func (h *handshake) receiveChain(m message, epoch uint16) (chain [][]byte, err error) {
	if err := expect(m, typeCertificate, epoch); err != nil {
		return nil, err
	}
	return parseCertificates(h.agreed.Version, m.body)
}

// receiveServerChain handles the server's Certificate message. If the certificate does
// not belong to the expected server, the handshake ends, and an alert tells the server
// why.
func (h *handshake) receiveServerChain(m message, epoch uint16) error {
	chain, err := h.receiveChain(m, epoch)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return fatal(AlertDecodeError, "server has no certificate")
	}
	h.transcript.add(m)
	return h.checkPeerChain(chain)
}

// sendChain sends the local certificate chain. The chain is empty if there is no local
// certificate.
func (h *handshake) sendChain() error {
	var chain [][]byte
	if h.certificate != nil {
		chain = h.certificate.Certificate
	}
	body, err := marshalCertificates(h.agreed.Version, chain)
	if err != nil {
		return fatal(AlertInternalError, "certificate: %w", err)
	}
	h.send(typeCertificate, body)
	return nil
}

// sendCertificateVerify proves that this end has the private key of its certificate.
// schemes are the signature schemes that the peer accepts. The signature covers
// content.
func (h *handshake) sendCertificateVerify(schemes []SignatureScheme, content []byte) error {
	scheme, signature, err := h.sign(schemes, content)
	if err != nil {
		return err
	}
	body, err := marshalCertificateVerify(scheme, signature)
	if err != nil {
		return fatal(AlertInternalError, "CertificateVerify: %w", err)
	}
	h.send(typeCertificateVerify, body)
	return nil
}

// sign signs message with the most preferred scheme that the peer accepts.
func (h *handshake) sign(accepted []SignatureScheme, message []byte) (SignatureScheme, []byte, error) {
	key := signer(h.certificate)
	for _, s := range signingSchemes(h.certificate, h.agreed.Version) {
		if !slices.Contains(accepted, s) {
			continue
		}
		signature, err := key.Sign(signingRand(key, h.cfg.Rand), s.digest(message), s.options())
		if err != nil {
			return 0, nil, fatal(AlertInternalError, "signing: %w", err)
		}
		return s, signature, nil
	}
	return 0, nil, fatal(AlertHandshakeFailure, errNoSignature)
}

// checkCertificateVerify checks the peer's proof that it has the private key of its
// certificate. The signature covers content.
func (h *handshake) checkCertificateVerify(m message, epoch uint16, content []byte) error {
	if err := expect(m, typeCertificateVerify, epoch); err != nil {
		return err
	}
	scheme, signature, err := parseCertificateVerify(m.body)
	if err != nil {
		return err
	}
	if err := verify(h.peerKey, h.agreed.Version, h.cfg.SignatureSchemes, scheme, content, signature); err != nil {
		return err
	}
	h.transcript.add(m)
	return nil
}

// logKey writes a line of the NSS key log. The log is only for debugging, so write
// errors are ignored.
func (h *handshake) logKey(label string, secret []byte) {
	if h.cfg.KeyLogWriter != nil {
		fmt.Fprintf(h.cfg.KeyLogWriter, "%s %x %x\n", label, h.clientRandom[:], secret)
	}
}
