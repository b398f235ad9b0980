package dtls

import "slices"

// A ConnectionState is what the two ends have agreed on in a handshake.
type ConnectionState struct {
	Version          Version
	CipherSuite      CipherSuite
	Group            Group
	SRTPProfile      uint16   // 0: none was negotiated
	PeerCertificates [][]byte // in DER form; the first is the certificate of the peer itself; they must not be changed; see Config.DiscardCertificates
	ALPN             string   // the negotiated protocol; empty: none
	ServerName       string   // in a server: the server_name that the client sent

	// The peer's records contain ConnectionID, and the local ones contain
	// PeerConnectionID; nil: none was negotiated.
	ConnectionID, PeerConnectionID []byte

	HelloRetryRequest bool // the server asked for a second ClientHello, with another group or a cookie (DTLS 1.3)
	Resumed           bool // the handshake resumed the session of an earlier connection
}

// An agreement is what the two ends have agreed on so far. A client sets ConnectionID
// when it offers the connection ID.
type agreement struct {
	ConnectionState
	sizeLimit  uint16     // the peer's record_size_limit; 0: the peer sent none
	ownLimit   uint16     // the local record_size_limit; 0: none was sent
	secrets    *secrets12 // the secrets of DTLS 1.2
	exporter   []byte     // the exporter secret of DTLS 1.3
	resumption []byte     // in a client that wants sessions: the secret from which their secrets are derived (DTLS 1.3)
}

// acceptCID handles the connection ID in the server's hello, which answers the
// client's. If the server sent none, no connection IDs are used.
func (a *agreement) acceptCID(e *helloExtensions) {
	if a.PeerConnectionID = slices.Clone(e.connectionID); a.PeerConnectionID == nil {
		a.ConnectionID = nil
	}
}

// chooseCID returns the server's answer to the connection ID in a ClientHello; nil: no
// connection IDs are used.
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

// chooseSizeLimit handles a client's record_size_limit and returns the server's. Each
// end announces what it accepts. A client may announce more than the negotiated
// version allows, since another version could allow it.
func (a *agreement) chooseSizeLimit(client uint16) (own uint16, err error) {
	if client < minSizeLimit {
		return 0, fatal(AlertIllegalParameter, "client limits records to %d bytes", client)
	}
	a.sizeLimit = client
	a.ownLimit = min(a.ownSizeLimit(), a.maxSizeLimit())
	return a.ownLimit, nil
}

// acceptSizeLimit handles the record_size_limit with which a server answers. A server
// must not announce more than the negotiated version allows.
func (a *agreement) acceptSizeLimit(server uint16) error {
	if server < minSizeLimit || server > a.maxSizeLimit() {
		return fatal(AlertIllegalParameter, "server limits records to %d bytes", server)
	}
	a.sizeLimit = server
	return nil
}

// ownSizeLimit is the local limit on the size of the peer's records.
func (a *agreement) ownSizeLimit() uint16 {
	if a.ownLimit == 0 {
		return maxPlaintext + 1
	}
	return a.ownLimit
}

// maxSizeLimit is the largest record_size_limit of the negotiated version. In DTLS 1.3
// it includes the content type.
func (a *agreement) maxSizeLimit() uint16 {
	if a.Version == VersionDTLS13 {
		return maxPlaintext + 1
	}
	return maxPlaintext
}

// tooLong reports whether a record of epoch r is longer than the local
// record_size_limit. length is the number of bytes after the record's header. The
// limit includes padding and the content type.
func (a *agreement) tooLong(r *readEpoch, length int) bool {
	return r.kind != noAEAD && a.sizeLimit != 0 && length-r.explicitNonceLen()-aeadTagLen > int(a.ownSizeLimit())
}
