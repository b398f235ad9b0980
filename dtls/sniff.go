package dtls

// IsClientHello reports whether a datagram begins with a ClientHello, or a
// fragment of one, in plaintext. A client that receives one has a client as its
// peer. Anybody can have sent it.
func IsClientHello(datagram []byte) bool {
	var h recordHeader
	if !h.parse(datagram, 0) || h.unified || h.typ != typeHandshake || h.epoch != 0 || h.length < fragmentHeaderLen {
		return false
	}
	return handshakeType(datagram[h.size]) == typeClientHello
}
