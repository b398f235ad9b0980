package dtls

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"slices"
)

// aeadTagLen is the same for all the suites there are.
const aeadTagLen = 16

// An aeadKey is what protects one direction of one epoch.
type aeadKey struct {
	aead    cipher.AEAD  // nil: at rest, or plaintext
	mask    cipher.Block // of record numbers (DTLS 1.3 with AES only)
	key     []byte       // of aead, and after it that of the mask (DTLS 1.3)
	cid     []byte       // the connection ID in its records, if they have one
	iv      [12]byte
	kind    aeadKind // noAEAD: plaintext, epoch 0
	salted  bool     // only 4 bytes are of iv, and each record carries 8 (DTLS 1.2)
	unified bool     // records have the header of DTLS 1.3
	epoch   uint16
}

// wake makes what rest let go of, or what was never made.
func (k *aeadKey) wake() (err error) {
	if k.aead != nil || k.kind == noAEAD {
		return nil
	}
	key := k.key
	if k.unified {
		key = key[:len(key)/2]
		if k.kind == aesGCM {
			if k.mask, err = aes.NewCipher(k.numberKey()); err != nil {
				return err
			}
		}
	}
	k.aead, err = k.kind.newAEAD(key)
	return err
}

// rest lets go of the key schedules, which take forty times the room of the
// keys that they are made from.
func (k *aeadKey) rest() { k.aead, k.mask = nil, nil }

// numberKey is the key that encrypts record numbers (RFC 9147 §4.2.3).
func (k *aeadKey) numberKey() []byte { return k.key[len(k.key)/2:] }

// newAEADKey makes the key of suite s for epoch 1, the only one of DTLS 1.2,
// from its bytes and its (partial) IV.
func newAEADKey(s *suite, key, iv []byte) (k aeadKey, err error) {
	k.kind, k.key = s.aead, slices.Clone(key)
	k.salted = s.explicit != 0
	k.epoch = 1
	copy(k.iv[:], iv)
	return k, k.wake()
}

// A writeEpoch numbers and protects the records that we send in an epoch.
type writeEpoch struct {
	aeadKey
	next   uint64 // number of the next record
	secret []byte // the keys' traffic secret (DTLS 1.3)
}

// A readEpoch opens the records of an epoch.
type readEpoch struct {
	aeadKey
	window replayWindow
	secret []byte // the keys' traffic secret (DTLS 1.3)
	used   bool   // a record of data came (DTLS 1.3)
	forged uint64 // records that did not authenticate
}

// before and after are the bytes a record has around its payload.
func (k *aeadKey) before() int {
	if k.unified {
		return unifiedHeaderLen + len(k.cid)
	}
	return recordHeaderLen + len(k.cid) + k.explicit()
}

// explicit is how many bytes of nonce each record carries (RFC 5288 §3).
func (k *aeadKey) explicit() int {
	if k.salted {
		return 8
	}
	return 0
}

func (k *aeadKey) after() int {
	switch {
	case k.typeInside():
		return 1 + aeadTagLen
	case k.kind == noAEAD:
		return 0
	}
	return aeadTagLen
}

// typeInside tells whether the content type of a record is encrypted with its
// payload.
func (k *aeadKey) typeInside() bool { return k.unified || len(k.cid) > 0 }

func (k *aeadKey) overhead() int { return k.before() + k.after() }

// setNonce puts the nonce of a record into the scratch of c. Scratch lies in
// the Conn because a local array would escape through the interface of
// cipher.AEAD.
func (c *Conn) setNonce(k *aeadKey, number uint64) {
	copy(c.nonce[:4], k.iv[:4])
	low := number
	if !k.salted {
		// RFC 7905 §2, RFC 8446 §5.3: the IV xor the padded number.
		low ^= binary.BigEndian.Uint64(k.iv[4:])
	}
	// Else RFC 5288 §3: salt, then what the record carries, for which
	// RFC 6347 §4.1.2.1's epoch and sequence number serve.
	binary.BigEndian.PutUint64(c.nonce[4:], low)
}

// setAAD puts the additional data of a record of DTLS 1.2 into the scratch of
// c: RFC 5246 §6.2.3.3 with RFC 6347 §4.1.2.1, or with a connection ID that of
// RFC 9146 §5.3. plaintext is the length of what is encrypted.
func (c *Conn) setAAD(cid []byte, typ contentType, number uint64, plaintext int) {
	b := c.aad[:0]
	if len(cid) > 0 {
		b = binary.BigEndian.AppendUint64(b, ^uint64(0)) // seq_num_placeholder
		b = append(b, byte(typeCID), byte(len(cid)), byte(typeCID))
		b = binary.BigEndian.AppendUint16(b, uint16(VersionDTLS12))
		b = binary.BigEndian.AppendUint64(b, number)
		b = append(b, cid...)
	} else {
		b = binary.BigEndian.AppendUint64(b, number)
		b = append(b, byte(typ))
		b = binary.BigEndian.AppendUint16(b, uint16(VersionDTLS12))
	}
	c.aad = binary.BigEndian.AppendUint16(b, uint16(plaintext))
}

// begin appends room for what stands before the payload of a record.
func (w *writeEpoch) begin(dst []byte) []byte {
	n := len(dst) + w.before()
	return slices.Grow(dst, w.before())[:n]
}

// seal finishes the record that begin began at b[start:], in place. If the
// epoch is exhausted it cuts the record off again and ok is false.
func (c *Conn) seal(w *writeEpoch, typ contentType, b []byte, start int) (_ []byte, ok bool) {
	if w.exhausted() {
		return b[:start], false
	}
	seq := w.next
	w.next++
	w.wake() // which cannot fail where it did not the first time
	if w.unified {
		return c.seal13(w, typ, seq, b, start), true
	}
	body := start + w.before()
	if w.kind != noAEAD {
		if len(w.cid) > 0 {
			b, typ = append(b, byte(typ)), typeCID
		}
		number := uint64(w.epoch)<<48 | seq
		c.setNonce(&w.aeadKey, number)
		c.setAAD(w.cid, typ, number, len(b)-body)
		if w.salted {
			binary.BigEndian.PutUint64(b[body-8:], number)
		}
		b = w.aead.Seal(b[:body], c.nonce[:], b[body:], c.aad)
	}
	length := len(b) - body + w.explicit()
	putRecordHeader(b[start:], typ, c.recordVersion(), w.epoch, seq, w.cid, length)
	return b, true
}

// recordVersion is the version in the header of a record. A client that does
// not know yet what the server speaks says 1.0, which every server takes
// (RFC 6347 §4.2.1, RFC 9147 §4).
func (c *Conn) recordVersion() Version {
	if c.client && c.version == 0 {
		return VersionDTLS10
	}
	return VersionDTLS12
}

// open opens the record that rec holds, in place, and completes its header. A
// record that is a replay, is too short or long, or does not authenticate
// gives false. One that authenticates may hold more than maxPlaintext.
func (c *Conn) open(r *readEpoch, h *recordHeader, rec []byte) (payload []byte, ok bool) {
	r.wake() // which cannot fail where it did not the first time
	if h.unified {
		return c.open13(r, h, rec)
	}
	body := rec[h.size : h.size+h.length]
	if r.kind == noAEAD {
		return body, h.length <= maxPlaintext && !h.hasCID
	}
	plaintext := h.length - r.explicit() - aeadTagLen
	if plaintext < 0 || plaintext > maxPlaintext+2048 || !r.window.fresh(h.seq) {
		return nil, false
	}
	// RFC 9146 §3: where a connection ID was agreed on, all records under keys
	// have it. What is encrypted then has at most 2^14 bytes (§5).
	if h.hasCID != (len(r.cid) > 0) || h.hasCID && plaintext > maxPlaintext {
		return nil, false
	}
	number := uint64(h.epoch)<<48 | h.seq
	c.setNonce(&r.aeadKey, number)
	if r.salted {
		// The far end may number its nonces as it likes.
		copy(c.nonce[4:], body[:8])
		body = body[8:]
	}
	c.setAAD(r.cid, h.typ, number, plaintext)
	payload, err := r.aead.Open(body[:0], c.nonce[:], body, c.aad)
	if err != nil {
		r.forged++
		return nil, false
	}
	r.window.mark(h.seq)
	if h.hasCID {
		h.typ, payload = unpad(payload)
	}
	return payload, true
}
