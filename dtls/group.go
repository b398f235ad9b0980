package dtls

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"io"
)

// curve returns the curve of a group; nil: the group is not a plain Diffie-Hellman
// group.
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

// agree computes the shared secret from the local private key and the peer's public
// key. It returns an error if the public key is not a point on the curve, or if the
// shared secret is zero, which an X25519 point of small order causes (RFC 8422
// §5.11).
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

// newKey generates an ephemeral key for group g.
func newKey(g Group, rand io.Reader) (*ecdh.PrivateKey, error) {
	key, err := g.curve().GenerateKey(rand)
	if err != nil {
		return nil, fatal(AlertInternalError, "ephemeral key: %w", err)
	}
	return key, nil
}

// An ephemeral is the client's secret part of a key exchange.
type ephemeral struct {
	group Group
	ecdh  *ecdh.PrivateKey
	mlkem *mlkem.DecapsulationKey768 // only for GroupX25519MLKEM768
}

// newEphemeral generates the client's secret part for group g.
func newEphemeral(g Group, rand io.Reader) (e ephemeral, err error) {
	e.group = g
	if g != GroupX25519MLKEM768 {
		e.ecdh, err = newKey(g, rand)
		return e, err
	}
	if e.ecdh, err = newKey(GroupX25519, rand); err != nil {
		return e, err
	}
	var seed [mlkem.SeedSize]byte
	if _, err = io.ReadFull(rand, seed[:]); err == nil {
		e.mlkem, err = mlkem.NewDecapsulationKey768(seed[:])
	}
	if err != nil {
		return e, fatal(AlertInternalError, "ephemeral key: %w", err)
	}
	return e, nil
}

// share returns the key share that the client sends. For the hybrid group, it is the
// ML-KEM share followed by the X25519 share (draft-ietf-tls-ecdhe-mlkem).
func (e *ephemeral) share() keyShare {
	public := e.ecdh.PublicKey().Bytes()
	if e.mlkem == nil {
		return keyShare{group: e.group, data: public}
	}
	return keyShare{group: e.group, data: append(e.mlkem.EncapsulationKey().Bytes(), public...)}
}

// agree computes the shared secret from the server's key share.
func (e *ephemeral) agree(share []byte) ([]byte, error) {
	if e.mlkem == nil {
		return agree(e.ecdh, share)
	}
	if len(share) != mlkem.CiphertextSize768+x25519Len {
		return nil, fatal(AlertIllegalParameter, "key share of %d bytes", len(share))
	}
	secret, err := e.mlkem.Decapsulate(share[:mlkem.CiphertextSize768])
	if err != nil {
		return nil, fatal(AlertIllegalParameter, "key share: %w", err)
	}
	classic, err := agree(e.ecdh, share[mlkem.CiphertextSize768:])
	if err != nil {
		return nil, err
	}
	return append(secret, classic...), nil
}

const x25519Len = 32

// answerShare does the server's part of the key exchange. From the client's key share
// for group g it computes the server's key share and the shared secret.
func answerShare(g Group, rand io.Reader, share []byte) (own keyShare, secret []byte, err error) {
	if g != GroupX25519MLKEM768 {
		own.group = g
		own.data, secret, err = answer(g, rand, share)
		return own, secret, err
	}
	if len(share) != mlkem.EncapsulationKeySize768+x25519Len {
		return own, nil, fatal(AlertIllegalParameter, "key share of %d bytes", len(share))
	}
	encapsulation, err := mlkem.NewEncapsulationKey768(share[:mlkem.EncapsulationKeySize768])
	if err != nil {
		return own, nil, fatal(AlertIllegalParameter, "key share: %w", err)
	}
	secret, ciphertext := encapsulation.Encapsulate()
	public, classic, err := answer(GroupX25519, rand, share[mlkem.EncapsulationKeySize768:])
	if err != nil {
		return own, nil, err
	}
	return keyShare{g, append(ciphertext, public...)}, append(secret, classic...), nil
}

// answer does what answerShare does, for plain Diffie-Hellman groups.
func answer(g Group, rand io.Reader, share []byte) (public, secret []byte, err error) {
	key, err := newKey(g, rand)
	if err != nil {
		return nil, nil, err
	}
	if secret, err = agree(key, share); err != nil {
		return nil, nil, err
	}
	return key.PublicKey().Bytes(), secret, nil
}
