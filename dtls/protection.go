package dtls

import (
	"crypto/aes"
	"crypto/cipher"
	"slices"
)

// aeadTagLen is the length of the authentication tag, the same in all suites.
const aeadTagLen = 16

// Limits on the use of one key (RFC 9147 §4.5.3).
const (
	// updateAfter is the number of records after which keys are updated, well before
	// the limit of AES-GCM, which is 2^24.5 records of full size.
	updateAfter = 1 << 23

	// maxGCMRecords is the limit of AES-GCM (RFC 8446 §5.5): 2^24.5 records, rounded
	// down. A peer that has not acknowledged a KeyUpdate by then never will.
	// ChaCha20-Poly1305 has no limit before the record numbers end.
	maxGCMRecords = 23_726_566

	// maxForged is the number of forged records after which a connection ends. Both
	// AEADs allow 2^36.
	maxForged = 1 << 35
)

// An aeadKey protects one direction of one epoch.
type aeadKey struct {
	aead    cipher.AEAD  // nil: not built, or plaintext
	mask    cipher.Block // encrypts record numbers (DTLS 1.3 with AES only)
	key     []byte       // of aead; in DTLS 1.3 the key of the mask follows
	cid     []byte       // connection ID in the records of the epoch; empty: none
	iv      [12]byte
	kind    aeadKind // noAEAD: plaintext, epoch 0
	salted  bool     // iv has only 4 bytes, and each record carries 8 more (DTLS 1.2)
	unified bool     // records have the unified header of DTLS 1.3
	epoch   uint16
}

// newAEADKey makes the key of suite s for epoch 1, the only epoch with keys in DTLS
// 1.2, from its bytes and its IV or salt.
func newAEADKey(s *suite, key, iv []byte) (k aeadKey, err error) {
	k.kind, k.key = s.aead, slices.Clone(key)
	k.salted = s.explicit != 0
	k.epoch = 1
	copy(k.iv[:], iv)
	return k, k.prepare()
}

// prepare builds the ciphers if they were released, or never built.
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

// release drops the ciphers. Their key schedules take forty times the memory of the
// keys that they are built from.
func (k *aeadKey) release() { k.aead, k.mask = nil, nil }

// numberKey returns the key that encrypts record numbers (RFC 9147 §4.2.3).
func (k *aeadKey) numberKey() []byte { return k.key[len(k.key)/2:] }

// A writeEpoch numbers and protects the local records of an epoch.
type writeEpoch struct {
	aeadKey
	next   uint64 // number of the next record
	secret []byte // traffic secret of the keys (DTLS 1.3)
}

// exhausted reports whether the epoch must not protect another record.
func (w *writeEpoch) exhausted() bool {
	return w.next > maxSequence || w.unified && w.kind == aesGCM && w.next >= maxGCMRecords
}

// begin appends room for the header of a record.
func (w *writeEpoch) begin(dst []byte) []byte {
	n := len(dst) + w.headerLen()
	return slices.Grow(dst, w.headerLen())[:n]
}

// A readEpoch opens the records of an epoch.
type readEpoch struct {
	aeadKey
	window replayWindow
	secret []byte // traffic secret of the keys (DTLS 1.3); nil after the next KeyUpdate
	used   bool   // a record under keys for data was received (DTLS 1.3)
	forged uint64 // records that did not authenticate
}

// headerLen is the number of bytes before the payload of a record, its explicit nonce
// included.
func (k *aeadKey) headerLen() int {
	if k.unified {
		return unifiedHeaderLen + len(k.cid)
	}
	return recordHeaderLen + len(k.cid) + k.explicitNonceLen()
}

// explicitNonceLen is the number of bytes of nonce in each record (RFC 5288 §3).
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

// maxPayload returns the maximum length of the payload of a record, if the peer limits
// records to limit bytes; 0: it does not. Records in plaintext are not limited.
func (k *aeadKey) maxPayload(limit uint16) int {
	n := maxPlaintext
	if k.kind != noAEAD && limit != 0 {
		n = min(int(limit), maxPlaintext+1)
		if k.unified {
			n-- // RFC 8449 §4: the content type counts
		}
	}
	if !k.unified && len(k.cid) > 0 {
		// RFC 9146 §5: 2^14 bytes with the content type.
		n = min(n, maxPlaintext) - 1
	}
	return min(n, maxPlaintext)
}
