package dtls

import (
	"slices"
	"strings"
	"time"
)

// A server is the server's side of the handshake until the server has chosen the
// version. It chooses the version when it has received a complete ClientHello.
type server struct{ *handshake }

func (h *server) handle(now time.Time, m message) error {
	hello, err := h.readClientHello(m)
	if err != nil {
		return err
	}
	// RFC 8446 §4.2.1: if the extension supported_versions is present, only it
	// determines the versions.
	offers := hello.extensions.versions
	if offers == nil && !VersionDTLS12.newer(hello.version) {
		offers = []Version{VersionDTLS12}
	}
	switch {
	case slices.Contains(offers, VersionDTLS13) && h.cfg.speaks(VersionDTLS13):
		next := &server13{handshake13: handshake13{handshake: h.handshake}}
		if err := next.firstHello(now, hello, m); err != nil {
			return err
		}
		h.role = next
		return nil
	case slices.Contains(offers, VersionDTLS12) && h.cfg.speaks(VersionDTLS12):
		next := &server12{handshake12: handshake12{handshake: h.handshake}, hello: hello}
		if err := next.clientHello(now, m); err != nil {
			return err
		}
		h.role = next
		return nil
	}
	if offers == nil {
		offers = []Version{hello.version}
	}
	return fatal(AlertProtocolVersion, "client offers versions %v, the server speaks %v to %v", offers, h.cfg.MinVersion, h.cfg.MaxVersion)
}

// readClientHello parses a ClientHello in the same way for all versions.
func (h *handshake) readClientHello(m message) (*clientHello, error) {
	if err := expect(m, typeClientHello, 0); err != nil {
		return nil, err
	}
	hello, err := parseClientHello(m.body)
	if err != nil {
		return nil, err
	}
	if hello.extensions.has(extQUIC) {
		return nil, fatal(AlertUnsupportedExtension, "client sends transport parameters of QUIC") // RFC 9001 §8.2 requires this alert
	}
	h.agreed.ServerName = hello.extensions.serverName
	return &hello, nil
}

// acknowledgesName reports whether the server confirms the client's server_name
// (RFC 6066 §3). It confirms the name only if the name is Config.ServerName, and not in a
// resumed session. Some clients, such as pion before 3.2, send an invented name and
// fail if it is confirmed.
func (h *handshake) acknowledgesName() bool {
	return h.cfg.ServerName != "" && strings.EqualFold(h.agreed.ServerName, h.cfg.ServerName) && !h.agreed.Resumed
}

// chooseProtocols sets the server's answers to ALPN, use_srtp, record_size_limit and
// external_session_id. e are the client's extensions.
func (h *handshake) chooseProtocols(e, answer *helloExtensions) (err error) {
	if e.alpn != nil && len(h.cfg.ALPN) > 0 {
		i := slices.IndexFunc(h.cfg.ALPN, func(p string) bool { return slices.Contains(e.alpn, p) })
		if i < 0 {
			// RFC 7301 §3.2 requires this alert if no protocol is in common.
			return fatal(AlertNoApplicationProtocol, "no protocol in common; client offers %q", e.alpn)
		}
		h.agreed.ALPN = h.cfg.ALPN[i]
		answer.alpn = []string{h.agreed.ALPN}
	}
	for _, p := range h.cfg.SRTPProfiles {
		if slices.Contains(e.srtpProfiles, p) {
			h.agreed.SRTPProfile = p
			answer.srtpProfiles = []uint16{p}
			break
		}
	}
	if e.has(extRecordSizeLimit) {
		if answer.sizeLimit, err = h.agreed.chooseSizeLimit(e.sizeLimit); err != nil {
			return err
		}
	}
	if id := h.cfg.ExternalSessionID; id != "" && e.has(extExternalSessionID) {
		answer.externalSessionID = []byte(id)
	}
	return h.checkExternalSessionID(e)
}
