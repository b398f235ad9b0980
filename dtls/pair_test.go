package dtls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	mrand "math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// epoch is the time at which virtual time begins.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// testCertificate generates a certificate with a key of the given kind.
func testCertificate(t testing.TB, kind string) *tls.Certificate {
	t.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "P-256":
		cert, err := GenerateCertificate(epoch, nil)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "RSA":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: kind}, NotBefore: epoch, NotAfter: epoch.AddDate(5, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func fingerprintOf(t testing.TB, hash string, cert *tls.Certificate) Fingerprint {
	t.Helper()
	f, err := CertificateFingerprint(hash, cert.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A pair is two connections and the network between them, in virtual time.
type pair struct {
	t              testing.TB
	now            time.Time
	client, server *Conn
	limit          int
	delay          time.Duration
	// meddle, if set, returns the copies of the i-th datagram that are delivered, each with
	// its additional delay.
	meddle  func(i int, d []byte) []delivery
	carries func(to *Conn, d []byte) bool // reports whether the path carries a datagram; nil: it carries all
	sent    int
	wire    []inFlight
	got     map[*Conn][]string
	events  map[*Conn][]EventKind
	session *Session // the newest session that the client has received
}

type delivery struct {
	data  []byte
	after time.Duration
}

type inFlight struct {
	at   time.Time
	to   *Conn
	data []byte
}

// newPair creates two ends that know each other's fingerprints. change, if not nil,
// changes their configurations.
func newPair(t testing.TB, change func(client, server *Config)) *pair {
	t.Helper()
	cc, sc := testCertificate(t, "P-256"), testCertificate(t, "P-256")
	client := Config{Client: true, Certificate: cc, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", sc)}}
	server := Config{Certificate: sc, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", cc)}}
	if change != nil {
		change(&client, &server)
	}
	return pairOf(t, client, server)
}

func pairOf(t testing.TB, client, server Config) *pair {
	t.Helper()
	p := &pair{t: t, now: epoch, limit: 1200, delay: 10 * time.Millisecond,
		got: map[*Conn][]string{}, events: map[*Conn][]EventKind{}}
	var err error
	if p.client, err = NewConn(client); err != nil {
		t.Fatal(err)
	}
	if p.server, err = NewConn(server); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pair) start() {
	p.client.Start(p.now)
	p.server.Start(p.now)
}

func (p *pair) other(c *Conn) *Conn {
	if c == p.client {
		return p.server
	}
	return p.client
}

// transmit sends a datagram of c.
func (p *pair) transmit(c *Conn, d []byte) {
	if len(d) > p.limit {
		p.t.Fatalf("datagram of %d bytes, limit %d", len(d), p.limit)
	}
	if p.carries != nil && !p.carries(p.other(c), d) {
		p.sent++
		return
	}
	ds := []delivery{{d, 0}}
	if p.meddle != nil {
		ds = p.meddle(p.sent, d)
	}
	p.sent++
	for _, x := range ds {
		p.wire = append(p.wire, inFlight{p.now.Add(p.delay + x.after), p.other(c), x.data})
	}
}

// flush sends the pending datagrams of both ends, and takes their events.
func (p *pair) flush() {
	for _, c := range []*Conn{p.client, p.server} {
		for {
			d, ok := c.AppendDatagram(p.now, nil, p.limit)
			if !ok {
				break
			}
			p.transmit(c, d)
		}
		for {
			e, ok := c.NextEvent()
			if !ok {
				break
			}
			if e.Kind == EventSession {
				p.session = e.Session
				continue
			}
			p.events[c] = append(p.events[c], e.Kind)
		}
	}
}

// deliver gives a datagram to c.
func (p *pair) deliver(c *Conn, d []byte) {
	d = slices.Clone(d)
	for len(d) > 0 {
		data, n := c.HandleRecord(p.now, d)
		if n < 1 {
			p.t.Fatal("HandleRecord made no progress")
		}
		if data != nil {
			if !c.Established() {
				p.t.Fatal("data before the handshake was finished")
			}
			p.got[c] = append(p.got[c], string(data))
		}
		d = d[n:]
	}
}

// step runs the next delivery or timer; false: there is none.
func (p *pair) step() bool {
	p.flush()
	var next time.Time
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, f := range p.wire {
		earlier(f.at)
	}
	earlier(p.client.NextTimeout())
	earlier(p.server.NextTimeout())
	if next.IsZero() {
		return false
	}
	if next.After(p.now) {
		p.now = next
	}
	slices.SortStableFunc(p.wire, func(a, b inFlight) int { return a.at.Compare(b.at) })
	for len(p.wire) > 0 && !p.wire[0].at.After(p.now) {
		f := p.wire[0]
		p.wire = p.wire[1:]
		p.deliver(f.to, f.data)
		p.flush()
	}
	for _, c := range []*Conn{p.client, p.server} {
		c.Advance(p.now)
		if at := c.NextTimeout(); !at.IsZero() && !at.After(p.now) && !c.out.pending() {
			p.t.Fatalf("deadline %v not after now %v", at, p.now)
		}
	}
	p.flush()
	return true
}

// run runs steps until both ends are idle, up to a limit.
func (p *pair) run() {
	p.t.Helper()
	for range 5000 {
		if !p.step() || p.idle() {
			return
		}
	}
	p.t.Fatal("no end")
}

// idle reports whether both ends are established and nothing is in flight: the only timers
// are those that end the handshake's keys.
func (p *pair) idle() bool {
	quiet := len(p.wire) == 0
	for _, c := range []*Conn{p.client, p.server} {
		quiet = quiet && c.Established() && !c.out.timed() && c.acks.nextTimeout().IsZero()
	}
	return quiet
}

// connect runs the handshake and fails the test if it does not succeed.
func (p *pair) connect() {
	p.t.Helper()
	p.start()
	p.run()
	if !p.client.Established() || !p.server.Established() {
		p.t.Fatalf("not established: client %v, server %v", p.client.Err(), p.server.Err())
	}
}

func (p *pair) send(c *Conn, msg string) {
	b := c.BeginRecord(nil)
	b = append(b, msg...)
	p.transmit(c, c.FinishRecord(b, 0))
}

// exchange checks that data passes in both directions.
func (p *pair) exchange() {
	p.t.Helper()
	p.got = map[*Conn][]string{}
	p.send(p.client, "to the server")
	p.send(p.server, "to the client")
	p.run()
	if !slices.Equal(p.got[p.server], []string{"to the server"}) || !slices.Equal(p.got[p.client], []string{"to the client"}) {
		p.t.Fatalf("server got %q, client %q", p.got[p.server], p.got[p.client])
	}
}

func TestHandshake(t *testing.T) {
	for _, kind := range []string{"P-256", "P-384", "Ed25519", "RSA"} {
		cert := testCertificate(t, kind)
		for _, su := range suites {
			if su.auth != authAny && su.auth != keyAuth(cert.PrivateKey.(crypto.Signer).Public()) {
				continue
			}
			for _, group := range defaultGroups() {
				if su.version == VersionDTLS12 && group.curve() == nil {
					continue
				}
				t.Run(kind+"/"+su.id.String()+"/"+group.String(), func(t *testing.T) {
					var log bytes.Buffer
					p := newPair(t, func(client, server *Config) {
						server.Certificate, client.Certificate = cert, cert
						client.Fingerprints = []Fingerprint{fingerprintOf(t, "sha-384", cert)}
						server.Fingerprints = []Fingerprint{{"sha-1", make([]byte, 20)}, fingerprintOf(t, "sha-512", cert)}
						client.CipherSuites = []CipherSuite{su.id}
						server.Groups = []Group{group}
						server.KeyLogWriter = &log
					})
					p.connect()
					p.exchange()
					want := ConnectionState{Version: su.version, CipherSuite: su.id, Group: group}
					for _, c := range []*Conn{p.client, p.server} {
						got := c.ConnectionState()
						if got.Version != want.Version || got.CipherSuite != want.CipherSuite || got.Group != want.Group ||
							!bytes.Equal(got.PeerCertificates[0], cert.Certificate[0]) {
							t.Errorf("state %+v", got)
						}
						if !slices.Equal(p.events[c], []EventKind{EventEstablished}) {
							t.Errorf("events %v", p.events[c])
						}
					}
					a, errA := p.client.ExportKeyingMaterial("EXPORTER-test", nil, 40)
					b, errB := p.server.ExportKeyingMaterial("EXPORTER-test", nil, 40)
					if errA != nil || errB != nil || !bytes.Equal(a, b) || len(a) != 40 {
						t.Errorf("exporters differ: %x %x", a, b)
					}
					label := "CLIENT_RANDOM "
					if su.version == VersionDTLS13 {
						label = "CLIENT_HANDSHAKE_TRAFFIC_SECRET "
					}
					if !strings.HasPrefix(log.String(), label) {
						t.Errorf("key log %q", log.String())
					}
				})
			}
		}
	}
}

// TestSmallDatagrams runs handshakes with datagrams that are too short for any whole
// message.
func TestSmallDatagrams(t *testing.T) {
	for _, limit := range []int{60, 100, 256, 600, 1200, 20000} {
		for _, version := range []func(client, server *Config){only12, only13} {
			p := newPair(t, version)
			p.limit = limit
			p.connect()
			p.exchange()
		}
	}
}

// TestLostDuplicatedReordered checks that a handshake completes if one or two of its first
// 20 datagrams, any of them, are lost, duplicated or delayed.
func TestLostDuplicatedReordered(t *testing.T) {
	fresh := func(version func(client, server *Config)) func(t *testing.T) func() *pair {
		return func(t *testing.T) func() *pair {
			var cc, sc Config
			newPair(t, func(client, server *Config) {
				version(client, server)
				cc, sc = *client, *server
			})
			return func() *pair { return pairOf(t, cc, sc) }
		}
	}
	resumed := func(version func(client, server *Config)) func(t *testing.T) func() *pair {
		return func(t *testing.T) func() *pair {
			r, _ := newResumption(t, version)
			return func() *pair { return r.again(t, 0, nil) }
		}
	}
	for name, kind := range map[string]func(t *testing.T) func() *pair{
		"1.2":         fresh(only12),
		"1.2 resumed": resumed(only12),
		"1.3":         fresh(only13),
		"1.3 resumed": resumed(only13),
		"1.3 retried": fresh(func(client, server *Config) {
			only13(client, server)
			server.Groups = []Group{GroupP256}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lostDuplicatedReordered(t, kind(t))
		})
	}
}

func lostDuplicatedReordered(t *testing.T, make func() *pair) {
	verbs := map[string]func(d []byte) []delivery{
		"drop":      func([]byte) []delivery { return nil },
		"duplicate": func(d []byte) []delivery { return []delivery{{d, 0}, {d, 3 * time.Millisecond}} },
		"delay":     func(d []byte) []delivery { return []delivery{{d, 25 * time.Millisecond}} },
	}
	// run runs a handshake in which two datagrams are changed. It returns the number of
	// datagrams.
	run := func(limit int, verbA string, a int, verbB string, b int) int {
		p := make()
		p.limit = limit
		p.meddle = func(i int, d []byte) []delivery {
			switch i {
			case a:
				return verbs[verbA](d)
			case b:
				return verbs[verbB](d)
			}
			return []delivery{{d, 0}}
		}
		p.connect()
		if took := p.now.Sub(epoch); took > 5*time.Second {
			t.Errorf("limit %d, %s %d and %s %d: took %v", limit, verbA, a, verbB, b, took)
		}
		return p.sent
	}
	const first = 20
	for _, limit := range []int{300, 1200} {
		for a := range first {
			for verbA := range verbs {
				sent := run(limit, verbA, a, verbA, a)
				for b := a + 1; b < min(first, sent); b++ {
					for verbB := range verbs {
						run(limit, verbA, a, verbB, b)
					}
				}
			}
		}
	}
}

// TestLossyNetwork runs handshakes with 30 % loss and several seeds.
func TestLossyNetwork(t *testing.T) {
	for _, version := range []Version{VersionDTLS12, VersionDTLS13} {
		t.Run(version.String(), func(t *testing.T) {
			t.Parallel()
			lossyNetwork(t, version)
		})
	}
}

func lossyNetwork(t *testing.T, version Version) {
	cc, sc := testCertificate(t, "P-256"), testCertificate(t, "P-256")
	client := Config{Client: true, Certificate: cc, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", sc)}, MaxVersion: version}
	server := Config{Certificate: sc, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", cc)}}
	seeds := 1000
	if testing.Short() {
		seeds = 100
	}
	for seed := range seeds {
		rng := mrand.New(mrand.NewPCG(uint64(seed), 1))
		p := pairOf(t, client, server)
		p.client.SetRTT(2 * p.delay)
		p.server.SetRTT(2 * p.delay)
		p.meddle = func(i int, d []byte) []delivery {
			var out []delivery
			for rng.Float64() < 0.3 && len(out) < 3 { // duplicates of the datagram
				out = append(out, delivery{d, time.Duration(rng.IntN(30)) * time.Millisecond})
			}
			if rng.Float64() < 0.3 {
				return out[:0]
			}
			return append(out, delivery{d, time.Duration(rng.IntN(15)) * time.Millisecond})
		}
		p.start()
		p.run()
		if !p.client.Established() || !p.server.Established() {
			t.Fatalf("seed %d: client %v, server %v", seed, p.client.Err(), p.server.Err())
		}
		p.meddle = nil
		p.exchange()
	}
}

func TestWrongFingerprint(t *testing.T) {
	other := testCertificate(t, "P-256")
	for _, side := range []string{"client", "server"} {
		p := newPair(t, func(client, server *Config) {
			if side == "client" {
				client.Fingerprints = []Fingerprint{fingerprintOf(t, "sha-256", other)}
			} else {
				// A matching sha-256 line does not help if a stronger hash does not match.
				server.Fingerprints = append(server.Fingerprints, fingerprintOf(t, "sha-512", other))
			}
		})
		p.start()
		p.run()
		judge, judged := p.client, p.server
		if side == "server" {
			judge, judged = judged, judge
		}
		if !errors.Is(judge.Err(), ErrFingerprintMismatch) {
			t.Errorf("%s: err %v", side, judge.Err())
		}
		var a *AlertError
		if !errors.As(judged.Err(), &a) || !a.Remote || a.Alert != AlertBadCertificate {
			t.Errorf("%s: peer's err %v", side, judged.Err())
		}
		if judge.Established() || judged.Established() {
			t.Errorf("%s: established", side)
		}
	}
}

// offered returns what a client in its handshake has offered.
func (c *Conn) offered() *offer {
	switch r := c.hs.role.(type) {
	case *client:
		return r.offer
	case *client12:
		return r.offer
	case *client13:
		return r.offer
	}
	return nil
}
