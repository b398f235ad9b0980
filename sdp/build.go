package sdp

import (
	"slices"
	"strconv"
	"strings"
)

// Params contains the parts of a description that the local end chooses.
type Params struct {
	Origin          Origin
	Mid             string // mid of the data section in an offer, if there is no earlier description with a data section
	Ufrag, Pwd      string
	ICEOptions      []string
	ICELite         bool
	Candidates      []string // values such as "candidate:…"
	EndOfCandidates bool
	Setup           Setup
	TLSID           string
	Fingerprints    []Fingerprint
	SCTPPort        int
	MaxMessageSize  int
	SCTPInit        string
}

// NewOrigin returns an o= line as JSEP specifies it (RFC 8829 §5.2.1). The id should
// be random and must be below 2^63.
func NewOrigin(id uint64, version uint64) Origin {
	return Origin{Username: "-", SessionID: strconv.FormatUint(id&(1<<63-1), 10), SessionVersion: strconv.FormatUint(version, 10), Address: "IN IP4 127.0.0.1"}
}

// Offer returns the text of an offer (RFC 8829 §5.2). local and remote are the
// sessions that the two ends most recently agreed on; nil: there are none yet. A later
// offer keeps their sections in the same order (§5.2.2). A media section remains
// accepted as inactive if both sessions have it in the bundle of the data section.
// Otherwise it is rejected.
func (p Params) Offer(local, remote *Session) string {
	data := &Media{Proto: "UDP/DTLS/SCTP", Formats: []string{dataFormat}, Lines: []Line{{Type: 'a', Value: "mid:" + p.Mid}}}
	sections, bundle := []Media(nil), bundle(nil)
	if local != nil {
		sections = local.Media
		i := local.dataSection()
		if i >= 0 {
			data = &sections[i]
			bundle = local.bundle(i)
		} else {
			data.Lines[0].Value = "mid:" + local.unusedMid(p.Mid)
		}
		if j := -1; remote != nil {
			if i >= 0 {
				j = remote.dataSection()
			}
			bundle = bundle.both(remote.bundle(j))
		}
	}
	mid, _ := data.Attribute("mid")
	mids := []string{mid}
	if len(bundle) > 1 {
		mids = bundle.mids(sections)
	}
	b := p.appendSession(make([]byte, 0, usualSize), mids)
	placed := false
	for i := range sections {
		tagged := len(bundle) > 0 && bundle[0] == i
		switch m := &sections[i]; {
		case m == data:
			b, placed = p.appendData(b, m, tagged || len(bundle) < 2), true
		case slices.Contains(bundle, i):
			b = p.appendInactive(b, m, tagged)
		default:
			b = m.appendRejected(b)
		}
	}
	if !placed {
		b = p.appendData(b, data, true)
	}
	return string(b)
}

// Answer returns the text of an answer to an offer (RFC 8829 §5.3). data is the
// result of the offer's method Data. The data section is accepted. The media sections
// in its bundle are accepted as inactive: Chromium refuses an answer that takes the
// data section out of a bundle with media, although RFC 9143 §7.3.3 allows that. All
// other sections are rejected.
func (p Params) Answer(offer *Session, data *Data) string {
	var bundle bundle
	var mids []string
	if !data.Rejected {
		bundle = offer.bundle(data.Index)
		// RFC 8829 §5.3.1: the answer contains the group of the offer, with the mids
		// of the accepted sections.
		if offer.bundled(data.Mid) {
			mids = bundle.mids(offer.Media)
		}
	}
	b := p.appendSession(make([]byte, 0, usualSize), mids)
	for i := range offer.Media {
		switch m := &offer.Media[i]; {
		case !slices.Contains(bundle, i):
			b = m.appendRejected(b)
		case i == data.Index:
			b = p.appendData(b, m, i == bundle[0])
		default:
			b = p.appendInactive(b, m, i == bundle[0])
		}
	}
	return string(b)
}

// unusedMid returns mid or, if a section already has this mid, a number that no
// section has as its mid.
func (s *Session) unusedMid(mid string) string {
	used := map[string]bool{}
	for i := range s.Media {
		m, _ := s.Media[i].Attribute("mid")
		used[m] = true
	}
	for n := 0; used[mid]; n++ {
		mid = strconv.Itoa(n)
	}
	return mid
}

// appendSession appends the session-level lines. mids are the mids of the sections in
// the bundle; empty: no group is written.
func (p Params) appendSession(b []byte, mids []string) []byte {
	b = p.Origin.appendLines(b)
	b = appendLine(b, 's', "-")
	b = appendLine(b, 't', "0 0")
	if p.ICELite {
		b = appendAttribute(b, "ice-lite", "") // RFC 8839 §5.3: a session-level attribute
	}
	if group := strings.Join(mids, " "); group != "" {
		b = appendLine(b, 'a', "group:BUNDLE ", group)
	}
	return b
}

// appendData appends the local data section, with the form and the mid of the section
// like. tagged says that the local section is the tagged section of its bundle, which
// contains the candidates.
func (p Params) appendData(b []byte, like *Media, tagged bool) []byte {
	m := Media{Kind: "application", Port: 9, Proto: like.Proto, Formats: []string{dataFormat}}
	port := strconv.Itoa(p.SCTPPort)
	old := like.portFormat()
	if old {
		m.Formats[0] = port
	}
	b = p.appendTransport(m.appendHead(b), tagged)
	if mid, ok := like.Attribute("mid"); ok {
		b = appendAttribute(b, "mid", mid)
	}
	if old {
		b = appendLine(b, 'a', "sctpmap:", port, " ", dataFormat, " 65535")
	} else {
		b = appendAttribute(b, "sctp-port", port)
	}
	b = appendAttribute(b, "max-message-size", strconv.Itoa(p.MaxMessageSize))
	if p.SCTPInit != "" {
		b = appendAttribute(b, "sctp-init", p.SCTPInit)
	}
	return b
}

// appendInactive appends a media section that accepts the section like as inactive,
// with one of its codecs. Such a section stays in the bundle and carries no media.
func (p Params) appendInactive(b []byte, like *Media, tagged bool) []byte {
	codec := like.codec()
	m := Media{Kind: like.Kind, Port: 9, Proto: like.Proto, Formats: []string{codec}}
	b = p.appendTransport(m.appendHead(b), tagged)
	mid, _ := like.Attribute("mid")
	b = appendAttribute(b, "mid", mid)
	b = appendAttribute(b, "inactive", "")
	b = appendAttribute(b, "rtcp-mux", "") // RFC 9143 §9.3 requires rtcp-mux
	for _, l := range like.Lines {
		if name, value, ok := l.attribute(); ok && (name == "rtpmap" || name == "fmtp") && strings.HasPrefix(value, codec+" ") {
			b = appendAttribute(b, name, value)
		}
	}
	return b
}

// appendTransport appends the transport attributes. Browsers repeat them in every
// section of a bundle, except the candidates, which only the tagged section contains.
func (p Params) appendTransport(b []byte, tagged bool) []byte {
	b = appendLine(b, 'c', "IN IP4 0.0.0.0")
	if tagged {
		b = appendCandidates(b, p.Candidates, p.EndOfCandidates)
	}
	b = appendAttribute(b, "ice-ufrag", p.Ufrag)
	b = appendAttribute(b, "ice-pwd", p.Pwd)
	if len(p.ICEOptions) > 0 {
		b = appendAttribute(b, "ice-options", strings.Join(p.ICEOptions, " "))
	}
	for _, f := range p.Fingerprints {
		b = append(f.append(append(b, "a=fingerprint:"...)), "\r\n"...)
	}
	b = appendAttribute(b, "setup", string(p.Setup))
	if p.TLSID != "" {
		b = appendAttribute(b, "tls-id", p.TLSID)
	}
	return b
}

// appendRejected appends a section with port zero, which rejects the offered section m
// (RFC 3264 §6). The formats in a rejected section have no meaning. But browsers and
// werift read them, and werift accepts no answer that has no codec known to it.
func (m *Media) appendRejected(b []byte) []byte {
	rejected := Media{Kind: m.Kind, Proto: m.Proto, Formats: m.Formats}
	b = appendLine(rejected.appendHead(b), 'c', "IN IP4 0.0.0.0")
	if mid, ok := m.Attribute("mid"); ok {
		b = appendAttribute(b, "mid", mid)
	}
	b = appendAttribute(b, "inactive", "")
	for _, l := range m.Lines {
		if name, value, ok := l.attribute(); ok && name == "rtpmap" {
			b = appendAttribute(b, name, value)
		}
	}
	return b
}

// WithCandidates returns the text of the session, in which candidates replace the
// candidates of the section with this index. If end is set, the text says that there
// are no further candidates (a=end-of-candidates).
func (s *Session) WithCandidates(index int, candidates []string, end bool) string {
	b := s.appendHead(make([]byte, 0, usualSize))
	for i := range s.Media {
		m := &s.Media[i]
		b = m.appendHead(b)
		for _, l := range m.Lines {
			name, _, _ := l.attribute()
			if i != index || name != "candidate" && name != "end-of-candidates" {
				b = appendLine(b, l.Type, l.Value)
			}
		}
		if i == index {
			b = appendCandidates(b, candidates, end)
		}
	}
	return string(b)
}

func appendCandidates(b []byte, candidates []string, end bool) []byte {
	for _, c := range candidates {
		b = appendLine(b, 'a', c)
	}
	if end {
		b = appendAttribute(b, "end-of-candidates", "")
	}
	return b
}
