package dtls

import (
	"bytes"
	"crypto/rand"
	"errors"
	"slices"
	"testing"
	"time"
)

// validated runs a client at the address addr(i) against an AddressValidator until the
// validator creates a connection.
func validated(t *testing.T, change func(client, server *Config), addr func(i int) string) (*pair, *AddressValidator) {
	t.Helper()
	var server Config
	p := newPair(t, func(c, s *Config) {
		c.DeferShares = true
		if change != nil {
			change(c, s)
		}
		server = *s
	})
	validator, err := NewAddressValidator(server)
	if err != nil {
		t.Fatal(err)
	}
	p.client.Start(p.now)
	p.server = nil
	for i := range 4 {
		p.now = p.now.Add(time.Millisecond)
		d, ok := p.client.AppendDatagram(p.now, nil, p.limit)
		if !ok {
			break // the client waits for an answer
		}
		reply, conn := validator.HandleHello(p.now, []byte(addr(i)), d, nil)
		if len(reply) > maxAmplification*len(d) {
			t.Fatalf("%d bytes answer %d", len(reply), len(d))
		}
		if conn != nil {
			p.server = conn
			p.deliver(conn, d)
			return p, validator
		}
		if len(reply) > 0 {
			p.deliver(p.client, reply)
		}
	}
	return p, validator
}

func same(int) string { return "192.0.2.1:5" }

func TestAddressValidator(t *testing.T) {
	for _, tc := range []struct {
		why    string
		change func(client, server *Config)
	}{
		{"1.2", only12},
		{"1.3", only13},
		{"either", nil},
		{"client of 1.2", func(c, _ *Config) { c.MaxVersion = VersionDTLS12 }},
		{"with a share", func(c, _ *Config) { only13(c, c); c.DeferShares = false; c.Groups = []Group{GroupX25519} }},
	} {
		p, _ := validated(t, tc.change, same)
		if p.server == nil {
			t.Errorf("%s: not let in; client %v", tc.why, p.client.Err())
			continue
		}
		p.run()
		if !p.client.Established() || !p.server.Established() {
			t.Errorf("%s: client %v, server %v", tc.why, p.client.Err(), p.server.Err())
			continue
		}
		p.exchange()
	}
}

// TestValidatorFragments checks that a validator for DTLS 1.2 needs only the first
// fragment of a ClientHello, and a validator for DTLS 1.3 the whole ClientHello.
func TestValidatorFragments(t *testing.T) {
	for _, test := range []struct {
		version  func(client, server *Config)
		answered bool
	}{{only12, true}, {only13, false}, {nil, false}} {
		var server Config
		p := newPair(t, func(c, s *Config) {
			if test.version != nil {
				test.version(c, s)
			}
			c.ServerName = string(bytes.Repeat([]byte{'a'}, 250))
			server = *s
		})
		p.limit = 150
		validator, err := NewAddressValidator(server)
		if err != nil {
			t.Fatal(err)
		}
		p.client.Start(p.now)
		p.server = nil
		var answers int
		for range 20 {
			d, ok := p.client.AppendDatagram(p.now, nil, p.limit)
			if !ok {
				break
			}
			if p.server != nil {
				p.deliver(p.server, d)
				continue
			}
			var reply []byte
			if reply, p.server = validator.HandleHello(p.now, []byte("a"), d, nil); len(reply) > 0 {
				answers++
				p.deliver(p.client, reply)
			}
			if p.server != nil {
				p.deliver(p.server, d)
			}
		}
		if (answers == 1) != test.answered || (p.server != nil) != test.answered {
			t.Errorf("%d answers, let in %t", answers, p.server != nil)
		}
		if p.server != nil {
			p.run()
			p.exchange()
		}
	}
}

// TestCookieLimits checks that a cookie is valid for one address and a limited time.
func TestCookieLimits(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13} {
		p, _ := validated(t, version, func(i int) string { return string(rune('a' + i)) })
		if p.server != nil {
			t.Error("let in from another address")
		}
	}
	g, err := NewAddressValidator(Config{Certificate: testCertificate(t, "P-256"), ClientAuth: ClientAuthNone})
	if err != nil {
		t.Fatal(err)
	}
	random := &[32]byte{1}
	cookie := g.sealCookie(&helloCookie{version: VersionDTLS12}, []byte("a"), random)
	if _, ok := g.openCookie([]byte("a"), cookie, &[32]byte{2}); ok {
		t.Error("good for another hello")
	}
	for i := range cookie {
		bad := bytes.Clone(cookie)
		bad[i] ^= 1
		if _, ok := g.openCookie([]byte("a"), bad, random); ok {
			t.Errorf("cookie with byte %d changed is good", i)
		}
		if _, ok := g.openCookie([]byte("a"), cookie[:i], random); ok {
			t.Errorf("%d bytes of a cookie are good", i)
		}
	}
}

// TestCookieKeysRotate checks that a cookie is valid for at least one lifetime of a
// key, and for at most two. If the random source fails, an expired key is not used.
func TestCookieKeysRotate(t *testing.T) {
	broken := false
	source := readerFunc(func(b []byte) (int, error) {
		if broken {
			return 0, errors.New("broken")
		}
		return rand.Read(b)
	})
	for made := time.Duration(0); made < 2*cookieKeyLife; made += cookieKeyLife / 6 {
		for age, want := range map[time.Duration]bool{
			0: true, cookieKeyLife: true, 2*cookieKeyLife + time.Second: false, 5 * cookieKeyLife: false, time.Hour: false,
		} {
			for _, broken = range []bool{false, true} {
				at := epoch
				working := broken
				broken = false
				g, err := NewAddressValidator(Config{Certificate: testCertificate(t, "P-256"), ClientAuth: ClientAuthNone, Rand: source})
				if err != nil {
					t.Fatal(err)
				}
				g.rotateKeys(at)
				at = at.Add(made)
				g.rotateKeys(at)
				cookie := g.sealCookie(&helloCookie{version: VersionDTLS12}, nil, new([32]byte))
				broken = working
				at = at.Add(age)
				usable := g.rotateKeys(at)
				_, ok := g.openCookie(nil, cookie, new([32]byte))
				if good := usable && ok; good != want && !(broken && !good) {
					t.Errorf("made after %v, used %v later: good %t", made, age, good)
				}
				if len(g.keys) > 2 || usable == (len(g.keys) == 0) {
					t.Errorf("%d keys, usable %t", len(g.keys), usable)
				}
			}
		}
	}
}

// A readerFunc is a source of random bytes.
type readerFunc func(b []byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestValidatorNoState floods a validator. The validator answers, and keeps no state.
func TestValidatorNoState(t *testing.T) {
	p := newPair(t, func(c, _ *Config) { c.DeferShares = true })
	p.client.Start(p.now)
	d, _ := p.client.AppendDatagram(p.now, nil, p.limit)
	g, err := NewAddressValidator(*p.server.hs.cfg)
	if err != nil {
		t.Fatal(err)
	}
	before := slices.Clone(g.keys)
	for i := range 2000 {
		addr := []byte{byte(i >> 8), byte(i)}
		reply, conn := g.HandleHello(p.now, addr, d, nil)
		if conn != nil || len(reply) == 0 || len(reply) > maxAmplification*len(d) {
			t.Fatalf("conn %v, %d bytes for %d", conn, len(reply), len(d))
		}
	}
	if !slices.Equal(g.keys, before) {
		t.Error("the validator has changed")
	}
}

// TestValidatorGarbage checks that datagrams which begin no connection are not answered.
func TestValidatorGarbage(t *testing.T) {
	p := newPair(t, func(c, _ *Config) { c.DeferShares = true })
	p.client.Start(p.now)
	d, _ := p.client.AppendDatagram(p.now, nil, p.limit)
	g, err := NewAddressValidator(*p.server.hs.cfg)
	if err != nil {
		t.Fatal(err)
	}
	for n := range d {
		if reply, conn := g.HandleHello(p.now, nil, d[:n], nil); len(reply) > 0 || conn != nil {
			t.Errorf("%d bytes of a hello are answered", n)
		}
	}
	if reply, _ := g.HandleHello(p.now, nil, plaintextAlert(AlertCloseNotify), nil); len(reply) > 0 {
		t.Error("an alert is answered")
	}
	if _, err := NewAddressValidator(Config{}); err == nil {
		t.Error("a validator without a certificate")
	}
}

func FuzzAddressValidator(f *testing.F) {
	seedDatagrams(f)
	cert := testCertificate(f, "P-256")
	g, err := NewAddressValidator(Config{Certificate: cert, ClientAuth: ClientAuthNone})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, d []byte) {
		kept := bytes.Clone(d)
		reply, conn := g.HandleHello(epoch, []byte("a"), d, nil)
		if conn != nil {
			t.Error("let in without a cookie")
		}
		if len(reply) > maxAmplification*len(d) || !bytes.Equal(kept, d) {
			t.Errorf("%d bytes answer %d", len(reply), len(d))
		}
	})
}
