// Package dtls is Datagram TLS 1.3 (RFC 9147) and 1.2 (RFC 6347), client and
// server, as a pure state machine: it has no sockets, goroutines, locks or
// clock of its own.
//
// A [Conn] is made from a [Config] and begun with Start. Its owner gives it
// each datagram that came, record by record, with ReadRecord; sends whatever
// AppendHandshake appends; calls Advance when NextTimeout has come; and looks
// at NextEvent. Once the connection is established, BeginRecord and
// FinishRecord make records of application data in the owner's own buffer,
// without copying or allocating.
//
// The far end is known by the fingerprints of its certificate (RFC 8122), by
// a callback, or both; a Conn that could not tell it from anybody else is not
// made. The check comes before any data is given up or sent.
//
// The two versions share their hellos, certificates, flights and timers, and
// are told apart only when a whole ClientHello or ServerHello is there. A
// client's first key share is X25519MLKEM768, with one of X25519 beside it.
//
// How a datagram passes through the files:
//
//	record.go, record13.go          headers of records
//	protection.go, protection13.go  keys of an epoch, sealing and opening
//	replay.go                       which records were seen
//	reassembly.go                   fragments become messages
//	plaintext.go                    errors in messages that anybody can have sent
//	client12.go, client13.go        what the client does with each, in the order of the protocol
//	server12.go, server13.go        the same for the server
//	update13.go                     messages after the handshake
//	flight.go                       messages become datagrams, again and again until answered
//	ack.go                          what of them the far end has already (DTLS 1.3)
//	timer.go                        when
//	cid.go                          records that are known by more than their address
//
// hello.go, messages12.go and messages13.go hold the forms of the messages,
// keys12.go and keys13.go the key schedules, group.go the key exchanges.
// resume12.go and resume13.go take up earlier connections (session.go), which
// WebRTC has no use of, and gate.go lets in clients whose address nobody vouched
// for.
package dtls
