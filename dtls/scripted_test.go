package dtls

import (
	"errors"
	"slices"
	"testing"
)

// plaintext returns a record of epoch 0 with an unfragmented message.
func plaintext(typ handshakeType, seq uint16, body []byte) []byte {
	b := make([]byte, recordHeaderLen)
	b = appendFragmentHeader(b, typ, len(body), seq, 0, len(body))
	b = append(b, body...)
	putRecordHeader(b, typeHandshake, VersionDTLS12, 0, uint64(seq), nil, len(b)-recordHeaderLen)
	return b
}

// wantAlert checks that c has ended with a local alert, and that it sends the alert.
func wantAlert(t *testing.T, why string, c *Conn, want Alert) {
	t.Helper()
	var a *AlertError
	if !errors.As(c.Err(), &a) || a.Remote || a.Alert != want {
		t.Errorf("%s: err %v, want %v", why, c.Err(), want)
		return
	}
	b, ok := c.AppendDatagram(epoch, nil, 1200)
	if !ok || b[0] != byte(typeAlert) || b[len(b)-2] != levelFatal || b[len(b)-1] != byte(want) {
		t.Errorf("%s: sends %x", why, b)
	}
	if a.Error() == "" || errors.Unwrap(a) == nil {
		t.Errorf("%s: the error says nothing", why)
	}
}

// TestServerRefusesHello sends invalid ClientHellos.
func TestServerRefusesHello(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(h *clientHello)
		want   Alert
	}{
		{"DTLS 1.0", func(h *clientHello) { h.version = VersionDTLS10 }, AlertProtocolVersion},
		{"no extended master secret", func(h *clientHello) { h.extensions.extendedMasterSecret = false }, AlertHandshakeFailure},
		{"renegotiation", func(h *clientHello) { h.extensions.renegotiationInfo = []byte{1} }, AlertHandshakeFailure},
		{"compression only", func(h *clientHello) { h.compressions = []byte{1} }, AlertIllegalParameter},
		{"compressed points only", func(h *clientHello) { h.extensions.pointFormats = []byte{1} }, AlertIllegalParameter},
		{"no suite in common", func(h *clientHello) { h.suites = []CipherSuite{0x002f} }, AlertHandshakeFailure},
		{"suite of another certificate", func(h *clientHello) { h.suites = []CipherSuite{TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256} }, AlertHandshakeFailure},
		{"no group in common", func(h *clientHello) { h.extensions.groups = []Group{256} }, AlertHandshakeFailure},
		{"no signature in common", func(h *clientHello) { h.extensions.schemes = []SignatureScheme{0x0203} }, AlertHandshakeFailure},
		{"no signatures at all", func(h *clientHello) { h.extensions.schemes = nil }, AlertHandshakeFailure},
		{"no protocol in common", func(h *clientHello) { h.extensions.alpn = []string{"h3"} }, AlertNoApplicationProtocol},
		{"session id too long", func(h *clientHello) { h.sessionID = make([]byte, 33) }, AlertDecodeError},
		{"no suites", func(h *clientHello) { h.suites = nil }, AlertDecodeError},
	} {
		p := newPair(t, func(client, server *Config) {
			only12(client, server)
			server.Strict = true
			server.ALPN = []string{"webrtc"}
		})
		p.start()
		h := p.client.offered().hello
		tc.change(&h)
		body, err := h.marshal()
		if err != nil {
			t.Fatal(err)
		}
		p.deliver(p.server, plaintext(typeClientHello, 0, body))
		wantAlert(t, tc.why, p.server, tc.want)
	}
}

// TestServerTakesHello sends ClientHellos without optional content.
func TestServerTakesHello(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(h *clientHello)
	}{
		{"no groups: P-256 it is", func(h *clientHello) { h.extensions.groups = nil }},
		{"signalling suite", func(h *clientHello) {
			h.extensions.renegotiationInfo = nil
			h.suites = append(h.suites, scsvRenegotiation)
		}},
		{"no point formats", func(h *clientHello) { h.extensions.pointFormats = nil }},
		{"a cookie that was not asked for", func(h *clientHello) { h.cookie = []byte{1, 2} }},
	} {
		p := newPair(t, only12)
		p.start()
		h := p.client.offered().hello
		h.suites = slices.Clone(h.suites)
		tc.change(&h)
		body, err := h.marshal()
		if err != nil {
			t.Fatal(err)
		}
		p.deliver(p.server, plaintext(typeClientHello, 0, body))
		if _, ok := p.server.AppendDatagram(epoch, nil, 1200); !ok || p.server.Err() != nil {
			t.Errorf("%s: %v", tc.why, p.server.Err())
		}
	}
}

// TestClientRefusesHello sends invalid ServerHellos.
func TestClientRefusesHello(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(h *serverHello)
		want   Alert
	}{
		{"DTLS 1.0", func(h *serverHello) { h.version = VersionDTLS10 }, AlertProtocolVersion},
		{"a suite of DTLS 1.3", func(h *serverHello) { h.suite = TLS_AES_128_GCM_SHA256 }, AlertIllegalParameter},
		{"an unknown suite", func(h *serverHello) { h.suite = 0x002f }, AlertIllegalParameter},
		{"compression", func(h *serverHello) { h.compression = 1 }, AlertIllegalParameter},
		{"no extended master secret", func(h *serverHello) { h.extensions.extendedMasterSecret = false }, AlertHandshakeFailure},
		{"renegotiation", func(h *serverHello) { h.extensions.renegotiationInfo = []byte{1} }, AlertHandshakeFailure},
		{"compressed points only", func(h *serverHello) { h.extensions.pointFormats = []byte{1} }, AlertIllegalParameter},
		{"protocol that was not offered", func(h *serverHello) { h.extensions.alpn = []string{"h3"} }, AlertIllegalParameter},
		{"profile that was not offered", func(h *serverHello) { h.extensions.srtpProfiles = []uint16{9} }, AlertIllegalParameter},
		{"extension that was not sent", func(h *serverHello) { h.extensions.schemes = []SignatureScheme{Ed25519} }, AlertUnsupportedExtension},
		{"session id too long", func(h *serverHello) { h.sessionID = make([]byte, 33) }, AlertDecodeError},
	} {
		p := newPair(t, func(client, server *Config) {
			client.ALPN, client.SRTPProfiles, client.Strict = []string{"webrtc"}, []uint16{1}, true
		})
		p.start()
		p.client.AppendDatagram(epoch, nil, 1200)
		h := &serverHello{version: VersionDTLS12, suite: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
			extensions: helloExtensions{extendedMasterSecret: true}}
		tc.change(h)
		body, err := h.marshal()
		if err != nil {
			t.Fatal(err)
		}
		p.deliver(p.client, plaintext(typeServerHello, 0, body))
		wantAlert(t, tc.why, p.client, tc.want)
	}
}

// TestWrongMessage gives each end, in each of its states, a message that it does not
// expect.
func TestWrongMessage(t *testing.T) {
	for steps := range 3 {
		p := newPair(t, strictly(only12))
		p.start()
		for range steps {
			p.step()
		}
		for _, c := range []*Conn{p.client, p.server} {
			if c.hs == nil {
				continue
			}
			p.deliver(c, plaintext(typeFinished, uint16(c.in.next), make([]byte, verifyDataLen)))
			var a *AlertError
			if !errors.As(c.Err(), &a) || a.Remote || a.Alert != AlertUnexpectedMessage {
				t.Errorf("Finished in plaintext: err %v", c.Err())
			}
		}
	}
}

// TestHelloVerifyRequest checks that the client returns the cookie, and that neither
// the HelloVerifyRequest nor the first ClientHello is part of the transcript.
func TestHelloVerifyRequest(t *testing.T) {
	p := newPair(t, strictly(only12))
	p.client.Start(epoch)
	first, _ := p.client.AppendDatagram(epoch, nil, 1200)
	body := append([]byte{0xfe, 0xff, 4}, "salt"...)
	p.deliver(p.client, plaintext(typeHelloVerifyRequest, 0, body))
	second, ok := p.client.AppendDatagram(epoch, nil, 1200)
	if !ok || len(second) != len(first)+4 {
		t.Fatalf("%d bytes, then %d", len(first), len(second))
	}
	f, _, _ := parseFragment(second[recordHeaderLen:])
	h, err := parseClientHello(f.data)
	if err != nil || f.seq != 1 || string(h.cookie) != "salt" {
		t.Fatalf("seq %d, cookie %q, err %v", f.seq, h.cookie, err)
	}
	if m := p.client.offered().sent; m.seq != 1 || !slices.Equal(m.body, f.data) || p.client.hs.transcript.messages != nil {
		t.Error("the transcript has more than the second hello")
	}
	for seq := range uint16(maxCookies) {
		p.deliver(p.client, plaintext(typeHelloVerifyRequest, seq+1, body))
	}
	wantAlert(t, "a server that never has enough", p.client, AlertUnexpectedMessage)
}

// TestForgedHelloVerifyRequest checks that a forged cookie delays the handshake, but
// does not end it. The server answers the forged cookie with a HelloVerifyRequest. Its
// message number is that of the server's own message, even if the forged message has
// overtaken that one.
func TestForgedHelloVerifyRequest(t *testing.T) {
	for _, overtaken := range []bool{false, true} {
		p := newPair(t, only12)
		validator, err := NewAddressValidator(Config{Certificate: p.server.hs.cfg.Certificate, Fingerprints: p.server.hs.cfg.Fingerprints, MaxVersion: VersionDTLS12})
		if err != nil {
			t.Fatal(err)
		}
		addr := []byte("there")
		p.client.Start(p.now)
		first, _ := p.client.AppendDatagram(p.now, nil, 1200)
		request, _ := validator.HandleHello(p.now, addr, first, nil)
		p.deliver(p.client, plaintext(typeHelloVerifyRequest, 0, append([]byte{0xfe, 0xff, 6}, "forged"...)))
		misled, _ := p.client.AppendDatagram(p.now, nil, 1200)
		if !overtaken {
			request, _ = validator.HandleHello(p.now, addr, misled, nil)
		}
		p.deliver(p.client, request)
		p.deliver(p.client, request) // a second copy of the request causes no transmission
		var conn *Conn
		second, ok := p.client.AppendDatagram(p.now, nil, 1200)
		if ok {
			_, conn = validator.HandleHello(p.now, addr, second, nil)
		}
		if conn == nil {
			t.Fatalf("overtaken %v: no hello with the server's cookie, %v", overtaken, p.client.Err())
		}
		if _, more := p.client.AppendDatagram(p.now, nil, 1200); more {
			t.Error("a repetition of the same request is answered")
		}
		p.server = conn
		p.deliver(p.server, second)
		p.run()
		p.exchange()
	}
	// The number of cookies that a client answers is limited.
	p := newPair(t, only12)
	p.start()
	for i := range byte(10) {
		p.deliver(p.client, plaintext(typeHelloVerifyRequest, 0, []byte{0xfe, 0xff, 1, i}))
	}
	if n := p.client.offered().cookies; n != maxCookies {
		t.Errorf("%d requests followed", n)
	}
}

// TestRenegotiationRefused checks that a HelloRequest or a ClientHello after the
// handshake is answered with a warning, and that the connection continues.
func TestRenegotiationRefused(t *testing.T) {
	p := newPair(t, only12)
	p.connect()
	for _, tc := range []struct {
		from *Conn
		typ  handshakeType
	}{{p.server, typeHelloRequest}, {p.client, typeClientHello}} {
		b := tc.from.records.current.begin(nil)
		b = appendFragmentHeader(b, tc.typ, 0, 9, 0, 0)
		b, _ = tc.from.records.seal(tc.from.records.current, typeHandshake, b, 0)
		n := p.sent
		p.deliver(p.other(tc.from), b)
		p.run()
		if p.sent != n+1 {
			t.Errorf("type %d: %d answers", tc.typ, p.sent-n)
		}
	}
	p.exchange()
}

// TestExporterContext checks that a nil context and an empty context give different
// results (RFC 5705 §4).
func TestExporterContext(t *testing.T) {
	p := newPair(t, only12)
	if _, err := p.client.ExportKeyingMaterial("EXPORTER-x", nil, 16); err == nil {
		t.Error("exports before the handshake")
	}
	p.connect()
	none, _ := p.client.ExportKeyingMaterial("EXPORTER-x", nil, 16)
	empty, _ := p.client.ExportKeyingMaterial("EXPORTER-x", []byte{}, 16)
	theirs, _ := p.server.ExportKeyingMaterial("EXPORTER-x", []byte{}, 16)
	if slices.Equal(none, empty) || !slices.Equal(empty, theirs) {
		t.Errorf("none %x, empty %x, theirs %x", none, empty, theirs)
	}
	if _, err := p.client.ExportKeyingMaterial("EXPORTER-x", nil, -1); err == nil {
		t.Error("exports a negative length")
	}
}
