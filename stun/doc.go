// Package stun parses and builds STUN messages (RFC 8489), with every attribute of
// STUN, ICE (RFC 8445) and TURN (RFC 8656).
//
// [Parse] returns a [Message], a view of the datagram: it checks the whole structure
// once and allocates nothing. A [Builder] appends a message to a slice. An [Integrity]
// holds a key and its HMACs, so that only the first use allocates.
//
// The package knows messages, not transactions. [Retransmission] is the schedule of a
// request over UDP (RFC 8489 §6.2.1).
package stun
