package turn

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"purertc/stun"
)

var (
	serverAddr = netip.MustParseAddrPort("192.0.2.1:3478")
	mapped     = netip.MustParseAddrPort("198.51.100.7:4000")
	relayed4   = netip.MustParseAddrPort("192.0.2.1:50000")
	relayed6   = netip.MustParseAddrPort("[2001:db8::1]:50001")
	peer       = netip.MustParseAddrPort("203.0.113.5:6000")
)

// A script is a client whose server is the test, in virtual time.
type script struct {
	*testing.T
	*Client
	now   time.Time
	realm string
	nonce []byte
	algo  stun.PasswordAlgorithm // 0: the server implements RFC 5389 only
	pass  string
}

func newScript(t *testing.T, change func(*Config)) *script {
	next := byte(0)
	cfg := Config{Server: serverAddr, Username: "u", Password: "p", NewID: func() stun.TransactionID {
		next++
		return stun.TransactionID{0: next, 11: 1}
	}}
	if change != nil {
		change(&cfg)
	}
	s := &script{T: t, Client: NewClient(cfg), now: time.Unix(1e9, 0), realm: "r", nonce: []byte("n1"), pass: "p"}
	s.Start(s.now)
	return s
}

// want takes the next request, which must have this method.
func (s *script) want(why string, method stun.Method) stun.Message {
	s.Helper()
	b, ok := s.AppendRequest(nil)
	if !ok {
		s.Fatalf("%s: no request", why)
	}
	m, err := stun.Parse(b)
	if err != nil || m.Type().Method() != method {
		s.Fatalf("%s: %v, %v", why, m.Type(), err)
	}
	return m
}

func (s *script) wantIdle(why string) {
	s.Helper()
	if b, ok := s.AppendRequest(nil); ok {
		s.Fatalf("%s: % x", why, b)
	}
}

func (s *script) wantEvent(why string, kind EventKind) Event {
	s.Helper()
	e, ok := s.NextEvent()
	if !ok || e.Kind != kind {
		s.Fatalf("%s: %+v, %v", why, e, ok)
	}
	return e
}

func (s *script) wantFailed(why string, words string) {
	s.Helper()
	e := s.wantEvent(why, EventFailed)
	if !strings.Contains(e.Err.Error(), words) {
		s.Fatalf("%s: %v", why, e.Err)
	}
	s.wantIdle(why)
}

func (s *script) key() *stun.Integrity {
	algo := s.algo
	if algo == 0 {
		algo = stun.PasswordMD5
	}
	return stun.NewIntegrity(algo.Key("u", s.realm, s.pass))
}

// answer sends an answer to m; code 0 is success.
func (s *script) answer(m stun.Message, code stun.ErrorCode, signed bool, more func(w *stun.Builder)) {
	class := stun.ClassSuccess
	if code != 0 {
		class = stun.ClassError
	}
	w := stun.Build(nil, stun.NewType(m.Type().Method(), class), m.TransactionID())
	if code != 0 {
		w.ErrorCode(code)
	}
	if more != nil {
		more(&w)
	}
	switch {
	case signed && s.algo != 0:
		w.IntegritySHA256(s.key())
	case signed:
		w.Integrity(s.key())
	}
	w.Fingerprint()
	r, err := stun.Parse(w.Finish())
	if err != nil {
		s.Fatal(err)
	}
	if !s.HandleResponse(s.now, r) {
		s.Fatalf("no request of the client has the response %v", r.Type())
	}
}

// challenge sends a 401 or 438 response.
func (s *script) challenge(m stun.Message, code stun.ErrorCode) {
	s.answer(m, code, false, func(w *stun.Builder) {
		w.String(stun.AttrRealm, s.realm)
		w.Bytes(stun.AttrNonce, s.nonce)
		if s.algo != 0 {
			w.PasswordAlgorithms(99, s.algo)
		}
	})
}

// wantSigned checks the credentials of a request.
func (s *script) wantSigned(why string, m stun.Message) {
	s.Helper()
	nonce, _ := m.Get(stun.AttrNonce)
	ok := s.algo == 0 && s.key().Verify(m) || s.algo != 0 && s.key().VerifySHA256(m) && !m.Has(stun.AttrMessageIntegrity)
	if !ok || !bytes.Equal(nonce, s.nonce) {
		s.Fatalf("%s: nonce %q, integrity %v", why, nonce, ok)
	}
}

// allocate runs the script until the allocation exists.
func (s *script) allocate() {
	s.Helper()
	s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
	m := s.want("with credentials", stun.MethodAllocate)
	s.wantSigned("with credentials", m)
	s.grant(m)
	s.wantEvent("granted", EventAllocated)
	s.wantIdle("granted")
}

func (s *script) grant(m stun.Message) {
	s.answer(m, 0, true, func(w *stun.Builder) {
		w.XORAddr(stun.AttrXORRelayedAddress, relayed4)
		w.XORAddr(stun.AttrXORRelayedAddress, relayed6)
		w.XORAddr(stun.AttrXORMappedAddress, mapped)
		w.Uint32(stun.AttrLifetime, 600)
	})
}

func (s *script) advance(d time.Duration) {
	s.now = s.now.Add(d)
	s.Advance(s.now)
}

func TestAllocation(t *testing.T) {
	for _, algo := range []stun.PasswordAlgorithm{0, stun.PasswordMD5, stun.PasswordSHA256} {
		s := newScript(t, nil)
		if s.algo = algo; algo != 0 {
			s.nonce = append(stun.AppendNonceCookie(nil, stun.FeaturePasswordAlgorithms|stun.FeatureUsernameAnonymity), 'x')
		}
		first := s.want("first", stun.MethodAllocate)
		if first.Has(stun.AttrUsername) || first.Has(stun.AttrMessageIntegrity) || !first.Has(stun.AttrAdditionalAddressFamily) {
			t.Error("RFC 8489 §9.2.3.1: the first request has no credentials")
		}
		s.wantIdle("once")
		s.challenge(first, stun.CodeUnauthenticated)
		m := s.want("with credentials", stun.MethodAllocate)
		s.wantSigned("with credentials", m)
		hash, hashed := m.Get(stun.AttrUserhash)
		if hashed != (algo != 0) || m.Has(stun.AttrUsername) == hashed || hashed && !bytes.Equal(hash, stun.Userhash("u", "r")) {
			t.Errorf("algorithm %d: USERHASH %x", algo, hash)
		}
		s.grant(m)
		s.wantEvent("granted", EventAllocated)
		if r := s.Relayed(); len(r) != 2 || r[0] != relayed4 || r[1] != relayed6 || s.Mapped() != mapped || !s.Ready() {
			t.Errorf("relayed %v, mapped %v", r, s.Mapped())
		}
	}
}

func TestRefreshAndStaleNonce(t *testing.T) {
	s := newScript(t, nil)
	s.allocate()
	if at := s.NextTimeout(); !at.Equal(s.now.Add(9 * time.Minute)) {
		t.Errorf("refresh in %v", at.Sub(s.now))
	}
	s.advance(9 * time.Minute)
	m := s.want("refresh", stun.MethodRefresh)
	s.nonce = []byte("n2")
	s.challenge(m, stun.CodeStaleNonce)
	m = s.want("with the new nonce", stun.MethodRefresh)
	s.wantSigned("with the new nonce", m)
	s.answer(m, 0, true, func(w *stun.Builder) { w.Uint32(stun.AttrLifetime, 600) })
	s.advance(2 * time.Minute)
	if !s.Ready() {
		t.Error("the allocation ended although it was refreshed")
	}
	// The client gives up a server with nonces that are always stale.
	s.advance(7 * time.Minute)
	for range maxAttempts {
		s.challenge(s.want("again", stun.MethodRefresh), stun.CodeStaleNonce)
	}
	s.wantFailed("always stale", "stale")
}

func TestRetransmissionAndTimeout(t *testing.T) {
	s := newScript(t, nil)
	sent := 0
	for range 1000 {
		for {
			if _, ok := s.AppendRequest(nil); !ok {
				break
			}
			sent++
		}
		at := s.NextTimeout()
		if at.IsZero() {
			break
		}
		s.advance(at.Sub(s.now))
	}
	if sent != 7 {
		t.Errorf("%d requests", sent)
	}
	s.wantFailed("nobody there", ErrTimeout.Error())

	s = newScript(t, func(c *Config) { c.Reliable = true })
	s.want("over TCP", stun.MethodAllocate)
	s.advance(stun.ReliableTimeout - time.Second)
	s.wantIdle("nothing is repeated over TCP")
	s.advance(2 * time.Second)
	s.wantFailed("nobody there", ErrTimeout.Error())
}

// The test sends each possible response to the request with credentials, and checks
// the result.
func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		code stun.ErrorCode
		want string
	}{
		{stun.CodeBadRequest, "malformed"},
		{stun.CodeForbidden, "policy"},
		{stun.CodeUnknownAttribute, "attribute"},
		{stun.CodeWrongCredentials, "another username"},
		{stun.CodeUnsupportedTransport, "does not relay UDP"},
		{stun.CodePeerFamilyMismatch, "another family"},
		{stun.CodeAllocationQuota, "quota"},
		{stun.CodeInsufficientCapacity, "no free relayed address"},
		{stun.CodeServerError, "for the moment"},
		{599, "refuses"},
	} {
		s := newScript(t, nil)
		s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
		m := s.want("second", stun.MethodAllocate)
		s.answer(m, tt.code, false, nil) // a forged response is treated as if it was never received
		if _, ok := s.NextEvent(); ok {
			t.Fatalf("%d: an answer without integrity counts", tt.code)
		}
		s.answer(m, tt.code, true, nil)
		s.wantFailed(tt.want, tt.want)
		if e := (*stun.Error)(nil); !errors.As(s.Err(), &e) || e.Code != tt.code {
			t.Errorf("%d: %v", tt.code, s.Err())
		}
	}
}

func TestWrongPassword(t *testing.T) {
	s := newScript(t, nil)
	s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
	s.challenge(s.want("second", stun.MethodAllocate), stun.CodeUnauthenticated)
	s.wantFailed("again", ErrPassword.Error())

	s = newScript(t, func(c *Config) { c.Username, c.Password = "", "" })
	s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
	s.wantFailed("no credentials", ErrNoCredentials.Error())

	// A server that does not know the password cannot sign its responses, which are
	// ignored.
	for _, reliable := range []bool{false, true} {
		s = newScript(t, func(c *Config) { c.Reliable = reliable })
		s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
		m := s.want("second", stun.MethodAllocate)
		s.pass = "other"
		s.grant(m)
		s.advance(time.Minute)
		for !reliable && s.Err() == nil {
			s.advance(time.Minute)
		}
		s.wantFailed("forged", ErrIntegrity.Error())
	}
}

func TestBidDown(t *testing.T) {
	s := newScript(t, nil)
	s.nonce = append(stun.AppendNonceCookie(nil, stun.FeaturePasswordAlgorithms), 'x')
	s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated) // the challenge lacks the list of password algorithms
	s.wantFailed("RFC 8489 §9.2.5", ErrBidDown.Error())
}

func TestAlternateServer(t *testing.T) {
	other := netip.MustParseAddrPort("192.0.2.2:3478")
	s := newScript(t, nil)
	redirect := func(to netip.AddrPort) func(*stun.Builder) {
		return func(w *stun.Builder) { w.Addr(stun.AttrAlternateServer, to) }
	}
	s.answer(s.want("first", stun.MethodAllocate), stun.CodeTryAlternate, false, redirect(other))
	if s.Server() != other {
		t.Fatalf("server %v", s.Server())
	}
	s.answer(s.want("the other", stun.MethodAllocate), stun.CodeTryAlternate, false, redirect(serverAddr))
	s.wantFailed("a loop", "300")

	s = newScript(t, func(c *Config) { c.Connected = true })
	s.answer(s.want("first", stun.MethodAllocate), stun.CodeTryAlternate, false, func(w *stun.Builder) {
		redirect(other)(w)
		w.String(stun.AttrAlternateDomain, "other.example")
	})
	s.wantFailed("another connection is needed", other.String())
	if e := (*AlternateError)(nil); !errors.As(s.Err(), &e) || *e != (AlternateError{other, "other.example"}) {
		t.Errorf("%v", s.Err())
	}
}

// A server on another machine cannot make the client send to its own machine or link,
// neither by an alternate server nor by a relayed address. A server on this machine
// can.
func TestScopeOfServersAddresses(t *testing.T) {
	loopback, link := netip.MustParseAddrPort("127.0.0.1:50000"), netip.MustParseAddrPort("169.254.0.1:50000")
	for _, bad := range []netip.AddrPort{loopback, link, netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("224.0.0.1:1")} {
		for _, connected := range []bool{false, true} {
			s := newScript(t, func(c *Config) { c.Connected = connected })
			s.answer(s.want("first", stun.MethodAllocate), stun.CodeTryAlternate, false, func(w *stun.Builder) { w.Addr(stun.AttrAlternateServer, bad) })
			s.wantFailed(bad.String(), "300")
			if s.Server() != serverAddr {
				t.Errorf("%v is asked", s.Server())
			}
		}
		s := newScript(t, nil)
		s.answer(s.want("first", stun.MethodAllocate), 0, false, func(w *stun.Builder) {
			w.XORAddr(stun.AttrXORRelayedAddress, bad)
			w.Uint32(stun.AttrLifetime, 600)
		})
		s.wantFailed(bad.String(), ErrAnswer.Error())
	}
	s := newScript(t, func(c *Config) { c.Server = netip.MustParseAddrPort("127.0.0.1:3478") })
	s.answer(s.want("first", stun.MethodAllocate), 0, false, func(w *stun.Builder) {
		w.XORAddr(stun.AttrXORRelayedAddress, loopback)
		w.XORAddr(stun.AttrXORMappedAddress, loopback)
		w.Uint32(stun.AttrLifetime, 600)
	})
	s.wantEvent("on this machine", EventAllocated)
	if s.Mapped() != loopback {
		t.Errorf("mapped %v", s.Mapped())
	}
}

// The allocation that an earlier program left at the server is released. coturn
// removes it a second later, so the request is repeated twice.
func TestMismatchedAllocationIsReleased(t *testing.T) {
	for _, letsGo := range []bool{true, false} {
		s := newScript(t, nil)
		s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
		s.answer(s.want("second", stun.MethodAllocate), stun.CodeAllocationMismatch, true, nil)
		m := s.want("given back", stun.MethodRefresh)
		if v, _ := m.Uint32(stun.AttrLifetime); v != 0 {
			t.Errorf("lifetime %d", v)
		}
		s.answer(m, 0, true, func(w *stun.Builder) { w.Uint32(stun.AttrLifetime, 0) })
		s.answer(s.want("again", stun.MethodAllocate), stun.CodeAllocationMismatch, true, nil)
		s.wantIdle("it takes a while")
		if d := s.NextTimeout().Sub(s.now); d != letGo {
			t.Errorf("waits for %v", d)
		}
		s.advance(letGo)
		m = s.want("after that", stun.MethodAllocate)
		if letsGo {
			s.grant(m)
			s.wantEvent("it is ours", EventAllocated)
			continue
		}
		s.answer(m, stun.CodeAllocationMismatch, true, nil)
		s.wantFailed("no more", "437")
	}
}

// coturn refuses with this error before it asks for credentials. It asks for them when
// it receives the Refresh.
func TestMismatchBeforeCredentials(t *testing.T) {
	s := newScript(t, nil)
	s.answer(s.want("first", stun.MethodAllocate), stun.CodeAllocationMismatch, false, nil)
	s.challenge(s.want("given back", stun.MethodRefresh), stun.CodeUnauthenticated)
	m := s.want("with credentials", stun.MethodRefresh)
	s.wantSigned("with credentials", m)
	s.answer(m, stun.CodeAllocationMismatch, true, nil) // the server has already removed the allocation
	s.grant(s.want("again", stun.MethodAllocate))
	s.wantEvent("it is ours", EventAllocated)
}

func TestIPv6Only(t *testing.T) {
	s := newScript(t, nil)
	s.challenge(s.want("first", stun.MethodAllocate), stun.CodeUnauthenticated)
	s.answer(s.want("second", stun.MethodAllocate), stun.CodeFamilyNotSupported, true, nil)
	m := s.want("of IPv6", stun.MethodAllocate)
	if v, _ := m.Get(stun.AttrRequestedAddressFamily); len(v) != 4 || v[0] != byte(stun.IPv6) {
		t.Errorf("family % x", v)
	}
	s.answer(m, stun.CodeFamilyNotSupported, true, nil)
	s.wantFailed("neither", "440")
}

func TestNonsenseAnswers(t *testing.T) {
	for name, more := range map[string]func(w *stun.Builder){
		"nothing":     nil,
		"no lifetime": func(w *stun.Builder) { w.XORAddr(stun.AttrXORRelayedAddress, relayed4) },
		"no address":  func(w *stun.Builder) { w.Uint32(stun.AttrLifetime, 600) },
		"required":    func(w *stun.Builder) { w.Flag(0x7abc) },
	} {
		s := newScript(t, nil)
		s.answer(s.want(name, stun.MethodAllocate), 0, false, more)
		s.wantFailed(name, ErrAnswer.Error())
	}
}

func TestPermissionAndChannel(t *testing.T) {
	s := newScript(t, nil)
	s.allocate()
	ip := peer.Addr()
	s.Permit(s.now, ip)
	s.Permit(s.now, ip)
	m := s.want("permission", stun.MethodCreatePermission)
	s.wantIdle("asked for once")
	if a, _ := m.XORAddr(stun.AttrXORPeerAddress); a.Addr() != ip {
		t.Errorf("peer %v", a)
	}
	if p, _ := s.Permission(ip); p != Unknown {
		t.Errorf("permission %v", p)
	}
	s.answer(m, 0, true, nil)
	if p, _ := s.Permission(ip); p != Granted {
		t.Errorf("permission %v", p)
	}
	if n := s.Overhead(peer); n != 39 {
		t.Errorf("overhead %d", n)
	}
	s.Bind(s.now, peer)
	m = s.want("channel", stun.MethodChannelBind)
	if v, _ := m.Uint32(stun.AttrChannelNumber); v != firstChannel<<16 {
		t.Errorf("channel %x", v)
	}
	s.answer(m, 0, true, nil)
	if n := s.Overhead(peer); n != channelHeader {
		t.Errorf("overhead %d", n)
	}
	s.advance(permissionRefresh)
	s.answer(s.want("permission again", stun.MethodCreatePermission), 0, true, nil)
	s.advance(permissionRefresh)
	s.answer(s.want("permission again", stun.MethodCreatePermission), stun.CodeForbidden, true, nil)
	if p, err := s.Permission(ip); p != Refused || !strings.Contains(err.Error(), "policy") {
		t.Errorf("permission %v, %v", p, err)
	}
	s.advance(time.Minute)
	s.answer(s.want("refresh", stun.MethodRefresh), 0, true, func(w *stun.Builder) { w.Uint32(stun.AttrLifetime, 600) })
	s.answer(s.want("channel again", stun.MethodChannelBind), stun.CodeBadRequest, true, nil)
	if n := s.Overhead(peer); n != 39 {
		t.Errorf("overhead %d after the channel was refused", n)
	}
	s.KeepAlive()
	b, _ := s.AppendRequest(nil)
	if m, err := stun.Parse(b); err != nil || m.Type() != stun.BindingIndication {
		t.Errorf("keepalive % x", b)
	}
	s.Retain(func(netip.Addr) bool { return false })
	if p, _ := s.Permission(ip); p == Unknown {
		t.Error("the permission under a channel was dropped")
	}
	s.Close(s.now)
	m = s.want("released", stun.MethodRefresh)
	if v, ok := m.Uint32(stun.AttrLifetime); v != 0 || !ok {
		t.Errorf("lifetime %d", v)
	}
	s.wantIdle("released")
}

// A permission that the server does not renew, because it did not run for a while, is
// requested again. A permission that the server refuses is not.
func TestPermissionAfterOutage(t *testing.T) {
	s := newScript(t, nil)
	s.allocate()
	s.Permit(s.now, peer.Addr())
	s.grant(s.want("permission", stun.MethodCreatePermission))
	s.advance(permissionRefresh)
	for range 7 {
		s.want("refreshed, and again", stun.MethodCreatePermission)
		s.advance(s.NextTimeout().Sub(s.now))
	}
	if state, err := s.Permission(peer.Addr()); state != Granted {
		t.Errorf("after the outage: %v, %v", state, err)
	}
	m := s.want("is the allocation there?", stun.MethodRefresh)
	s.answer(m, 0, true, func(w *stun.Builder) { w.Uint32(stun.AttrLifetime, defaultLifetime) })
	s.wantIdle("not at once")
	s.advance(permissionRetry)
	m = s.want("asked for again", stun.MethodCreatePermission)
	s.answer(m, stun.CodeForbidden, true, nil)
	if state, err := s.Permission(peer.Addr()); state != Refused || err == nil {
		t.Errorf("refused: %v, %v", state, err)
	}
	s.advance(permissionRetry)
	s.wantIdle("refused")
}

func TestBoundsOfPermissions(t *testing.T) {
	s := newScript(t, nil)
	s.allocate()
	for i := range maxPermissions + 5 {
		err := s.Permit(s.now, netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}))
		if (err != nil) != (i >= maxPermissions) {
			t.Fatalf("permission %d: %v", i, err)
		}
	}
	for i := range maxChannels + 5 {
		s.Bind(s.now, netip.AddrPortFrom(peer.Addr(), uint16(1+i)))
	}
	if len(s.channels) != maxChannels {
		t.Errorf("%d channels", len(s.channels))
	}
	s.Retain(func(ip netip.Addr) bool { return ip == netip.AddrFrom4([4]byte{10}) })
	if len(s.permissions) != 1 {
		t.Errorf("%d permissions are left", len(s.permissions))
	}
}

// Data in both kinds of framing passes a server unchanged.
func TestFraming(t *testing.T) {
	s := newScript(t, nil)
	s.allocate()
	for _, bound := range []bool{false, true} {
		for _, to := range []netip.AddrPort{peer, netip.MustParseAddrPort("[2001:db8::9]:7")} {
			if bound {
				s.Bind(s.now, to)
				s.answer(s.want("channel", stun.MethodChannelBind), 0, true, nil)
			}
			for n := range 9 {
				data := bytes.Repeat([]byte{0x17}, n)
				b := append(s.Begin([]byte("before"), to), data...)
				b = s.Finish(b, len("before"))[len("before"):]
				if len(b)-n > s.Overhead(to) {
					t.Errorf("%d bytes of framing", len(b)-n)
				}
				var from netip.AddrPort
				var got []byte
				var ok bool
				if bound {
					from, got, ok = s.ChannelData(b)
				} else {
					// The data of a Send indication arrives in a Data indication.
					binary.BigEndian.PutUint16(b, uint16(stun.NewType(stun.MethodData, stun.ClassIndication)))
					m, err := stun.Parse(b)
					if err != nil {
						t.Fatal(err)
					}
					from, got, ok = s.Indication(m)
				}
				if !ok || from != to || !bytes.Equal(got, data) {
					t.Errorf("%x from %v, %v", got, from, ok)
				}
				for i := range len(b) {
					s.ChannelData(b[:i]) // truncated messages must not cause a panic
				}
			}
		}
	}
	buf := make([]byte, 0, 2000)
	if n := testing.AllocsPerRun(100, func() {
		b := s.Begin(buf, peer)
		b = s.Finish(append(b, buf[:1200]...), 0)
		s.ChannelData(b)
	}); n != 0 {
		t.Errorf("%v allocations a datagram", n)
	}
}

func FuzzResponses(f *testing.F) {
	f.Add([]byte("\x01\x03\x00\x00\x21\x12\xa4\x42\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01"), []byte{0x40, 0, 0, 1, 9})
	f.Fuzz(func(t *testing.T, response, data []byte) {
		s := newScript(t, nil)
		s.AppendRequest(nil)
		for range 3 {
			if len(response) >= stun.HeaderSize {
				id := stun.TransactionID{0: byte(len(s.requests)), 11: 1}
				copy(response[8:], id[:])
			}
			if m, err := stun.Parse(response); err == nil {
				s.HandleResponse(s.now, m)
				s.Indication(m)
			}
			s.ChannelData(data)
			s.Permit(s.now, peer.Addr())
			s.Bind(s.now, peer)
			s.advance(time.Minute)
			for i := 0; ; i++ {
				if _, ok := s.AppendRequest(nil); !ok {
					break
				} else if i > 10 {
					t.Fatal("the client never gives up")
				}
			}
		}
	})
}
