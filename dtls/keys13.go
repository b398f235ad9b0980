package dtls

import (
	"crypto"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/hmac"

	"golang.org/x/crypto/cryptobyte"
)

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1) with DTLS's prefix
// (RFC 9147 §5.9). n is at most 255 hashes.
func expandLabel(h crypto.Hash, secret []byte, label string, context []byte, n int) []byte {
	var b cryptobyte.Builder
	b.AddUint16(uint16(n))
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes([]byte("dtls13" + label)) })
	b.AddUint8LengthPrefixed(func(b *cryptobyte.Builder) { b.AddBytes(context) })
	info, err := b.Bytes()
	if err != nil {
		return nil // a label beyond 249 bytes, which only an exporter's caller could give
	}
	out, err := hkdf.Expand(h.New, secret, string(info), n)
	if err != nil {
		return nil
	}
	return out
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	hash   crypto.Hash
	secret []byte
}

// newSchedule13 is the stage of the early secret; a nil psk is none.
func newSchedule13(h crypto.Hash, psk []byte) schedule13 {
	s := schedule13{hash: h}
	s.secret = s.extract(psk, nil)
	return s
}

// extract is HKDF-Extract, where nil stands for a string of zeros.
func (s *schedule13) extract(ikm, salt []byte) []byte {
	if ikm == nil {
		ikm = make([]byte, s.hash.Size())
	}
	out, err := hkdf.Extract(s.hash.New, ikm, salt)
	if err != nil {
		return nil // only where a policy forbids the key; then no key comes of it
	}
	return out
}

// next goes to the following stage, with the input of that stage.
func (s *schedule13) next(ikm []byte) {
	s.secret = s.extract(ikm, s.derive("derived", sum(s.hash, nil)))
}

// derive is Derive-Secret; transcript is the hash of the messages.
func (s *schedule13) derive(label string, transcript []byte) []byte {
	return expandLabel(s.hash, s.secret, label, transcript, s.hash.Size())
}

// trafficKeys makes the keys of an epoch from its traffic secret
// (RFC 8446 §7.3, RFC 9147 §4.2.3).
func (su *suite) trafficKeys(secret []byte) (k aeadKey, err error) {
	key := expandLabel(su.hash, secret, "key", nil, su.keyLen)
	if k.aead, err = su.newAEAD(key); err != nil {
		return k, err
	}
	copy(k.iv[:], expandLabel(su.hash, secret, "iv", nil, len(k.iv)))
	sn := expandLabel(su.hash, secret, "sn", nil, su.keyLen)
	k.mask = &numberMask{}
	if su.id == TLS_CHACHA20_POLY1305_SHA256 {
		copy(k.mask.chacha[:], sn)
		return k, nil
	}
	k.mask.block, err = aes.NewCipher(sn)
	return k, err
}

// nextTrafficSecret is the secret after a KeyUpdate (RFC 8446 §7.2).
func (su *suite) nextTrafficSecret(secret []byte) []byte {
	return expandLabel(su.hash, secret, "traffic upd", nil, su.hash.Size())
}

// finishedMAC is the content of a Finished message (RFC 8446 §4.4.4);
// transcript is the hash of all messages before it.
func finishedMAC(h crypto.Hash, secret, transcript []byte) []byte {
	mac := hmac.New(h.New, expandLabel(h, secret, "finished", nil, h.Size()))
	mac.Write(transcript)
	return mac.Sum(nil)
}

// export13 is RFC 8446 §7.5. There, no context is the same as an empty one.
func export13(h crypto.Hash, exporter []byte, label string, context []byte, length int) []byte {
	s := schedule13{h, exporter}
	return expandLabel(h, s.derive(label, sum(h, nil)), "exporter", sum(h, context), length)
}
