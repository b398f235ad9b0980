package dtls

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// A kdf derives keys with one hash function. crypto/hkdf and crypto/hmac ask for three
// new digests for each key, and a handshake derives two dozen keys. A kdf returns the
// same three digests in each call. This is safe because these packages do not keep the
// digests after a call.
type kdf struct {
	hash    crypto.Hash
	digests []hash.Hash
	used    int              // how many of digests are in use in the current call
	next    func() hash.Hash // the method nextDigest as a function value, which is created only once
}

func newKDF(h crypto.Hash) *kdf {
	k := &kdf{hash: h, digests: make([]hash.Hash, 0, 3)}
	k.next = k.nextDigest
	return k
}

// constructor begins a call: no digest of an earlier call is in use any more. The
// returned function returns a digest in its initial state. Within a call it never
// returns the same digest twice, as HMAC requires.
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

// expandLabel computes HKDF-Expand-Label (RFC 8446 §7.1) with the prefix of DTLS
// (RFC 9147 §5.9). It returns n bytes. n is at most 255 times the size of the hash. label
// has at most 249 bytes, and context has at most 255 bytes.
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
		panic("dtls: " + err.Error()) // this happens only if n is too large, and no caller passes such an n
	}
	return out
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	kdf    *kdf
	secret []byte // secret of the current stage: Early Secret, Handshake Secret or Master Secret
}

// earlySchedule13 returns the schedule at the stage of the Early Secret. If psk is
// nil, there is no PSK.
func earlySchedule13(k *kdf, psk []byte) schedule13 {
	s := schedule13{kdf: k}
	s.extract(psk, nil)
	return s
}

// newSchedule13 returns the schedule at the stage of the Handshake Secret. If psk is
// nil, there is no PSK.
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

// saltWithoutPSK contains, for the hash of each suite, the salt of the Handshake
// Secret in a handshake without a PSK. This salt is the same in each handshake. The
// map is never changed.
var saltWithoutPSK = newSalts()

func newSalts() map[crypto.Hash][]byte {
	m := map[crypto.Hash][]byte{}
	for _, su := range suites {
		early := earlySchedule13(newKDF(su.hash), nil)
		m[su.hash] = early.derive("derived", sum(su.hash, nil))
	}
	return m
}

// extract begins a stage with HKDF-Extract. If ikm is nil, zeros are used, as many as
// the size of the hash.
func (s *schedule13) extract(ikm, salt []byte) {
	if ikm == nil {
		ikm = make([]byte, s.kdf.hash.Size())
	}
	prk, err := hkdf.Extract(s.kdf.constructor(), ikm, salt)
	if err != nil {
		panic("dtls: " + err.Error()) // this happens only in FIPS 140 mode, if the mode does not allow the hash
	}
	s.secret = prk
}

// next goes to the next stage of the schedule. ikm is the input of that stage.
func (s *schedule13) next(ikm []byte) {
	s.extract(ikm, s.derive("derived", sum(s.kdf.hash, nil)))
}

// derive computes Derive-Secret. transcript is the hash of the messages so far.
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

// finishedMAC returns the content of a Finished message (RFC 8446 §4.4.4). transcript
// is the hash of all earlier messages.
func (k *kdf) finishedMAC(secret, transcript []byte) []byte {
	key := k.expandLabel(secret, "finished", nil, k.hash.Size())
	mac := hmac.New(k.constructor(), key)
	mac.Write(transcript)
	return mac.Sum(nil)
}

// export13 derives exported keying material of the given length (RFC 8446 §7.5). The
// results for a nil context and for an empty context are the same.
func (k *kdf) export13(exporter []byte, label string, context []byte, length int) []byte {
	secret := k.expandLabel(exporter, label, sum(k.hash, nil), k.hash.Size())
	return k.expandLabel(secret, "exporter", sum(k.hash, context), length)
}
