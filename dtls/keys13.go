package dtls

import (
	"crypto"
	"crypto/aes"
	"encoding/binary"
	"hash"

	"golang.org/x/crypto/chacha20"
)

// maxBlock and maxHash are what the largest hash of a suite, SHA-384, needs.
const (
	maxBlock = 128
	maxHash  = 64
)

// An expander is HMAC and HKDF-Expand-Label of one secret at a time (RFC 2104,
// RFC 8446 §7.1). A handshake has more than a dozen secrets, most of them for
// one or two labels. crypto/hmac and crypto/hkdf would make hashes anew for
// each, which was a tenth of all that a connection allocates; this one has one
// hash for all of them.
type expander struct {
	hash  hash.Hash
	key   [maxBlock]byte // filled up with zeros
	pad   [maxBlock]byte // scratch, as are the following
	inner [maxHash]byte
	info  [96]byte
}

func newExpander(h crypto.Hash, secret []byte) *expander {
	x := &expander{hash: h.New()}
	x.setKey(secret)
	return x
}

// setKey takes another secret, of no more bytes than the hash has.
func (x *expander) setKey(secret []byte) { clear(x.key[copy(x.key[:], secret):]) }

// appendMAC appends the HMAC of a message that is given in two parts.
func (x *expander) appendMAC(dst, a, b []byte) []byte {
	x.begin(0x36)
	x.hash.Write(a)
	x.hash.Write(b)
	inner := x.hash.Sum(x.inner[:0])
	x.begin(0x5c)
	x.hash.Write(inner)
	return x.hash.Sum(dst)
}

// begin begins a hash with the key and one of HMAC's pads.
func (x *expander) begin(pad byte) {
	block := x.pad[:x.hash.BlockSize()]
	for i := range block {
		block[i] = x.key[i] ^ pad
	}
	x.hash.Reset()
	x.hash.Write(block)
}

// mac is the HMAC of a message.
func (x *expander) mac(message []byte) []byte {
	return x.appendMAC(make([]byte, 0, x.hash.Size()), message, nil)
}

// sumOfNothing is the hash of no bytes, valid until the next call.
func (x *expander) sumOfNothing() []byte {
	x.hash.Reset()
	return x.hash.Sum(x.inner[:0])
}

// label gives n bytes, at most 255 hashes, with DTLS's prefix of labels (RFC
// 9147 §5.9). label has at most 249 bytes, and context at most 255.
func (x *expander) label(label string, context []byte, n int) []byte {
	b := binary.BigEndian.AppendUint16(x.info[:0], uint16(n))
	b = append(b, byte(len("dtls13")+len(label)))
	b = append(b, "dtls13"...)
	b = append(b, label...)
	b = append(b, byte(len(context)))
	b = append(b, context...)
	b = append(b, 0) // the counter (RFC 5869 §2.3)

	size := x.hash.Size()
	out := make([]byte, 0, (n+size-1)/size*size)
	for counter := byte(1); len(out) < n; counter++ {
		b[len(b)-1] = counter
		out = x.appendMAC(out, out[max(0, len(out)-size):], b)
	}
	return out[:n]
}

// A schedule13 is the key schedule of RFC 8446 §7.1 at one of its stages.
type schedule13 struct {
	expand *expander // of the stage's secret
}

// newSchedule13 is the stage of the early secret; a nil psk is none.
func newSchedule13(h crypto.Hash, psk []byte) schedule13 {
	s := schedule13{newExpander(h, nil)} // a salt of zeros
	s.extract(psk)
	return s
}

// extract begins a stage with HKDF-Extract, where nil stands for a string of
// zeros. The salt is the expander's secret.
func (s *schedule13) extract(ikm []byte) {
	var zeros [maxHash]byte
	if ikm == nil {
		ikm = zeros[:s.expand.hash.Size()]
	}
	s.expand.setKey(s.expand.mac(ikm))
}

// next goes to the following stage, with the input of that stage.
func (s *schedule13) next(ikm []byte) {
	s.expand.setKey(s.derive("derived", s.expand.sumOfNothing()))
	s.extract(ikm)
}

// derive is Derive-Secret; transcript is the hash of the messages.
func (s *schedule13) derive(label string, transcript []byte) []byte {
	return s.expand.label(label, transcript, s.expand.hash.Size())
}

// trafficKeys makes the keys of an epoch from its traffic secret
// (RFC 8446 §7.3, RFC 9147 §4.2.3).
func (su *suite) trafficKeys(secret []byte) (k aeadKey, err error) {
	x := newExpander(su.hash, secret)
	key := x.label("key", nil, su.keyLen)
	if k.aead, err = su.newAEAD(key); err != nil {
		return k, err
	}
	copy(k.iv[:], x.label("iv", nil, len(k.iv)))
	sn := x.label("sn", nil, su.keyLen)
	k.unified = true
	if su.id == TLS_CHACHA20_POLY1305_SHA256 {
		k.mask.chacha = (*[chacha20.KeySize]byte)(sn)
		return k, nil
	}
	k.mask.block, err = aes.NewCipher(sn)
	return k, err
}

// nextTrafficSecret is the secret after a KeyUpdate (RFC 8446 §7.2).
func (su *suite) nextTrafficSecret(secret []byte) []byte {
	return newExpander(su.hash, secret).label("traffic upd", nil, su.hash.Size())
}

// finishedMAC is the content of a Finished message (RFC 8446 §4.4.4);
// transcript is the hash of all messages before it.
func finishedMAC(h crypto.Hash, secret, transcript []byte) []byte {
	x := newExpander(h, secret)
	x.setKey(x.label("finished", nil, h.Size()))
	return x.mac(transcript)
}

// export13 is RFC 8446 §7.5. There, no context is the same as an empty one.
func export13(h crypto.Hash, exporter []byte, label string, context []byte, length int) []byte {
	secret := newExpander(h, exporter).label(label, sum(h, nil), h.Size())
	return newExpander(h, secret).label("exporter", sum(h, context), length)
}
