package rtcpeer

import (
	"net/netip"
	"strconv"
	"strings"
)

// serverURL is a parsed STUN or TURN URL (RFC 7064 §3.1, RFC 7065 §3.1).
type serverURL struct {
	text      string // the URL as it was given
	turn      bool
	secure    bool   // the scheme is stuns or turns
	host      string // a name or an IP address
	port      uint16
	transport string // "udp" or "tcp"
}

// parse checks a server and reads its URLs.
func (s *ICEServer) parse() ([]serverURL, error) {
	if len(s.URLs) == 0 {
		return nil, invalid("server without urls")
	}
	if (s.Username == "") != (s.Credential == "") {
		return nil, invalid("server %s has a username without a credential or the reverse", s.URLs[0])
	}
	var out []serverURL
	for _, u := range s.URLs {
		p, err := parseServerURL(u)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

func parseServerURL(text string) (serverURL, error) {
	u := serverURL{text: text, transport: "udp"}
	scheme, rest, ok := strings.Cut(text, ":")
	if !ok {
		return u, invalid("URL %q has no scheme: want stun:, stuns:, turn: or turns:", text)
	}
	switch strings.ToLower(scheme) { // RFC 3986 §3.1: schemes are case-insensitive
	case "stun":
	case "stuns":
		u.secure = true
	case "turn":
		u.turn = true
	case "turns":
		u.turn, u.secure = true, true
	default:
		return u, invalid("URL %q has an unknown scheme: want stun:, stuns:, turn: or turns:", text)
	}
	if u.secure {
		u.transport = "tcp" // a secure TURN URL means TLS over TCP
	}
	address, query, hasQuery := strings.Cut(rest, "?")
	if hasQuery {
		v, ok := strings.CutPrefix(query, "transport=")
		if !u.turn || !ok || v != "udp" && v != "tcp" {
			return u, invalid("URL %q: only turn: and turns: may have a query, ?transport=udp or ?transport=tcp", text)
		}
		u.transport = v
	}
	return u, u.setAddress(address)
}

// setAddress reads host and port. The default ports of RFC 7064 §3.2 and RFC 7065
// §3.2 are 3478, and 5349 for secure URLs.
func (u *serverURL) setAddress(address string) error {
	host, port := address, ""
	if strings.HasPrefix(address, "[") || strings.Count(address, ":") == 1 {
		if i := strings.LastIndexByte(address, ':'); i > strings.LastIndexByte(address, ']') {
			host, port = address[:i], address[i+1:]
			if port == "" {
				return invalid("URL %q has an empty port", u.text)
			}
		}
	}
	u.port = 3478
	if u.secure {
		u.port = 5349
	}
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return invalid("URL %q: port %q is not a number from 1 to 65535", u.text, port)
		}
		u.port = uint16(n)
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		if ip, err := netip.ParseAddr(inner); !ok || err != nil || !ip.Is6() || ip.Zone() != "" {
			return invalid("URL %q: %q is not an IPv6 address", u.text, host)
		}
		u.host = inner
		return nil
	}
	if strings.Count(host, ":") > 1 {
		return invalid("URL %q: an IPv6 address stands in brackets: [%s]", u.text, host)
	}
	if !isHostname(host) {
		return invalid("URL %q: %q is not a host", u.text, host)
	}
	u.host = host
	return nil
}

// isHostname reports whether s consists of letters, digits, dots, hyphens and
// underscores.
func isHostname(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return !strings.HasPrefix(s, ".") && !strings.Contains(s, "..")
}
