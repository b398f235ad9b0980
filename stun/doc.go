// Package stun reads and writes STUN messages (RFC 8489), with every
// attribute of STUN, ICE (RFC 8445) and TURN (RFC 8656).
package stun
