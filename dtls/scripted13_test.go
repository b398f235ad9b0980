package dtls

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"
)

// helloOf returns a record with the ClientHello of p's client, changed by change.
func helloOf(t *testing.T, p *pair, seq uint16, change func(h *clientHello)) []byte {
	t.Helper()
	h := p.client.offered().hello
	h.suites = slices.Clone(h.suites)
	if change != nil {
		change(&h)
	}
	body, err := h.marshal()
	if err != nil {
		t.Fatal(err)
	}
	return plaintext(typeClientHello, seq, body)
}

// TestServerRefusesHello13 sends ClientHellos that DTLS 1.3 forbids.
func TestServerRefusesHello13(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(h *clientHello)
		want   Alert
	}{
		{"unknown version", func(h *clientHello) { h.extensions.versions = []Version{0xfe00} }, AlertProtocolVersion},
		{"compression", func(h *clientHello) { h.compressions = []byte{0, 1} }, AlertIllegalParameter},
		{"cookie of DTLS 1.2", func(h *clientHello) { h.cookie = []byte{1} }, AlertIllegalParameter},
		{"no groups", func(h *clientHello) { h.extensions.groups = nil }, AlertMissingExtension},
		{"no shares", func(h *clientHello) { h.extensions.keyShares = nil }, AlertMissingExtension},
		{"no signatures", func(h *clientHello) { h.extensions.schemes = nil }, AlertMissingExtension},
		{"no signature in common", func(h *clientHello) { h.extensions.schemes = []SignatureScheme{RSAPKCS1SHA256} }, AlertHandshakeFailure},
		{"no suite in common", func(h *clientHello) { h.suites = []CipherSuite{0x1304} }, AlertHandshakeFailure},
		{"share of a group not offered", func(h *clientHello) { h.extensions.groups = []Group{GroupP256} }, AlertIllegalParameter},
		{"share twice", func(h *clientHello) {
			h.extensions.keyShares = append(slices.Clone(h.extensions.keyShares), h.extensions.keyShares[0])
		}, AlertIllegalParameter},
		{"no group in common", func(h *clientHello) {
			h.extensions.groups, h.extensions.keyShares = []Group{256}, []keyShare{}
		}, AlertHandshakeFailure},
		{"share too short", func(h *clientHello) {
			h.extensions.keyShares = []keyShare{{group: GroupX25519MLKEM768, data: make([]byte, 32)}}
		}, AlertIllegalParameter},
		{"share is no ML-KEM key", func(h *clientHello) {
			h.extensions.keyShares = []keyShare{{group: GroupX25519MLKEM768, data: bytes.Repeat([]byte{0xff}, 1216)}}
		}, AlertIllegalParameter},
		{"share of small order", func(h *clientHello) {
			h.extensions.keyShares = []keyShare{{group: GroupX25519, data: make([]byte, 32)}}
		}, AlertIllegalParameter},
		{"no protocol in common", func(h *clientHello) { h.extensions.alpn = []string{"h3"} }, AlertNoApplicationProtocol},
	} {
		p := newPair(t, func(client, server *Config) {
			server.Strict = true
			only13(client, server)
			server.ALPN = []string{"webrtc"}
		})
		p.start()
		p.deliver(p.server, helloOf(t, p, 0, tc.change))
		wantAlert(t, tc.why, p.server, tc.want)
	}
}

// TestClientRefusesHello13 sends ServerHellos that choose DTLS 1.3 and are invalid.
func TestClientRefusesHello13(t *testing.T) {
	share := func(g Group, n int) []keyShare { return []keyShare{{group: g, data: bytes.Repeat([]byte{9}, n)}} }
	for _, tc := range []struct {
		why    string
		change func(h *serverHello)
		want   Alert
	}{
		{"DTLS 1.2 from a server of 1.3", func(h *serverHello) {
			*h = serverHello{version: VersionDTLS12, suite: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
				extensions: helloExtensions{extendedMasterSecret: true}}
			copy(h.random[24:], downgradeTo12)
		}, AlertIllegalParameter},
		{"DTLS 1.2 from a server made to choose 1.0", func(h *serverHello) {
			*h = serverHello{version: VersionDTLS12, suite: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
				extensions: helloExtensions{extendedMasterSecret: true}}
			copy(h.random[24:], downgradeTo11)
		}, AlertIllegalParameter},
		{"selects 1.2 as 1.3 does", func(h *serverHello) { h.extensions.versions = []Version{VersionDTLS12} }, AlertIllegalParameter},
		{"legacy version", func(h *serverHello) { h.version = VersionDTLS10 }, AlertIllegalParameter},
		{"suite of 1.2", func(h *serverHello) { h.suite = TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 }, AlertIllegalParameter},
		{"suite not offered", func(h *serverHello) { h.suite = 0x1304 }, AlertIllegalParameter},
		{"compression", func(h *serverHello) { h.compression = 1 }, AlertIllegalParameter},
		{"session id", func(h *serverHello) { h.sessionID = []byte{1} }, AlertIllegalParameter},
		{"extension of 1.2", func(h *serverHello) { h.extensions.extendedMasterSecret = true }, AlertUnsupportedExtension},
		{"cookie", func(h *serverHello) { h.extensions.cookie = []byte{1} }, AlertUnsupportedExtension},
		{"no share", func(h *serverHello) { h.extensions.keyShares = nil }, AlertMissingExtension},
		{"share without data", func(h *serverHello) { h.extensions.keyShares = []keyShare{{group: GroupX25519}} }, AlertDecodeError},
		{"share of another group", func(h *serverHello) { h.extensions.keyShares = share(GroupP256, 65) }, AlertIllegalParameter},
		{"share too short", func(h *serverHello) { h.extensions.keyShares = share(GroupX25519MLKEM768, 100) }, AlertIllegalParameter},
		{"retry for nothing", func(h *serverHello) { h.random, h.extensions.keyShares = retryRandom, nil }, AlertIllegalParameter},
		{"retry with a share", func(h *serverHello) { h.random = retryRandom }, AlertDecodeError},
		{"retry for a share that was sent", func(h *serverHello) {
			h.random, h.extensions.keyShares = retryRandom, []keyShare{{group: GroupX25519}}
		}, AlertIllegalParameter},
		{"retry for a group that was not offered", func(h *serverHello) {
			h.random, h.extensions.keyShares = retryRandom, []keyShare{{group: 256}}
		}, AlertIllegalParameter},
	} {
		p := newPair(t, strictly(nil))
		p.start()
		p.flush()
		h := &serverHello{version: VersionDTLS12, suite: TLS_AES_128_GCM_SHA256, extensions: helloExtensions{
			versions: []Version{VersionDTLS13}, keyShares: share(GroupX25519, 32)}}
		tc.change(h)
		body, err := h.marshal()
		if err != nil {
			t.Fatal(err)
		}
		p.deliver(p.client, plaintext(typeServerHello, 0, body))
		wantAlert(t, tc.why, p.client, tc.want)
	}
}

// TestVersions negotiates the version between ends with different limits.
func TestVersions(t *testing.T) {
	const v12, v13 = VersionDTLS12, VersionDTLS13
	for _, tc := range []struct{ clientMin, clientMax, serverMin, serverMax, want Version }{
		{0, 0, 0, 0, v13},
		{0, v12, 0, 0, v12},
		{0, 0, 0, v12, v12},
		{v13, v13, 0, 0, v13},
		{0, 0, v13, v13, v13},
		{v13, v13, 0, v12, 0},
		{0, v12, v13, v13, 0},
	} {
		p := newPair(t, func(client, server *Config) {
			client.MinVersion, client.MaxVersion = tc.clientMin, tc.clientMax
			server.MinVersion, server.MaxVersion = tc.serverMin, tc.serverMax
		})
		p.start()
		p.run()
		var a *AlertError
		switch {
		case tc.want == 0:
			if !errors.As(p.client.Err(), &a) || a.Alert != AlertProtocolVersion || !a.Remote {
				t.Errorf("%v: %v", tc, p.client.Err())
			}
		case !p.client.Established() || !p.server.Established() || p.client.agreed.Version != tc.want || p.server.agreed.Version != tc.want:
			t.Errorf("%v: client %v %v, server %v %v", tc, p.client.agreed.Version, p.client.Err(), p.server.agreed.Version, p.server.Err())
		}
	}
}

// TestHelloRetryRequest checks that a server asks for a key share if the client has
// sent none for the server's group.
func TestHelloRetryRequest(t *testing.T) {
	for _, group := range []Group{GroupP256, GroupP384, GroupX25519} {
		for _, limit := range []int{150, 1200} {
			p := newPair(t, func(client, server *Config) {
				server.Groups = []Group{group}
				client.Groups = []Group{GroupX25519MLKEM768, GroupP256, GroupP384, GroupX25519}
				if group == GroupX25519 {
					client.Groups = []Group{GroupP384, GroupX25519}
				}
			})
			p.limit = limit
			p.connect()
			p.exchange()
			if g := p.client.ConnectionState().Group; g != group || p.server.ConnectionState().Group != group {
				t.Errorf("group %v, want %v", g, group)
			}
		}
	}
}

// TestRetryWithCookie checks that the client returns a server's cookie, and keeps its
// key shares if the server has not asked for another one.
func TestRetryWithCookie(t *testing.T) {
	p := newPair(t, strictly(nil))
	p.start()
	p.flush()
	retry := &serverHello{version: VersionDTLS12, random: retryRandom, suite: TLS_AES_128_GCM_SHA256,
		extensions: helloExtensions{versions: []Version{VersionDTLS13}, cookie: []byte("salt")}}
	body, err := retry.marshal()
	if err != nil {
		t.Fatal(err)
	}
	before := p.client.offered().hello
	share := before.extensions.keyShares[0]
	p.deliver(p.client, plaintext(typeServerHello, 0, body))
	if p.client.Err() != nil {
		t.Fatal(p.client.Err())
	}
	after, err := parseClientHello(p.client.out.messages[0].body)
	if err != nil {
		t.Fatal(err)
	}
	if string(after.extensions.cookie) != "salt" || after.random != before.random || len(after.extensions.keyShares) != 2 ||
		!bytes.Equal(after.extensions.keyShares[0].data, share.data) {
		t.Errorf("second hello %+v", after)
	}
	p.deliver(p.client, plaintext(typeServerHello, 1, body))
	wantAlert(t, "asks twice", p.client, AlertUnexpectedMessage)
}

// TestRetriedHelloMustKeep checks that a server accepts only the key share that it has
// asked for.
func TestRetriedHelloMustKeep(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(h *clientHello)
	}{
		{"still no share", nil},
		{"another suite", func(h *clientHello) { h.suites = []CipherSuite{TLS_AES_256_GCM_SHA384} }},
	} {
		p := newPair(t, func(client, server *Config) {
			server.Groups, server.Strict = []Group{GroupP256}, true
			server.MinVersion = VersionDTLS13
		})
		p.start()
		p.deliver(p.server, helloOf(t, p, 0, nil))
		if p.server.Err() != nil || !p.server.agreed.HelloRetryRequest {
			t.Fatalf("%s: no HelloRetryRequest; %v", tc.why, p.server.Err())
		}
		p.deliver(p.server, helloOf(t, p, 1, tc.change))
		wantAlert(t, tc.why, p.server, AlertIllegalParameter)
	}
}

// TestPlaintextUnderKeys checks that plaintext has no effect after keys were derived.
func TestPlaintextUnderKeys(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	for p.client.records.readEpoch(epochHandshake) == nil && p.server.records.readEpoch(epochHandshake) == nil {
		p.step()
	}
	for seq := range uint16(6) {
		p.deliver(p.server, plaintext(typeCertificate, seq, []byte("forged")))
		p.deliver(p.client, plaintext(typeEncryptedExtensions, seq+1, []byte("forged")))
	}
	p.run()
	if !p.client.Established() || !p.server.Established() {
		t.Fatalf("client %v, server %v", p.client.Err(), p.server.Err())
	}
	p.exchange()
}

// TestEarlyData13 delivers a client's data before its Finished: no data is returned until
// Finished is verified, and none is lost.
func TestEarlyData13(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	for !p.client.Established() {
		p.step()
	}
	held := p.wire
	p.wire = nil
	if len(held) == 0 || p.server.Established() {
		t.Fatal("the client's Finished is not on its way")
	}
	b := append(p.client.BeginRecord(nil), "early"...)
	p.deliver(p.server, p.client.FinishRecord(b, 0))
	if len(p.got[p.server]) != 0 {
		t.Fatal("data given up before Finished")
	}
	p.wire = held
	p.run()
	if !slices.Equal(p.got[p.server], []string{"early"}) {
		t.Errorf("got %q", p.got[p.server])
	}
	p.exchange()
}

// TestHalfRoundTripData13 delivers data that a server sends right after its Finished, as
// some servers do, after the server's flight and ahead of it. The client returns the data
// once, and not before the handshake is verified.
func TestHalfRoundTripData13(t *testing.T) {
	for _, ahead := range []bool{false, true} {
		p := newPair(t, only13)
		p.start()
		for len(p.server.records.write) < 2 { // until the server has its data keys
			p.step()
		}
		// A Conn sends no data at this stage, because it has not authenticated the
		// client. The test creates a record that is encrypted with the server's keys.
		current := p.server.records.current
		rec := append(current.begin(nil), "half"...)
		rec, err := p.server.records.seal(current, typeApplicationData, rec, 0)
		if err != nil || current.epoch != epochData || p.server.Established() {
			t.Fatalf("%v, epoch %d, established: %v", err, current.epoch, p.server.Established())
		}
		if ahead {
			p.deliver(p.client, rec)
			if len(p.got[p.client]) != 0 {
				t.Fatal("the client returned data before the handshake was verified")
			}
		} else {
			for !p.client.Established() {
				p.step()
			}
			p.deliver(p.client, rec)
		}
		p.run()
		if !slices.Equal(p.got[p.client], []string{"half"}) {
			t.Errorf("ahead of the flight: %v: the client returned %q", ahead, p.got[p.client])
		}
		p.exchange()
	}
}

// TestServerFlightOvertaken delivers the datagram with the ServerHello last. The records
// before it are kept, so nothing is retransmitted.
func TestServerFlightOvertaken(t *testing.T) {
	p := newPair(t, only13)
	p.limit = 600
	p.meddle = func(i int, d []byte) []delivery {
		if d[0] == byte(typeHandshake) && i > 2 {
			return []delivery{{d, 20 * time.Millisecond}}
		}
		return []delivery{{d, 0}}
	}
	p.connect()
	if n := p.client.Stats().Retransmissions + p.server.Stats().Retransmissions; n != 0 {
		t.Errorf("%d retransmissions", n)
	}
}

// TestClientWithoutCertificate13 connects clients without a certificate in DTLS 1.3.
func TestClientWithoutCertificate13(t *testing.T) {
	for _, auth := range []ClientAuth{ClientAuthRequire, ClientAuthRequest, ClientAuthNone} {
		p := newPair(t, func(client, server *Config) {
			only13(client, server)
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
		var a *AlertError
		if auth == ClientAuthRequire && (!errors.As(p.client.Err(), &a) || a.Alert != AlertCertificateRequired) {
			t.Errorf("client %v", p.client.Err())
		}
	}
}
