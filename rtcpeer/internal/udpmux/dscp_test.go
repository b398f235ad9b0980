package udpmux

import (
	"net/netip"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// The code point of Config.DSCP is in the upper six bits of the socket's option.
func TestDSCP(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		s, err := newSocket(Config{Addr: netip.MustParseAddrPort(addr), DSCP: 46})
		if err != nil {
			t.Logf("%s is not tested: %v", addr, err) // the machine has no IPv6
			continue
		}
		defer s.Close()
		var got int
		if s.local.Addr().Is4() {
			got, err = ipv4.NewConn(s.conn).TOS()
		} else {
			got, err = ipv6.NewConn(s.conn).TrafficClass()
		}
		if err != nil || got != 46<<2 {
			t.Errorf("%s: %#x, %v", addr, got, err)
		}
	}
}
