package dtls

import "fmt"

// A Version is a protocol version as it stands on the wire. DTLS counts
// downwards, so a newer version is a smaller number; compare with newer.
type Version uint16

// The versions this package knows.
const (
	VersionDTLS10 Version = 0xfeff // RFC 4347; never negotiated, seen in record headers
	VersionDTLS12 Version = 0xfefd // RFC 6347
	VersionDTLS13 Version = 0xfefc // RFC 9147
)

// newer tells whether v is a later version than w.
func (v Version) newer(w Version) bool { return v < w }

// String gives "1.2", "1.3" or, for what is not DTLS, the number.
func (v Version) String() string {
	switch v {
	case VersionDTLS10:
		return "1.0"
	case VersionDTLS12:
		return "1.2"
	case VersionDTLS13:
		return "1.3"
	}
	return fmt.Sprintf("0x%04x", uint16(v))
}

// A CipherSuite is a value of the IANA "TLS Cipher Suites" registry.
type CipherSuite uint16

// The suites this package implements. All use an AEAD and, in DTLS 1.2,
// ephemeral elliptic-curve keys.
const (
	TLS_AES_128_GCM_SHA256       CipherSuite = 0x1301 // RFC 8446 §B.4
	TLS_AES_256_GCM_SHA384       CipherSuite = 0x1302
	TLS_CHACHA20_POLY1305_SHA256 CipherSuite = 0x1303

	TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256       CipherSuite = 0xc02b // RFC 5289
	TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384       CipherSuite = 0xc02c
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256         CipherSuite = 0xc02f
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384         CipherSuite = 0xc030
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256   CipherSuite = 0xcca8 // RFC 7905
	TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 CipherSuite = 0xcca9
)

// scsvRenegotiation is the signalling value that may stand for an empty
// renegotiation_info extension (RFC 5746 §3.3).
const scsvRenegotiation CipherSuite = 0x00ff

// String gives the name of the registry.
func (s CipherSuite) String() string {
	switch s {
	case TLS_AES_128_GCM_SHA256:
		return "TLS_AES_128_GCM_SHA256"
	case TLS_AES_256_GCM_SHA384:
		return "TLS_AES_256_GCM_SHA384"
	case TLS_CHACHA20_POLY1305_SHA256:
		return "TLS_CHACHA20_POLY1305_SHA256"
	case TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:
		return "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
	case TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:
		return "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
	case TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:
		return "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"
	case TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:
		return "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"
	case TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:
		return "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"
	case TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256:
		return "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"
	}
	return fmt.Sprintf("0x%04x", uint16(s))
}

// A Group is a value of the IANA "TLS Supported Groups" registry.
type Group uint16

// The groups this package implements.
const (
	GroupP256           Group = 23     // RFC 8422 §5.1.1
	GroupP384           Group = 24     // RFC 8422 §5.1.1
	GroupX25519         Group = 29     // RFC 8422 §5.1.1
	GroupX25519MLKEM768 Group = 0x11ec // draft-ietf-tls-ecdhe-mlkem; DTLS 1.3 only
)

// String gives the name of the registry.
func (g Group) String() string {
	switch g {
	case GroupP256:
		return "secp256r1"
	case GroupP384:
		return "secp384r1"
	case GroupX25519:
		return "x25519"
	case GroupX25519MLKEM768:
		return "X25519MLKEM768"
	}
	return fmt.Sprintf("0x%04x", uint16(g))
}

// A SignatureScheme is a value of the IANA "TLS SignatureScheme" registry.
type SignatureScheme uint16

// The schemes this package implements (RFC 8446 §4.2.3). The PKCS #1 ones
// are used in DTLS 1.2 only.
const (
	RSAPKCS1SHA256  SignatureScheme = 0x0401
	RSAPKCS1SHA384  SignatureScheme = 0x0501
	RSAPKCS1SHA512  SignatureScheme = 0x0601
	ECDSAP256SHA256 SignatureScheme = 0x0403
	ECDSAP384SHA384 SignatureScheme = 0x0503
	RSAPSSSHA256    SignatureScheme = 0x0804
	RSAPSSSHA384    SignatureScheme = 0x0805
	RSAPSSSHA512    SignatureScheme = 0x0806
	Ed25519         SignatureScheme = 0x0807
)

// String gives the name of the registry.
func (s SignatureScheme) String() string {
	switch s {
	case RSAPKCS1SHA256:
		return "rsa_pkcs1_sha256"
	case RSAPKCS1SHA384:
		return "rsa_pkcs1_sha384"
	case RSAPKCS1SHA512:
		return "rsa_pkcs1_sha512"
	case ECDSAP256SHA256:
		return "ecdsa_secp256r1_sha256"
	case ECDSAP384SHA384:
		return "ecdsa_secp384r1_sha384"
	case RSAPSSSHA256:
		return "rsa_pss_rsae_sha256"
	case RSAPSSSHA384:
		return "rsa_pss_rsae_sha384"
	case RSAPSSSHA512:
		return "rsa_pss_rsae_sha512"
	case Ed25519:
		return "ed25519"
	}
	return fmt.Sprintf("0x%04x", uint16(s))
}
