package dtls

import (
	"bytes"
	"testing"
	"time"
)

// seedDatagrams gives every captured datagram, and our own, to a fuzzer.
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
	f.Fuzz(func(t *testing.T, body []byte) {
		if h, err := parseClientHello(body); err == nil {
			again, err := h.marshal()
			if err != nil {
				t.Fatalf("what was parsed cannot be written: %v", err)
			}
			if _, err := parseClientHello(again); err != nil {
				t.Fatalf("what was written cannot be parsed: %v", err)
			}
		}
		parseServerHello(body)
		parseHelloVerifyRequest(body)
		if chain, err := parseCertificates12(body); err == nil {
			again, err := marshalCertificates12(chain)
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
		parseClientKeyExchange(body)
		parseCertificateVerify(body)
	})
}

// FuzzConn gives datagrams to a client and a server in each state.
func FuzzConn(f *testing.F) {
	seedDatagrams(f)
	f.Fuzz(func(t *testing.T, d []byte) {
		for steps := range 4 {
			p := newPair(t, nil)
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

// FuzzReassembly cuts a message as the input says and puts it together.
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
				for i, s := range p.have {
					if s.from >= s.to || i > 0 && p.have[i-1].to >= s.from {
						t.Fatalf("spans %v", p.have)
					}
				}
			}
		}
		r.add(0, fragment{typeCertificate, 0, len(body), 0, body})
		if m, ok := r.pop(); !ok || !bytes.Equal(m.body, body) || r.size != 0 || r.next != 1 {
			t.Fatal("message does not come out whole")
		}
	})
}
