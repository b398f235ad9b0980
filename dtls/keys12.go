package dtls

import (
	"crypto"
	"crypto/hmac"
)

const (
	masterSecretLen = 48 // RFC 5246 §8.1
	verifyDataLen   = 12 // RFC 5246 §7.4.9
)

// prf12 is the pseudorandom function of TLS 1.2 (RFC 5246 §5). It returns n bytes
// that P_hash derives from secret, label and seeds.
func prf12(h crypto.Hash, secret []byte, label string, n int, seeds ...[]byte) []byte {
	mac := hmac.New(h.New, secret)
	writeSeed := func() {
		mac.Write([]byte(label))
		for _, s := range seeds {
			mac.Write(s)
		}
	}
	writeSeed()
	a := mac.Sum(nil) // A(1)
	out := make([]byte, 0, n+h.Size())
	for len(out) < n {
		mac.Reset()
		mac.Write(a)
		writeSeed()
		out = mac.Sum(out)
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(a[:0])
	}
	return out[:n]
}

// secrets12 contains the secrets of a DTLS 1.2 connection. The connection keeps them
// so that it can export keying material.
type secrets12 struct {
	hash         crypto.Hash
	master       []byte
	clientRandom [32]byte
	serverRandom [32]byte
}

// export derives exported keying material of the given length (RFC 5705 §4). The
// results for a nil context and for an empty context are different.
func (s *secrets12) export(label string, context []byte, length int) []byte {
	seed := append(s.clientRandom[:len(s.clientRandom):len(s.clientRandom)], s.serverRandom[:]...)
	if context != nil {
		seed = append(seed, byte(len(context)>>8), byte(len(context)))
		seed = append(seed, context...)
	}
	return prf12(s.hash, s.master, label, length, seed)
}

// keyBlock derives the keys of epoch 1 (RFC 5246 §6.3). There are no MAC keys,
// because all suites use an AEAD.
func (s *secrets12) keyBlock(su *suite) (client, server aeadKey, err error) {
	block := prf12(s.hash, s.master, "key expansion", 2*(su.keyLen+su.fixedIV), s.serverRandom[:], s.clientRandom[:])
	take := func(n int) (b []byte) {
		b, block = block[:n], block[n:]
		return b
	}
	clientKey, serverKey := take(su.keyLen), take(su.keyLen)
	clientIV, serverIV := take(su.fixedIV), take(su.fixedIV)
	if client, err = newAEADKey(su, clientKey, clientIV); err != nil {
		return client, server, err
	}
	server, err = newAEADKey(su, serverKey, serverIV)
	return client, server, err
}

// verifyData returns the content of the Finished message of the client or the server
// (RFC 5246 §7.4.9).
func (s *secrets12) verifyData(client bool, transcript []byte) []byte {
	label := "server finished"
	if client {
		label = "client finished"
	}
	return prf12(s.hash, s.master, label, verifyDataLen, sum(s.hash, transcript))
}
