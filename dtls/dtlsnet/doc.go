// Package dtlsnet runs DTLS over a net.PacketConn, for programs that need
// DTLS and not WebRTC: [Dial] and [Listen] make connections that are
// net.Conns, on which each Write is a datagram and each Read gives one.
//
// It is the edge around [purertc/dtls]: sockets, the clock, locks and
// goroutines are here, the protocol is there.
//
// A connection stays with its two addresses. Connection IDs, if the Config has
// them, are in its records for whoever routes these; but a Listener does not
// follow a client that moves. RFC 9146 §6 allows that only to who can tell that
// the client receives what is sent to its new address.
package dtlsnet
