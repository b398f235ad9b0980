package dtls

import (
	"fmt"
	"testing"
	"time"
)

// TestSmallPath runs a handshake over a path that does not carry long datagrams, in
// one or both directions. After the handshake, both ends know the size of datagrams
// that the path carries.
func TestSmallPath(t *testing.T) {
	versions := map[string]func(client, server *Config){"1.2": only12, "1.3": only13, "both": nil,
		"with retry": func(client, server *Config) { server.Groups = []Group{GroupP384} }}
	for version, change := range versions {
		for _, carries := range []int{672, 972, 1172, 1232} {
			for _, toward := range []string{"server", "client", "both"} {
				t.Run(fmt.Sprint(version, " ", carries, " ", toward), func(t *testing.T) {
					p := newPair(t, change)
					p.client.SetRTT(2 * p.delay)
					p.server.SetRTT(2 * p.delay)
					lost := 0
					p.carries = func(to *Conn, d []byte) bool {
						narrow := toward == "both" || (to == p.client) == (toward == "client")
						if narrow && len(d) > carries {
							lost++
							return false
						}
						return true
					}
					p.connect()
					p.exchange()
					if took := p.now.Sub(epoch); took > 2*time.Second {
						t.Errorf("took %v", took)
					}
					for _, c := range []*Conn{p.client, p.server} {
						to := p.other(c)
						narrow := toward == "both" || (to == p.client) == (toward == "client")
						if n := c.PathSize(); narrow && n > carries || n == 0 {
							t.Errorf("client %t: PathSize %d", c.client, n)
						}
					}
					if carries >= p.limit && lost > 0 {
						t.Errorf("%d datagrams lost", lost)
					}
				})
			}
		}
	}
}

// TestOneLossShortensNothing checks that one lost datagram does not shorten later
// datagrams.
func TestOneLossShortensNothing(t *testing.T) {
	for lost := range 6 {
		p := newPair(t, nil)
		p.meddle = func(i int, d []byte) []delivery {
			if i == lost {
				return nil
			}
			return []delivery{{d, 0}}
		}
		p.connect()
		for _, c := range []*Conn{p.client, p.server} {
			if c.out.sizeLimit != 0 || c.PathSize() < p.limit-recordHeaderLen {
				t.Errorf("datagram %d lost: limit %d, PathSize %d", lost, c.out.sizeLimit, c.PathSize())
			}
		}
	}
}
