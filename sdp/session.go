package sdp

import (
	"fmt"
	"strconv"
	"strings"
)

// MaxSize is the maximum length in bytes of a description that Parse accepts.
// Descriptions from browsers have a few kilobytes. With many media sections they have
// a few hundred kilobytes.
const MaxSize = 1 << 20

// MaxMedia is the maximum number of media sections that Parse accepts.
const MaxMedia = 1024

// A Session is a session description (RFC 8866 §5). It contains the session-level
// lines and the media sections, in order.
type Session struct {
	Origin Origin
	Lines  []Line // the session-level lines in order, except v= and o=
	Media  []Media
}

// A Media is a media section (RFC 8866 §5.14).
type Media struct {
	Kind    string // such as "application", "audio" or "video"
	Port    int    // 0: the section is rejected or bundle-only (RFC 9143 §6)
	Proto   string // such as "UDP/DTLS/SCTP"
	Formats []string
	Lines   []Line // the lines after the m= line, in order
	line    int    // number of the m= line, for error messages
}

// A Line is one line of a description. It consists of the type and the text after the
// "=".
type Line struct {
	Value string
	line  int32
	Type  byte
}

// An Origin is the content of an o= line (RFC 8866 §5.2).
type Origin struct {
	Username       string
	SessionID      string // decimal digits
	SessionVersion string // decimal digits
	Address        string // such as "IN IP4 127.0.0.1"
}

// A SyntaxError says where a description is wrong. The first line is line 1, and the
// first byte of a line is column 1.
type SyntaxError struct {
	Line, Column int
	Problem      string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("sdp: line %d column %d: %s", e.Line, e.Column, e.Problem)
}

func syntaxError(line, column int, format string, args ...any) error {
	return &SyntaxError{Line: line, Column: column, Problem: fmt.Sprintf(format, args...)}
}

// Parse parses a description. Lines may end in CRLF or LF (RFC 8866 §5). Unknown
// types and attributes are kept, and the lines within a section may have any order.
// Every error is a *SyntaxError.
func Parse(text string) (*Session, error) {
	if len(text) > MaxSize {
		return nil, syntaxError(1, 1, "description of %d bytes is longer than %d", len(text), MaxSize)
	}
	s := &Session{}
	p := parser{session: s}
	if n := strings.Count(text, "\n") - 3; n > 0 { // the number of lines, without v=, o= and m=
		p.lines = make([]Line, 0, min(n, usualLines))
	}
	number := 0
	for len(text) > 0 {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		number++
		line = strings.TrimRight(line, "\r") // signalling that handles descriptions as text may have doubled the CR
		if line == "" {
			continue // some signalling adds empty lines or doubles line ends
		}
		if err := p.line(number, line); err != nil {
			return nil, err
		}
	}
	p.endSection()
	if !p.version {
		return nil, syntaxError(1, 1, "no v= line")
	}
	if !p.origin {
		return nil, syntaxError(number, 1, "no o= line")
	}
	return s, nil
}

// usualLines is a number of lines that is larger than that of most descriptions of
// data channels.
const usualLines = 64

type parser struct {
	session         *Session
	version, origin bool
	lines           []Line // lines of all sections, in order
	section         int    // index in lines at which the current section begins
}

func (p *parser) line(number int, line string) error {
	if len(line) < 2 || line[1] != '=' || line[0] < 'a' || line[0] > 'z' {
		return syntaxError(number, 1, "want a letter and \"=\", have %q", head(line))
	}
	// RFC 8866 §9: a byte-string contains no NUL and no CR.
	if i := strings.IndexAny(line, "\x00\r"); i >= 0 {
		return syntaxError(number, i+1, "a byte %q within the line", line[i])
	}
	typ, value := line[0], line[2:]
	if !p.version {
		// RFC 8866 §5: the first line is the version.
		if typ != 'v' {
			return syntaxError(number, 1, "want v=0 first, have %q", head(line))
		}
		if strings.TrimSpace(value) != "0" {
			return syntaxError(number, 3, "version is %q, not 0", head(value))
		}
		p.version = true
		return nil
	}
	s := p.session
	switch {
	case typ == 'm':
		p.endSection()
		if len(s.Media) == MaxMedia {
			return syntaxError(number, 1, "more than %d media sections", MaxMedia)
		}
		m, err := parseMedia(number, value)
		if err != nil {
			return err
		}
		s.Media = append(s.Media, m)
	case typ == 'o' && !p.origin && len(s.Media) == 0:
		o, err := parseOrigin(number, value)
		if err != nil {
			return err
		}
		s.Origin, p.origin = o, true
	default:
		p.lines = append(p.lines, Line{value, int32(number), typ})
	}
	return nil
}

// endSection assigns the lines since the last call to the current section or, before
// the first section, to the session.
func (p *parser) endSection() {
	s, end := p.session, len(p.lines)
	lines := p.lines[p.section:end:end]
	p.section = end
	if n := len(s.Media); n > 0 {
		s.Media[n-1].Lines = lines
	} else {
		s.Lines = lines
	}
}

// parseOrigin parses the value of an o= line: o=<username> <sess-id> <sess-version>
// <nettype> <addrtype> <unicast-address>.
func parseOrigin(number int, value string) (Origin, error) {
	f := appendFields(make([]field, 0, usualFields), value)
	if len(f) != 6 {
		return Origin{}, syntaxError(number, 3, "o= has %d fields, not 6", len(f))
	}
	if !digits(f[1].text) {
		return Origin{}, syntaxError(number, 2+f[1].column, "session id %q is not a number", head(f[1].text))
	}
	if !digits(f[2].text) {
		return Origin{}, syntaxError(number, 2+f[2].column, "session version %q is not a number", head(f[2].text))
	}
	return Origin{f[0].text, f[1].text, f[2].text, f[3].text + " " + f[4].text + " " + f[5].text}, nil
}

// parseMedia parses the value of an m= line: m=<media> <port> <proto> <fmt> ….
func parseMedia(number int, value string) (Media, error) {
	f := appendFields(make([]field, 0, usualFields), value)
	if len(f) < 4 {
		return Media{}, syntaxError(number, 3, "m= has %d fields, not at least 4", len(f))
	}
	port, _, _ := strings.Cut(f[1].text, "/") // "/" and a number of ports may follow the port
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Media{}, syntaxError(number, 2+f[1].column, "port %q is not a number up to 65535", head(f[1].text))
	}
	m := Media{Kind: f[0].text, Port: int(n), Proto: f[2].text, Formats: make([]string, len(f)-3), line: number}
	for i := range m.Formats {
		m.Formats[i] = f[3+i].text
	}
	return m, nil
}

// A field is a part of a value, together with its column in the line, counted from 1.
type field struct {
	text   string
	column int
}

const usualFields = 6 // number of fields in an o= line

// appendFields appends the fields of s, which are separated by spaces.
func appendFields(f []field, s string) []field {
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\t' {
			i++
			continue
		}
		j := i
		for j < len(s) && s[j] != ' ' && s[j] != '\t' {
			j++
		}
		f = append(f, field{s[i:j], i + 1})
		i = j
	}
	return f
}

func digits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// head returns the beginning of a text, for error messages.
func head(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// usualSize is a length in bytes that is larger than that of most descriptions of data
// channels.
const usualSize = 1024

// String returns the text of the description. Lines end in CRLF (RFC 8866 §5).
func (s *Session) String() string { return s.WithCandidates(-1, nil, false) }

// appendHead appends the session-level lines.
func (s *Session) appendHead(b []byte) []byte {
	b = s.Origin.appendLines(b)
	for _, l := range s.Lines {
		b = appendLine(b, l.Type, l.Value)
	}
	return b
}

// appendLines appends the v= line and the o= line, with which every description
// begins.
func (o *Origin) appendLines(b []byte) []byte {
	b = append(append(b, "v=0\r\no="...), o.Username...)
	b = append(append(b, ' '), o.SessionID...)
	b = append(append(b, ' '), o.SessionVersion...)
	b = append(append(b, ' '), o.Address...)
	return append(b, "\r\n"...)
}

// appendHead appends the m= line.
func (m *Media) appendHead(b []byte) []byte {
	b = append(append(b, "m="...), m.Kind...)
	b = strconv.AppendInt(append(b, ' '), int64(m.Port), 10)
	b = append(append(b, ' '), m.Proto...)
	for _, f := range m.Formats {
		b = append(append(b, ' '), f...)
	}
	return append(b, "\r\n"...)
}

// appendLine appends a line. Its value is the concatenation of the given parts.
func appendLine(b []byte, typ byte, value ...string) []byte {
	b = append(b, typ, '=')
	for _, v := range value {
		b = append(b, v...)
	}
	return append(b, "\r\n"...)
}

// appendAttribute appends an a= line; value may be empty.
func appendAttribute(b []byte, name, value string) []byte {
	if value == "" {
		return appendLine(b, 'a', name)
	}
	return appendLine(b, 'a', name, ":", value)
}

// attribute returns the name and the value of an a= line. ok is false for other lines.
func (l Line) attribute() (name, value string, ok bool) {
	if l.Type != 'a' {
		return "", "", false
	}
	name, value, _ = strings.Cut(l.Value, ":")
	return name, value, true
}

// column returns the column at which the value of the attribute begins.
func (l Line) column() int {
	return 3 + strings.IndexByte(l.Value, ':') + 1
}

// lookup returns the value and the line of the first attribute with this name.
func lookup(lines []Line, name string) (value string, l Line, ok bool) {
	for _, l := range lines {
		if n, v, ok := l.attribute(); ok && n == name {
			return v, l, true
		}
	}
	return "", Line{}, false
}

// Attribute returns the value of the section's first attribute with this name. ok is
// false if there is none.
func (m *Media) Attribute(name string) (value string, ok bool) {
	value, _, ok = lookup(m.Lines, name)
	return value, ok
}
