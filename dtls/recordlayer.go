package dtls

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"
)

// A recordLayer encrypts the records that are sent and decrypts the received ones
// (RFC 6347 §4.1, RFC 9147 §4). It owns the state of all epochs: keys, record numbers and
// replay windows, and the limits on the use of each key.
type recordLayer struct {
	current *writeEpoch   // the epoch that new records use
	write   []*writeEpoch // the current epoch, and the epochs of messages that may be retransmitted
	read    []*readEpoch  // epochs from which records are accepted, the oldest first

	// When oldKeysUntil is reached, all elements of read except the newest are dropped
	// (DTLS 1.3); zero: the peer has not used the newest keys yet.
	oldKeysUntil time.Time

	// Temporary memory for seal and open. Local arrays would escape to the heap
	// through the interface cipher.AEAD, and each record would cost an allocation.
	aad   []byte
	mask  [16]byte
	nonce [12]byte

	version Version // version in the headers of records that have no unified header
}

// newRecordLayer returns a record layer with epoch 0 only, which is plaintext. Until a
// client knows the server's version, it writes version 1.0, which every server accepts
// (RFC 6347 §4.2.1, RFC 9147 §4).
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
	// errExhausted ends a connection that has sent 2^48 records, or that has protected
	// as many records with one key as the key allows.
	errExhausted = errors.New("dtls: record numbers or keys used up")
	// errForgeries ends a connection because an attacker tries to guess a key.
	errForgeries = errors.New("dtls: too many forged records")
)

// addRead adds r to the epochs from which records are accepted.
func (l *recordLayer) addRead(r *readEpoch) { l.read = append(l.read, r) }

// addWrite makes w the epoch that new records use.
func (l *recordLayer) addWrite(w *writeEpoch) {
	l.current = w
	l.write = append(l.write, w)
}

// updateRead adds the next epoch to the epochs from which records are accepted, after
// the peer has sent a KeyUpdate. k and secret are the keys of the next epoch.
func (l *recordLayer) updateRead(k aeadKey, secret []byte) {
	// RFC 8446 §7.2: the old keys are kept, but the old traffic secret, from which
	// the new keys are derived, is erased.
	old := l.newest()
	clear(old.secret)
	old.secret = nil
	l.addRead(&readEpoch{aeadKey: k, secret: secret})
	if len(l.read) > 3 { // the two low bits must distinguish the epochs
		l.read = slices.Delete(l.read, 0, 1)
	}
}

// updateWrite replaces the keys for new records by those of the next epoch.
func (l *recordLayer) updateWrite(k aeadKey, secret []byte) {
	clear(l.current.secret)
	l.addWrite(&writeEpoch{aeadKey: k, secret: secret})
	l.keepCurrent()
}

// keepCurrent drops all epochs for writing except the current one.
func (l *recordLayer) keepCurrent() { l.write = []*writeEpoch{l.current} }

// newest returns the newest epoch from which records are accepted.
func (l *recordLayer) newest() *readEpoch { return l.read[len(l.read)-1] }

// readEpoch returns the given epoch of received records; nil: it has not begun, or was
// dropped.
func (l *recordLayer) readEpoch(epoch uint16) *readEpoch {
	for _, r := range l.read {
		if r.epoch == epoch {
			return r
		}
	}
	return nil
}

// readEpochOf returns the epoch with the keys for a record; nil: there is none. A
// unified header contains only the low bits of the epoch. They denote the most recent
// epoch with these low bits (RFC 9147 §4.2.2).
func (l *recordLayer) readEpochOf(h *recordHeader) *readEpoch {
	for _, r := range slices.Backward(l.read) {
		if h.unified && r.unified && r.epoch&unifiedEpoch == h.epoch ||
			!h.unified && !r.unified && r.epoch == h.epoch {
			return r
		}
	}
	return nil
}

// writeEpoch returns the given epoch of local records; nil: it has not begun, or was
// dropped.
func (l *recordLayer) writeEpoch(epoch uint16) *writeEpoch {
	for _, w := range l.write {
		if w.epoch == epoch {
			return w
		}
	}
	return nil
}

// rejectPlaintext ends epoch 0: from now on, records in plaintext are rejected.
func (l *recordLayer) rejectPlaintext() {
	l.read = slices.DeleteFunc(l.read, func(r *readEpoch) bool { return r.kind == noAEAD })
}

// dropHandshakeKeys drops the keys that decrypt records of the DTLS 1.3 handshake.
func (l *recordLayer) dropHandshakeKeys() {
	l.read = slices.DeleteFunc(l.read, func(r *readEpoch) bool { return r.epoch < epochData })
}

// oldKeysLife is how long old keys are kept after the peer has begun to use newer
// ones: twice TCP's maximum segment lifetime (RFC 9147 §4.2.1, RFC 9293 §3.4.1).
const oldKeysLife = 4 * time.Minute

// noteUse notes that an authentic record of epoch r was received. Once the peer uses
// its newest keys, records of older epochs can only be delayed ones.
func (l *recordLayer) noteUse(now time.Time, r *readEpoch) {
	if r.epoch >= epochData && !r.used {
		r.used = true
		l.oldKeysUntil = now.Add(oldKeysLife)
	}
	// Two epochs are kept, because delayed records of the epoch before the newest may
	// still arrive.
	if n := len(l.read); n > 2 && r.epoch > epochData && r == l.newest() {
		l.read = slices.Delete(l.read, 0, n-2)
	}
}

// expireKeys drops all epochs for reading except the newest. It does that oldKeysLife
// after the peer has begun to use the newest. No timer is needed, because the exact
// time does not matter.
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
		// RFC 7905 §2, RFC 8446 §5.3: the nonce is the IV xor the padded record
		// number.
		low ^= binary.BigEndian.Uint64(k.iv[4:])
	}
	// RFC 5288 §3: for a salted key, the nonce consists of the 4 bytes of salt and
	// the 8 bytes that the record carries. These 8 bytes are the epoch and the
	// sequence number (RFC 6347 §4.1.2.1).
	binary.BigEndian.PutUint64(l.nonce[4:], low)
}

// setAAD computes the additional data of a DTLS 1.2 record. Without a connection ID it
// has the form of RFC 5246 §6.2.3.3, with the epoch and sequence number of RFC 6347
// §4.1.2.1. With a connection ID it has the form of RFC 9146 §5.3. plaintext is the
// number of bytes in the content before encryption.
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

// seal finishes, in place, the record that starts at b[start:], after w.begin has made
// room for its header. It writes the header and encrypts the record. If w is
// exhausted, it returns b[:start] and errExhausted.
func (l *recordLayer) seal(w *writeEpoch, typ contentType, b []byte, start int) ([]byte, error) {
	if w.exhausted() {
		return b[:start], errExhausted
	}
	seq := w.next
	w.next++
	w.prepare() // prepare succeeded when the key was created, so it does not fail here
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

// open decrypts the record in rec, in place, and completes its header h. ok is false
// if the record is a replay, is too short or too long, or is not authentic. The
// content of an authentic record can be longer than maxPlaintext.
func (l *recordLayer) open(r *readEpoch, h *recordHeader, rec []byte) (payload []byte, ok bool) {
	r.prepare() // prepare succeeded when the key was created, so it does not fail here
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
	// RFC 9146 §3: after a connection ID was negotiated, all encrypted records
	// contain it. §5: the encrypted content of these records has at most 2^14 bytes.
	if h.hasCID != (len(r.cid) > 0) || h.hasCID && plaintext > maxPlaintext {
		return nil, false
	}
	number := uint64(h.epoch)<<48 | h.seq
	l.setNonce(&r.aeadKey, number)
	if r.salted {
		// The peer may choose the explicit nonce freely, so it is read from the
		// record.
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

// accept notes that an authentic record with the number in h was received.
func (l *recordLayer) accept(r *readEpoch, h *recordHeader) {
	h.newest = h.seq >= r.window.top && r == l.newest()
	r.window.mark(h.seq)
}

// release drops the key schedules of all epochs. When they are needed, prepare builds
// them again.
func (l *recordLayer) release() {
	for _, r := range l.read {
		r.release()
	}
	for _, w := range l.write {
		w.release()
	}
}

// releaseHandshake drops the key schedule that decrypts records of the DTLS 1.3
// handshake, because after the handshake only repetitions arrive in its epoch. The key
// schedule for encryption is kept, since a client may have to send its Finished again.
func (l *recordLayer) releaseHandshake() {
	if r := l.readEpoch(epochHandshake); r != nil {
		r.release()
	}
}
