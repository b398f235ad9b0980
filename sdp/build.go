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

// Offer makes an offer (RFC 8829 §5.2). earlier is the session whose sections
// must stay in place, in a later offer (§5.2.2): the last description of
// either end that was agreed on; nil at first.
func (p Params) Offer(earlier *Session) *Session {
	s := p.session()
	data := -1
	if earlier != nil {
		if d, err := earlier.Data(); err == nil {
			data = d.Index
		}
		for i := range earlier.Media {
			if i == data {
				s.Media = append(s.Media, p.media(&earlier.Media[i]))
			} else {
				s.Media = append(s.Media, reject(&earlier.Media[i]))
			}
		}
	}
	if data < 0 {
		data = len(s.Media)
		s.Media = append(s.Media, p.media(&Media{Proto: "UDP/DTLS/SCTP", Lines: []Line{attributeLine("mid", p.Mid)}}))
	}
	if mid, ok := s.Media[data].Attribute("mid"); ok && mid != "" {
		s.Lines = append(s.Lines, attributeLine("group", "BUNDLE "+mid))
	}
	return s
}

// Answer makes an answer to an offer (RFC 8829 §5.3): its data section is
// taken, every other section is rejected, in the offer's order.
func (p Params) Answer(offer *Session) (*Session, error) {
	d, err := offer.Data()
	if err != nil {
		return nil, err
	}
	s := p.session()
	for i := range offer.Media {
		if i == d.Index && !d.Rejected {
			s.Media = append(s.Media, p.media(&offer.Media[i]))
		} else {
			s.Media = append(s.Media, reject(&offer.Media[i]))
		}
	}
	// RFC 8829 §5.3.1: a group of the offer is answered with those of its
	// sections that were taken.
	if _, bundled := offer.bundleTag(d.Mid); bundled && !d.Rejected {
		s.Lines = append(s.Lines, attributeLine("group", "BUNDLE "+d.Mid))
	}
	return s, nil
}

// session is the part before the sections.
func (p Params) session() *Session {
	s := &Session{Origin: p.Origin, Lines: []Line{{Type: 's', Value: "-"}, {Type: 't', Value: "0 0"}}}
	if p.ICELite {
		s.Lines = append(s.Lines, attributeLine("ice-lite", "")) // RFC 8839 §5.3: of the session
	}
	return s
}

// media is our data section, in the form and with the mid of like.
func (p Params) media(like *Media) Media {
	m := Media{Kind: "application", Port: 9, Proto: like.Proto, Formats: []string{"webrtc-datachannel"}, Lines: make([]Line, 0, usualLines+len(p.Candidates))}
	port := strconv.Itoa(p.SCTPPort)
	old := like.Proto == "DTLS/SCTP"
	if old {
		m.Formats = []string{port}
	}
	m.Lines = append(m.Lines, Line{Type: 'c', Value: "IN IP4 0.0.0.0"})
	for _, c := range p.Candidates {
		m.Lines = append(m.Lines, Line{Type: 'a', Value: c})
	}
	if p.EndOfCandidates {
		m.AddAttribute("end-of-candidates", "")
	}
	m.AddAttribute("ice-ufrag", p.Ufrag)
	m.AddAttribute("ice-pwd", p.Pwd)
	if len(p.ICEOptions) > 0 {
		m.AddAttribute("ice-options", strings.Join(p.ICEOptions, " "))
	}
	for _, f := range p.Fingerprints {
		m.AddAttribute("fingerprint", f.String())
	}
	m.AddAttribute("setup", string(p.Setup))
	if p.TLSID != "" {
		m.AddAttribute("tls-id", p.TLSID)
	}
	if mid, ok := like.Attribute("mid"); ok {
		m.AddAttribute("mid", mid)
	}
	if old {
		m.AddAttribute("sctpmap", port+" webrtc-datachannel 65535")
	} else {
		m.AddAttribute("sctp-port", port)
	}
	m.AddAttribute("max-message-size", strconv.Itoa(p.MaxMessageSize))
	if p.SCTPInit != "" {
		m.AddAttribute("sctp-init", p.SCTPInit)
	}
	return m
}

// reject is a section with port zero in the place of an offered one
// (RFC 3264 §6).
func reject(offered *Media) Media {
	m := Media{Kind: offered.Kind, Proto: offered.Proto, Formats: offered.Formats}
	m.Lines = append(m.Lines, Line{Type: 'c', Value: "IN IP4 0.0.0.0"})
	if mid, ok := offered.Attribute("mid"); ok {
		m.AddAttribute("mid", mid)
	}
	m.AddAttribute("inactive", "")
	return m
}

// WithCandidates returns a copy of the session whose section index has these
// candidates, and the end of candidates or not, in place of its own.
func (s *Session) WithCandidates(index int, candidates []string, end bool) *Session {
	out := *s
	out.Media = append([]Media(nil), s.Media...)
	m := &out.Media[index]
	lines := make([]Line, 0, len(m.Lines)+len(candidates)+1)
	for _, l := range m.Lines {
		name, _, _ := l.attribute()
		if name != "candidate" && name != "end-of-candidates" {
			lines = append(lines, l)
		}
	}
	m.Lines = lines
	for _, c := range candidates {
		m.Lines = append(m.Lines, Line{Type: 'a', Value: c})
	}
	if end {
		m.AddAttribute("end-of-candidates", "")
	}
	return &out
}
