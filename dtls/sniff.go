package dtls

// IsClientHello reports whether a datagram begins with a fragment of a ClientHello in
// plaintext. If a client receives one, its peer may be a client, too. It is not
// authenticated: an attacker can send one.
func IsClientHello(datagram []byte) bool {
	var h recordHeader
	if !h.parse(datagram, 0) || h.unified || h.typ != typeHandshake || h.epoch != 0 || h.length < fragmentHeaderLen {
		return false
	}
	return handshakeType(datagram[h.size]) == typeClientHello
}
