package dtls

// minSizeLimit is the least that record_size_limit may say (RFC 8449 §4).
const minSizeLimit = 64

// chooseSizeLimit is a server's answer to a client's record_size_limit: each
// end names what it wants to get. A client may name more than there is; a
// later version could have it.
func (c *Conn) chooseSizeLimit(client uint16) (own uint16, err error) {
	if client < minSizeLimit {
		return 0, fatal(AlertIllegalParameter, "client limits records to %d bytes", client)
	}
	c.sizeLimit = client
	c.ownLimit = min(c.ownSizeLimit(), c.maxSizeLimit())
	return c.ownLimit, nil
}

// acceptSizeLimit is for a client what chooseSizeLimit is for a server, which
// must not name more than there is.
func (c *Conn) acceptSizeLimit(server uint16) error {
	if server < minSizeLimit || server > c.maxSizeLimit() {
		return fatal(AlertIllegalParameter, "server limits records to %d bytes", server)
	}
	c.sizeLimit = server
	return nil
}

// ownSizeLimit is what the far end is asked for.
func (c *Conn) ownSizeLimit() uint16 {
	if c.ownLimit == 0 {
		return maxPlaintext + 1
	}
	return c.ownLimit
}

// maxSizeLimit is the most that an end of the version at hand may ask for: in
// DTLS 1.3 the content type counts.
func (c *Conn) maxSizeLimit() uint16 {
	if c.version == VersionDTLS13 {
		return maxPlaintext + 1
	}
	return maxPlaintext
}

// tooLong tells whether a record under keys, with length bytes after its
// header, is longer than what was agreed on. Padding and content type count.
func (c *Conn) tooLong(r *readEpoch, length int) bool {
	return r.kind != noAEAD && c.sizeLimit != 0 && length-r.explicit()-aeadTagLen > int(c.ownSizeLimit())
}

// maxPayload is how long the payload of a record may be, if the far end wants
// none longer than limit; 0 for any. Records without keys are not limited.
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

// MaxPayload is the most application data that one record may have: 2^14
// bytes, or what the far end's record_size_limit says (RFC 8449).
func (c *Conn) MaxPayload() int { return c.current.maxPayload(c.sizeLimit) }

// PeerRecordSizeLimit is the longest record, in bytes of plaintext, that the
// far end has said to accept (RFC 8449 §4); 0: it has said nothing. A server
// says so only to a client with a RecordSizeLimit of its own.
func (c *Conn) PeerRecordSizeLimit() int { return int(c.sizeLimit) }
