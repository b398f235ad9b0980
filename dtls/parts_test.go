package dtls

import (
	"bytes"
	"crypto"
	_ "crypto/sha1" // for a fingerprint that must not match
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestPRF checks the vector for P_SHA256 from the list of the TLS working group
// (https://mailarchive.ietf.org/arch/msg/tls/fzVCzk-z3FShgGJ6DOXqM1ydxms).
func TestPRF(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	got := prf12(crypto.SHA256, unhex("9bbe436ba940f017b17652849a71db35"), "test label", 100, unhex("a0ba9f936cda311827a6f796ffd5198c"))
	want := unhex("e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66")
	if !bytes.Equal(got, want) {
		t.Errorf("got %x", got)
	}
}

// TestReplayWindow compares the window with a set of all received numbers.
func TestReplayWindow(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var w replayWindow
	seen := map[uint64]bool{}
	top := uint64(0) // the highest number plus one
	for range 20000 {
		seq := top + uint64(rng.IntN(6))
		switch rng.IntN(50) {
		case 0:
			seq += uint64(rng.IntN(300))
		default:
			seq -= min(seq, uint64(rng.IntN(140)))
		}
		want := !seen[seq] && (seq >= top || top-1-seq < replayWindowSize)
		if got := w.fresh(seq); got != want {
			t.Fatalf("seq %d with top %d: fresh %v", seq, top, got)
		}
		if want {
			w.mark(seq)
			seen[seq] = true
			top = max(top, seq+1)
		}
	}
}

func TestReassemblyLimits(t *testing.T) {
	var r reassembler
	big := make([]byte, maxMessage)
	for seq := range uint16(maxAhead + 3) {
		r.add(0, fragment{typeCertificate, seq + 1, maxMessage, 0, big})
	}
	if r.size > maxReassembly || len(r.pending) > maxAhead {
		t.Fatalf("%d bytes of %d messages", r.size, len(r.pending))
	}
	if r.add(0, fragment{typeCertificate, 0, maxMessage + 1, 0, nil}) {
		t.Error("a message over the limit has a place")
	}
	// There is always room for the next message.
	if !r.add(0, fragment{typeCertificate, 0, maxMessage, 0, big}) {
		t.Fatal("no room for the next message")
	}
	if m, ok := r.pop(); !ok || m.seq != 0 {
		t.Fatal("the next message does not come")
	}
	// Every second byte arrives first, then the other bytes: no byte is lost.
	r = reassembler{}
	for i := 0; i < maxMessage; i += 2 {
		r.add(0, fragment{typeCertificate, 0, maxMessage, i, big[i : i+1]})
	}
	if _, ok := r.pop(); ok {
		t.Error("half a message is whole")
	}
	for i := 1; i < maxMessage; i += 2 {
		r.add(0, fragment{typeCertificate, 0, maxMessage, i, big[i : i+1]})
	}
	if m, ok := r.pop(); !ok || len(m.body) != maxMessage || r.size != 0 {
		t.Errorf("%d bytes, %d left", len(m.body), r.size)
	}
	r = reassembler{}
	r.add(0, fragment{typeCertificate, 0, maxMessage, 5, big[5:9]})
	// An encrypted fragment replaces a fragment in plaintext.
	if !r.add(1, fragment{typeFinished, 0, 12, 0, big[:12]}) || r.add(0, fragment{typeCertificate, 0, maxMessage, 0, big}) {
		t.Error("plaintext keeps the place of a protected message")
	}
	if m, ok := r.pop(); !ok || m.typ != typeFinished || m.epoch != 1 {
		t.Errorf("got %+v", m)
	}
}

// TestLastMessage checks that no message follows message 65535.
func TestLastMessage(t *testing.T) {
	r := reassembler{next: 1<<16 - 1}
	f := fragment{typ: typeKeyUpdate, seq: 1<<16 - 1, length: 1, data: []byte{0}}
	if !r.add(3, f) {
		t.Error("the last message is refused")
	}
	if m, ok := r.pop(); !ok || m.seq != f.seq {
		t.Errorf("popped %+v, %t", m, ok)
	}
	for f.seq = range uint16(maxAhead) {
		if r.add(3, f) {
			t.Errorf("message %d is taken again", f.seq)
		}
	}
}

func TestGenerateCertificate(t *testing.T) {
	// The times are: epoch, a clock that was never set, and times before and after the
	// end of the years with two digits.
	for _, now := range []time.Time{epoch, time.Unix(0, 0), time.Unix(2524608000, 0), time.Unix(4e9, 0)} {
		cert, err := GenerateCertificate(now, nil)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := x509.ParseCertificate(cert.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := parsed.CheckSignature(parsed.SignatureAlgorithm, parsed.RawTBSCertificate, parsed.Signature); err != nil {
			t.Error(err)
		}
		if !parsed.NotBefore.Equal(now.Add(-certificateLife)) || !parsed.NotAfter.Equal(now.Add(certificateLife)) || parsed.SerialNumber.Sign() <= 0 {
			t.Errorf("valid %v to %v, serial %v", parsed.NotBefore, parsed.NotAfter, parsed.SerialNumber)
		}
	}
	for _, kind := range []string{"P-256", "P-384", "Ed25519", "RSA"} {
		c := testCertificate(t, kind)
		if _, err := certificateKey(c.Certificate[0]); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		for i := range c.Certificate[0] {
			if _, err := certificateKey(c.Certificate[0][:i]); err == nil {
				t.Errorf("%s: %d bytes alone are a certificate", kind, i)
			}
		}
	}
}

func TestFingerprint(t *testing.T) {
	cert, other := testCertificate(t, "P-256"), testCertificate(t, "P-256")
	der := cert.Certificate[0]
	of := func(hash string, c *tls.Certificate) Fingerprint { return fingerprintOf(t, hash, c) }
	upper := of("SHA-256", cert)
	upper.Hash = "SHA-256"
	for _, tc := range []struct {
		name  string
		lines []Fingerprint
		want  bool
	}{
		{"none", nil, false},
		{"right", []Fingerprint{of("sha-256", cert)}, true},
		{"upper case", []Fingerprint{upper}, true},
		{"wrong", []Fingerprint{of("sha-256", other)}, false},
		{"one of two", []Fingerprint{of("sha-256", other), of("sha-256", cert)}, true},
		{"the stronger hash decides", []Fingerprint{of("sha-256", cert), of("sha-384", other)}, false},
		{"unknown and weak ones are passed over", []Fingerprint{{"md5", nil}, {"sha-1", nil}, of("sha-512", cert)}, true},
		{"weak alone", []Fingerprint{{"sha-1", sum(crypto.SHA1, der)}}, false},
		{"cut short", []Fingerprint{{"sha-256", of("sha-256", cert).Value[:31]}}, false},
	} {
		if got := matchFingerprint(tc.lines, der); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	if _, err := CertificateFingerprint("sha-1", der); err == nil {
		t.Error("sha-1 accepted")
	}
}

func TestNames(t *testing.T) {
	got := []string{
		VersionDTLS12.String(), VersionDTLS13.String(), GroupX25519MLKEM768.String(), GroupX25519.String(), GroupP256.String(),
		TLS_AES_128_GCM_SHA256.String(), CipherSuite(1).String(), AlertBadCertificate.String(), Alert(250).String(), ECDSAP256SHA256.String(),
	}
	want := []string{"1.2", "1.3", "X25519MLKEM768", "x25519", "secp256r1", "TLS_AES_128_GCM_SHA256", "0x0001", "bad_certificate", "alert(250)", "ecdsa_secp256r1_sha256"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	for _, s := range suites {
		if strings.HasPrefix(s.id.String(), "0x") {
			t.Errorf("suite %v has no name", s.id)
		}
	}
	for a := range 256 {
		if s := Alert(a).String(); s == "" {
			t.Errorf("alert %d has no name", a)
		}
	}
}
