package ice

import (
	"errors"
	"strings"
	"testing"
)

func TestCandidates(t *testing.T) {
	for _, s := range []string{
		"candidate:1 1 udp 2130706431 192.0.2.1 1000 typ host",
		"candidate:155823777 1 udp 2113937151 6c743ee3-d037-42a2-af41-09a905933251.local 46558 typ host ufrag abcd",
		"candidate:2 1 udp 1694498815 2001:db8::1 1000 typ srflx raddr 0.0.0.0 rport 9",
		"candidate:3 1 tcp 2105458943 192.0.2.1 9 typ host tcptype active",
		"candidate:4 2 udp 7 192.0.2.1 1000 typ relay raddr 192.0.2.7 rport 77 ufrag a+/",
	} {
		c, err := ParseCandidate(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
		} else if c.String() != s {
			t.Errorf("%s comes back as %s", s, c)
		}
		if d, err := ParseCandidate("a=" + s + " generation 0 network-cost 999"); err != nil || d != c {
			t.Errorf("with extensions: %+v, %v", d, err)
		}
		if d, err := ParseCandidate(strings.TrimPrefix(s, "candidate:")); err != nil || d != c {
			t.Errorf("without prefix: %+v, %v", d, err)
		}
	}
	for _, s := range []string{
		"", "candidate:", "candidate:1 1 udp 1 192.0.2.1 1 typ", "candidate: 1 1 192.0.2.1 1 typ host",
		"candidate:1 0 udp 1 192.0.2.1 1 typ host", "candidate:1 1 udp -1 192.0.2.1 1 typ host",
		"candidate:1 1 udp 1 192/2 1 typ host", "candidate:1 1 udp 1 192.0.2.1 65536 typ host",
		"candidate:1 1 udp 1 192.0.2.1 1 typ guest", "candidate:1 1 udp 1 192.0.2.1 1 type host",
		"candidate:1 1 udp 1 192.0.2.1 1 typ host rport x", "candidate:1 1 udp 1 192.0.2.1 1 typ host ufrag ?",
		strings.Repeat("x ", 1000),
	} {
		if c, err := ParseCandidate(s); !errors.Is(err, ErrCandidate) {
			t.Errorf("%.60q: %+v, %v", s, c, err)
		}
	}
}

// A foundation may consist of any characters.
func TestFoundations(t *testing.T) {
	for _, foundation := range []string{"", "1", "udp.1", "?", "0c9b4f00-7e1f-4cde-9a55-b94f9b6fd1ab", strings.Repeat("x", 40), "{a:b}"} {
		s := "candidate:" + foundation + " 1 udp 2113939711 192.0.2.7 19305 typ host"
		c, err := ParseCandidate(s)
		if err != nil || c.Foundation != foundation || c.Priority != 2113939711 || c.String() != s {
			t.Errorf("%s: %+v, %v", s, c, err)
		}
	}
}

func TestPriorities(t *testing.T) {
	// The priorities are those of RFC 8445 §5.1.2.1 with the recommended preferences.
	if p := candidatePriority(typePreferenceHost, 65535); p != 2130706431 {
		t.Errorf("%d", p)
	}
	if p := candidatePriority(typePreferenceRelay, 0); p != 255 {
		t.Errorf("%d", p)
	}
	if p, q := pairPriority(5, 3), pairPriority(3, 5); p != 3<<32+10+1 || q != p-1 {
		t.Errorf("%d %d", p, q)
	}
}

func FuzzParseCandidate(f *testing.F) {
	f.Add("candidate:2 1 udp 1694498815 2001:db8::1 1000 typ srflx raddr 0.0.0.0 rport 9 ufrag x")
	f.Add("candidate:3 1 tcp 2105458943 192.0.2.1 443 typ host tcptype passive")
	f.Add("candidate:3 1 tcp 2105458943 192.0.2.1 443 typ host tcptype other")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseCandidate(s)
		if err != nil {
			return
		}
		if d, err := ParseCandidate(c.String()); err != nil || d != c {
			t.Errorf("%q: %+v comes back as %+v, %v", s, c, d, err)
		}
	})
}
