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

// Resumption of DTLS 1.3 (RFC 8446 §2.2): a ticket stands for a secret that
// goes into the key schedule beside a new key exchange, in place of
// certificates. A secret alone, which would do without, is neither offered
// nor taken: who learns it later could read everything.

const pskWithECDHE = 1 // RFC 8446 §4.2.9: psk_dhe_ke

// A pskIdentity is RFC 8446 §4.2.11's: a ticket, and its age in disguise.
type pskIdentity struct {
	ticket []byte
	age    uint32
}

// A preShared is the pre_shared_key extension of a ClientHello.
type preShared struct {
	identities []pskIdentity
	binders    [][]byte
}

// bindersLen is how many bytes at the end of the ClientHello are not covered
// by the binders: they are.
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

// maxIdentities bounds the tickets of a ClientHello that are read at all.
const maxIdentities = 16

// readPreShared reads what marshal wrote; nil if it is malformed.
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
		// Too short a one is compared, and wrong, like any other.
		if !binders.ReadUint8LengthPrefixed(&binder) || len(p.binders) == maxIdentities {
			return nil
		}
		p.binders = append(p.binders, binder)
	}
	return p
}

// offerSession13 adds our session of DTLS 1.3 to a ClientHello. Its binder is
// made when all the rest is there.
func (c *Conn) offerSession13(h *clientHello, now time.Time) {
	if !c.cfg.Tickets {
		return
	}
	h.extensions.pskModes = []byte{pskWithECDHE}
	s := c.cfg.Session
	if !c.cfg.offers(s, now) || s.version != VersionDTLS13 {
		return
	}
	su, _ := suiteByID(s.suite)
	c.hs.session = s
	h.extensions.psk = &preShared{
		identities: []pskIdentity{{s.ticket, uint32(now.Sub(s.issued).Milliseconds()) + s.ageAdd}},
		binders:    [][]byte{make([]byte, su.hash.Size())},
	}
}

// bind writes our binder into the body of a ClientHello, of which it is the
// end (RFC 8446 §4.2.11.2).
func (c *Conn) bind(body []byte) error {
	psk := c.hs.hello.extensions.psk
	if psk == nil {
		return nil
	}
	su, _ := suiteByID(c.hs.session.suite)
	binder, err := c.binder(su.hash, c.hs.session.secret, body, psk)
	copy(body[len(body)-len(binder):], binder)
	return err
}

// binder is the proof that whoever made the ClientHello in body knows the
// secret psk.
func (c *Conn) binder(h crypto.Hash, psk, body []byte, offered *preShared) ([]byte, error) {
	digest := h.New()
	if c.retried {
		// What came before is in the transcript.
		before, err := c.hs.transcript.clone()
		if err != nil {
			return nil, fatal(AlertInternalError, "transcript: %w", err)
		}
		digest = before.digest
	}
	digest.Write(binary.BigEndian.AppendUint32(nil, uint32(typeClientHello)<<24|uint32(len(body))))
	digest.Write(body[:len(body)-offered.bindersLen()])
	early := earlySchedule13(newKDF(h), psk)
	return early.kdf.finishedMAC(early.derive("res binder", constants13[h].empty), digest.Sum(nil)), nil
}

// clientResumes13 takes the server's choice to resume our session.
func (c *Conn) clientResumes13(e *helloExtensions) error {
	s := c.hs.session
	if !e.has(extPreSharedKey) {
		return nil
	}
	su, _ := suiteByID(s.suite)
	// RFC 8446 §4.2.11
	if e.selectedPSK != 0 || su.hash != c.hs.suite.hash {
		return fatal(AlertIllegalParameter, "server resumes session %d with suite %v", e.selectedPSK, c.suite)
	}
	c.hs.psk = s.secret
	c.resumed, c.peer = true, s.peer // judged once there are keys for an alert
	return nil
}

// dropSession13 takes our session out of the ClientHello after a
// HelloRetryRequest that chose another hash (RFC 8446 §4.1.4).
func (c *Conn) dropSession13() {
	if e := &c.hs.hello.extensions; e.psk != nil {
		if su, _ := suiteByID(c.hs.session.suite); su.hash != c.hs.suite.hash {
			e.psk = nil
		}
	}
}

// serverSession13 finds the session that a ClientHello wants to resume, if we
// agree. It is called before the hello becomes part of the transcript.
func (c *Conn) serverSession13(h *clientHello, body []byte, su suite, now time.Time) (s *Session, index uint16, err error) {
	e := &h.extensions
	switch {
	case !e.has(extPreSharedKey):
		return nil, 0, nil
	case e.pskModes == nil:
		// RFC 8446 §4.2.9
		return nil, 0, fatal(AlertMissingExtension, "pre_shared_key without psk_key_exchange_modes")
	}
	psk := readPreShared(e.pskBody)
	switch {
	case psk == nil:
		return nil, 0, fatal(AlertDecodeError, "malformed extension %d", extPreSharedKey)
	case len(psk.identities) != len(psk.binders):
		return nil, 0, fatal(AlertIllegalParameter, "%d tickets, %d binders", len(psk.identities), len(psk.binders))
	case !slices.Contains(e.pskModes, pskWithECDHE) || len(c.cfg.TicketKeys) == 0:
		return nil, 0, nil
	}
	for i, id := range psk.identities {
		s := c.cfg.openTicket(id.ticket)
		if !c.cfg.resumes(s, VersionDTLS13, now) {
			continue
		}
		if old, _ := suiteByID(s.suite); old.hash != su.hash {
			continue
		}
		binder, err := c.binder(su.hash, s.secret, body, psk)
		if err == nil && !hmac.Equal(binder, psk.binders[i]) {
			err = fatal(AlertDecryptError, "binder is wrong")
		}
		return s, uint16(i), err
	}
	return nil, 0, nil
}

// resumptionSecret is what tickets of this connection are made of
// (RFC 8446 §7.1), once the client's Finished is in the transcript.
func (hs *handshake) resumptionSecret() []byte {
	return hs.schedule.derive("res master", hs.transcriptHash())
}

// resumptionPSK is the secret that the ticket with a nonce stands for
// (RFC 8446 §4.6.1).
func (k *kdf) resumptionPSK(resumption, nonce []byte) []byte {
	return k.expandLabel(resumption, "resumption", nonce, k.hash.Size())
}

// ticketsPerConn is for a client that makes two connections at once: each
// ticket serves for one (RFC 8446 §C.4).
const ticketsPerConn = 2

// sendTickets13 gives the client tickets.
func (c *Conn) sendTickets13(now time.Time, resumption []byte) error {
	for nonce := range byte(ticketsPerConn) {
		if err := c.addTicket13(now, resumption, nonce); err != nil {
			return err
		}
	}
	c.endFlight(false)
	return nil
}

// addTicket13 adds one ticket to our flight.
func (c *Conn) addTicket13(now time.Time, resumption []byte, nonce byte) error {
	s := &Session{
		version: VersionDTLS13, suite: c.suite, peer: c.peer, issued: now,
		secret: c.kdf().resumptionPSK(resumption, []byte{nonce}),
	}
	ticket, err := c.cfg.sealTicket(s)
	if err != nil {
		return fatal(AlertInternalError, "ticket: %w", err)
	}
	if ticket == nil {
		return nil
	}
	var ageAdd [4]byte
	if _, err := io.ReadFull(c.cfg.Rand, ageAdd[:]); err != nil {
		return fatal(AlertInternalError, "random: %w", err)
	}
	var b cryptobyte.Builder
	b.AddUint32(uint32(ticketLifetime / time.Second))
	b.AddBytes(ageAdd[:])
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddUint8(nonce) })
	b.AddUint16LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(ticket) })
	b.AddUint16(0) // extensions
	c.addMessage(typeNewSessionTicket, b.BytesOrPanic())
	return nil
}

// takeTicket13 takes a NewSessionTicket (RFC 8446 §4.6.1).
func (c *Conn) takeTicket13(now time.Time, m message) error {
	in := cryptobyte.String(m.body)
	var lifetime, ageAdd uint32
	var nonce, ticket cryptobyte.String
	if !in.ReadUint32(&lifetime) || !in.ReadUint32(&ageAdd) || !in.ReadUint8LengthPrefixed(&nonce) ||
		!in.ReadUint16LengthPrefixed(&ticket) || len(ticket) == 0 {
		return errDecode
	}
	var e helloExtensions
	if in.Empty() {
		return errDecode
	}
	if err := e.parse(in, false); err != nil {
		return err
	}
	if c.resumption == nil || lifetime == 0 {
		return nil
	}
	c.addSession(&Session{
		version: VersionDTLS13, suite: c.suite, peer: c.peer, issued: now,
		lifetime: time.Duration(lifetime) * time.Second,
		ticket:   slices.Clone(ticket), ageAdd: ageAdd,
		secret: c.kdf().resumptionPSK(c.resumption, nonce),
	})
	return nil
}
