package dtls

import "slices"

// A ConnectionState is what a handshake has agreed on.
type ConnectionState struct {
	Version          Version
	CipherSuite      CipherSuite
	Group            Group
	SRTPProfile      uint16   // 0: none
	PeerCertificates [][]byte // DER, the peer's own first; must not be changed; see Config.DiscardCertificates
	ALPN             string   // protocol; empty: none
	ServerName       string   // the client's server_name, in a server

	// ConnectionID is in the peer's records, PeerConnectionID in the local ones; nil:
	// none was negotiated.
	ConnectionID, PeerConnectionID []byte

	HelloRetryRequest bool // the server asked for a second ClientHello, for another group or a cookie (DTLS 1.3)
	Resumed           bool // the session of an earlier connection was resumed
}

// An agreement is what a handshake has agreed on so far. ConnectionID is set as soon as
// it is offered.
type agreement struct {
	ConnectionState
	sizeLimit  uint16     // the peer's record_size_limit; 0: it has sent none
	ownLimit   uint16     // the local record_size_limit; 0: none was sent
	secrets    *secrets12 // of DTLS 1.2
	exporter   []byte     // exporter secret (DTLS 1.3)
	resumption []byte     // secret of a client's sessions, if it wants any (DTLS 1.3)
}

// acceptCID takes a server's answer to the client's connection ID.
func (a *agreement) acceptCID(e *helloExtensions) {
	if a.PeerConnectionID = slices.Clone(e.connectionID); a.PeerConnectionID == nil {
		a.ConnectionID = nil
	}
}

// chooseCID answers a client's connection ID; nil: no connection IDs are used.
func (a *agreement) chooseCID(client []byte) []byte {
	if client == nil || a.ConnectionID == nil {
		a.ConnectionID = nil
		return nil
	}
	a.PeerConnectionID = slices.Clone(client)
	return a.ConnectionID
}

// minSizeLimit is the lowest value of record_size_limit (RFC 8449 §4).
const minSizeLimit = 64

// chooseSizeLimit answers a client's record_size_limit: each end says what it accepts. A
// client may say more than the version allows, since a later version could allow it.
func (a *agreement) chooseSizeLimit(client uint16) (own uint16, err error) {
	if client < minSizeLimit {
		return 0, fatal(AlertIllegalParameter, "client limits records to %d bytes", client)
	}
	a.sizeLimit = client
	a.ownLimit = min(a.ownSizeLimit(), a.maxSizeLimit())
	return a.ownLimit, nil
}

// acceptSizeLimit takes a server's answer. A server must not say more than the version
// allows.
func (a *agreement) acceptSizeLimit(server uint16) error {
	if server < minSizeLimit || server > a.maxSizeLimit() {
		return fatal(AlertIllegalParameter, "server limits records to %d bytes", server)
	}
	a.sizeLimit = server
	return nil
}

// ownSizeLimit is the limit on the peer's records.
func (a *agreement) ownSizeLimit() uint16 {
	if a.ownLimit == 0 {
		return maxPlaintext + 1
	}
	return a.ownLimit
}

// maxSizeLimit is the largest limit of the negotiated version. In DTLS 1.3 the content
// type counts.
func (a *agreement) maxSizeLimit() uint16 {
	if a.Version == VersionDTLS13 {
		return maxPlaintext + 1
	}
	return maxPlaintext
}

// tooLong reports whether a record of r with length bytes after its header is longer
// than negotiated. Padding and content type count.
func (a *agreement) tooLong(r *readEpoch, length int) bool {
	return r.kind != noAEAD && a.sizeLimit != 0 && length-r.explicitNonceLen()-aeadTagLen > int(a.ownSizeLimit())
}
