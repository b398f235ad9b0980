package rtcpeer

import (
	"time"

	"purertc/dtls"
	"purertc/dtls/dtlsnet"
)

// A handshakeState says how far the DTLS handshake is. handshakeWaits to
// handshakeYielded occur only after glare, where both ends may take themselves for the
// client: the local end is the client by the descriptions, but a remote ClientHello
// makes it the server.
type handshakeState uint8

const (
	handshakeNone      handshakeState = iota // not begun: datagrams are kept for it
	handshakeWaits                           // a client waits for the remote's ClientHello, until core.beginAt
	handshakeContested                       // that client has begun; a ClientHello still makes it the server
	handshakeYielded                         // a ClientHello came: the transport makes a server
	handshakeBegun
)

// begun reports whether datagrams go to the DTLS connection.
func (s handshakeState) begun() bool { return s == handshakeContested || s == handshakeBegun }

// yields reports whether a remote ClientHello makes the client the server.
func (s handshakeState) yields() bool { return s == handshakeWaits || s == handshakeContested }

// glareDelay is how long a client waits in handshakeWaits after ICE has selected its
// first pair. A browser's ClientHello comes within a round trip then, and a ClientHello
// of the local end would be fatal to the browser.
const glareDelay = time.Second

// yieldRole makes the local end the DTLS server instead of the client. After glare a
// browser is always the client: it answers the local offer as active, and its answer
// comes too late to be applied.
func (t *transport) yieldRole(now time.Time) {
	t.core.dtls.Close(now)
	t.core.handshake = handshakeNone
	if err := t.makeDTLS(now, t.neg.remote(), false); err != nil {
		t.core.end(err)
	}
}

// startDTLS makes the first DTLS connection.
func (t *transport) startDTLS(now time.Time, local, remote *description) error {
	client := isClient(local, remote)
	if client && local.typ != "offer" && t.neg.glare != noGlare {
		t.core.handshake = handshakeWaits
	}
	return t.makeDTLS(now, remote, client)
}

// makeDTLS makes a DTLS connection for a remote description, and begins its handshake
// unless that waits.
func (t *transport) makeDTLS(now time.Time, remote *description, client bool) error {
	cert, err := t.certificate()
	if err != nil {
		return err
	}
	minVersion, err := dtlsVersion(t.cfg.MinDTLS)
	if err != nil {
		return err
	}
	maxVersion, err := dtlsVersion(t.cfg.MaxDTLS)
	if err != nil {
		return err
	}
	var fingerprints []dtls.Fingerprint
	if t.cfg.VerifyRemote == nil && !t.cfg.incoming.unknown() {
		for _, f := range remote.data().Fingerprints {
			fingerprints = append(fingerprints, dtls.Fingerprint{Hash: f.Hash, Value: f.Value})
		}
	}
	// RFC 8844 §4.3. The local description has a tls-id if the remote one has it. A
	// remote without one, such as a browser, does not know the extension.
	localID, remoteID := "", remote.data().TLSID
	if remoteID != "" {
		localID = t.neg.tlsID
	}
	t.neg.client, t.neg.roleKnown = client, true
	err = t.core.makeDTLS(dtls.Config{
		Client: t.neg.client, Certificate: cert, Fingerprints: fingerprints,
		MinVersion: minVersion, MaxVersion: maxVersion,
		// There is no media, but pion and others fail a handshake without use_srtp
		// (RFC 5764 §4.1.1).
		SRTPProfiles:      []uint16{srtpAES128GCM, srtpAES128CM},
		ExternalSessionID: localID, PeerExternalSessionID: remoteID,
		// The remote then says which records it reads; see core.discover.
		RecordSizeLimit:     maxRecord,
		VerifyPeer:          t.verifyPeer(),
		DiscardCertificates: !t.cfg.KeepRemoteCertificate,
		Rand:                t.random, KeyLogWriter: dtlsnet.SharedKeyLog(t.cfg.KeyLogWriter),
	})
	if err == nil && t.core.handshake != handshakeWaits {
		if t.queue.direct.Load() {
			t.core.beginDTLS(now)
		} else {
			t.post(func(in *input) { in.start = true })
		}
	}
	return err
}

// verifyPeer returns the function that judges the remote's certificate; nil: the
// fingerprints do.
func (t *transport) verifyPeer() func(chain [][]byte) error {
	verify := t.cfg.VerifyRemote
	switch {
	case t.cfg.incoming.unknown():
		return func(chain [][]byte) error {
			if verify != nil {
				if err := verify(chain[0]); err != nil {
					return err
				}
			}
			return t.learnCertificate(chain[0])
		}
	case verify != nil:
		return func(chain [][]byte) error { return verify(chain[0]) }
	}
	return nil
}

// SRTP protection profiles (RFC 7714 §14.2, RFC 5764 §4.1.2).
const (
	srtpAES128CM  = 0x0001
	srtpAES128GCM = 0x0007
)

// maxRecord is the longest record of DTLS 1.3, with its content type.
const maxRecord = 1<<14 + 1
