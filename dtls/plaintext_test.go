package dtls

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

// TestUnexpectedMessage checks that a well-formed message in plaintext, of a type that is
// not expected, changes nothing in any state.
func TestUnexpectedMessage(t *testing.T) {
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

// TestForgedAlertAndLoss checks that with 20 % loss a forged alert ends few handshakes: in
// one of 250, a flight takes longer than causeWait.
func TestForgedAlertAndLoss(t *testing.T) {
	const seeds = 300
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(t, version)
		client, server := *p.client.hs.cfg, *p.server.hs.cfg
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

// TestErrorInPlaintextIsTheCause checks that a handshake with an incompatible peer ends
// before its timeout, with the reason.
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
	if took := p.now.Sub(epoch); took > 2*causeWait+time.Second {
		t.Errorf("took %v", took)
	}
}

// TestProbableCause checks that an error in plaintext ends the handshake if no message
// follows, but not that of a server that waits for a ClientHello.
func TestProbableCause(t *testing.T) {
	wrong := plaintext(typeFinished, 0, make([]byte, verifyDataLen))
	malformed := plaintext(typeServerHello, 0, make([]byte, 300))
	for _, forged := range [][]byte{wrong, malformed, plaintextAlert(AlertHandshakeFailure)} {
		p := newPair(t, nil)
		p.start()
		p.meddle = func(int, []byte) []delivery { return nil }
		p.flush()
		for _, c := range []*Conn{p.client, p.server} {
			p.deliver(c, forged)
		}
		for p.client.Err() == nil && p.step() {
		}
		var a *AlertError
		if err := p.client.Err(); !errors.As(err, &a) {
			t.Errorf("client %v", err)
		}
		if took := p.now.Sub(epoch); took != causeWait {
			t.Errorf("took %v", took)
		}
		if at := p.server.NextTimeout(); p.server.Err() != nil || !at.IsZero() {
			t.Errorf("server %v, timer %v", p.server.Err(), at)
		}
	}
}

// TestWrongContent checks that an expected message with wrong content ends the
// handshake at once.
func TestWrongContent(t *testing.T) {
	p := newPair(t, nil)
	p.start()
	p.flush()
	h := &serverHello{version: VersionDTLS12, suite: 1}
	body, err := h.marshal()
	if err != nil {
		t.Fatal(err)
	}
	p.deliver(p.client, plaintext(typeServerHello, 0, body))
	wantAlert(t, "a suite that was not offered", p.client, AlertIllegalParameter)
}

// TestAnswerBeforeFlight checks that a message in plaintext is dropped if it arrives
// before the client sends the ClientHello that the message answers.
func TestAnswerBeforeFlight(t *testing.T) {
	p := newPair(t, func(client, server *Config) {
		only13(client, server)
		server.Groups = []Group{GroupP384} // the client has no key share for this group
	})
	p.start()
	p.flush()
	h := &serverHello{version: VersionDTLS12, suite: 1}
	body, err := h.marshal()
	if err != nil {
		t.Fatal(err)
	}
	p.deliver(p.client, plaintext(typeServerHello, 1, body))
	p.run()
	if !p.client.Established() || !p.server.Established() {
		t.Fatalf("client %v, server %v", p.client.Err(), p.server.Err())
	}
	p.exchange()
}

func TestProbableCauseTimes(t *testing.T) {
	var p probableCause
	p.postpone(epoch)
	if !p.at.IsZero() {
		t.Error("a cause without an error")
	}
	first := errors.New("first")
	p.set(epoch, first)
	p.set(epoch.Add(time.Second), errors.New("second"))
	if p.err != first || p.at != epoch.Add(causeWait) {
		t.Errorf("%v at %v", p.err, p.at)
	}
	if p.postpone(epoch.Add(time.Second)); p.at != epoch.Add(causeWait+time.Second) {
		t.Errorf("postponed to %v", p.at)
	}
}
