package dtls

import (
	"crypto"
	"crypto/hmac"
	"encoding/binary"
	"io"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Resumption of DTLS 1.3 (RFC 8446 §2.2). A ticket stands for a secret. This secret
// goes into the key schedule together with a new key exchange, and replaces the
// certificates. Use of the secret without a key exchange is neither offered nor
// accepted: an attacker who learns the secret later could decrypt everything.

const pskWithECDHE = 1 // RFC 8446 §4.2.9: psk_dhe_ke

// A pskIdentity is a ticket and its obfuscated age (RFC 8446 §4.2.11).
type pskIdentity struct {
	ticket []byte
	age    uint32
}

// A preShared is the content of the pre_shared_key extension of a ClientHello.
type preShared struct {
	identities []pskIdentity
	binders    [][]byte
}

// bindersLen is the length in bytes of the list of binders at the end of the
// ClientHello. The binders cover everything before this list.
func (p *preShared) bindersLen() int {
	n := 2
	for _, b := range p.binders {
		n += 1 + len(b)
	}
	return n
}

func (p *preShared) marshal(b *cryptobyte.Builder) {
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, id := range p.identities {
			b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(id.ticket) })
			b.AddUint32(id.age)
		}
	})
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) {
		for _, binder := range p.binders {
			b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(binder) })
		}
	})
}

// maxIdentities is the maximum number of tickets in a ClientHello.
const maxIdentities = 16

// readPreShared parses the extension pre_shared_key; nil: it is malformed.
func readPreShared(s cryptobyte.String) *preShared {
	p := &preShared{}
	var identities, binders cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&identities) || !s.ReadUint16LengthPrefixed(&binders) || len(identities) == 0 || len(binders) == 0 || !s.Empty() {
		return nil
	}
	for len(identities) > 0 {
		var ticket cryptobyte.String
		var age uint32
		if !identities.ReadUint16LengthPrefixed(&ticket) || len(ticket) == 0 || !identities.ReadUint32(&age) || len(p.identities) == maxIdentities {
			return nil
		}
		p.identities = append(p.identities, pskIdentity{ticket, age})
	}
	for len(binders) > 0 {
		var binder cryptobyte.String
		// A binder that is too short is not treated as malformed. It is wrong, like
		// any other binder that does not match.
		if !binders.ReadUint8LengthPrefixed(&binder) || len(p.binders) == maxIdentities {
			return nil
		}
		p.binders = append(p.binders, binder)
	}
	return p
}

// addSession13 offers the DTLS 1.3 session of the configuration in a ClientHello. Its
// binder is computed by bind, after the rest of the message is known.
func (o *offer) addSession13(cfg *Config, now time.Time) {
	if !cfg.Tickets {
		return
	}
	o.hello.extensions.pskModes = []byte{pskWithECDHE}
	s := cfg.Session
	if !cfg.offers(s, now) || s.version != VersionDTLS13 {
		return
	}
	su, _ := suiteByID(s.suite)
	o.session = s
	o.hello.extensions.psk = &preShared{
		identities: []pskIdentity{{s.ticket, uint32(now.Sub(s.issued).Milliseconds()) + s.ageAdd}},
		binders:    [][]byte{make([]byte, su.hash.Size())},
	}
}

// bind computes the binder and writes it to the end of the body of a ClientHello
// (RFC 8446 §4.2.11.2).
func (o *offer) bind(h *handshake, body []byte) error {
	psk := o.hello.extensions.psk
	if psk == nil {
		return nil
	}
	su, _ := suiteByID(o.session.suite)
	binder, err := h.binder(su.hash, o.session.secret, body, psk)
	copy(body[len(body)-len(binder):], binder)
	return err
}

// binder returns the binder of the ClientHello in body. It proves that the sender of
// the ClientHello knows the secret psk.
func (h *handshake) binder(hash crypto.Hash, psk, body []byte, offered *preShared) ([]byte, error) {
	digest := hash.New()
	if h.agreed.HelloRetryRequest {
		// The transcript begins with the first ClientHello and the HelloRetryRequest.
		var err error
		if digest, err = h.transcript.cloneDigest(); err != nil {
			return nil, fatal(AlertInternalError, "transcript: %w", err)
		}
	}
	digest.Write(binary.BigEndian.AppendUint32(nil, uint32(typeClientHello)<<24|uint32(len(body))))
	digest.Write(body[:len(body)-offered.bindersLen()])
	early := earlySchedule13(newKDF(hash), psk)
	return early.kdf.finishedMAC(early.derive("res binder", sum(hash, nil)), digest.Sum(nil)), nil
}

// acceptSession handles the server's choice to resume the offered session. The
// certificates of the session are checked later, by verifyPeer, when an alert can be
// encrypted.
func (h *client13) acceptSession(e *helloExtensions) error {
	if !e.has(extPreSharedKey) {
		return nil
	}
	su, _ := suiteByID(h.session.suite)
	// RFC 8446 §4.2.11: the client checks the index of the session and the hash of
	// the suite.
	if e.selectedPSK != 0 || su.hash != h.suite.hash {
		return fatal(AlertIllegalParameter, "server resumes session %d with suite %v", e.selectedPSK, h.suite.id)
	}
	h.psk = h.session.secret
	h.agreed.Resumed, h.agreed.PeerCertificates = true, h.session.peer
	return nil
}

// dropSession removes the session from the ClientHello if the suite that a
// HelloRetryRequest chose has another hash than the session's suite (RFC 8446
// §4.1.4).
func (o *offer) dropSession(chosen suite) {
	if e := &o.hello.extensions; e.psk != nil {
		if su, _ := suiteByID(o.session.suite); su.hash != chosen.hash {
			e.psk = nil
		}
	}
}

// findSession returns the session that a ClientHello asks to resume, and the index of
// its ticket in the ClientHello; nil: there is none, or the server does not resume it.
// The ClientHello must not be part of the transcript yet.
func (h *server13) findSession(hello *clientHello, body []byte, su suite, now time.Time) (s *Session, index uint16, err error) {
	e := &hello.extensions
	switch {
	case !e.has(extPreSharedKey):
		return nil, 0, nil
	case e.pskModes == nil:
		// RFC 8446 §4.2.9: psk_key_exchange_modes is required together with
		// pre_shared_key.
		return nil, 0, fatal(AlertMissingExtension, "pre_shared_key without psk_key_exchange_modes")
	}
	psk := readPreShared(e.pskBody)
	switch {
	case psk == nil:
		return nil, 0, fatal(AlertDecodeError, "malformed extension %d", extPreSharedKey)
	case len(psk.identities) != len(psk.binders):
		return nil, 0, fatal(AlertIllegalParameter, "%d tickets, %d binders", len(psk.identities), len(psk.binders))
	case !slices.Contains(e.pskModes, pskWithECDHE) || len(h.cfg.TicketKeys) == 0:
		return nil, 0, nil
	}
	for i, id := range psk.identities {
		s := h.cfg.openTicket(id.ticket)
		if !h.cfg.resumes(s, VersionDTLS13, now) {
			continue
		}
		if old, _ := suiteByID(s.suite); old.hash != su.hash {
			continue
		}
		binder, err := h.binder(su.hash, s.secret, body, psk)
		if err == nil && !hmac.Equal(binder, psk.binders[i]) {
			err = fatal(AlertDecryptError, "binder is wrong")
		}
		return s, uint16(i), err
	}
	return nil, 0, nil
}

// resumptionSecret derives the secret from which the secrets of all tickets of the
// connection are derived (RFC 8446 §7.1). The transcript must contain the client's
// Finished.
func (h *handshake13) resumptionSecret() []byte {
	return h.schedule.derive("res master", h.transcriptHash())
}

// resumptionPSK derives the secret that the ticket with the given nonce stands for
// (RFC 8446 §4.6.1).
func (k *kdf) resumptionPSK(resumption, nonce []byte) []byte {
	return k.expandLabel(resumption, "resumption", nonce, k.hash.Size())
}

// ticketsPerConn is the number of tickets that a server sends on a connection. Each
// ticket is for one connection (RFC 8446 §C.4), so with two tickets a client can make
// two connections in parallel.
const ticketsPerConn = 2

// sendTickets sends all tickets of the connection to the client.
func (h *server13) sendTickets(now time.Time) error {
	resumption := h.resumptionSecret()
	for nonce := range byte(ticketsPerConn) {
		if err := h.sendTicket(now, resumption, nonce); err != nil {
			return err
		}
	}
	return nil
}

// sendTicket sends one ticket to the client, unless the ticket would be too long.
func (h *server13) sendTicket(now time.Time, resumption []byte, nonce byte) error {
	s := &Session{
		version: VersionDTLS13, suite: h.agreed.CipherSuite, peer: h.agreed.PeerCertificates, issued: now,
		secret: h.kdf.resumptionPSK(resumption, []byte{nonce}),
	}
	ticket, err := h.cfg.sealTicket(s)
	if err != nil {
		return fatal(AlertInternalError, "ticket: %w", err)
	}
	if ticket == nil {
		return nil
	}
	var ageAdd [4]byte
	if _, err := io.ReadFull(h.cfg.Rand, ageAdd[:]); err != nil {
		return fatal(AlertInternalError, "random: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint32(uint32(ticketLifetime / time.Second))
	b.AddBytes(ageAdd[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(nonce) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ticket) })
	b.AddUint16(0) // no extensions
	h.send(typeNewSessionTicket, b.BytesOrPanic())
	return nil
}

// parseTicket13 returns the session in a NewSessionTicket (RFC 8446 §4.6.1). a is the
// agreement of the connection on which it arrived. The session is nil if the client
// wants none, or cannot use it.
func parseTicket13(now time.Time, a *agreement, body []byte) (*Session, error) {
	in := cryptobyte.String(body)
	var lifetime, ageAdd uint32
	var nonce, ticket cryptobyte.String
	if !in.ReadUint32(&lifetime) || !in.ReadUint32(&ageAdd) || !in.ReadUint8LengthPrefixed(&nonce) ||
		!in.ReadUint16LengthPrefixed(&ticket) || len(ticket) == 0 || in.Empty() {
		return nil, errDecode
	}
	var e helloExtensions
	if err := e.parse(in, false); err != nil {
		return nil, err
	}
	if a.resumption == nil || lifetime == 0 {
		return nil, nil
	}
	su, _ := suiteByID(a.CipherSuite)
	return &Session{
		version: VersionDTLS13, suite: a.CipherSuite, peer: a.PeerCertificates, issued: now,
		lifetime: time.Duration(lifetime) * time.Second,
		ticket:   slices.Clone(ticket), ageAdd: ageAdd,
		secret: newKDF(su.hash).resumptionPSK(a.resumption, nonce),
	}, nil
}
