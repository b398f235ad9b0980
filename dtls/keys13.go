package dtls

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// A kdf derives keys with one hash. crypto/hkdf and crypto/hmac ask for new
// digests, three for each key, of which a handshake has two dozen; a kdf lends
// them its own, which they do not keep.
type kdf struct {
	hash    crypto.Hash
	digests []hash.Hash
	lent    int              // how many of digests the call that runs has
	lend    func() hash.Hash // the method, bound once
}

func newKDF(h crypto.Hash) *kdf {
	k := &kdf{hash: h, digests: make([]hash.Hash, 0, 3)}
	k.lend = k.lendDigest
	return k
}

// constructor begins a call: all that was lent before is back. What it returns
// gives a digest as if it were new, and never the same twice, which HMAC
// insists on.
func (k *kdf) constructor() func() hash.Hash {
	k.lent = 0
	return k.lend
}

func (k *kdf) lendDigest() hash.Hash {
	if k.lent == len(k.digests) {
		k.digests = append(k.digests, k.hash.New())
	}
	d := k.digests[k.lent]
	d.Reset()
	k.lent++
	return d
}

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1) with DTLS's prefix
// (RFC 9147 §5.9): n bytes, at most 255 hashes. label has at most 249 bytes,
// and context at most 255.
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
		panic("dtls: " + err.Error()) // a length that no caller asks for
	}
	return out
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	kdf    *kdf
	secret []byte // the stage's
}

// earlySchedule13 is the stage of the early secret; a nil psk is none.
func earlySchedule13(k *kdf, psk []byte) schedule13 {
	s := schedule13{kdf: k}
	s.extract(psk, nil)
	return s
}

// newSchedule13 is the stage of the handshake secret; a nil psk is none.
func newSchedule13(k *kdf, psk, shared []byte) schedule13 {
	s := schedule13{kdf: k}
	if psk == nil {
		s.extract(shared, constantsOf(k.hash).salt)
		return s
	}
	s = earlySchedule13(k, psk)
	s.next(shared)
	return s
}

// The constants of a hash are what is the same in each handshake with it.
type constants struct {
	empty []byte // the hash of no messages
	salt  []byte // for the handshake secret, from the early secret without PSK
}

var constantsSHA256, constantsSHA384 = newConstants(crypto.SHA256), newConstants(crypto.SHA384)

func newConstants(h crypto.Hash) constants {
	empty := sum(h, nil)
	early := earlySchedule13(newKDF(h), nil)
	return constants{empty, early.derive("derived", empty)}
}

// constantsOf gives the constants of a hash that a suite of DTLS 1.3 has.
func constantsOf(h crypto.Hash) constants {
	if h == crypto.SHA384 {
		return constantsSHA384
	}
	return constantsSHA256
}

// extract begins a stage with HKDF-Extract, where nil stands for a string of
// zeros.
func (s *schedule13) extract(ikm, salt []byte) {
	if ikm == nil {
		ikm = make([]byte, s.kdf.hash.Size())
	}
	prk, err := hkdf.Extract(s.kdf.constructor(), ikm, salt)
	if err != nil {
		panic("dtls: " + err.Error()) // which only FIPS 140 mode has, of other hashes
	}
	s.secret = prk
}

// next goes to the following stage, with the input of that stage.
func (s *schedule13) next(ikm []byte) {
	s.extract(ikm, s.derive("derived", constantsOf(s.kdf.hash).empty))
}

// derive is Derive-Secret; transcript is the hash of the messages.
func (s *schedule13) derive(label string, transcript []byte) []byte {
	return s.kdf.expandLabel(s.secret, label, transcript, s.kdf.hash.Size())
}

// trafficKeys makes the keys of an epoch from its traffic secret
// (RFC 8446 §7.3, RFC 9147 §4.2.3).
func (su *suite) trafficKeys(d *kdf, secret []byte) (k aeadKey, err error) {
	k.kind, k.unified = su.aead, true
	k.key = make([]byte, 0, 2*su.keyLen)
	k.key = append(k.key, d.expandLabel(secret, "key", nil, su.keyLen)...)
	k.key = append(k.key, d.expandLabel(secret, "sn", nil, su.keyLen)...)
	copy(k.iv[:], d.expandLabel(secret, "iv", nil, len(k.iv)))
	return k, k.wake()
}

// nextTrafficSecret is the secret after a KeyUpdate (RFC 8446 §7.2).
func (k *kdf) nextTrafficSecret(secret []byte) []byte {
	return k.expandLabel(secret, "traffic upd", nil, k.hash.Size())
}

// finishedMAC is the content of a Finished message (RFC 8446 §4.4.4);
// transcript is the hash of all messages before it.
func (k *kdf) finishedMAC(secret, transcript []byte) []byte {
	key := k.expandLabel(secret, "finished", nil, k.hash.Size())
	mac := hmac.New(k.constructor(), key)
	mac.Write(transcript)
	return mac.Sum(nil)
}

// export13 is RFC 8446 §7.5. There, no context is the same as an empty one.
func (k *kdf) export13(exporter []byte, label string, context []byte, length int) []byte {
	secret := k.expandLabel(exporter, label, constantsOf(k.hash).empty, k.hash.Size())
	return k.expandLabel(secret, "exporter", sum(k.hash, context), length)
}
