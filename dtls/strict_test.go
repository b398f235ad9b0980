package dtls

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// plainRecord returns a record of epoch 0.
func plainRecord(typ contentType, payload []byte) []byte {
	b := append(make([]byte, recordHeaderLen), payload...)
	putRecordHeader(b, typ, VersionDTLS12, 0, 99, nil, len(payload))
	return b
}

// TestStrict checks that violations in plaintext have no effect, unless the Conn is strict.
func TestStrict(t *testing.T) {
	fragmentOf := func(typ handshakeType, seq uint16, length, offset int, data string) []byte {
		return plainRecord(typeHandshake, append(appendFragmentHeader(nil, typ, length, seq, offset, len(data)), data...))
	}
	ack := append(append([]byte{0, 16}, make([]byte, 7)...), append([]byte{2}, make([]byte, 8)...)...)
	for _, test := range []struct {
		name    string
		version func(client, server *Config)
		steps   int // number of handshake steps before the violation
		client  bool
		records [][]byte
		want    Alert
	}{
		{"data", only12, 0, false, [][]byte{plainRecord(typeApplicationData, []byte("x"))}, AlertUnexpectedMessage},
		{"no data", only13, 0, true, [][]byte{plainRecord(typeApplicationData, nil)}, AlertUnexpectedMessage},
		{"unknown type", only12, 0, false, [][]byte{plainRecord(99, []byte("x"))}, AlertUnexpectedMessage},
		{"ChangeCipherSpec of another form", only12, 0, true, [][]byte{plainRecord(typeChangeCipherSpec, []byte{2})}, AlertIllegalParameter},
		{"ChangeCipherSpec too long", only12, 0, false, [][]byte{plainRecord(typeChangeCipherSpec, []byte{1, 1})}, AlertIllegalParameter},
		{"alert without level", only12, 0, true, [][]byte{plainRecord(typeAlert, []byte{3, 40})}, AlertIllegalParameter},
		{"half an alert", only12, 0, true, [][]byte{plainRecord(typeAlert, []byte{2})}, AlertDecodeError},
		{"split header", only12, 0, false, [][]byte{plainRecord(typeHandshake, []byte{1, 0, 0})}, AlertDecodeError},
		{"fragment beyond its message", only12, 0, false, [][]byte{fragmentOf(typeClientHello, 0, 2, 1, "xx")}, AlertDecodeError},
		{"another length", only12, 0, false, [][]byte{fragmentOf(typeClientHello, 0, 20, 0, "x"), fragmentOf(typeClientHello, 0, 21, 0, "x")}, AlertIllegalParameter},
		{"another type", only12, 0, true, [][]byte{fragmentOf(typeServerHello, 0, 20, 0, "x"), fragmentOf(typeCertificate, 0, 20, 0, "x")}, AlertIllegalParameter},
		{"message where there are keys", only13, 1, false, [][]byte{fragmentOf(typeCertificate, 1, 20, 0, "x")}, AlertUnexpectedMessage},
		{"ACK", only13, 1, false, [][]byte{plainRecord(typeACK, ack)}, AlertDecodeError},
		{"half an ACK", only13, 1, false, [][]byte{plainRecord(typeACK, ack[:9])}, AlertDecodeError},
	} {
		for _, strict := range []bool{false, true} {
			p := newPair(t, func(client, server *Config) {
				test.version(client, server)
				client.Strict, server.Strict = strict, strict
			})
			p.start()
			for range test.steps {
				p.step()
			}
			to := p.server
			if test.client {
				to = p.client
				to.AppendDatagram(p.now, nil, p.limit)
			}
			for _, r := range test.records {
				p.deliver(to, r)
			}
			var a *AlertError
			if got := errors.As(to.Err(), &a) && a.Alert == test.want && !a.Remote; got != strict {
				t.Errorf("%s, strict %t: err %v", test.name, strict, to.Err())
			}
			if !strict {
				p.run()
				p.exchange()
			}
		}
	}
}

// TestStrictPlaintextBeforeKeys sends a message in plaintext before the keys that
// should protect it are known.
func TestStrictPlaintextBeforeKeys(t *testing.T) {
	for _, strict := range []bool{false, true} {
		p := newPair(t, func(client, server *Config) {
			only13(client, server)
			client.Strict = strict
		})
		p.start()
		p.flush()
		p.deliver(p.client, plaintext(typeEncryptedExtensions, 1, []byte{0, 0}))
		p.run()
		var a *AlertError
		if got := errors.As(p.client.Err(), &a) && a.Alert == AlertUnexpectedMessage; got != strict {
			t.Errorf("strict %t: err %v", strict, p.client.Err())
		}
	}
}

// TestDataUnderHandshakeKeys sends data that is encrypted with the handshake keys,
// which RFC 9147 §6.1 forbids.
func TestDataUnderHandshakeKeys(t *testing.T) {
	for _, established := range []bool{false, true} {
		p := newPair(t, only13)
		p.start()
		for p.server.records.readEpoch(epochHandshake) == nil {
			p.step()
		}
		w := p.server.records.writeEpoch(epochHandshake)
		for established && !p.client.Established() {
			p.step()
		}
		b, _ := p.server.records.seal(w, typeApplicationData, append(w.begin(nil), "early"...), 0)
		p.deliver(p.client, b)
		p.run()
		var a *AlertError
		if !errors.As(p.client.Err(), &a) || a.Alert != AlertUnexpectedMessage || len(p.got[p.client]) > 0 {
			t.Errorf("established %t: err %v, got %q", established, p.client.Err(), p.got[p.client])
		}
	}
}

// TestAlertForMoreThanFinished checks that a server which sends a message after its
// Finished can decrypt the alert that answers this message.
func TestAlertForMoreThanFinished(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	for p.server.records.readEpoch(epochHandshake) == nil {
		p.step()
	}
	// The server's flight is in flight. The extra message must arrive before the
	// flight, so that it is stored when the Finished is handled.
	w := p.server.records.writeEpoch(epochHandshake)
	extra := appendFragmentHeader(w.begin(nil), typeFinished, 4, p.server.out.nextSeq, 0, 4)
	extra, _ = p.server.records.seal(w, typeHandshake, append(extra, "more"...), 0)
	for _, f := range p.wire[:1] { // the datagram with the ServerHello, which determines the keys
		p.deliver(f.to, f.data)
	}
	p.wire = p.wire[1:]
	p.deliver(p.client, extra)
	p.run()
	var a *AlertError
	if !errors.As(p.client.Err(), &a) || a.Alert != AlertUnexpectedMessage {
		t.Fatalf("client: %v", p.client.Err())
	}
	if !errors.As(p.server.Err(), &a) || a.Alert != AlertUnexpectedMessage || !a.Remote {
		t.Errorf("server: %v", p.server.Err())
	}
}

// TestRepeatedFinished checks that the first Finished is acknowledged at once, and a
// repeated Finished after a delay in which its other fragments can arrive.
func TestRepeatedFinished(t *testing.T) {
	p := newPair(t, only13)
	p.start()
	for !p.client.Established() {
		p.step()
	}
	finished, _ := p.client.AppendDatagram(p.now, nil, p.limit)
	for len(p.wire) > 0 && finished == nil {
		finished = bytes.Clone(p.wire[0].data)
		p.wire = p.wire[1:]
	}
	p.deliver(p.server, finished)
	if _, ok := p.server.AppendDatagram(p.now, nil, p.limit); !ok || !p.server.Established() {
		t.Fatalf("not acknowledged; err %v", p.server.Err())
	}
	p.client.out.restart()
	again, ok := p.client.AppendDatagram(p.now, nil, p.limit)
	if !ok {
		t.Fatal("nothing is sent again")
	}
	p.deliver(p.server, again)
	if _, ok := p.server.AppendDatagram(p.now, nil, p.limit); ok {
		t.Error("acknowledged at once")
	}
	p.server.Advance(p.now.Add(time.Second))
	if _, ok := p.server.AppendDatagram(p.now, nil, p.limit); !ok {
		t.Error("not acknowledged")
	}
}

// TestNeedCertificate checks what a client without a suitable certificate does.
func TestNeedCertificate(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13} {
		for _, need := range []bool{false, true} {
			p := newPair(t, func(client, server *Config) {
				version(client, server)
				client.Certificates, client.NeedCertificate = append(client.Certificates, client.Certificate), need
				server.SignatureSchemes = []SignatureScheme{Ed25519}
				server.ClientAuth, server.Fingerprints = ClientAuthRequest, nil
				server.VerifyPeer = func([][]byte) error { return nil }
			})
			p.start()
			p.run()
			var a *AlertError
			if got := errors.As(p.client.Err(), &a) && a.Alert == AlertHandshakeFailure; got != need {
				t.Errorf("need %t: err %v", need, p.client.Err())
			}
		}
	}
}

// TestQUICParameters checks that a server refuses parameters of QUIC (RFC 9001 §8.2).
func TestQUICParameters(t *testing.T) {
	p := newPair(t, strictly(nil))
	p.start()
	body, err := p.client.offered().hello.marshal()
	if err != nil {
		t.Fatal(err)
	}
	body = append(body, 0, byte(extQUIC), 0, 0)
	at := len(body) - 4 - p.client.offered().hello.extensions.blockLen(body[:len(body)-4])
	n := len(body) - at - 2
	body[at], body[at+1] = byte(n>>8), byte(n)
	p.deliver(p.server, plaintext(typeClientHello, 0, body))
	wantAlert(t, "transport parameters", p.server, AlertUnsupportedExtension)
}
