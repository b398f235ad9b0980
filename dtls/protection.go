package dtls

import (
	"crypto/cipher"
	"encoding/binary"
	"time"
)

// aeadTagLen is the same for all the suites there are.
const aeadTagLen = 16

// An aeadKey is what protects one direction of one epoch.
type aeadKey struct {
	aead     cipher.AEAD // nil: plaintext, epoch 0
	iv       [12]byte
	explicit int         // bytes of nonce that each record carries
	mask     *numberMask // DTLS 1.3 only
}

// newAEADKey makes the key of suite s from its bytes and its (partial) IV.
func newAEADKey(s *suite, key, iv []byte) (k aeadKey, err error) {
	k.aead, err = s.newAEAD(key)
	k.explicit = s.explicit
	copy(k.iv[:], iv)
	return k, err
}

// A writeEpoch numbers and protects the records that we send in an epoch.
type writeEpoch struct {
	aeadKey
	epoch  uint16
	next   uint64 // number of the next record
	secret []byte // the keys' traffic secret (DTLS 1.3)
}

// A readEpoch opens the records of an epoch.
type readEpoch struct {
	aeadKey
	epoch  uint16
	window replayWindow
	secret []byte    // the keys' traffic secret (DTLS 1.3)
	usedAt time.Time // when the first record of data came (DTLS 1.3)
	forged uint64    // records that did not authenticate
}

// before and after are the bytes a record has around its payload.
func (k *aeadKey) before() int {
	if k.mask != nil {
		return unifiedHeaderLen
	}
	return recordHeaderLen + k.explicit
}

func (k *aeadKey) after() int {
	switch {
	case k.mask != nil:
		return 1 + aeadTagLen // the content type goes inside
	case k.aead == nil:
		return 0
	}
	return aeadTagLen
}

func (k *aeadKey) overhead() int { return k.before() + k.after() }

// setNonce puts the nonce of a record into the scratch of c. Scratch lies in
// the Conn because a local array would escape through the interface of
// cipher.AEAD.
func (c *Conn) setNonce(k *aeadKey, number uint64) {
	c.nonce = k.iv
	if k.explicit != 0 {
		// RFC 5288 §3: salt, then what the record carries, for which
		// RFC 6347 §4.1.2.1's epoch and sequence number serve.
		binary.BigEndian.PutUint64(c.nonce[4:], number)
		return
	}
	// RFC 7905 §2: the IV xor the padded number.
	low := binary.BigEndian.Uint64(c.nonce[4:])
	binary.BigEndian.PutUint64(c.nonce[4:], low^number)
}

// setAAD puts the additional data of a record into the scratch of c
// (RFC 5246 §6.2.3.3 with RFC 6347 §4.1.2.1).
func (c *Conn) setAAD(typ contentType, number uint64, plaintext int) {
	binary.BigEndian.PutUint64(c.aad[0:], number)
	c.aad[8] = byte(typ)
	binary.BigEndian.PutUint16(c.aad[9:], uint16(VersionDTLS12))
	binary.BigEndian.PutUint16(c.aad[11:], uint16(plaintext))
}

// begin appends room for what stands before the payload of a record.
func (w *writeEpoch) begin(dst []byte) []byte {
	var room [recordHeaderLen + 8]byte
	return append(dst, room[:w.before()]...)
}

// seal finishes the record that begin began at b[start:], in place. If the
// epoch has no numbers left it cuts the record off again and ok is false.
func (c *Conn) seal(w *writeEpoch, typ contentType, b []byte, start int) (_ []byte, ok bool) {
	if w.next > maxSequence {
		return b[:start], false
	}
	seq := w.next
	w.next++
	if w.mask != nil {
		return c.seal13(w, typ, seq, b, start), true
	}
	body := start + w.before()
	plaintext := len(b) - body
	if w.aead != nil {
		number := uint64(w.epoch)<<48 | seq
		c.setNonce(&w.aeadKey, number)
		c.setAAD(typ, number, plaintext)
		if w.explicit != 0 {
			binary.BigEndian.PutUint64(b[start+recordHeaderLen:], number)
		}
		b = w.aead.Seal(b[:body], c.nonce[:], b[body:], c.aad[:])
	}
	putRecordHeader(b[start:], typ, c.recordVersion(), w.epoch, seq, len(b)-start-recordHeaderLen)
	return b, true
}

// recordVersion is the version in the header of a record. A client that does
// not know yet what the server speaks says 1.0, which every server takes
// (RFC 6347 §4.2.1, RFC 9147 §4).
func (c *Conn) recordVersion() Version {
	if c.cfg.Client && c.version == 0 {
		return VersionDTLS10
	}
	return VersionDTLS12
}

// open opens the record that rec holds, in place, and completes its header. A
// record that is a replay, is too short or long, or does not authenticate
// gives false. One that authenticates may hold more than maxPlaintext.
func (c *Conn) open(r *readEpoch, h *recordHeader, rec []byte) (payload []byte, ok bool) {
	if h.unified {
		return c.open13(r, h, rec)
	}
	body := rec[h.size : h.size+h.length]
	if r.aead == nil {
		return body, h.length <= maxPlaintext
	}
	plaintext := h.length - r.explicit - aeadTagLen
	if plaintext < 0 || plaintext > maxPlaintext+2048 || !r.window.fresh(h.seq) {
		return nil, false
	}
	number := uint64(h.epoch)<<48 | h.seq
	c.setNonce(&r.aeadKey, number)
	if r.explicit != 0 {
		// The far end may number its nonces as it likes.
		copy(c.nonce[4:], body[:r.explicit])
		body = body[r.explicit:]
	}
	c.setAAD(h.typ, number, plaintext)
	payload, err := r.aead.Open(body[:0], c.nonce[:], body, c.aad[:])
	if err != nil {
		r.forged++
		return nil, false
	}
	r.window.mark(h.seq)
	return payload, true
}
