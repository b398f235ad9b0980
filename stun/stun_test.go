package stun

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

var testID = TransactionID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}

func mustParse(t *testing.T, b []byte) Message {
	t.Helper()
	m, err := Parse(b)
	if err != nil {
		t.Fatalf("%v: %x", err, b)
	}
	return m
}

func TestType(t *testing.T) {
	for _, v := range []struct {
		m    Method
		c    Class
		want Type
		s    string
	}{
		{MethodBinding, ClassRequest, 0x0001, "Binding request"},
		{MethodBinding, ClassIndication, 0x0011, "Binding indication"},
		{MethodBinding, ClassSuccess, 0x0101, "Binding success response"},
		{MethodBinding, ClassError, 0x0111, "Binding error response"},
		{MethodAllocate, ClassError, 0x0113, "Allocate error response"},
		{MethodChannelBind, ClassSuccess, 0x0109, "ChannelBind success response"},
		{MethodData, ClassIndication, 0x0017, "Data indication"},
		{0xfff, ClassError, 0x3fff, "Method(0xfff) error response"},
	} {
		if got := NewType(v.m, v.c); got != v.want || got.String() != v.s {
			t.Errorf("NewType(%v, %v) = %#04x %q, want %#04x %q", v.m, v.c, uint16(got), got, uint16(v.want), v.s)
		}
	}
	for m := range Method(0x1000) {
		for c := range Class(4) {
			if typ := NewType(m, c); typ.Method() != m || typ.Class() != c || typ > 0x3fff {
				t.Fatalf("NewType(%#x, %d) = %#x comes apart as %#x, %d", m, c, typ, typ.Method(), typ.Class())
			}
		}
	}
}

func TestAttributesRoundTrip(t *testing.T) {
	v4 := netip.MustParseAddrPort("192.0.2.7:4711")
	v6 := netip.MustParseAddrPort("[2001:db8::1]:443")
	w := Build(nil, NewType(MethodAllocate, ClassRequest), testID)
	w.Flag(AttrUseCandidate)
	w.String(AttrRealm, "r")
	w.Bytes(AttrData, []byte{1, 2, 3, 4, 5})
	w.Uint32(AttrLifetime, 600)
	w.Uint64(AttrICEControlling, 1<<63+5)
	w.XORAddr(AttrXORPeerAddress, v4)
	w.XORAddr(AttrXORRelayedAddress, v6)
	w.Addr(AttrAlternateServer, v6)
	w.Addr(AttrMappedAddress, netip.AddrPortFrom(netip.AddrFrom16(v4.Addr().As16()), 4711))
	w.ChannelNumber(0x4001)
	w.RequestedTransport(17)
	w.AddressFamily(AttrRequestedAddressFamily, IPv6)
	w.PasswordAlgorithm(PasswordSHA256)
	w.PasswordAlgorithms(PasswordSHA256, PasswordMD5)
	w.ErrorCode(CodeStaleNonce)
	w.UnknownAttributes([]AttrType{0x7001, 0x7002, 0x7003})
	w.Fingerprint()

	m := mustParse(t, w.Finish())
	if !Is(w.Finish()) {
		t.Error("Is says no")
	}
	if m.Type() != NewType(MethodAllocate, ClassRequest) || m.TransactionID() != testID {
		t.Errorf("header: %v %x", m.Type(), m.TransactionID())
	}
	if v, ok := m.Get(AttrUseCandidate); !ok || len(v) != 0 {
		t.Errorf("USE-CANDIDATE %x, %v", v, ok)
	}
	if v, _ := m.Get(AttrData); !bytes.Equal(v, []byte{1, 2, 3, 4, 5}) {
		t.Errorf("DATA %x", v)
	}
	if v, ok := m.Uint32(AttrLifetime); !ok || v != 600 {
		t.Errorf("LIFETIME %d, %v", v, ok)
	}
	if _, ok := m.Uint32(AttrICEControlling); ok {
		t.Error("a 64-bit attribute reads as 32 bits")
	}
	if v, ok := m.Uint64(AttrICEControlling); !ok || v != 1<<63+5 {
		t.Errorf("ICE-CONTROLLING %d, %v", v, ok)
	}
	if a, ok := m.XORAddr(AttrXORPeerAddress); !ok || a != v4 {
		t.Errorf("XOR-PEER-ADDRESS %v, %v", a, ok)
	}
	if a, ok := m.XORAddr(AttrXORRelayedAddress); !ok || a != v6 {
		t.Errorf("XOR-RELAYED-ADDRESS %v, %v", a, ok)
	}
	if a, ok := m.Addr(AttrAlternateServer); !ok || a != v6 {
		t.Errorf("ALTERNATE-SERVER %v, %v", a, ok)
	}
	if a, ok := m.MappedAddress(); !ok || a != v4 {
		t.Errorf("MAPPED-ADDRESS %v, %v", a, ok)
	}
	if v, ok := m.Uint32(AttrChannelNumber); !ok || v != 0x40010000 {
		t.Errorf("CHANNEL-NUMBER %#x", v)
	}
	if v, _ := m.Get(AttrRequestedTransport); !bytes.Equal(v, []byte{17, 0, 0, 0}) {
		t.Errorf("REQUESTED-TRANSPORT %x", v)
	}
	if v, _ := m.Get(AttrRequestedAddressFamily); !bytes.Equal(v, []byte{2, 0, 0, 0}) {
		t.Errorf("REQUESTED-ADDRESS-FAMILY %x", v)
	}
	if v, _ := m.Get(AttrPasswordAlgorithms); BestPasswordAlgorithm(v) != PasswordSHA256 {
		t.Errorf("PASSWORD-ALGORITHMS %x", v)
	}
	if err := m.Err(); err == nil || err.Code != CodeStaleNonce || err.Error() != "stun: error 438 (Stale Nonce)" {
		t.Errorf("ERROR-CODE %v", err)
	}
	if u := m.UnknownAttributes(); !slices.Equal(u, []AttrType{0x7001, 0x7002, 0x7003}) {
		t.Errorf("UNKNOWN-ATTRIBUTES %v", u)
	}
	n := 0
	for range m.Attributes() {
		n++
	}
	if n != 17 {
		t.Errorf("%d attributes, want 17", n)
	}
	for range m.Attributes() {
		break
	}
}

func TestParseErrors(t *testing.T) {
	for n := range vectorRequest {
		if _, err := Parse(vectorRequest[:n]); err == nil {
			t.Errorf("the first %d bytes parse", n)
		}
	}
	change := func(i int, c byte) []byte {
		b := bytes.Clone(vectorRequest)
		b[i] = c
		return b
	}
	for _, v := range []struct {
		name string
		b    []byte
		want error
	}{
		{"top bits", change(0, 0x80), ErrNotSTUN},
		{"cookie", change(4, 0x20), ErrNotSTUN},
		{"length not a multiple of 4", append(change(3, 0x5a), 0, 0), ErrTruncated},
		{"trailing bytes", append(bytes.Clone(vectorRequest), 0, 0, 0, 0), ErrTruncated},
		{"attribute too long", change(22, 0xff), ErrAttribute},
		{"last attribute too long", change(len(vectorRequest)-5, 5), ErrAttribute},
	} {
		if _, err := Parse(v.b); err != v.want {
			t.Errorf("%s: %v, want %v", v.name, err, v.want)
		}
	}
	if _, err := Parse(vectorRequest); err != nil {
		t.Error(err)
	}
}

func TestMalformedValuesCountAsAbsent(t *testing.T) {
	w := Build(nil, BindingError, testID)
	w.Bytes(AttrXORMappedAddress, []byte{0, 1, 2})
	w.Bytes(AttrMappedAddress, []byte{0, 2, 0, 1, 9, 9, 9, 9})
	w.Bytes(AttrErrorCode, []byte{0, 0, 7, 0})
	w.Bytes(AttrMessageIntegrity, make([]byte, 19))
	w.Bytes(AttrMessageIntegritySHA256, make([]byte, 12))
	w.Bytes(AttrFingerprint, make([]byte, 3))
	m := mustParse(t, w.Finish())
	if a, ok := m.MappedAddress(); ok {
		t.Errorf("address %v", a)
	}
	if err := m.Err(); err != nil {
		t.Errorf("error %v", err)
	}
	if k := NewIntegrity(nil); k.Verify(m) || k.VerifySHA256(m) {
		t.Error("integrity verifies")
	}
	if present, valid := m.CheckFingerprint(); !present || valid {
		t.Errorf("fingerprint %v %v", present, valid)
	}
	if _, valid := mustParse(t, vectorLongTerm).CheckFingerprint(); valid {
		t.Error("fingerprint valid where there is none")
	}
}

func TestAttributesBehindIntegrityAreIgnored(t *testing.T) {
	key := NewIntegrity([]byte("k"))
	w := Build(nil, BindingRequest, testID)
	w.Uint32(AttrPriority, 1)
	w.Integrity(key)
	w.Flag(AttrUseCandidate) // RFC 8489 §14.5: an attribute after the integrity attributes must be ignored
	w.IntegritySHA256(key)
	w.Integrity(key)
	w.Uint32(AttrPriority, 2)
	w.Flag(0x7777)
	w.Fingerprint()
	m := mustParse(t, w.Finish())
	var got []AttrType
	for a := range m.Attributes() {
		got = append(got, a)
	}
	if want := []AttrType{AttrPriority, AttrMessageIntegrity, AttrMessageIntegritySHA256, AttrFingerprint}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if m.Has(AttrUseCandidate) {
		t.Error("USE-CANDIDATE counts behind MESSAGE-INTEGRITY")
	}
	if !key.Verify(m) || !key.VerifySHA256(m) {
		t.Error("integrity does not verify")
	}
	if u := m.AppendUnknown(nil, nil); len(u) != 0 {
		t.Errorf("unknown %v", u)
	}
}

func TestIntegritySHA256Truncation(t *testing.T) {
	key := NewIntegrity([]byte("k"))
	for n := 0; n <= 36; n++ {
		// The header's length, which the HMAC covers, reaches behind the truncated
		// attribute.
		w := Build(nil, BindingRequest, testID)
		w.Uint32(AttrPriority, 1)
		end := len(w.b)
		w.Bytes(AttrMessageIntegritySHA256, make([]byte, n))
		full := key.sum(key.bySHA256(), w.b, end, n)
		copy(w.b[end+4:end+4+n], full)
		want := n >= 16 && n <= 32 && n%4 == 0 // RFC 8489 §14.6
		if got := key.VerifySHA256(mustParse(t, w.b)); got != want {
			t.Errorf("%d bytes: %v, want %v", n, got, want)
		}
	}
}

func TestEveryBitIsCovered(t *testing.T) {
	key := NewIntegrity([]byte(vectorPassword))
	for i := range vectorRequest {
		for bit := range 8 {
			b := bytes.Clone(vectorRequest)
			b[i] ^= 1 << bit
			m, err := Parse(b)
			if err != nil {
				continue
			}
			if _, valid := m.CheckFingerprint(); valid {
				t.Errorf("bit %d of byte %d: the fingerprint holds", bit, i)
			}
			if i < len(vectorRequest)-8 && key.Verify(m) {
				t.Errorf("bit %d of byte %d: the integrity holds", bit, i)
			}
		}
	}
}

func TestUnknown(t *testing.T) {
	w := Build(nil, BindingRequest, testID)
	w.Flag(0x7001)
	w.Flag(0xc057)
	w.Flag(0x7001)
	w.Flag(0x7002)
	w.Uint32(AttrLifetime, 1)
	m := mustParse(t, w.Finish())
	if got := m.AppendUnknown(nil, nil); !slices.Equal(got, []AttrType{0x7001, 0x7002}) {
		t.Errorf("%v", got)
	}
	only := func(a AttrType) bool { return a == 0x7002 }
	if got := m.AppendUnknown(nil, only); !slices.Equal(got, []AttrType{0x7001, AttrLifetime}) {
		t.Errorf("%v", got)
	}
	for i := range AttrType(100) {
		w.Flag(0x7100 + i)
	}
	if got := mustParse(t, w.Finish()).AppendUnknown(nil, nil); len(got) != 16 {
		t.Errorf("%d listed, want 16", len(got))
	}
}

func TestNames(t *testing.T) {
	known := 0
	for a := range AttrType(0xffff) {
		if a.known() {
			known++
		} else if s := a.String(); !strings.HasPrefix(s, "0x") || len(s) != 6 {
			t.Fatalf("%s", s)
		}
	}
	if known != 46 {
		t.Errorf("%d attributes have names", known)
	}
	for c := CodeTryAlternate; c < 700; c++ {
		e := &Error{Code: c}
		if c.Reason() != "" && !strings.Contains(e.Error(), c.Reason()) {
			t.Errorf("%v", e)
		}
	}
	e := &Error{Code: 401, Reason: printable([]byte("a\x1bb"+strings.Repeat("x", 200)), 5)}
	if e.Error() != "stun: error 401 (a?bxx)" {
		t.Error(e)
	}
	if Class(9).String() != "Class(9)" {
		t.Error(Class(9))
	}
	for m := range Method(16) {
		if m.String() == "" {
			t.Error(m)
		}
	}
}

func TestNonceFeatures(t *testing.T) {
	for f := range SecurityFeatures(1 << 24) {
		if f&0xff0f0f != f && f%4099 != 0 {
			continue
		}
		got, ok := NonceFeatures(append(AppendNonceCookie(nil, f), "rest"...))
		if !ok || got != f {
			t.Fatalf("%#x comes back as %#x, %v", f, got, ok)
		}
	}
	for _, nonce := range []string{"", "obMatJos2", "obMatJos2AA", "obMatJos2A*AA", "obMatJos3AAAA"} {
		if f, ok := NonceFeatures([]byte(nonce)); ok {
			t.Errorf("%q has features %#x", nonce, f)
		}
	}
	if got := AppendNonceCookie(nil, FeaturePasswordAlgorithms|FeatureUsernameAnonymity); string(got) != "obMatJos2wAAA" {
		t.Errorf("%s", got)
	}
}

func TestPasswordAlgorithms(t *testing.T) {
	for _, v := range []struct {
		list string
		want PasswordAlgorithm
	}{
		{"", 0},
		{"00010000", PasswordMD5},
		{"00020000 00010000", PasswordSHA256},
		{"00090003 aabbcc00 00020000", PasswordSHA256},
		{"0009ffff 00020000", 0},
		{"000900", 0},
	} {
		if got := BestPasswordAlgorithm(unhex(v.list)); got != v.want {
			t.Errorf("%s: %d, want %d", v.list, got, v.want)
		}
	}
	// The key is that of the example in RFC 8489 §9.2.2.
	if k := PasswordMD5.Key("user", "realm", "pass"); !bytes.Equal(k, unhex("8493fbc53ba582fb4c044c456bdc40eb")) {
		t.Errorf("MD5 key %x", k)
	}
	if k := PasswordSHA256.Key("user", "realm", "pass"); len(k) != 32 {
		t.Errorf("SHA-256 key %x", k)
	}
	if k := PasswordAlgorithm(7).Key("user", "realm", "pass"); k != nil {
		t.Errorf("key of an unknown algorithm %x", k)
	}
}

func TestRetransmission(t *testing.T) {
	start := time.Unix(1000, 0)
	var r Retransmission
	if r.Active() || !r.Next().IsZero() {
		t.Error("runs before Start")
	}
	r.Start(start, 0)
	// RFC 8489 §6.2.1: "requests are sent at times 0 ms, 500 ms, 1500 ms,
	// 3500 ms, 7500 ms, 15500 ms, and 31500 ms", given up at 39500 ms.
	for i, at := range []int{0, 500, 1500, 3500, 7500, 15500, 31500} {
		now := start.Add(time.Duration(at) * time.Millisecond)
		if !r.Next().Equal(now) {
			t.Errorf("sending %d at %v, want %d ms", i, r.Next().Sub(start), at)
		}
		if send, failed := r.Due(now.Add(-1)); send || failed {
			t.Errorf("sending %d is early", i)
		}
		if send, failed := r.Due(now); !send || failed {
			t.Errorf("sending %d: %v, %v", i, send, failed)
		}
		if r.Sent() != i+1 {
			t.Errorf("sent %d", r.Sent())
		}
	}
	if send, failed := r.Due(start.Add(39500 * time.Millisecond)); send || !failed || r.Active() {
		t.Errorf("at the end: %v, %v", send, failed)
	}

	r.StartReliable(start)
	if send, _ := r.Due(start); !send {
		t.Error("not sent")
	}
	if got := r.Next().Sub(start); got > ReliableTimeout || got < ReliableTimeout-time.Microsecond {
		t.Errorf("waits %v", got)
	}
	if _, failed := r.Due(start.Add(ReliableTimeout)); !failed {
		t.Error("not given up")
	}
}

func TestNoAllocations(t *testing.T) {
	key := NewIntegrity([]byte(vectorPassword))
	buf := make([]byte, 0, 1500)
	addr := netip.MustParseAddrPort("192.0.2.1:1")
	check := func() {
		w := Build(buf, BindingRequest, testID)
		w.String(AttrUsername, "abcd:efgh")
		w.Uint32(AttrPriority, 1)
		w.XORAddr(AttrXORMappedAddress, addr)
		w.Integrity(key)
		w.Fingerprint()
		m, err := Parse(w.Finish())
		if err != nil || !key.Verify(m) {
			t.Fatal("does not verify")
		}
		for range m.Attributes() {
		}
		m.MappedAddress()
	}
	if n := testing.AllocsPerRun(100, check); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, v := range [][]byte{vectorRequest, vectorResponse4, vectorResponse6, vectorLongTerm, vectorSHA256} {
		f.Add(v)
	}
	key := NewIntegrity([]byte(vectorPassword))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		m, err := Parse(b)
		if err != nil {
			return
		}
		w := Build(nil, m.Type(), m.TransactionID())
		n := 0
		for a, v := range m.Attributes() {
			n += 4 + len(v)
			w.Bytes(a, v)
			m.DecodeXORAddr(v)
			BestPasswordAlgorithm(v)
		}
		if n > len(b)-HeaderSize {
			t.Errorf("%d bytes of attributes in a message of %d", n, len(b))
		}
		if got := mustParse(t, w.Finish()); got.Type() != m.Type() || len(got.Raw()) > len(b) {
			t.Error("does not survive a round trip")
		}
		m.MappedAddress()
		m.Err()
		m.UnknownAttributes()
		m.AppendUnknown(nil, nil)
		key.Verify(m)
		key.VerifySHA256(m)
		m.CheckFingerprint()
		if v, ok := m.Get(AttrNonce); ok {
			NonceFeatures(v)
		}
		if !bytes.Equal(before, b) {
			t.Error("the datagram was changed")
		}
		if binary.BigEndian.Uint16(b[2:]) != uint16(len(b)-HeaderSize) {
			t.Error("wrong length accepted")
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	key := NewIntegrity([]byte(vectorPassword))
	buf := make([]byte, 0, 1500)
	b.ReportAllocs()
	for b.Loop() {
		w := Build(buf, BindingRequest, testID)
		w.String(AttrUsername, "abcd:efgh")
		w.Uint32(AttrPriority, 1)
		w.Uint64(AttrICEControlled, 1)
		w.Integrity(key)
		w.Fingerprint()
		m, _ := Parse(w.Finish())
		if !key.Verify(m) {
			b.Fatal("does not verify")
		}
	}
}

// TestIntegrityIsHMAC compares the HMACs of this package with those of crypto/hmac,
// for keys that are shorter than a block, as long as a block, and longer.
func TestIntegrityIsHMAC(t *testing.T) {
	for _, n := range []int{0, 1, 20, 63, 64, 65, 300} {
		key := bytes.Repeat([]byte{byte(n), 7}, n)[:n]
		k := NewIntegrity(key)
		for range 2 {
			w := Build(nil, BindingRequest, TransactionID{1})
			w.Integrity(k)
			w.IntegritySHA256(k)
			raw := w.Finish()
			m, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			check := func(a AttrType, newHash func() hash.Hash, size int) {
				offset, got, _ := m.find(a)
				b := bytes.Clone(raw[:offset])
				binary.BigEndian.PutUint16(b[2:], uint16(offset+attrHeaderSize+size-HeaderSize))
				mac := hmac.New(newHash, key)
				mac.Write(b)
				if want := mac.Sum(nil); !bytes.Equal(got, want) {
					t.Errorf("key of %d bytes: %v is %x, want %x", n, a, got, want)
				}
			}
			check(AttrMessageIntegrity, sha1.New, sizeSHA1)
			check(AttrMessageIntegritySHA256, sha256.New, sizeSHA256)
		}
	}
}
