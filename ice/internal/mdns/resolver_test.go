package mdns

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var start = time.Unix(1000, 0)

const host = "6c743ee3-d037-42a2-af41-09a905933251.local"

func answer(t testing.TB, name string, response bool, ttl uint32, addrs ...string) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: response, Authoritative: true})
	b.StartAnswers()
	for _, a := range addrs {
		ip := netip.MustParseAddr(a)
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name + "."), Class: dnsmessage.ClassINET | cacheFlush, TTL: ttl}
		var err error
		if ip.Is4() {
			err = b.AResource(h, dnsmessage.AResource{A: ip.As4()})
		} else {
			err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: ip.As16()})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	out, err := b.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wantResult(t *testing.T, r *Resolver, want string) {
	t.Helper()
	name, addr, ok := r.Next()
	if !ok || name != host || addr.String() != want {
		t.Errorf("result %q %v %v, want %s", name, addr, ok, want)
	}
}

func TestQueries(t *testing.T) {
	r := NewResolver()
	if err := r.Start(start, host); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(start, "6C743EE3-d037-42a2-af41-09a905933251.local"); err != nil {
		t.Fatal(err)
	}
	var times []time.Duration
	for now := start; ; now = r.NextTimeout() {
		r.Advance(now)
		n := 0
		for {
			b, group, ok := r.AppendQuery([]byte("x"))
			if !ok {
				break
			}
			if v4, v6 := Groups(); group != [2]netip.AddrPort{v4, v6}[n] {
				t.Errorf("query to %v", group)
			}
			n++
			var m dnsmessage.Message
			if err := m.Unpack(b[1:]); err != nil || len(m.Questions) != 2 || m.Header != (dnsmessage.Header{}) {
				t.Fatalf("%v %v", m, err)
			}
			if q := m.Questions[0]; q.Name.String() != host+"." || q.Type != dnsmessage.TypeA {
				t.Errorf("%v", q)
			}
		}
		if n > 0 {
			times = append(times, now.Sub(start))
		}
		if r.NextTimeout().IsZero() {
			break
		}
	}
	if fmt.Sprint(times) != "[0s 1s 3s 7s]" {
		t.Errorf("queries at %v", times)
	}
	wantResult(t, r, "invalid IP")
}

func TestAnswers(t *testing.T) {
	r := NewResolver()
	if r.HandlePacket(start, answer(t, host, true, 120, "192.0.2.1")) {
		t.Error("an answer to nothing counts")
	}
	r.Start(start, host)
	for _, b := range [][]byte{
		answer(t, host, false, 120, "192.0.2.9"),
		answer(t, host, true, 0, "192.0.2.9"),
		answer(t, "other.local", true, 120, "192.0.2.9"),
		answer(t, host, true, 120, "192.0.2.9")[:20],
		nil,
	} {
		if r.HandlePacket(start, b) {
			t.Errorf("%x counts", b)
		}
	}
	if !r.HandlePacket(start, answer(t, "6C743EE3-D037-42a2-af41-09a905933251.LOCAL", true, 120, "192.0.2.1", "2001:db8::1", "192.0.2.1")) {
		t.Error("the answer does not count")
	}
	wantResult(t, r, "192.0.2.1")
	wantResult(t, r, "2001:db8::1")
	if _, _, ok := r.Next(); ok {
		t.Error("an address comes twice")
	}
	r.Start(start, host) // a late call
	wantResult(t, r, "192.0.2.1")
	wantResult(t, r, "2001:db8::1")
	r.Advance(start.Add(lingering))
	wantResult(t, r, "invalid IP")
	if !r.NextTimeout().IsZero() {
		t.Error("a timer is left")
	}
}

func TestNames(t *testing.T) {
	r := NewResolver()
	for _, name := range []string{"", "example.org", ".local", "a..local", "local", string(make([]byte, 64)) + ".local"} {
		if err := r.Start(start, name); err != ErrName {
			t.Errorf("%q: %v", name, err)
		}
	}
	for i := range maxNames {
		if err := r.Start(start, fmt.Sprintf("n%d.local", i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Start(start, host); err != ErrTooMany {
		t.Error(err)
	}
}

func FuzzHandlePacket(f *testing.F) {
	f.Add(answer(f, host, true, 120, "192.0.2.1", "2001:db8::1"))
	f.Add(answer(f, host, false, 120))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := NewResolver()
		r.Start(start, host)
		r.HandlePacket(start, b)
		if len(r.results) > maxAddresses {
			t.Errorf("%d results", len(r.results))
		}
	})
}
