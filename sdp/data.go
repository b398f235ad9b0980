package sdp

import (
	"encoding/hex"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Setup is the value of an a=setup line (RFC 4145 §4): who begins the DTLS
// handshake.
type Setup string

const (
	SetupActPass  Setup = "actpass"
	SetupActive   Setup = "active"
	SetupPassive  Setup = "passive"
	SetupHoldConn Setup = "holdconn"
)

// A Fingerprint is an a=fingerprint line (RFC 8122 §5).
type Fingerprint struct {
	Hash  string // lower case: "sha-256"
	Value []byte
}

// String is the fingerprint as an attribute's value, in the upper-case
// hexadecimal that RFC 8122 §5 demands.
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

// DefaultMaxMessageSize is what a description without a=max-message-size
// means (RFC 8841 §6.1).
const DefaultMaxMessageSize = 65536

// Data is a description as data channels see it.
type Data struct {
	Index           int    // of the media section
	Mid             string // RFC 5888; empty if the description has none
	Rejected        bool   // port 0, and not for bundling: there are no data channels
	OldSyntax       bool   // the section is of the form "DTLS/SCTP 5000" with a=sctpmap
	ICELite         bool
	EndOfCandidates bool   // RFC 8840 §4.2
	Ufrag, Pwd      string // RFC 8839 §5.4
	ICEOptions      []string
	Candidates      []string // the attributes' values, "candidate:" included; at most 1024
	MoreCandidates  int      // how many there are beyond
	Setup           Setup    // empty where the description says nothing
	TLSID           string   // RFC 8842 §4
	Fingerprints    []Fingerprint
	SCTPPort        int    // RFC 8841 §5
	MaxMessageSize  int    // bytes; 0: no limit (RFC 8841 §6); DefaultMaxMessageSize where absent
	SCTPInit        string // a=sctp-init of draft-hancke-tsvwg-snap; empty if absent
}

// limits on what is taken from one description.
const (
	maxCandidates   = 1024
	maxFingerprints = 16
)

// isData tells whether a section is one of data channels, in the form of
// RFC 8841 §4.1 or in that of its drafts, which old peers still write.
func (m *Media) isData() bool {
	if m.Kind != "application" {
		return false
	}
	switch m.Proto {
	case "UDP/DTLS/SCTP", "TCP/DTLS/SCTP":
		return len(m.Formats) > 0 && m.Formats[0] == "webrtc-datachannel"
	case "DTLS/SCTP":
		return len(m.Formats) > 0
	}
	return false
}

func (m *Media) rejected() bool {
	_, bundleOnly := m.Attribute("bundle-only")
	return m.Port == 0 && !bundleOnly
}

// Data returns the view of the first section of data channels that is not
// rejected, or else of the first that there is. Without any the error, like
// all of its errors, is a *SyntaxError.
func (s *Session) Data() (*Data, error) {
	index := -1
	for i := range s.Media {
		m := &s.Media[i]
		if !m.isData() {
			continue
		}
		open := !m.rejected() // which reads all its lines: once for each section
		if index < 0 || open {
			index = i
		}
		if open {
			break
		}
	}
	if index < 0 {
		return nil, syntaxError(1, 1, "no data channel section (m=application … webrtc-datachannel)")
	}
	m := &s.Media[index]
	d := &Data{Index: index, MaxMessageSize: DefaultMaxMessageSize, SCTPPort: 5000, Rejected: m.rejected(), OldSyntax: m.Proto == "DTLS/SCTP"}
	d.Mid, _ = m.Attribute("mid")
	if d.Rejected {
		return d, nil
	}
	if d.OldSyntax {
		port, err := strconv.ParseUint(m.Formats[0], 10, 16)
		if err != nil || port == 0 {
			return nil, syntaxError(m.line, 1, "SCTP port %q is not a number from 1 to 65535", head(m.Formats[0]))
		}
		d.SCTPPort = int(port)
	}
	// A session-level attribute holds for every section that has none itself
	// (RFC 8866 §6.1, RFC 8839 §5.4, RFC 8122 §5).
	for _, l := range s.Lines {
		if err := d.attribute(l, m); err != nil {
			return nil, err
		}
	}
	d.forget(m)
	for _, l := range m.Lines {
		if err := d.attribute(l, m); err != nil {
			return nil, err
		}
	}
	if d.Ufrag == "" || d.Pwd == "" || len(d.Fingerprints) == 0 {
		if err := d.borrow(s, m); err != nil {
			return nil, err
		}
	}
	return d, d.complete(m)
}

// borrow takes the transport's attributes from the first section of the
// section's bundle, where alone they need to be (RFC 9143 §7.1.3).
func (d *Data) borrow(s *Session, m *Media) error {
	tag, ok := s.bundleTag(d.Mid)
	if !ok || tag == d.Mid {
		return nil
	}
	for i := range s.Media {
		if mid, _ := s.Media[i].Attribute("mid"); mid != tag {
			continue
		}
		for _, l := range s.Media[i].Lines {
			switch name, _, _ := l.attribute(); name {
			case "ice-ufrag", "ice-pwd", "ice-options", "candidate", "end-of-candidates", "fingerprint", "setup", "tls-id":
				if err := d.attribute(l, m); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return nil
}

// bundleTag is the first mid of the BUNDLE group that has this mid.
func (s *Session) bundleTag(mid string) (tag string, ok bool) {
	for _, l := range s.Lines {
		if name, value, ok := l.attribute(); ok && name == "group" {
			f := strings.Fields(value)
			if len(f) > 1 && f[0] == "BUNDLE" && slices.Contains(f[1:], mid) {
				return f[1], true
			}
		}
	}
	return "", false
}

// forget drops what session-level attributes said, where the section has its
// own.
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

// attribute takes one line of the session or of the section into the view.
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
		switch s := Setup(strings.TrimSpace(value)); s {
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
		// a=sctpmap:5000 webrtc-datachannel 1024, of the drafts before RFC 8841.
		if app := strings.Fields(value); d.OldSyntax && (len(app) < 2 || app[0] != m.Formats[0] || app[1] != "webrtc-datachannel") {
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
		n = math.MaxInt32 // more than anybody sends; the type is an int everywhere
	}
	d.MaxMessageSize = int(n)
	return nil
}

// checkICEChars holds ufrag and password to RFC 8839 §5.4: 4 (22) to 256
// characters of letters, digits, + and /. Some peers write - and _ and =, and
// nothing breaks by them.
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

// colonHex reads bytes of two hexadecimal digits each with colons between.
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
