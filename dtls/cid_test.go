package dtls

import (
	"bytes"
	"encoding/binary"
	"errors"
	mrand "math/rand/v2"
	"slices"
	"testing"
	"time"
)

// withCIDs sets the connection IDs of both ends; nil: the end does not support them.
func withCIDs(version func(client, server *Config), client, server []byte) func(client, server *Config) {
	wants := func(id []byte) func() []byte {
		if id == nil {
			return nil
		}
		return func() []byte { return id }
	}
	return func(c, s *Config) {
		version(c, s)
		c.ConnectionIDs, s.ConnectionIDs = wants(client), wants(server)
	}
}

var (
	shortID = []byte{0x14}
	longID  = bytes.Repeat([]byte{7}, maxCID)
	usualID = []byte("client's")
	otherID = []byte("server")
)

// TestConnectionID checks that every encrypted record contains the negotiated ID, and
// no record in plaintext does.
func TestConnectionID(t *testing.T) {
	for _, test := range []struct {
		name           string
		client, server []byte // the IDs that the client and the server ask for
		agreed         bool
	}{
		{"neither", nil, nil, false},
		{"a client alone", usualID, nil, false},
		{"a server alone", nil, otherID, false},
		{"both", usualID, otherID, true},
		{"long and short", longID, shortID, true},
		{"for the client only", usualID, []byte{}, true},
		{"for the server only", []byte{}, otherID, true},
		{"for neither", []byte{}, []byte{}, true},
	} {
		for _, version := range []func(client, server *Config){only12, only13} {
			p := newPair(t, withCIDs(version, test.client, test.server))
			want := map[*Conn][]byte{p.client: test.client, p.server: test.server}
			if !test.agreed {
				want = nil
			}
			p.watchCIDs(want)
			p.connect()
			p.exchange()
			for _, c := range []*Conn{p.client, p.server} {
				s := c.ConnectionState()
				if !bytes.Equal(s.ConnectionID, want[c]) || !bytes.Equal(s.PeerConnectionID, want[p.other(c)]) || (s.ConnectionID != nil) != test.agreed {
					t.Errorf("%s, %v: state %+v", test.name, s.Version, s)
				}
			}
		}
	}
}

// watchCIDs fails the test if an encrypted record of either end does not contain the
// connection ID that the receiver has asked for.
func (p *pair) watchCIDs(want map[*Conn][]byte) {
	p.meddle = func(_ int, d []byte) []delivery {
		// Only the ID shows to which end the record belongs: one of the two ends must
		// find its own ID.
		fits := func(to *Conn) bool {
			id := want[to]
			for b := d; len(b) > 0; {
				var h recordHeader
				if !h.parse(b, len(id)) {
					return false
				}
				protected := h.unified || h.epoch > 0
				if h.hasCID != (protected && len(id) > 0) || h.hasCID && !bytes.Equal(h.cid(b, len(id)), id) {
					return false
				}
				b = b[h.size+h.length:]
			}
			return true
		}
		if !fits(p.client) && !fits(p.server) {
			p.t.Errorf("datagram %x", d)
		}
		return []delivery{{d, 0}}
	}
}

// TestConnectionIDAgain negotiates connection IDs after a HelloRetryRequest, after a
// HelloVerifyRequest and in a resumed session.
func TestConnectionIDAgain(t *testing.T) {
	check := func(why string, p *pair, client []byte) {
		t.Helper()
		if p.server == nil {
			t.Fatalf("%s: not let in", why)
		}
		p.run()
		p.exchange()
		if s := p.server.ConnectionState(); !bytes.Equal(s.ConnectionID, otherID) || !bytes.Equal(s.PeerConnectionID, client) {
			t.Errorf("%s: state %+v", why, s)
		}
	}
	for _, version := range []func(client, server *Config){only12, only13} {
		p, _ := validated(t, withCIDs(version, usualID, otherID), same)
		check("with a cookie", p, usualID)

		r, _ := newResumption(t, withCIDs(version, usualID, otherID))
		p = r.again(t, time.Hour, func(client, _ *Config) { client.ConnectionIDs = func() []byte { return shortID } })
		p.start()
		check("resumed", p, shortID)
		if !p.server.ConnectionState().Resumed {
			t.Error("not resumed")
		}
	}
	p := newPair(t, withCIDs(func(client, server *Config) {
		only13(client, server)
		server.Groups = []Group{GroupP384}
	}, usualID, otherID))
	p.start()
	check("retried", p, usualID)
}

// TestConnectionIDLossy uses connection IDs on a network that loses and reorders.
func TestConnectionIDLossy(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13} {
		for seed := range uint64(50) {
			rng := mrand.New(mrand.NewPCG(seed, 2))
			p := newPair(t, withCIDs(version, usualID, otherID))
			p.limit = 600
			p.meddle = func(_ int, d []byte) (out []delivery) {
				for rng.Float64() > 0.3 && len(out) < 2 {
					out = append(out, delivery{d, time.Duration(rng.IntN(30)) * time.Millisecond})
				}
				return out
			}
			p.connect()
			p.meddle = nil
			p.exchange()
		}
	}
}

// TestConnectionIDAAD opens a record with the additional data of RFC 9146 §5.3, which
// the test builds itself.
func TestConnectionIDAAD(t *testing.T) {
	p := newPair(t, withCIDs(only12, usualID, otherID))
	p.connect()
	rec := p.client.FinishRecord(append(p.client.BeginRecord(nil), "hello"...), 0)

	number := []byte{0, 1, 0, 0, 0, 0, 0, 1} // epoch 1; Finished was record 0
	const inner = len("hello") + 1
	length := 8 + inner + 16
	header := append([]byte{25, 0xfe, 0xfd}, number...)
	header = append(header, "server"...)
	header = binary.BigEndian.AppendUint16(header, uint16(length))
	if !bytes.HasPrefix(rec, header) || len(rec) != len(header)+length {
		t.Fatalf("record %x, want %x and %d bytes", rec, header, length)
	}
	aad := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 25, 6, 25, 0xfe, 0xfd}
	aad = append(aad, number...)
	aad = append(aad, "server"...)
	aad = append(aad, 0, byte(inner))
	body := rec[len(header):]
	nonce := append(slices.Clone(p.client.records.current.iv[:4]), body[:8]...)
	got, err := p.client.records.current.aead.Open(nil, nonce, body[8:], aad)
	if err != nil || string(got) != "hello\x17" {
		t.Errorf("opened %q, %v", got, err)
	}
}

// TestConnectionIDPadding checks that padding, which hides the length of data, is removed.
func TestConnectionIDPadding(t *testing.T) {
	p := newPair(t, withCIDs(only12, usualID, otherID))
	p.connect()
	w := p.client.records.current
	seal := func(inner string) []byte {
		b := append(w.begin(nil), inner...)
		number := uint64(w.epoch)<<48 | w.next
		w.next++
		body := w.headerLen()
		p.client.records.setNonce(&w.aeadKey, number)
		p.client.records.setAAD(w.cid, typeCID, number, len(inner))
		binary.BigEndian.PutUint64(b[body-8:], number)
		b = w.aead.Seal(b[:body], p.client.records.nonce[:], b[body:], p.client.records.aad)
		putRecordHeader(b, typeCID, VersionDTLS12, w.epoch, number&maxSequence, w.cid, len(b)-body+8)
		return b
	}
	p.deliver(p.server, seal("hidden\x17\x00\x00\x00"))
	if !slices.Equal(p.got[p.server], []string{"hidden"}) {
		t.Errorf("got %q", p.got[p.server])
	}
	p.deliver(p.server, seal("\x00\x00"))
	var a *AlertError
	if !errors.As(p.server.Err(), &a) || a.Alert != AlertUnexpectedMessage {
		t.Errorf("a record without type: %v", p.server.Err())
	}
}

// TestConnectionIDRefused checks that records without the negotiated ID, with a
// different ID, or with an ID that was not negotiated are dropped without an alert.
func TestConnectionIDRefused(t *testing.T) {
	for _, test := range []struct {
		name     string
		change   func(client, server *Config)
		instead  []byte // the ID that the client's records contain instead of the requested one
		accepted bool
	}{
		{"1.2, another", withCIDs(only12, usualID, otherID), []byte("Server"), false},
		{"1.2, shorter", withCIDs(only12, usualID, otherID), shortID, false},
		{"1.2, none", withCIDs(only12, usualID, otherID), nil, false},
		{"1.2, not negotiated", only12, otherID, false},
		{"1.2, where an empty one was agreed on", withCIDs(only12, usualID, []byte{}), otherID, false},
		{"1.3, another", withCIDs(only13, usualID, otherID), []byte("Server"), false},
		{"1.3, longer", withCIDs(only13, usualID, otherID), longID, false},
		{"1.3, not negotiated", only13, otherID, false},
		// RFC 9147 §4: every datagram contains the ID, but not every record needs to.
		{"1.3, none", withCIDs(only13, usualID, otherID), nil, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, test.change)
			p.connect()
			p.exchange()
			agreed := p.client.records.current.cid
			p.client.records.current.cid = test.instead
			bad := p.client.FinishRecord(append(p.client.BeginRecord(nil), "bad"...), 0)
			p.client.records.current.cid = agreed
			before := p.server.Stats()
			p.deliver(p.server, bad)
			if got := p.got[p.server]; slices.Contains(got, "bad") != test.accepted {
				t.Errorf("got %q", got)
			}
			after := p.server.Stats()
			if (after.Malformed+after.Rejected == before.Malformed+before.Rejected) != test.accepted {
				t.Errorf("counted %+v, then %+v", before, after)
			}
			if d, ok := p.server.AppendDatagram(p.now, nil, p.limit); ok {
				t.Errorf("answered with %x", d)
			}
			p.exchange()
		})
	}
}

// TestConnectionIDUpdates sends the messages of RFC 9147 §9.
func TestConnectionIDUpdates(t *testing.T) {
	immediate := append([]byte{0, 8, 7}, "renewed\x00"...)
	spare := append([]byte{0, 8, 7}, "renewed\x01"...)
	for _, test := range []struct {
		name           string
		client, server []byte
		typ            handshakeType
		body           []byte // body of a message that the client sends
		want           Alert
		sends          string // the ID that the server uses after the message
	}{
		{"at once", usualID, otherID, typeNewConnectionID, immediate, 0, "renewed"},
		{"spare", usualID, otherID, typeNewConnectionID, spare, 0, "client's"},
		{"none that is spare", usualID, otherID, typeNewConnectionID, []byte{0, 0, 1}, 0, "client's"},
		{"none at once", usualID, otherID, typeNewConnectionID, []byte{0, 0, 0}, AlertIllegalParameter, ""},
		{"strange use", usualID, otherID, typeNewConnectionID, []byte{0, 1, 0, 2}, AlertIllegalParameter, ""},
		{"malformed", usualID, otherID, typeNewConnectionID, []byte{0, 1, 7, 0}, AlertDecodeError, ""},
		{"too long", usualID, otherID, typeNewConnectionID, append(immediate, 0), AlertDecodeError, ""},
		{"by an end that wants none", []byte{}, otherID, typeNewConnectionID, immediate, AlertUnexpectedMessage, ""},
		{"not agreed on", nil, nil, typeNewConnectionID, immediate, AlertUnexpectedMessage, ""},
		{"request", usualID, otherID, typeRequestConnectionID, []byte{200}, 0, "client's"},
		{"malformed request", usualID, otherID, typeRequestConnectionID, nil, AlertDecodeError, ""},
		{"request to an end that wants none", usualID, []byte{}, typeRequestConnectionID, []byte{1}, AlertUnexpectedMessage, ""},
		{"request, not agreed on", nil, otherID, typeRequestConnectionID, []byte{1}, AlertUnexpectedMessage, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPair(t, withCIDs(only13, test.client, test.server))
			p.connect()
			p.sendMessage(p.client, test.typ, test.body)
			p.run()
			var a *AlertError
			if test.want != 0 {
				if !errors.As(p.server.Err(), &a) || a.Alert != test.want {
					t.Errorf("err %v, want %v", p.server.Err(), test.want)
				}
				return
			}
			b := p.server.BeginRecord(nil)
			b = p.server.FinishRecord(append(b, "hello"...), 0)
			id, ok := PeekConnectionID(b, len(test.sends))
			if !ok || string(id) != test.sends || p.server.Err() != nil {
				t.Errorf("sends %q, want %q; err %v", id, test.sends, p.server.Err())
			}
			p.sendMessage(p.client, typeRequestConnectionID, []byte{1})
			p.run() // the first answer is acknowledged, and the second one is sent
			if p.server.Err() != nil || p.server.out.outstanding() || p.server.rekey.cidsDue {
				t.Errorf("a later request: %v, %d messages unacknowledged", p.server.Err(), len(p.server.out.messages))
			}
		})
	}
}

// TestConnectionIDRequests checks that a peer which requests IDs a second time before
// it has received an answer gets an alert, and that an answer waits until the previous
// flight is acknowledged.
func TestConnectionIDRequests(t *testing.T) {
	p := newPair(t, withCIDs(only13, usualID, otherID))
	p.connect()
	for range 3 { // one request is answered, and one is pending
		p.sendMessage(p.client, typeRequestConnectionID, []byte{1})
		last := p.wire[len(p.wire)-1]
		p.wire = p.wire[:len(p.wire)-1]
		p.deliver(last.to, last.data)
		p.server.AppendDatagram(p.now, nil, p.limit)
	}
	var a *AlertError
	if !errors.As(p.server.Err(), &a) || a.Alert != AlertTooManyCIDsRequested {
		t.Errorf("err %v", p.server.Err())
	}
}

// TestPeekAndNewest checks the functions with which a program follows changes of a
// peer's address.
func TestPeekAndNewest(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(t, withCIDs(version, usualID, otherID))
		p.connect()
		record := func() []byte { return p.client.FinishRecord(append(p.client.BeginRecord(nil), 'x'), 0) }
		first, second := record(), record()
		if id, ok := PeekConnectionID(first, len(otherID)); !ok || !bytes.Equal(id, otherID) {
			t.Errorf("peeked at %q", id)
		}
		if _, ok := PeekConnectionID(plaintextAlert(AlertCloseNotify), len(otherID)); ok {
			t.Error("there is one in plaintext")
		}
		forged := bytes.Clone(second)
		forged[len(forged)-1] ^= 1
		for _, step := range []struct {
			why  string
			rec  []byte
			want bool
		}{
			{"forged", forged, false},
			{"second", bytes.Clone(second), true},
			{"replayed", second, false},
			{"first, late", first, false},
			{"third", record(), true},
			{"nothing", nil, false},
		} {
			p.server.HandleRecord(p.now, step.rec)
			if got := p.server.Newest(); got != step.want {
				t.Errorf("%v, %s: newest %t", p.server.agreed.Version, step.why, got)
			}
		}
		// A later call, with another datagram, returns early data that was stored.
		forged = record()
		p.server.early = [][]byte{record()}
		forged[len(forged)-1] ^= 1
		if data, _ := p.server.HandleRecord(p.now, forged); string(data) != "x" || p.server.Newest() {
			t.Errorf("%v, kept: %q, newest %t", p.server.agreed.Version, data, p.server.Newest())
		}
	}
}

func TestConnectionIDTooLong(t *testing.T) {
	cfg := Config{Certificate: testCertificate(t, "P-256"), ClientAuth: ClientAuthNone, ConnectionIDs: func() []byte { return make([]byte, maxCID+1) }}
	if _, err := NewConn(cfg); !errors.Is(err, ErrConfig) {
		t.Errorf("err %v", err)
	}
	p := newPair(t, withCIDs(only12, usualID, otherID))
	p.connect()
	if p.client.MaxPayload() != maxPlaintext-1 {
		t.Errorf("at most %d bytes", p.client.MaxPayload())
	}
}
