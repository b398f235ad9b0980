// Package dtlsnet runs DTLS over a net.PacketConn, for programs that need DTLS and not
// WebRTC. [Dial] and [Listen] make connections that implement net.Conn: each Write sends
// one datagram, and each Read returns one. Empty datagrams are not delivered.
//
// Package [purertc/dtls] has the protocol. This package adds the sockets, the clock, locks
// and goroutines.
//
// A [Listener] keeps no state for clients that have not shown that they receive what is
// sent to their address.
//
// If [dtls.Config.ConnectionIDs] is set (RFC 9146, RFC 9147 §9), a Listener recognizes a
// client whose address changes, for instance because a NAT has dropped its mapping. The
// function has to return another ID for each connection, all of the same length. A
// connection of DTLS 1.3 migrates to the new address after the client has shown that it
// receives there. DTLS 1.2 cannot validate the path. It migrates at once, but the new
// address gets at most three times the bytes that came from it. All other bytes are sent
// to the old address, and are lost if the client has really moved.
package dtlsnet
