package dtls

import (
	"crypto"
	"crypto/hkdf"
	"crypto/hmac"
	"encoding/binary"
)

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1) with DTLS's prefix
// (RFC 9147 §5.9): n bytes, at most 255 hashes. label has at most 249 bytes,
// and context at most 255.
func expandLabel(h crypto.Hash, secret []byte, label string, context []byte, n int) []byte {
	var room [96]byte
	b := binary.BigEndian.AppendUint16(room[:0], uint16(n))
	b = append(b, byte(len("dtls13")+len(label)))
	b = append(b, "dtls13"...)
	b = append(b, label...)
	b = append(b, byte(len(context)))
	b = append(b, context...)
	out, err := hkdf.Expand(h.New, secret, string(b), n)
	if err != nil {
		panic("dtls: " + err.Error()) // a length that no caller asks for
	}
	return out
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	hash   crypto.Hash
	secret []byte // the stage's
}

// newSchedule13 is the stage of the early secret; a nil psk is none.
func newSchedule13(h crypto.Hash, psk []byte) schedule13 {
	s := schedule13{hash: h}
	s.extract(psk, nil)
	return s
}

// extract begins a stage with HKDF-Extract, where nil stands for a string of
// zeros.
func (s *schedule13) extract(ikm, salt []byte) {
	if ikm == nil {
		ikm = make([]byte, s.hash.Size())
	}
	prk, err := hkdf.Extract(s.hash.New, ikm, salt)
	if err != nil {
		panic("dtls: " + err.Error()) // which only FIPS 140 mode has, of other hashes
	}
	s.secret = prk
}

// next goes to the following stage, with the input of that stage.
func (s *schedule13) next(ikm []byte) {
	s.extract(ikm, s.derive("derived", sum(s.hash, nil)))
}

// derive is Derive-Secret; transcript is the hash of the messages.
func (s *schedule13) derive(label string, transcript []byte) []byte {
	return expandLabel(s.hash, s.secret, label, transcript, s.hash.Size())
}

// trafficKeys makes the keys of an epoch from its traffic secret
// (RFC 8446 §7.3, RFC 9147 §4.2.3).
func (su *suite) trafficKeys(secret []byte) (k aeadKey, err error) {
	k.kind, k.unified = su.aead, true
	k.key = make([]byte, 0, 2*su.keyLen)
	k.key = append(k.key, expandLabel(su.hash, secret, "key", nil, su.keyLen)...)
	k.key = append(k.key, expandLabel(su.hash, secret, "sn", nil, su.keyLen)...)
	copy(k.iv[:], expandLabel(su.hash, secret, "iv", nil, len(k.iv)))
	return k, k.wake()
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
	secret := expandLabel(h, exporter, label, sum(h, nil), h.Size())
	return expandLabel(h, secret, "exporter", sum(h, context), length)
}
