package dtls

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

func TestNewConnRefuses(t *testing.T) {
	cert := testCertificate(t, "P-256")
	good := []Fingerprint{fingerprintOf(t, "sha-256", cert)}
	anybody := func([][]byte) error { return nil }
	for _, tc := range []struct {
		name string
		cfg  Config
		want error
	}{
		{"nothing to verify the peer with", Config{Certificate: cert}, ErrNoVerification},
		{"client with nothing either", Config{Client: true, ClientAuth: ClientAuthNone}, ErrNoVerification},
		{"only weak hashes", Config{Client: true, Fingerprints: []Fingerprint{{"sha-1", make([]byte, 20)}, {"md5", make([]byte, 16)}}}, ErrNoVerification},
		{"hash of the wrong length", Config{Client: true, Fingerprints: []Fingerprint{{"sha-256", make([]byte, 20)}}}, ErrNoVerification},
		{"server without certificate", Config{Fingerprints: good}, ErrConfig},
		{"fingerprints without asking", Config{Certificate: cert, Fingerprints: good, ClientAuth: ClientAuthRequest}, ErrConfig},
		{"unknown group", Config{Certificate: cert, Fingerprints: good, Groups: []Group{1}}, ErrConfig},
		{"unknown suite", Config{Certificate: cert, Fingerprints: good, CipherSuites: []CipherSuite{1}}, ErrConfig},
		{"suites of other versions", Config{Certificate: cert, Fingerprints: good, MinVersion: VersionDTLS13, CipherSuites: []CipherSuite{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, ErrConfig},
		{"no suites", Config{Certificate: cert, Fingerprints: good, CipherSuites: []CipherSuite{}}, ErrConfig},
		{"no such version", Config{Certificate: cert, Fingerprints: good, MaxVersion: VersionDTLS10}, ErrConfig},
		{"client", Config{Client: true, Fingerprints: good}, nil},
		{"server", Config{Certificate: cert, Fingerprints: good}, nil},
		{"callback", Config{Certificate: cert, VerifyPeer: anybody}, nil},
		{"anonymous clients", Config{Certificate: cert, ClientAuth: ClientAuthNone}, nil},
	} {
		if _, err := NewConn(tc.cfg); !errors.Is(err, tc.want) {
			t.Errorf("%s: err %v, want %v", tc.name, err, tc.want)
		}
	}
}

func TestClose(t *testing.T) {
	p := newPair(t, nil)
	p.connect()
	p.client.Close(p.now)
	p.run()
	if p.client.Err() != ErrClosed || p.server.Err() != ErrPeerClosed {
		t.Errorf("client %v, server %v", p.client.Err(), p.server.Err())
	}
	if !slices.Equal(p.events[p.server], []EventKind{EventEstablished, EventClosed}) {
		t.Errorf("events %v", p.events[p.server])
	}
	if b := p.server.FinishRecord(append(p.server.BeginRecord(nil), "late"...), 0); len(b) != 0 {
		t.Errorf("%d bytes sent after the end", len(b))
	}
	if !p.client.NextTimeout().IsZero() || !p.server.NextTimeout().IsZero() {
		t.Error("timers run on")
	}
}

func TestCloseBeforeAnything(t *testing.T) {
	p := newPair(t, nil)
	p.client.Close(p.now)
	if _, ok := p.client.AppendDatagram(p.now, nil, 1200); ok {
		t.Error("says something before it began")
	}
	p.server.Start(p.now)
	p.server.Close(p.now)
	if _, ok := p.server.AppendDatagram(p.now, nil, 1200); ok {
		t.Error("a server sends before it has received anything")
	}
}

func TestHandshakeTimeout(t *testing.T) {
	p := newPair(t, nil)
	p.meddle = func(int, []byte) []delivery { return nil }
	p.client.Start(p.now)
	var sends []time.Duration
	for p.client.Err() == nil {
		n := p.sent
		if !p.step() {
			t.Fatal("gave up without an error")
		}
		if p.sent > n {
			sends = append(sends, p.now.Sub(epoch))
		}
	}
	if p.client.Err() != ErrHandshakeTimeout || p.now.Sub(epoch) != defaultHandshakeTimeout {
		t.Errorf("%v after %v", p.client.Err(), p.now.Sub(epoch))
	}
	want := []time.Duration{400, 1200, 2800, 4800, 6800}
	for i, w := range want {
		if sends[i+1] != w*time.Millisecond && sends[i] != w*time.Millisecond {
			t.Fatalf("sent at %v", sends)
		}
	}
}

func TestSetRTT(t *testing.T) {
	for _, tc := range []struct{ rtt, want time.Duration }{
		{0, defaultInitialTimeout}, {time.Microsecond, 50 * time.Millisecond},
		{100 * time.Millisecond, 200 * time.Millisecond}, {time.Minute, 3 * time.Second},
	} {
		p := newPair(t, nil)
		p.client.SetRTT(tc.rtt)
		p.client.Start(p.now)
		p.flush()
		if got := p.client.NextTimeout().Sub(p.now); got != tc.want {
			t.Errorf("RTT %v: timeout %v, want %v", tc.rtt, got, tc.want)
		}
	}
}

// plaintextAlert returns an alert that an attacker can send.
func plaintextAlert(a Alert) []byte {
	b := make([]byte, recordHeaderLen, recordHeaderLen+2)
	putRecordHeader(b, typeAlert, VersionDTLS12, 0, 0, nil, 2)
	return append(b, levelFatal, byte(a))
}

func TestForgedAlertDoesNotEndHandshake(t *testing.T) {
	p := newPair(t, nil)
	p.start()
	p.flush()
	p.deliver(p.client, plaintextAlert(AlertHandshakeFailure))
	p.deliver(p.server, plaintextAlert(AlertHandshakeFailure))
	p.run()
	if !p.client.Established() || !p.server.Established() {
		t.Fatalf("client %v, server %v", p.client.Err(), p.server.Err())
	}
	p.deliver(p.client, plaintextAlert(AlertHandshakeFailure))
	p.deliver(p.client, plaintextAlert(AlertCloseNotify))
	p.exchange()
}

func TestTrueAlertEndsHandshakeSoon(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		client.CipherSuites = []CipherSuite{TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} // the server has no RSA key
	})
	p.start()
	p.run()
	var a *AlertError
	if !errors.As(p.client.Err(), &a) || a.Alert != AlertHandshakeFailure || !a.Remote {
		t.Errorf("client %v", p.client.Err())
	}
	if !errors.As(p.server.Err(), &a) || a.Alert != AlertHandshakeFailure || a.Remote {
		t.Errorf("server %v", p.server.Err())
	}
	if took := p.now.Sub(epoch); took > 2*causeWait+time.Second {
		t.Errorf("took %v", took)
	}
}

// strictly makes both ends strict.
func strictly(change func(client, server *Config)) func(client, server *Config) {
	return func(client, server *Config) {
		if client.Strict, server.Strict = true, true; change != nil {
			change(client, server)
		}
	}
}

// only12 and only13 limit a pair to one version.
func only12(client, server *Config) {
	client.MaxVersion, server.MaxVersion = VersionDTLS12, VersionDTLS12
}
func only13(client, server *Config) {
	client.MinVersion, server.MinVersion = VersionDTLS13, VersionDTLS13
}

// TestEarlyData delivers a client's data before its Finished: no data is returned until
// Finished is verified, and none is lost.
func TestEarlyData(t *testing.T) {
	p := newPair(t, only12)
	var held []byte
	p.meddle = func(i int, d []byte) []delivery {
		if i == 2 { // the client's second flight
			held = d
			return nil
		}
		return []delivery{{d, 0}}
	}
	p.start()
	for held == nil {
		p.step()
	}
	// The server's Finished has not arrived, so the client cannot send yet. The test
	// creates a record that is encrypted with the client's keys.
	rec := append(p.client.records.current.begin(nil), "early"...)
	rec, _ = p.client.records.seal(p.client.records.current, typeApplicationData, rec, 0)
	p.deliver(p.server, rec)
	if len(p.got[p.server]) != 0 {
		t.Fatal("data given up before Finished")
	}
	p.deliver(p.server, held)
	if !slices.Equal(p.got[p.server], []string{"early"}) {
		t.Errorf("got %q", p.got[p.server])
	}
	p.run()
	p.exchange()
}

// TestGarbage checks that records that are not authentic are dropped and counted.
func TestGarbage(t *testing.T) {
	p := newPair(t, nil)
	p.connect()
	b := append(p.client.BeginRecord(nil), "hello"...)
	b = p.client.FinishRecord(b, 0)
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 0x10
		p.deliver(p.server, bad)
		p.deliver(p.server, b[:i])
	}
	if len(p.got[p.server]) != 0 {
		t.Fatalf("got %q", p.got[p.server])
	}
	s := p.server.Stats()
	if s.Malformed+s.Rejected < uint64(2*len(b)-1) {
		t.Errorf("counted %+v", s)
	}
	p.deliver(p.server, b)
	p.deliver(p.server, b)
	if !slices.Equal(p.got[p.server], []string{"hello"}) {
		t.Errorf("got %q", p.got[p.server])
	}
}

func TestALPNAndSRTP(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		client.ALPN, server.ALPN = []string{"c-webrtc", "webrtc"}, []string{"webrtc"}
		client.SRTPProfiles, server.SRTPProfiles = []uint16{1, 7}, []uint16{8, 7}
	})
	p.connect()
	for _, c := range []*Conn{p.client, p.server} {
		if s := c.ConnectionState(); s.ALPN != "webrtc" || s.SRTPProfile != 7 {
			t.Errorf("%+v", s)
		}
	}
}

func TestVerifyPeer(t *testing.T) {
	refused := errors.New("not you")
	p := newPair(t, func(client, server *Config) {
		server.VerifyPeer = func([][]byte) error { return refused }
	})
	p.start()
	p.run()
	if !errors.Is(p.server.Err(), refused) || p.client.Established() {
		t.Errorf("server %v, client %v", p.server.Err(), p.client.Err())
	}
}

func TestClientWithoutCertificate(t *testing.T) {
	for _, auth := range []ClientAuth{ClientAuthRequire, ClientAuthRequest, ClientAuthNone} {
		p := newPair(t, func(client, server *Config) {
			client.Certificate = nil
			server.Fingerprints = nil
			server.VerifyPeer = func([][]byte) error { return nil }
			server.ClientAuth = auth
		})
		p.start()
		p.run()
		if got, want := p.server.Established(), auth != ClientAuthRequire; got != want {
			t.Errorf("policy %d: established %v, err %v", auth, got, p.server.Err())
		}
	}
}

// TestLostFinished checks that a server repeats its last flight for a client that has not
// received it.
func TestLostFinished(t *testing.T) {
	p := newPair(t, only12)
	drops := 3
	p.meddle = func(i int, d []byte) []delivery {
		if d[0] == byte(typeChangeCipherSpec) && drops > 0 {
			drops--
			return nil
		}
		return []delivery{{d, 0}}
	}
	p.connect()
	if p.server.Stats().Retransmissions == 0 {
		t.Error("nothing was repeated")
	}
	p.exchange()
}

func TestSealOpenDoNotAllocate(t *testing.T) {
	for i, su := range []CipherSuite{
		TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384, TLS_CHACHA20_POLY1305_SHA256,
		TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256,
	} {
		cid := []byte(nil)
		if i >= 5 {
			cid = otherID
		}
		p := newPair(t, withCIDs(func(client, server *Config) { client.CipherSuites = []CipherSuite{su} }, usualID, cid))
		p.connect()
		payload := bytes.Repeat([]byte{7}, 1100)
		buf := make([]byte, 0, 1500)
		if n := testing.AllocsPerRun(100, func() {
			b := append(p.client.BeginRecord(buf), payload...)
			b = p.client.FinishRecord(b, 0)
			if len(b) != len(payload)+p.client.Overhead() {
				t.Fatal("overhead is wrong")
			}
			data, _ := p.server.HandleRecord(p.now, b)
			if len(data) != len(payload) {
				t.Fatal("does not open")
			}
		}); n != 0 {
			t.Errorf("%v, connection ID %q: %v allocations a record", su, cid, n)
		}
	}
}

// TestUnifiedHeader parses each form of the header of RFC 9147 §4, whole and cut short.
func TestUnifiedHeader(t *testing.T) {
	for _, test := range []struct {
		b      string
		cidLen int
		want   recordHeader // all fields zero: the header is refused
	}{
		{"\x20\x07rest", 0, recordHeader{unified: true, numberLen: 1, size: 2, length: 4}},
		{"\x2b\x07\x08rest", 0, recordHeader{unified: true, numberLen: 2, epoch: 3, size: 3, length: 4}},
		{"\x26\x07\x00\x02rest", 0, recordHeader{unified: true, numberLen: 1, epoch: 2, size: 4, length: 2}},
		{"\x2e\x07\x08\x00\x04rest", 0, recordHeader{unified: true, numberLen: 2, epoch: 2, size: 5, length: 4}},
		{"\x30id\x07rest", 2, recordHeader{unified: true, hasCID: true, numberLen: 1, size: 4, length: 4}},
		{"\x3did\x07\x08\x00\x01rest", 2, recordHeader{unified: true, hasCID: true, numberLen: 2, epoch: 1, size: 7, length: 1}},
		{"\x2c\x07\x08\x00\x05rest", 0, recordHeader{}},
		{"\x2c\x07\x08\x00", 0, recordHeader{}},
		{"\x30id\x07rest", 0, recordHeader{}},
		{"\x38i", 2, recordHeader{}},
		{"\x28\x07", 0, recordHeader{}},
	} {
		var got recordHeader
		if ok := got.parse([]byte(test.b), test.cidLen); ok != test.want.unified || ok && got != test.want {
			t.Errorf("%x: %t, %+v, want %+v", test.b, ok, got, test.want)
		}
	}
}

// A server confirms only Config.ServerName. If it is empty, the client's name has no
// effect: old versions of pion fail if the name is confirmed.
func TestServerNameConfirmed(t *testing.T) {
	for own, confirmed := range map[string]bool{"": false, "example.org": false, "Example.com": true} {
		p := newPair(t, func(c, s *Config) {
			only12(c, s)
			c.ServerName, s.ServerName = "example.com", own
		})
		p.start()
		hello, _ := p.client.AppendDatagram(p.now, nil, p.limit)
		p.deliver(p.server, hello)
		flight, _ := p.server.AppendDatagram(p.now, nil, p.limit)
		end := 13 + 12 + int(flight[13+3]) // the headers of record and message, and the message, which is shorter than 256 bytes
		sh, err := parseServerHello(flight[13+12 : end])
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(sh.extensions.seen, extServerName); got != confirmed {
			t.Errorf("server %q: confirmed %t", own, got)
		}
		if got := p.server.ConnectionState().ServerName; got != "example.com" {
			t.Errorf("the server knows of %q", got)
		}
	}
}
