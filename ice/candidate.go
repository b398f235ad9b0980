package ice

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// A CandidateType is host, srflx, prflx or relay (RFC 8445 §5.1.1).
type CandidateType uint8

const (
	Host CandidateType = iota
	ServerReflexive
	PeerReflexive
	Relay
)

// String returns the type as it is written in SDP (RFC 8839 §5.1).
func (t CandidateType) String() string {
	switch t {
	case Host:
		return "host"
	case ServerReflexive:
		return "srflx"
	case PeerReflexive:
		return "prflx"
	case Relay:
		return "relay"
	}
	return fmt.Sprintf("CandidateType(%d)", uint8(t))
}

func parseCandidateType(s string) (CandidateType, bool) {
	for t := Host; t <= Relay; t++ {
		if t.String() == s {
			return t, true
		}
	}
	return 0, false
}

// A Candidate is a transport address of an ICE agent (RFC 8839 §5.1).
type Candidate struct {
	Foundation string
	Component  int
	Transport  string // "udp" or "tcp"
	Priority   uint32
	Type       CandidateType
	TCPType    TCPType        // for transport "tcp"
	Name       string         // a name in place of Addr's address, such as an mDNS one
	Addr       netip.AddrPort // address and port; only the port if Name is set
	Related    netip.AddrPort // related address and port (raddr and rport)
	Ufrag      string         // ufrag of the generation that the candidate belongs to; may be empty
}

// ErrCandidate is wrapped by the errors of ParseCandidate.
var ErrCandidate = errors.New("ice: malformed candidate")

const maxCandidateLength = 1024 // length of a candidate line in bytes; the lines of browsers stay below 256

func badCandidate(what string) error { return fmt.Errorf("%w: %s", ErrCandidate, what) }

// ParseCandidate reads a candidate line, with or without "a=" and "candidate:".
// Unknown extensions are ignored. The foundation may be any text of any length, or
// empty, because some peers do not follow RFC 8839 §5.1.
func ParseCandidate(s string) (Candidate, error) {
	if len(s) > maxCandidateLength {
		return Candidate{}, badCandidate("too long")
	}
	s = strings.TrimPrefix(strings.TrimSpace(s), "a=")
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' { // RFC 8839 §5.1: every field is ASCII
			return Candidate{}, badCandidate("a character that is not printable ASCII")
		}
	}
	s = strings.TrimPrefix(s, "candidate:")
	var f [8]string
	first := 0
	if strings.HasPrefix(s, " ") {
		// The foundation of some peers is empty. Then the transport is the second
		// field.
		_, rest := cutField(s)
		if transport, _ := cutField(rest); strings.Trim(transport, "0123456789") != "" {
			first = 1
		}
	}
	for i := first; i < len(f); i++ {
		f[i], s = cutField(s)
	}
	if f[7] == "" {
		return Candidate{}, badCandidate("fewer than eight fields")
	}
	c := Candidate{Foundation: f[0], Transport: strings.ToLower(f[2])}
	component, err := strconv.ParseUint(f[1], 10, 16)
	if err != nil || component < 1 || component > 256 {
		return Candidate{}, badCandidate("component")
	}
	c.Component = int(component)
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return Candidate{}, badCandidate("priority")
	}
	c.Priority = uint32(priority)
	if err := c.parseAddr(f[4], f[5]); err != nil {
		return Candidate{}, err
	}
	typ, ok := parseCandidateType(strings.ToLower(f[7]))
	if f[6] != "typ" || !ok {
		return Candidate{}, badCandidate("type")
	}
	c.Type = typ
	return c, c.parseExtensions(s)
}

// cutField returns the first of the fields that spaces separate, or an empty field if
// there is none. rest is what follows the field.
func cutField(s string) (field, rest string) {
	field, rest, _ = strings.Cut(strings.TrimLeft(s, " "), " ")
	return field, rest
}

// parseAddr reads the connection address, which may be a name, and the port.
func (c *Candidate) parseAddr(addr, port string) error {
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return badCandidate("port")
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		if !isName(addr) {
			return badCandidate("address")
		}
		c.Name, ip = addr, netip.Addr{}
	}
	// The zone of an address has a meaning only on the remote machine (RFC 4007 §6).
	c.Addr = netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(p))
	return nil
}

// parseExtensions reads the pairs of name and value after the type.
func (c *Candidate) parseExtensions(s string) error {
	var raddr netip.Addr
	var rport uint64
	for {
		var name, value string
		name, s = cutField(s)
		if value, s = cutField(s); value == "" {
			break
		}
		var err error
		switch name {
		case "raddr":
			// Browsers write 0.0.0.0, or a name, in place of addresses that they hide.
			raddr, _ = netip.ParseAddr(value)
		case "rport":
			if rport, err = strconv.ParseUint(value, 10, 16); err != nil {
				return badCandidate("rport")
			}
		case "tcptype":
			if c.Transport == "tcp" {
				c.TCPType = parseTCPType(strings.ToLower(value))
			}
		case "ufrag":
			if !isICEChars(value, 1, 256) {
				return badCandidate("ufrag")
			}
			c.Ufrag = value
		}
	}
	if raddr.IsValid() {
		c.Related = netip.AddrPortFrom(raddr.Unmap().WithZone(""), uint16(rport))
	}
	return nil
}

// isICEChars reports whether s consists of ice-chars (RFC 8839 §5.1), and has at
// least least and at most most characters. "-", "_" and "=" are accepted, too:
// browsers have used "-" and "_" in foundations and ufrags.
func isICEChars(s string, least, most int) bool {
	if len(s) < least || len(s) > most {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '+', c == '/', c == '-', c == '_', c == '=':
		default:
			return false
		}
	}
	return true
}

// isName reports whether s could be a host name: at most 253 letters, digits, hyphens,
// underscores and dots.
func isName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '.', c == '_':
		default:
			return false
		}
	}
	return true
}

// String returns the candidate in the form of RFC 8839 §5.1, beginning with
// "candidate:".
func (c Candidate) String() string {
	b := append(make([]byte, 0, 128), "candidate:"...)
	b = append(append(b, c.Foundation...), ' ')
	b = append(strconv.AppendInt(b, int64(c.Component), 10), ' ')
	b = append(append(b, c.Transport...), ' ')
	b = append(strconv.AppendUint(b, uint64(c.Priority), 10), ' ')
	if c.Name != "" {
		b = append(b, c.Name...)
	} else {
		b = c.Addr.Addr().WithZone("").AppendTo(b)
	}
	b = strconv.AppendUint(append(b, ' '), uint64(c.Addr.Port()), 10)
	b = append(append(b, " typ "...), c.Type.String()...)
	if c.Related.IsValid() {
		b = append(b, " raddr "...)
		b = c.Related.Addr().WithZone("").AppendTo(b)
		b = fmt.Appendf(b, " rport %d", c.Related.Port())
	}
	if c.TCPType != NotTCP {
		b = append(b, " tcptype "+c.TCPType.String()...)
	}
	if c.Ufrag != "" {
		b = append(b, " ufrag "+c.Ufrag...)
	}
	return string(b)
}
