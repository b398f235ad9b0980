package dtls

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// layers are the record layers of two ends.
type layers struct {
	t        *testing.T
	from, to recordLayer
}

// addKeys adds the keys of an epoch of DTLS 1.3 to both ends.
func (l *layers) addKeys(epoch uint16, cid []byte) {
	l.t.Helper()
	su, _ := suiteByID(TLS_AES_128_GCM_SHA256)
	secret := bytes.Repeat([]byte{byte(epoch)}, 32)
	k, err := su.trafficKeys(newKDF(crypto.SHA256), epoch, secret)
	if err != nil {
		l.t.Fatal(err)
	}
	k.cid = cid
	l.from.addWrite(&writeEpoch{aeadKey: k, secret: slices.Clone(secret)})
	l.to.addRead(&readEpoch{aeadKey: k, secret: slices.Clone(secret)})
}

func (l *layers) seal(w *writeEpoch, payload string) []byte {
	l.t.Helper()
	b, err := l.from.seal(w, typeApplicationData, append(w.begin(nil), payload...), 0)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// open opens a copy of rec.
func (l *layers) open(rec []byte, cidLen int) (h recordHeader, r *readEpoch, payload string, ok bool) {
	rec = slices.Clone(rec)
	if !h.parse(rec, cidLen) {
		return h, nil, "", false
	}
	if r = l.to.readEpochOf(&h); r == nil {
		return h, nil, "", false
	}
	b, ok := l.to.open(r, &h, rec)
	return h, r, string(b), ok
}

func TestRecordLayer(t *testing.T) {
	cid := []byte{1, 2, 3}
	for _, su := range suites {
		for _, id := range [][]byte{nil, cid} {
			t.Run(fmt.Sprintf("%v, connection ID of %d bytes", su.id, len(id)), func(t *testing.T) {
				l := layers{t: t, from: newRecordLayer(false), to: newRecordLayer(false)}
				var k aeadKey
				var err error
				if su.version == VersionDTLS13 {
					k, err = su.trafficKeys(newKDF(su.hash), epochData, make([]byte, su.hash.Size()))
				} else {
					k, err = newAEADKey(&su, make([]byte, su.keyLen), make([]byte, su.fixedIV))
				}
				if err != nil {
					t.Fatal(err)
				}
				k.cid = id
				l.from.addWrite(&writeEpoch{aeadKey: k})
				l.to.addRead(&readEpoch{aeadKey: k})
				w := l.from.current
				first, second := l.seal(w, "first"), l.seal(w, "second")
				if len(first) != len("first")+w.overhead() {
					t.Errorf("record of %d bytes, overhead %d", len(first), w.overhead())
				}
				h, _, payload, ok := l.open(second, len(id))
				if !ok || payload != "second" || h.typ != typeApplicationData || h.epoch != k.epoch || h.seq != 1 || !h.newest {
					t.Errorf("opened %q, %t, %+v", payload, ok, h)
				}
				if h, _, payload, ok = l.open(first, len(id)); !ok || payload != "first" || h.newest {
					t.Errorf("a late record: opened %q, %t, %+v", payload, ok, h)
				}
				if _, _, _, ok = l.open(first, len(id)); ok {
					t.Error("a record opens twice")
				}
				forged := l.seal(w, "forged")
				forged[len(forged)-1] ^= 1
				if _, r, _, ok := l.open(forged, len(id)); ok || r.forged != 1 {
					t.Error("a forged record opens, or is not counted")
				}
				l.from.release()
				l.to.release()
				if _, _, payload, ok = l.open(l.seal(w, "later"), len(id)); !ok || payload != "later" {
					t.Error("no keys after release")
				}
			})
		}
	}
}

// TestRecordLayerEpochs is a script of KeyUpdates. It checks which epochs can be read,
// and when old epochs are dropped.
func TestRecordLayerEpochs(t *testing.T) {
	l := layers{t: t, from: newRecordLayer(false), to: newRecordLayer(false)}
	want := func(why string, epochs ...uint16) {
		t.Helper()
		var got []uint16
		for _, r := range l.to.read {
			got = append(got, r.epoch)
		}
		if !slices.Equal(got, epochs) {
			t.Errorf("%s: epochs %d, want %d", why, got, epochs)
		}
	}
	now := epoch
	use := func(rec []byte) {
		t.Helper()
		_, r, _, ok := l.open(rec, 0)
		if !ok {
			t.Fatal("a record does not open")
		}
		l.to.noteUse(now, r)
	}
	l.addKeys(epochHandshake, nil)
	l.addKeys(epochData, nil)
	want("all that were added", 0, epochHandshake, epochData)
	l.to.rejectPlaintext()
	want("without plaintext", epochHandshake, epochData)
	use(l.seal(l.from.current, "data"))
	l.to.expireKeys(now.Add(oldKeysLife))
	want("before the old keys expire", epochHandshake, epochData)
	l.to.expireKeys(now.Add(oldKeysLife + 1))
	want("after that", epochData)

	old := l.seal(l.from.current, "late")
	update := func(epoch uint16) {
		k := aeadKey{epoch: epoch, kind: aesGCM, unified: true, key: make([]byte, 32)}
		l.to.updateRead(k, make([]byte, 32))
		l.from.updateWrite(k, make([]byte, 32))
	}
	secret := l.to.newest().secret
	update(4)
	if !bytes.Equal(secret, make([]byte, 32)) || l.to.read[0].secret != nil {
		t.Error("the secret from which the new keys follow is kept")
	}
	if len(l.from.write) != 1 {
		t.Errorf("%d epochs to write", len(l.from.write))
	}
	use(old)
	want("the peer does not use the new keys yet", epochData, 4)
	update(5)
	update(6)
	want("at most three", 4, 5, 6)
	use(l.seal(l.from.current, "data"))
	want("the newest and the one before it", 5, 6)
}

func TestRecordLayerExhausted(t *testing.T) {
	l := layers{t: t, from: newRecordLayer(false), to: newRecordLayer(false)}
	l.addKeys(epochData, nil)
	w := l.from.current
	w.next = maxGCMRecords
	b, err := l.from.seal(w, typeApplicationData, append(w.begin([]byte("before")), "data"...), len("before"))
	if !errors.Is(err, errExhausted) || string(b) != "before" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestRecordVersion checks the version in the headers of records in plaintext.
func TestRecordVersion(t *testing.T) {
	for _, client := range []bool{true, false} {
		l := newRecordLayer(client)
		b, _ := l.seal(l.current, typeAlert, append(l.current.begin(nil), 1, 0), 0)
		want := VersionDTLS12
		if client {
			want = VersionDTLS10
		}
		if got := Version(uint16(b[1])<<8 | uint16(b[2])); got != want {
			t.Errorf("client %t: version %v", client, got)
		}
	}
}
