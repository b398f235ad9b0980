package dtls

import (
	"crypto"
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// An expander is HKDF-Expand-Label (RFC 8446 §7.1) of one secret, with DTLS's
// prefix (RFC 9147 §5.9). It expands as RFC 5869 §2.3 has it, and not with
// crypto/hkdf, which would key an HMAC anew for each of the labels of a secret.
type expander struct {
	mac  hash.Hash
	used bool   // mac has to be reset, which costs something the first time
	info []byte // scratch
}

func newExpander(h crypto.Hash, secret []byte) *expander {
	return &expander{mac: hmac.New(h.New, secret), info: make([]byte, 0, 96)}
}

// label gives n bytes, at most 255 hashes. label has at most 249 bytes, and
// context at most 255.
func (x *expander) label(label string, context []byte, n int) []byte {
	b := binary.BigEndian.AppendUint16(x.info[:0], uint16(n))
	b = append(b, byte(len("dtls13")+len(label)))
	b = append(b, "dtls13"...)
	b = append(b, label...)
	b = append(b, byte(len(context)))
	b = append(b, context...)
	x.info = append(b, 0) // the counter

	size := x.mac.Size()
	out := make([]byte, 0, (n+size-1)/size*size)
	for counter := byte(1); len(out) < n; counter++ {
		x.info[len(x.info)-1] = counter
		if x.used {
			x.mac.Reset()
		}
		x.used = true
		x.mac.Write(out[max(0, len(out)-size):])
		x.mac.Write(x.info)
		out = x.mac.Sum(out)
	}
	return out[:n]
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	hash   crypto.Hash
	expand *expander // of the stage's secret
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
	mac := hmac.New(s.hash.New, salt) // RFC 2104 fills up with zeros
	mac.Write(ikm)
	s.expand = newExpander(s.hash, mac.Sum(nil))
}

// next goes to the following stage, with the input of that stage.
func (s *schedule13) next(ikm []byte) {
	s.extract(ikm, s.derive("derived", sum(s.hash, nil)))
}

// derive is Derive-Secret; transcript is the hash of the messages.
func (s *schedule13) derive(label string, transcript []byte) []byte {
	return s.expand.label(label, transcript, s.hash.Size())
}

// trafficKeys makes the keys of an epoch from its traffic secret
// (RFC 8446 §7.3, RFC 9147 §4.2.3).
func (su *suite) trafficKeys(secret []byte) (k aeadKey, err error) {
	x := newExpander(su.hash, secret)
	k.kind, k.unified = su.aead, true
	k.key = make([]byte, 0, 2*su.keyLen)
	k.key = append(k.key, x.label("key", nil, su.keyLen)...)
	k.key = append(k.key, x.label("sn", nil, su.keyLen)...)
	copy(k.iv[:], x.label("iv", nil, len(k.iv)))
	return k, k.wake()
}

// nextTrafficSecret is the secret after a KeyUpdate (RFC 8446 §7.2).
func (su *suite) nextTrafficSecret(secret []byte) []byte {
	return newExpander(su.hash, secret).label("traffic upd", nil, su.hash.Size())
}

// finishedMAC is the content of a Finished message (RFC 8446 §4.4.4);
// transcript is the hash of all messages before it.
func finishedMAC(h crypto.Hash, secret, transcript []byte) []byte {
	mac := hmac.New(h.New, newExpander(h, secret).label("finished", nil, h.Size()))
	mac.Write(transcript)
	return mac.Sum(nil)
}

// export13 is RFC 8446 §7.5. There, no context is the same as an empty one.
func export13(h crypto.Hash, exporter []byte, label string, context []byte, length int) []byte {
	secret := newExpander(h, exporter).label(label, sum(h, nil), h.Size())
	return newExpander(h, secret).label("exporter", sum(h, context), length)
}
