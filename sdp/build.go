package sdp

import (
	"strconv"
	"strings"
)

// Params is what one end says of itself in a description.
type Params struct {
	Origin          Origin
	Mid             string // of the data section, in an offer that has no earlier one
	Ufrag, Pwd      string
	ICEOptions      []string
	ICELite         bool
	Candidates      []string // "candidate:…"
	EndOfCandidates bool
	Setup           Setup
	TLSID           string
	Fingerprints    []Fingerprint
	SCTPPort        int
	MaxMessageSize  int
	SCTPInit        string
}

// NewOrigin is the o= line of JSEP (RFC 8829 §5.2.1). The id has to be random
// and below 2^63.
func NewOrigin(id uint64, version uint64) Origin {
	return Origin{Username: "-", SessionID: strconv.FormatUint(id&(1<<63-1), 10), SessionVersion: version, Address: "IN IP4 127.0.0.1"}
}

// Offer is the text of an offer (RFC 8829 §5.2). earlier is the session whose
// sections must stay in place, in a later offer (§5.2.2): the last description
// of either end that was agreed on; nil at first.
func (p Params) Offer(earlier *Session) string {
	data := &Media{Proto: "UDP/DTLS/SCTP", Lines: []Line{{Type: 'a', Value: "mid:" + p.Mid}}}
	var sections []Media
	if earlier != nil {
		sections = earlier.Media
		if d, err := earlier.Data(); err == nil {
			data = &sections[d.Index]
		}
	}
	mid, _ := data.Attribute("mid")
	b := p.appendSession(make([]byte, 0, usualSize), mid)
	placed := false
	for i := range sections {
		if m := &sections[i]; m == data {
			b, placed = p.appendMedia(b, m), true
		} else {
			b = m.appendRejected(b)
		}
	}
	if !placed {
		b = p.appendMedia(b, data)
	}
	return string(b)
}

// Answer is the text of an answer to an offer (RFC 8829 §5.3), of which data is
// the view: its data section is taken, every other section is rejected, in the
// offer's order.
func (p Params) Answer(offer *Session, data *Data) string {
	bundle := ""
	// RFC 8829 §5.3.1: a group of the offer is answered with those of its
	// sections that were taken.
	if _, bundled := offer.bundleTag(data.Mid); bundled && !data.Rejected {
		bundle = data.Mid
	}
	b := p.appendSession(make([]byte, 0, usualSize), bundle)
	for i := range offer.Media {
		if m := &offer.Media[i]; i == data.Index && !data.Rejected {
			b = p.appendMedia(b, m)
		} else {
			b = m.appendRejected(b)
		}
	}
	return string(b)
}

// appendSession appends the part before the sections. bundle is the mid of the
// one in the bundle, empty where there is none.
func (p Params) appendSession(b []byte, bundle string) []byte {
	b = p.Origin.appendLines(b)
	b = appendLine(b, 's', "-")
	b = appendLine(b, 't', "0 0")
	if p.ICELite {
		b = appendAttribute(b, "ice-lite", "") // RFC 8839 §5.3: of the session
	}
	if bundle != "" {
		b = appendLine(b, 'a', "group:BUNDLE ", bundle)
	}
	return b
}

// appendMedia appends our data section, in the form and with the mid of like.
func (p Params) appendMedia(b []byte, like *Media) []byte {
	m := Media{Kind: "application", Port: 9, Proto: like.Proto, Formats: []string{"webrtc-datachannel"}}
	port := strconv.Itoa(p.SCTPPort)
	old := like.Proto == "DTLS/SCTP"
	if old {
		m.Formats[0] = port
	}
	b = m.appendHead(b)
	b = appendLine(b, 'c', "IN IP4 0.0.0.0")
	b = appendCandidates(b, p.Candidates, p.EndOfCandidates)
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
	if mid, ok := like.Attribute("mid"); ok {
		b = appendAttribute(b, "mid", mid)
	}
	if old {
		b = appendLine(b, 'a', "sctpmap:", port, " webrtc-datachannel 65535")
	} else {
		b = appendAttribute(b, "sctp-port", port)
	}
	b = appendAttribute(b, "max-message-size", strconv.Itoa(p.MaxMessageSize))
	if p.SCTPInit != "" {
		b = appendAttribute(b, "sctp-init", p.SCTPInit)
	}
	return b
}

// appendRejected appends a section with port zero in the place of m, which was
// offered (RFC 3264 §6). What its formats are does not matter any more; but
// werift, like browsers, reads them, and takes no answer without a codec it knows.
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

// WithCandidates is the text of the session whose section index has these
// candidates, and the end of candidates or not, in place of its own.
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
