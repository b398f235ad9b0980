package dtls

import (
	"errors"
	mrand "math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestUpdateKeys changes the keys of one end and of both ends, several times. The keys
// also change without a call of UpdateKeys.
func TestUpdateKeys(t *testing.T) {
	p := newPair(t, only13)
	p.connect()
	want := func(why string, client, server uint16) {
		t.Helper()
		p.run()
		if p.client.records.current.epoch != client || p.server.records.current.epoch != server {
			t.Errorf("%s: client sends in epoch %d, server in %d; want %d and %d",
				why, p.client.records.current.epoch, p.server.records.current.epoch, client, server)
		}
		p.exchange()
		for _, c := range []*Conn{p.client, p.server} {
			if len(c.records.read) > 3 || len(c.records.write) > 1 {
				t.Errorf("%s: %d epochs to read, %d to write", why, len(c.records.read), len(c.records.write))
			}
			for _, r := range c.records.read[:len(c.records.read)-1] {
				if r.epoch >= epochData && r.secret != nil {
					t.Errorf("%s: epoch %d keeps the secret that later keys follow from", why, r.epoch)
				}
			}
		}
	}
	update := func(c *Conn, both bool) {
		t.Helper()
		if err := c.UpdateKeys(both); err != nil {
			t.Fatal(err)
		}
	}
	want("nothing yet", 3, 3)
	update(p.client, false)
	want("the client's alone", 4, 3)
	update(p.server, true)
	want("both", 5, 4)
	update(p.client, true)
	update(p.server, true)
	want("both at once", 6, 5)
	for i := range uint16(6) {
		update(p.client, false)
		want("round and round the two bits", 7+i, 5)
	}
	p.server.records.current.next = updateAfter
	p.client.records.read[len(p.client.records.read)-1].window.top = updateAfter // the client has received all records up to the limit
	want("by itself", 12, 6)
}

// TestKeyLimit checks that a key of AES-GCM is not used beyond its limit, even if the peer
// never acknowledges a KeyUpdate. ChaCha20 has no limit, and DTLS 1.2 no KeyUpdate.
func TestKeyLimit(t *testing.T) {
	for _, test := range []struct {
		suite CipherSuite
		ends  bool
	}{
		{TLS_AES_128_GCM_SHA256, true},
		{TLS_AES_256_GCM_SHA384, true},
		{TLS_CHACHA20_POLY1305_SHA256, false},
		{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false},
	} {
		p := newPair(t, func(client, server *Config) { client.CipherSuites = []CipherSuite{test.suite} })
		p.connect()
		c := p.client
		c.records.current.next = maxGCMRecords - 1
		c.AppendDatagram(p.now, nil, 0) // there is no room for the KeyUpdate, so it stays pending
		send := func() int {
			b := append(c.BeginRecord(nil), "data"...)
			return len(c.FinishRecord(b, 0))
		}
		if send() == 0 || c.Err() != nil {
			t.Errorf("%v: the last record is not sent: %v", test.suite, c.Err())
		}
		if n := send(); (n == 0) != test.ends || errors.Is(c.Err(), errExhausted) != test.ends {
			t.Errorf("%v: %d bytes beyond the limit, %v", test.suite, n, c.Err())
		}
		if b, ok := c.AppendDatagram(p.now, nil, 1200); ok && test.ends {
			t.Errorf("%v: %d bytes under the key still", test.suite, len(b))
		}
	}
}

func TestUpdateKeysRefused(t *testing.T) {
	p := newPair(t, only12)
	if p.client.UpdateKeys(true) == nil {
		t.Error("keys updated before there are any")
	}
	p.connect()
	if p.client.UpdateKeys(true) == nil {
		t.Error("keys updated in DTLS 1.2")
	}
}

// TestUpdateKeysLossy changes keys while data is sent, on a network that loses,
// duplicates and reorders datagrams. All data that is encrypted with keys that the
// peer has can be decrypted.
func TestUpdateKeysLossy(t *testing.T) {
	p := newPair(t, only13)
	p.connect()
	rng := mrand.New(mrand.NewPCG(7, 7))
	p.meddle = func(i int, d []byte) (out []delivery) {
		for rng.Float64() > 0.3 && len(out) < 2 {
			out = append(out, delivery{d, time.Duration(rng.IntN(15)) * time.Millisecond})
		}
		return out
	}
	sent := 0
	for round := range 60 {
		p.send(p.client, "x")
		p.send(p.server, "y")
		sent++
		if round%2 == 0 {
			p.client.UpdateKeys(round%4 == 0)
		} else {
			p.server.UpdateKeys(round%3 == 0)
		}
		for range 3 {
			p.step()
		}
	}
	p.meddle = nil
	p.run()
	if p.client.Err() != nil || p.server.Err() != nil {
		t.Fatalf("client %v, server %v", p.client.Err(), p.server.Err())
	}
	if p.client.records.current.epoch < 6 || p.server.records.current.epoch < 6 {
		t.Errorf("epochs %d and %d after 60 rounds", p.client.records.current.epoch, p.server.records.current.epoch)
	}
	if n := len(p.got[p.server]); n < sent/3 || n > sent {
		t.Errorf("%d of %d messages arrived", n, sent)
	}
	p.exchange()
}

// sendMessage seals a handshake message of c and sends it.
func (p *pair) sendMessage(c *Conn, typ handshakeType, body []byte) {
	b := c.records.current.begin(nil)
	b = appendFragmentHeader(b, typ, len(body), c.out.nextSeq, 0, len(body))
	c.out.nextSeq++
	b, _ = c.records.seal(c.records.current, typeHandshake, append(b, body...), 0)
	p.transmit(c, b)
}

// TestAfterHandshake13 sends the other messages that can follow the handshake, and some
// that cannot.
func TestAfterHandshake13(t *testing.T) {
	for _, tc := range []struct {
		why  string
		from func(p *pair) *Conn
		typ  handshakeType
		body []byte
		want Alert // 0: the message is accepted
	}{
		{"ticket", func(p *pair) *Conn { return p.server }, typeNewSessionTicket, append(make([]byte, 8), 0, 0, 1, 7, 0, 0), 0},
		{"malformed ticket", func(p *pair) *Conn { return p.server }, typeNewSessionTicket, make([]byte, 200), AlertDecodeError},
		{"ticket of a client", func(p *pair) *Conn { return p.client }, typeNewSessionTicket, make([]byte, 200), AlertUnexpectedMessage},
		{"renegotiation", func(p *pair) *Conn { return p.client }, typeClientHello, make([]byte, 50), AlertUnexpectedMessage},
		{"certificate request that was not offered", func(p *pair) *Conn { return p.server }, typeCertificateRequest, make([]byte, 9), AlertUnexpectedMessage},
		{"empty update", func(p *pair) *Conn { return p.server }, typeKeyUpdate, nil, AlertDecodeError},
		{"strange update", func(p *pair) *Conn { return p.server }, typeKeyUpdate, []byte{2}, AlertIllegalParameter},
	} {
		p := newPair(t, only13)
		p.connect()
		from := tc.from(p)
		to := p.other(from)
		p.sendMessage(from, tc.typ, tc.body)
		n := p.sent
		p.run()
		var a *AlertError
		if tc.want == 0 {
			if to.Err() != nil || p.sent != n+1 {
				t.Errorf("%s: err %v, %d answers", tc.why, to.Err(), p.sent-n)
			}
			p.exchange()
		} else if !errors.As(to.Err(), &a) || a.Alert != tc.want || a.Remote {
			t.Errorf("%s: err %v, want %v", tc.why, to.Err(), tc.want)
		} else if !errors.As(from.Err(), &a) || a.Alert != tc.want || !a.Remote {
			t.Errorf("%s: peer's err %v", tc.why, from.Err())
		}
	}
}

// TestForgeriesEndConnection checks the limit on forged records (RFC 9147 §4.5.3).
func TestForgeriesEndConnection(t *testing.T) {
	p := newPair(t, only13)
	p.connect()
	p.server.records.read[len(p.server.records.read)-1].forged = maxForged - 1
	b := append(p.client.BeginRecord(nil), "hello"...)
	b = p.client.FinishRecord(b, 0)
	bad := slices.Clone(b)
	bad[len(bad)-1] ^= 1
	p.deliver(p.server, bad)
	if p.server.Err() != errForgeries {
		t.Errorf("err %v", p.server.Err())
	}
}

// TestRekeying is a script that checks the KeyUpdates of one end.
func TestRekeying(t *testing.T) {
	var r rekeying
	want := func(why string, sent uint64, request keyUpdateRequest, ok bool) {
		t.Helper()
		if got, gotOK := r.next(sent); got != request || gotOK != ok {
			t.Errorf("%s: %d, %t", why, got, gotOK)
		}
	}
	want("nothing to do", 1, 0, false)
	want("the key has protected many records", updateAfter, updateNotRequested, true)
	r.request(updateLocal)
	want("the one that is not acknowledged is enough", 1, 0, false)
	r.request(updateBoth)
	r.request(updateLocal)
	want("but it did not ask the peer", 1, updateRequested, true)
	r.updating = false
	r.request(updateLocal)
	r.request(updateBoth)
	want("both in one", 1, updateRequested, true)
	want("nothing left", 1, 0, false)
}
