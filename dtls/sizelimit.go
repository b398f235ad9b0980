package dtls

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

// maxPayload returns the maximum length of the payload of a record, if the peer limits
// records to limit bytes; 0: it does not. Records in plaintext are not limited.
func (k *aeadKey) maxPayload(limit uint16) int {
	n := maxPlaintext
	if k.kind != noAEAD && limit != 0 {
		n = min(int(limit), maxPlaintext+1)
		if k.unified {
			n-- // RFC 8449 §4: the content type counts
		}
	}
	if !k.unified && len(k.cid) > 0 {
		// RFC 9146 §5: 2^14 bytes with the content type.
		n = min(n, maxPlaintext) - 1
	}
	return min(n, maxPlaintext)
}
