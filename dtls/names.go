package dtls

import "fmt"

// A Version is a protocol version in the encoding of DTLS: a newer version has a
// smaller number.
type Version uint16

// The versions that this package knows.
const (
	VersionDTLS10 Version = 0xfeff // RFC 4347; appears only in record headers and is never negotiated
	VersionDTLS12 Version = 0xfefd // RFC 6347
	VersionDTLS13 Version = 0xfefc // RFC 9147
)

// newer reports whether v is a newer version than w.
func (v Version) newer(w Version) bool { return v < w }

// String returns "1.0", "1.2", "1.3" or, for an unknown version, the number in
// hexadecimal.
func (v Version) String() string {
	return nameOf(map[Version]string{VersionDTLS10: "1.0", VersionDTLS12: "1.2", VersionDTLS13: "1.3"}, v, "0x%04x")
}

// nameOf returns the name of v or, if names does not contain v, its number in the
// given format.
func nameOf[T ~uint8 | ~uint16](names map[T]string, v T, format string) string {
	if name, ok := names[v]; ok {
		return name
	}
	return fmt.Sprintf(format, uint16(v))
}

// A CipherSuite is a value of the IANA "TLS Cipher Suites" registry.
type CipherSuite uint16

// The cipher suites that this package implements. All of them use an AEAD. Those of
// DTLS 1.2 use ephemeral elliptic-curve keys.
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

// scsvRenegotiation is a value in the list of suites. A client can send it in place of
// an empty renegotiation_info extension (RFC 5746 §3.3).
const scsvRenegotiation CipherSuite = 0x00ff

// String returns the suite's name in the registry or, if this package does not know
// the name, the number.
func (s CipherSuite) String() string { return nameOf(suiteNames, s, "0x%04x") }

var suiteNames = map[CipherSuite]string{
	TLS_AES_128_GCM_SHA256:                        "TLS_AES_128_GCM_SHA256",
	TLS_AES_256_GCM_SHA384:                        "TLS_AES_256_GCM_SHA384",
	TLS_CHACHA20_POLY1305_SHA256:                  "TLS_CHACHA20_POLY1305_SHA256",
	TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256:       "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
	TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384:       "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256:         "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384:         "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256:   "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
	TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
}

// A Group is a value of the IANA "TLS Supported Groups" registry.
type Group uint16

// The groups that this package implements.
const (
	GroupP256           Group = 23     // RFC 8422 §5.1.1
	GroupP384           Group = 24     // RFC 8422 §5.1.1
	GroupX25519         Group = 29     // RFC 8422 §5.1.1
	GroupX25519MLKEM768 Group = 0x11ec // draft-ietf-tls-ecdhe-mlkem; DTLS 1.3 only
)

// String returns the group's name in the registry or, if this package does not know
// the name, the number.
func (g Group) String() string { return nameOf(groupNames, g, "0x%04x") }

var groupNames = map[Group]string{
	GroupP256:           "secp256r1",
	GroupP384:           "secp384r1",
	GroupX25519:         "x25519",
	GroupX25519MLKEM768: "X25519MLKEM768",
}

// A SignatureScheme is a value of the IANA "TLS SignatureScheme" registry.
type SignatureScheme uint16

// The schemes that this package implements (RFC 8446 §4.2.3). The PKCS #1 schemes are
// for DTLS 1.2 only.
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

// String returns the scheme's name in the registry or, if this package does not know
// the name, the number.
func (s SignatureScheme) String() string { return nameOf(schemeNames, s, "0x%04x") }

var schemeNames = map[SignatureScheme]string{
	RSAPKCS1SHA256:  "rsa_pkcs1_sha256",
	RSAPKCS1SHA384:  "rsa_pkcs1_sha384",
	RSAPKCS1SHA512:  "rsa_pkcs1_sha512",
	ECDSAP256SHA256: "ecdsa_secp256r1_sha256",
	ECDSAP384SHA384: "ecdsa_secp384r1_sha384",
	RSAPSSSHA256:    "rsa_pss_rsae_sha256",
	RSAPSSSHA384:    "rsa_pss_rsae_sha384",
	RSAPSSSHA512:    "rsa_pss_rsae_sha512",
	Ed25519:         "ed25519",
}
