package rtcpeer

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"io"
	"slices"

	"purertc/dtls"
	"purertc/sdp"
)

// A description is an offer or answer of the local or the remote end.
type description struct {
	typ    string
	text   string
	ufrag  string             // of the data section's transport
	media  []mediaID          // of all sections: adding a candidate need not parse the text
	parsed *parsedDescription // nil once connected: the text can be parsed again
}

// A mediaID is a section's mid, and the ufrag of candidates for it.
type mediaID struct{ mid, ufrag string }

// A parsedDescription is a parsed text, and the part of it that concerns data
// channels.
type parsedDescription struct {
	session *sdp.Session
	data    *sdp.Data
}

func (d *description) session() *sdp.Session { return d.read().session }
func (d *description) data() *sdp.Data       { return d.read().data }

func (d *description) credentials() credentials {
	data := d.data()
	return credentials{data.Ufrag, data.Pwd}
}

// read returns the parsed text. It parses the text again after forget.
func (d *description) read() *parsedDescription {
	if d.parsed != nil {
		return d.parsed
	}
	again, err := parseDescription(d.typ, d.text)
	if err != nil { // impossible: it was parsed before
		return &parsedDescription{&sdp.Session{}, &sdp.Data{}}
	}
	return again.parsed
}

// parseDescription parses a description. Its errors are ErrInvalidParameter and wrap
// sdp's, with line and column.
func parseDescription(typ, text string) (*description, error) {
	s, err := sdp.Parse(text)
	if err != nil {
		return nil, invalid("%s: %w", typ, err)
	}
	data, err := s.Data()
	if err != nil {
		return nil, invalid("%s: %w", typ, err)
	}
	if len(s.Media) == 0 {
		return nil, invalid("%s has no media section; data channels need one of m=application … UDP/DTLS/SCTP webrtc-datachannel", typ)
	}
	switch {
	case data.Setup != "":
	case typ == "offer":
		data.Setup = sdp.SetupActPass // the meaning of old offers without the line
	default:
		data.Setup = sdp.SetupActive // RFC 4145 §4.1: the default
	}
	d := &description{typ, text, data.Ufrag, make([]mediaID, len(s.Media)), &parsedDescription{s, data}}
	for i := range s.Media {
		id := &d.media[i]
		id.mid, _ = s.Media[i].Attribute("mid")
		id.ufrag, _ = s.Media[i].Attribute("ice-ufrag")
	}
	return d, nil
}

// ufragOf returns the ufrag of the section that a candidate was signalled for, and
// whether there is such a section. A bundled section may have no ufrag of its own:
// then the tagged section's applies.
func (d *description) ufragOf(media string) (ufrag string, ok bool) {
	if media == "" {
		return d.ufrag, true
	}
	for _, m := range d.media {
		if m.mid == media {
			return cmp.Or(m.ufrag, d.ufrag), true
		}
	}
	return "", false
}

// A glare says that a local offer met a remote one, and which DTLS role the local end
// has then. With naive signalling both ends roll back and answer, both answers come
// too late to be applied, and each end can derive its role from the offers only.
type glare uint8

const (
	noGlare      glare = iota
	glareActive        // the local end is the client
	glarePassive       // the local end is the server
)

// glareWith chooses the role by comparing the offers. Both ends know both offers, so
// they choose different roles.
func (c credentials) glareWith(remote credentials) glare {
	if c.ufrag+c.pwd > remote.ufrag+remote.pwd {
		return glareActive
	}
	return glarePassive
}

// sameTransport reports whether two descriptions have the same ICE and DTLS lines,
// candidates aside.
func (d *description) sameTransport(o *description) bool {
	a, b := d.data(), o.data()
	return a.Mid == b.Mid && a.Index == b.Index && a.Transport == b.Transport && a.Rejected == b.Rejected && a.Ufrag == b.Ufrag && a.Pwd == b.Pwd &&
		a.Setup == b.Setup && a.TLSID == b.TLSID && a.SCTPPort == b.SCTPPort && a.ICELite == b.ICELite &&
		sameFingerprints(a.Fingerprints, b.Fingerprints)
}

func sameFingerprints(a, b []sdp.Fingerprint) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Hash != b[i].Hash || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

// credentials are those of an ICE generation.
type credentials struct{ ufrag, pwd string }

// A negotiation is the state of offer and answer (RFC 8829 §3.2). It has no
// transport: signaling.go has what each step means for the transport.
type negotiation struct {
	random  io.Reader
	state   SignalingState
	id      uint64 // of the o= line
	version uint64
	tlsID   string

	offer, answer               *description // the last ones created
	pendingLocal, pendingRemote *description // not agreed on so far
	currentLocal, currentRemote *description // agreed on
	local                       credentials  // of the current descriptions, or of the first ones
	next                        credentials  // of a pending ICE restart; empty if there is none
	restart                     bool         // the next offer restarts ICE
	client, roleKnown           bool         // the DTLS role; once known it stays
	anyCertificate              bool         // Config.VerifyRemote judges the certificate, not the fingerprints
	glare                       glare        // of the offer that is being answered
}

// newNegotiation returns the state before the first offer. local are the credentials
// of the first ICE generation; empty ones are drawn at random.
func newNegotiation(random io.Reader, local credentials) (negotiation, error) {
	n := negotiation{random: random, local: local}
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return n, err
	}
	n.id = binary.BigEndian.Uint64(b[:]) >> 2 // RFC 8829 §5.2.1: 62 bits or more, top bit zero
	var err error
	if n.tlsID, err = randomText(random, 18); err != nil { // RFC 8842 §4: at least 120 bits
		return n, err
	}
	if local.ufrag == "" {
		n.local, err = n.newCredentials()
	}
	return n, err
}

// randomText returns n random bytes in characters that ICE and SDP allow.
func randomText(random io.Reader, n int) (string, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(random, b); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// newCredentials makes a ufrag of 48 random bits, so that the connections of one socket
// have different ones, and a password of 144 random bits. RFC 8445 §5.3 requires at
// least 24 and 128.
func (n *negotiation) newCredentials() (c credentials, err error) {
	if c.ufrag, err = randomText(n.random, 6); err != nil {
		return c, err
	}
	c.pwd, err = randomText(n.random, 18)
	return c, err
}

// remote returns the remote's latest description.
func (n *negotiation) remote() *description {
	if n.pendingRemote != nil {
		return n.pendingRemote
	}
	return n.currentRemote
}

// localApplied returns the latest local description that was applied.
func (n *negotiation) localApplied() *description {
	if n.pendingLocal != nil {
		return n.pendingLocal
	}
	return n.currentLocal
}

// agreed returns the current sessions, whose sections a later offer keeps in place;
// nil before the first.
func (n *negotiation) agreed() (local, remote *sdp.Session) {
	if n.currentLocal == nil {
		return nil, nil
	}
	return n.currentLocal.session(), n.currentRemote.session()
}

// renomination is the ICE option of ends that can nominate another pair later
// (draft-thatcher-ice-renomination).
const renomination = "renomination"

// params returns the parameters that every local description has.
func (n *negotiation) params(c credentials) sdp.Params {
	n.version++
	return sdp.Params{
		Origin: sdp.NewOrigin(n.id, n.version), Mid: "0",
		Ufrag: c.ufrag, Pwd: c.pwd, // RFC 8838 §4, RFC 8445 §10, draft-thatcher-ice-renomination
		ICEOptions: []string{"trickle", "ice2", renomination},
		SCTPPort:   5000,
	}
}

// nextCredentials returns the credentials of the next description: new ones if it
// restarts ICE (RFC 8839 §4.4.1.1.1).
func (n *negotiation) nextCredentials(restart bool) (credentials, error) {
	if !restart || n.currentLocal == nil {
		return n.local, nil
	}
	if n.next.ufrag == "" {
		c, err := n.newCredentials()
		if err != nil {
			return c, err
		}
		n.next = c
	}
	return n.next, nil
}

// A filler adds the transport's parameters to a description.
type filler func(sdp.Params) (sdp.Params, error)

func (n *negotiation) makeOffer(fill filler) (*description, error) {
	c, err := n.nextCredentials(n.restart)
	if err != nil {
		return nil, err
	}
	p := n.params(c)
	p.Setup, p.TLSID = sdp.SetupActPass, n.tlsID // RFC 8842 §5.2
	if p, err = fill(p); err != nil {
		return nil, err
	}
	n.offer, err = parseDescription("offer", p.Offer(n.agreed()))
	return n.offer, err
}

func (n *negotiation) makeAnswer(offer *description, fill filler) (*description, error) {
	c, err := n.nextCredentials(n.restarts(offer))
	if err != nil {
		return nil, err
	}
	p := n.params(c)
	p.Setup = sdp.SetupActive // RFC 8842 §5.3: the answerer should be the client
	if n.roleKnown && !n.client || !n.roleKnown && (offer.data().Setup == sdp.SetupActive || n.glare == glarePassive && offer.data().Setup == sdp.SetupActPass) {
		p.Setup = sdp.SetupPassive
	}
	if offer.data().TLSID != "" {
		p.TLSID = n.tlsID
	}
	if p, err = fill(p); err != nil {
		return nil, err
	}
	if p.ICELite && n.glare == noGlare && !n.roleKnown && offer.data().Setup == sdp.SetupActPass {
		// A lite answerer sends no checks. As the client it would wait for the
		// nomination, a round trip longer than the offerer waits as the client.
		p.Setup = sdp.SetupPassive
	}
	if offer.data().SCTPInit == "" {
		p.SCTPInit = "" // draft-hancke-tsvwg-snap §5.4
	}
	n.answer, err = parseDescription("answer", p.Answer(offer.session(), offer.data()))
	return n.answer, err
}

// restarts reports whether a remote description restarts ICE.
func (n *negotiation) restarts(remote *description) bool {
	if n.currentRemote == nil {
		return false
	}
	a, b := n.currentRemote.data(), remote.data()
	return !a.Rejected && (a.Ufrag != b.Ufrag || a.Pwd != b.Pwd)
}

// tagChanged reports whether a remote offer tags the bundle by another section than
// the connection's transport belongs to. replacement.go says what follows.
func (n *negotiation) tagChanged(offer *description) bool {
	if n.currentRemote == nil {
		return false
	}
	before, now := n.currentRemote.data(), offer.data()
	return !before.Rejected && !now.Rejected && before.TransportMid != now.TransportMid
}

// checkLocal returns the created description that the program wants to apply. again is
// true if it is applied already, perhaps as a pranswer.
func (n *negotiation) checkLocal(typ, text string) (d *description, again bool, err error) {
	given := n.asCreated(typ, text)
	if given == nil {
		if given, err = parseDescription(typ, text); err != nil {
			return nil, false, err
		}
	}
	applied := n.pendingLocal
	if n.state == SignalingStateStable {
		applied = n.currentLocal
	}
	if applied != nil && (applied.text == text || applied.sameVersion(given)) &&
		(applied.typ == typ || applied.typ == "pranswer" && typ == "answer") {
		return applied, true, nil
	}
	created, states := n.answer, "have-remote-offer or have-local-pranswer"
	inState := n.state == SignalingStateHaveRemoteOffer || n.state == SignalingStateHaveLocalPranswer
	if typ == "offer" {
		created, states = n.offer, "stable or have-local-offer"
		inState = n.state == SignalingStateStable || n.state == SignalingStateHaveLocalOffer
	}
	if !inState {
		return nil, false, wrongState("local %s in signalling state %v, not %s", typ, n.state, states)
	}
	if created == nil || !created.sameTransport(given) {
		return nil, false, invalid("local %s is not one that was created here, or its ICE or DTLS lines were changed", typ)
	}
	return given, false, nil
}

// asCreated returns the last created offer or answer if the text is its own, else nil.
func (n *negotiation) asCreated(typ, text string) *description {
	created := n.answer
	if typ == "offer" {
		created = n.offer
	}
	if created == nil || created.text != text {
		return nil
	}
	d := *created
	d.typ = typ
	return &d
}

// forget drops the parsed forms of descriptions, which take three times the memory of
// the texts. They are needed during set-up only, and read makes them again.
func (n *negotiation) forget() {
	for _, d := range []*description{n.currentLocal, n.currentRemote, n.pendingLocal, n.pendingRemote} {
		if d != nil {
			d.parsed = nil
		}
	}
}

// sameVersion reports whether d is o, perhaps with other candidates.
func (d *description) sameVersion(o *description) bool {
	return d.session().Origin == o.session().Origin && d.sameTransport(o)
}

// checkRemote parses a remote description and checks that it may follow in this state.
func (n *negotiation) checkRemote(typ, text string) (*description, error) {
	states := "have-local-offer or have-remote-pranswer"
	inState := n.state == SignalingStateHaveLocalOffer || n.state == SignalingStateHaveRemotePranswer
	if typ == "offer" {
		states = "stable, have-local-offer or have-remote-offer"
		inState = n.state == SignalingStateStable || n.state == SignalingStateHaveLocalOffer || n.state == SignalingStateHaveRemoteOffer
	}
	d, err := parseDescription(typ, text)
	if err != nil {
		return nil, err
	}
	if !inState {
		return nil, wrongState("remote %s in signalling state %v, not %s", typ, n.state, states)
	}
	if init := d.data().SCTPInit; init != "" {
		if _, err := decodeInit(init); err != nil {
			return nil, err
		}
	}
	if d.data().Rejected {
		return d, nil
	}
	return d, n.checkSetup(d)
}

// checkSetup compares a remote description's DTLS and SCTP lines with the current
// ones. Another role, certificate or port would mean another association (RFC 8842
// §5.1, RFC 8841 §9.3), in which data channels do not survive.
func (n *negotiation) checkSetup(d *description) error {
	s := d.data().Setup
	if s == sdp.SetupHoldConn || s == sdp.SetupActPass && d.typ != "offer" {
		return invalid("%s has a=setup:%s", d.typ, s)
	}
	if !n.anyCertificate && !slices.ContainsFunc(d.data().Fingerprints, trustworthy) {
		return invalid("%s has no fingerprint with a hash that proves anything, such as sha-256", d.typ)
	}
	if n.roleKnown && (s == sdp.SetupActive && n.client || s == sdp.SetupPassive && !n.client) && !n.keepsAssociation(d) {
		return invalid("%s has a=setup:%s, which is not the DTLS role that was agreed on", d.typ, s)
	}
	old := n.currentRemote
	if n.state == SignalingStateHaveRemotePranswer {
		old = n.pendingRemote
	}
	if old == nil {
		return nil
	}
	switch before, now := old.data(), d.data(); {
	case before.Rejected:
	case !sameFingerprints(before.Fingerprints, now.Fingerprints):
		return invalid("%s has another fingerprint than the connection's", d.typ)
	case before.SCTPPort != now.SCTPPort:
		return invalid("%s has SCTP port %d, the connection %d", d.typ, now.SCTPPort, before.SCTPPort)
	}
	return nil
}

// trustworthy reports whether DTLS can verify a certificate with the hash of f. RFC
// 8122 §5 excludes MD5 and MD2; SHA-1 is broken, too.
func trustworthy(f sdp.Fingerprint) bool {
	like, err := dtls.CertificateFingerprint(f.Hash, nil)
	return err == nil && len(like.Value) == len(f.Value)
}

// keepsAssociation reports whether an answer to a later local offer changes nothing of
// DTLS but a=setup. That line MUST NOT change the roles then (RFC 8842 §5.3). But
// GStreamer's webrtcbin answers active to every actpass, and stays the server. The
// answer cannot begin an association that was not offered, so the line is ignored. If
// the answer were refused, ICE could never be restarted.
func (n *negotiation) keepsAssociation(d *description) bool {
	if d.typ == "offer" || n.currentRemote == nil || n.currentRemote.data().Rejected {
		return false
	}
	before, now := n.currentRemote.data(), d.data()
	return sameFingerprints(before.Fingerprints, now.Fingerprints) && before.TLSID == now.TLSID
}

// rollback discards the pending descriptions (RFC 8829 §4.1.10.2).
func (n *negotiation) rollback() error {
	if n.state != SignalingStateHaveLocalOffer && n.state != SignalingStateHaveRemoteOffer {
		return wrongState("rollback in signalling state %v, not have-local-offer or have-remote-offer", n.state)
	}
	n.pendingLocal, n.pendingRemote, n.offer, n.answer = nil, nil, nil, nil
	n.next = credentials{} // a restart that is still wanted gets other credentials
	n.state = SignalingStateStable
	return nil
}

// agree makes the pending descriptions the current ones. Once connected, their parsed
// forms are not needed any more.
func (n *negotiation) agree(connected bool) {
	n.currentLocal, n.currentRemote = n.pendingLocal, n.pendingRemote
	n.pendingLocal, n.pendingRemote, n.offer, n.answer = nil, nil, nil, nil
	n.state = SignalingStateStable
	if n.next.ufrag != "" && n.next == n.currentLocal.credentials() {
		n.local, n.next, n.restart = n.next, credentials{}, false
	}
	if connected {
		n.forget()
	}
}

// isClient returns the DTLS role that two descriptions agree on (RFC 8842 §5).
func isClient(local, remote *description) bool {
	if local.typ == "offer" {
		return remote.data().Setup == sdp.SetupPassive
	}
	return local.data().Setup == sdp.SetupActive
}
