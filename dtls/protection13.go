package dtls

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
)

// Limits on the use of one key (RFC 9147 §4.5.3).
const (
	// updateAfter is the number of records after which new keys are made.
	// AES-GCM carries 2^24.5 of full size.
	updateAfter = 1 << 23

	// maxGCMRecords is the number of records that no key of AES-GCM may go
	// beyond (RFC 8446 §5.5): 2^24.5, rounded down. A far end that has not
	// acknowledged a KeyUpdate by then never will. ChaCha20-Poly1305 has no
	// such limit before the numbers end.
	maxGCMRecords = 23_726_566

	// maxForged is the number of forgeries after which a connection ends; both
	// AEADs bear 2^36.
	maxForged = 1 << 35
)

// exhausted tells whether nothing more may be sent under the keys of w.
func (w *writeEpoch) exhausted() bool {
	return w.next > maxSequence || w.unified && w.kind == aesGCM && w.next >= maxGCMRecords
}

// setMask puts the mask of the number of the record with the given ciphertext,
// which has at least 16 bytes, into the scratch of c (RFC 9147 §4.2.3).
func (c *Conn) setMask(k *aeadKey, ciphertext []byte) {
	if k.mask != nil {
		k.mask.Encrypt(c.mask[:], ciphertext[:16])
		return
	}
	c.mask = [16]byte{}
	// Key and nonce have the lengths that this function asks for.
	stream, _ := chacha20.NewUnauthenticatedCipher(k.numberKey(), ciphertext[4:16])
	stream.SetCounter(binary.LittleEndian.Uint32(ciphertext))
	stream.XORKeyStream(c.mask[:2], c.mask[:2])
}

// seal13 finishes a DTLS 1.3 record (RFC 9147 §4): the content type goes
// inside, the header is authenticated with its number in the clear, then the
// number is encrypted.
func (c *Conn) seal13(w *writeEpoch, typ contentType, seq uint64, b []byte, start int) []byte {
	b = append(b, byte(typ))
	body := start + w.before()
	number := start + putUnifiedHeader(b[start:body], w.epoch, w.cid, seq, len(b)-body+aeadTagLen)
	c.setNonce(&w.aeadKey, seq)
	b = w.aead.Seal(b[:body], c.nonce[:], b[body:], b[start:body])
	c.setMask(&w.aeadKey, b[body:])
	b[number] ^= c.mask[0]
	b[number+1] ^= c.mask[1]
	return b
}

// open13 opens a DTLS 1.3 record and fills in type, epoch and number of h.
func (c *Conn) open13(r *readEpoch, h *recordHeader, rec []byte) (payload []byte, ok bool) {
	header, body := rec[:h.size], rec[h.size:h.size+h.length]
	if len(body) < aeadTagLen || len(body) > maxPlaintext+256 { // RFC 8446 §5.2
		return nil, false
	}
	c.setMask(&r.aeadKey, body)
	number := header[1:]
	if h.hasCID {
		number = number[len(r.cid):]
	}
	number[0] ^= c.mask[0]
	low, bits := uint64(number[0]), 8
	if h.numberLen == 2 {
		number[1] ^= c.mask[1]
		low, bits = low<<8|uint64(number[1]), 16
	}
	seq := fullNumber(r.window.top, low, bits)
	if !r.window.fresh(seq) {
		return nil, false
	}
	c.setNonce(&r.aeadKey, seq)
	payload, err := r.aead.Open(body[:0], c.nonce[:], body, header)
	if err != nil {
		r.forged++
		return nil, false
	}
	r.window.mark(seq)
	h.epoch, h.seq = r.epoch, seq
	h.typ, payload = unpad(payload)
	return payload, true
}

// unpad takes apart what a record holds that has its type inside (RFC 8446
// §5.4, RFC 9146 §4): the type is the last byte that is not zero. If there is
// none it is 0, which is no type.
func unpad(inner []byte) (typ contentType, content []byte) {
	end := len(inner)
	for end > 0 && inner[end-1] == 0 {
		end--
	}
	if end == 0 {
		return 0, inner
	}
	return contentType(inner[end-1]), inner[:end-1]
}
