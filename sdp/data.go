package sdp

import (
	"encoding/hex"
	"math"
	"strconv"
	"strings"
)

// Setup is the value of an a=setup line (RFC 4145 §4). It says which end begins the
// DTLS handshake.
type Setup string

const (
	SetupActPass  Setup = "actpass"
	SetupActive   Setup = "active"
	SetupPassive  Setup = "passive"
	SetupHoldConn Setup = "holdconn"
)

// A Fingerprint is the value of an a=fingerprint line (RFC 8122 §5).
type Fingerprint struct {
	Hash  string // in lower case, such as "sha-256"
	Value []byte
}

// String returns the value of the attribute, with upper-case hexadecimal digits
// (RFC 8122 §5).
func (f Fingerprint) String() string { return string(f.append(nil)) }

func (f Fingerprint) append(b []byte) []byte {
	const digits = "0123456789ABCDEF"
	b = append(b, f.Hash...)
	sep := byte(' ')
	for _, v := range f.Value {
		b = append(b, sep, digits[v>>4], digits[v&15])
		sep = ':'
	}
	return b
}

// DefaultMaxMessageSize is the maximum message size, in bytes, of an end with a
// description without a=max-message-size (RFC 8841 §6.1).
const DefaultMaxMessageSize = 65536

// Data contains what data channels need from a description: the data section, and the
// transport attributes that apply to it.
type Data struct {
	Index           int    // index of the data section; -1: the description has none
	Mid             string // mid of the data section (RFC 5888); empty: it has none
	Rejected        bool   // there are no data channels: there is no data section, or its port is 0 and it is not bundle-only
	OldSyntax       bool   // the syntax is that of the drafts: the m= line contains the SCTP port, as in "DTLS/SCTP 5000", and a=sctpmap the protocol
	Transport       int    // index of the section that contains the transport attributes below: the tagged section of the bundle (RFC 9143 §7.1.3)
	TransportMid    string // mid of that section; candidates are signalled with this mid
	ICELite         bool
	EndOfCandidates bool   // the candidates are complete (RFC 8840 §4.2)
	Ufrag, Pwd      string // RFC 8839 §5.4
	ICEOptions      []string
	Candidates      []string // values of the a=candidate attributes, with "candidate:" at the beginning; at most 1024
	MoreCandidates  int      // number of candidates that are not in Candidates because of its limit
	Setup           Setup    // empty: the description has no a=setup
	TLSID           string   // value of a=tls-id (RFC 8842 §4)
	Fingerprints    []Fingerprint
	SCTPPort        int    // value of a=sctp-port (RFC 8841 §5)
	MaxMessageSize  int    // in bytes; 0: no limit (RFC 8841 §6); DefaultMaxMessageSize if the attribute is absent
	SCTPInit        string // value of a=sctp-init (draft-hancke-tsvwg-snap); empty: the attribute is absent
}

// Limits that apply to each description.
const (
	maxCandidates   = 1024
	maxFingerprints = 16
)

// isData reports whether m is a section for data channels. It has the form of RFC 8841
// §4.1, or the form of a draft of that RFC, which old peers still write. The forms of
// the drafts have the SCTP port in place of "webrtc-datachannel", or lack "UDP/".
func (m *Media) isData() bool {
	if m.Kind != "application" || len(m.Formats) == 0 {
		return false
	}
	switch m.Proto {
	case "UDP/DTLS/SCTP", "TCP/DTLS/SCTP", "DTLS/SCTP":
		return m.Formats[0] == dataFormat || m.portFormat()
	}
	return false
}

const dataFormat = "webrtc-datachannel" // RFC 8841 §4.3

// portFormat reports whether the m= line contains the SCTP port.
func (m *Media) portFormat() bool { return digits(m.Formats[0]) }

func (m *Media) rejected() bool {
	_, bundleOnly := m.Attribute("bundle-only")
	return m.Port == 0 && !bundleOnly
}

// dataSection returns the index of the first data section that is not rejected. If all
// are rejected, it returns the index of the first one. If there is none, it returns
// -1.
func (s *Session) dataSection() int {
	index := -1
	for i := range s.Media {
		m := &s.Media[i]
		if !m.isData() {
			continue
		}
		if !m.rejected() {
			return i
		}
		if index < 0 {
			index = i
		}
	}
	return index
}

// Data returns the data of the first data section that is not rejected or, if all are
// rejected, of the first data section. Every error is a *SyntaxError.
func (s *Session) Data() (*Data, error) {
	d := &Data{Index: s.dataSection(), MaxMessageSize: DefaultMaxMessageSize, SCTPPort: 5000, Transport: -1, Rejected: true}
	if d.Index < 0 {
		return d, nil
	}
	m := &s.Media[d.Index]
	d.Mid, _ = m.Attribute("mid")
	d.OldSyntax = m.portFormat()
	d.Transport, d.TransportMid = d.Index, d.Mid
	if d.Rejected = m.rejected(); d.Rejected {
		return d, nil
	}
	if d.OldSyntax {
		port, err := strconv.ParseUint(m.Formats[0], 10, 16)
		if err != nil || port == 0 {
			return nil, syntaxError(m.line, 1, "SCTP port %q is not a number from 1 to 65535", head(m.Formats[0]))
		}
		d.SCTPPort = int(port)
	}
	d.Transport = s.transport(d.Index)
	tagged := &s.Media[d.Transport]
	d.TransportMid, _ = tagged.Attribute("mid")
	// A session-level attribute applies to every section that does not have the
	// attribute itself (RFC 8866 §6.1, RFC 8839 §5.4, RFC 8122 §5).
	for _, l := range s.Lines {
		if err := d.attribute(l, m); err != nil {
			return nil, err
		}
	}
	d.forget(tagged)
	for _, l := range tagged.Lines {
		if tagged == m || l.ofTransport() {
			if err := d.attribute(l, m); err != nil {
				return nil, err
			}
		}
	}
	if tagged != m {
		for _, l := range m.Lines {
			if !l.ofTransport() {
				if err := d.attribute(l, m); err != nil {
					return nil, err
				}
			}
		}
	}
	return d, d.complete(tagged)
}

// ofTransport reports whether l is an attribute that only the tagged section of a
// bundle contains: the attributes of category TRANSPORT in RFC 8859.
func (l Line) ofTransport() bool {
	switch name, _, _ := l.attribute(); name {
	case "ice-ufrag", "ice-pwd", "ice-options", "ice-lite", "candidate", "end-of-candidates", "fingerprint", "setup", "tls-id":
		return true
	}
	return false
}

// forget drops the session-level attributes that section m replaces by attributes of
// the same name.
func (d *Data) forget(m *Media) {
	if _, ok := m.Attribute("fingerprint"); ok {
		d.Fingerprints = nil
	}
	if _, ok := m.Attribute("candidate"); ok {
		d.Candidates, d.MoreCandidates = nil, 0
	}
}

func (d *Data) complete(m *Media) error {
	switch {
	case d.Ufrag == "":
		return syntaxError(m.line, 1, "no a=ice-ufrag for this section")
	case d.Pwd == "":
		return syntaxError(m.line, 1, "no a=ice-pwd for this section")
	case len(d.Fingerprints) == 0:
		return syntaxError(m.line, 1, "no a=fingerprint for this section")
	}
	return nil
}

// attribute handles one line of the session or of a section.
func (d *Data) attribute(l Line, m *Media) error {
	name, value, ok := l.attribute()
	if !ok {
		return nil
	}
	switch name {
	case "ice-ufrag":
		d.Ufrag = value
		return checkICEChars(l, "ice-ufrag", value, 4)
	case "ice-pwd":
		d.Pwd = value
		return checkICEChars(l, "ice-pwd", value, 22)
	case "ice-options":
		d.ICEOptions = strings.Fields(value)
	case "ice-lite":
		d.ICELite = true
	case "candidate":
		if len(d.Candidates) < maxCandidates {
			if value == "" {
				l.Value = "candidate:"
			}
			d.Candidates = append(d.Candidates, l.Value)
		} else {
			d.MoreCandidates++
		}
	case "end-of-candidates":
		d.EndOfCandidates = true
	case "setup":
		switch s := Setup(strings.ToLower(strings.TrimSpace(value))); s {
		case SetupActPass, SetupActive, SetupPassive, SetupHoldConn:
			d.Setup = s
		default:
			return syntaxError(int(l.line), l.column(), "setup is %q", head(value))
		}
	case "tls-id":
		d.TLSID = value
	case "fingerprint":
		f, err := parseFingerprint(l, value)
		if err != nil {
			return err
		}
		if len(d.Fingerprints) < maxFingerprints {
			d.Fingerprints = append(d.Fingerprints, f)
		}
	case "sctp-port":
		n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16)
		if err != nil || n == 0 {
			return syntaxError(int(l.line), l.column(), "SCTP port %q is not a number from 1 to 65535", head(value))
		}
		d.SCTPPort = int(n)
	case "max-message-size":
		return d.maxMessageSize(l, value)
	case "sctp-init":
		d.SCTPInit = value
	case "sctpmap":
		// An example is a=sctpmap:5000 webrtc-datachannel 1024, from the drafts of
		// RFC 8841.
		if app := strings.Fields(value); d.OldSyntax && (len(app) < 2 || app[0] != m.Formats[0] || app[1] != dataFormat) {
			return syntaxError(int(l.line), l.column(), "sctpmap is %q", head(value))
		}
	}
	return nil
}

func (d *Data) maxMessageSize(l Line, value string) error {
	value = strings.TrimSpace(value)
	if !digits(value) {
		return syntaxError(int(l.line), l.column(), "max-message-size %q is not a number", head(value))
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil || n > math.MaxInt32 {
		n = math.MaxInt32 // more than the size of any message; an int has 32 bits on some systems
	}
	d.MaxMessageSize = int(n)
	return nil
}

// checkICEChars checks the user name fragment or the password of ICE by RFC 8839
// §5.4. It has at most 256 characters, and at least the number in least, which is 4
// or 22. They are letters, digits, + and /. Some peers write -, _ and =, which are
// accepted, too.
func checkICEChars(l Line, name, value string, least int) error {
	if len(value) < least || len(value) > 256 {
		return syntaxError(int(l.line), l.column(), "%s has %d characters, not %d to 256", name, len(value), least)
	}
	for i := range len(value) {
		if c := value[i]; c <= ' ' || c > '~' || c == ':' {
			return syntaxError(int(l.line), l.column()+i, "%s has a character %q", name, c)
		}
	}
	return nil
}

func parseFingerprint(l Line, value string) (Fingerprint, error) {
	f := appendFields(make([]field, 0, usualFields), value)
	if len(f) != 2 {
		return Fingerprint{}, syntaxError(int(l.line), l.column(), "fingerprint has %d fields, not a hash's name and its value", len(f))
	}
	b, ok := colonHex(f[1].text)
	if !ok {
		return Fingerprint{}, syntaxError(int(l.line), l.column()+f[1].column-1, "fingerprint is not hexadecimal bytes with colons between: %q", head(f[1].text))
	}
	return Fingerprint{Hash: strings.ToLower(f[0].text), Value: b}, nil
}

// colonHex parses bytes that are written as two hexadecimal digits each, separated by
// colons.
func colonHex(s string) (b []byte, ok bool) {
	if len(s)%3 != 2 {
		return nil, false
	}
	b = make([]byte, (len(s)+1)/3)
	for i := range b {
		if i > 0 && s[3*i-1] != ':' {
			return nil, false
		}
		if _, err := hex.Decode(b[i:i+1], []byte(s[3*i:3*i+2])); err != nil {
			return nil, false
		}
	}
	return b, true
}
