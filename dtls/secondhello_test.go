package dtls

import (
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"io"
	"slices"
	"testing"
)

// A recordedSigner takes the place of a private key of which an attacker has one
// signature.
type recordedSigner struct {
	crypto.Signer
	signature []byte
}

func (s recordedSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.signature, nil
}

// TestVersionAfterRetryRequest checks that a second ClientHello cannot change the version
// that a HelloRetryRequest has chosen. If it could, the transcript of DTLS 1.2 would be
// empty, and a signature of no content would authenticate the attacker.
func TestVersionAfterRetryRequest(t *testing.T) {
	owner, own := testCertificate(t, "P-256"), testCertificate(t, "P-256")
	nothing := sha256.Sum256(nil)
	signature, err := owner.PrivateKey.(crypto.Signer).Sign(nil, nothing[:], ECDSAP256SHA256.options())
	if err != nil {
		t.Fatal(err)
	}
	thief := &tls.Certificate{Certificate: owner.Certificate, PrivateKey: recordedSigner{owner.PrivateKey.(crypto.Signer), signature}}
	for name, cert := range map[string]*tls.Certificate{"owner": owner, "thief": thief} {
		anybody := func([][]byte) error { return nil }
		first := Config{Client: true, Groups: []Group{GroupX25519, GroupP384}, MinVersion: VersionDTLS13, VerifyPeer: anybody}
		p := pairOf(t, first, Config{Certificate: own, Groups: []Group{GroupP384}, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", owner)}})
		p.start()
		p.flush()
		p.step() // the server has asked for another key share
		if !p.server.agreed.HelloRetryRequest {
			t.Fatal("no HelloRetryRequest")
		}
		p.wire = nil
		second := Config{Client: true, Certificate: cert, Groups: []Group{GroupP384}, MaxVersion: VersionDTLS12, VerifyPeer: anybody}
		if p.client, err = NewConn(second); err != nil {
			t.Fatal(err)
		}
		p.client.Start(p.now)
		p.client.offered().sent.seq, p.client.out.messages[0].seq, p.client.out.nextSeq, p.client.in.next = 1, 1, 2, 1
		for range 200 {
			if !p.step() {
				break
			}
		}
		if p.server.Established() || p.client.Established() {
			t.Errorf("%s: a handshake of DTLS 1.2 after a HelloRetryRequest of DTLS 1.3", name)
		}
		if p.server.ConnectionState().Version == VersionDTLS12 {
			t.Errorf("%s: the server took DTLS 1.2", name)
		}
	}
}

// TestSecondClientHello checks that a second ClientHello has only the changes that RFC 8446
// §4.1.2 lists.
func TestSecondClientHello(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(h *clientHello)
		want   Alert // 0: the hello is accepted
	}{
		{"the same", func(*clientHello) {}, 0},
		{"no DTLS 1.3", func(h *clientHello) { h.extensions.versions = []Version{VersionDTLS12} }, AlertIllegalParameter},
		{"no supported_versions", func(h *clientHello) { h.extensions.versions = nil }, AlertIllegalParameter},
		{"another random", func(h *clientHello) { h.random[0] ^= 1 }, AlertIllegalParameter},
		{"a session id", func(h *clientHello) { h.sessionID = []byte{1} }, AlertIllegalParameter},
		{"other suites", func(h *clientHello) { h.suites = h.suites[:1] }, AlertIllegalParameter},
		{"a cookie of DTLS 1.2", func(h *clientHello) { h.cookie = []byte{1} }, AlertIllegalParameter},
	} {
		for _, stateless := range []bool{false, true} {
			p := newPair(t, func(client, server *Config) {
				server.Groups = []Group{GroupP384}
				client.DeferShares = stateless
				client.Strict, server.Strict = true, true
			})
			p.client.Start(p.now)
			hello, _ := p.client.AppendDatagram(p.now, nil, 1400)
			var validator *AddressValidator
			if stateless {
				var err error
				if validator, err = NewAddressValidator(*p.server.hs.cfg); err != nil {
					t.Fatal(err)
				}
				retry, _ := validator.HandleHello(p.now, []byte("address"), hello, nil)
				p.deliver(p.client, retry)
			} else {
				p.server.Start(p.now)
				for ; len(hello) > 0; hello, _ = p.client.AppendDatagram(p.now, nil, 1400) {
					p.deliver(p.server, hello)
				}
				retry, _ := p.server.AppendDatagram(p.now, nil, 1400)
				p.deliver(p.client, retry)
			}
			h := p.client.offered().hello
			h.suites = slices.Clone(h.suites)
			test.change(&h)
			body, err := h.marshal()
			if err != nil {
				t.Fatal(err)
			}
			second := plaintext(typeClientHello, 1, body)
			if stateless {
				if _, p.server = validator.HandleHello(p.now, []byte("address"), second, nil); p.server == nil {
					if test.want != AlertIllegalParameter {
						t.Errorf("%s: the validator makes no connection", test.name)
					}
					continue
				}
			}
			p.deliver(p.server, second)
			if test.want != 0 {
				wantAlert(t, test.name, p.server, test.want)
			} else if p.server.Err() != nil || p.server.ConnectionState().Version != VersionDTLS13 {
				t.Errorf("%s: %v", test.name, p.server.Err())
			}
		}
	}
}

// TestServerHelloAfterRetry checks that a client does not accept another version after a
// HelloRetryRequest.
func TestServerHelloAfterRetry(t *testing.T) {
	hello := func(h *serverHello) []byte {
		body, err := h.marshal()
		if err != nil {
			t.Fatal(err)
		}
		return body
	}
	retry := &serverHello{version: VersionDTLS12, random: retryRandom, suite: TLS_AES_128_GCM_SHA256}
	retry.extensions.versions = []Version{VersionDTLS13}
	retry.extensions.cookie = []byte("cookie")
	twelve := &serverHello{version: VersionDTLS12, suite: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, extensions: helloExtensions{extendedMasterSecret: true}}
	thirteen := *retry
	thirteen.random = [32]byte{1}
	verify := append([]byte{0xfe, 0xff, 6}, "cookie"...)
	for _, test := range []struct {
		name          string
		typ           handshakeType
		first, second []byte
		then          handshakeType
	}{
		{"1.2 after HelloRetryRequest", typeServerHello, hello(retry), hello(twelve), typeServerHello},
		{"HelloVerifyRequest after HelloRetryRequest", typeServerHello, hello(retry), verify, typeHelloVerifyRequest},
		{"1.3 after HelloVerifyRequest", typeHelloVerifyRequest, verify, hello(&thirteen), typeServerHello},
		{"HelloRetryRequest after HelloVerifyRequest", typeHelloVerifyRequest, verify, hello(retry), typeServerHello},
	} {
		p := newPair(t, func(client, server *Config) { client.Strict = true })
		p.client.Start(p.now)
		for _, ok := p.client.AppendDatagram(p.now, nil, 1400); ok; _, ok = p.client.AppendDatagram(p.now, nil, 1400) {
		}
		p.deliver(p.client, plaintext(test.typ, 0, test.first))
		if p.client.Err() != nil {
			t.Fatal(test.name, p.client.Err())
		}
		p.deliver(p.client, plaintext(test.then, 1, test.second))
		if p.client.Err() == nil {
			t.Errorf("%s: the client continues the handshake", test.name)
		}
	}
}
