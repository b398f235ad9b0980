package dtls

import (
	"bytes"
	"math/bits"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// seedDatagrams adds every captured datagram, and datagrams of this package, to a
// corpus.
func seedDatagrams(f *testing.F) {
	for _, name := range []string{"chromium-client-12", "firefox-client-12", "chromium-server-12", "firefox-13"} {
		for _, d := range loadCapture(f, name).datagrams {
			f.Add(d.data)
		}
	}
	f.Add(plaintextAlert(AlertCloseNotify))
}

// FuzzMessages gives bodies to every parser of a handshake message.
func FuzzMessages(f *testing.F) {
	for _, name := range []string{"chromium-client-12", "firefox-client-12", "chromium-server-12", "firefox-13"} {
		c := loadCapture(f, name)
		for _, m := range append(c.messages(f, true), c.messages(f, false)...) {
			f.Add(m.body)
		}
	}
	// The other messages are those that DTLS 1.3 encrypts.
	cert := testCertificate(f, "P-256").Certificate
	for _, body := range [][]byte{{0, 0}, {0}, {1}, {0, 6, 0, 16, 0, 2, 0, 0}} {
		f.Add(body)
	}
	for _, m := range []func() ([]byte, error){
		func() ([]byte, error) { return marshalCertificates(VersionDTLS13, cert) },
		func() ([]byte, error) { return marshalCertificateRequest13(defaultSchemes()) },
		func() ([]byte, error) {
			return marshalEncryptedExtensions(&helloExtensions{alpn: []string{"webrtc"}, srtpProfiles: []uint16{7}, externalSessionID: make([]byte, 20)})
		},
	} {
		body, err := m()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if h, err := parseClientHello(body); err == nil {
			again, err := h.marshal()
			if err != nil {
				t.Fatalf("the parsed message cannot be marshalled: %v", err)
			}
			if _, err := parseClientHello(again); err != nil {
				t.Fatalf("the marshalled message cannot be parsed: %v", err)
			}
		}
		if h, err := parseServerHello(body); err == nil {
			again, err := h.marshal()
			if err != nil {
				t.Fatalf("the parsed message cannot be marshalled: %v", err)
			}
			if _, err := parseServerHello(again); err != nil {
				t.Fatalf("the marshalled message cannot be parsed: %v", err)
			}
		}
		parseHelloVerifyRequest(body)
		if chain, err := parseCertificates(VersionDTLS12, body); err == nil {
			again, err := marshalCertificates(VersionDTLS12, chain)
			if err != nil || !bytes.Equal(again, body) {
				t.Fatalf("certificates do not come back: %v", err)
			}
			for _, der := range chain {
				certificateKey(der)
			}
		}
		if m, err := parseServerKeyExchange(body); err == nil {
			if again, err := m.marshal(); err != nil || !bytes.Equal(again, body) {
				t.Fatalf("ServerKeyExchange does not come back: %v", err)
			}
		}
		parseCertificateRequest12(body)
		if chain, err := parseCertificates(VersionDTLS13, body); err == nil {
			if again, err := marshalCertificates(VersionDTLS13, chain); err != nil || !bytes.Equal(again, body) {
				t.Fatalf("certificates do not come back: %v", err)
			}
		}
		parseEncryptedExtensions(body)
		parseCertificateRequest13(body)
		parseKeyUpdate(body)
		parseNewConnectionID(body)
		parseClientKeyExchange(body)
		parseCertificateVerify(body)
	})
}

// FuzzConn gives datagrams to a client and a server in each state.
func FuzzConn(f *testing.F) {
	seedDatagrams(f)
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(f, withCIDs(version, usualID, otherID))
		p.meddle = func(_ int, d []byte) []delivery {
			f.Add(d)
			return []delivery{{d, 0}}
		}
		p.connect()
		p.exchange()
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		if id, ok := PeekConnectionID(d, len(usualID)); ok && len(id) != len(usualID) {
			t.Fatalf("connection ID %x", id)
		}
		for steps := range 4 {
			p := newPair(t, nil)
			if steps%2 == 1 {
				p = newPair(t, withCIDs(func(_, _ *Config) {}, usualID, otherID))
			}
			p.start()
			for range steps {
				p.step()
			}
			for _, c := range []*Conn{p.client, p.server} {
				established := c.Established()
				p.deliver(c, d)
				if c.hs != nil && (c.in.size > maxReassembly || len(c.early) > maxEarly) {
					t.Fatal("limits passed")
				}
				if established && !c.Established() {
					t.Fatal("a forged datagram ended the connection")
				}
			}
			p.now = p.now.Add(time.Second)
			p.flush()
		}
	})
}

// FuzzPayload13 encrypts any content of any type, as a malicious peer could do, and
// gives it to a client and a server that are established or in their handshake.
func FuzzPayload13(f *testing.F) {
	f.Add(byte(typeACK), []byte{0, 16, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1})
	f.Add(byte(typeHandshake), []byte{24, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 1})
	f.Add(byte(typeAlert), []byte{1, 0})
	f.Add(byte(typeHandshake), []byte{9, 0, 0, 1, 0, 5, 0, 0, 0, 0, 0, 1, 1})
	f.Add(byte(typeHandshake), []byte{10, 0, 0, 5, 0, 5, 0, 0, 0, 0, 0, 5, 0, 2, 1, 7, 0})
	f.Fuzz(func(t *testing.T, typ byte, payload []byte) {
		if len(payload) > maxPlaintext {
			return
		}
		for steps := range 5 {
			p := newPair(t, withCIDs(only13, usualID, otherID))
			p.start()
			for range steps {
				p.step()
			}
			for _, c := range []*Conn{p.client, p.server} {
				if c.records.current.epoch == 0 {
					continue
				}
				b, _ := c.records.seal(c.records.current, contentType(typ), append(c.records.current.begin(nil), payload...), 0)
				to := p.other(c)
				p.deliver(to, b)
				if to.in.size > maxReassembly || len(to.early) > maxEarly || len(to.acks.numbers) > maxAcks {
					t.Fatal("limits passed")
				}
			}
			for range 50 {
				if !p.step() {
					break
				}
			}
		}
	})
}

// FuzzTicket gives a server contents of tickets, and pre_shared_key extensions. In
// reality, only the server's own key can have sealed a ticket.
func FuzzTicket(f *testing.F) {
	cert := testCertificate(f, "P-256").Certificate
	cfg := Config{TicketKeys: []TicketKey{{1}}, Rand: randOrDefault(nil)}
	s := &Session{version: VersionDTLS13, suite: TLS_AES_128_GCM_SHA256, secret: make([]byte, 32), peer: cert, issued: epoch}
	ticket, err := cfg.sealTicket(s)
	if err != nil {
		f.Fatal(err)
	}
	content, err := s.marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Add(ticket)
	var b cryptobyte.Builder
	(&preShared{identities: []pskIdentity{{ticket, 7}}, binders: [][]byte{make([]byte, 32)}}).marshal(&b)
	f.Add(b.BytesOrPanic())
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg.openTicket(b)
		if s := parseTicket(b); s != nil {
			if again, err := s.marshal(); err != nil || !bytes.Equal(again, b) {
				t.Fatalf("ticket does not come back: %v", err)
			}
		}
		p := readPreShared(b)
		if p == nil {
			return
		}
		if len(p.identities) > maxIdentities || len(p.binders) > maxIdentities {
			t.Fatal("limits passed")
		}
		var again cryptobyte.Builder
		p.marshal(&again)
		if !bytes.Equal(again.BytesOrPanic(), b) || p.bindersLen() > len(b) {
			t.Fatal("pre_shared_key does not come back")
		}
	})
}

func bitsSet(b []byte) (n int) {
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// FuzzReassembly cuts a message as the input says, and reassembles it.
func FuzzReassembly(f *testing.F) {
	f.Add([]byte{0, 10, 5, 20, 3, 3, 30, 255})
	f.Fuzz(func(t *testing.T, cuts []byte) {
		body := bytes.Repeat([]byte("0123456789abcdef"), 20)
		var r reassembler
		for len(cuts) >= 2 {
			from := int(cuts[0])
			to := min(from+int(cuts[1]), len(body))
			cuts = cuts[2:]
			r.add(0, fragment{typeCertificate, 0, len(body), from, body[from:to]})
			for _, p := range r.pending {
				if n := bitsSet(p.have); n != p.count || n > len(p.body) {
					t.Fatalf("%d bits for %d bytes of %d", n, p.count, len(p.body))
				}
			}
		}
		r.add(0, fragment{typeCertificate, 0, len(body), 0, body})
		if m, ok := r.pop(); !ok || !bytes.Equal(m.body, body) || r.size != 0 || r.next != 1 {
			t.Fatal("message does not come out whole")
		}
	})
}
