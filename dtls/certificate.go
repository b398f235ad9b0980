package dtls

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"io"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// certificateLife is the time for which a generated certificate is valid before and
// after it is generated, so that a peer with a wrong clock accepts it.
const certificateLife = 30 * 24 * time.Hour

// GenerateCertificate generates an ECDSA P-256 key and a self-signed certificate for
// this key, which is valid from 30 days before now to 30 days after now. Any number of
// connections can use it. If rand is nil, crypto/rand is used.
func GenerateCertificate(now time.Time, rand io.Reader) (*tls.Certificate, error) {
	// This function does not use x509.CreateCertificate, which also verifies the
	// signature that it has made. The verification takes twice as long as everything
	// here.
	rand = randOrDefault(rand)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	serial := make([]byte, 8)
	if _, err := io.ReadFull(rand, serial); err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	serial[0] = serial[0]&0x7f | 0x40 // RFC 5280 §4.1.2.2: the serial number is positive
	tbs, err := marshalTBS(new(big.Int).SetBytes(serial), spki, now)
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	digest := sha256.Sum256(tbs)
	signature, err := ecdsa.SignASN1(rand, key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		addECDSAWithSHA256(b)
		b.AddASN1BitString(signature)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("dtls: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// marshalTBS returns a TBSCertificate (RFC 5280 §4.1) with the same issuer and
// subject.
func marshalTBS(serial *big.Int, spki []byte, now time.Time) ([]byte, error) {
	name := func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(cbasn1.SET, func(b *cryptobyte.Builder) {
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{2, 5, 4, 3}) // commonName
					b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte("WebRTC")) })
				})
			})
		})
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) }) // v3
		b.AddASN1BigInt(serial)
		addECDSAWithSHA256(b)
		name(b)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, now.Add(-certificateLife).UTC())
			addTime(b, now.Add(certificateLife).UTC())
		})
		name(b)
		b.AddBytes(spki)
	})
	return b.Bytes()
}

// addTime writes one of the two times that limit a certificate's validity. Until 2049
// the year has two digits (RFC 5280 §4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

func addECDSAWithSHA256(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
	})
}

// maxRSABits and maxRSAExponent limit the time that it takes to verify a signature of
// the peer to about 1 ms. Without them it could take 27 ms, with 16,384 bits and the
// largest exponent that crypto/rsa allows. The usual exponent is 65537.
const (
	maxRSABits     = 8192
	maxRSAExponent = 65537
)

// certificateKey returns the public key of a certificate in DER form. It parses only
// the fields up to the key. The fingerprint identifies the whole certificate, so
// errors in the other fields do not matter.
func certificateKey(der []byte) (crypto.PublicKey, error) {
	_, tbs, err := readIssuer(der)
	if err != nil {
		return nil, err
	}
	var spki cryptobyte.String
	//lint:ignore SA4000 each call reads the next element
	if !tbs.SkipASN1(cbasn1.SEQUENCE) || // validity
		!tbs.SkipASN1(cbasn1.SEQUENCE) || // subject
		!tbs.ReadASN1Element(&spki, cbasn1.SEQUENCE) {
		return nil, errCertificate
	}
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil {
		return nil, fatal(AlertBadCertificate, "certificate: %w", err)
	}
	if err := checkKey(key); err != nil {
		return nil, fatal(AlertUnsupportedCertificate, "certificate: %w", err)
	}
	return key, nil
}

var errCertificate = fatal(AlertBadCertificate, "certificate cannot be read")

// certificateIssuer returns the DER name of the issuer of a certificate in DER form.
func certificateIssuer(der []byte) ([]byte, error) {
	issuer, _, err := readIssuer(der)
	return issuer, err
}

// readIssuer parses a certificate up to its issuer (RFC 5280 §4.1). It returns the
// issuer, and the part of the TBSCertificate that follows it.
func readIssuer(der []byte) (issuer, rest cryptobyte.String, err error) {
	outer := cryptobyte.String(der)
	var cert, tbs cryptobyte.String
	if !outer.ReadASN1(&cert, cbasn1.SEQUENCE) || !outer.Empty() || !cert.ReadASN1(&tbs, cbasn1.SEQUENCE) ||
		!tbs.SkipOptionalASN1(cbasn1.Tag(0).ContextSpecific().Constructed()) ||
		!tbs.SkipASN1(cbasn1.INTEGER) || // serialNumber
		!tbs.SkipASN1(cbasn1.SEQUENCE) || // signature
		!tbs.ReadASN1Element(&issuer, cbasn1.SEQUENCE) {
		return nil, nil, errCertificate
	}
	return issuer, tbs, nil
}

// checkKey returns an error if this package cannot verify signatures of the key, or
// cannot do it in a short time.
func checkKey(key crypto.PublicKey) error {
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() || k.Curve == elliptic.P384() {
			return nil
		}
		return fmt.Errorf("ECDSA key with curve %s, which is not supported", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return nil
	case *rsa.PublicKey:
		if n := k.N.BitLen(); n > maxRSABits {
			return fmt.Errorf("RSA key of %d bits, more than %d", n, maxRSABits)
		}
		if k.E > maxRSAExponent {
			return fmt.Errorf("RSA key with exponent %d, more than %d", k.E, maxRSAExponent)
		}
		return nil
	}
	return fmt.Errorf("key of type %T, which is not supported", key)
}

// keyAuth returns the kind of DTLS 1.2 cipher suites that a key can be used with.
func keyAuth(key crypto.PublicKey) authKind {
	if _, ok := key.(*rsa.PublicKey); ok {
		return authRSA
	}
	return authECDSA
}
