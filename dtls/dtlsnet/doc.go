// Package dtlsnet runs DTLS over a net.PacketConn, for programs that need
// DTLS and not WebRTC: [Dial] and [Listen] make connections that are
// net.Conns, on which each Write is a datagram and each Read gives one, but for
// empty ones, which do not arrive.
//
// It is the edge around [purertc/dtls]: sockets, the clock, locks and
// goroutines are here, the protocol is there.
//
// Where the Config has connection IDs (RFC 9146, RFC 9147 §9), a Listener knows
// its clients by them, whatever address they come from, such as that of a NAT
// that forgot them: ConnectionIDs has to give each connection another ID, all
// of one length. Answers follow a client of DTLS 1.3 to its new address when it
// has shown that it receives what is sent there. DTLS 1.2 has no means to ask:
// there they follow at once, but the new address gets no more than three times
// what comes from it, and the one before gets the rest, which is lost where the
// client has truly moved.
package dtlsnet
