package mdns

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func query(t testing.TB, name string, typ dnsmessage.Type, class dnsmessage.Class) []byte {
	t.Helper()
	m := dnsmessage.NewBuilder(nil, dnsmessage.Header{})
	m.StartQuestions()
	if err := m.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name + "."), Type: typ, Class: class}); err != nil {
		t.Fatal(err)
	}
	b, err := m.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The resolver of this package finds the names of its responder.
func TestResponderWithResolver(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "2001:db8::1"} {
		want := netip.MustParseAddr(addr)
		var r Responder
		if err := r.Add(host, want); err != nil {
			t.Fatal(err)
		}
		q := NewResolver()
		q.Start(start, host)
		for _, v4 := range []bool{true, false} {
			b, _, ok := q.AppendQuery(nil)
			if !ok || !r.HandlePacket(start, v4, b) {
				t.Fatal("no question")
			}
		}
		if !r.NextTimeout().Equal(start) {
			t.Errorf("due at %v", r.NextTimeout())
		}
		v4group, v6group := Groups()
		for _, group := range []netip.AddrPort{v4group, v6group} {
			b, to, about, ok := r.AppendAnswer(start, []byte("x"))
			if !ok || to != group || about != want || b[0] != 'x' {
				t.Fatalf("%v, %v, %v", ok, to, about)
			}
			q.HandlePacket(start, b[1:])
		}
		if _, _, _, ok := r.AppendAnswer(start, nil); ok {
			t.Error("a third answer")
		}
		wantResult(t, q, addr)
	}
}

// The answer has the form of RFC 6762 §18, and says that no other type exists.
func TestAnswer(t *testing.T) {
	var r Responder
	r.Add(host, netip.MustParseAddr("192.0.2.1"))
	r.HandlePacket(start, true, query(t, host, dnsmessage.TypeAAAA, dnsmessage.ClassINET|cacheFlush))
	b, _, _, _ := r.AppendAnswer(start, nil)
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatal(err)
	}
	if m.ID != 0 || !m.Response || !m.Authoritative || len(m.Questions) != 0 || len(m.Answers) != 1 || len(m.Additionals) != 1 {
		t.Fatalf("%+v", m)
	}
	if h := m.Answers[0].Header; h.TTL != 120 || h.Class != 0x8001 || h.Name.String() != host+"." {
		t.Errorf("%+v", h)
	}
	nsec := m.Additionals[0].Body.(*dnsmessage.UnknownResource)
	want := append([]byte("\x246c743ee3-d037-42a2-af41-09a905933251\x05local\x00"), 0, 1, 0x40)
	if nsec.Type != 47 || string(nsec.Data) != string(want) {
		t.Errorf("%x, want %x", nsec.Data, want)
	}
	six := record{name: dnsmessage.MustNewName("x.local."), addr: netip.MustParseAddr("::1")}
	if got := six.nsec(); string(got) != "\x01x\x05local\x00\x00\x04\x00\x00\x00\x08" {
		t.Errorf("%x", got)
	}
}

// There is at most one answer in a second for each group. Questions during this second
// are answered at its end.
func TestAnswerRate(t *testing.T) {
	var r Responder
	r.Add(host, netip.MustParseAddr("192.0.2.1"))
	q := query(t, host, dnsmessage.TypeA, dnsmessage.ClassINET)
	answers := 0
	for now := start; now.Before(start.Add(10 * time.Second)); now = now.Add(10 * time.Millisecond) {
		r.HandlePacket(now, true, q)
		if _, _, _, ok := r.AppendAnswer(now, nil); ok {
			answers++
		}
	}
	if answers != 10 {
		t.Errorf("%d answers in 10 s", answers)
	}
}

func TestResponderIgnores(t *testing.T) {
	var r Responder
	if r.HandlePacket(start, true, query(t, host, dnsmessage.TypeA, dnsmessage.ClassINET)) {
		t.Error("an answer without a name")
	}
	r.Add(host, netip.MustParseAddr("192.0.2.1"))
	r.Add(host, netip.MustParseAddr("192.0.2.2")) // the name is already added
	for what, b := range map[string][]byte{
		"another name": query(t, "x.local", dnsmessage.TypeA, dnsmessage.ClassINET), "another class": query(t, host, dnsmessage.TypeA, dnsmessage.ClassCHAOS),
		"a response": answer(t, host, true, 120, "192.0.2.9"), "nothing": nil, "a header": make([]byte, 12), "rubbish": []byte("rubbish that is no message"),
	} {
		if r.HandlePacket(start, true, b) || !r.NextTimeout().IsZero() {
			t.Errorf("%s is answered", what)
		}
	}
	// Neither the case of a name nor a request for a unicast answer makes a
	// difference.
	if !r.HandlePacket(start, false, query(t, "6C743ee3-D037-42a2-af41-09a905933251.LOCAL", dnsmessage.TypeALL, dnsmessage.ClassINET|cacheFlush)) {
		t.Error("no answer")
	}
	r.Remove(host)
	if _, _, _, ok := r.AppendAnswer(start, nil); ok {
		t.Error("an answer for a name that is gone")
	}
	for _, bad := range []string{"", "x", "x.example", ".local", "a..local"} {
		if r.Add(bad, netip.MustParseAddr("::1")) != ErrName {
			t.Errorf("%q is a name", bad)
		}
	}
	if r.Add("x.local", netip.Addr{}) != ErrName {
		t.Error("a name without an address")
	}
	for i := range maxNames + 1 {
		err := r.Add(string(rune('a'+i%26))+string(rune('a'+i/26))+".local", netip.MustParseAddr("::1"))
		if (err == ErrTooMany) != (i == maxNames) {
			t.Errorf("name %d: %v", i, err)
		}
	}
}

func FuzzResponder(f *testing.F) {
	f.Add(query(f, host, dnsmessage.TypeA, dnsmessage.ClassINET))
	f.Add(answer(f, host, true, 120, "192.0.2.1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Responder
		r.Add(host, netip.MustParseAddr("192.0.2.1"))
		if asked := r.HandlePacket(start, true, b); asked != !r.NextTimeout().IsZero() {
			t.Error("an answer without a question, or the reverse")
		}
		for n := 0; ; n++ {
			if _, _, _, ok := r.AppendAnswer(start, nil); !ok {
				break
			} else if n > 0 {
				t.Error("more than one answer")
			}
		}
	})
}
