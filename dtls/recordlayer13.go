package dtls

import (
	"encoding/binary"

	"golang.org/x/crypto/chacha20"
)

// setMask computes the mask that encrypts the record number. The mask is computed from
// the ciphertext of the record, which has at least 16 bytes (RFC 9147 §4.2.3).
func (l *recordLayer) setMask(k *aeadKey, ciphertext []byte) {
	if k.mask != nil {
		k.mask.Encrypt(l.mask[:], ciphertext[:16])
		return
	}
	l.mask = [16]byte{}
	// An error occurs only if the key or the nonce has a wrong length, and both
	// lengths are right.
	stream, _ := chacha20.NewUnauthenticatedCipher(k.numberKey(), ciphertext[4:16])
	stream.SetCounter(binary.LittleEndian.Uint32(ciphertext))
	stream.XORKeyStream(l.mask[:2], l.mask[:2])
}

// seal13 finishes a record of DTLS 1.3 (RFC 9147 §4). The content type is encrypted
// together with the content. The header is authenticated with its record number in
// plaintext. After that, the record number is encrypted.
func (l *recordLayer) seal13(w *writeEpoch, typ contentType, seq uint64, b []byte, start int) []byte {
	b = append(b, byte(typ))
	body := start + w.headerLen()
	number := start + putUnifiedHeader(b[start:body], w.epoch, w.cid, seq, len(b)-body+aeadTagLen)
	l.setNonce(&w.aeadKey, seq)
	b = w.aead.Seal(b[:body], l.nonce[:], b[body:], b[start:body])
	l.setMask(&w.aeadKey, b[body:])
	b[number] ^= l.mask[0]
	b[number+1] ^= l.mask[1]
	return b
}

// open13 decrypts a record of DTLS 1.3 and sets the type, the epoch and the sequence
// number in h.
func (l *recordLayer) open13(r *readEpoch, h *recordHeader, rec []byte) (payload []byte, ok bool) {
	header, body := rec[:h.size], rec[h.size:h.size+h.length]
	if len(body) < aeadTagLen || len(body) > maxPlaintext+256 { // RFC 8446 §5.2
		return nil, false
	}
	l.setMask(&r.aeadKey, body)
	number := header[1:]
	if h.hasCID {
		number = number[len(r.cid):]
	}
	number[0] ^= l.mask[0]
	low, bits := uint64(number[0]), 8
	if h.numberLen == 2 {
		number[1] ^= l.mask[1]
		low, bits = low<<8|uint64(number[1]), 16
	}
	seq := fullNumber(r.window.top, low, bits)
	if !r.window.fresh(seq) {
		return nil, false
	}
	l.setNonce(&r.aeadKey, seq)
	payload, err := r.aead.Open(body[:0], l.nonce[:], body, header)
	if err != nil {
		r.forged++
		return nil, false
	}
	h.epoch, h.seq = r.epoch, seq
	l.accept(r, h)
	h.typ, payload = unpad(payload)
	return payload, true
}

// unpad separates the content from the type in a record that encrypts both together
// (RFC 8446 §5.4, RFC 9146 §4). The type is the last byte that is not zero. If all
// bytes are zero, the result is type 0, which no content type has.
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
