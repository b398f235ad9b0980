package dtls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/mlkem"
	"crypto/rand"
	"runtime"
	"testing"
)

const benchPayload = 1200

// benchVersions runs a benchmark in both versions.
func benchVersions(b *testing.B, f func(b *testing.B, p *pair)) {
	for _, version := range []func(client, server *Config){only12, only13} {
		p := newPair(b, version)
		p.connect()
		b.Run(p.client.version.String(), func(b *testing.B) {
			b.SetBytes(benchPayload)
			b.ReportAllocs()
			f(b, p)
		})
	}
}

func BenchmarkSeal(b *testing.B) {
	payload, buf := make([]byte, benchPayload), make([]byte, 0, 1500)
	benchVersions(b, func(b *testing.B, p *pair) {
		for b.Loop() {
			d := append(p.client.BeginRecord(buf), payload...)
			p.client.FinishRecord(d, 0)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	benchVersions(b, func(b *testing.B, p *pair) {
		rec := append(p.client.BeginRecord(nil), make([]byte, benchPayload)...)
		rec = p.client.FinishRecord(rec, 0)
		buf := make([]byte, len(rec))
		newest := p.server.read[len(p.server.read)-1]
		for b.Loop() {
			copy(buf, rec)
			newest.window = replayWindow{}
			if data, _ := p.server.ReadRecord(p.now, buf); data == nil {
				b.Fatal("does not open")
			}
		}
	})
}

// BenchmarkBareSeal and BenchmarkBareOpen are what the AEAD alone takes.
func BenchmarkBareSeal(b *testing.B) {
	aead, _ := newGCM(make([]byte, 16))
	buf, nonce, aad := make([]byte, benchPayload, 1500), make([]byte, 12), make([]byte, 13)
	b.SetBytes(benchPayload)
	for b.Loop() {
		aead.Seal(buf[:0], nonce, buf, aad)
	}
}

func BenchmarkBareOpen(b *testing.B) {
	aead, _ := newGCM(make([]byte, 16))
	nonce, aad := make([]byte, 12), make([]byte, 13)
	sealed := aead.Seal(nil, nonce, make([]byte, benchPayload), aad)
	buf := make([]byte, len(sealed))
	b.SetBytes(benchPayload)
	for b.Loop() {
		copy(buf, sealed)
		if _, err := aead.Open(buf[:0], nonce, buf, aad); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHandshake is both ends of a handshake, with what each version
// prefers and P-256 certificates.
func BenchmarkHandshake(b *testing.B) {
	for _, version := range []Version{VersionDTLS12, VersionDTLS13} {
		b.Run(version.String(), func(b *testing.B) {
			cc, sc := testCertificate(b, "P-256"), testCertificate(b, "P-256")
			client := Config{Client: true, Certificate: cc, Fingerprints: []Fingerprint{fingerprintOf(b, "sha-256", sc)}, MaxVersion: version}
			server := Config{Certificate: sc, Fingerprints: []Fingerprint{fingerprintOf(b, "sha-256", cc)}}
			b.ReportAllocs()
			for b.Loop() {
				pairOf(b, client, server).connect()
			}
		})
	}
}

// BenchmarkPublicKey is the public-key work of BenchmarkHandshake alone.
func BenchmarkPublicKey(b *testing.B) {
	key := testCertificate(b, "P-256").PrivateKey.(*ecdsa.PrivateKey)
	digest := make([]byte, 32)
	end := func() { // one end's share of both versions
		e, _ := ecdh.X25519().GenerateKey(rand.Reader)
		e.ECDH(e.PublicKey())
		sig, _ := ecdsa.SignASN1(rand.Reader, key, digest)
		ecdsa.VerifyASN1(&key.PublicKey, digest, sig)
	}
	b.Run("1.2", func(b *testing.B) {
		for b.Loop() {
			end()
			end()
		}
	})
	b.Run("1.3", func(b *testing.B) {
		for b.Loop() {
			end()
			end()
			d, _ := mlkem.GenerateKey768()
			k, _ := mlkem.NewEncapsulationKey768(d.EncapsulationKey().Bytes())
			_, ciphertext := k.Encapsulate()
			d.Decapsulate(ciphertext)
		}
	})
}

// TestIdleMemory holds an established connection to its share of a peer.
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
		conns = append(conns, p.client, p.server)
	}
	each := (heap() - before) / uint64(len(conns))
	runtime.KeepAlive(conns)
	t.Logf("%d bytes a connection", each)
	if each > 6<<10 {
		t.Errorf("%d bytes a connection", each)
	}
	if !bytes.Equal(conns[0].ConnectionState().PeerCertificates[0], sc.Certificate[0]) {
		t.Error("certificate lost")
	}
}
