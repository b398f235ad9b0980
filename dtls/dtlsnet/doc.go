// Package dtlsnet runs DTLS over a net.PacketConn, for programs that need
// DTLS and not WebRTC: [Dial] and [Listen] make connections that are
// net.Conns, on which each Write is a datagram and each Read gives one.
//
// It is the edge around [purertc/dtls]: sockets, the clock, locks and
// goroutines are here, the protocol is there.
//
// Where the Config has connection IDs (RFC 9146, RFC 9147 §9), a Listener knows
// its clients by them, whatever address they come from, such as that of a NAT
// that forgot them: ConnectionIDs has to give each connection another ID, all
// of one length. Answers follow a client of DTLS 1.3 to its new address when it
// has shown that it receives what is sent there. Those to one of DTLS 1.2 stay
// with the address it had at first, as that version has no means to ask.
package dtlsnet
