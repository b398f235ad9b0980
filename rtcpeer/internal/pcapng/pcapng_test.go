package pcapng

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A block is a block of a capture without its lengths.
type block struct {
	typ  uint32
	body []byte
}

// blocks splits a capture into blocks, and checks both lengths of each.
func blocks(t *testing.T, b []byte) (list []block) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 12 {
			t.Fatalf("%d bytes are left at the end", len(b))
		}
		n := int(binary.LittleEndian.Uint32(b[4:]))
		if n%4 != 0 || n > len(b) || int(binary.LittleEndian.Uint32(b[n-4:])) != n {
			t.Fatalf("block with length %d of %d bytes", n, len(b))
		}
		list = append(list, block{binary.LittleEndian.Uint32(b), b[8 : n-4]})
		b = b[n:]
	}
	return list
}

func types(list []block) (out []uint32) {
	for _, b := range list {
		out = append(out, b.typ)
	}
	return out
}

// TestOrder checks that the header is first, and that secrets are before the packets of
// the same Flush, even if they were added later.
func TestOrder(t *testing.T) {
	var out bytes.Buffer
	c := New(&out)
	now := time.Unix(1, 2)
	from, to := netip.MustParseAddrPort("192.0.2.1:5000"), netip.MustParseAddrPort("192.0.2.2:6000")
	if c.Flush(); out.Len() != 0 {
		t.Fatal("Flush of nothing wrote something")
	}
	c.Datagram(now, Inbound, from, to, []byte("abc"), "")
	c.Secrets([]byte("LABEL 00 11\n"))
	c.Message(now, Outbound, []byte("packet"))
	c.Flush()
	c.Message(now, Inbound, []byte("packet"))
	c.Secrets([]byte("LABEL 00 22\n"))
	c.Flush()
	c.Message(now, Inbound, []byte("packet"))
	c.Flush()
	list := blocks(t, out.Bytes())
	want := []uint32{blockSection, blockInterface, blockInterface, blockSecrets, blockPacket, blockPacket, blockSecrets, blockPacket, blockPacket}
	if diff := cmp.Diff(want, types(list)); diff != "" {
		t.Fatal(diff)
	}
	if s := list[3].body; binary.LittleEndian.Uint32(s) != tlsKeyLog || string(s[8:8+binary.LittleEndian.Uint32(s[4:])]) != "LABEL 00 11\n" {
		t.Errorf("secrets are %q", s)
	}
	p := list[5].body
	at := uint64(binary.LittleEndian.Uint32(p[4:]))<<32 | uint64(binary.LittleEndian.Uint32(p[8:]))
	if binary.LittleEndian.Uint32(p) != uint32(Messages) || at != 1_000_000_002 || string(p[20:26]) != "packet" {
		t.Errorf("packet block %q at %d", p, at)
	}
	if options := p[28:]; !bytes.Equal(options, []byte{optFlags, 0, 4, 0, byte(Outbound), 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("options %v", options)
	}
}

// TestIP checks the IP and UDP headers of both families against the sums of RFC 1071.
func TestIP(t *testing.T) {
	for _, c := range []struct {
		from, to string
		header   int
	}{
		{"192.0.2.1:5000", "192.0.2.2:6000", ip4Header},
		{"[::ffff:192.0.2.1]:5000", "192.0.2.2:6000", ip4Header},
		{"[2001:db8::1]:5000", "[2001:db8::2]:6000", ip6Header},
		{"[fe80::1%eth0]:5000", "[fe80::2%eth0]:6000", ip6Header},
		{"", "192.0.2.2:6000", ip4Header},
		{"", "[2001:db8::2]:6000", ip6Header},
	} {
		for _, payload := range []string{"", "odd", "even", strings.Repeat("\xff", 1200)} {
			var from netip.AddrPort
			if c.from != "" {
				from = netip.MustParseAddrPort(c.from)
			}
			var out bytes.Buffer
			w := New(&out)
			w.Datagram(time.Unix(1, 0), Inbound, from, netip.MustParseAddrPort(c.to), []byte(payload), "a comment")
			w.Flush()
			p := blocks(t, out.Bytes())[3].body
			n := int(binary.LittleEndian.Uint32(p[12:]))
			ip := p[20 : 20+n]
			if n != c.header+udpHeader+len(payload) || string(ip[c.header+udpHeader:]) != payload {
				t.Fatalf("%s to %s: %d bytes, %q", c.from, c.to, n, ip)
			}
			addresses := ip[12:20]
			if c.header == ip4Header {
				if s := fold(sum(0, ip[:ip4Header])); s != 0xffff || ip[0] != 0x45 || int(binary.BigEndian.Uint16(ip[2:])) != n {
					t.Errorf("%s: sum of the IP header is %#x", c.from, s)
				}
			} else if addresses = ip[8:40]; ip[0] != 0x60 || int(binary.BigEndian.Uint16(ip[4:])) != n-ip6Header {
				t.Errorf("%s: IPv6 header %x", c.from, ip[:ip6Header])
			}
			udp := ip[c.header:]
			if s := fold(sum(sum(protocolUDP+uint64(len(udp)), addresses), udp)); s != 0xffff {
				t.Errorf("%s: sum of UDP is %#x", c.from, s)
			}
			if binary.BigEndian.Uint16(udp[2:]) != 6000 || !bytes.Contains(p, []byte("a comment")) {
				t.Errorf("%s: UDP header %x", c.from, udp[:udpHeader])
			}
		}
	}
}

// TestSum compares the sum with the one that adds word by word.
func TestSum(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 2000 {
		b := make([]byte, rng.IntN(100))
		for i := range b {
			b[i] = byte(rng.Uint32() | rng.Uint32()) // many ones, for carries
		}
		start := rng.Uint32()
		want := start>>16 + start&0xffff
		for i, v := range b {
			want += uint32(v) << (8 * (1 - i%2))
			want = want>>16 + want&0xffff
		}
		if got := fold(sum(uint64(start), b)); uint32(got) != want && uint32(got)%0xffff != want%0xffff {
			t.Fatalf("sum of %x is %#x, want %#x", b, got, want)
		}
	}
}

// TestTooLong checks that a datagram which fits into no IP packet is left out.
func TestTooLong(t *testing.T) {
	var out bytes.Buffer
	c := New(&out)
	a := netip.MustParseAddrPort("192.0.2.1:5000")
	c.Datagram(time.Unix(1, 0), Inbound, a, a, make([]byte, 65535), "")
	if c.Flush(); out.Len() != 0 {
		t.Errorf("%d bytes were written", out.Len())
	}
}

// A failing writer returns an error from its second call on.
type failing struct{ calls int }

func (f *failing) Write(b []byte) (int, error) {
	if f.calls++; f.calls > 1 {
		return 0, errors.New("disk full")
	}
	return len(b), nil
}

// TestWriterFails checks that an error of the writer is returned once, and that the
// writer is not called again.
func TestWriterFails(t *testing.T) {
	f := &failing{}
	c := New(f)
	errs := 0
	for range 10 {
		c.Message(time.Unix(1, 0), Inbound, []byte("packet"))
		c.Secrets([]byte("LABEL\n"))
		if c.Flush() != nil {
			errs++
		}
	}
	if errs != 1 || f.calls != 2 {
		t.Errorf("%d errors and %d calls, want 1 and 2", errs, f.calls)
	}
}
