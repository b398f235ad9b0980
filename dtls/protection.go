package dtls

import (
	"crypto/aes"
	"crypto/cipher"
	"slices"
)

// aeadTagLen is the length of the authentication tag in bytes. It is the same in all
// suites.
const aeadTagLen = 16

// Limits on the use of one key (RFC 9147 §4.5.3).
const (
	// updateAfter is the number of records after which keys are updated. It is well
	// below the limit of AES-GCM, which is 2^24.5 records of full size.
	updateAfter = 1 << 23

	// maxGCMRecords is the limit of AES-GCM (RFC 8446 §5.5): 2^24.5 records, rounded
	// down. A peer that has not acknowledged a KeyUpdate before this limit will never
	// acknowledge it. ChaCha20-Poly1305 has no limit that is below the largest record
	// number.
	maxGCMRecords = 23_726_566

	// maxForged is the number of forged records after which a connection ends. Both
	// AEADs allow 2^36.
	maxForged = 1 << 35
)

// An aeadKey protects the records of one epoch in one direction.
type aeadKey struct {
	aead    cipher.AEAD  // nil: plaintext, or the cipher is not built yet
	mask    cipher.Block // encrypts record numbers; only for AES in DTLS 1.3
	key     []byte       // key of aead; in DTLS 1.3, the key of mask follows it
	cid     []byte       // connection ID that the records of the epoch contain; empty: none
	iv      [12]byte
	kind    aeadKind // noAEAD: epoch 0, which is plaintext
	salted  bool     // only 4 bytes of iv are used, and each record carries the other 8 bytes of its nonce (DTLS 1.2)
	unified bool     // records have the unified header of DTLS 1.3
	epoch   uint16
}

// newAEADKey returns the key of suite s for epoch 1, which is the only encrypted epoch
// of DTLS 1.2. key is the AEAD key. iv is the IV, or its first 4 bytes if each record
// carries the rest.
func newAEADKey(s *suite, key, iv []byte) (k aeadKey, err error) {
	k.kind, k.key = s.aead, slices.Clone(key)
	k.salted = s.explicit != 0
	k.epoch = 1
	copy(k.iv[:], iv)
	return k, k.prepare()
}

// prepare builds the ciphers if they are not built yet, or were released.
func (k *aeadKey) prepare() (err error) {
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

// release drops the ciphers. Their key schedules need forty times as much memory as
// the keys, from which prepare can build them again.
func (k *aeadKey) release() { k.aead, k.mask = nil, nil }

// numberKey returns the key that encrypts record numbers (RFC 9147 §4.2.3).
func (k *aeadKey) numberKey() []byte { return k.key[len(k.key)/2:] }

// A writeEpoch numbers and protects the local records of an epoch.
type writeEpoch struct {
	aeadKey
	next   uint64 // number of the next record
	secret []byte // traffic secret from which the keys were derived (DTLS 1.3)
}

// exhausted reports whether the keys must not protect another record.
func (w *writeEpoch) exhausted() bool {
	return w.next > maxSequence || w.unified && w.kind == aesGCM && w.next >= maxGCMRecords
}

// begin appends room for the header of a record to dst.
func (w *writeEpoch) begin(dst []byte) []byte {
	n := len(dst) + w.headerLen()
	return slices.Grow(dst, w.headerLen())[:n]
}

// A readEpoch decrypts the peer's records of an epoch.
type readEpoch struct {
	aeadKey
	window replayWindow
	secret []byte // traffic secret from which the keys were derived (DTLS 1.3); nil after the peer's next KeyUpdate
	used   bool   // a record in this data epoch was received (DTLS 1.3)
	forged uint64 // number of records that were not authentic
}

// headerLen is the number of bytes before the payload of a record, including the
// explicit nonce.
func (k *aeadKey) headerLen() int {
	if k.unified {
		return unifiedHeaderLen + len(k.cid)
	}
	return recordHeaderLen + len(k.cid) + k.explicitNonceLen()
}

// explicitNonceLen is the number of bytes of the nonce that each record carries
// (RFC 5288 §3).
func (k *aeadKey) explicitNonceLen() int {
	if k.salted {
		return 8
	}
	return 0
}

// trailerLen is the number of bytes after the payload of a record.
func (k *aeadKey) trailerLen() int {
	switch {
	case k.unified || len(k.cid) > 0: // the content type is encrypted with the payload
		return 1 + aeadTagLen
	case k.kind == noAEAD:
		return 0
	}
	return aeadTagLen
}

func (k *aeadKey) overhead() int { return k.headerLen() + k.trailerLen() }

// maxPayload returns the maximum number of bytes in the payload of a record. limit is
// the peer's record_size_limit; 0: the peer has sent none. The limit does not apply to
// records in plaintext.
func (k *aeadKey) maxPayload(limit uint16) int {
	n := maxPlaintext
	if k.kind != noAEAD && limit != 0 {
		n = min(int(limit), maxPlaintext+1)
		if k.unified {
			n-- // RFC 8449 §4: the limit includes the content type
		}
	}
	if !k.unified && len(k.cid) > 0 {
		// RFC 9146 §5: at most 2^14 bytes, including the content type.
		n = min(n, maxPlaintext) - 1
	}
	return min(n, maxPlaintext)
}
