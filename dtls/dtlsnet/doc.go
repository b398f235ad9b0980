// Package dtlsnet runs DTLS over a net.PacketConn, for programs that need DTLS but not
// WebRTC. [Dial] and [Listen] create connections that implement net.Conn. Each Write
// sends one datagram, and each Read returns one. Empty datagrams are not delivered.
//
// Package [purertc/dtls] implements the protocol. This package adds the sockets, the
// clock, locks and goroutines.
//
// A [Listener] keeps no state for a client until the client has shown that it receives
// the datagrams that are sent to its address.
//
// If [dtls.Config.ConnectionIDs] is set (RFC 9146, RFC 9147 §9), a Listener
// recognizes a client whose address changes, for instance because a NAT has dropped
// its mapping. The function ConnectionIDs has to return a different ID for each
// connection, and all IDs must have the same length. A connection of DTLS 1.3 migrates
// to the new address after the client has shown that it receives there. DTLS 1.2
// cannot validate the path. Its connections migrate immediately, but at most three
// times as many bytes are sent to the new address as came from it. All other bytes are
// sent to the old address. They are lost if the client has really moved.
package dtlsnet
