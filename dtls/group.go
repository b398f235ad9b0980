package dtls

import (
	"crypto/ecdh"
	"io"
)

// curve returns the curve of a group that is plain Diffie-Hellman, else nil.
func (g Group) curve() ecdh.Curve {
	switch g {
	case GroupX25519:
		return ecdh.X25519()
	case GroupP256:
		return ecdh.P256()
	case GroupP384:
		return ecdh.P384()
	}
	return nil
}

// agree computes the secret of our key and the far end's public one. It fails
// on points off the curve and on the zero secrets of X25519's small orders
// (RFC 8422 §5.11).
func agree(key *ecdh.PrivateKey, public []byte) ([]byte, error) {
	peer, err := key.Curve().NewPublicKey(public)
	if err != nil {
		return nil, fatal(AlertIllegalParameter, "key share: %w", err)
	}
	secret, err := key.ECDH(peer)
	if err != nil {
		return nil, fatal(AlertIllegalParameter, "key share: %w", err)
	}
	return secret, nil
}

// newKey makes an ephemeral key of group g.
func newKey(g Group, rand io.Reader) (*ecdh.PrivateKey, error) {
	key, err := g.curve().GenerateKey(rand)
	if err != nil {
		return nil, fatal(AlertInternalError, "ephemeral key: %w", err)
	}
	return key, nil
}
