package dtls

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// forgedHellos are hellos that a stranger could send to either end of p.
func forgedHellos(t *testing.T, toClient bool) (forged map[string][]byte) {
	t.Helper()
	body := func(marshal func() ([]byte, error)) []byte {
		b, err := marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !toClient {
		p := newPair(t, nil)
		p.client.Start(epoch)
		both := p.client.hs.hello
		p = newPair(t, only12)
		p.client.Start(epoch)
		twelve := p.client.hs.hello
		p = newPair(t, func(client, server *Config) { client.DeferShares = true })
		p.client.Start(epoch)
		deferred := p.client.hs.hello
		old := twelve
		old.version = VersionDTLS10
		return map[string][]byte{
			"hello":                plaintext(typeClientHello, 0, body(both.marshal)),
			"hello of 1.2":         plaintext(typeClientHello, 0, body(twelve.marshal)),
			"hello without shares": plaintext(typeClientHello, 0, body(deferred.marshal)),
			"hello of 1.0":         plaintext(typeClientHello, 0, body(old.marshal)),
			"malformed hello":      plaintext(typeClientHello, 0, make([]byte, 40)),
			"ServerHello":          plaintext(typeServerHello, 0, make([]byte, 40)),
		}
	}
	twelve := &serverHello{version: VersionDTLS12, random: [32]byte{1}, suite: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, extensions: helloExtensions{extendedMasterSecret: true}}
	thirteen := &serverHello{version: VersionDTLS12, random: [32]byte{2}, suite: TLS_AES_128_GCM_SHA256}
	thirteen.extensions.versions = []Version{VersionDTLS13}
	key, err := newKey(GroupX25519, randOrDefault(nil))
	if err != nil {
		t.Fatal(err)
	}
	thirteen.extensions.keyShares = []keyShare{{group: GroupX25519, data: key.PublicKey().Bytes()}}
	retry := &serverHello{version: VersionDTLS12, random: retryRandom, suite: TLS_AES_128_GCM_SHA256}
	retry.extensions.versions = []Version{VersionDTLS13}
	retry.extensions.cookie = []byte("cookie")
	return map[string][]byte{
		"hello of 1.2":       plaintext(typeServerHello, 0, body(twelve.marshal)),
		"hello of 1.3":       plaintext(typeServerHello, 0, body(thirteen.marshal)),
		"HelloRetryRequest":  plaintext(typeServerHello, 0, body(retry.marshal)),
		"HelloVerifyRequest": plaintext(typeHelloVerifyRequest, 0, append([]byte{0xfe, 0xff, 6}, "forged"...)),
		"malformed hello":    plaintext(typeServerHello, 0, make([]byte, 30)),
		"ClientHello":        plaintext(typeClientHello, 0, make([]byte, 40)),
	}
}

// TestForgedHello: a hello of somebody else, whenever it comes, costs time and
// not the handshake.
func TestForgedHello(t *testing.T) {
	for version, change := range map[string]func(client, server *Config){
		"1.2": only12, "1.3": only13, "both": nil,
		"1.2 server": func(client, server *Config) { server.MaxVersion = VersionDTLS12 },
	} {
		for _, toClient := range []bool{false, true} {
			for name, forged := range forgedHellos(t, toClient) {
				for steps := range 6 {
					p := newPair(t, change)
					p.start()
					p.flush()
					for range steps {
						p.step()
					}
					to := p.server
					if toClient {
						to = p.client
					}
					p.deliver(to, forged)
					if !p.idle() {
						p.run()
					}
					if !p.client.Established() || !p.server.Established() {
						t.Errorf("%s, %s to client %t after %d steps: client %v, server %v", version, name, toClient, steps, p.client.Err(), p.server.Err())
						continue
					}
					p.exchange()
					if took := p.now.Sub(epoch); took > 5*time.Second && took < defaultHandshakeTimeout {
						t.Errorf("%s, %s to client %t after %d steps: took %v", version, name, toClient, steps, took)
					}
				}
			}
		}
	}
}

// TestMessageNotDue: a well-formed message of a type that is not due, in
// plaintext, changes nothing in any state.
func TestMessageNotDue(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13} {
		for steps := range 4 {
			for typ := range handshakeType(25) {
				p := newPair(t, version)
				p.start()
				p.flush()
				for range steps {
					p.step()
				}
				for _, c := range []*Conn{p.client, p.server} {
					if c.hs == nil {
						continue
					}
					for _, body := range [][]byte{nil, make([]byte, verifyDataLen), make([]byte, 300)} {
						p.deliver(c, plaintext(typ, uint16(c.in.next), body))
					}
				}
				p.run()
				if !p.client.Established() || !p.server.Established() {
					t.Fatalf("message of type %d after %d steps: client %v, server %v", typ, steps, p.client.Err(), p.server.Err())
				}
				p.exchange()
			}
		}
	}
}

// TestForgedFlights puts an altered copy before datagrams in plaintext.
func TestForgedFlights(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13, nil} {
		for seed := range uint64(100) {
			rng := rand.New(rand.NewPCG(seed, 1))
			p := newPair(t, version)
			altered := 0
			p.meddle = func(i int, d []byte) []delivery {
				if altered == 6 || rng.IntN(2) > 0 {
					return []delivery{{d, 0}}
				}
				var h recordHeader
				if !h.parse(d, 0) || h.unified || h.epoch > 0 || h.typ != typeHandshake {
					return []delivery{{d, 0}}
				}
				altered++
				forged := slices.Clone(d[:h.size+h.length])
				for range 1 + rng.IntN(3) {
					forged[h.size+rng.IntN(h.length)] ^= 1 << rng.IntN(8)
				}
				return []delivery{{forged, 0}, {d, time.Millisecond}}
			}
			p.client.SetRTT(2 * p.delay)
			p.server.SetRTT(2 * p.delay)
			p.start()
			p.run()
			if !p.client.Established() || !p.server.Established() {
				t.Errorf("seed %d: client %v, server %v", seed, p.client.Err(), p.server.Err())
			}
		}
	}
}

// TestForgedAlertAndLoss: at 20 % loss a forged alert ends hardly a handshake:
// one in 250 takes longer for a flight than the alert is kept.
func TestForgedAlertAndLoss(t *testing.T) {
	const seeds = 300
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(t, version)
		client, server := *p.client.cfg, *p.server.cfg
		failed := 0
		for seed := range uint64(seeds) {
			rng := rand.New(rand.NewPCG(seed, 2))
			p := pairOf(t, client, server)
			at := 1 + rng.IntN(4)
			p.meddle = func(i int, d []byte) []delivery {
				if rng.IntN(5) == 0 {
					return nil
				}
				return []delivery{{d, 0}}
			}
			p.start()
			p.flush()
			for range at {
				p.step()
			}
			p.deliver(p.client, plaintextAlert(AlertHandshakeFailure))
			p.deliver(p.server, plaintextAlert(AlertHandshakeFailure))
			p.run()
			if !p.client.Established() || !p.server.Established() {
				failed++
			}
		}
		if failed > seeds/50 {
			t.Errorf("%d of %d handshakes ended", failed, seeds)
		}
	}
}

// TestRestoresAreBounded: the work that forged hellos cause has an end.
func TestRestoresAreBounded(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	h := p.client.hs.hello
	answers := map[[32]byte]bool{}
	for i := range 1000 {
		p.now = p.now.Add(defaultMaxTimeout / 40)
		p.server.Advance(p.now)
		h.random[0], h.random[1] = byte(i), byte(i>>8)
		body, err := h.marshal()
		if err != nil {
			t.Fatal(err)
		}
		p.deliver(p.server, plaintext(typeClientHello, 0, body))
		p.server.AppendHandshake(p.now, nil, 1200)
		answers[p.server.secrets.serverRandom] = true
	}
	if n := len(answers); n < 3 || n > maxRestores+1 {
		t.Errorf("%d answers to forged hellos, %v", n, p.server.Err())
	}
}

// TestErrorInPlaintextIsTheCause: a peer that cannot be agreed with is not
// waited for until the handshake times out, and the error says why.
func TestErrorInPlaintextIsTheCause(t *testing.T) {
	stranger := testCertificate(t, "P-256")
	p := newPair(t, func(client, server *Config) {
		only12(client, server)
		client.Fingerprints = []Fingerprint{fingerprintOf(t, "sha-256", stranger)}
	})
	p.start()
	p.run()
	if !errors.Is(p.client.Err(), ErrFingerprintMismatch) {
		t.Errorf("client %v", p.client.Err())
	}
	var a *AlertError
	if !errors.As(p.server.Err(), &a) || !a.Remote || a.Alert != AlertBadCertificate {
		t.Errorf("server %v", p.server.Err())
	}
	if took := p.now.Sub(epoch); took > 2*doubtTime+time.Second {
		t.Errorf("took %v", took)
	}
}
