package dtls

import (
	"bytes"
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/hex"
	"testing"
)

// An expander's MAC is HMAC's, with the vectors of RFC 4231 §4.2 and §4.3 and
// with one key after another, and its labels are HKDF's.
func TestExpander(t *testing.T) {
	unhex := func(s string) []byte {
		b, err := hex.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, v := range []struct {
		hash            crypto.Hash
		key, data, want string
	}{
		{crypto.SHA256, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{crypto.SHA384, "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "4869205468657265", "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59cfaea9ea9076ede7f4af152e8b2fa9cb6"},
		{crypto.SHA256, "4a656665", "7768617420646f2079612077616e7420666f72206e6f7468696e673f", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
	} {
		if got := newExpander(v.hash, unhex(v.key)).mac(unhex(v.data)); !bytes.Equal(got, unhex(v.want)) {
			t.Errorf("%v of %s: %x", v.hash, v.data, got)
		}
	}
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		x := newExpander(h, bytes.Repeat([]byte{1}, maxBlock/2))
		for _, n := range []int{h.Size(), 7, 0, 33} { // shorter keys leave nothing of longer ones
			secret := bytes.Repeat([]byte{byte(n)}, n)
			x.setKey(secret)
			want := hmac.New(h.New, secret)
			want.Write([]byte("first second"))
			if got := x.appendMAC([]byte("kept"), []byte("first "), []byte("second")); !bytes.Equal(got, want.Sum([]byte("kept"))) {
				t.Errorf("%v with a key of %d bytes: %x", h, n, got)
			}
			for _, length := range []int{1, 12, h.Size(), 100, 255 * h.Size()} {
				info := append([]byte{byte(length >> 8), byte(length), 6 + 3}, "dtls13key\x03abc"...)
				want, err := hkdf.Expand(h.New, secret, string(info), length)
				if err != nil {
					t.Fatal(err)
				}
				if got := x.label("key", []byte("abc"), length); !bytes.Equal(got, want) {
					t.Errorf("%v: a label of %d bytes differs", h, length)
				}
			}
		}
	}
}

// A handshake's messages are put together whatever way they are cut, and
// a repeated piece of one that is whole changes nothing.
func TestReassemblerPieces(t *testing.T) {
	body := make([]byte, 3000)
	for i := range body {
		body[i] = byte(i * 7)
	}
	for _, size := range []int{1, 3, 8, 13, 64, 1000, 2999, 3000} {
		for _, length := range []int{0, 1, 9, usualMessage, len(body)} {
			var r reassembler
			piece := func(from, to int) bool {
				return r.add(0, fragment{typ: typeFinished, length: length, offset: from, data: body[from:to]})
			}
			for from := 0; from < length || from == 0; from += size {
				if !piece(from, min(from+size, length)) {
					t.Fatalf("size %d: no place for the piece at %d", size, from)
				}
				if from > 0 {
					piece(from-1, min(from+size/2, length)) // which overlaps
				}
			}
			piece(0, min(size, length))
			m, ok := r.pop()
			if !ok || !bytes.Equal(m.body, body[:length]) || r.size != 0 {
				t.Errorf("%d bytes in pieces of %d: whole %v, %d bytes, %d are still counted", length, size, ok, len(m.body), r.size)
			}
		}
	}
}
