package dtls

import (
	"bytes"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"testing"
	"time"
)

// withTickets enables resumption in a pair. The client resumes session, if that is not nil.
func withTickets(version func(client, server *Config), session *Session) func(client, server *Config) {
	return func(client, server *Config) {
		version(client, server)
		client.Tickets, client.Session = true, session
		server.TicketKeys = []TicketKey{{1}}
	}
}

// A resumption is the configuration of a connection that resumes the session of a
// first connection.
type resumption struct {
	version        func(client, server *Config)
	client, server Config
}

func newResumption(t *testing.T, version func(client, server *Config)) (*resumption, *pair) {
	t.Helper()
	r := &resumption{version: version}
	p := newPair(t, func(client, server *Config) {
		withTickets(version, nil)(client, server)
		r.client, r.server = *client, *server
	})
	p.connect()
	p.exchange()
	if p.session == nil || p.client.ConnectionState().Resumed {
		t.Fatalf("session %v, state %+v", p.session, p.client.ConnectionState())
	}
	r.client.Session = p.session
	return r, p
}

// again connects a second time, when the session is as old as age, and returns that
// connection. change, unless it is nil, changes the configurations first.
func (r *resumption) again(t *testing.T, age time.Duration, change func(client, server *Config)) *pair {
	client, server := r.client, r.server
	if change != nil {
		change(&client, &server)
	}
	p := pairOf(t, client, server)
	p.now = p.now.Add(age)
	return p
}

func TestResume(t *testing.T) {
	for _, version := range []func(client, server *Config){only12, only13} {
		r, first := newResumption(t, version)
		p := r.again(t, time.Hour, nil)
		p.connect()
		p.exchange()
		for _, c := range []*Conn{p.client, p.server} {
			got := c.ConnectionState()
			if !got.Resumed || len(got.PeerCertificates) != 1 {
				t.Errorf("%v: state %+v", got.Version, got)
			}
		}
		if !bytes.Equal(p.client.agreed.PeerCertificates[0], first.client.agreed.PeerCertificates[0]) || !bytes.Equal(p.server.agreed.PeerCertificates[0], first.server.agreed.PeerCertificates[0]) {
			t.Error("the certificates of another peer")
		}
		a, err := p.client.ExportKeyingMaterial("EXPERIMENTAL x", nil, 32)
		b, err2 := p.server.ExportKeyingMaterial("EXPERIMENTAL x", nil, 32)
		old, _ := first.client.ExportKeyingMaterial("EXPERIMENTAL x", nil, 32)
		if err != nil || err2 != nil || !bytes.Equal(a, b) || bytes.Equal(a, old) {
			t.Errorf("exported %x, %x, before %x", a, b, old)
		}
		if version13 := p.client.agreed.Version == VersionDTLS13; (p.session != nil) != version13 {
			t.Errorf("%v: new session: %t", p.client.agreed.Version, p.session != nil)
		}
	}
}

// TestResumeRefused checks that ends which cannot resume do a full handshake.
func TestResumeRefused(t *testing.T) {
	for _, tc := range []struct {
		why    string
		age    time.Duration
		change func(client, server *Config)
	}{
		{"expired", 25 * time.Hour, nil},
		{"from the future", -time.Hour, nil},
		{"other key", time.Hour, func(_, server *Config) { server.TicketKeys = []TicketKey{{2}} }},
		{"server has no keys", time.Hour, func(_, server *Config) { server.TicketKeys = nil }},
		{"suite gone", time.Hour, func(_, server *Config) {
			server.CipherSuites = []CipherSuite{TLS_AES_256_GCM_SHA384, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		}},
	} {
		for _, version := range []func(client, server *Config){only12, only13} {
			r, _ := newResumption(t, version)
			p := r.again(t, tc.age, tc.change)
			p.connect()
			p.exchange()
			if p.client.ConnectionState().Resumed || p.server.ConnectionState().Resumed {
				t.Errorf("%s: resumed", tc.why)
			}
		}
	}
}

// TestResumeIdentity checks that a session does not authenticate a peer whose certificate
// would be refused.
func TestResumeIdentity(t *testing.T) {
	stranger := []Fingerprint{fingerprintOf(t, "sha-256", testCertificate(t, "P-256"))}
	refuse := func([][]byte) error { return errors.New("no") }
	for _, tc := range []struct {
		why    string
		change func(client, server *Config)
		client bool // the client refuses the session; otherwise the server does
	}{
		{"client expects another", func(client, _ *Config) { client.Fingerprints = stranger }, true},
		{"server expects another", func(_, server *Config) { server.Fingerprints = stranger }, false},
		{"client's owner refuses", func(client, _ *Config) { client.VerifyPeer = refuse }, true},
		{"server's owner refuses", func(_, server *Config) { server.VerifyPeer = refuse }, false},
	} {
		for _, version := range []func(client, server *Config){only12, only13} {
			r, _ := newResumption(t, version)
			p := r.again(t, time.Hour, tc.change)
			p.start()
			p.run()
			c := p.server
			if tc.client {
				c = p.client
			}
			var a *AlertError
			if c.Established() || !errors.As(c.Err(), &a) || a.Alert != AlertBadCertificate || a.Remote {
				t.Errorf("%s: err %v", tc.why, c.Err())
			}
			if p.other(c).Established() && p.client.agreed.Version == VersionDTLS12 {
				t.Errorf("%s: the peer is established", tc.why)
			}
		}
	}
}

// TestTicketRenewed checks that a server of DTLS 1.2 replaces a ticket that was not
// sealed with the newest key.
func TestTicketRenewed(t *testing.T) {
	r, _ := newResumption(t, only12)
	p := r.again(t, time.Hour, func(_, server *Config) { server.TicketKeys = []TicketKey{{2}, {1}} })
	p.connect()
	if !p.client.agreed.Resumed || p.session == nil {
		t.Errorf("resumed %t, session %v", p.client.agreed.Resumed, p.session)
	}
}

// TestBinderForged checks that a ticket is useless without its secret.
func TestBinderForged(t *testing.T) {
	r, _ := newResumption(t, only13)
	stolen := *r.client.Session
	stolen.secret = bytes.Repeat([]byte{1}, 32)
	r.client.Session = &stolen
	p := r.again(t, time.Hour, nil)
	p.start()
	p.run()
	var a *AlertError
	if !errors.As(p.server.Err(), &a) || a.Alert != AlertDecryptError {
		t.Errorf("err %v", p.server.Err())
	}
}

// TestResumeAfterRetry checks resumption after a HelloRetryRequest, where the second
// ClientHello needs another binder.
func TestResumeAfterRetry(t *testing.T) {
	r, _ := newResumption(t, only13)
	p := r.again(t, time.Hour, func(_, server *Config) { server.Groups = []Group{GroupP384} })
	p.connect()
	if s := p.client.ConnectionState(); !s.Resumed || !s.HelloRetryRequest {
		t.Errorf("state %+v", s)
	}
}

// TestResumeLossy resumes over a network that loses, duplicates and reorders.
func TestResumeLossy(t *testing.T) {
	for i, version := range []func(client, server *Config){only12, only13} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			r, _ := newResumption(t, version)
			for seed := range uint64(40) {
				p := r.again(t, time.Hour, nil)
				rng := mrand.New(mrand.NewPCG(seed, 1))
				p.meddle = func(_ int, d []byte) (out []delivery) {
					for range 1 + rng.IntN(2)*rng.IntN(2) {
						if rng.IntN(10) >= 3 {
							out = append(out, delivery{slices.Clone(d), time.Duration(rng.IntN(100)) * time.Millisecond})
						}
					}
					return out
				}
				p.start()
				for range 2000 {
					if !p.step() || p.client.Established() && p.server.Established() {
						break
					}
				}
				if !p.client.agreed.Resumed || !p.server.agreed.Resumed || !p.client.Established() || !p.server.Established() {
					t.Fatalf("seed %d: client %v, server %v", seed, p.client.Err(), p.server.Err())
				}
			}
		})
	}
}

func TestTicketForms(t *testing.T) {
	cfg := Config{TicketKeys: []TicketKey{{1}}, Rand: randOrDefault(nil)}
	s := &Session{version: VersionDTLS13, suite: TLS_AES_128_GCM_SHA256, secret: []byte{1, 2}, peer: [][]byte{{3}, {4, 5}}, issued: epoch}
	ticket, err := cfg.sealTicket(s)
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.openTicket(ticket)
	if got == nil || got.version != s.version || got.suite != s.suite || !bytes.Equal(got.secret, s.secret) ||
		!slices.EqualFunc(got.peer, s.peer, bytes.Equal) || !got.issued.Equal(s.issued) || got.Version() != VersionDTLS13 {
		t.Errorf("opened %+v", got)
	}
	for n := range ticket {
		if cfg.openTicket(ticket[:n]) != nil {
			t.Errorf("opened %d bytes of %d", n, len(ticket))
		}
	}
	s.peer = [][]byte{make([]byte, maxTicket)}
	if ticket, err := cfg.sealTicket(s); ticket != nil || err != nil {
		t.Errorf("ticket of %d bytes, err %v", len(ticket), err)
	}
}
