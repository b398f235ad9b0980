// Package stun parses and builds STUN messages (RFC 8489), with all attributes of
// STUN, ICE (RFC 8445) and TURN (RFC 8656).
//
// [Parse] returns a [Message], which is a view of the datagram. Parse checks the
// structure of the whole message once and allocates no memory. A [Builder] appends a
// message to a slice. An [Integrity] contains a key and its HMACs, which are allocated
// only when they are used first.
//
// The package handles messages, not transactions. A [Retransmission] computes when a
// request over UDP is sent again (RFC 8489 §6.2.1).
package stun
