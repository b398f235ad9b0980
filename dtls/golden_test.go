package dtls

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
)

// A capture contains the datagrams between two browsers, or between a browser and
// another stack.
type capture struct {
	keys      map[string][]byte // secrets of the key log, by label
	datagrams []captured
}

type captured struct {
	client bool // the client has sent the datagram
	data   []byte
}

func loadCapture(t testing.TB, name string) capture {
	t.Helper()
	file, err := os.Open("testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c := capture{keys: map[string][]byte{}}
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if f[0] == "#" {
			continue
		}
		b, err := hex.DecodeString(f[len(f)-1])
		if err != nil {
			t.Fatal(err)
		}
		if f[0] == "key" {
			c.keys[f[1]] = b
		} else {
			c.datagrams = append(c.datagrams, captured{f[0] == "client", b})
		}
	}
	return c
}

// messages reassembles the plaintext messages of one side.
func (c capture) messages(t testing.TB, client bool) (list []message) {
	t.Helper()
	var r reassembler
	for _, d := range c.datagrams {
		if d.client != client {
			continue
		}
		for b := d.data; len(b) > 0; {
			var h recordHeader
			ok := h.parse(b, 0)
			if !ok {
				t.Fatal("record cannot be parsed")
			}
			payload := b[h.size : h.size+h.length]
			b = b[h.size+h.length:]
			for !h.unified && h.epoch == 0 && h.typ == typeHandshake && len(payload) > 0 {
				f, rest, ok := parseFragment(payload)
				if !ok {
					t.Fatal("fragment cannot be parsed")
				}
				r.add(h.epoch, f)
				payload = rest
			}
		}
		for {
			m, ok := r.pop()
			if !ok {
				break
			}
			list = append(list, m)
		}
	}
	return list
}

// TestBrowserClientHello parses the ClientHellos of browsers, each of which is in two
// datagrams.
func TestBrowserClientHello(t *testing.T) {
	for _, name := range []string{"chromium-client-12", "firefox-client-12", "chromium-13", "firefox-13"} {
		c := loadCapture(t, name)
		msgs := c.messages(t, true)
		if len(msgs) == 0 || msgs[0].typ != typeClientHello {
			t.Fatalf("%s: no ClientHello", name)
		}
		h, err := parseClientHello(msgs[0].body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		e := &h.extensions
		if h.version != VersionDTLS12 || !slices.Contains(e.versions, VersionDTLS13) || !slices.Contains(e.versions, VersionDTLS12) ||
			!slices.Contains(h.suites, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) || e.groups[0] != GroupX25519MLKEM768 ||
			!e.extendedMasterSecret || e.renegotiationInfo == nil || !slices.Contains(e.schemes, ECDSAP256SHA256) || len(e.srtpProfiles) == 0 {
			t.Errorf("%s: %+v", name, h)
		}
		if alpn := strings.HasPrefix(name, "firefox"); alpn != slices.Equal(e.alpn, []string{"webrtc", "c-webrtc"}) {
			t.Errorf("%s: ALPN %q", name, e.alpn)
		}
		for i := range msgs[0].body {
			if _, err := parseClientHello(msgs[0].body[:i]); err == nil && i != len(msgs[0].body)-e.blockLen(msgs[0].body) {
				t.Errorf("%s: the first %d bytes alone parse", name, i)
			}
		}
	}
}

// blockLen returns the length of the extensions at the end of a hello. The hello
// without its extensions is a valid hello, too.
func (e *helloExtensions) blockLen(body []byte) int {
	for i := range body {
		if rest := body[i:]; len(rest) >= 2 && int(rest[0])<<8|int(rest[1]) == len(rest)-2 {
			return len(rest)
		}
	}
	return 0
}

// TestServerAnswersBrowsers gives captured ClientHellos to a server. It chooses an enabled
// version, and its datagrams are within the limit.
func TestServerAnswersBrowsers(t *testing.T) {
	for _, name := range []string{"chromium-client-12", "firefox-client-12", "chromium-13", "firefox-13"} {
		serverAnswersBrowser(t, name, VersionDTLS12, TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, GroupX25519)
		serverAnswersBrowser(t, name, VersionDTLS13, TLS_AES_128_GCM_SHA256, GroupX25519MLKEM768)
	}
}

func serverAnswersBrowser(t *testing.T, name string, version Version, su CipherSuite, group Group) {
	cert := testCertificate(t, "P-256")
	c, err := NewConn(Config{Certificate: cert, Fingerprints: []Fingerprint{fingerprintOf(t, "sha-256", cert)}, MaxVersion: version})
	if err != nil {
		t.Fatal(err)
	}
	c.Start(epoch)
	datagrams := loadCapture(t, name).datagrams[:2]
	slices.Reverse(datagrams) // also in reverse order
	for i, d := range datagrams {
		if _, ok := c.AppendDatagram(epoch, nil, 1200); ok {
			t.Fatalf("%s: an answer to %d of 2 fragments", name, i)
		}
		c.HandleRecord(epoch, slices.Clone(d.data))
	}
	b, ok := c.AppendDatagram(epoch, nil, 1200)
	if !ok || len(b) > 1200 || c.Err() != nil {
		t.Fatalf("%s: %d bytes, err %v", name, len(b), c.Err())
	}
	if got := c.ConnectionState(); got.Version != version || got.CipherSuite != su || got.Group != group {
		t.Errorf("%s: %+v", name, got)
	}
}

// TestOpenCaptured derives the keys of captured DTLS 1.2 connections of browsers from their
// key logs, and opens every record.
func TestOpenCaptured(t *testing.T) {
	for _, name := range []string{"chromium-client-12", "firefox-client-12", "chromium-server-12", "firefox-server-12"} {
		c := loadCapture(t, name)
		s := secrets12{master: c.keys["CLIENT_RANDOM"]}
		var su suite
		for _, m := range c.messages(t, true) {
			if h, err := parseClientHello(m.body); m.typ == typeClientHello && err == nil {
				s.clientRandom = h.random
			}
		}
		for _, m := range c.messages(t, false) {
			if m.typ != typeServerHello {
				continue
			}
			h, err := parseServerHello(m.body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			s.serverRandom = h.random
			su, _ = suiteByID(h.suite)
		}
		s.hash = su.hash
		ck, sk, err := s.keyBlock(&su)
		if err != nil {
			t.Fatal(err)
		}
		layers := map[bool]*recordLayer{true: {}, false: {}} // by sender; the key says whether the sender is the client
		layers[true].addRead(&readEpoch{aeadKey: ck})
		layers[false].addRead(&readEpoch{aeadKey: sk})
		opened := map[contentType]int{}
		for _, d := range c.datagrams {
			for b := d.data; len(b) > 0; {
				var h recordHeader
				ok := h.parse(b, 0)
				if !ok {
					t.Fatalf("%s: record cannot be parsed", name)
				}
				rec := b[:recordHeaderLen+h.length]
				b = b[len(rec):]
				if h.epoch != 1 {
					continue
				}
				again, l := bytes.Clone(rec), layers[d.client]
				payload, ok := l.open(l.newest(), &h, rec)
				if !ok || len(payload) == 0 {
					t.Fatalf("%s: record %d of type %d does not open", name, h.seq, h.typ)
				}
				opened[h.typ]++
				if _, ok := l.open(l.newest(), &h, again); ok {
					t.Fatalf("%s: record %d opens twice", name, h.seq)
				}
			}
		}
		if opened[typeHandshake] < 2 || opened[typeApplicationData] < 2 {
			t.Errorf("%s: opened %v", name, opened)
		}
	}
}

// TestOpenCaptured13 opens every record of a captured DTLS 1.3 connection of Firefox
// with the secrets of its key log.
func TestOpenCaptured13(t *testing.T) {
	c := loadCapture(t, "firefox-13")
	var su suite
	for _, m := range c.messages(t, false) {
		h, err := parseServerHello(m.body)
		if err != nil {
			t.Fatal(err)
		}
		if e := &h.extensions; e.versions[0] != VersionDTLS13 || e.keyShares[0].group != GroupX25519MLKEM768 || len(e.keyShares[0].data) != 1088+32 {
			t.Fatalf("ServerHello %+v", h)
		}
		su, _ = suiteByID(h.suite)
	}
	layers := map[bool]*recordLayer{true: {}, false: {}} // by sender; the key says whether the sender is the client
	for client, labels := range map[bool][]string{
		true:  {"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"},
		false: {"SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"},
	} {
		for i, label := range labels {
			k, err := su.trafficKeys(newKDF(su.hash), epochHandshake+uint16(i), c.keys[label])
			if err != nil {
				t.Fatal(err)
			}
			layers[client].addRead(&readEpoch{aeadKey: k, secret: c.keys[label]})
		}
	}
	opened := map[contentType]int{}
	for i, d := range c.datagrams {
		for b := d.data; len(b) > 0; {
			var h recordHeader
			ok := h.parse(b, 0)
			if !ok {
				t.Fatalf("datagram %d: record cannot be parsed", i)
			}
			rec := b[:h.size+h.length]
			b = b[len(rec):]
			if !h.unified {
				continue
			}
			l := layers[d.client]
			again, same := bytes.Clone(rec), h
			payload, ok := l.open(l.readEpochOf(&h), &h, rec)
			if !ok || len(payload) == 0 {
				t.Fatalf("datagram %d: record of epoch %d does not open", i, h.epoch)
			}
			opened[h.typ]++
			if _, ok := l.open(l.readEpochOf(&same), &same, again); ok {
				t.Fatalf("datagram %d: opens twice", i)
			}
		}
	}
	if opened[typeHandshake] < 2 || opened[typeApplicationData] < 2 || opened[typeACK] == 0 {
		t.Errorf("opened %v", opened)
	}
}
