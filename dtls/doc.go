// Package dtls is Datagram TLS 1.2 (RFC 6347), client and server, as a pure
// state machine: it has no sockets, goroutines, locks or clock of its own.
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
// How a datagram passes through the files:
//
//	record.go       headers of records
//	protection.go   keys of an epoch, sealing and opening
//	replay.go       which records were seen
//	reassembly.go   fragments become messages
//	client12.go     what the client does with each, in the order of the protocol
//	server12.go     the same for the server
//	flight.go       messages become datagrams, again and again until answered
//	timer.go        when
//
// hello.go and messages12.go hold the forms of the messages, keys12.go the
// key schedule.
package dtls
