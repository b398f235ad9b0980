package dtls

import (
	"crypto"
	"crypto/aes"
	"crypto/cipher"
	_ "crypto/sha256" // this import and the next one register the hashes that suites use
	_ "crypto/sha512"

	"golang.org/x/crypto/chacha20poly1305"
)

// An authKind is the kind of certificate key that a DTLS 1.2 suite needs.
type authKind uint8

const (
	authAny   authKind = iota // any kind (DTLS 1.3)
	authECDSA                 // ECDSA or Ed25519 (RFC 8422 §5.10)
	authRSA
)

// A suite contains the parameters of a CipherSuite.
type suite struct {
	id       CipherSuite
	version  Version
	auth     authKind
	hash     crypto.Hash
	keyLen   int
	fixedIV  int // number of IV bytes that are derived with the key (DTLS 1.2)
	explicit int // number of nonce bytes that each record carries (DTLS 1.2)
	aead     aeadKind
}

// suites are in order of preference. AES-128-GCM is strong enough, and is the fastest
// on processors with AES instructions. ChaCha20 is the fastest on all others. The
// slice is never changed.
var suites = []suite{
	{TLS_AES_128_GCM_SHA256, VersionDTLS13, authAny, crypto.SHA256, 16, 12, 0, aesGCM},
	{TLS_CHACHA20_POLY1305_SHA256, VersionDTLS13, authAny, crypto.SHA256, 32, 12, 0, chaCha20Poly1305},
	{TLS_AES_256_GCM_SHA384, VersionDTLS13, authAny, crypto.SHA384, 32, 12, 0, aesGCM},

	// RFC 5288 §3: the salt has 4 bytes, and each record carries 8 bytes of the
	// nonce.
	{TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, VersionDTLS12, authECDSA, crypto.SHA256, 16, 4, 8, aesGCM},
	{TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, VersionDTLS12, authRSA, crypto.SHA256, 16, 4, 8, aesGCM},
	// RFC 7905 §2: the nonce is computed from the IV and the record number.
	{TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, VersionDTLS12, authECDSA, crypto.SHA256, 32, 12, 0, chaCha20Poly1305},
	{TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, VersionDTLS12, authRSA, crypto.SHA256, 32, 12, 0, chaCha20Poly1305},
	{TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, VersionDTLS12, authECDSA, crypto.SHA384, 32, 4, 8, aesGCM},
	{TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, VersionDTLS12, authRSA, crypto.SHA384, 32, 4, 8, aesGCM},
}

// suiteByID returns the suite with the given id.
func suiteByID(id CipherSuite) (suite, bool) {
	for _, s := range suites {
		if s.id == id {
			return s, true
		}
	}
	return suite{}, false
}

// An aeadKind is the algorithm that encrypts and authenticates records.
type aeadKind uint8

const (
	noAEAD aeadKind = iota // plaintext
	aesGCM
	chaCha20Poly1305
)

func (k aeadKind) newAEAD(key []byte) (cipher.AEAD, error) {
	if k == chaCha20Poly1305 {
		return chacha20poly1305.New(key)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
