package dtls

import (
	"slices"
	"time"
)

// A client is the client's side of the handshake until the server has chosen the version:
//
//	ClientHello              ->
//	                         <-  [HelloVerifyRequest]   DTLS 1.2 only
//	[ClientHello + cookie]   ->
//	                         <-  ServerHello or HelloRetryRequest
type client struct {
	*handshake
	*offer
}

// An offer is what the client has offered in its ClientHello.
type offer struct {
	hello   clientHello
	sent    message     // the newest ClientHello, as it was sent
	shares  []ephemeral // the client's secret keys for the key shares in hello (DTLS 1.3)
	session *Session    // the session that the client asks to resume; nil: none
	cookies int         // number of HelloVerifyRequests that the client has answered
}

// maxCookies is the maximum number of HelloVerifyRequests that a client answers.
// Usually a server sends one. It sends a second one if the cookie has expired on the
// way.
const maxCookies = 3

// start sends the first ClientHello.
func (h *client) start(now time.Time) error {
	m := &h.hello
	if err := h.newRandom(&m.random); err != nil {
		return err
	}
	m.version = VersionDTLS12
	m.compressions = []byte{0}
	m.extensions = helloExtensions{
		serverName:   h.cfg.ServerName,
		schemes:      h.cfg.SignatureSchemes,
		alpn:         h.cfg.ALPN,
		srtpProfiles: h.cfg.SRTPProfiles,
		sizeLimit:    h.agreed.ownLimit,
		connectionID: h.agreed.ConnectionID,
	}
	if id := h.cfg.ExternalSessionID; id != "" {
		m.extensions.externalSessionID = []byte(id)
	}
	if h.cfg.speaks(VersionDTLS13) {
		if err := h.add13(h.cfg, now); err != nil {
			return err
		}
	}
	if h.cfg.speaks(VersionDTLS12) {
		h.add12(h.cfg, now)
	}
	return h.sendHello(h.handshake)
}

// add12 adds to the ClientHello what DTLS 1.2 needs.
func (o *offer) add12(cfg *Config, now time.Time) {
	for s := range cfg.suites(VersionDTLS12) {
		o.hello.suites = append(o.hello.suites, s.id)
	}
	e := &o.hello.extensions
	if e.groups == nil {
		e.groups = cfg.groups12()
	}
	e.pointFormats = []byte{0} // the uncompressed format
	e.extendedMasterSecret = true
	e.renegotiationInfo = []byte{} // RFC 5746 §3.4: the extension is empty in a first handshake
	o.addSession12(cfg, now)
	if e.versions != nil {
		e.versions = append(e.versions, VersionDTLS12)
	}
}

// add13 adds to the ClientHello what DTLS 1.3 needs.
func (o *offer) add13(cfg *Config, now time.Time) error {
	for s := range cfg.suites(VersionDTLS13) {
		o.hello.suites = append(o.hello.suites, s.id)
	}
	e := &o.hello.extensions
	e.versions = []Version{VersionDTLS13}
	e.groups = cfg.Groups
	o.addSession13(cfg, now)
	if cfg.DeferShares {
		e.keyShares = []keyShare{}
		return nil
	}
	return o.addShares(cfg)
}

// addShares generates a key share for the most preferred group. If this is the
// post-quantum group, it adds a key share for X25519, for servers that do not know the
// post-quantum group. Both shares use the same X25519 key, which saves a
// multiplication.
func (o *offer) addShares(cfg *Config) error {
	first, err := newEphemeral(cfg.Groups[0], cfg.Rand)
	if err != nil {
		return err
	}
	o.shares = []ephemeral{first}
	if first.group == GroupX25519MLKEM768 && slices.Contains(cfg.Groups, GroupX25519) {
		o.shares = append(o.shares, ephemeral{group: GroupX25519, ecdh: first.ecdh})
	}
	for _, k := range o.shares {
		o.hello.extensions.keyShares = append(o.hello.extensions.keyShares, k.share())
	}
	return nil
}

// sendHello sends the current ClientHello, whether it is the first one or a later one.
func (o *offer) sendHello(h *handshake) error {
	body, err := o.hello.marshal()
	if err != nil {
		return fatal(AlertInternalError, "ClientHello: %w", err)
	}
	if err := o.bind(h, body); err != nil {
		return err
	}
	o.sent = h.send(typeClientHello, body)
	return nil
}

// handle handles the server's answer to a ClientHello. If the answer is not a
// HelloVerifyRequest, it determines the version.
func (h *client) handle(now time.Time, m message) error {
	switch {
	case m.typ != typeHelloVerifyRequest || m.epoch != 0 || h.cookies == maxCookies:
	case h.cfg.speaks(VersionDTLS12):
		return h.answerCookie(m.body)
	case h.cfg.Strict:
		return fatal(AlertProtocolVersion, "server chose version 1.2")
	}
	if err := expect(m, typeServerHello, 0); err != nil {
		return err
	}
	sh, err := parseServerHello(m.body)
	if err != nil {
		return err
	}
	newer := sh.extensions.has(extSupportedVersions)
	switch {
	case newer && h.cookies > 0:
		// RFC 9147 §5.3: only servers of DTLS 1.2 send a HelloVerifyRequest.
		return fatal(AlertIllegalParameter, "server chose a version with supported_versions after a HelloVerifyRequest")
	case !newer || !h.cfg.speaks(VersionDTLS13):
		return h.chose12(&sh, m)
	}
	next := &client13{handshake13: handshake13{handshake: h.handshake}, offer: h.offer}
	if err := next.serverHello(&sh, m); err != nil {
		return err
	}
	h.role = next
	return nil
}

// answerCookie sends the ClientHello again, with the cookie of a HelloVerifyRequest.
func (h *client) answerCookie(body []byte) error {
	cookie, err := parseHelloVerifyRequest(body)
	if err != nil {
		return err
	}
	h.cookies++
	h.hello.cookie = cookie
	return h.sendHello(h.handshake)
}

// chose12 takes a ServerHello that chose DTLS 1.2.
func (h *client) chose12(sh *serverHello, m message) error {
	if sh.version != VersionDTLS12 || sh.extensions.has(extSupportedVersions) || !h.cfg.speaks(VersionDTLS12) {
		return fatal(AlertProtocolVersion, "server chose version %v", sh.version)
	}
	// RFC 8446 §4.1.3: a server that speaks 1.3 but chooses 1.2 says so in its
	// random. An honest server would have chosen 1.3, so the ClientHello that it
	// received was changed on the way.
	if end := string(sh.random[24:]); h.cfg.speaks(VersionDTLS13) && (end == downgradeTo12 || end == downgradeTo11) {
		return fatal(AlertIllegalParameter, "an attacker has changed the version")
	}
	next := &client12{handshake12: handshake12{handshake: h.handshake}, offer: h.offer}
	if err := next.serverHello(sh, m); err != nil {
		return err
	}
	h.role = next
	return nil
}

// anotherCookie reports whether f is a HelloVerifyRequest with another cookie than the
// one that the client has already answered. Both have the same message_seq, and
// neither is authentic, so the first one may be forged. A server that keeps no state
// answers each ClientHello without a valid cookie with a HelloVerifyRequest under the
// same message_seq.
func (h *client) anotherCookie(f fragment) bool {
	if h.cookies == 0 || h.cookies >= maxCookies || f.typ != typeHelloVerifyRequest || len(f.data) != f.length {
		return false
	}
	cookie, err := parseHelloVerifyRequest(f.data)
	return err == nil && !slices.Equal(cookie, h.hello.cookie)
}

// acceptProtocols handles the server's choices for ALPN and use_srtp, its
// record_size_limit and its external_session_id.
func (h *handshake) acceptProtocols(e *helloExtensions) error {
	if e.has(extALPN) {
		// RFC 7301 §3.1: the server chooses exactly one of the protocols that the
		// client offered.
		if len(e.alpn) != 1 || !slices.Contains(h.cfg.ALPN, e.alpn[0]) {
			return fatal(AlertIllegalParameter, "server chose protocols %q", e.alpn)
		}
		h.agreed.ALPN = e.alpn[0]
	}
	if e.has(extUseSRTP) {
		if len(e.srtpProfiles) != 1 || !slices.Contains(h.cfg.SRTPProfiles, e.srtpProfiles[0]) {
			return fatal(AlertIllegalParameter, "server chose SRTP profiles %v", e.srtpProfiles)
		}
		h.agreed.SRTPProfile = e.srtpProfiles[0]
	}
	if e.has(extRecordSizeLimit) {
		if err := h.agreed.acceptSizeLimit(e.sizeLimit); err != nil {
			return err
		}
	}
	return h.checkExternalSessionID(e)
}

// offered reports whether the ClientHello contained extension t. RFC 5246 §7.4.1.4: a
// server MUST NOT send an extension that the ClientHello did not contain.
func (h *handshake) offered(t extensionType) bool {
	switch t {
	case extExtendedMasterSecret, extRenegotiationInfo, extECPointFormats, extSupportedGroups:
		return true
	case extRecordSizeLimit:
		return h.agreed.ownLimit != 0
	case extConnectionID:
		return h.agreed.ConnectionID != nil
	case extExternalSessionID:
		return h.cfg.ExternalSessionID != ""
	case extSessionTicket:
		return h.cfg.Tickets
	case extServerName:
		return h.cfg.ServerName != ""
	case extALPN:
		return len(h.cfg.ALPN) > 0
	case extUseSRTP:
		return len(h.cfg.SRTPProfiles) > 0
	}
	return false
}
