package dtls

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// A recordLayer protects the records that are sent and opens the received ones
// (RFC 6347 §4.1, RFC 9147 §4). It owns the epochs: their keys, record numbers,
// replay windows and the limits on the use of a key.
type recordLayer struct {
	current *writeEpoch   // epoch of new records
	write   []*writeEpoch // current, and the epochs of messages that may be retransmitted
	read    []*readEpoch  // oldest first

	// All of read but the newest are dropped at oldKeysUntil (DTLS 1.3); zero: the
	// peer does not use the newest yet.
	oldKeysUntil time.Time

	// Scratch of seal and open. A local array would escape through the interface of
	// cipher.AEAD, and cost an allocation for each record.
	aad   []byte
	mask  [16]byte
	nonce [12]byte

	version Version // in record headers that are not unified
}

// A client that does not know yet which version the server speaks writes version 1.0,
// which every server accepts (RFC 6347 §4.2.1, RFC 9147 §4).
func newRecordLayer(client bool) recordLayer {
	plain := &writeEpoch{}
	l := recordLayer{version: VersionDTLS12, current: plain, write: []*writeEpoch{plain}, read: []*readEpoch{{}}}
	if client {
		l.version = VersionDTLS10
	}
	return l
}

// Errors that end a connection.
var (
	// errExhausted: 2^48 records were sent, or as many as one key may protect.
	errExhausted = errors.New("dtls: record numbers or keys used up")
	// errForgeries: an attacker tries to guess a key.
	errForgeries = errors.New("dtls: too many forged records")
)

// addRead accepts records of another epoch.
func (l *recordLayer) addRead(r *readEpoch) { l.read = append(l.read, r) }

// addWrite makes w the current epoch.
func (l *recordLayer) addWrite(w *writeEpoch) {
	l.current = w
	l.write = append(l.write, w)
}

// updateRead accepts records of the next epoch, after a KeyUpdate of the peer.
func (l *recordLayer) updateRead(k aeadKey, secret []byte) {
	// RFC 8446 §7.2: the old keys stay, but not the secret from which the new ones are
	// derived.
	old := l.newest()
	clear(old.secret)
	old.secret = nil
	l.addRead(&readEpoch{aeadKey: k, secret: secret})
	if len(l.read) > 3 { // the low bits of their epochs must differ
		l.read = slices.Delete(l.read, 0, 1)
	}
}

// updateWrite replaces the write keys by the write keys of the next epoch.
func (l *recordLayer) updateWrite(k aeadKey, secret []byte) {
	clear(l.current.secret)
	l.addWrite(&writeEpoch{aeadKey: k, secret: secret})
	l.keepCurrent()
}

// keepCurrent drops all keys to write with but the current ones.
func (l *recordLayer) keepCurrent() { l.write = []*writeEpoch{l.current} }

// newest returns the newest epoch that records are accepted of.
func (l *recordLayer) newest() *readEpoch { return l.read[len(l.read)-1] }

// readEpoch returns the keys to read an epoch with; nil: there are none.
func (l *recordLayer) readEpoch(epoch uint16) *readEpoch {
	for _, r := range l.read {
		if r.epoch == epoch {
			return r
		}
	}
	return nil
}

// readEpochOf returns the keys for a record; nil: there are none. A unified header
// has only the low bits of the epoch. They mean the most recent epoch with these bits
// (RFC 9147 §4.2.2).
func (l *recordLayer) readEpochOf(h *recordHeader) *readEpoch {
	for _, r := range slices.Backward(l.read) {
		if h.unified && r.unified && r.epoch&unifiedEpoch == h.epoch ||
			!h.unified && !r.unified && r.epoch == h.epoch {
			return r
		}
	}
	return nil
}

// writeEpoch returns the keys to write an epoch with; nil: there are none.
func (l *recordLayer) writeEpoch(epoch uint16) *writeEpoch {
	for _, w := range l.write {
		if w.epoch == epoch {
			return w
		}
	}
	return nil
}

// rejectPlaintext ends epoch 0: records without keys are rejected from now on.
func (l *recordLayer) rejectPlaintext() {
	l.read = slices.DeleteFunc(l.read, func(r *readEpoch) bool { return r.kind == noAEAD })
}

// dropHandshakeKeys drops the keys to read the handshake of DTLS 1.3 with.
func (l *recordLayer) dropHandshakeKeys() {
	l.read = slices.DeleteFunc(l.read, func(r *readEpoch) bool { return r.epoch < epochData })
}

// oldKeysLife is how long keys that were superseded are of use: twice TCP's maximum
// segment lifetime (RFC 9147 §4.2.1, RFC 9293 §3.4.1).
const oldKeysLife = 4 * time.Minute

// noteUse notes that a record of r was authentic. Once the peer uses its newest keys,
// records of older epochs can only be late.
func (l *recordLayer) noteUse(now time.Time, r *readEpoch) {
	if r.epoch >= epochData && !r.used {
		r.used = true
		l.oldKeysUntil = now.Add(oldKeysLife)
	}
	// Two epochs stay: records of the one before the newest may be late.
	if n := len(l.read); n > 2 && r.epoch > epochData && r == l.newest() {
		l.read = slices.Delete(l.read, 0, n-2)
	}
}

// expireKeys drops all keys to read with but the newest, oldKeysLife after the peer
// began to use these. It needs no timer: nothing depends on the exact time.
func (l *recordLayer) expireKeys(now time.Time) {
	n := len(l.read)
	if n > 1 && l.newest().used && now.After(l.oldKeysUntil) {
		l.read = slices.Delete(l.read, 0, n-1)
	}
}

// setNonce computes the nonce of a record.
func (l *recordLayer) setNonce(k *aeadKey, number uint64) {
	copy(l.nonce[:4], k.iv[:4])
	low := number
	if !k.salted {
		// RFC 7905 §2, RFC 8446 §5.3: the IV xor the padded number.
		low ^= binary.BigEndian.Uint64(k.iv[4:])
	}
	// RFC 5288 §3: otherwise the salt, then the 8 bytes that the record carries. They
	// are the epoch and the sequence number (RFC 6347 §4.1.2.1).
	binary.BigEndian.PutUint64(l.nonce[4:], low)
}

// setAAD computes the additional data of a record of DTLS 1.2: RFC 5246 §6.2.3.3 with
// the epoch and number of RFC 6347 §4.1.2.1 or, with a connection ID, RFC 9146 §5.3.
// plaintext is the length of the encrypted content.
func (l *recordLayer) setAAD(cid []byte, typ contentType, number uint64, plaintext int) {
	b := l.aad[:0]
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
	l.aad = binary.BigEndian.AppendUint16(b, uint16(plaintext))
}

// seal finishes, in place, the record that w.begin began at b[start:]. If w is
// exhausted it returns b[:start] and errExhausted.
func (l *recordLayer) seal(w *writeEpoch, typ contentType, b []byte, start int) ([]byte, error) {
	if w.exhausted() {
		return b[:start], errExhausted
	}
	seq := w.next
	w.next++
	w.prepare() // it succeeded when the key was made, so it does not fail here
	if w.unified {
		return l.seal13(w, typ, seq, b, start), nil
	}
	body := start + w.headerLen()
	if w.kind != noAEAD {
		if len(w.cid) > 0 {
			b, typ = append(b, byte(typ)), typeCID
		}
		number := uint64(w.epoch)<<48 | seq
		l.setNonce(&w.aeadKey, number)
		l.setAAD(w.cid, typ, number, len(b)-body)
		if w.salted {
			binary.BigEndian.PutUint64(b[body-8:], number)
		}
		b = w.aead.Seal(b[:body], l.nonce[:], b[body:], l.aad)
	}
	length := len(b) - body + w.explicitNonceLen()
	putRecordHeader(b[start:], typ, l.version, w.epoch, seq, w.cid, length)
	return b, nil
}

// open opens the record in rec, in place, and completes its header h. ok is false if
// the record is a replay, is too short or too long, or does not authenticate. The
// content of an authentic record can be longer than maxPlaintext.
func (l *recordLayer) open(r *readEpoch, h *recordHeader, rec []byte) (payload []byte, ok bool) {
	r.prepare() // it succeeded when the key was made, so it does not fail here
	if h.unified {
		return l.open13(r, h, rec)
	}
	body := rec[h.size : h.size+h.length]
	if r.kind == noAEAD {
		return body, h.length <= maxPlaintext && !h.hasCID
	}
	plaintext := h.length - r.explicitNonceLen() - aeadTagLen
	if plaintext < 0 || plaintext > maxPlaintext+2048 || !r.window.fresh(h.seq) {
		return nil, false
	}
	// RFC 9146 §3: once a connection ID is negotiated, all records under keys have it.
	// §5: their encrypted content has at most 2^14 bytes.
	if h.hasCID != (len(r.cid) > 0) || h.hasCID && plaintext > maxPlaintext {
		return nil, false
	}
	number := uint64(h.epoch)<<48 | h.seq
	l.setNonce(&r.aeadKey, number)
	if r.salted {
		// The peer may choose these bytes freely.
		copy(l.nonce[4:], body[:8])
		body = body[8:]
	}
	l.setAAD(r.cid, h.typ, number, plaintext)
	payload, err := r.aead.Open(body[:0], l.nonce[:], body, l.aad)
	if err != nil {
		r.forged++
		return nil, false
	}
	l.accept(r, h)
	if h.hasCID {
		h.typ, payload = unpad(payload)
	}
	return payload, true
}

// accept notes the number of an authentic record.
func (l *recordLayer) accept(r *readEpoch, h *recordHeader) {
	h.newest = h.seq >= r.window.top && r == l.newest()
	r.window.mark(h.seq)
}

// release drops the key schedules of all epochs; prepare builds them again.
func (l *recordLayer) release() {
	for _, r := range l.read {
		r.release()
	}
	for _, w := range l.write {
		w.release()
	}
}

// releaseHandshake drops the key schedule to read the handshake of DTLS 1.3 with: once
// the handshake is finished, only repetitions arrive in its epoch. The one to write
// with stays, since a client's Finished may still have to be sent.
func (l *recordLayer) releaseHandshake() {
	if r := l.readEpoch(epochHandshake); r != nil {
		r.release()
	}
}
