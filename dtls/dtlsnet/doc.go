// Package dtlsnet runs DTLS over a net.PacketConn, for programs that need
// DTLS and not WebRTC: [Dial] and [Listen] make connections that are
// net.Conns, on which each Write is a datagram and each Read gives one.
//
// It is the edge around [purertc/dtls]: sockets, the clock, locks and
// goroutines are here, the protocol is there.
package dtlsnet
