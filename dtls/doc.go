// Package dtls implements Datagram TLS 1.3 (RFC 9147) and 1.2 (RFC 6347), client and
// server, as a pure state machine: it has no sockets, goroutines, locks or clock. Package
// dtlsnet runs it over a net.PacketConn.
//
// # Use
//
// [NewConn] makes a [Conn] from a [Config], and Start begins the handshake. From then on
// the program
//
//   - gives each record of each received datagram to HandleRecord, which returns
//     application data,
//   - sends the datagrams that AppendDatagram appends, until there are no more,
//   - calls Advance at the time that NextTimeout returns,
//   - takes the events of NextEvent, such as [EventEstablished].
//
// All of these can produce output for the others, and may be called in any order. Once
// the connection is established, BeginRecord and FinishRecord make a record of application
// data in the program's own buffer, without copying or allocating.
//
// The peer is authenticated by the fingerprints of its certificate (RFC 8122), by a
// callback, or by both. NewConn fails without. The check is done before any data is sent
// or returned.
//
// Three features are optional and off by default, since WebRTC does not need them:
//
//   - Config.Tickets and Config.TicketKeys resume the sessions of earlier connections;
//   - Config.ConnectionIDs lets records find their connection if the peer's address
//     changes;
//   - [AddressValidator] answers clients without state until they have shown, with a
//     cookie, that they receive what is sent to their address.
//
// # Structure
//
// A Conn routes records and messages between its parts. A part owns its state, and
// returns what has to happen; it does not know the Conn. From the wire up:
//
//	record.go, record13.go      the headers of records
//	protection.go, replay.go    an epoch: its keys, the record numbers received in it
//	recordlayer.go, …13.go      recordLayer: all epochs; seals and opens records
//	reassembly.go               reassembler: fragments become messages
//	flight.go, sender.go        sender: local flights, their retransmission and timer
//	ack.go                      ackQueue: what is acknowledged, and when (DTLS 1.3)
//	alert.go                    outAlert: the last alert
//	rekey.go                    rekeying: KeyUpdate and NewConnectionId (DTLS 1.3)
//	agreement.go                agreement: what the handshake has agreed on
//	handshake.go                handshake: takes messages, returns outcomes
//	client.go, server.go        its roles until the version is known
//	client12.go … server13.go   its roles after that, with the messages in order
//	conn.go, receive.go         Conn: what is sent, what is received
//	timer.go, state.go          Conn: what is due, what it reports
//	plaintext.go                which errors an attacker can have caused
//
// hello.go and messages*.go have the encoding of handshake messages, keys12.go and
// keys13.go the key schedules, group.go the key exchanges. session.go, resume12.go and
// resume13.go are about tickets, cid.go about connection IDs, cookie.go about address
// validation.
package dtls
