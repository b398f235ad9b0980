package dtls

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// A kdf derives keys with one hash. crypto/hkdf and crypto/hmac ask for three new
// digests for each key, and a handshake derives two dozen keys. A kdf gives them
// the same digests again in each call, which is safe because they do not keep them.
type kdf struct {
	hash    crypto.Hash
	digests []hash.Hash
	used    int              // how many of digests the current call has
	next    func() hash.Hash // the method value of nextDigest, bound once
}

func newKDF(h crypto.Hash) *kdf {
	k := &kdf{hash: h, digests: make([]hash.Hash, 0, 3)}
	k.next = k.nextDigest
	return k
}

// constructor begins a call: no digest of an earlier call is in use any more. The
// returned function returns a digest in its initial state, and never the same one
// twice, which HMAC requires.
func (k *kdf) constructor() func() hash.Hash {
	k.used = 0
	return k.next
}

func (k *kdf) nextDigest() hash.Hash {
	if k.used == len(k.digests) {
		k.digests = append(k.digests, k.hash.New())
	}
	d := k.digests[k.used]
	d.Reset()
	k.used++
	return d
}

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1) with the prefix of DTLS
// (RFC 9147 §5.9). It returns n bytes, at most 255 times the size of the hash.
// label has at most 249 bytes, context at most 255.
func (k *kdf) expandLabel(secret []byte, label string, context []byte, n int) []byte {
	var room [96]byte
	b := binary.BigEndian.AppendUint16(room[:0], uint16(n))
	b = append(b, byte(len("dtls13")+len(label)))
	b = append(b, "dtls13"...)
	b = append(b, label...)
	b = append(b, byte(len(context)))
	b = append(b, context...)
	out, err := hkdf.Expand(k.constructor(), secret, string(b), n)
	if err != nil {
		panic("dtls: " + err.Error()) // only if n is too large, which no caller passes
	}
	return out
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	kdf    *kdf
	secret []byte // of the stage: Early Secret, Handshake Secret or Master Secret
}

// earlySchedule13 returns the stage of the Early Secret. A nil psk means no PSK.
func earlySchedule13(k *kdf, psk []byte) schedule13 {
	s := schedule13{kdf: k}
	s.extract(psk, nil)
	return s
}

// newSchedule13 returns the stage of the Handshake Secret. A nil psk means no PSK.
func newSchedule13(k *kdf, psk, shared []byte) schedule13 {
	s := schedule13{kdf: k}
	if psk == nil {
		s.extract(shared, saltWithoutPSK[k.hash])
		return s
	}
	s = earlySchedule13(k, psk)
	s.next(shared)
	return s
}

// saltWithoutPSK has the salt of the Handshake Secret if there is no PSK, for the hash of
// each suite. It is the same in each handshake, and never changed.
var saltWithoutPSK = newSalts()

func newSalts() map[crypto.Hash][]byte {
	m := map[crypto.Hash][]byte{}
	for _, su := range suites {
		early := earlySchedule13(newKDF(su.hash), nil)
		m[su.hash] = early.derive("derived", sum(su.hash, nil))
	}
	return m
}

// extract begins a stage with HKDF-Extract. A nil ikm stands for zeros of the
// length of the hash.
func (s *schedule13) extract(ikm, salt []byte) {
	if ikm == nil {
		ikm = make([]byte, s.kdf.hash.Size())
	}
	prk, err := hkdf.Extract(s.kdf.constructor(), ikm, salt)
	if err != nil {
		panic("dtls: " + err.Error()) // only in FIPS 140 mode, for a hash that it does not allow
	}
	s.secret = prk
}

// next goes to the next stage, whose input is ikm.
func (s *schedule13) next(ikm []byte) {
	s.extract(ikm, s.derive("derived", sum(s.kdf.hash, nil)))
}

// derive is Derive-Secret. transcript is the hash of the messages so far.
func (s *schedule13) derive(label string, transcript []byte) []byte {
	return s.kdf.expandLabel(s.secret, label, transcript, s.kdf.hash.Size())
}

// trafficKeys derives the keys of an epoch from its traffic secret (RFC 8446 §7.3,
// RFC 9147 §4.2.3).
func (su *suite) trafficKeys(d *kdf, epoch uint16, secret []byte) (k aeadKey, err error) {
	k.kind, k.unified, k.epoch = su.aead, true, epoch
	k.key = make([]byte, 0, 2*su.keyLen)
	k.key = append(k.key, d.expandLabel(secret, "key", nil, su.keyLen)...)
	k.key = append(k.key, d.expandLabel(secret, "sn", nil, su.keyLen)...)
	copy(k.iv[:], d.expandLabel(secret, "iv", nil, len(k.iv)))
	if err := k.prepare(); err != nil {
		return k, fatal(AlertInternalError, "keys: %w", err)
	}
	return k, nil
}

// nextTrafficSecret derives the traffic secret after a KeyUpdate (RFC 8446 §7.2).
func (k *kdf) nextTrafficSecret(secret []byte) []byte {
	return k.expandLabel(secret, "traffic upd", nil, k.hash.Size())
}

// finishedMAC returns the content of a Finished message (RFC 8446 §4.4.4).
// transcript is the hash of all messages before it.
func (k *kdf) finishedMAC(secret, transcript []byte) []byte {
	key := k.expandLabel(secret, "finished", nil, k.hash.Size())
	mac := hmac.New(k.constructor(), key)
	mac.Write(transcript)
	return mac.Sum(nil)
}

// export13 derives exported keying material (RFC 8446 §7.5). A nil context gives the
// same result as an empty one.
func (k *kdf) export13(exporter []byte, label string, context []byte, length int) []byte {
	secret := k.expandLabel(exporter, label, sum(k.hash, nil), k.hash.Size())
	return k.expandLabel(secret, "exporter", sum(k.hash, context), length)
}
