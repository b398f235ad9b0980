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
// Each of these calls can produce output that another one returns, and they may be made in
// any order. Once
// the connection is established, BeginRecord and FinishRecord make a record of application
// data in the program's own buffer, without copying or allocating.
//
// The peer is authenticated by the fingerprints of its certificate (RFC 8122), by a
// callback, or by both. If the configuration has neither, NewConn fails. The peer is
// authenticated before any data is sent or returned.
//
// Three features are optional and off by default, since WebRTC does not need them:
//
//   - Config.Tickets and Config.TicketKeys resume the sessions of earlier connections;
//   - Config.ConnectionIDs lets the program find the connection of a record after the
//     peer's address has changed;
//   - [AddressValidator] keeps no state for a client until the client has shown, with a
//     cookie, that it receives the datagrams sent to its address.
//
// # Structure
//
// A Conn passes records and messages from one of its parts to another. Each part owns its
// state, and returns what the Conn has to do. It has no reference to the Conn. The parts,
// beginning at the wire:
//
//	record.go, record13.go      the headers of records
//	protection.go, replay.go    an epoch: its keys, the record numbers received in it
//	recordlayer.go, …13.go      recordLayer: all epochs; seals and opens records
//	reassembly.go               reassembler: fragments become messages
//	flight.go, sender.go        sender: local flights, their retransmission and timer
//	ack.go                      ackQueue: which records are acknowledged, and when (DTLS 1.3)
//	alert.go                    outAlert: the newest local alert
//	rekey.go                    rekeying: KeyUpdate and NewConnectionId (DTLS 1.3)
//	agreement.go                agreement: what the two ends have agreed on
//	handshake.go                handshake: takes messages, returns outcomes
//	client.go, server.go        roles of a handshake until the version is known
//	client12.go … server13.go   roles of a handshake after that, with the messages in order
//	conn.go, receive.go         Conn: sending and receiving
//	trace.go                    tracer: what Config.Trace reports
//	timer.go, state.go          Conn: its timers, its events and statistics
//	plaintext.go                errors that an attacker can have caused
//
// hello.go and messages*.go encode and parse handshake messages. keys12.go and keys13.go
// contain the key schedules, and group.go the key exchanges. session.go, resume12.go and
// resume13.go implement tickets, cid.go connection IDs, and cookie.go address validation.
package dtls
