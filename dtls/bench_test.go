package dtls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"runtime"
	"testing"
)

const benchPayload = 1200

func benchPair(b *testing.B) *pair {
	p := newPair(b, nil)
	p.connect()
	return p
}

func BenchmarkSeal(b *testing.B) {
	p := benchPair(b)
	payload, buf := make([]byte, benchPayload), make([]byte, 0, 1500)
	b.SetBytes(benchPayload)
	b.ReportAllocs()
	for b.Loop() {
		d := append(p.client.BeginRecord(buf), payload...)
		p.client.FinishRecord(d, 0)
	}
}

func BenchmarkOpen(b *testing.B) {
	p := benchPair(b)
	rec := append(p.client.BeginRecord(nil), make([]byte, benchPayload)...)
	rec = p.client.FinishRecord(rec, 0)
	buf := make([]byte, len(rec))
	b.SetBytes(benchPayload)
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, rec)
		p.server.read[0].window = replayWindow{}
		if data, _ := p.server.ReadRecord(p.now, buf); data == nil {
			b.Fatal("does not open")
		}
	}
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

// BenchmarkHandshake12 is both ends of a handshake with P-256 throughout.
func BenchmarkHandshake12(b *testing.B) {
	cc, sc := testCertificate(b, "P-256"), testCertificate(b, "P-256")
	client := Config{Client: true, Certificate: cc, Fingerprints: []Fingerprint{fingerprintOf(b, "sha-256", sc)}, Groups: []Group{GroupP256}}
	server := Config{Certificate: sc, Fingerprints: []Fingerprint{fingerprintOf(b, "sha-256", cc)}}
	b.ReportAllocs()
	for b.Loop() {
		pairOf(b, client, server).connect()
	}
}

// BenchmarkPublicKey12 is the public-key work of BenchmarkHandshake12 alone.
func BenchmarkPublicKey12(b *testing.B) {
	key := testCertificate(b, "P-256").PrivateKey.(*ecdsa.PrivateKey)
	digest := make([]byte, 32)
	for b.Loop() {
		for range 2 { // each end
			e, _ := ecdh.P256().GenerateKey(rand.Reader)
			e.ECDH(e.PublicKey())
			sig, _ := ecdsa.SignASN1(rand.Reader, key, digest)
			ecdsa.VerifyASN1(&key.PublicKey, digest, sig)
		}
	}
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
