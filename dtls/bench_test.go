package dtls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/mlkem"
	"crypto/rand"
	"runtime"
	"testing"
	"time"
)

const benchPayload = 1200

// BenchmarkRecord seals and opens records. It alternates with calls of the bare AEAD,
// so that both run under the same load of the machine. The metric "%aead" is the speed
// of records as a percentage of the speed of the AEAD.
func BenchmarkRecord(b *testing.B) {
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(b, version)
		p.connect()
		name := p.client.agreed.Version.String()
		b.Run("open/"+name, func(b *testing.B) { benchOpen(b, p) })
		b.Run("seal/"+name, func(b *testing.B) { benchSeal(b, p.client) })
	}
}

func benchSeal(b *testing.B, c *Conn) {
	aead, nonce, aad := c.records.current.aead, make([]byte, 12), make([]byte, recordHeaderLen)
	buf := make([]byte, benchPayload, 1500)
	inTurns(b, func() {
		aead.Seal(buf[:0], nonce, buf, aad)
	}, func() {
		d := c.BeginRecord(buf[:0])
		d = d[:len(d)+benchPayload]
		if len(c.FinishRecord(d, 0)) == 0 {
			b.Fatal("not sealed")
		}
	})
}

func benchOpen(b *testing.B, p *pair) {
	newest := p.server.records.read[len(p.server.records.read)-1]
	aead, nonce, aad := newest.aead, make([]byte, 12), make([]byte, recordHeaderLen)
	sealed := aead.Seal(nil, nonce, make([]byte, benchPayload), aad)
	rec := append(p.client.BeginRecord(nil), make([]byte, benchPayload)...)
	rec = p.client.FinishRecord(rec, 0)
	buf := make([]byte, 0, 1500)
	inTurns(b, func() {
		buf = append(buf[:0], sealed...)
		if _, err := aead.Open(buf[:0], nonce, buf, aad); err != nil {
			b.Fatal(err)
		}
	}, func() {
		buf = append(buf[:0], rec...)
		newest.window = replayWindow{} // so that the record is not a replay
		if data, _ := p.server.HandleRecord(p.now, buf); data == nil {
			b.Fatal("does not open")
		}
	})
}

// inTurns measures both functions alternately, and reports the speed of record.
func inTurns(b *testing.B, bare, record func()) {
	b.ReportAllocs()
	bareTime, recordTime := turns(b, 64, bare, record)
	b.ReportMetric(100*float64(bareTime)/float64(recordTime), "%aead")
	b.ReportMetric(float64(recordTime.Nanoseconds())/float64(b.N), "ns/record")
}

// turns runs f and g b.N times each, alternately, and returns how long each took.
func turns(b *testing.B, turn int, f, g func()) (forF, forG time.Duration) {
	times := func(n int, f func()) time.Duration {
		begun := time.Now()
		for range n {
			f()
		}
		return time.Since(begun)
	}
	for left := b.N; left > 0; left -= turn {
		n := min(left, turn)
		forF += times(n, f)
		forG += times(n, g)
	}
	b.ReportMetric(0, "ns/op") // the time of both functions together has no meaning
	return forF, forG
}

// BenchmarkHandshake runs both ends of a handshake with the defaults of each version
// and P-256 certificates. It alternates with the public-key operations alone. The
// metric "x-publickey" is the time of the handshake divided by the time of these
// operations.
func BenchmarkHandshake(b *testing.B) {
	for _, version := range []Version{VersionDTLS12, VersionDTLS13} {
		b.Run(version.String(), func(b *testing.B) {
			cc, sc := testCertificate(b, "P-256"), testCertificate(b, "P-256")
			client := Config{Client: true, Certificate: cc, Fingerprints: []Fingerprint{fingerprintOf(b, "sha-256", sc)}, MaxVersion: version}
			server := Config{Certificate: sc, Fingerprints: []Fingerprint{fingerprintOf(b, "sha-256", cc)}}
			key := cc.PrivateKey.(*ecdsa.PrivateKey)
			handshake := func() { pairOf(b, client, server).connect() }
			alone, all := turns(b, 8, func() { publicKeyWork(version, key) }, handshake)
			b.ReportMetric(float64(all)/float64(alone), "x-publickey")
			b.ReportMetric(float64(all.Nanoseconds())/float64(b.N), "ns/handshake")
			b.ReportMetric(testing.AllocsPerRun(10, handshake), "allocs/handshake")
		})
	}
}

// publicKeyWork does the public-key operations of both ends of a handshake.
func publicKeyWork(version Version, key *ecdsa.PrivateKey) {
	digest := make([]byte, 32)
	for range 2 { // the two ends
		e, _ := ecdh.X25519().GenerateKey(rand.Reader)
		e.ECDH(e.PublicKey())
		sig, _ := ecdsa.SignASN1(rand.Reader, key, digest)
		ecdsa.VerifyASN1(&key.PublicKey, digest, sig)
	}
	if version == VersionDTLS13 {
		d, _ := mlkem.GenerateKey768()
		k, _ := mlkem.NewEncapsulationKey768(d.EncapsulationKey().Bytes())
		_, ciphertext := k.Encapsulate()
		d.Decapsulate(ciphertext)
	}
}

// TestIdleMemory bounds the memory of an established connection, with and without its
// key schedules.
func TestIdleMemory(t *testing.T) {
	const n = 100
	cc, sc := testCertificate(t, "P-256"), testCertificate(t, "P-256")
	client := Config{Client: true, Certificate: cc, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", sc)}}
	server := Config{Certificate: sc, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", cc)}}
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	conns := make([]*Conn, 0, 2*n)
	before := heap()
	for range n {
		p := pairOf(t, client, server)
		p.connect()
		for _, c := range []*Conn{p.client, p.server} {
			c.Advance(p.now.Add(oldKeysLife)) // the keys of the handshake are dropped
			conns = append(conns, c)
		}
	}
	each := func() uint64 { return (heap() - before) / uint64(len(conns)) }
	keyed := each()
	for _, c := range conns {
		c.Release()
	}
	released := each()
	runtime.KeepAlive(conns)
	t.Logf("%d bytes a connection, %d after Release", keyed, released)
	if keyed > 4200 || released > 1600 { // usual values: 4050 and 1500, of which 320 are the peer's certificate
		t.Errorf("%d bytes a connection, %d after Release", keyed, released)
	}
	if !bytes.Equal(conns[0].ConnectionState().PeerCertificates[0], sc.Certificate[0]) {
		t.Error("certificate lost")
	}
}
