package rtcpeer

import (
	"time"

	"purertc/dtls"
	"purertc/dtls/dtlsnet"
)

// A handshakeState says how far the DTLS handshake has come. The states from
// handshakeWaits to handshakeYielded occur only after glare. Then both ends may take
// themselves for the client: by the descriptions the local end is the client, but a
// remote ClientHello makes the local end the server.
type handshakeState uint8

const (
	handshakeNone      handshakeState = iota // the handshake has not begun; received datagrams are kept for it
	handshakeWaits                           // a client waits for the remote's ClientHello, until core.beginAt
	handshakeContested                       // the client has begun its handshake; a remote ClientHello still makes the local end the server
	handshakeYielded                         // a remote ClientHello has arrived: the local end becomes the server
	handshakeBegun
)

// begun reports whether datagrams go to the DTLS connection.
func (s handshakeState) begun() bool { return s == handshakeContested || s == handshakeBegun }

// yields reports whether a remote ClientHello makes the client the server.
func (s handshakeState) yields() bool { return s == handshakeWaits || s == handshakeContested }

// glareDelay is how long a client waits in handshakeWaits after ICE has selected its
// first pair. The ClientHello of a browser arrives within a round trip after that, and
// a ClientHello of the local end would be fatal to the browser.
const glareDelay = time.Second

// yieldRole makes the local end the DTLS server instead of the client. After glare a
// browser is always the client: it answers the local offer with a=setup:active, and
// this answer arrives too late to be applied.
func (t *transport) yieldRole(now time.Time) {
	t.core.dtls.Close(now)
	t.core.handshake = handshakeNone
	if err := t.makeDTLS(now, t.neg.remote(), false); err != nil {
		t.core.end(err)
	}
}

// startDTLS creates the first DTLS connection of the transport.
func (t *transport) startDTLS(now time.Time, local, remote *description) error {
	client := isClient(local, remote)
	if client && local.typ != "offer" && t.neg.glare != noGlare {
		t.core.handshake = handshakeWaits
	}
	return t.makeDTLS(now, remote, client)
}

// makeDTLS creates a DTLS connection for a remote description. It also begins the
// handshake, unless the client has to wait in state handshakeWaits.
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
	// RFC 8844 §4.3: the local description has a tls-id if the remote description has
	// one. A remote without a tls-id, such as a browser, does not know the extension.
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
		// With this extension the remote announces which records it can read; see
		// core.discover.
		RecordSizeLimit:     maxRecord,
		VerifyPeer:          verifyPeer(t),
		DiscardCertificates: !t.cfg.KeepRemoteCertificate,
		Rand:                t.random, KeyLogWriter: t.core.observer.capture.keyLog(dtlsnet.SharedKeyLog(t.cfg.KeyLogWriter)),
		Trace: t.core.observer.events.dtlsHook(),
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

// verifyPeer returns the function that judges the certificate of the remote of t; nil:
// the fingerprints do.
func verifyPeer(t *transport) func(chain [][]byte) error {
	verify, in := t.cfg.VerifyRemote, t.cfg.incoming
	if verify == nil && !in.unknown() {
		return nil
	}
	return func(chain [][]byte) error {
		if verify != nil {
			if err := verify(chain[0]); err != nil {
				return err
			}
		}
		if in.unknown() {
			return in.learn(t, chain[0])
		}
		return nil
	}
}

// SRTP protection profiles (RFC 7714 §14.2, RFC 5764 §4.1.2).
const (
	srtpAES128CM  = 0x0001
	srtpAES128GCM = 0x0007
)

// maxRecord is the length in bytes of the longest record of DTLS 1.3, with its content
// type.
const maxRecord = 1<<14 + 1
