package turn

import (
	"bytes"
	"slices"

	"purertc/stun"
)

// auth is the state of the long-term credential mechanism (RFC 8489 §9.2).
type auth struct {
	realm, nonce []byte
	algorithms   []byte // PASSWORD-ALGORITHMS as received; nil: the server sent none
	algorithm    stun.PasswordAlgorithm
	userhash     []byte // sent in place of the username if the server offers anonymity
	key          *stun.Integrity
}

// Realms and nonces are less than 763 bytes (RFC 8489 §14.9, §14.10).
const maxText = 763

// moved reports whether a challenge has another realm than the credentials that were
// sent, or no credentials were sent.
func (a *auth) moved(m stun.Message) bool {
	realm, _ := m.Get(stun.AttrRealm)
	return a.key == nil || !bytes.Equal(realm, a.realm)
}

// challenge takes over the realm, nonce and algorithms of a 401 or 438 response.
func (a *auth) challenge(m stun.Message, username, password string) error {
	nonce, ok := m.Get(stun.AttrNonce)
	if !ok || len(nonce) > maxText {
		return ErrAnswer
	}
	realm, ok := m.Get(stun.AttrRealm)
	if !ok && a.key != nil {
		realm, ok = a.realm, true // RFC 5389 requires REALM in a 438 response; some servers omit it
	}
	if !ok || len(realm) > maxText {
		return ErrAnswer
	}
	features, _ := stun.NonceFeatures(nonce)
	list, listed := m.Get(stun.AttrPasswordAlgorithms)
	algorithm := stun.PasswordMD5
	switch {
	case features&stun.FeaturePasswordAlgorithms != 0 && !listed:
		return ErrBidDown // RFC 8489 §9.2.5: an attacker has removed the list
	case !listed:
		list = nil
	default:
		if algorithm = stun.BestPasswordAlgorithm(list); algorithm == 0 {
			return ErrBidDown
		}
	}
	if a.key == nil || !bytes.Equal(realm, a.realm) || algorithm != a.algorithm {
		a.key = stun.NewIntegrity(algorithm.Key(username, string(realm), password))
	}
	a.userhash = nil
	if features&stun.FeatureUsernameAnonymity != 0 {
		a.userhash = stun.Userhash(username, string(realm))
	}
	a.realm, a.nonce = slices.Clone(realm), slices.Clone(nonce)
	a.algorithms, a.algorithm = slices.Clone(list), algorithm
	return nil
}

// sign adds the credentials, if the server requires credentials. It reports whether it
// added them.
func (a *auth) sign(w *stun.Builder, username string) bool {
	if a.key == nil {
		return false
	}
	if a.userhash != nil {
		w.Bytes(stun.AttrUserhash, a.userhash)
	} else {
		w.String(stun.AttrUsername, username)
	}
	w.Bytes(stun.AttrRealm, a.realm)
	w.Bytes(stun.AttrNonce, a.nonce)
	if a.algorithms == nil {
		w.Integrity(a.key)
		return true
	}
	w.Bytes(stun.AttrPasswordAlgorithms, a.algorithms)
	w.PasswordAlgorithm(a.algorithm)
	w.IntegritySHA256(a.key) // RFC 8489 §9.2.5: the message has no MESSAGE-INTEGRITY then
	return true
}

// verify reports whether a response is authentic.
func (a *auth) verify(m stun.Message) bool {
	if a.key == nil {
		return false
	}
	if a.algorithms != nil {
		return a.key.VerifySHA256(m)
	}
	return a.key.Verify(m)
}
