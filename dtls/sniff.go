package dtls

// IsClientHello reports whether a datagram begins with a fragment of a ClientHello in
// plaintext. A client that receives such a datagram may have a peer that is a client,
// too. The datagram is not authenticated: an attacker can send one.
func IsClientHello(datagram []byte) bool {
	var h recordHeader
	if !h.parse(datagram, 0) || h.unified || h.typ != typeHandshake || h.epoch != 0 || h.length < fragmentHeaderLen {
		return false
	}
	return handshakeType(datagram[h.size]) == typeClientHello
}
