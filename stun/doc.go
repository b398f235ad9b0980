// Package stun reads and writes STUN messages (RFC 8489), with every
// attribute of STUN, ICE (RFC 8445) and TURN (RFC 8656).
//
// [Parse] gives a [Message], which is a view over the datagram: it checks the
// whole structure once and allocates nothing. A [Builder] appends a message
// to a slice of the caller's. An [Integrity] holds a key and the HMACs under
// it, so that checks are made and verified without allocating, but the first.
//
// The package knows messages, not transactions; [Retransmission] is the
// schedule that a transaction over UDP follows (RFC 8489 §6.2.1).
package stun
